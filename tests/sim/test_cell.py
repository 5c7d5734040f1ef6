import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.materials import MISCIBILITY_GAP
from battbeam.sim.cell import COMPLIANCE, HalfCell
from battbeam.sim.lithium import (
    active_areal_moles,
    connected_fraction,
    full_capacity,
    is_dead,
    lithium_range,
    local_lithium_content,
    phase_composition,
)
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.scenario import Cell, DeadSpot

LFP = Cell()
NMC = Cell(chemistry="nmc811")


def charge_until(cell, voltage, *, current, step=1.0):
    """Charge or discharge to a voltage; the voltages on the way."""
    voltages = []
    while (cell.voltage - voltage) * current < 0:
        cell.step(step, current=current)
        voltages.append(cell.voltage)
    return np.array(voltages)


@pytest.mark.parametrize(("cell", "theoretical"), [(LFP, 169.9), (NMC, 275.5)])
def test_capacity_is_that_of_the_connected_mass(cell, theoretical):
    mass = cell.active_loading * 1e-3 * cell.electrode_area * connected_fraction(cell)
    assert full_capacity(cell) / mass == pytest.approx(theoretical, rel=2e-3)


def test_areal_moles_count_all_active_material():
    assert active_areal_moles(LFP) == pytest.approx(10e-3 / 157.757, rel=1e-4)


def test_lithium_lost_by_the_electrode_is_the_integrated_current_less_the_side_reaction():
    cell = HalfCell(Cell(coulombic_efficiency=0.99))
    passed = lost = 0.0
    for duration, control in [
        (1.0, {"current": 2e-3}),
        (0.3, {"voltage": 3.5}),
        (1.0, {"current": 0.0}),
        (1.0, {"current": -1e-3}),
        (1.0, {"voltage": 3.46}),
    ]:
        for _ in range(400):
            cell.step(0.0, **control)
            before = cell.current
            cell.step(duration, **control)
            mean = (before + cell.current) / 2
            passed += mean * duration
            lost += 0.01 * max(mean, 0.0) * duration
    assert cell.charge == pytest.approx(passed, rel=1e-12)
    assert cell.side_charge == pytest.approx(lost, rel=1e-9)
    stored = (cell.charge - cell.side_charge) / 3.6
    assert cell.lithium_content == pytest.approx(
        0.98 - stored / full_capacity(cell.truth), abs=1e-14
    )


@pytest.mark.parametrize(
    ("cell", "low", "high"), [(LFP, 2.6, 3.9), (NMC, 2.9, 4.45)], ids=["lfp", "nmc811"]
)
def test_the_voltage_rises_all_the_way_up_and_falls_all_the_way_down(cell, low, high):
    half = HalfCell(cell)
    current = full_capacity(cell) / 2 * 1e-3
    half.step(120.0, current=current)
    rising = charge_until(half, high, current=current)
    # On the plateau the kinetic resistance may outweigh the slope of the table by a millivolt.
    assert np.all(np.diff(rising) > -1e-5)
    assert rising[-1] >= high
    falling = charge_until(half, low, current=-current)
    settled = falling[3 * int(cell.diffusion_time) :]
    assert np.all(np.diff(settled) < 1e-4)
    assert falling[-1] <= low


def test_both_slopes_of_lithium_iron_phosphate_last_long_enough_to_be_measured_on():
    half = HalfCell(LFP)
    current = full_capacity(LFP) / 2 * 1e-3
    charge_until(half, 3.52, current=current)
    assert len(charge_until(half, 3.8, current=current)) > 60
    charge_until(half, 3.3, current=-current)
    assert len(charge_until(half, 2.7, current=-current)) > 60


def test_the_plateau_stands_half_the_gap_above_and_below_3_422_volts():
    cell = Cell(resistance=0.0, kinetic_resistance=0.0, diffusion_time=1.0, hysteresis=0.01)
    half = HalfCell(cell)
    tiny = full_capacity(cell) / 1000 * 1e-3
    middle = sum(MISCIBILITY_GAP) / 2
    while half.lithium_content > middle:
        half.step(600.0, current=tiny)
    assert half.voltage == pytest.approx(3.432, abs=5e-4)
    # Turned round, it goes to the other branch by degrees.
    half.step(60.0, current=-tiny)
    assert half.voltage > 3.43
    half.step(100 * 3600.0, current=-tiny)
    assert half.voltage == pytest.approx(3.412, abs=3e-3)


