"""Maps of a cell whose lithium is known, drawn with the noise of their pixels."""

from pathlib import Path

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.cell_maps import CellMaps
from battbeam.sim.cell import HalfCell
from battbeam.sim.graphite import local_content
from battbeam.sim.lithium import full_capacity, local_lithium_content
from battbeam.sim.plating import spread
from battbeam.sim.scenario import Scenario

POUCH = Scenario.read(Path(__file__).parents[2] / "sim" / "pouch_plating.toml")
#: mAh between 2.8 and 4.2 V.
CAPACITY = 6.2
#: One standard deviation of a pixel: mAh/cm2 of metal, x, y.
NOISE = {"metal": 0.04, "x": 2e-4, "y": 1e-3}
AXIS = np.linspace(-5, 5, 11)
X, Y = (each.ravel() for each in np.meshgrid(AXIS, AXIS))


def cell(*, working=1.0, counter=1.0):
    """That of the scenario, with side reactions or without."""
    (truth,) = POUCH.cells
    return truth.model_copy(
        update={
            "coulombic_efficiency": working,
            "counter": truth.counter.model_copy(update={"coulombic_efficiency": counter}),
        }
    )


def looked_at(half):
    """What is hidden of it."""
    return {
        "x": half.lithium_content,
        "y": half.counter_lithium_content,
        "metal": half.metal.total / 3.6,
        "charge": half.charge / 3.6,
        "cycles": half.cycles,
    }


def history(truth, n_cycles):
    """Before the first charge, then after each charge and each discharge."""
    half, current = HalfCell(truth), full_capacity(truth) * 1.3e-3
    seen = [looked_at(half)]
    for _ in range(n_cycles):
        for sign, stop in ((1, 4.2), (-1, 2.8)):
            while (half.voltage - stop) * sign < 0:
                half.step(10.0, current=sign * current)
            half.step(300.0, current=0.0)
            seen.append(looked_at(half))
    return seen


def drawn(truth, state, rng, noise=1.0):
    """Reduced rows of a map of 121 points."""
    n, area = X.size, truth.electrode_area
    draw = {name: noise * sigma * rng.normal(size=n) for name, sigma in NOISE.items()}
    columns = {
        "plated_areal_capacity": state["metal"] / area * spread(X, Y, truth) + draw["metal"],
        "lithium_content_xray": local_lithium_content(state["x"], X, Y, 0.0, truth) + draw["x"],
        "lithium_content_counter": local_content(state["y"], 0.0, X, Y, 0.0, truth) + draw["y"],
        "counter_amount": 0.74 * (1 + 0.003 * noise * rng.normal(size=n)),
    }
    sigmas = zip(list(columns)[:3], NOISE.values(), strict=True)
    errors = {f"{name}_error": np.full(n, sigma) for name, sigma in sigmas}
    return (
        columns
        | errors
        | {
            "active_amount": np.ones(n),
            "capacity": np.full(n, state["charge"]),
            "sample_stage_x": X,
            "sample_stage_y": Y,
            "valid": np.ones(n, dtype=int),
        }
    )


