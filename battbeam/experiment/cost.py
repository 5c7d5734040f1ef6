"""This file is where it is said what one measurement costs: time, light, frames, bytes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spot:
    """Where the beam goes through a cell: the middle of its footprint, in the cell's own frame.

    Attributes:
        x: mm.
        y: mm.
        exposure: s of open shutter there.
    """

    x: float
    y: float
    exposure: float


@dataclass(frozen=True)
class Cost:
    """What one measurement costs, as far as it is known before it runs.

    Attributes:
        duration: s of the session's clock, from its start to its end, moves included.
        spots: Where it exposes and for how long, in order.
        n_frames: Frames of all detectors.
        n_bytes: On disk.
        span: s from the start of its first exposure to the end of its last one, at most; None is
            not known.
    """

    duration: float
    spots: tuple[Spot, ...] = ()
    n_frames: int = 0
    n_bytes: int = 0
    span: float | None = None

    @property
    def exposure(self) -> float:
        """s of open shutter in all."""
        return sum(spot.exposure for spot in self.spots)

    @property
    def smeared(self) -> float:
        """s in which a change of the cell smears what is measured: without a span, all of it."""
        return self.duration if self.span is None else self.span
