"""The chemistries that a simulated cell may have: curves, capacity fade, a short, and no diffraction lines."""

import numpy as np
import pytest
from scipy.optimize import brentq

from battbeam import materials
from battbeam.sim.beam import Instants
from battbeam.sim.cell import HalfCell
from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.history import HiddenState
from battbeam.sim.lithium import active_areal_moles, full_capacity
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.run import HARD_LIMITS
from battbeam.sim.scenario import Ageing, Cell, Detector, Scenario
from battbeam.sim.truth import frame_truth

WITHOUT_LINES = sorted(name for name in ACTIVE_MATERIALS if not ACTIVE_MATERIALS[name].has_lines)


@pytest.mark.parametrize("chemistry", sorted(ACTIVE_MATERIALS))
def test_every_curve_falls_and_lies_within_its_hard_limits_but_for_its_ends(chemistry):
    curve = open_circuit(chemistry)
    low, high = ACTIVE_MATERIALS[chemistry].content_range
    contents = np.linspace(low, high, 20_003)[1:-1]
    voltages = np.array([curve.voltage(content) for content in contents])
    assert np.all(np.diff(voltages) < 0)
    bottom, top, _ = HARD_LIMITS[chemistry]
    # NMC811's table goes higher than its guard lets the cell go.
    middle = voltages[2500:-1000]
    assert bottom < middle.min()
    assert middle.max() < top


# mAh per g at a content of 1: F over 3.6 and the molar mass of the IUPAC masses.
@pytest.mark.parametrize(
    ("chemistry", "per_gram"),
    [("lmo", 148.2), ("nca", 279.0), ("mno2", 285.5), ("sno", 189.2), ("lithium", 3861.5)],
)
def test_capacity_per_gram_and_content_is_the_theoretical_one(chemistry, per_gram):
    cell = Cell(
        chemistry=chemistry, dead_spot=None, inactive_fraction=0.0, initial_lithium_content=0.5
    )
    mass = cell.active_loading * 1e-3 * cell.electrode_area
    assert full_capacity(cell) / mass == pytest.approx(per_gram, rel=1e-3)


@pytest.mark.parametrize(
    ("chemistry", "voltage", "content"),
    [
        ("nmc622", 4.3, 0.38),
        ("nmc811", 4.3, 0.26),
        ("nmc90", 4.3, 0.15),
        ("nmc90", 4.2, 0.24),
        ("nmc90", 4.1, 0.35),
    ],
)
def test_more_nickel_gives_more_lithium_up_to_a_voltage(chemistry, voltage, content):
    low, high = ACTIVE_MATERIALS[chemistry].content_range
    curve = open_circuit(chemistry)
    found = brentq(lambda x: curve.voltage(x) - voltage, low + 1e-6, high - 1e-6)
    assert found == pytest.approx(content, abs=0.01)


def test_up_to_one_voltage_the_lattice_collapses_with_much_nickel_only():
    def collapse(chemistry):
        active, curve = ACTIVE_MATERIALS[chemistry], open_circuit(chemistry)
        low, high = active.content_range
        end = brentq(lambda x: curve.voltage(x) - 4.3, low + 1e-6, high - 1e-6)
        c = materials.lattice_edges(active.name, np.linspace(end, 1.0, 400))[:, 1]
        return c.max() - c[0]

    assert collapse("nmc90") == pytest.approx(0.43, abs=0.02)
    assert collapse("nmc622") < 0.2 * collapse("nmc90")


def test_nca_gives_lithium_down_to_a_fifth_though_its_lattice_is_known_further():
    assert ACTIVE_MATERIALS["nca"].content_range == (0.2, 1.0)
    assert ACTIVE_MATERIALS["nca"].is_layered
    assert materials.LITHIUM_RANGE["NCA"][0] == 0.1


def test_what_a_chemistry_cannot_have_is_refused():
    with pytest.raises(ValueError, match=r"initial_lithium_content of nca must lie in 0\.2 to 1"):
        Cell(chemistry="nca", initial_lithium_content=0.1)
    with pytest.raises(ValueError, match="beam_damage is not simulated for sno"):
        Cell(chemistry="sno", initial_lithium_content=0.05, beam_damage=1e-9)
    with pytest.raises(ValueError, match="valence_shift moves an edge; no edge of lfp moves"):
        Cell(chemistry="lfp", ageing=Ageing(valence_shift=0.2))


