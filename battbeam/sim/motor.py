"""This file is where a simulated axis moves: a motor record that reaches its target exactly.

Like the real record it drops DMOV before a put returns, takes a new target on the way, stops on
STOP, and refuses targets outside its limits (LVIO). Moves take wall time. Not imitated: backlash,
retries, acceleration.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from caproto import SkipWrite
from caproto.server import PVGroup, pvproperty

#: Wall seconds between two readbacks on the way.
_TICK = 0.02


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
        precision: int = 4,
        position: float = 0.0,
        on_change: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        """An axis that stands at ``position``; ``on_change`` is called when a move begins and ends."""
        super().__init__(*args, **kwargs)
        self._on_change = on_change
        self.units, self.limits, self.velocity = units, limits, velocity
        self.precision = precision
        self.position = position
        self._move: asyncio.Task[None] | None = None

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
        await fields.user_low_limit.write(low)
        await fields.user_high_limit.write(high)
        await fields.dial_low_limit.write(low)
        await fields.dial_high_limit.write(high)
        for field in (fields.user_readback_value, fields.dial_readback_value):
            await field.write_metadata(units=self.units, precision=self.precision)
        await self._show(self.position)
        await fields.done_moving_to_value.write(1)

    async def start(self, target: float) -> float:
        """Set out for a target, unless the record's limits or STOP forbid it."""
        fields = self.record.field_inst
        low, high = fields.user_low_limit.value, fields.user_high_limit.value
        outside = low < high and not low <= target <= high
        if outside or not math.isfinite(target):
            await fields.limit_violation.write(1)
            raise SkipWrite
        await fields.limit_violation.write(0)
        await fields.stop.write(0)
        await fields.done_moving_to_value.write(0)
        await fields.motor_is_moving.write(1)
        self._on_change()
        if self._move is not None:
            self._move.cancel()
        self._move = asyncio.ensure_future(self._go(target))
        return target

    async def _go(self, target: float) -> None:
        loop = asyncio.get_running_loop()
        fields = self.record.field_inst
        begin, origin = loop.time(), self.position
        duration = abs(target - origin) / max(float(fields.velocity.value), 1e-9)
        while (elapsed := loop.time() - begin) < duration and not fields.stop.value:
            await self._show(origin + (target - origin) * elapsed / duration)
            await asyncio.sleep(min(_TICK, duration - elapsed))
        if fields.stop.value:
            await self.record.write(self.position, verify_value=False)
            await fields.stop.write(0)
        else:
            await self._show(target)
        self._on_change()
        await fields.motor_is_moving.write(0)
        await fields.done_moving_to_value.write(1)

    async def _show(self, position: float) -> None:
        fields = self.record.field_inst
        self.position = position
        await fields.user_readback_value.write(position)
        await fields.dial_readback_value.write(position)
