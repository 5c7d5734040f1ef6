"""This file is where photons are counted for a preset time: the records of ``SCALER1:``.

A count begins at the session clock's time when CNT is put and lasts TP of that clock. CNT goes back
to Done, and its put completes, once everything is there. What went wrong stands in FAULT: a put that
raises would look like a time-out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.errors import BattbeamError
from battbeam.experiment.clock import Clock
from battbeam.sim.count_request import Reading, Request
from battbeam.sim.records import shown
from battbeam.units import FloatArray

#: Longest and shortest wall time between two looks at the clock, s, and that while it stands: it was
#: thawed a moment ago, or will be soon.
_LONGEST_NAP, _SHORTEST_NAP, _FROZEN_NAP = 0.05, 0.0005, 0.002
#: Characters of an EPICS string.
FAULT_LENGTH = 39
#: Shortest count, s.
SHORTEST_COUNT = 1e-3

#: What was counted in gates that are over.
Take = Callable[[Request], Awaitable[Reading]]
#: The beamline as it is now, asked for gates with these edges under this number.
Ask = Callable[[int, FloatArray], Request]


async def until(clock: Clock, time: float, look: Callable[[], Awaitable[None]]) -> None:
    """Wait until the clock shows ``time``; ``look`` is awaited at each look at it."""
    while (left := time - clock.now()) > 0:
        await look()
        rate = clock.rate
        nap = left / rate if rate > 0 else _FROZEN_NAP
        await asyncio.sleep(min(max(nap, _SHORTEST_NAP), _LONGEST_NAP))


async def _put_count(scaler: "Scaler", _instance: Any, value: Any) -> Any:
    if str(value) in ("1", "Count"):
        await scaler.count()
    else:
        await scaler.abort()
    raise SkipWrite


class Scaler(PVGroup):  # type: ignore[misc]
    """One scaler with its counters."""

    Count = pvproperty(
        value="Done",
        name="CNT",
        enum_strings=("Done", "Count"),
        dtype=ChannelType.ENUM,
        put=_put_count,
    )
    Preset = pvproperty(value=1.0, name="TP", units="s", precision=4)
    Elapsed = shown(0.0, name="T", units="s", precision=4)
    Stamp = shown(0.0, name="STAMP", units="s", precision=6, doc="end, s since the Unix epoch")
    I0 = shown(0.0, name="I0", units="count", doc="before the sample")
    Transmitted = shown(0.0, name="IT", units="count", doc="behind it")
    Reference = shown(0.0, name="IR", units="count", doc="behind the foil")
    Fluorescence = shown(0.0, name="IF", units="count", doc="output, with dead time")
    FluorescenceInput = shown(0.0, name="IF_INPUT", units="count", doc="of the fast channel")
    Bragg = shown(0.0, name="BRAGG", units="deg", precision=7, doc="mean encoder reading")
    Number = shown(0, name="NUMBER", doc="of the last count")
    Fault = shown("", name="FAULT", dtype=ChannelType.STRING, doc="empty if sound")

    def __init__(self, prefix: str, *, clock: Clock, ask: Ask, take: Take) -> None:
        """A scaler; ``ask`` says what a count is of, ``take`` counts it when it is over."""
        super().__init__(prefix)
        self._clock, self._ask, self._take = clock, ask, take
        self._task: asyncio.Task[None] | None = None
        self._n_taken = 0

    async def count(self) -> None:
        """Count once, and come back when it is over; a count that runs goes on."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run(self._clock.now()))
        await asyncio.wait([self._task])

    async def abort(self) -> None:
        """End a count now; it is lost."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, start: float) -> None:
        duration = max(float(self.Preset.value), SHORTEST_COUNT)
        fault = ""

        async def show_elapsed() -> None:
            await self.Elapsed.write(min(max(self._clock.now() - start, 0.0), duration))

        try:
            await self.Count.write("Count", verify_value=False)
            request = self._ask(self._n_taken + 1, np.array([start, start + duration]))
            await until(self._clock, request.end, show_elapsed)
            self._n_taken = request.number
            reading = await self._take(request)
            await self._publish(reading, request)
            fault = reading.fault
        except asyncio.CancelledError:
            fault = "aborted"
        except (BattbeamError, OSError, RuntimeError, ValueError) as error:
            # A real scaler goes on serving after a fault; so does this one.
            fault = str(error)
        await self.Fault.write(fault[:FAULT_LENGTH])
        await self.Count.write("Done", verify_value=False)

    async def _publish(self, reading: Reading, request: Request) -> None:
        counts, stamp = reading.counts, request.end
        values = (
            (self.I0, counts.i0),
            (self.Transmitted, counts.transmitted),
            (self.Reference, counts.reference),
            (self.Fluorescence, counts.fluorescence),
            (self.FluorescenceInput, counts.fluorescence_input),
            (self.Bragg, reading.bragg),
        )
        for record, value in values:
            await record.write(float(value[0]), timestamp=stamp)
        await self.Elapsed.write(request.end - request.start, timestamp=stamp)
        await self.Stamp.write(stamp, timestamp=stamp)
        await self.Number.write(request.number, timestamp=stamp)
