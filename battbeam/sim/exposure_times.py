"""This file is where it is said when the exposures of a train begin: by the camera itself, or at pulses."""

import math
from typing import Protocol

from battbeam.sim.pulse_queue import PulseQueue

#: s by which a pulse may come before the camera is ready: stamps have 2e-7 s at their size.
_ROUNDING = 1e-6


class ExposureTimes(Protocol):
    """When exposures begin, one after the other."""

    async def next(self) -> float:
        """Of the next one, session clock, s; may still be to come."""
        ...

    async def next_over(self, now: float) -> float | None:
        """Of the next one if its exposure is over by then; None otherwise, and it is still the next."""
        ...


class Timed:
    """The camera times them itself.

    Args:
        start: Of the first one, s.
        period: From one to the next, s.
        exposure: s.
    """

    def __init__(self, start: float, *, period: float, exposure: float) -> None:
        self._start, self._period, self._exposure = start, period, exposure
        self._index = 0

    async def next(self) -> float:
        """See `ExposureTimes`."""
        self._index += 1
        return self._start + (self._index - 1) * self._period

    async def next_over(self, now: float) -> float | None:
        """See `ExposureTimes`."""
        is_over = self._start + self._index * self._period + self._exposure <= now
        return await self.next() if is_over else None


class Pulsed:
    """Each begins at a pulse; one that comes before the camera has read out is missed.

    Args:
        pulses: Where they come from.
        exposure: s.
        readout: From the end of an exposure to the next one's earliest start, s.
    """

    def __init__(self, pulses: PulseQueue, *, exposure: float, readout: float) -> None:
        self._pulses, self._exposure, self._readout = pulses, exposure, readout
        self._ready = -math.inf
        self._held: float | None = None
        pulses.listen()

    async def next(self) -> float:
        """See `ExposureTimes`."""
        while self._held is None:
            await self._follow(await self._pulses.next_pulse())
        begin, self._held = self._held, None
        return begin

    async def next_over(self, now: float) -> float | None:
        """See `ExposureTimes`."""
        while self._held is None:
            pulse = self._pulses.pulse_now()
            if pulse is None:
                return None
            await self._follow(pulse)
        return await self.next() if self._held + self._exposure <= now else None

    async def _follow(self, pulse: float) -> None:
        if pulse < self._ready - _ROUNDING:
            await self._pulses.miss()
            return
        self._held, self._ready = pulse, pulse + self._exposure + self._readout
