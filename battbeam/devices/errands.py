"""This file is where a device does things beside the RunEngine, one after the other."""

import threading
from collections.abc import Callable
from contextlib import suppress

from battbeam.devices.status import TimedStatus
from battbeam.errors import DeviceError


class Errands:
    """What is done in threads of their own; each begins when the one before has ended.

    Args:
        name: Of the device.
        clean_up: Done where one fails.
    """

    def __init__(self, name: str, clean_up: Callable[[], None]) -> None:
        self._name, self._clean_up = name, clean_up
        self._status: TimedStatus | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether somebody still waits for the latest."""
        return self._status is not None and not self._status.done

    @property
    def is_at_work(self) -> bool:
        """Whether the latest goes on, though nobody may wait for it."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, work: Callable[[], None], *, what: str, timeout: float) -> TimedStatus:
        """Do something, after what was begun before.

        Args:
            work: That is done.
            what: It is then, for the message where it is not.
            timeout: Wall seconds.
        """
        overdue = DeviceError(f"{self._name}: not {what} within {timeout:.0f} s")
        status, before = TimedStatus(timeout=timeout, overdue=overdue), self._thread

        def done() -> None:
            if before is not None:
                before.join()
            try:
                work()
            except (TimeoutError, DeviceError, ValueError) as error:
                with suppress(TimeoutError, DeviceError):
                    self._clean_up()
                status.fail(error)
            else:
                status.finish()

        self._status = status
        self._thread = threading.Thread(target=done, name=self._name, daemon=True)
        self._thread.start()
        return status

    def finish(self) -> None:
        """Whoever waits for the latest is told that it is over."""
        if self._status is not None:
            self._status.finish()

    def join(self, timeout: float) -> None:
        """Wait until the latest has ended, wall seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout=timeout)
