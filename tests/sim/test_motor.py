import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from caproto import SkipWrite

from battbeam.sim.motor import Motor


@dataclass
class SteppedClock:
    """A clock that goes on by a step each time that it is asked."""

    step: float = 0.01
    time: float = 100.0
    rate: float = field(default=1e9)

    def now(self) -> float:
        self.time += self.step
        return self.time


def axis(clock, **settings):
    defaults = {"units": "deg", "limits": (-10, 10), "velocity": 2.0, "acceleration_time": 0.5}
    return Motor("AXIS", clock=clock, **(defaults | settings))


def run(steps):
    return asyncio.run(steps())


def test_an_axis_moves_on_its_own_clock_and_remembers_where_it_was():
    motor = axis(SteppedClock())

    async def steps():
        await motor.prepare()
        await motor.start(4.0)
        first = motor.move
        await motor.arrive()
        await motor.start(1.0)
        await motor.arrive()
        return first, motor.move

    first, second = run(steps)
    assert first.duration == pytest.approx(4 / 2 + 0.5)
    times = np.array([first.begin - 5, first.begin + 1.25, first.end, second.begin, second.end])
    np.testing.assert_allclose(motor.position_at(times), [0.0, 2.0, 4.0, 4.0, 1.0])
    assert motor.position == 1.0
    assert motor.record.field_inst.done_moving_to_value.value == 1
    assert motor.record.field_inst.user_readback_value.value == 1.0


def test_velocity_and_acceleration_of_the_record_hold_for_the_next_move():
    motor = axis(SteppedClock())

    async def steps():
        await motor.prepare()
        fields = motor.record.field_inst
        await fields.velocity.write(0.5)
        await fields.seconds_to_velocity.write(2.0)
        await motor.start(2.0)
        await motor.arrive()

    run(steps)
    assert motor.move.duration == pytest.approx(2 / 0.5 + 2.0)


def test_a_new_target_on_the_way_is_taken_from_where_it_is():
    motor = axis(SteppedClock(step=0.1))

    async def steps():
        await motor.prepare()
        first = await motor.travel(8.0, velocity=1.0, acceleration_time=0.0)
        while motor.position < 3.0:
            await asyncio.sleep(0)
        second = await motor.travel(0.0, velocity=1.0, acceleration_time=0.0)
        await motor.arrive()
        return first, second

    first, second = run(steps)
    assert 3.0 < second.origin < 4.0
    assert second.origin == pytest.approx(second.begin - first.begin)
    assert motor.position == 0.0


def test_an_axis_that_is_stopped_stands_where_it_is():
    motor = axis(SteppedClock(step=0.1))

    async def steps():
        await motor.prepare()
        await motor.travel(8.0, velocity=1.0, acceleration_time=0.0)
        while motor.position < 3.0:
            await asyncio.sleep(0)
        await motor.halt()

    run(steps)
    assert 3.0 < motor.position < 5.0
    assert motor.move.distance == 0
    assert motor.record.value == pytest.approx(motor.position)
    assert motor.record.field_inst.done_moving_to_value.value == 1


@pytest.mark.parametrize("target", [11.0, float("nan")])
def test_a_target_outside_the_limits_is_refused(target):
    motor = axis(SteppedClock())

    async def steps():
        await motor.prepare()
        with pytest.raises(SkipWrite):
            await motor.start(target)

    run(steps)
    assert motor.record.field_inst.limit_violation.value == 1
    assert motor.position == 0.0


def test_the_readback_is_a_whole_count_of_the_encoder():
    motor = axis(SteppedClock(), encoder=4.0)

    async def steps():
        await motor.prepare()
        await motor.start(1.3)
        await motor.arrive()

    run(steps)
    fields = motor.record.field_inst
    assert fields.user_readback_value.value == 1.25
    assert motor.position == 1.3
    assert fields.motor_step_size.value == 0.25


def test_an_axis_waits_while_its_clock_stands():
    clock = SteppedClock(step=0.0, rate=0.0)
    motor = axis(clock)

    async def steps():
        await motor.prepare()
        await motor.start(5.0)
        for _ in range(5):
            await asyncio.sleep(0)
        waiting = motor.record.field_inst.done_moving_to_value.value
        clock.step, clock.rate = 10.0, 1e9
        await motor.arrive()
        return waiting

    assert run(steps) == 0
    assert motor.position == 5.0


def test_it_counts_how_often_it_turned_round():
    motor = axis(SteppedClock())

    async def steps():
        await motor.prepare()
        for target in (1.0, 2.0, 2.0, 3.0, -1.0, -2.0, 0.0):
            await motor.start(target)
            await motor.arrive()

    run(steps)
    assert motor.n_turns == 2
