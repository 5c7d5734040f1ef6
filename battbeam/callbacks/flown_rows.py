"""This file is where frames that were taken while the sample moved get a place in their map.

Such frames have no event of their own; a row of them has one, behind its last frame. What no event
speaks of was broken off by a pause, and flown again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class InFile(Protocol):
    """A frame that lies in a file."""

    @property
    def path(self) -> Path | None:
        """Of the file; None without one."""
        ...

    @property
    def index(self) -> int:
        """In the file."""
        ...


Frame = TypeVar("Frame", bound=InFile)


@dataclass(frozen=True)
class FlownRow:
    """One row of a map, as the event of its train tells it.

    Attributes:
        number: From 0, in the order in which rows were flown.
        axis: Motor that moved.
        first: Nominal middle of the first exposure, mm.
        last: Of the last one.
        n_points: Of the row.
        first_index: Of its first frame in the file.
    """

    number: int
    axis: str
    first: float
    last: float
    n_points: int
    first_index: int

    @classmethod
    def of_event(cls, data: Mapping[str, Any], axis: str) -> "FlownRow":
        """The row that an event of stream ``trains`` tells of."""
        return cls(
            int(data["row"]),
            axis,
            float(data["position_first"]),
            float(data["position_last"]),
            int(data["n_frames_asked"]),
            int(data["first"]),
        )

    def told(self, data: Mapping[str, Any], index: int, place: float) -> dict[str, Any]:
        """What stands for the event of one frame: its point, nominal place and spot.

        Args:
            data: Of the train's event.
            index: Of the frame in its file.
            place: Of the stage in the middle of the exposure, mm; NaN: not known, and the frames
                are counted.
        """
        step = (self.last - self.first) / (self.n_points - 1)
        number = index - self.first_index
        if math.isfinite(place):
            # A pulse that was missed moves no frame to another point.
            number = min(max(round((place - self.first) / step), 0), self.n_points - 1)
        nominal = self.first + number * step
        told = {**data, "point": self.number * self.n_points + number, self.axis: nominal}
        if "spot_x" in data:
            told["spot_x"] = data["spot_x"] + nominal - (self.first + self.last) / 2
        return told


class FlownRows(Generic[Frame]):
    """The frames of a run that was flown, until their train is told of."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._told: set[int] = set()

    def add(self, frames: list[Frame]) -> None:
        """Frames that have come."""
        self._frames += frames

    def of_train(self, data: Mapping[str, Any]) -> list[Frame]:
        """Those of a train, by its event; none if it was told before."""
        number = int(data["train"])
        if number in self._told:
            return []
        self._told.add(number)
        path, first = Path(data["file"]), int(data["first"])
        last = first + int(data["n_frames"])
        found = [
            frame for frame in self._frames if frame.path == path and first <= frame.index < last
        ]
        self._frames = []
        return found
