import math

import pytest
from ophyd.sim import make_fake_device

from battbeam.devices.clock import SimulatedClock
from battbeam.devices.clock_watch import LATENCY, ClockWatch
from battbeam.devices.fakes import ManualClock
from battbeam.experiment.clock import ClockState
from battbeam.processes import wait_for
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Detector, Scenario
from tests.own import own_prefix


@pytest.fixture
def watch():
    clock = ManualClock()
    made = make_fake_device(ClockWatch)("BEAT", name="detector_clock", clock=clock)
    return made, clock


def test_the_promptest_arrival_counts(watch):
    made, clock = watch
    assert all(map(math.isnan, made.comparison()))
    for late in (0.5, 0.003, 0.2, 0.004):
        clock.time += 1.0
        made._arrived(timestamp=clock.time + 120.0 - late)
    device, session, uncertainty = made.comparison()
    assert device - session == pytest.approx(120.0, abs=0.003)
    assert uncertainty == pytest.approx(LATENCY, rel=0.5)


def test_a_single_arrival_proves_little(watch):
    made, clock = watch
    made._arrived(timestamp=clock.time - 1.0)
    assert made.comparison()[2] > 0.3


class LateClock:
    """The session's view of a clock, which learns ``late`` wall s after a change that it was made."""

    def __init__(self, states, late):
        self._states, self._late, self.wall = states, late, 0.0

    def _state(self):
        return [each for each in self._states if each.anchor + self._late <= self.wall][-1]

    @property
    def rate(self):
        return self._state().rate

    def now(self):
        return self._state().at(wall=self.wall)


def frozen_now_and_then(*, rate, n):
    """States of a clock that stands for 0.5 of every 1.3 wall s."""
    states = [ClockState(epoch=1000.0, anchor=-1.0, rate=rate)]
    for index in range(n):
        states.append(states[-1].changed(wall=1.3 * index + 0.4, rate=0.0))
        states.append(states[-1].changed(wall=1.3 * index + 0.9, rate=rate))
    return states


def test_a_beat_that_overtakes_the_news_of_the_clock_is_not_early():
    states = frozen_now_and_then(rate=60.0, n=10)
    session = LateClock(states, late=0.04)
    made = make_fake_device(ClockWatch)("BEAT", name="detector_clock", clock=session)
    for index in range(130):
        # The detector's computer knows at once, and its beat needs 1 or 2 ms.
        beat = LateClock(states, late=0.0)
        beat.wall = 0.1 * index + 0.02
        session.wall = beat.wall + 0.001 * (1 + index % 2)
        made._arrived(timestamp=beat.now())
        if index > 2:
            device, time, uncertainty = made.comparison()
            assert device - time == pytest.approx(0.0, abs=0.13)
    assert uncertainty < 0.2


@pytest.mark.ioc
@pytest.mark.acceptance
def test_the_detectors_clock_is_found_through_the_wire(tmp_path, monkeypatch):
    detector = Detector(n_rows=32, n_columns=32, clock_offset=-45.0, clock_drift=40e-6)
    scenario = Scenario(name="clocks", prefix=own_prefix(), rate=10.0, detector=detector)
    with SimulatedBeamline(scenario, tmp_path, with_guard=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        clock = SimulatedClock(connection.clock, name="clock")
        made = ClockWatch(f"{connection.beamline}DET1:HEARTBEAT", name="detector", clock=clock)
        clock.wait_for_connection(timeout=20)
        made.wait_for_connection(timeout=20)
        wait_for(lambda: made.comparison()[2] < 0.2, timeout=30, what="two prompt arrivals")
        device, session, uncertainty = made.comparison()
        made.destroy()
        clock.destroy()
    truth = -45.0 + 40e-6 * (session - scenario.start)
    print(f"off by {device - session - truth:.3f} s, uncertainty {uncertainty:.3f} s")
    assert device - session == pytest.approx(truth, abs=4 * uncertainty)


def test_a_reading_holds_the_comparison(watch):
    made, clock = watch
    made._arrived(timestamp=clock.time - 3.0)
    read = made.read()
    assert read["detector_clock_device_time"]["value"] == 997.0
    assert read["detector_clock_session_time"]["value"] == pytest.approx(1000.0, abs=0.01)
    assert made.describe()["detector_clock_uncertainty"]["units"] == "s"
