"""Counter electrode, reference electrode, temperature and impedance of the simulated cell."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.sim import kinetics
from battbeam.sim.cell import COMPLIANCE, HalfCell
from battbeam.sim.lithium import full_capacity
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.scenario import Cell, CounterElectrode, ReferenceElectrode, TemperatureLaw

GRAPHITE = CounterElectrode(material="graphite", kinetic_resistance=4.0)
FULL = Cell(chemistry="nmc811", counter=GRAPHITE, coulombic_efficiency=1.0)
IDEAL = Cell(chemistry="nmc811", initial_lithium_content=0.6, hysteresis=0.0)


def current_for(cell, c_rate):
    return full_capacity(cell) * 1e-3 * c_rate


def test_a_full_cells_voltage_at_rest_is_the_difference_of_both_curves():
    half = HalfCell(FULL)
    half.step(3600.0, current=current_for(FULL, 0.5))
    half.step(7200.0, current=0.0)
    working = open_circuit("nmc811").voltage(half.lithium_content)
    counter = open_circuit("graphite").voltage(half.counter_lithium_content)
    assert half.voltage == pytest.approx(working - counter, abs=1e-6)


def test_lithium_goes_from_one_electrode_to_the_other():
    cell = FULL.model_copy(
        update={"counter": GRAPHITE.model_copy(update={"coulombic_efficiency": 0.9})}
    )
    half = HalfCell(cell)
    for current in (current_for(cell, 0.5), -current_for(cell, 0.25)):
        half.step(2400.0, current=current)
    left = (cell.initial_lithium_content - half.lithium_content) * full_capacity(cell)
    arrived = (half.counter_lithium_content - 0.08) * full_capacity(cell) * GRAPHITE.capacity_ratio
    assert left - arrived == pytest.approx(half.counter_side_charge / 3.6, rel=1e-9)
    assert half.counter_side_charge == pytest.approx(0.1 * 2400.0 * current_for(cell, 0.5))


@pytest.mark.parametrize("chemistry", ["lfp", "nmc811"])
def test_a_full_cell_can_be_charged_and_discharged(chemistry):
    cell = FULL.model_copy(update={"chemistry": chemistry})
    half, current, voltages = HalfCell(cell), current_for(cell, 0.5), []
    top, bottom = (3.6, 2.5) if chemistry == "lfp" else (4.2, 2.8)
    half.step(120.0, current=current)
    while half.voltage < top:
        half.step(5.0, current=current)
        voltages.append(half.voltage)
    assert np.all(np.diff(voltages[60:]) > -1e-4)
    assert 0.6 < half.counter_lithium_content < 0.95
    while half.voltage > bottom:
        half.step(5.0, current=-current)
    assert half.counter_lithium_content < 0.1


@given(
    chemistry=st.sampled_from(["lfp", "nmc811"]),
    ratio=st.floats(0.5, 1.5),
    controls=st.lists(
        st.tuples(st.sampled_from(["current", "voltage"]), st.floats(0, 1), st.floats(0.0, 7200.0)),
        max_size=8,
    ),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_nothing_drives_a_full_cell_out_of_either_range(chemistry, ratio, controls):
    counter = GRAPHITE.model_copy(update={"capacity_ratio": ratio})
    half = HalfCell(FULL.model_copy(update={"chemistry": chemistry, "counter": counter}))
    for control, value, duration in controls:
        if control == "current":
            half.step(duration, current=0.2 * (value - 0.5))
        else:
            half.step(duration, voltage=COMPLIANCE[0] + value * (COMPLIANCE[1] - COMPLIANCE[0]))
        assert 0 < half.counter_lithium_content < 1
        assert np.isfinite(half.voltage)


def test_graphites_curve_falls_everywhere():
    curve = open_circuit("graphite")
    contents = np.linspace(1e-5, 1 - 1e-5, 20_001)
    voltages = np.array([curve.voltage(content) for content in contents])
    assert np.all(np.diff(voltages) < 0)
    assert curve.voltage(0.25) == pytest.approx(0.1951, abs=1e-3)


@pytest.mark.parametrize("host", ["lfp", "nmc811", "graphite"])
def test_the_slope_of_a_curve_is_its_derivative(host):
    curve = open_circuit(host)
    for content in (0.12, 0.3001, 0.7, 0.985, 0.9995):
        step = 1e-7
        derivative = (curve.voltage(content + step) - curve.voltage(content - step)) / (2 * step)
        assert curve.slope(content) == pytest.approx(derivative, rel=1e-3)
    assert np.isnan(curve.slope(curve.high))


def test_a_cell_of_two_electrodes_has_no_potentials_of_its_electrodes():
    half = HalfCell(FULL)
    assert np.isnan([half.working_voltage, half.counter_voltage, half.reference_potential]).all()


@pytest.mark.parametrize("counter", [CounterElectrode(kinetic_resistance=3.0), GRAPHITE])
def test_cell_voltage_is_working_minus_counter_voltage(counter):
    cell = FULL.model_copy(
        update={"counter": counter, "reference": ReferenceElectrode(offset=0.02, drift=0.003)}
    )
    half = HalfCell(cell)
    for current in (0.0, current_for(cell, 1.0), -current_for(cell, 0.5)):
        half.step(600.0, current=current)
        assert half.working_voltage - half.counter_voltage == pytest.approx(half.voltage)


def test_the_reference_drifts_and_the_cell_voltage_does_not():
    cell = IDEAL.model_copy(update={"reference": ReferenceElectrode(offset=0.01, drift=0.002)})
    half, plain = HalfCell(cell), HalfCell(IDEAL)
    for each in (half, plain):
        each.step(0.0, current=0.0)
        each.step(5 * 3600.0, current=0.0)
    assert half.voltage == plain.voltage
    assert half.counter_voltage == pytest.approx(-0.02)
    assert half.working_voltage == pytest.approx(plain.voltage - 0.02)


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_the_resistance_between_reference_and_working_electrode_shows_in_its_potential(place):
    cell = IDEAL.model_copy(
        update={"reference": ReferenceElectrode(place=place), "kinetic_resistance": 0.0}
    )
    half = HalfCell(cell)
    before = half.working_voltage, half.counter_voltage
    half.step(0.0, current=1e-3)
    assert half.working_voltage - before[0] == pytest.approx(1e-3 * 12.01 * place, abs=1e-9)
    assert half.counter_voltage - before[1] == pytest.approx(-1e-3 * 12.01 * (1 - place), abs=1e-9)


def test_lithium_has_its_own_overpotential():
    cell = IDEAL.model_copy(
        update={
            "reference": ReferenceElectrode(place=1.0),
            "counter": CounterElectrode(kinetic_resistance=5.0),
        }
    )
    half = HalfCell(cell)
    half.step(0.0, current=1e-5)
    assert half.counter_voltage == pytest.approx(-5.0e-5, rel=1e-3)


def drop(cell, temperature):
    """V that a small current needs, and the lag that it leaves."""
    half = HalfCell(cell.model_copy(update={"temperature": temperature}))
    at_rest = half.voltage
    half.step(0.0, current=1e-6)
    return half.voltage - at_rest


def test_resistances_follow_arrhenius():
    law = TemperatureLaw(ohmic=20_000.0, kinetic=60_000.0)
    only_ohmic = IDEAL.model_copy(update={"temperature_law": law, "kinetic_resistance": 0.0})
    only_kinetic = IDEAL.model_copy(update={"temperature_law": law, "resistance": 0.0})
    inverse = 1 / 268.15 - 1 / 298.15
    assert drop(only_ohmic, -5.0) == pytest.approx(
        1e-6 * (12.0 * np.exp(20_000 / 8.314462618 * inverse) + 0.01), rel=1e-6
    )
    # Charge transfer also grows with k T / e.
    slower = np.exp(60_000 / 8.314462618 * inverse) * 268.15 / 298.15
    warm, cold = (drop(only_kinetic, temperature) - 1e-8 for temperature in (25.0, -5.0))
    assert cold / warm == pytest.approx(slower, rel=1e-5)


def test_diffusion_is_slower_in_the_cold_and_a_new_temperature_counts_from_the_next_step():
    half = HalfCell(IDEAL)
    half.step(1800.0, current=1e-4)
    lag = half.lag
    half.temperature = 5.0
    assert half.temperature == 5.0
    assert half.lag == lag
    half.step(6000.0, current=1e-4)
    assert half.lag / lag == pytest.approx(1 / kinetics.arrhenius(35_000.0, 5.0), rel=1e-4)


def test_heat_is_current_times_overpotential():
    half = HalfCell(IDEAL)
    half.step(0.0, current=2e-3)
    rest = open_circuit("nmc811").voltage(half.lithium_content)
    assert half.heat == pytest.approx(2e-3 * (half.voltage - rest))
    half.step(0.0, current=0.0)
    assert half.heat == pytest.approx(0.0, abs=1e-12)


def measured_impedance(cell, frequency, *, amplitude=2e-8, n_cycles=4, n_steps=400):
    """Of the time-domain model: a sine of current, the last cycle's voltage over it."""
    half, omega = copy.copy(cell), 2 * np.pi * frequency
    step = 1 / frequency / n_steps
    times = (np.arange(n_cycles * n_steps) + 1) * step
    currents, voltages = amplitude * np.sin(omega * times), []
    # A set current jumps, so each piece carries the mean of its two ends.
    before = 0.0
    for current in currents:
        half.step(step, current=(before + current) / 2)
        half.step(0.0, current=current)
        voltages.append(half.voltage)
        before = current
    wave = np.exp(-1j * omega * times[-n_steps:])
    voltages = np.array(voltages[-n_steps:])
    voltages = voltages - voltages.mean()
    return (wave @ voltages) / (wave @ currents[-n_steps:])


