import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.endings import StepReading, StepWatch, is_watched, prepared

LOAD = Step(0, StepType.CONSTANT_RESISTANCE, resistance=1000.0, duration=600.0, direction=-1)
HOLD = Step(0, StepType.CONSTANT_VOLTAGE, voltage=3.5, until_charge=0.1)
WARM = Step(0, StepType.TEMPERATURE, temperature=40.0, tolerance=0.5, duration=3600.0)
RAMP = Step(0, StepType.CURRENT_RAMP, current=0.0, current_end=2e-3, duration=3600.0)


def reading(elapsed=10.0, charge=0.0, voltage=3.4, current=1e-3, temperature=math.nan):
    return StepReading(elapsed, charge, voltage, current, temperature)


def test_what_the_instrument_can_end_is_not_watched():
    rest = Step(0, StepType.REST, duration=60.0)
    assert not is_watched(rest)
    assert not is_watched(prepared(replace(RAMP, until_charge=0.5)))
    assert is_watched(replace(rest, until_voltage_rate=1e-3))
    assert is_watched(LOAD)
    assert is_watched(WARM)
    assert is_watched(HOLD)


def test_the_charge_of_a_current_is_a_time():
    step = Step(0, StepType.CONSTANT_CURRENT, current=-2e-3, until_charge=1.0, duration=9000.0)
    assert prepared(step).duration == pytest.approx(1800.0)
    assert prepared(replace(step, duration=60.0)).duration == 60.0
    assert prepared(step).until_charge is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    start=st.floats(-5e-3, 5e-3),
    end=st.floats(-5e-3, 5e-3),
    length=st.floats(10, 1e4),
    charge=st.floats(0.01, 5.0),
)
def test_a_ramp_ends_where_its_charge_has_passed_for_the_first_time(start, end, length, charge):
    step = Step(0, StepType.CURRENT_RAMP, current=start, current_end=end, duration=length)
    cut = prepared(replace(step, until_charge=charge))

    def passed(time):
        return (start * time + (end - start) / length * time**2 / 2) / 3.6

    times = [length * part / 2000 for part in range(2001)]
    first = next((time for time in times if abs(passed(time)) >= charge), None)
    if first is None:
        assert cut.duration == pytest.approx(length, rel=1e-3)
    else:
        assert cut.duration == pytest.approx(first, abs=length / 1000)
        slope = (end - start) / length
        assert cut.current_end == pytest.approx(start + slope * cut.duration, abs=1e-12)


def test_a_load_ends_by_its_current_where_its_voltage_says_so():
    step = prepared(replace(LOAD, until_current=3e-3, until_voltage=2.5))
    assert (step.until_voltage, step.until_current) == (3.0, None)


def test_a_load_ends_when_its_time_is_over():
    watch = StepWatch(LOAD)
    assert watch.take(reading(599.9)) == ""
    assert watch.take(reading(600.0)) == "600 s are over"


def test_a_voltage_ends_when_its_charge_has_passed_whatever_its_sign():
    watch = StepWatch(HOLD)
    assert watch.take(reading(charge=-0.0999)) == ""
    assert "0.1 mAh" in watch.take(reading(charge=-0.1))
    assert "0.1 mAh" in watch.over(reading(charge=0.11))


def test_a_temperature_is_reached_when_three_readings_in_a_row_say_so():
    watch = StepWatch(WARM)
    found = [watch.take(reading(temperature=t)) for t in (39.6, 39.6, 38.0, 39.6, math.nan, 39.7)]
    assert found == [""] * 6
    assert watch.take(reading(temperature=40.4)) == "40.00 degC are reached within 0.5 K"


def test_numbers_that_are_not_known_end_nothing():
    rest = Step(0, StepType.REST, duration=7200.0, until_voltage_rate=1.0)
    for step in (rest, replace(HOLD, until_current_rate=1.0), WARM):
        watch = StepWatch(step)
        for time in range(100):
            nothing = reading(float(time), math.nan, math.nan, math.nan, math.nan)
            assert watch.take(nothing) == ""


def test_a_rest_ends_once_its_voltage_has_settled():
    watch = StepWatch(Step(0, StepType.REST, until_voltage_rate=5e-3))
    ends = [
        time
        for time in range(0, 7200, 10)
        if watch.take(reading(float(time), voltage=3.4 + 0.02 * math.exp(-time / 600)))
    ]
    truth = 600 * math.log(0.02 / 600 * 3600 / 5e-3)
    assert truth <= ends[0] <= truth + 400
