"""When exposures begin: what is over already is told at once, what is to come is waited for."""

import asyncio

import pytest

from battbeam.sim.exposure_times import Pulsed, Timed


class Pulses:
    def __init__(self, *times):
        self.times, self.n_missed, self.is_heard = list(times), 0, False

    def listen(self):
        self.is_heard = True

    async def next_pulse(self):
        return self.times.pop(0)

    def pulse_now(self):
        return self.times.pop(0) if self.times else None

    async def miss(self):
        self.n_missed += 1


async def all_over(times, now):
    found = [await times.next()]
    while (begin := await times.next_over(now)) is not None:
        found.append(begin)
    return found


def test_a_camera_that_times_itself_tells_those_that_are_over_and_then_goes_on():
    times = Timed(100.0, period=2.0, exposure=1.5)

    async def scene():
        return await all_over(times, 107.5), await times.next()

    # That of 106 s is over to the instant.
    assert asyncio.run(scene()) == ([100.0, 102.0, 104.0, 106.0], 108.0)


def test_pulses_that_came_are_told_once_each_and_one_under_way_stays_the_next():
    pulses = Pulses(10.0, 11.0, 12.0, 13.0)
    times = Pulsed(pulses, exposure=0.9, readout=0.1)

    async def scene():
        first = await all_over(times, 12.5)
        return first, await times.next_over(12.8), await all_over(times, 13.0)

    assert asyncio.run(scene()) == ([10.0, 11.0], None, [12.0])
    assert pulses.is_heard
    assert pulses.n_missed == 0


@pytest.mark.parametrize("now", [0.0, 100.0])
def test_a_pulse_before_the_camera_has_read_out_is_missed(now):
    pulses = Pulses(10.0, 10.5, 11.1, 11.2, 12.3)
    times = Pulsed(pulses, exposure=0.9, readout=0.1)

    async def scene():
        found = await all_over(times, now)
        while len(found) < 3:
            found.append(await times.next())
        return found

    assert asyncio.run(scene()) == [10.0, 11.1, 12.3]
    assert pulses.n_missed == 2