def test_the_impedance_towards_low_frequency_is_that_of_the_time_domain_model():
    counter = GRAPHITE.model_copy(update={"initial_lithium_content": 0.3})
    full = FULL.model_copy(update={"initial_lithium_content": 0.6, "counter": counter})
    two_phases = Cell(initial_lithium_content=0.5, coulombic_efficiency=1.0)
    for cell in (IDEAL.model_copy(update={"coulombic_efficiency": 1.0}), full, two_phases):
        half = HalfCell(cell)
        frequency = 2e-5
        expected = measured_impedance(half, frequency)
        assert half.impedance(frequency).real == pytest.approx(expected.real, rel=0.03)
        assert half.impedance(frequency).imag == pytest.approx(expected.imag, rel=0.03)


def test_the_impedance_has_its_plateaus_where_it_should():
    cell = IDEAL.model_copy(update={"initial_lithium_content": 0.55, "diffusion_time": 1e-3})
    half = HalfCell(cell)
    assert half.impedance(1e7).real == pytest.approx(12.01, abs=0.05)
    # Far below the semicircle and far above diffusion: both resistances in series.
    assert half.impedance(0.2).real == pytest.approx(22.01, rel=0.01)
    top = min((half.impedance(f) for f in np.geomspace(1.0, 1e3, 200)), key=lambda z: z.imag)
    assert -top.imag == pytest.approx(5.0, rel=0.1)


def test_the_impedance_shows_a_diffusion_line_of_45_degree():
    cell = IDEAL.model_copy(update={"resistance": 0.0, "kinetic_resistance": 0.0})
    half = HalfCell(cell)
    line = half.impedance(0.1) - 0.01
    assert np.degrees(np.angle(line)) == pytest.approx(-45.0, abs=0.1)


def test_graphite_and_lithium_add_their_part():
    plain, kinetic = (
        HalfCell(IDEAL.model_copy(update={"counter": CounterElectrode(kinetic_resistance=r)}))
        for r in (0.0, 6.0)
    )
    assert kinetic.impedance(0.01).real - plain.impedance(0.01).real == pytest.approx(6.0, rel=1e-3)
    against_lithium = HalfCell(FULL.model_copy(update={"counter": plain.truth.counter}))
    more = HalfCell(FULL).impedance(0.01).real - against_lithium.impedance(0.01).real
    # At y = 0.08 charge transfer of graphite is 4 ohm / (2 sqrt(0.08 x 0.92)).
    assert more > 7.3


def test_impedance_needs_a_frequency():
    with pytest.raises(ValueError, match="frequency must be greater than 0 Hz, got 0"):
        HalfCell(IDEAL).impedance(0.0)
