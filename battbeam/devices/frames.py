"""This file is where a train of exposures is described."""

import math
from dataclasses import dataclass
from typing import Literal

from battbeam.experiment.passage import Passage

#: What frames are of.
Role = Literal["dark", "flat", "projection", "burst", "map"]


@dataclass(frozen=True)
class FrameTrain:
    """Exposures one after the other, asked of a detector as one.

    Attributes:
        exposure: s of session clock, greater than 0.
        n_frames: At least 1.
        period: From one exposure's start to the next, s; 0 is as fast as the detector reads out.

    Raises:
        ValueError: Naming the number that cannot be.
    """

    exposure: float
    n_frames: int = 1
    period: float = 0.0

    def __post_init__(self) -> None:
        faults = train_faults(exposure=self.exposure, n_frames=self.n_frames, period=self.period)
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def duration(self) -> float:
        """From the first exposure's start to the last one's end, s, without read-out."""
        return max(self.exposure, self.period) * (self.n_frames - 1) + self.exposure


@dataclass(frozen=True)
class Flight:
    """Frames that hardware times, and what they are of: those of one role lie in one file.

    Attributes:
        role: `dark`, `flat`, `projection`, `burst` or `map`.
        train: Exposures that the camera times itself, or a passage of an axis whose pulses do.
        is_again: Whether the frames before were no good: these get another file.
    """

    role: Role
    train: FrameTrain | Passage
    is_again: bool = False


def train_faults(*, exposure: float, n_frames: int = 1, period: float = 0.0) -> list[str]:
    """What is wrong with a train of exposures, one sentence each.

    >>> train_faults(exposure=-1.0)
    ['exposure must be greater than 0 s, got -1 s']
    """
    faults = []
    if not (exposure > 0 and math.isfinite(exposure)):
        faults.append(f"exposure must be greater than 0 s, got {exposure:g} s")
    if n_frames < 1:
        faults.append(f"n_frames must be at least 1, got {n_frames}")
    if period != 0 and not period >= exposure:
        faults.append(
            f"period must be 0 or at least the exposure of {exposure:g} s, got {period:g} s"
        )
    return faults
