"""This file is where a guard follows the clock of a simulated beamline, through a monitor."""

from typing import Any

from battbeam.channel_access import Context
from battbeam.errors import GuardError
from battbeam.experiment.clock import Clock, ClockState, WallClock

#: Wall s for the clock server to answer.
TIMEOUT = 30.0


class MonitoredClock:
    """A clock whose server publishes epoch, anchor and rate on every change."""

    def __init__(self, prefix: str) -> None:
        self._context = Context(timeout=TIMEOUT)
        (pv,) = self._context.get_pvs(f"{prefix}State")
        try:
            pv.wait_for_connection(timeout=TIMEOUT)
            first = pv.read(timeout=TIMEOUT)
        except TimeoutError as error:
            raise GuardError(f"clock {prefix}State does not answer: {error}") from error
        self._state = _state(first)
        self._subscription = pv.subscribe()
        self._subscription.add_callback(self._take)

    def _take(self, _subscription: Any, response: Any) -> None:
        self._state = _state(response)

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        return self._state.now()

    @property
    def rate(self) -> float:
        """Seconds of this clock per second of wall time; 0 while frozen."""
        return self._state.rate


def _state(response: Any) -> ClockState:
    epoch, anchor, rate = (float(value) for value in response.data)
    return ClockState(epoch=epoch, anchor=anchor, rate=rate)


def session_clock(prefix: str) -> Clock:
    """The clock of the server at ``prefix``, or the wall clock without one."""
    return MonitoredClock(prefix) if prefix else WallClock()
