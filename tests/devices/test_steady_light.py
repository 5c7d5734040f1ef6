import pytest

from battbeam.devices.beam import Beam
from battbeam.devices.fakes import ManualClock, fake, ready_beam
from battbeam.devices.steady_light import SteadyLight


class Meter:
    """Writes down what it is told to expect, and when the shutter opened."""

    def __init__(self):
        self.expected, self.openings = [], 0

    def expect(self, duration, *, purpose, budget, ahead):
        self.expected.append((duration, purpose, budget))

    def opening(self):
        self.openings += 1


@pytest.fixture
def clock():
    return ManualClock(time=1000.0)


@pytest.fixture
def beam():
    made = ready_beam(fake(Beam, name="beam"))
    made.dose_meter = made.shutter.gate = Meter()
    return made


@pytest.fixture
def light(beam, clock):
    made = SteadyLight(beam, clock, budget=None, purpose="spectrum")
    made.duration = 100.0
    return made


def test_it_opens_once_for_many_points(light, beam, clock):
    for _ in range(3):
        light.set(10.0).wait(timeout=1)
        clock.time += 10.0
    assert beam.shutter.position == 1
    assert beam.dose_meter.expected == [(100.0, "spectrum", None)]
    assert beam.dose_meter.openings == 1


def test_it_opens_again_after_a_pause_has_closed_it(light, beam):
    light.set(10.0).wait(timeout=1)
    light.pause()
    assert beam.shutter.position == 0
    light.set(10.0).wait(timeout=1)
    assert beam.shutter.position == 1
    assert beam.dose_meter.openings == 2


def test_it_is_used_up_when_the_next_point_would_outlast_what_was_reserved(light, clock):
    assert not light.is_used_up(10.0)
    light.set(10.0).wait(timeout=1)
    clock.time += 89.0
    assert not light.is_used_up(10.0)
    assert light.is_used_up(12.0)


def test_a_point_that_is_longer_than_what_was_planned_is_reserved_in_full(light, beam):
    light.set(300.0).wait(timeout=1)
    assert beam.dose_meter.expected[0][0] == 300.0


def test_a_plan_that_has_ended_leaves_it_closed(light, beam):
    light.set(10.0).wait(timeout=1)
    light.stop()
    assert beam.shutter.position == 0
