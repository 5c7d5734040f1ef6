"""This file is where frames that hardware timed get into documents, while they come."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ophyd import Device

from battbeam.devices.detector import AreaDetector
from battbeam.devices.frame_writer import FrameFile


@dataclass(frozen=True)
class Flown:
    """What came of one train.

    Attributes:
        n_asked: Frames.
        n_frames: That are in the file.
        n_missed: Pulses that the camera could not follow; -1: nobody counts them.
        first: Index of the first in its file.
        file: Its path.
        start: Session clock before the first, s.
        end: Session clock after the last, s.
        fault: What makes it partial; empty if nothing does.
    """

    n_asked: int
    n_frames: int = 0
    n_missed: int = -1
    first: int = -1
    file: str = ""
    start: float = math.nan
    end: float = math.nan
    fault: str = ""


class FlownFrames(Device):  # type: ignore[misc]
    """A camera of whose frames only their number is known, until somebody reads the file.

    Args:
        camera: That exposes and writes.
    """

    def __init__(self, *, name: str, camera: AreaDetector, **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        self.camera = camera
        self._file: FrameFile | None = None
        self._first = self._arrived = 0

    @property
    def n_frames(self) -> int:
        """Frames of the latest train that have come."""
        return self._arrived

    def describe_collect(self) -> dict[str, Any]:
        """The frames, which lie outside the documents."""
        return {self.camera.image_key: self.camera.describe_frames(self.camera.frame_shape)}

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """Where the frames are that have come and were not told of yet."""
        n = self.get_index() if index is None else min(index, self.get_index())
        if self._file is not None:
            yield from self._file.documents_to(n)

    def get_index(self) -> int:
        """Frames in the file that is open."""
        return 0 if self._file is None else self._first + self._arrived

    def read_configuration(self) -> dict[str, Any]:
        """Of the camera."""
        found: dict[str, Any] = {**super().read_configuration(), **self.camera.read_configuration()}
        return found

    def describe_configuration(self) -> dict[str, Any]:
        """Of the camera."""
        found: dict[str, Any] = super().describe_configuration()
        return {**found, **self.camera.describe_configuration()}
