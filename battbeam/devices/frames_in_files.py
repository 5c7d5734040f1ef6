"""This file is where an area detector has its frames in files: opened when it is staged, and told in
documents.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd import FormattedComponent as FCpt

from battbeam.devices.camera import Camera
from battbeam.devices.clock_watch import ClockWatch
from battbeam.devices.frame_writer import FrameFile, FrameWriter, adjust
from battbeam.devices.signals import Note, Readback, Setting
from battbeam.errors import DeviceError

#: areaDetector stamps frames in s since 1990-01-01 UTC; documents count from 1970-01-01.
EPICS_EPOCH = 631_152_000.0
#: Bytes that must be free before a file is opened: some hundred frames of four million pixels.
MINIMUM_FREE = 1e9


class FramesInFiles(Device):  # type: ignore[misc]
    """A camera whose server writes its frames to HDF5; what exposes it comes on top.

    Args:
        directory: Where the server shall write.
        boot_id_pv: A record that changes when the detector's server restarts.
        readout_delay: From the end of an exposure to its stamp, s; a calibrated value.
        dtype_numpy: Of a pixel in the file.
        clock_watch: Compares the clock that stamps its frames; none where that is the session's.
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
        dtype_numpy: str = "<u4",
        clock_watch: ClockWatch | None = None,
        **kwargs: Any,
    ) -> None:
        self._boot_id_pv, self.clock_watch = boot_id_pv, clock_watch
        super().__init__(prefix, name=name, **kwargs)
        self.directory, self.dtype_numpy = directory, dtype_numpy
        self.readout_delay.put(float(readout_delay))
        self._found: list[tuple[Setting, Any]] = []
        self._file: FrameFile | None = None
        self._boot = ""
        self._must_reopen = self._has_event = False

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

    # What an event holds.

    def without_frames(self) -> None:
        """The next event refers to no frames."""
        for note in (self.frame, self.n_frames, self.stamp):
            note.put({"integer": -1, "number": math.nan}[note.declared_dtype])
        self.n_frames.put(0)

    def _note(self, n: int, first: int) -> None:
        self.frame.put(first)
        self.n_frames.put(n)
        self.stamp.put(float(self.hdf.stamp.value_now()) + EPICS_EPOCH)

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
