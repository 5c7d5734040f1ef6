"""This file is where a simulated axis moves: the fields of a motor record that clients use.

Its axis is what the record says, exactly; what it shows is rounded to a count of its encoder. A move
is a `battbeam.sim.trajectory.Move` on the clock of the axis: the session's for axes that are swept
or turned while something counts, so that they run as much faster as the session does; the wall's for
the others. Like the real record it drops DMOV before a put returns, takes a new target on the way,
stops on STOP, and refuses targets outside its limits (LVIO); VELO and ACCL hold for the next move.
Not imitated: backlash, retries, and the way to come to rest on STOP or on a new target: it stands at
once.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from caproto import SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.experiment.clock import Clock, WallClock
from battbeam.sim.trajectory import Move
from battbeam.units import FloatArray

#: Wall seconds between two readbacks on the way, the shortest pause before the end, and that while
#: the clock stands.
_TICK, _SHORTEST_NAP, _FROZEN_NAP = 0.02, 0.0005, 0.002
#: Moves that are remembered.
_KEPT_MOVES = 256


async def _put_target(axis: "Motor", _instance: Any, value: Any) -> float:
    return await axis.start(float(value))


class Motor(PVGroup):  # type: ignore[misc]
    """One axis as a motor record."""

    record = pvproperty(value=0.0, name="", record="motor", precision=6, put=_put_target)

    def __init__(
        self,
        *args: Any,
        units: str,
        limits: tuple[float, float],
        velocity: float,
        acceleration_time: float = 0.0,
        precision: int = 4,
        position: float = 0.0,
        encoder: float | None = None,
        clock: Clock | None = None,
        on_change: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        """An axis that stands at ``position``.

        Args:
            *args: Of the group.
            units: Of the axis.
            limits: Lowest and highest position.
            velocity: Units per s of ``clock``; VELO says otherwise later.
            acceleration_time: From rest to that, s; ACCL says otherwise later.
            precision: Digits shown.
            position: Where it stands.
            encoder: Counts per unit; None: as fine as a number is.
            clock: On which it moves; the wall's if None.
            on_change: Called when a move begins and ends.
            **kwargs: Of the group.
        """
        super().__init__(*args, **kwargs)
        self._on_change = on_change
        self.units, self.limits, self.precision = units, limits, precision
        self.velocity, self.acceleration_time = velocity, acceleration_time
        self.encoder = encoder
        self._clock: Clock = WallClock() if clock is None else clock
        self._moves: deque[Move] = deque([Move.rest(position)], maxlen=_KEPT_MOVES)
        self._task: asyncio.Task[None] | None = None
        self._direction = 0
        #: How often it set out against the direction of the move before.
        self.n_turns = 0

    @property
    def move(self) -> Move:
        """The latest, over or not."""
        return self._moves[-1]

    @property
    def position(self) -> float:
        """Where it is."""
        return float(self.position_at(self._clock.now()))

    def position_at(self, time: FloatArray | float) -> FloatArray:
        """Where it was or, as far as it knows, will be at each time of its clock, s; same shape."""
        time = np.asarray(time, dtype=float)
        moves = list(self._moves)
        first = next(
            (index for index in range(len(moves) - 1, 0, -1) if moves[index].begin <= time.min()), 0
        )
        position = moves[first].position_at(time)
        for move in moves[first + 1 :]:
            position = np.where(time >= move.begin, move.position_at(time), position)
        return position

    def reading_at(self, time: FloatArray | float) -> FloatArray:
        """What the encoder says at each time of the axis' clock, s."""
        position = self.position_at(time)
        return position if self.encoder is None else np.rint(position * self.encoder) / self.encoder

    async def prepare(self) -> None:
        """Fill in the record."""
        low, high = self.limits
        fields = self.record.field_inst
        await self.record.write(self.position, verify_value=False)
        await self.record.write_metadata(
            units=self.units,
            precision=self.precision,
            lower_disp_limit=low,
            upper_disp_limit=high,
        )
        await fields.engineering_units.write(self.units)
        await fields.velocity.write(self.velocity)
        await fields.seconds_to_velocity.write(self.acceleration_time)
        if self.encoder is not None:
            await fields.motor_step_size.write(1 / self.encoder)
            await fields.encoder_step_size.write(1 / self.encoder)
        await fields.user_low_limit.write(low)
        await fields.user_high_limit.write(high)
        await fields.dial_low_limit.write(low)
        await fields.dial_high_limit.write(high)
        for field in (fields.user_readback_value, fields.dial_readback_value):
            await field.write_metadata(units=self.units, precision=self.precision)
        await self._show()
        await fields.done_moving_to_value.write(1)

    def may_go(self, target: float) -> bool:
        """Whether the record's limits let it go there."""
        fields = self.record.field_inst
        low, high = fields.user_low_limit.value, fields.user_high_limit.value
        return math.isfinite(target) and (low >= high or low <= target <= high)

    async def start(self, target: float) -> float:
        """Set out for a target that a client put, unless the record's limits forbid it."""
        fields = self.record.field_inst
        if not self.may_go(target):
            await fields.limit_violation.write(1)
            raise SkipWrite
        await fields.limit_violation.write(0)
        await self.travel(
            target,
            velocity=float(fields.velocity.value),
            acceleration_time=float(fields.seconds_to_velocity.value),
        )
        return target

    async def travel(self, target: float, *, velocity: float, acceleration_time: float) -> Move:
        """Set out for a target now, from wherever it is.

        Args:
            target: In the axis' unit; not checked against its limits.
            velocity: Units per s of its clock.
            acceleration_time: s of its clock.

        Returns:
            The move that has begun.
        """
        fields = self.record.field_inst
        await fields.stop.write(0)
        await fields.done_moving_to_value.write(0)
        await fields.motor_is_moving.write(1)
        self._on_change()
        if self._task is not None:
            self._task.cancel()
        now = self._clock.now()
        move = Move(
            now,
            float(self.position_at(now)),
            target,
            max(abs(velocity), 1e-9),
            max(acceleration_time, 0.0),
        )
        self._moves.append(move)
        if move.direction != 0:
            self.n_turns += self._direction * move.direction < 0
            self._direction = move.direction
        self._task = asyncio.ensure_future(self._go(move))
        return move

    async def arrive(self) -> None:
        """Come back when it is at rest."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def halt(self) -> None:
        """Stand where it is, as if STOP had been put."""
        if self._task is not None and not self._task.done():
            await self.record.field_inst.stop.write(1)
            await self.arrive()

    async def _go(self, move: Move) -> None:
        fields = self.record.field_inst
        while (left := move.end - self._clock.now()) > 0 and not fields.stop.value:
            await self._show()
            rate = self._clock.rate
            nap = left / rate if rate > 0 else _FROZEN_NAP
            await asyncio.sleep(min(max(nap, _SHORTEST_NAP), _TICK))
        if fields.stop.value:
            now = self._clock.now()
            self._moves.append(Move.rest(float(self.position_at(now)), begin=now))
            await self.record.write(self.position, verify_value=False)
            await fields.stop.write(0)
        await self._show()
        self._on_change()
        await fields.motor_is_moving.write(0)
        await fields.done_moving_to_value.write(1)

    async def _show(self) -> None:
        fields = self.record.field_inst
        position = float(self.reading_at(self._clock.now()))
        await fields.user_readback_value.write(position)
        await fields.dial_readback_value.write(position)