def test_a_small_current_meets_ohmic_and_kinetic_resistance():
    cell = Cell(initial_lithium_content=0.5, resistance=12.0, kinetic_resistance=10.0)
    half = HalfCell(cell)
    at_rest = half.voltage
    half.step(0.0, current=1e-5)
    assert half.voltage - at_rest == pytest.approx(1e-5 * 22.0, rel=2e-3)


def test_the_surface_relaxes_at_rest_with_the_diffusion_time():
    half = HalfCell(Cell(chemistry="nmc811", initial_lithium_content=0.7, diffusion_time=200.0))
    half.step(3600.0, current=1e-3)
    lag = half.lag
    half.step(200.0, current=0.0)
    assert half.lag == pytest.approx(lag * np.exp(-1), rel=1e-9)
    half.step(20_000.0, current=0.0)
    curve = open_circuit("nmc811")
    assert half.voltage == pytest.approx(curve.voltage(half.lithium_content), abs=1e-6)


def test_constant_voltage_is_met_and_its_current_decays():
    half = HalfCell(LFP)
    charge_until(half, 3.7, current=2e-3)
    currents = []
    for _ in range(1800):
        half.step(1.0, voltage=3.7)
        assert half.voltage == pytest.approx(3.7, abs=1e-7)
        currents.append(half.current)
    assert np.all(np.diff(currents) < 0)
    assert 0 < currents[-1] < currents[0] / 3


def test_constant_voltage_does_not_depend_on_the_model_step():
    charges = []
    for step in (1.0, 0.05):
        half = HalfCell(Cell(chemistry="nmc811", initial_lithium_content=0.6))
        for _ in range(round(200 / step)):
            half.step(step, voltage=4.0)
        charges.append(half.charge)
    assert charges[0] == pytest.approx(charges[1], rel=1e-4)


@given(
    chemistry=st.sampled_from(["lfp", "nmc811"]),
    controls=st.lists(
        st.tuples(st.sampled_from(["current", "voltage"]), st.floats(0, 1), st.floats(0.0, 7200.0)),
        max_size=8,
    ),
)
@settings(max_examples=60, deadline=None)
def test_no_current_or_voltage_drives_the_lithium_out_of_its_range(chemistry, controls):
    cell = Cell(chemistry=chemistry)
    half = HalfCell(cell)
    low, high = lithium_range(cell)
    for control, value, duration in controls:
        if control == "current":
            half.step(duration, current=0.2 * (value - 0.5))
        else:
            half.step(duration, voltage=COMPLIANCE[0] + value * (COMPLIANCE[1] - COMPLIANCE[0]))
        assert low <= half.lithium_content <= high
        assert np.isfinite(half.voltage)


def test_a_current_that_cannot_be_reached_is_held_at_the_compliance():
    half = HalfCell(LFP)
    for _ in range(9_000):
        half.step(1.0, current=5e-3)
    assert half.is_limited
    assert half.voltage == pytest.approx(COMPLIANCE[1])
    assert 0 <= half.current < 5e-3


def test_the_open_circuit_curve_of_nmc811_is_the_published_one():
    curve = open_circuit("nmc811")
    assert curve.voltage(0.25) == pytest.approx(4.3366, abs=1e-4)
    assert curve.voltage(0.59576) == pytest.approx(3.9298, abs=1e-1)
    assert curve.voltage(0.93) == pytest.approx(3.54393, abs=1e-4)


@pytest.mark.parametrize("chemistry", ["lfp", "nmc811"])
def test_the_open_circuit_voltage_falls_with_lithium_everywhere(chemistry):
    curve = open_circuit(chemistry)
    contents = curve.low + (curve.high - curve.low) * np.linspace(1e-5, 1 - 1e-5, 20_001)
    voltages = np.array([curve.voltage(content) for content in contents])
    assert np.all(np.diff(voltages) < 0)
    assert np.max(np.abs(np.diff(voltages[200:-200]))) < 0.01


