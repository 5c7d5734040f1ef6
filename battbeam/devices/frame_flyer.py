"""This file is where frames are told of while hardware takes them.

A flyer opens a file for each role, arms what times the exposures (kickoff), lets it go (complete),
and tells how many frames are in the file while it grows. What goes wrong on the way is a fault of
the train, never an exception: frames that came stay. A pause breaks the train off and closes its
file; the RunEngine then kicks it off again, into a new file.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from battbeam.devices.camera import INTERNAL, MULTIPLE
from battbeam.devices.detector import AreaDetector
from battbeam.devices.errands import Errands
from battbeam.devices.flown_frames import Flown, FlownFrames
from battbeam.devices.frame_counts import LOST_AFTER
from battbeam.devices.frame_writer import FILE_TIMEOUT, wait_until
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.signals import Setting
from battbeam.devices.status import TimedStatus, already_done
from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock

#: Wall seconds in which a train must be ready to go: files, records, a taxi across the whole range.
ARM_TIMEOUT = 120.0
#: Wall seconds a train may take: so many times its length (a slow clock), so many for each frame (a
#: busy disk), and a margin. It only ends what hangs.
LENGTHS, FRAME_TIME, MARGIN = 10.0, 1.0, 60.0
#: Wall seconds without a frame after which one that the camera was told to take counts as lost, while
#: it is still at it: a busy machine, a busy disk.
OWED_FOR = 30.0


class FrameFlyer(FlownFrames):
    """A camera whose trains are flown: it times them itself, or what a subclass has does.

    Args:
        camera: That exposes and writes; staged with the flyer.
        clock: The session's.

    Attributes:
        flown: What came of the latest train; None before the first.
    """

    def __init__(self, *, name: str, camera: AreaDetector, clock: Clock, **kwargs: Any) -> None:
        super().__init__(name=name, camera=camera, **kwargs)
        self.clock = clock
        self.flown: Flown | None = None
        self._flight: Flight | None = None
        self._role = ""
        self._begin = math.nan
        self._cancelled = threading.Event()
        self._is_aloft = False
        self._errands = Errands(name, self._rest)

    @property
    def is_busy(self) -> bool:
        """Whether something goes on that was asked of it."""
        return self._errands.is_busy

    # What a subclass adds to: by itself it takes trains that the camera times.

    def flight_faults(self, flight: Flight) -> list[str]:
        """Why it cannot be flown, one sentence each."""
        train = flight.train
        return self.camera.train_faults(
            exposure=train.exposure, n_frames=train.n_frames, period=train.period
        )

    def _set_up(self, flight: Flight) -> None:
        """Put the records."""
        train = FrameTrain(flight.train.exposure, flight.train.n_frames, flight.train.period)
        image_mode, trigger_mode = self._modes(flight)
        self.camera.set_up(train, image_mode=image_mode, trigger_mode=trigger_mode)

    def _modes(self, flight: Flight) -> tuple[int, int]:
        """How many frames the camera takes, and what times them: image and trigger mode."""
        return MULTIPLE, INTERNAL

    def _arm(self, flight: Flight, cancelled: threading.Event) -> None:
        """Have everything ready to go, in a thread of its own."""

    def _go(self, flight: Flight, cancelled: threading.Event) -> str:
        """Take the train and come back when it is over, in a thread of its own; what was wrong."""
        self.camera.cam.acquire.put(1, wait=False)
        self._await_frames(flight.train.n_frames, _exposes, cancelled)
        return ""

    def _rest(self) -> None:
        """Bring to rest what was set going, and put it back."""
        if self.camera.cam.acquire.value_now() != 0:
            self._acquire(False)

    def _halt(self) -> None:
        """Begin to do so, without waiting."""

    def _n_missed(self) -> int:
        """Pulses that the camera could not follow; -1: nobody counts them."""
        return -1

    def _n_told(self) -> int:
        """Frames that the camera was told to take so far and did not refuse; 0: nobody counts them."""
        return 0

    def _acquire(self, on: bool) -> None:
        what = f"{self.camera.name}: {'armed' if on else 'at rest'}"
        self._switch(self.camera.cam.acquire, on, what)

    def _switch(self, signal: Setting, on: bool, what: str) -> None:
        """Put a record to 1 or 0 and wait until it says so; what was broken off is not waited for."""
        cancelled = self._cancelled
        signal.put(int(on), wait=False)
        wait_until(
            lambda: signal.value_now() == int(on) or (on and cancelled.is_set()),
            timeout=FILE_TIMEOUT,
            what=lambda: what,
        )

    # Staging: the camera is staged with it.

    def stage(self) -> list[Any]:
        """Open a file.

        Raises:
            DeviceError: If the camera cannot.
        """
        self.camera.stage()
        self._role, self._file = "", None
        staged: list[Any] = super().stage()
        return staged

    def unstage(self) -> list[Any]:
        """Break off what flies, close the file and put everything back."""
        self.land()
        self.camera.unstage()
        self._role, self._file, self._flight = "", None, None
        unstaged: list[Any] = super().unstage()
        return unstaged

    # Flying.

    def prepare(self, flight: Flight) -> TimedStatus:
        """Set up for a train; frames of another role get a file of their own.

        Raises:
            ValueError: If it cannot be flown.
            DeviceError: If the camera is not staged or does not take it.
        """
        if faults := self.flight_faults(flight):
            raise ValueError("; ".join(faults))
        return self._in_thread(lambda: self._prepare(flight), what="prepared")

    def _prepare(self, flight: Flight) -> None:
        self._flight = None
        self._set_up(flight)
        if flight.is_again or flight.role != self._role or self.camera.has_lost_file:
            self._file = self.camera.fresh_file()
        self._flight, self._role = flight, flight.role

    def kickoff(self) -> TimedStatus:
        """Get ready to go; what still flies is broken off first.

        Raises:
            DeviceError: If nothing is prepared.
        """
        flight = self._flight
        if flight is None:
            raise DeviceError(f"{self.name}: nothing to fly; prepare it first")
        self._break_off()
        cancelled = self._cancelled = threading.Event()
        self._is_aloft = True
        return self._in_thread(lambda: self._take_off(flight, cancelled), what="ready to go")

    def _take_off(self, flight: Flight, cancelled: threading.Event) -> None:
        if self.camera.has_lost_file or self._file is None:
            self._file = self.camera.fresh_file()
        counted = self.camera.counts.begin()
        self._first, self._arrived = counted["captured"], 0
        self.flown = Flown(flight.train.n_frames, first=self._first, file=str(self._file.path))
        self._arm(flight, cancelled)

    def complete(self) -> TimedStatus:
        """Go, and be done when the train is over, whole or not: `flown` says which.

        Raises:
            DeviceError: If it was not kicked off.
        """
        flight = self._flight
        if flight is None or self.flown is None:
            raise DeviceError(f"{self.name}: not kicked off")
        limit = LENGTHS * flight.train.duration + FRAME_TIME * flight.train.n_frames + MARGIN
        cancelled = self._cancelled
        return self._in_thread(lambda: self._fly(flight, cancelled), what="over", timeout=limit)

    def _fly(self, flight: Flight, cancelled: threading.Event) -> None:
        fault = ""
        self._begin = self.clock.now()
        try:
            fault = self._go(flight, cancelled)
        except (TimeoutError, DeviceError) as error:
            fault = str(error)
        if cancelled.is_set():
            return
        self._is_aloft = False
        self._rest()
        if self.camera.has_restarted:
            fault = f"{self.camera.name}: its server restarted during the train"
        self._arrived = max(int(self.camera.hdf.captured.value_now()) - self._first, self._arrived)
        self._note(fault)

    def _note(self, fault: str) -> None:
        asked, file = self.flown, self._file
        if asked is None or file is None:
            return
        n_missed = self._n_missed()
        if self._arrived != asked.n_asked:
            missed = f", {n_missed} pulses missed" if n_missed > 0 else ""
            came = f"{asked.n_asked} frames asked, {self._arrived} written{missed}"
            said = str(self.camera.hdf.message.value_now())
            fault = "; ".join(part for part in (fault, came, said) if part)
        self.flown = Flown(
            asked.n_asked,
            n_frames=self._arrived,
            n_missed=n_missed,
            first=asked.first,
            file=str(file.path),
            start=self._begin,
            end=self.clock.now(),
            fault=fault,
        )

    def _await_frames(
        self, n: int, going: Callable[[Mapping[str, int]], bool], cancelled: threading.Event
    ) -> None:
        """Until there are ``n`` and nothing goes on, or none has come for long since nothing does.

        Args:
            n: Frames.
            going: Whether something goes on, from what the camera counts.
            cancelled: Set when nobody waits for it any more.
        """
        last, arrived, changed = {"captured": -1}, -1, time.monotonic()
        while not cancelled.is_set():
            seen = last = self.camera.counts.next(last, timeout=0.1)
            self._arrived = max(seen["captured"] - self._first, self._arrived)
            # A camera that runs on is no reason to wait: only what is written counts.
            if going(seen) or self._arrived != arrived:
                arrived, changed = self._arrived, time.monotonic()
            elif self._arrived >= n or self._is_lost(seen, time.monotonic() - changed):
                return

    def _is_lost(self, seen: Mapping[str, int], silence: float) -> bool:
        """Whether no frame is waited for any more, after so many wall seconds without one."""
        if silence < LOST_AFTER:
            return False
        is_owed = seen["acquire"] != 0 and self._n_told() > self._arrived
        return not is_owed or silence > OWED_FOR

    def _in_thread(
        self, work: Callable[[], None], *, what: str, timeout: float = ARM_TIMEOUT
    ) -> TimedStatus:
        return self._errands.begin(work, what=what, timeout=timeout)

    # Breaking off.

    def _break_off(self) -> None:
        """End what flies, without waiting."""
        if not self._is_aloft:
            return
        self._is_aloft = False
        self._cancelled.set()
        self.camera.pause()
        self._halt()
        self.camera.cam.acquire.put(0, wait=False)
        # Whoever waits for it is told that it is over, as a detector does.
        self._errands.finish()
        self._in_thread(self._settle, what="at rest")

    def _settle(self) -> None:
        self._rest()
        self.camera.hdf.close_file()

    def land(self) -> None:
        """End what flies and wait until it rests."""
        self._break_off()
        self._errands.join(timeout=ARM_TIMEOUT)

    def landing(self) -> TimedStatus:
        """End what flies; done when it rests. For the end of a plan, however it ended."""
        if not (self._is_aloft or self._errands.is_at_work):
            return already_done()
        self._break_off()
        return self._in_thread(lambda: None, what="at rest")

    def pause(self) -> None:
        """Stop the motion and close the file; on resume the train is taken again, into another."""
        self._break_off()

    def resume(self) -> None:
        """Nothing: the plan is rewound to where it kicks off."""

    def stop(self, *, success: bool = False) -> None:
        """Break off what flies."""
        self._break_off()


def _exposes(seen: Mapping[str, int]) -> bool:
    return seen["acquire"] != 0
