"""This file is where it is seen to that the cycler does what the guard wants it to do."""

import math

from battbeam.guard.driver import Driver, Readings
from battbeam.guard.runner import Runner

#: Wall s for the cycler to say that it runs after it was started.
START_TIMEOUT = 5.0
#: Wall s between attempts to stop a cycler that should not run.
STOP_INTERVAL = 0.3


class Watch:
    """Compares what a cycler does with what it was told."""

    def __init__(self, driver: Driver, runner: Runner) -> None:
        self._driver = driver
        self._runner = runner
        self._start_deadline = math.inf
        self._is_awaited = False
        self._last_stop = -math.inf

    def expect_start(self) -> None:
        """The cycler was started just now."""
        self._is_awaited, self._start_deadline = True, math.inf

    def stop_if_unwanted(self, readings: Readings, *, wall: float) -> str:
        """Stop a cycler that should not run; says so if nobody had started it, else nothing."""
        runner = self._runner
        is_wanted = runner.is_active and not runner.is_interrupted
        is_due = wall - self._last_stop >= STOP_INTERVAL
        if is_wanted or not readings.is_running or not is_due:
            return ""
        self._last_stop = wall
        self._driver.stop()
        is_ours = runner.is_active or readings.has_ended
        return "" if is_ours else f"cycler {self._driver.name} ran without being started: stopped"

    def has_failed_to_start(self, readings: Readings, *, wall: float) -> bool:
        """Whether the cycler was started and does not run; says so once."""
        if readings.is_running or readings.records or not self._runner.is_active:
            self._is_awaited = False
        if not self._is_awaited:
            return False
        self._start_deadline = min(self._start_deadline, wall + START_TIMEOUT)
        if wall <= self._start_deadline:
            return False
        self._is_awaited = False
        return True
