"""This file is where it is followed how many frames an area detector has read out and written."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from battbeam.devices.camera import Camera
from battbeam.devices.frame_writer import FrameWriter
from battbeam.devices.status import TimedStatus

#: Wall seconds without a frame, the camera at rest, after which a missing frame counts as lost.
LOST_AFTER = 3.0


class FrameCounts:
    """What ``counter``, ``captured`` and ``acquire`` of a detector say, as they change."""

    def __init__(self, cam: Camera, hdf: FrameWriter) -> None:
        self._hdf = hdf
        self._watched = {"counter": cam.counter, "captured": hdf.captured, "acquire": cam.acquire}
        self._changed = threading.Condition()
        self._seen = dict.fromkeys(self._watched, 0)
        for key, signal in self._watched.items():
            signal.subscribe(self._watcher(key), run=False)

    def _watcher(self, key: str) -> Any:
        def changed(value: Any = None, **_: Any) -> None:
            with self._changed:
                if value is not None:
                    self._seen[key] = int(value)
                self._changed.notify_all()

        return changed

    def begin(self) -> dict[str, int]:
        """What they say now; `next` goes on from there."""
        counted = {key: int(signal.value_now()) for key, signal in self._watched.items()}
        with self._changed:
            self._seen = dict(counted)
        return counted

    def next(self, known: Mapping[str, int], timeout: float) -> dict[str, int]:
        """The same as soon as it is not what is known, or after ``timeout`` wall seconds."""
        with self._changed:
            # What came before this waits is not announced again.
            self._changed.wait_for(lambda: self._seen != known, timeout=timeout)
            return dict(self._seen)

    def train_fault(self, status: TimedStatus, n: int, before: dict[str, int]) -> str:
        """Wait for a train's frames; what is wrong with them, or nothing."""
        last_change, last_seen = time.monotonic(), dict(before)
        while not status.done:
            seen = self.next(last_seen, timeout=0.25)
            if seen != last_seen:
                last_change, last_seen = time.monotonic(), seen
            arrived = {key: seen[key] - before[key] for key in ("counter", "captured")}
            if seen["acquire"] == 0 and min(arrived.values()) >= n:
                break
            if seen["acquire"] == 0 and time.monotonic() - last_change > LOST_AFTER:
                break
        else:
            return ""
        if set(arrived.values()) == {n}:
            return ""
        return (
            f"{n} frame(s) asked, {arrived['counter']} read out, {arrived['captured']} written "
            f"({self._hdf.message.value_now() or 'the writer reports no error'})"
        )
