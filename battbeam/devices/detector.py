"""This file is where an area detector exposes.

It works on the `cam1:` and `HDF1:` records of any areaDetector. One event holds one train of
frames; a train of which a frame is missing fails, and one that was interrupted is taken again into
a file of its own.
"""

import threading
import time
from typing import Any

from battbeam.devices.camera import EXTERNAL, INTERNAL, MULTIPLE
from battbeam.devices.frame_counts import FrameCounts
from battbeam.devices.frame_writer import LOOK_INTERVAL, adjust
from battbeam.devices.frames import FrameTrain, train_faults
from battbeam.devices.frames_in_files import FramesInFiles
from battbeam.devices.status import TimedStatus, already_done
from battbeam.errors import DeviceError

#: Wall seconds a train may take beyond its exposures: read-out, writing, a busy server.
TRAIN_MARGIN = 30.0
#: Wall seconds in which one that follows another must be ready for its pulses.
ARM_TIMEOUT = 5.0


class AreaDetector(FramesInFiles):
    """A pixel detector whose frames the server writes to HDF5.

    Args:
        exposure_limits: Shortest and longest exposure, s.
        follows: A detector whose exposures trigger this one's, by cable: while that one is staged,
            frames of both begin together. None: it has no such cable.
        kwargs: Further arguments of `battbeam.devices.frames_in_files.FramesInFiles`.

    >>> RE(xrd_series([detector], beam=beam, exposure=10.0, n_points=1))  # doctest: +SKIP
    """

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        exposure_limits: tuple[float, float] = (1e-3, 3600.0),
        follows: "AreaDetector | None" = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.exposure_limits, self.follows = exposure_limits, follows
        self.counts = FrameCounts(self.cam, self.hdf)
        self._exposing: TimedStatus | None = None

    def train_faults(self, *, exposure: float, n_frames: int = 1, period: float = 0.0) -> list[str]:
        """What is wrong with a train for this detector, one sentence each."""
        faults = train_faults(exposure=exposure, n_frames=n_frames, period=period)
        low, high = self.exposure_limits
        if not faults and not low <= exposure <= high:
            faults.append(f"exposure {exposure:g} s is outside {low:g} to {high:g} s")
        return [f"{self.name}: {fault}" for fault in faults]

    def prepare(self, train: FrameTrain) -> TimedStatus:
        """Set the camera up for trains like this one, until it is unstaged.

        Raises:
            ValueError: If the detector cannot expose so.
        """
        faults = self.train_faults(
            exposure=train.exposure, n_frames=train.n_frames, period=train.period
        )
        if faults:
            raise ValueError("; ".join(faults))
        together = self.follows is not None and self.follows.is_staged
        self.set_up(train, trigger_mode=EXTERNAL if together else INTERNAL)
        return already_done()

    def set_up(
        self, train: FrameTrain, *, image_mode: int = MULTIPLE, trigger_mode: int = INTERNAL
    ) -> None:
        """Put the camera's records, and wait until each has its value."""
        adjust(self.cam.image_mode, image_mode)
        adjust(self.cam.trigger_mode, trigger_mode)
        adjust(self.cam.exposure, float(train.exposure))
        adjust(self.cam.period, float(max(train.period, train.exposure)))
        adjust(self.cam.n_images, int(train.n_frames))

    def trigger(self) -> TimedStatus:
        """Expose one train; one that follows another detector waits for that one's exposures, and
        is armed when this returns.

        Raises:
            DeviceError: If it is not staged.
        """
        if self._file is None:
            raise DeviceError(f"{self.name}: no file is open; stage it first")
        self.without_frames()
        if self._must_reopen:
            self._open()
        n = int(self.cam.n_images.value_now())
        duration = n * max(float(self.cam.period.value_now()), float(self.cam.exposure.value_now()))
        limit = duration + TRAIN_MARGIN
        overdue = DeviceError(f"{self.name}: {n} frame(s) asked, not finished within {limit:.1f} s")
        status = TimedStatus(timeout=limit, overdue=overdue)
        before = self.counts.begin()
        self._exposing = status
        arguments = (status, n, before)
        threading.Thread(target=self._expose, args=arguments, name=self.name, daemon=True).start()
        if int(self.cam.trigger_mode.value_now()) == EXTERNAL:
            self._wait_until_armed(status)
        return status

    def _wait_until_armed(self, status: TimedStatus) -> None:
        """So that it misses no pulse; one that does not arm fails its own status."""
        deadline = time.monotonic() + ARM_TIMEOUT
        while not status.done and self.cam.acquire.value_now() != 1:
            if time.monotonic() > deadline:
                status.fail(DeviceError(f"{self.name}: not armed within {ARM_TIMEOUT:g} s"))
                return
            time.sleep(LOOK_INTERVAL)

    def _expose(self, status: TimedStatus, n: int, before: dict[str, int]) -> None:
        """Watch one train from its own thread, so that the RunEngine is free meanwhile."""
        try:
            self.cam.acquire.put(1, wait=False)
            fault = self.counts.train_fault(status, n, before)
            if status.done:
                self._must_reopen = True
                return
            if not fault and self.has_restarted:
                fault = "its server restarted during the exposure"
            if not fault:
                self._note(n, before["captured"])
        except (TimeoutError, DeviceError) as error:
            fault = str(error)
        finally:
            self._exposing = None
        if fault:
            self._must_reopen = True
            status.fail(DeviceError(f"{self.name}: {fault}"))
        else:
            self._has_event = True
            status.finish()

    def _abandon(self) -> None:
        """Break off what is exposing; whoever waits for it is told that it is over."""
        status, self._must_reopen = self._exposing, True
        self.cam.acquire.put(0, wait=False)
        if status is not None:
            status.finish()

    def unstage(self) -> list[Any]:
        """Break off what is exposing, close the file and put every setting back."""
        if self._exposing is not None:
            self._abandon()
        return super().unstage()

    def pause(self) -> None:
        """Break off; on resume the point is taken again, into a new file."""
        self._must_reopen = self._file is not None
        if self._exposing is not None:
            self._abandon()

    def resume(self) -> None:
        """Nothing: the plan is rewound to where it triggers."""

    def stop(self, *, success: bool = False) -> None:
        """Break off what is exposing."""
        if self._exposing is not None:
            self._abandon()
