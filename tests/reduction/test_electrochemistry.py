import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.materials import molar_mass
from battbeam.reduction.electrochemistry import (
    areal_charge_from_charge,
    c_rate_from_current,
    capacity_by_step,
    charge_from_current,
    differential_capacity,
    lithium_content_from_charge,
    specific_capacity_from_charge,
    state_of_charge_from_charge,
    theoretical_capacity_from_molar_mass,
)

QUICK = settings(max_examples=100, deadline=None)


def test_charge_of_a_constant_current_is_current_times_time():
    charge = charge_from_current(time=np.array([0.0, 1800.0, 3600.0]), current=np.full(3, 2e-3))
    assert charge == pytest.approx([0.0, 1.0, 2.0])


def test_an_edge_with_a_record_on_each_side_adds_nothing():
    time = np.array([0.0, 3600.0, 3600.0, 7200.0])
    current = np.array([1e-3, 1e-3, 0.0, 0.0])
    assert charge_from_current(time=time, current=current)[-1] == pytest.approx(1.0)


def test_charge_of_an_exponential_decay_is_that_of_its_closed_form():
    time = np.linspace(0.0, 5000.0, 2001)
    charge = charge_from_current(time=time, current=1e-3 * np.exp(-time / 1000.0))
    assert charge[-1] == pytest.approx(1e-3 * 1000.0 * (1 - np.exp(-5.0)) / 3.6, rel=1e-6)


def test_charge_after_an_unknown_current_is_unknown():
    current = np.array([1e-3, np.nan, 1e-3, 1e-3])
    charge = charge_from_current(time=np.arange(4.0), current=current)
    assert np.isnan(charge).tolist() == [False, True, True, True]


def test_time_going_back_is_refused():
    with pytest.raises(ValueError, match=r"2.0 s is followed by 1.0 s \(index 2\)"):
        charge_from_current(time=np.array([0.0, 2.0, 1.0]), current=np.zeros(3))
    assert len(charge_from_current(time=np.array([]), current=np.array([]))) == 0


@QUICK
@given(st.lists(st.floats(-1e-2, 1e-2), min_size=2, max_size=30), st.integers(1, 28))
def test_charge_adds_up_over_a_cut(currents, cut):
    current, time = np.array(currents), 10.0 * np.arange(len(currents))
    k = min(cut, len(currents) - 1)
    whole = charge_from_current(time=time, current=current)[-1]
    first = charge_from_current(time=time[: k + 1], current=current[: k + 1])[-1]
    second = charge_from_current(time=time[k:], current=current[k:])[-1]
    assert first + second == pytest.approx(whole, abs=1e-12)


def test_rates_and_amounts_follow_their_definitions():
    charge = np.array([0.0, 1.45])
    assert c_rate_from_current(current=np.array([2.9e-3]), capacity=2.9) == pytest.approx([1.0])
    assert state_of_charge_from_charge(charge=charge, capacity=2.9, initial=0.1)[1] == 0.6
    assert areal_charge_from_charge(charge=charge, area=2.0)[1] == pytest.approx(2.61)
    assert specific_capacity_from_charge(charge=charge, active_mass=10.0)[0] == 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_divides_must_be_positive(value):
    charge = np.zeros(1)
    with pytest.raises(ValueError, match="capacity must be greater than 0 mAh"):
        c_rate_from_current(current=charge, capacity=value)
    with pytest.raises(ValueError, match="capacity must be greater than 0 mAh"):
        state_of_charge_from_charge(charge=charge, capacity=value)
    with pytest.raises(ValueError, match="active_mass must be greater than 0 mg"):
        specific_capacity_from_charge(charge=charge, active_mass=value)
    with pytest.raises(ValueError, match="area must be greater than 0 cm2"):
        areal_charge_from_charge(charge=charge, area=value)
    with pytest.raises(ValueError, match="molar_mass must be greater than 0 g/mol"):
        theoretical_capacity_from_molar_mass(value)
    with pytest.raises(ValueError, match="amount must be greater than 0 mol"):
        lithium_content_from_charge(charge=charge, amount=value, initial=1.0)


def test_the_capacity_of_lithium_iron_phosphate_is_the_textbook_one():
    mass = molar_mass({"Li": 1, "Fe": 1, "P": 1, "O": 4})
    assert theoretical_capacity_from_molar_mass(mass) == pytest.approx(169.9, abs=0.1)


def test_the_theoretical_capacity_takes_out_one_lithium():
    mass = 0.01
    amount = mass / 157.757
    charge = theoretical_capacity_from_molar_mass(157.757) * mass
    content = lithium_content_from_charge(charge=np.array([charge]), amount=amount, initial=1.0)
    assert content == pytest.approx([0.0], abs=1e-12)


def test_capacity_of_a_step_starts_from_zero_at_each_step():
    charge = np.array([0.0, 0.5, 1.0, 1.0, 0.6])
    assert capacity_by_step(charge=charge, step_count=np.array([1, 1, 1, 2, 2])) == pytest.approx(
        [0.0, 0.5, 1.0, 0.0, -0.4]
    )
    assert len(capacity_by_step(charge=np.array([]), step_count=np.array([]))) == 0


def test_differential_capacity_of_a_straight_line_is_its_slope():
    voltage = np.linspace(3.0, 4.0, 501)
    found = differential_capacity(voltage=voltage, charge=2.0 * (voltage - 3.0), voltage_step=0.05)
    assert found.charge_per_voltage == pytest.approx(np.full(20, 2.0))
    assert found.voltage[0] == pytest.approx(3.025)


@pytest.mark.parametrize("sign", [1, -1])
def test_differential_capacity_finds_a_plateau_on_charge_and_discharge(sign):
    true = np.linspace(3.0, 4.0, 4001)
    charge = 0.5 * (1 + np.tanh((true - 3.43) / 0.01))
    found = differential_capacity(voltage=true[::sign], charge=charge[::sign], voltage_step=0.005)
    assert found.voltage[np.nanargmax(found.charge_per_voltage)] == pytest.approx(3.43, abs=0.005)
    # The mean slope over the bin beside the middle, whose edge is in the middle.
    assert np.nanmax(found.charge_per_voltage) == pytest.approx(100.0 * np.tanh(0.5), rel=1e-6)


@QUICK
@given(st.lists(st.tuples(st.floats(2.5, 4.5), st.floats(0, 0.1)), min_size=2, max_size=40))
def test_differential_capacity_integrates_to_the_charge_passed(samples):
    voltage = np.array([v for v, _ in samples])
    charge = np.cumsum([q for _, q in samples])
    found = differential_capacity(voltage=voltage, charge=charge, voltage_step=0.02)
    sign = 1.0 if voltage[-1] >= voltage[0] else -1.0
    total = sign * np.nansum(found.charge_per_voltage) * 0.02
    assert total == pytest.approx(charge[-1] - charge[0], abs=1e-9)


def test_differential_capacity_needs_samples_and_a_step():
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        differential_capacity(voltage=np.ones(1), charge=np.ones(1), voltage_step=0.01)
    with pytest.raises(ValueError, match="voltage_step must be greater than 0 V"):
        differential_capacity(voltage=np.ones(2), charge=np.ones(2), voltage_step=0.0)