def maps(truth, states, *, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    rows = [drawn(truth, state, rng, noise) for state in states]
    return CellMaps.of(rows, area=truth.electrode_area, working_capacity=full_capacity(truth))


def of(states, name):
    return np.array([state[name] for state in states])


@pytest.fixture(scope="module")
def plated():
    truth = cell()
    return truth, history(truth, 6)


def test_without_noise_the_map_tells_the_metal_of_the_whole_electrode(plated):
    truth, states = plated
    metal = maps(truth, states, noise=0.0).metal
    # Sampled at 121 points, each a mm apart.
    assert metal.value == pytest.approx(of(states, "metal"), rel=5e-3, abs=1e-9)


def test_totals_are_within_5_percent_and_their_errors_are_honest(plated):
    truth, states = plated
    true, pulls = of(states, "metal"), []
    for seed in range(15):
        metal = maps(truth, states, seed=seed).metal
        off = metal.value - true
        pulls += list(off / metal.error)
        assert (np.abs(off) <= np.maximum(0.05 * true, 4 * metal.error)).all()
    assert_honest(pulls)
    assert metal.error.max() < 0.012


def test_the_law_of_plating_is_that_of_the_hidden_cell(plated):
    truth, states = plated
    law = truth.plating
    pulls = []
    for seed in range(8):
        found = maps(truth, states, seed=seed).growth()
        assert abs(found.onset - law.onset_cycle) <= 1
        pulls.append((found.decay_rate - 1 / law.efficiency_decay) / found.decay_rate_error)
    exact = maps(truth, states, noise=0.0).growth()
    # Stripping begins when the charge ends.
    cycles = of(states, "cycles")[1::2]
    assert maps(truth, states).cycles[1::2] == pytest.approx(cycles, rel=2e-3)
    assert exact.decay == pytest.approx(law.efficiency_decay, rel=0.04)
    assert found.decay_error / found.decay < 0.10
    assert np.sqrt(np.mean(np.square(pulls))) < 2
    assert exact.autocatalysis > 0


def test_the_inventory_closes_without_side_reactions(plated):
    truth, states = plated
    for seed in range(5):
        found = maps(truth, states, seed=seed).inventory(cell_capacity=CAPACITY)
        assert found.closes_within(0.03)
        assert np.abs(found.cathode_gap / CAPACITY).max() < 0.03
        assert np.abs(found.counter_gap / CAPACITY).max() < 0.03
        assert found.closure_error.max() < 0.01


def test_with_side_reactions_it_fails_to_close_by_what_they_took():
    truth = cell(working=0.99, counter=0.96)
    states = history(truth, 3)
    charge = of(states, "charge")
    passed = np.cumsum(np.maximum(np.diff(charge, prepend=0.0), 0.0))
    pulls = {"missing": [], "cathode_gap": [], "counter_gap": []}
    for seed in range(12):
        found = maps(truth, states, seed=seed).inventory(cell_capacity=CAPACITY)
        assert not found.closes_within(0.03)
        true = {"missing": 0.03 * passed, "cathode_gap": -0.01 * passed}
        true["counter_gap"] = -0.04 * passed
        for name, wanted in true.items():
            apart = getattr(found, name) - wanted
            assert np.abs(apart[1:] / CAPACITY).max() < 0.03
            pulls[name].append(apart[-1] / getattr(found, f"{name}_error")[-1])
    for each in pulls.values():
        # Of the contents the error of one pixel stands for that of the mean: they cannot be too small.
        assert np.sqrt(np.mean(np.square(each))) < 1.5


def test_over_lithiation_is_about_the_mean_of_each_map(plated):
    truth, states = plated
    found = maps(truth, states).over_lithiation[-2]
    assert found.mean == pytest.approx(0, abs=1e-12)
    assert found.values[-1, -1] > found.values[0, 0]


def test_what_lies_outside_of_the_map_is_as_its_rim(plated):
    truth, states = plated
    found = maps(truth, states[:2], noise=0.0)
    assert found.plated[0].over(4.0).value == 0.0
    with pytest.raises(ReductionError, match=r"a map of 1.21 cm2 .* says nothing about 1 cm2"):
        found.plated[0].over(1.0)


def test_maps_that_are_no_cycles_or_show_nothing_are_refused(plated):
    truth, states = plated
    with pytest.raises(ReductionError, match=r"growth needs a map before .* got 4 maps"):
        maps(truth, states[:4]).growth()
    with pytest.raises(ReductionError, match="no map"):
        CellMaps.of([], area=1.0, working_capacity=1.0)
    rows = drawn(truth, states[0], np.random.default_rng(0)) | {"valid": np.zeros(X.size)}
    with pytest.raises(ReductionError, match="a map has no valid row"):
        CellMaps.of([rows], area=1.0, working_capacity=1.0)
