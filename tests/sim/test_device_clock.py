import numpy as np
import pytest

from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.scenario import Cycler, Detector

START = 1_750_000_000.0


def clock_of(**settings):
    return DeviceClock.of_cycler(Cycler(**settings), start=START, seed=1)


def test_offset_and_drift_add_up():
    clock = clock_of(clock_offset=120.0, clock_drift=50e-6)
    assert clock.at(START) - START == pytest.approx(120.0, abs=1e-6)
    assert clock.at(START + 86_400) - START - 86_400 == pytest.approx(124.32, abs=1e-6)


def test_jitter_is_noise_on_each_stamp_and_the_same_for_the_same_instant():
    clock = clock_of(clock_offset=0.0, clock_drift=0.0, clock_jitter=0.02)
    times = START + np.arange(2000.0)
    errors = np.array([clock.at(time) - time for time in times])
    assert errors.std() == pytest.approx(0.02, rel=0.1)
    assert abs(errors.mean()) < 0.002
    assert clock.at(START + 5.0) == clock.at(START + 5.0)


def test_the_clock_is_set_otherwise_at_a_time():
    clock = clock_of(clock_offset=1.0, clock_drift=0.0, clock_jump=(100.0, -30.0))
    assert clock.at(START + 99.9) - START == pytest.approx(100.9)
    assert clock.at(START + 100.0) - START == pytest.approx(71.0)
    assert clock.session_duration(10.0) == 10.0


def test_the_detectors_computer_has_a_clock_of_its_own():
    clock = DeviceClock.of_detector(Detector(clock_offset=-2.0, clock_drift=1e-5), start=START)
    assert clock.at(START + 1000.0) - START == pytest.approx(998.01)
