"""This file is where an area detector exposes.

It works on the `cam1:` and `HDF1:` records of any areaDetector. One event holds one train of
frames; a train of which a frame is missing fails, and one that was interrupted is taken again into
a file of its own.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd import FormattedComponent as FCpt

from battbeam.devices.camera import EXTERNAL, INTERNAL, MULTIPLE, Camera
from battbeam.devices.clock_watch import ClockWatch
from battbeam.devices.frame_writer import LOOK_INTERVAL, FrameFile, FrameWriter, adjust
from battbeam.devices.frames import FrameTrain, train_faults
from battbeam.devices.signals import Note, Readback, Setting
from battbeam.devices.status import TimedStatus, already_done
from battbeam.errors import DeviceError

#: areaDetector stamps frames in s since 1990-01-01 UTC; documents count from 1970-01-01.
EPICS_EPOCH = 631_152_000.0
#: Wall seconds a train may take beyond its exposures: read-out, writing, a busy server.
TRAIN_MARGIN = 30.0
#: Wall seconds without a frame, the camera at rest, after which a missing frame counts as lost.
LOST_AFTER = 3.0
#: Wall seconds in which one that follows another must be ready for its pulses.
ARM_TIMEOUT = 5.0
#: Bytes that must be free before a file is opened: some hundred frames of four million pixels.
MINIMUM_FREE = 1e9


class AreaDetector(Device):  # type: ignore[misc]
    """A pixel detector whose frames the server writes to HDF5.

    Args:
        directory: Where the server shall write.
        boot_id_pv: A record that changes when the detector's server restarts.
        readout_delay: From the end of an exposure to its stamp, s; a calibrated value.
        exposure_limits: Shortest and longest exposure, s.
        dtype_numpy: Of a pixel in the file.
        clock_watch: Compares the clock that stamps its frames; none where that is the session's.
        follows: A detector whose exposures trigger this one's, by cable: while that one is staged,
            frames of both begin together. None: it has no such cable.

    >>> RE(xrd_series([detector], beam=beam, exposure=10.0, n_points=1))  # doctest: +SKIP
    """

    cam = Cpt(Camera, "cam1:", kind="config", doc="exposes")
    hdf = Cpt(FrameWriter, "HDF1:", kind="omitted", doc="writes")
    boot_id = FCpt(Readback, "{_boot_id_pv}", dtype="string", kind="omitted", doc="of the server")
    frame = Cpt(
        Note, dtype="integer", kind="normal", doc="index in its file of the event's first frame"
    )
    n_frames = Cpt(Note, dtype="integer", kind="normal", doc="frames in the event; 0: none arrived")
    stamp = Cpt(Note, units="s", kind="normal", doc="read-out of the last frame, s since 1970")
    readout_delay = Cpt(Note, units="s", kind="config", doc="end of exposure to stamp")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        directory: Path,
        boot_id_pv: str,
        readout_delay: float = 0.0,
        exposure_limits: tuple[float, float] = (1e-3, 3600.0),
        dtype_numpy: str = "<u4",
        clock_watch: ClockWatch | None = None,
        follows: "AreaDetector | None" = None,
        **kwargs: Any,
    ) -> None:
        self._boot_id_pv = boot_id_pv
        self.clock_watch, self.follows = clock_watch, follows
        super().__init__(prefix, name=name, **kwargs)
        self.directory, self.exposure_limits, self.dtype_numpy = (
            directory,
            exposure_limits,
            dtype_numpy,
        )
        self.readout_delay.put(float(readout_delay))
        self._changed = threading.Condition()
        self._seen = {"counter": 0, "captured": 0, "acquire": 0}
        self._found: list[tuple[Setting, Any]] = []
        self._file: FrameFile | None = None
        self._boot = ""
        self._must_reopen = self._has_event = False
        self._exposing: TimedStatus | None = None
        for key, signal in self._watched.items():
            signal.subscribe(self._watcher(key), run=False)

    @property
    def _watched(self) -> dict[str, Readback]:
        return {
            "counter": self.cam.counter,
            "captured": self.hdf.captured,
            "acquire": self.cam.acquire,
        }

    def _watcher(self, key: str) -> Any:
        def changed(value: Any = None, **_: Any) -> None:
            with self._changed:
                if value is not None:
                    self._seen[key] = int(value)
                self._changed.notify_all()

        return changed

    def train_faults(self, *, exposure: float, n_frames: int = 1, period: float = 0.0) -> list[str]:
        """What is wrong with a train for this detector, one sentence each."""
        faults = train_faults(exposure=exposure, n_frames=n_frames, period=period)
        low, high = self.exposure_limits
        if not faults and not low <= exposure <= high:
            faults.append(f"exposure {exposure:g} s is outside {low:g} to {high:g} s")
        return [f"{self.name}: {fault}" for fault in faults]

    # Staging: one file, and the hardware left as it was found.

    def stage(self) -> list[Any]:
        """Open a file.

        Raises:
            DeviceError: If the camera is busy, the disk is full or the server cannot write.
        """
        if self.cam.acquire.value_now() != 0:
            raise DeviceError(f"{self.name}: already exposing; stop {self.cam.prefix}Acquire first")
        self.hdf.check_space(self.directory, MINIMUM_FREE)
        self._boot = str(self.boot_id.value_now())
        cam = self.cam
        modes = (cam.image_mode, cam.trigger_mode)
        changed = (cam.exposure, cam.period, cam.n_images, *modes, *self.hdf.settings)
        found = [(signal, signal.value_now()) for signal in changed]
        # A path that was never set cannot be put back: the writer refuses an empty one.
        self._found = [(signal, value) for signal, value in found if value != ""]
        staged: list[Any] = super().stage()
        self._open()
        return staged

    def unstage(self) -> list[Any]:
        """Close the file and put every setting back."""
        if self._exposing is not None:
            self._abandon()
        found, self._found = self._found, []
        if found:
            self.hdf.close_file()
        self._file, self._has_event = None, False
        for signal, value in found:
            adjust(signal, value)
        unstaged: list[Any] = super().unstage()
        return unstaged

    def fresh_file(self) -> FrameFile:
        """A file for frames of another kind: the open one if it holds none.

        Raises:
            DeviceError: If it is not staged, or the server cannot write.
        """
        if self._file is None:
            raise DeviceError(f"{self.name}: no file is open; stage it first")
        if self._must_reopen or int(self.hdf.captured.value_now()) > 0:
            self._open()
        return self._file

    @property
    def has_lost_file(self) -> bool:
        """Whether what is open was broken off, and must not be written to."""
        return self._must_reopen or self._file is None

    @property
    def is_staged(self) -> bool:
        """Whether a file is open."""
        return self._file is not None

    @property
    def has_restarted(self) -> bool:
        """Whether its server is another one than when it was staged."""
        return str(self.boot_id.value_now()) != self._boot

    def _open(self) -> None:
        self.hdf.close_file()
        path = self.hdf.open_file(self.directory)
        self._file = FrameFile(path, data_key=self.image_key, frame_shape=self.frame_shape)
        self._must_reopen = self._has_event = False

    # Exposing.

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
        before = self.begin_count()
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

    def begin_count(self) -> dict[str, int]:
        """What ``counter``, ``captured`` and ``acquire`` say now; `next_count` goes on from there."""
        counted = {key: int(signal.value_now()) for key, signal in self._watched.items()}
        with self._changed:
            self._seen = dict(counted)
        return counted

    def next_count(self, known: Mapping[str, int], timeout: float) -> dict[str, int]:
        """The same as soon as it is not what is known, or after ``timeout`` wall seconds."""
        with self._changed:
            # What came before this waits is not announced again.
            self._changed.wait_for(lambda: self._seen != known, timeout=timeout)
            return dict(self._seen)

    def without_frames(self) -> None:
        """The next event refers to no frames."""
        for note in (self.frame, self.n_frames, self.stamp):
            note.put({"integer": -1, "number": math.nan}[note.declared_dtype])
        self.n_frames.put(0)

    def _expose(self, status: TimedStatus, n: int, before: dict[str, int]) -> None:
        """Watch one train from its own thread, so that the RunEngine is free meanwhile."""
        try:
            self.cam.acquire.put(1, wait=False)
            fault = self._watch(status, n, before)
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

    def _watch(self, status: TimedStatus, n: int, before: dict[str, int]) -> str:
        """Wait for the train's frames; what is wrong with them, or nothing."""
        last_change, last_seen = time.monotonic(), dict(before)
        while not status.done:
            seen = self.next_count(last_seen, timeout=0.25)
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
            f"({self.hdf.message.value_now() or 'the writer reports no error'})"
        )

    def _note(self, n: int, first: int) -> None:
        self.frame.put(first)
        self.n_frames.put(n)
        self.stamp.put(float(self.hdf.stamp.value_now()) + EPICS_EPOCH)

    def _abandon(self) -> None:
        """Break off what is exposing; whoever waits for it is told that it is over."""
        status, self._must_reopen = self._exposing, True
        self.cam.acquire.put(0, wait=False)
        if status is not None:
            status.finish()

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

    # Documents.

    @property
    def file_path(self) -> Path:
        """The file that is open.

        Raises:
            DeviceError: If it is not staged.
        """
        if self._file is None:
            raise DeviceError(f"{self.name}: no file is open; stage it first")
        return self._file.path

    @property
    def image_key(self) -> str:
        """Name of the frames in the descriptor."""
        return f"{self.name}_image"

    def read(self) -> dict[str, Any]:
        """What stands in an event, a comparison of its clock included."""
        found: dict[str, Any] = dict(super().read())
        return found if self.clock_watch is None else found | self.clock_watch.read()

    def describe(self) -> dict[str, Any]:
        """What an event holds; the frames are outside it."""
        described = dict(super().describe())
        if self.clock_watch is not None:
            described |= self.clock_watch.describe()
        shape = list(self.frame_shape)
        n = int(self.cam.n_images.value_now())
        described[self.image_key] = self.describe_frames(shape if n == 1 else [n, *shape])
        return described

    def describe_frames(self, shape: Sequence[int]) -> dict[str, Any]:
        """The data key of frames that lie in files."""
        return {
            "source": f"PV:{self.prefix}HDF1:",
            "dtype": "array",
            "dtype_numpy": self.dtype_numpy,
            "shape": list(shape),
            "units": "count",
            "external": "STREAM:",
        }

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.cam.n_rows.value_now()), int(self.cam.n_columns.value_now())

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """Where the frames of the last train are; nothing if it has none or was told already."""
        if self._file is not None and self._has_event:
            self._has_event = False
            yield from self._file.documents()

    def get_index(self) -> int:
        """Events in the file that is open."""
        return 0 if self._file is None else self._file.n_events
