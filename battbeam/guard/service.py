"""This file is where the guard's loop runs: core and driver on one thread, the record on another.

Commands, heartbeats and the instrument's news are handled in one place, one after the other, so
that nothing needs a lock; a cycler that keeps the driver waiting never keeps the record waiting.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from battbeam.guard import commands
from battbeam.guard.core import Guard
from battbeam.guard.limits import SoftLimit
from battbeam.guard.publish import published
from battbeam.guard.record import Shown

#: Wall s between looks at instrument and owner: a tenth of what a lost owner may cost.
TICK_INTERVAL = 0.02
#: Wall s without a look after which the guard was kept from running, or a cycler kept it waiting.
OVERSLEPT = 0.5
#: Wall s between publications of changed values.
PUBLISH_INTERVAL = 0.05
#: What needs a cell at rest, and how long it waits for that, wall s; a cycler tells its state every
#: second or so.
NEED_REST = frozenset({"Load", "Passport", "Proceed", "Reset"})
SETTLING_TIMEOUT = 5.0
#: Wall s in which a command has to be answered.
COMMAND_TIMEOUT = 60.0


class GuardService:
    """Runs one guard until it is told to stop."""

    def __init__(self, guard: Guard, show: Callable[[Shown], None]) -> None:
        """A service.

        Args:
            guard: Only this service's thread touches it from now on.
            show: Called on that thread with what the record is to show.
        """
        self._guard = guard
        self._show = show
        self._asked: queue.SimpleQueue[tuple[Callable[[], Shown], Future[Shown]]] = (
            queue.SimpleQueue()
        )
        self._beats: deque[tuple[str, float]] = deque()
        self._number = 0
        self._is_open = True
        self._looked = time.monotonic()
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

    async def command(self, verb: str, text: str) -> Shown:
        """Carry out what was put to a verb; what the record is to show then."""

        def act() -> Shown:
            if verb in NEED_REST:
                self._settle()
            result = commands.carry_out(self._guard, verb, text, wall=time.monotonic())
            return self._shown(result.to_json())

        return await self._ask(act)

    async def soft_limit(self, name: SoftLimit, value: float) -> Shown:
        """Set a soft limit; what the record is to show then."""

        def act() -> Shown:
            result = commands.set_soft_limit(self._guard, name, value)
            return self._shown(result.to_json())

        return await self._ask(act)

    def beat(self, text: str) -> None:
        """Take a heartbeat, with the time at which it came."""
        self._beats.append((text, time.monotonic()))

    async def _ask(self, act: Callable[[], Shown]) -> Shown:
        future: Future[Shown] = Future()
        self._asked.put((act, future))
        return await asyncio.wait_for(asyncio.wrap_future(future), COMMAND_TIMEOUT)

    def _run(self) -> None:
        next_show, shown = 0.0, ("", 0)
        while self._is_open:
            self._answer(until=time.monotonic() + TICK_INTERVAL)
            self._tick()
            # A new state or step is shown at once: rules wait for it.
            now = (self._guard.standing.shown_state, self._guard.runner.step_count)
            if time.monotonic() >= next_show or now != shown:
                next_show, shown = time.monotonic() + PUBLISH_INTERVAL, now
                self._show(self._shown())

    def _tick(self) -> None:
        while self._beats:
            text, wall = self._beats.popleft()
            self._guard.ownership.beat(text, wall=wall)
        before, self._looked = self._looked, time.monotonic()
        if self._looked - before > OVERSLEPT:
            self._guard.ownership.overslept(since=before, wall=self._looked)
        self._guard.tick(wall=self._looked)

    def _settle(self) -> None:
        """Wait for the last record of a segment that was interrupted just before."""
        deadline, pause = time.monotonic() + SETTLING_TIMEOUT, threading.Event()
        while self._guard.runner.is_interrupted and time.monotonic() < deadline and self._is_open:
            pause.wait(TICK_INTERVAL / 2)
            self._tick()

    def _answer(self, *, until: float) -> None:
        """Do what was asked, until it is time for the next look."""
        while (left := until - time.monotonic()) > 0:
            try:
                act, future = self._asked.get(timeout=left)
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_result(act())

    def _shown(self, answer: str = "") -> Shown:
        self._number += 1
        return Shown(self._number, published(self._guard), answer)
