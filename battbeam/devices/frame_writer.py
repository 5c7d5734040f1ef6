"""This file is where an area detector's file writer is opened, closed and described in documents.

It speaks the `HDF1:` records of areaDetector's NDFileHDF5. Frames stay in the server's file.
"""

import math
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from event_model import StreamRange, compose_stream_resource
from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Readback, Setting
from battbeam.errors import DeviceError

#: Wall seconds in which a record takes a value and in which a file opens or closes.
FILE_TIMEOUT = 15.0
#: Wall seconds between two looks at a record that is waited for; a few hundred reads at most.
LOOK_INTERVAL = 0.01
#: NDFileHDF5's FileWriteMode: every frame goes to the file as it comes.
STREAM = 2
#: Where NDFileHDF5 puts the frames unless a layout file says otherwise.
DATASET = "/entry/data/data"


def wait_until(condition: Callable[[], bool], *, timeout: float, what: Callable[[], str]) -> None:
    """Wait for a record.

    Raises:
        DeviceError: If it takes longer than ``timeout`` wall seconds; says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise DeviceError(f"{what()}: not within {timeout:g} s")
        time.sleep(LOOK_INTERVAL)


#: Relative distance at which two numbers are the same: times are rounded to the camera's clock.
ROUNDED = 1e-3
#: The same where every encoder count matters.
EXACT = 1e-9


def same(one: Any, other: Any, tolerance: float = ROUNDED) -> bool:
    """Whether a record has taken a value."""
    if isinstance(one, float):
        return math.isclose(one, float(other), rel_tol=tolerance, abs_tol=1e-3 * tolerance)
    if isinstance(one, str):
        return one.rstrip("/") == str(other).rstrip("/")
    return bool(one == other)


def adjust(signal: Setting, value: Any, *, tolerance: float = ROUNDED) -> None:
    """Put a value unless it is there already, and wait until the record has it.

    Raises:
        DeviceError: If the record does not take it.
    """
    if same(signal.value_now(), value, tolerance):
        return
    signal.put(value, wait=False)
    wait_until(
        lambda: same(signal.value_now(), value, tolerance),
        timeout=FILE_TIMEOUT,
        what=lambda: f"{signal.name}: {value!r} asked for, still {signal.value_now()!r}",
    )


class FrameWriter(Device):  # type: ignore[misc]
    """What writes frames to a file."""

    source = Cpt(
        Setting,
        "NDArrayPort_RBV",
        write_pv="NDArrayPort",
        dtype="string",
        kind="omitted",
        doc="whose frames it writes",
    )
    file_path = Cpt(
        Setting,
        "FilePath_RBV",
        write_pv="FilePath",
        dtype="string",
        kind="omitted",
        doc="directory",
    )
    file_name = Cpt(
        Setting, "FileName_RBV", write_pv="FileName", dtype="string", kind="omitted", doc="stem"
    )
    template = Cpt(
        Setting,
        "FileTemplate_RBV",
        write_pv="FileTemplate",
        dtype="string",
        kind="omitted",
        doc="path and stem",
    )
    path_exists = Cpt(
        Readback,
        "FilePathExists_RBV",
        dtype="integer",
        kind="omitted",
        doc="whether the server sees it",
    )
    full_name = Cpt(Readback, "FullFileName_RBV", dtype="string", kind="omitted", doc="the file")
    write_mode = Cpt(
        Setting,
        "FileWriteMode_RBV",
        write_pv="FileWriteMode",
        dtype="integer",
        kind="omitted",
        doc="2: as they come",
    )
    n_asked = Cpt(
        Setting,
        "NumCapture_RBV",
        write_pv="NumCapture",
        dtype="integer",
        kind="omitted",
        doc="0: without end",
    )
    captured = Cpt(Readback, "NumCaptured_RBV", dtype="integer", kind="omitted", doc="in this file")
    capture = Cpt(
        Setting,
        "Capture_RBV",
        write_pv="Capture",
        dtype="integer",
        kind="omitted",
        doc="1 while a file is open",
    )
    stamp = Cpt(
        Readback, "TimeStamp_RBV", units="s", kind="omitted", doc="of the last frame, s since 1990"
    )
    message = Cpt(Readback, "WriteMessage", dtype="string", kind="omitted", doc="of the last error")

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What `open_file` changes."""
        return (self.file_path, self.file_name, self.template, self.write_mode, self.n_asked)

    def check_space(self, directory: Path, n_bytes: float) -> None:
        """Check that the disk has room, where it can be seen from here.

        Raises:
            DeviceError: With what is free and what is wanted.
        """
        if not directory.exists():
            return
        free = shutil.disk_usage(directory).free
        if free < n_bytes:
            raise DeviceError(
                f"{self.name}: {directory} has {free / 1e6:.0f} MB free, "
                f"{n_bytes / 1e6:.0f} MB are wanted before a run; make room"
            )

    def open_file(self, directory: Path) -> Path:
        """Open a file of its own for what comes now.

        Raises:
            DeviceError: If the server cannot; with its own message.
        """
        adjust(self.file_path, f"{directory}/")
        if not self.path_exists.value_now():
            raise DeviceError(f"{self.name}: the server finds no directory {directory}")
        adjust(self.file_name, str(uuid.uuid4()))
        adjust(self.template, "%s%s.h5")
        adjust(self.write_mode, STREAM)
        adjust(self.n_asked, 0)
        # The put callback of Capture comes when the file is closed again: never wait for it.
        self.capture.put(1, wait=False)
        wait_until(
            lambda: self.capture.value_now() == 1,
            timeout=FILE_TIMEOUT,
            what=lambda: f"{self.name}: no file in {directory} ({self.message.value_now()!r})",
        )
        return Path(str(self.full_name.value_now()))

    def close_file(self) -> None:
        """Close the file that is open, if one is.

        Raises:
            DeviceError: If it stays open.
        """
        if self.capture.value_now() == 0:
            return
        self.capture.put(0, wait=False)
        wait_until(
            lambda: self.capture.value_now() == 0,
            timeout=FILE_TIMEOUT,
            what=lambda: f"{self.name}: file closed",
        )


class FrameFile:
    """The documents of one file: the resource once, and an index an event.

    Args:
        path: Of the file, as the server names it.
        data_key: That its frames belong to.
        frame_shape: Rows and columns.
    """

    def __init__(self, path: Path, *, data_key: str, frame_shape: tuple[int, int]) -> None:
        self.path = path
        self.n_events = 0
        self._is_announced = False
        self._bundle = compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{quote(str(path))}",
            data_key=data_key,
            parameters={"dataset": DATASET, "chunk_shape": [1, *frame_shape], "swmr": True},
        )

    def documents(self) -> Iterator[tuple[str, Any]]:
        """Documents of one more event."""
        yield from self.documents_to(self.n_events + 1)

    def documents_to(self, n_events: int) -> Iterator[tuple[str, Any]]:
        """Documents of everything up to an index that was not told yet; nothing if there is none."""
        if n_events <= self.n_events:
            return
        if not self._is_announced:
            self._is_announced = True
            yield "stream_resource", self._bundle.stream_resource_doc
        first, self.n_events = self.n_events, n_events
        datum = self._bundle.compose_stream_datum(StreamRange(start=first, stop=n_events))
        yield "stream_datum", datum
