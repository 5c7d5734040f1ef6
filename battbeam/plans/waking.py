"""This file is where a plan waits for news of a cell instead of looking again and again."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.potentiostat import Potentiostat
from battbeam.plans.stubs import Plan

#: What a guard tells as soon as it changes, and a rule may wait for.
WATCHED = ("voltage", "current", "charge", "temperature", "step_count", "step_type", "state")


class Wake:
    """Ends a plan's wait as soon as a signal has changed.

    Signals change on threads of Channel Access, the plan waits on the RunEngine's loop. A change
    that comes while the plan is busy is not lost: the next wait ends at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_news = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._signals: list[Any] = []

    def watch(self, potentiostats: Sequence[Potentiostat]) -> None:
        """Be woken by these from now on."""
        for potentiostat in potentiostats:
            for attribute in WATCHED:
                signal = getattr(potentiostat, attribute)
                signal.subscribe(self.ring, run=False)
                self._signals.append(signal)

    def forget(self) -> None:
        """Be woken by nothing any more."""
        signals, self._signals = self._signals, []
        for signal in signals:
            signal.clear_sub(self.ring)

    def ring(self, *_: Any, **__: Any) -> None:
        """Something has changed; from any thread."""
        with self._lock:
            self._has_news, waiting = True, self._waiting
        if waiting is not None:
            loop, event = waiting
            # A loop that was closed meanwhile waits for nothing.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    def within(self, duration: float) -> Plan:
        """Wait for news, at most ``duration`` wall seconds."""
        yield from bps.wait_for([lambda: self._news(duration)])

    async def _news(self, duration: float) -> None:
        event = asyncio.Event()
        with self._lock:
            has_news, self._has_news = self._has_news, False
            self._waiting = (asyncio.get_running_loop(), event)
        try:
            if not has_news:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), duration)
        finally:
            with self._lock:
                self._waiting, self._has_news = None, False
