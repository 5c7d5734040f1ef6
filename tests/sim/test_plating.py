"""Lithium that plates on graphite: how much, where, and what comes back."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from battbeam.materials import FARADAY
from battbeam.sim.beam import Instants
from battbeam.sim.cell import HalfCell
from battbeam.sim.electrode import illuminated
from battbeam.sim.history import History, HistoryWriter
from battbeam.sim.hosts import areal_moles
from battbeam.sim.lithium import full_capacity
from battbeam.sim.plating import Metal, metal_after, spread
from battbeam.sim.scenario import (
    Beam,
    Cell,
    CounterElectrode,
    Layer,
    Plating,
    PlatingSpot,
    Scenario,
    pouch_stack,
)

#: Graphite that is too small, so that it is nearly full.
SMALL = CounterElectrode(
    material="graphite",
    capacity_ratio=0.7,
    initial_lithium_content=0.02,
    coulombic_efficiency=0.999,
)
SPOTS = (
    PlatingSpot(x=2.0, y=1.0, radius=3.0, weight=4.0),
    PlatingSpot(x=-3.0, y=-2.0, radius=2.5, weight=8.0),
)
CELL = Cell(
    chemistry="nmc811",
    dead_spot=None,
    counter=SMALL,
    resistance=2.0,
    kinetic_resistance=2.0,
    plating=Plating(onset_cycle=0.0, spots=SPOTS),
)
LAW = Plating(share=0.5, nucleation=0.4, growth=8.0)


def after(metal, charge, *, law=LAW, room=0.0, cycles=3.0):
    return metal_after(
        metal, charge, law=law, capacity=20.0, room=room, cycles=cycles, per_cycle=40.0
    )


def deposited(law, start, charge):
    """The same by numerical integration."""

    def speed(_, metal):
        return np.minimum(law.share * (law.nucleation + law.growth * metal / 20.0), 1.0)

    found = solve_ivp(speed, (0, charge), [start], rtol=1e-10, atol=1e-12, max_step=charge / 200)
    return float(found.y[0, -1])


# The last one ends where all of the charge becomes metal.
@pytest.mark.parametrize(
    ("start", "charge"), [(0.0, 0.7), (0.0, 5.0), (2.0, 1.0), (3.9, 3.0), (6.0, 1.0), (0.0, 19.0)]
)
def test_growth_follows_its_rate_law(start, charge):
    found = after(Metal(start / 3, start * 2 / 3), charge)
    assert found.total == pytest.approx(deposited(LAW, start, charge), rel=1e-6)
    assert found.dead == start * 2 / 3


@pytest.mark.parametrize("changes", [{"growth": 0.0}, {"nucleation": 0.0}, {"share": 0.0}])
def test_growth_without_one_of_its_stages_follows_its_rate_law(changes):
    law = LAW.model_copy(update=changes)
    for start in (0.0, 1.5):
        found = after(Metal(start), 2.0, law=law)
        assert found.total == pytest.approx(deposited(law, start, 2.0), rel=1e-6)


def test_of_what_is_stripped_a_share_loses_contact_that_grows_with_the_cycles():
    def taken(charge, metal):
        return -np.exp((3.0 + charge / 40.0 - 2.0) / 4.0) / 0.65 + 0 * metal

    numerical = solve_ivp(taken, (0, 1.2), [3.0], rtol=1e-10, atol=1e-12).y[0, -1]
    found = after(Metal(3.0), -1.2)
    assert found.plated == pytest.approx(numerical, rel=1e-8)
    assert found.total == pytest.approx(3.0 - 1.2, rel=1e-12)


def test_once_no_metal_is_in_contact_graphite_gives_the_rest():
    gone = after(Metal(1.0), -5.0)
    assert gone.plated == 0
    # Little is stripped in little of a cycle, so its efficiency is that at the beginning.
    assert 1 - gone.dead == pytest.approx(0.65 * np.exp(-1 / 4), rel=0.01)
    assert after(gone, -5.0) == gone


@given(
    charges=st.lists(st.floats(-15, 15), min_size=1, max_size=5),
    parts=st.integers(2, 7),
    cycles=st.floats(0, 5),
)
@settings(deadline=None, derandomize=True)
def test_what_plates_does_not_depend_on_how_a_step_is_cut(charges, parts, cycles):
    def run(n):
        metal, passed, room = Metal(), cycles, 4.0
        for charge in charges:
            for _ in range(n):
                before = metal.total
                metal = after(metal, charge / n, room=room, cycles=passed)
                passed += abs(charge) / n / 40.0
                room -= charge / n - (metal.total - before)
        return metal

    whole, cut = run(1), run(parts)
    assert cut.plated == pytest.approx(whole.plated, rel=1e-9, abs=1e-12)
    assert cut.dead == pytest.approx(whole.dead, rel=1e-9, abs=1e-12)


def test_nothing_plates_before_its_cycle_or_before_graphite_is_nearly_full():
    assert after(Metal(), 3.0, cycles=1.9) == Metal()
    assert after(Metal(), 3.0, room=3.0) == Metal()
    late = after(Metal(), 6.0, cycles=1.9)
    assert late.plated == pytest.approx(after(Metal(), 2.0).plated, rel=1e-12)
    assert late.plated > 0


def cycled(cell, *, n_cycles, seen=lambda half: None):
    """Over 2.8 to 4.2 V, a look after each half cycle."""
    half = HalfCell(cell)
    current = full_capacity(cell) * 1e-3
    for _ in range(n_cycles):
        while half.voltage < 4.2:
            half.step(15.0, current=current)
        half.step(600.0, voltage=4.2)
        seen(half)
        while half.voltage > 2.8:
            half.step(15.0, current=-current / 2)
        seen(half)
    return half


def test_lithium_is_conserved_to_the_last_digits():
    def balance(half):
        capacity = half.capacity * 3.6
        left = half.drawn * capacity + half.side_charge
        arrived = (half.counter_lithium_content - 0.02) * capacity * SMALL.capacity_ratio
        arrived += half.metal.plated + half.metal.dead + half.counter_side_charge
        assert left == pytest.approx(half.charge, abs=1e-12 * capacity * half.cycles)
        assert arrived == pytest.approx(half.charge, abs=1e-12 * capacity * half.cycles)

    half = cycled(CELL, n_cycles=3, seen=balance)
    assert half.metal.dead > 0.01 * half.capacity


def test_efficiency_decays_with_the_cycles_and_dead_lithium_stays():
    looks = []
    cycled(CELL, n_cycles=5, seen=lambda half: looks.append((half.cycles, half.metal)))
    charged, discharged = looks[::2], looks[1::2]
    kept = [0.0, *(metal.dead for _, metal in discharged)]
    efficiency = np.array(
        [1 - (kept[i + 1] - kept[i]) / metal.plated for i, (_, metal) in enumerate(charged)]
    )
    cycles = np.array([number for number, _ in charged])
    assert all(metal.plated == 0 for _, metal in discharged)
    slope, first = np.polyfit(cycles, np.log(efficiency), 1)
    # Stripping goes on for a twentieth of a cycle, a hundredth of the decay.
    assert slope == pytest.approx(-1 / 4, rel=0.03)
    assert np.exp(first) == pytest.approx(0.65, rel=0.02)


def test_a_cell_that_never_plates_is_the_cell_without_plating():
    never = CELL.model_copy(update={"plating": Plating(share=0.0, onset_cycle=0.0)})
    plain = CELL.model_copy(update={"plating": None})
    one, other = (cycled(cell, n_cycles=1) for cell in (never, plain))
    assert one.voltage == pytest.approx(other.voltage, abs=1e-9)
    assert one.counter_lithium_content == pytest.approx(other.counter_lithium_content, abs=1e-12)
    assert one.metal == other.metal == Metal()


def test_what_plates_is_missing_in_graphite_and_shows_in_its_potential():
    plain = CELL.model_copy(update={"plating": None})
    one, other = HalfCell(CELL), HalfCell(plain)
    for half in (one, other):
        half.step(2400.0, current=full_capacity(CELL) * 1e-3)
    assert one.metal.plated > 0.01 * one.capacity * 3.6
    missing = other.counter_lithium_content - one.counter_lithium_content
    assert missing * SMALL.capacity_ratio * one.capacity * 3.6 == pytest.approx(one.metal.plated)
    assert one.voltage < other.voltage


def test_a_voltage_is_met_while_metal_is_stripped_away():
    half = HalfCell(CELL)
    half.step(2400.0, current=full_capacity(CELL) * 1e-3)
    for voltage in np.linspace(half.voltage, 3.2, 60):
        half.step(20.0, voltage=float(voltage))
        assert half.voltage == pytest.approx(voltage, abs=1e-9)
    assert half.metal.plated == 0
    assert half.metal.dead > 0


def test_copies_of_a_cell_plate_apart():
    half = HalfCell(CELL)
    half.step(2000.0, current=full_capacity(CELL) * 1e-3)
    kept = copy.copy(half)
    half.step(400.0, current=full_capacity(CELL) * 1e-3)
    assert kept.metal.total < half.metal.total


def on_disc(radius, n=400):
    """Points of a disc, mm, evenly: midpoints of rings of one area."""
    r = radius * np.sqrt((np.arange(n) + 0.5) / n)
    angle = (np.arange(n) + 0.5) / n * 2 * np.pi
    return (r[:, None] * np.cos(angle)).ravel(), (r[:, None] * np.sin(angle)).ravel()


def test_metal_spreads_about_its_spots_and_its_mean_is_kept():
    x, y = on_disc(CELL.electrode_radius)
    local = spread(x, y, CELL)
    assert local.mean() == pytest.approx(1.0, abs=1e-4)
    first, second, far = spread(np.array([2.0, -3.0, 6.0]), np.array([1.0, -2.0, -4.0]), CELL)
    assert (first / far, second / far) == (pytest.approx(5.0), pytest.approx(9.0))
    assert np.all(spread(x, y, CELL.model_copy(update={"plating": LAW})) == 1)


def test_the_beam_meets_as_much_metal_as_is_there(tmp_path):
    half = HalfCell(CELL)
    half.step(2400.0, current=full_capacity(CELL) * 1e-3)
    half.step(800.0, current=-full_capacity(CELL) * 1e-3)
    writer = HistoryWriter(tmp_path / "history.jsonl")
    for time in (0.0, 20.0):
        writer.add(time, half)
    writer.close()
    history = History(tmp_path / "history.jsonl")
    instants = Instants(np.array([5.0, 15.0]), np.array([1e8, 2e8]))
    seen = illuminated(
        2.0,
        1.0,
        instants=instants,
        mean_lithium_content=lambda times: history.at(times).lithium_content,
        beam=Beam(size_x=0.01, size_y=0.01),
        cell=CELL,
        hidden=history.at,
    )
    (share,) = seen.of("plated")
    found = share.weight.sum() / instants.total * areal_moles("plated", CELL)
    mean = half.metal.total / FARADAY / CELL.electrode_area
    expected = mean * float(spread(np.array(2.0), np.array(1.0), CELL))
    assert found == pytest.approx(expected, rel=1e-4)
    assert half.metal.dead > 0
    assert share.phase == "Li"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"counter": CounterElectrode()}, "plating needs a counter electrode of graphite"),
        (
            {"plating": Plating(spots=(PlatingSpot(x=6.0, y=0.0, radius=2.0, weight=1.0),))},
            r"the spot of plating at \(6, 0\) mm with a radius of 2 mm leaves the electrode",
        ),
        (
            {"counter": CounterElectrode(), "plating": None}
            | {"stack": (Layer(material="counter", thickness=0.1, depth=-0.2),)},
            "a layer of material 'counter' needs a counter electrode of graphite",
        ),
        (
            {
                "stack": (
                    Layer(material="active", thickness=0.1, depth=0.0),
                    Layer(material="counter", thickness=0.1, depth=0.2),
                )
            },
            "the layer 'counter' must lie upstream of 'active'",
        ),
    ],
)
def test_what_cannot_plate_is_refused(fields, fault):
    with pytest.raises(ValueError, match=fault):
        Cell(**{name: getattr(CELL, name) for name in Cell.model_fields} | fields)


def test_a_stack_that_cells_share_is_looked_at_with_each_of_them():
    Scenario(cells=(CELL,), stack=pouch_stack())
    with pytest.raises(ValueError, match="cell 2: a layer of material 'plated' needs a counter"):
        Scenario(cells=(CELL, Cell()), stack=pouch_stack())
    twice = (*pouch_stack(), Layer(material="plated", thickness=0.001, depth=-0.08))
    with pytest.raises(ValueError, match="one layer of material 'plated' at most, got 2"):
        Scenario(cells=(CELL,), stack=twice)
