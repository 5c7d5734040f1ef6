"""Fatigued material, which gives lithium down to some content only, and a lattice that stretches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.sim.beam import Instants
from battbeam.sim.cell import HalfCell
from battbeam.sim.electrode import illuminated
from battbeam.sim.fatigue import fatigued_content, fatigued_fraction, rest_content
from battbeam.sim.history import HiddenState
from battbeam.sim.lithium import full_capacity
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.scenario import Ageing, Beam, Cell, Fatigue

LAW = Fatigue(fraction=0.2, fraction_per_cycle=0.01, lowest_content=0.25)
CELL = Cell(
    chemistry="nmc90",
    dead_spot=None,
    inactive_fraction=0.0,
    fatigue=LAW,
    coulombic_efficiency=1.0,
    resistance=1.0,
    kinetic_resistance=0.0,
    diffusion_time=1.0,
    ageing=Ageing(c_strain_per_cycle=4.2e-5),
)


@given(mean=st.floats(0.1, 1.0), fraction=st.floats(0.0, 0.8))
@settings(deadline=None, derandomize=True)
def test_both_parts_together_have_the_mean(mean, fraction):
    rest, stuck = float(rest_content(mean, fraction, LAW)), float(fatigued_content(mean, LAW))
    assert (1 - fraction) * rest + fraction * stuck == pytest.approx(mean, abs=1e-12)
    assert stuck >= 0.25
    assert rest <= mean <= stuck


def test_fatigue_spreads_with_the_cycles():
    assert fatigued_fraction(LAW, np.array([0.0, 10.0])) == pytest.approx([0.2, 0.3])
    assert fatigued_fraction(LAW, 1e6) == 0.95
    assert fatigued_fraction(None, np.zeros(3)) == pytest.approx(np.zeros(3))


def charged(cell, voltage=4.3):
    half = HalfCell(cell)
    while half.voltage < voltage:
        half.step(30.0, current=full_capacity(cell) * 1e-4)
    half.step(3600.0, voltage=voltage)
    return half


def test_the_cell_follows_what_is_not_fatigued_and_gives_less():
    fatigued, plain = charged(CELL), charged(CELL.model_copy(update={"fatigue": None}))
    assert plain.lithium_content == pytest.approx(0.15, abs=2e-3)
    assert fatigued.rest_lithium_content == pytest.approx(0.15, abs=2e-3)
    # A fifth of it (and what half a cycle added) stays at a quarter.
    share = 0.2 + 0.01 * fatigued.cycles
    missing = fatigued.lithium_content - plain.lithium_content
    assert missing == pytest.approx(share * 0.1, rel=0.02)
    fatigued.step(0.0, current=0.0)
    expected = open_circuit("nmc90").voltage(fatigued.rest_lithium_content - fatigued.lag)
    assert fatigued.voltage == pytest.approx(expected, abs=1e-9)


def test_impedance_rises_towards_low_frequency_where_less_material_takes_part():
    half = charged(CELL)
    plain = charged(CELL.model_copy(update={"fatigue": None}))
    ratio = half.impedance(1e-6).imag / plain.impedance(1e-6).imag
    share = float(fatigued_fraction(LAW, half.cycles))
    slopes = [
        open_circuit("nmc90").slope(each.rest_lithium_content - each.lag) for each in (half, plain)
    ]
    assert ratio == pytest.approx(slopes[0] / slopes[1] / (1 - share), rel=1e-3)


def seen(mean, *, cell=CELL, cycles=5.0, **fields):
    values = {"lithium_content": mean, "cycles": cycles}
    names = list(HiddenState.__dataclass_fields__)[1:]

    def state(times):
        return HiddenState(times, *(np.full(len(times), values.get(n, 0.0)) for n in names))

    return illuminated(
        1.0,
        0.5,
        instants=Instants(np.array([1.0, 2.0]), np.array([1e8, 2e8])),
        mean_lithium_content=lambda times: state(times).lithium_content,
        beam=Beam(),
        cell=cell,
        hidden=state,
        **fields,
    )


@pytest.mark.parametrize("mean", [0.15, 0.2, 0.3, 0.9])
def test_the_beam_meets_both_parts_and_all_the_lithium(mean):
    # Far from the middle of the range, where a gradient would move the mean.
    even = CELL.model_copy(update={"gradient_x": 0.0, "gradient_depth": 0.0})
    shares = seen(mean, cell=even).shares
    weight = sum(share.weight.sum() for share in shares)
    stuck = sum(share.weight.sum() for share in shares if share.is_fatigued)
    assert stuck / weight == pytest.approx(0.25)
    content = sum(share.weight @ share.lithium_content for share in shares) / weight
    assert content == pytest.approx(mean, abs=1e-9)
    for share in shares:
        expected = max(mean, 0.25) if share.is_fatigued else float(rest_content(mean, 0.25, LAW))
        assert share.lithium_content == pytest.approx(expected)


def test_gradients_leave_no_point_below_what_its_part_can_give():
    steep = CELL.model_copy(update={"gradient_x": 0.2, "gradient_depth": 0.3})
    for mean in (0.138, 0.15, 0.3):
        for share in seen(mean, cell=steep).shares:
            assert share.lithium_content.min() >= (0.25 if share.is_fatigued else 0.1)


def test_the_lattice_stretches_along_c_with_the_cycles_where_material_takes_part():
    strained = {share.c_strain for share in seen(0.5, cycles=50.0).shares}
    assert max(strained) == min(strained) == pytest.approx(2.1e-3)
    partly = CELL.model_copy(update={"inactive_fraction": 0.1, "fatigue": None})
    assert sorted(share.c_strain for share in seen(0.5, cell=partly, cycles=10.0).shares) == [
        0.0,
        pytest.approx(4.2e-4),
    ]


def test_what_is_not_layered_does_not_fatigue():
    with pytest.raises(ValueError, match="fatigue is of layered oxides whose lattice is known"):
        Cell(chemistry="lfp", fatigue=LAW)
    with pytest.raises(ValueError, match=r"c_strain_per_cycle is of layered oxides .* not of lmo"):
        Cell(chemistry="lmo", ageing=Ageing(c_strain_per_cycle=1e-5))
    with pytest.raises(ValueError, match="fatigue and beam_damage are not simulated together"):
        Cell(chemistry="nmc811", fatigue=LAW, beam_damage=1e-9)
