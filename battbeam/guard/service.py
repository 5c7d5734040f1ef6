"""This file is where the guard's loop runs: core and driver on one thread, the record on another.

Commands, heartbeats and the instrument's news are handled in one place, one after the other, so
that nothing needs a lock; a cycler that keeps the driver waiting never keeps the record waiting.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from battbeam.guard import commands
from battbeam.guard.core import Guard
from battbeam.guard.limits import SoftLimit
from battbeam.guard.publish import published

#: Wall s between looks at instrument and owner: a tenth of what a lost owner may cost.
TICK_INTERVAL = 0.02
#: Wall s between publications of changed values.
PUBLISH_INTERVAL = 0.05
#: Wall s in which a command has to be answered.
COMMAND_TIMEOUT = 60.0


class GuardService:
    """Runs one guard until it is told to stop."""

    def __init__(self, guard: Guard, show: Callable[[dict[str, Any]], None]) -> None:
        """A service.

        Args:
            guard: Only this service's thread touches it from now on.
            show: Called on that thread with what the record is to show, by PV suffix.
        """
        self._guard = guard
        self._show = show
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the cell is left as it is."""
        self._is_open = False
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the loop still runs; it never ends by itself."""
        return self._thread.is_alive()

    async def command(self, verb: str, text: str) -> None:
        """Carry out what was put to a verb, and publish the answer."""

        def act() -> None:
            result = commands.carry_out(self._guard, verb, text, wall=time.monotonic())
            self._publish({"CommandResult": result.to_json()})

        await self._ask(act)

    async def soft_limit(self, name: SoftLimit, value: float) -> float:
        """Set a soft limit; answers the one that holds."""

        def act() -> float:
            result = commands.set_soft_limit(self._guard, name, value)
            self._publish({"CommandResult": result.to_json()})
            return float(getattr(self._guard.limits.soft, name))

        return float(await self._ask(act))

    def beat(self, text: str) -> None:
        """Take a heartbeat, with the time at which it came."""
        wall = time.monotonic()
        self._asked.put((lambda: self._guard.ownership.beat(text, wall=wall), Future()))

    async def _ask(self, act: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._asked.put((act, future))
        return await asyncio.wait_for(asyncio.wrap_future(future), COMMAND_TIMEOUT)

    def _run(self) -> None:
        next_show = 0.0
        while self._is_open:
            self._answer(until=time.monotonic() + TICK_INTERVAL)
            self._guard.tick(wall=time.monotonic())
            if time.monotonic() >= next_show:
                next_show = time.monotonic() + PUBLISH_INTERVAL
                self._publish({})

    def _answer(self, *, until: float) -> None:
        """Do what was asked, until it is time for the next look."""
        while (left := until - time.monotonic()) > 0:
            try:
                act, future = self._asked.get(timeout=left)
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_result(act())

    def _publish(self, more: dict[str, Any]) -> None:
        self._show({**published(self._guard), **more})
