"""This file is where a session's heart beats, as long as its RunEngine answers.

A guard that hears nothing carries out what was declared for the loss of its client. A RunEngine
whose loop hangs is as good as lost, so the heart beats only while the loop has answered lately.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)

#: Wall seconds between two beats; a quarter of the guard's usual time-out.
INTERVAL = 0.5
#: Wall seconds for which the RunEngine's loop may be silent.
SILENCE = 5.0


class Loop(Protocol):
    """What is asked whether it still turns."""

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> object:
        """Call it on the loop."""
        ...


class Heartbeat:
    """Beats from a thread of its own.

    Args:
        loop: Of the RunEngine.
        beats: Are given the count of each beat; one that is not heard does not keep the others.
    """

    def __init__(self, loop: Loop, *beats: Callable[[int], None]) -> None:
        self._loop, self._beats = loop, beats
        self._answered_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.count = 0

    def start(self) -> None:
        """Begin to beat."""
        if self._thread is None:
            self._answered_at = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * INTERVAL)

    def _answer(self) -> None:
        self._answered_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._answer)
            if time.monotonic() - self._answered_at < SILENCE:
                self.count += 1
                for beat in self._beats:
                    try:
                        beat(self.count)
                    except (TimeoutError, OSError) as error:
                        _log.warning("a beat was not heard: %s", error)
            self._stopping.wait(INTERVAL)
