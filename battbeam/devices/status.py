"""This file is where an action under way says when it is done, and what was not done in time.

ophyd's `DeviceStatus` stops its device when it fails, and its time-out does not say what was waited
for. A cell must never be stopped because a measurement failed.
"""

import contextlib
import threading

from ophyd.status import StatusBase
from ophyd.utils.errors import InvalidState


class TimedStatus(StatusBase):  # type: ignore[misc]
    """Done once, by success, by failure or by its time-out; later calls are ignored.

    Args:
        timeout: Wall seconds.
        overdue: What it fails with when they have passed.
    """

    def __init__(self, *, timeout: float, overdue: Exception) -> None:
        super().__init__()
        self._limit = timeout
        self._timer = threading.Timer(timeout, self.fail, [overdue])
        self._timer.daemon = True
        self._timer.start()

    @property
    def timeout(self) -> float:
        """Wall seconds after which it fails."""
        return self._limit

    @timeout.setter
    def timeout(self, _: float) -> None: ...

    def finish(self) -> None:
        """It has succeeded."""
        self._timer.cancel()
        with contextlib.suppress(InvalidState):
            self.set_finished()

    def fail(self, error: Exception) -> None:
        """It has failed."""
        self._timer.cancel()
        with contextlib.suppress(InvalidState):
            self.set_exception(error)


def already_done() -> TimedStatus:
    """The status of something that takes no time."""
    status = TimedStatus(timeout=1.0, overdue=TimeoutError())
    status.finish()
    return status
