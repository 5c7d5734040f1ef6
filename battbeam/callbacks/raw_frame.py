"""This file is where a frame of a raw run is, with its event and what its detector noted beside it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.callbacks.event_values import as_number
from battbeam.callbacks.flown_rows import FlownRow
from battbeam.callbacks.frames import FrameFile
from battbeam.experiment.clock_relation import IDENTITY, ClockRelation

#: A stage that differs by more between frame and event has moved, mm: a tenth of a small beam.
MOVED = 0.02
#: Motors of the stage, and what stands for them beside a frame.
STAGE = {"sample_stage_x": "SampleX", "sample_stage_y": "SampleY"}


@dataclass(frozen=True)
class RawFrame:
    """One frame that an event speaks of; its file may not hold it yet.

    Attributes:
        file: None if the event came without one.
        index: In the file.
        event: Its event document.
        position: Within the event.
        n_frames: Of the event.
        stream: That it was taken in.
        clock: Of the detector, as known when the event was written.
        row: Of a map on the fly, whose event it is then.
    """

    file: FrameFile | None
    index: int
    event: Mapping[str, Any]
    position: int
    n_frames: int
    clock: ClockRelation = IDENTITY
    stream: str = "primary"
    row: FlownRow | None = None

    @property
    def path(self) -> Path | None:
        """Of its file."""
        return None if self.file is None else self.file.path

    def attribute(self, name: str) -> float:
        """What the detector noted beside the frame; NaN if nothing."""
        return math.nan if self.file is None else self.file.attribute(name, self.index)

    def beside(self) -> dict[str, float]:
        """What stands beside the frame; the stage in the middle of the exposure."""
        names = ("I0", "IT", "RingCurrent", "Shutter", *STAGE.values())
        found = {name: self.attribute(name) for name in names}
        for name in STAGE.values():
            end = self.attribute(f"{name}End")
            if math.isfinite(end):
                found[name] = (found[name] + end) / 2
        return found


def moved(beside: Mapping[str, float], data: Mapping[str, Any]) -> Iterator[str]:
    """What of the stage was elsewhere than the event says, if anything.

    Args:
        beside: See `RawFrame.beside`.
        data: Of the event.
    """
    for name, attribute in STAGE.items():
        distance = abs(beside[attribute] - as_number(data.get(name)))
        if distance > MOVED:
            yield f"stage moved: {name} by {distance:.3f} mm"
