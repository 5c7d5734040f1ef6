"""This file is where the beamline sends pulses on the line to the cycler, ``MARKER``."""

import asyncio
import math
from typing import Any

from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.sim.clock import ClockClient
from battbeam.sim.marker import LEAD, MarkerWriter, Pulse
from battbeam.sim.records import shown

#: Wall seconds between looks at the clock while a pulse is on its way.
_LOOK = 0.02
#: s; a shorter pulse would be lost between two model steps.
_SHORTEST_PULSE = 0.1


async def _put_level(line: "MarkerLine", _instance: Any, value: Any) -> Any:
    if str(value) in ("1", "High"):
        await line.send()
    raise SkipWrite


class MarkerLine(PVGroup):  # type: ignore[misc]
    """A digital output: High puts one pulse on the line, which ends by itself."""

    Level = pvproperty(
        value="Low",
        name="",
        enum_strings=("Low", "High"),
        dtype=ChannelType.ENUM,
        put=_put_level,
        doc="stamped with its edges",
    )
    Width = pvproperty(value=30.0, name=":WIDTH", units="s", precision=2, doc="session clock")
    Rise = shown(math.nan, name=":RISE", units="s", precision=6, doc="s since the Unix epoch")
    Fall = shown(math.nan, name=":FALL", units="s", precision=6, doc="s since the Unix epoch")

    def __init__(self, prefix: str, *, clock: ClockClient, markers: MarkerWriter) -> None:
        super().__init__(prefix)
        self._clock, self._markers = clock, markers
        self._pulse: asyncio.Task[None] | None = None

    async def send(self) -> None:
        """Send one pulse; while one is on its way nothing more is sent."""
        if self._pulse is not None and not self._pulse.done():
            return
        now = self._clock.now()
        rise = now + LEAD * max(self._clock.rate, 1.0)
        pulse = Pulse(rise, rise + max(float(self.Width.value), _SHORTEST_PULSE))
        self._markers.add(pulse)
        await self.Rise.write(pulse.rise, timestamp=now)
        await self.Fall.write(pulse.fall, timestamp=now)
        self._pulse = asyncio.ensure_future(self._show(pulse))

    async def _show(self, pulse: Pulse) -> None:
        for edge, level in ((pulse.rise, "High"), (pulse.fall, "Low")):
            while self._clock.now() < edge:
                await asyncio.sleep(_LOOK)
            await self.Level.write(level, timestamp=edge, verify_value=False)