def cycled(cell, *, n_cycles, window, c_rate=0.5):
    """Charge moved in each charge, mAh, over a window of voltages."""
    half, moved = HalfCell(cell), []
    current = full_capacity(cell) * 1e-3 * c_rate
    for _ in range(n_cycles):
        start = half.charge
        while half.voltage < window[1]:
            half.step(20.0, current=current)
        moved.append((half.charge - start) / 3.6)
        while half.voltage > window[0]:
            half.step(20.0, current=-current)
    return half, np.array(moved)


def test_capacity_fades_by_the_declared_share_a_full_cycle_and_the_amplitude_stays():
    cell = Cell(
        chemistry="nanmc442",
        coulombic_efficiency=1.0,
        initial_lithium_content=0.97,
        ageing=Ageing(capacity_fade=0.03),
        resistance=0.1,
        kinetic_resistance=0.1,
        diffusion_time=0.1,
    )
    half, moved = cycled(cell, n_cycles=6, window=(2.0, 4.4))
    cycles_between = half.cycles / 6
    expected = (1 - 0.03) ** (cycles_between * np.arange(1, 5))
    np.testing.assert_allclose(moved[2:] / moved[1], expected, rtol=2e-3)
    assert half.capacity == pytest.approx(full_capacity(cell) * 0.97**half.cycles)


def test_a_cell_whose_capacity_does_not_fade_counts_full_cycles():
    cell = Cell(chemistry="lmo", coulombic_efficiency=1.0, initial_lithium_content=0.9)
    half = HalfCell(cell)
    current = full_capacity(cell) * 1e-3
    for sign in (1, -1):
        half.step(1800.0, current=sign * current)
        half.step(0.0, current=0.0)
    assert half.cycles == pytest.approx(0.5, rel=1e-6)
    assert half.lithium_content == pytest.approx(0.9, abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_symmetric_cell_runs_both_ways_until_it_is_a_short(sign):
    cell = Cell(
        chemistry="lithium", active_loading=50.0, initial_lithium_content=0.5, short_charge=20.0
    )
    half = HalfCell(cell)
    current = sign * 1e-3 * cell.electrode_area
    half.step(0.0, current=current)
    half.step(19_990.0, current=current)
    assert not half.is_short
    assert sign * half.voltage > 0.02
    content = half.lithium_content
    half.step(20.0, current=current)
    half.step(600.0, current=current)
    assert half.is_short
    assert half.voltage == pytest.approx(0.5 * current)
    assert half.lithium_content == pytest.approx(content, abs=1e-3)
    assert abs(half.charge) / cell.electrode_area == pytest.approx(20.61, rel=1e-6)


@pytest.mark.parametrize("chemistry", WITHOUT_LINES)
def test_of_a_material_without_lines_the_camera_sees_the_inert_layers(chemistry):
    start = min(0.5, ACTIVE_MATERIALS[chemistry].content_range[1])
    cell = Cell(chemistry=chemistry, initial_lithium_content=start, dead_spot=None)
    detector = Detector(
        n_rows=64, n_columns=64, pixel_size=1.4, centre_row=30.1, centre_column=32.2
    )
    scenario = Scenario(cells=(cell,), detector=detector)
    instants = Instants(np.array([5.0]), np.array([1e8]))
    exposure = Exposure(0.0, 10.0, 0.0, 0.0, 22_163.0, instants)
    frame = FrameModel(scenario).expected(exposure, lambda times: np.full(len(times), start))
    assert frame.in_beam == "cell"
    assert frame.photons.sum() > 1000
    assert frame.lithium_content == pytest.approx(start, abs=0.02)
    nothing = np.zeros(3)
    hidden = HiddenState(*[nothing] * 12)
    line = frame_truth(exposure, frame, scenario, hidden)
    assert line["lattice"] == {}
    name = ACTIVE_MATERIALS[chemistry].name
    assert line["phase_fraction"] == {name: pytest.approx(1.0)}
    assert line["areal_moles"][name] == pytest.approx(active_areal_moles(cell))


def test_what_a_lithium_rich_oxide_keeps_of_its_lithium_absorbs():
    rich = ACTIVE_MATERIALS["lirich"]
    assert rich.at(0.0)["Li"] == 0.2
    assert rich.molar_mass - materials.molar_mass(rich.at(0.0)) == pytest.approx(6.94, abs=0.01)