def disc(cell, n=401):
    """Points of the electrode that take part, mm."""
    axis = np.linspace(-cell.electrode_radius, cell.electrode_radius, n)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    inside = (np.hypot(x, y) <= cell.electrode_radius) & ~is_dead(x=x, y=y, cell=cell)
    return x[inside], y[inside]


def test_the_mean_of_the_local_content_is_the_mean():
    cell = Cell(gradient_x=0.03, gradient_y=-0.02, dead_spot=DeadSpot(x=3.0, y=2.0, radius=2.0))
    x, y = disc(cell)
    local = local_lithium_content(0.45, x, y, 0.0, cell)
    assert local.mean() == pytest.approx(0.45, abs=2e-4)
    assert local.std() > 0.05


def test_the_gradient_vanishes_at_both_ends_and_is_the_declared_one_half_way():
    cell = Cell(gradient_x=0.02, gradient_depth=0.02, dead_spot=None)
    for mean in (0.0, 1.0):
        assert np.ptp(local_lithium_content(mean, np.array([-7.0, 7.0]), 0.0, 0.0, cell)) == 0
    half = local_lithium_content(0.5, np.array([0.0, 1.0]), 0.0, 0.0, cell)
    assert np.diff(half) == pytest.approx([0.02])
    deep = local_lithium_content(0.5, 0.0, 0.0, np.array([-0.5, 0.5]), cell)
    assert np.diff(deep) == pytest.approx([0.02])


@given(
    mean=st.floats(0, 1),
    gradient=st.floats(-1, 1),
    chemistry=st.sampled_from(["lfp", "nmc811"]),
)
def test_no_gradient_drives_a_point_out_of_the_lithium_range(mean, gradient, chemistry):
    cell = Cell(chemistry=chemistry, gradient_x=gradient, gradient_depth=gradient, dead_spot=None)
    low, high = lithium_range(cell)
    x = np.linspace(-cell.electrode_radius, cell.electrode_radius, 11)
    inside = low + mean * (high - low)
    local = local_lithium_content(inside, x, 0.0, np.linspace(-0.5, 0.5, 11), cell)
    assert np.all((local >= low) & (local <= high))
    assert local.mean() == pytest.approx(inside, abs=1e-9)


def test_the_dead_spot_stays_as_it_was():
    cell = Cell(dead_spot=DeadSpot(x=1.0, y=0.0, radius=0.5), gradient_x=0.0, gradient_depth=0.0)
    local = local_lithium_content(0.3, np.array([0.4, 1.0, 1.6]), 0.0, 0.0, cell)
    assert local == pytest.approx([0.3, 0.98, 0.3])


def test_phases_of_the_miscibility_gap_follow_the_lever_rule():
    content = np.array([0.0, 0.02, 0.05, 0.47, 0.89, 0.95, 1.0])
    (rich_name, rich, x_rich), (poor_name, poor, x_poor) = phase_composition(content, LFP)
    assert (rich_name, poor_name) == ("LiFePO4", "FePO4")
    assert rich == pytest.approx([0, 0, 0, 0.5, 1, 1, 1])
    assert rich + poor == pytest.approx(np.ones(7))
    assert rich * x_rich + poor * x_poor == pytest.approx(content)


@pytest.mark.parametrize(
    ("cell", "name"), [(Cell(solid_solution=True), "LixFePO4"), (NMC, "NMC811")]
)
def test_a_solid_solution_is_one_phase(cell, name):
    content = np.array([[0.2, 0.5], [0.7, 1.0]])
    [(phase, fraction, inside)] = phase_composition(content, cell)
    assert phase == name
    assert fraction == pytest.approx(np.ones((2, 2)))
    assert inside == pytest.approx(content)


def test_a_step_needs_one_control_and_no_negative_duration():
    half = HalfCell(LFP)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        half.step(-1.0, current=0.0)
    with pytest.raises(ValueError, match="either a current or a voltage"):
        half.step(1.0)
