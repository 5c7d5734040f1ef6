"""This file is where pulses are made at positions of a stage: the ``PSO1:`` and ``PSO2:`` records.

Armed, it fires each time the stage's encoder has gone a whole number of counts: at START, and then
every STEP, N times. When that is follows from the stage's move exactly, so a pulse's time does not
depend on when anybody looks. STEP is rounded to a whole count, once: a step that is none adds up to
the wrong angle, as it does in a real one. Not imitated: windows, arrays of positions, other axes.
"""

import asyncio
import math
from typing import Any

from caproto import ChannelType
from caproto.server import pvproperty

from battbeam.experiment.clock import Clock
from battbeam.sim.motor import Motor
from battbeam.sim.pulse_queue import PulseQueue
from battbeam.sim.records import shown
from battbeam.sim.trajectory import Move

#: Wall seconds between two looks at the stage, and the shortest pause before a pulse.
_TICK, _SHORTEST_NAP = 0.02, 0.0005


def pulse_time(move: Move, *, counts: int, direction: int, encoder: float) -> float | None:
    """When a move passes an encoder count, s; None where it does not, or in the other direction.

    A move that begins at the count passes it at once.

    Args:
        move: Of the stage.
        counts: Of its encoder.
        direction: In which pulses are made, +1 or -1.
        encoder: Counts per unit of the stage.

    >>> turn = Move(begin=10.0, origin=0.0, target=5.0, velocity=1.0)
    >>> pulse_time(turn, counts=2000, direction=1, encoder=1000.0)
    12.0
    """
    position = counts / encoder
    if move.direction != direction:
        return None
    try:
        return move.time_at(position)
    except ValueError:
        return None


async def _put_arm(group: "Pulses", _instance: Any, value: Any) -> str:
    is_on = str(value) in ("1", "Armed")
    await group.arm(is_on)
    return "Armed" if is_on else "Off"


async def _put_step(group: "Pulses", _instance: Any, value: Any) -> float:
    return group.whole(float(value)) / group.encoder


class Pulses(PulseQueue):
    """Position-synchronized output of one stage.

    Args:
        axis: The stage; it has an encoder.
        clock: The session's.
    """

    Start = pvproperty(value=0.0, name="START", units="deg", precision=6, doc="of the first pulse")
    Step = pvproperty(
        value=1.0,
        name="STEP",
        units="deg",
        precision=6,
        put=_put_step,
        doc="to the next, rounded to a whole count; < 0 turns back",
    )
    Number = pvproperty(value=0, name="N", doc="pulses that are asked for")
    Width = pvproperty(value=0.01, name="WIDTH", units="s", precision=6, doc="of a pulse")
    Arm = pvproperty(
        value="Off", name="ARM", enum_strings=("Off", "Armed"), dtype=ChannelType.ENUM, put=_put_arm
    )
    Fired = shown(0, name="FIRED", doc="since it was armed")
    Missed = shown(0, name="MISSED", doc="of those, pulses that the camera could not follow")

    def __init__(self, *args: Any, axis: Motor, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if axis.encoder is None:
            raise ValueError("pulses need a stage with an encoder")
        self._axis, self._clock = axis, clock
        self.encoder: float = axis.encoder
        self._task: asyncio.Task[None] | None = None
        self._given_up = self._seen = axis.move

    async def prepare(self) -> None:
        """Say in what unit positions are."""
        for record in (self.Start, self.Step):
            await record.write_metadata(units=self._axis.units)

    def whole(self, position: float) -> int:
        """So many counts."""
        return round(position * self.encoder)

    async def arm(self, is_on: bool) -> None:
        """Count pulses from 0 from now on, or fire no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if is_on:
            await self.Fired.write(0)
            await self.Missed.write(0)
            self._task = asyncio.ensure_future(self._fire(self._clock.now()))

    async def _fire(self, since: float) -> None:
        first, step = self.whole(float(self.Start.value)), self.whole(float(self.Step.value))
        direction = 1 if step > 0 else -1
        self._given_up = self._seen = self._axis.move
        for index in range(int(self.Number.value)):
            since = await self._reach(first + index * step, direction, since)
            await self.fire(since)
        await self.Arm.write("Off", verify_value=False)

    async def _reach(self, counts: int, direction: int, since: float) -> float:
        """Wait until the stage has passed a count at ``since`` or later; when that was."""
        while True:
            time, nap = self._passing(counts, direction, since), _TICK
            if time is not None:
                left = time - self._clock.now()
                if left <= 0:
                    return time
                rate = self._clock.rate
                nap = min(max(left / rate, _SHORTEST_NAP), _TICK) if rate > 0 else _TICK
            await asyncio.sleep(nap)

    def _passing(self, counts: int, direction: int, since: float) -> float | None:
        """When the stage passes a count: on a move that was given up since the last look, or now."""
        move = self._axis.move
        if move is not self._seen:
            self._given_up, self._seen = self._seen, move
        for each, end in ((self._given_up, move.begin), (move, math.inf)):
            time = pulse_time(each, counts=counts, direction=direction, encoder=self.encoder)
            if time is not None and since <= time <= end:
                return time
        return None
