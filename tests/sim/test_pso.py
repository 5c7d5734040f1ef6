import asyncio
import time as wall

import numpy as np
import pytest

from battbeam.devices.fakes import ManualClock
from battbeam.sim.motor import Motor
from battbeam.sim.pso import Pulses, pulse_time
from battbeam.sim.trajectory import Move


class RunningClock:
    """So many session seconds a wall second."""

    rate = 60.0

    def __init__(self):
        self._begin = wall.monotonic()

    def now(self):
        return 1000.0 + self.rate * (wall.monotonic() - self._begin)


class HandClock(ManualClock):
    """However slow the machine, a stage is where it is turned to."""

    def turn_to(self, rotation, position):
        """Until a stage on its way up is at a position."""
        self.time = max(self.time, float(rotation.move.time_at(position)))


TURN = Move(begin=10.0, origin=-1.0, target=181.0, velocity=20.0, acceleration_time=0.5)


def test_a_pulse_comes_when_the_stage_passes_its_count():
    for counts in (0, 90_000, 180_000):
        time = pulse_time(TURN, counts=counts, direction=1, encoder=1000.0)
        assert float(TURN.position_at(time)) == pytest.approx(counts / 1000)


def test_no_pulse_comes_of_a_count_that_is_not_passed_or_passed_the_other_way():
    assert pulse_time(TURN, counts=200_000, direction=1, encoder=1000.0) is None
    assert pulse_time(TURN, counts=90_000, direction=-1, encoder=1000.0) is None
    assert pulse_time(Move.rest(0.0), counts=0, direction=1, encoder=1000.0) is None


def test_pulses_at_constant_speed_are_evenly_spaced():
    times = [
        pulse_time(TURN, counts=1000 * degree, direction=1, encoder=1000.0)
        for degree in range(10, 170)
    ]
    np.testing.assert_allclose(np.diff(times), 1 / 20.0, rtol=1e-9)


def pulses_of(clock, **kwargs):
    rotation = Motor(
        "T:ROT",
        units="deg",
        limits=(-360, 360),
        velocity=90.0,
        acceleration_time=0.2,
        encoder=1000.0,
        clock=clock,
        **kwargs,
    )
    return rotation, Pulses("T:PSO1:", axis=rotation, clock=clock)


async def program(pulses, *, start, step, n):
    for record, value in ((pulses.Start, start), (pulses.Step, step), (pulses.Number, n)):
        await record.write(value)


async def until(condition):
    """Come back when something is so, in 10 wall s at the latest."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def collect(pulses, n):
    return [await asyncio.wait_for(pulses.next_pulse(), 10) for _ in range(n)]


@pytest.mark.parametrize(("begin", "step"), [(-5.0, 1.5), (95.0, -1.5)])
def test_armed_it_fires_at_every_step_of_a_turn(begin, step):
    async def scene():
        rotation, pulses = pulses_of(RunningClock(), position=begin)
        await rotation.prepare()
        await program(pulses, start=30.0, step=step, n=20)
        await pulses.Arm.write(1)
        pulses.listen()
        await rotation.start(90.0 - begin)
        times = await collect(pulses, 20)
        await until(lambda: pulses.Arm.value == "Off")
        return rotation, times, (pulses.Fired.value, pulses.Missed.value)

    rotation, times, counts = asyncio.run(scene())
    np.testing.assert_allclose(rotation.position_at(np.array(times)), 30.0 + step * np.arange(20))
    assert counts == (20, 0)


def test_a_step_is_a_whole_number_of_counts():
    async def scene():
        _, pulses = pulses_of(RunningClock())
        await pulses.Step.write(0.33349)
        return pulses.Step.value

    assert asyncio.run(scene()) == 0.333


def test_a_count_that_was_passed_before_it_was_armed_fires_nothing():
    async def scene():
        clock = RunningClock()
        rotation, pulses = pulses_of(clock)
        await rotation.prepare()
        await rotation.start(300.0)
        await until(lambda: float(rotation.position_at(clock.now())) > 20.0)
        await program(pulses, start=10.0, step=1.0, n=5)
        await pulses.Arm.write(1)
        pulses.listen()
        await rotation.arrive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pulses.next_pulse(), 0.1)
        return pulses.Fired.value, pulses.Arm.value

    assert asyncio.run(scene()) == (0, "Armed")


def test_disarmed_it_fires_no_more():
    async def scene():
        clock = HandClock(rate=60.0)
        rotation, pulses = pulses_of(clock)
        await rotation.prepare()
        await program(pulses, start=10.0, step=1.0, n=250)
        await pulses.Arm.write(1)
        pulses.listen()
        await rotation.start(300.0)
        clock.turn_to(rotation, 12.5)
        await collect(pulses, 3)
        await pulses.Arm.write(0)
        fired = pulses.Fired.value
        clock.turn_to(rotation, 300.0)
        await rotation.arrive()
        return fired, pulses.Fired.value

    assert asyncio.run(scene()) == (3, 3)


def test_a_turn_that_stops_on_its_way_fires_what_it_passed():
    async def scene():
        clock = HandClock(rate=60.0)
        rotation, pulses = pulses_of(clock)
        await rotation.prepare()
        await program(pulses, start=10.0, step=10.0, n=29)
        await pulses.Arm.write(1)
        await rotation.start(300.0)
        pulses.listen()
        clock.turn_to(rotation, 45.0)
        await rotation.halt()
        first = await collect(pulses, 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pulses.next_pulse(), 0.1)
        await rotation.start(300.0)
        clock.turn_to(rotation, 300.0)
        rest = await collect(pulses, 29 - len(first))
        return rotation, first + rest

    rotation, times = asyncio.run(scene())
    np.testing.assert_allclose(
        rotation.position_at(np.array(times)), 10.0 + 10.0 * np.arange(29), atol=1e-6
    )


def test_pulses_need_an_encoder():
    rotation = Motor("T:ROT", units="deg", limits=(-360, 360), velocity=1.0)
    with pytest.raises(ValueError, match="encoder"):
        Pulses("T:PSO1:", axis=rotation, clock=RunningClock())
