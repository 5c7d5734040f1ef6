import math

import pytest
from ophyd.sim import make_fake_device

from battbeam.devices.clock_watch import LATENCY, ClockWatch


class HandClock:
    rate = 1.0

    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time


@pytest.fixture
def watch():
    clock = HandClock()
    made = make_fake_device(ClockWatch)("BEAT", name="detector_clock", clock=clock)
    return made, clock


def test_the_promptest_arrival_counts(watch):
    made, clock = watch
    assert all(map(math.isnan, made.comparison()))
    for late in (0.5, 0.003, 0.2):
        clock.time += 1.0
        made._arrived(timestamp=clock.time + 120.0 - late)
    device, session, uncertainty = made.comparison()
    assert device - session == pytest.approx(120.0, abs=0.003)
    assert uncertainty == pytest.approx(LATENCY, rel=0.5)


def test_a_reading_holds_the_comparison(watch):
    made, clock = watch
    made._arrived(timestamp=clock.time - 3.0)
    read = made.read()
    assert read["detector_clock_device_time"]["value"] == 997.0
    assert read["detector_clock_session_time"]["value"] == pytest.approx(1000.0, abs=0.01)
    assert made.describe()["detector_clock_uncertainty"]["units"] == "s"
