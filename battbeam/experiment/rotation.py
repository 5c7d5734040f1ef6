"""This file is where the turning of a sample is counted out: arcs and the order of their angles.

How an arc is flown is said in `battbeam.experiment.passage`. Angles are in degree and grow with the
encoder.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from battbeam.experiment.passage import Drive, Passage, whole_step
from battbeam.units import FloatArray

#: 1 / golden ratio: the part of a turn (of a step, of an arc) that fills gaps most evenly.
GOLDEN = (math.sqrt(5.0) - 1) / 2
#: How far the field's edge may move in one exposure before it is told, pixels. Chosen here.
BLUR = 1.0

Order = Literal["ascending", "golden_arcs", "golden_angle"]


@dataclass(frozen=True)
class Turntable:
    """What is known of a rotation stage.

    Attributes:
        counts_per_degree: Of its encoder; 0 is not known.
        acceleration: From rest to any speed, s.
        speed: With which it travels, degree/s.
        speed_limit: degree/s; infinity is not known.
    """

    counts_per_degree: float
    acceleration: float = 0.0
    speed: float = 90.0
    speed_limit: float = math.inf


@dataclass(frozen=True)
class Rotation(Passage):
    """One arc at constant speed, with a pulse every whole number of counts; degree.

    Attributes:
        table: What turns.
    """

    table: Turntable
    unit: ClassVar[str] = "degree"

    @classmethod
    def over(
        cls,
        start: float,
        stop: float,
        n_frames: int,
        *,
        exposure: float,
        period: float,
        table: Turntable,
    ) -> "Rotation":
        """From ``start`` to ``stop``, degree, both measured; at least 2 frames.

        A step is a whole number of counts: the last angle is off by half a count for every step at
        the most.

        Raises:
            ValueError: If the encoder is not known, or too coarse: the last angle would be off by
                more than a step.
        """
        counts = table.counts_per_degree
        step = whole_step(start, stop, n_frames, counts=counts, unit=cls.unit, noun="projections")
        return cls(round(start * counts), step, n_frames, exposure, period, table)

    @property
    def drive(self) -> Drive:
        """What turns."""
        table = self.table
        return Drive(table.counts_per_degree, table.acceleration, table.speed_limit)

    @property
    def degrees(self) -> float:
        """A step, degree."""
        return self.spacing

    @property
    def turn(self) -> float:
        """How far it turns in one exposure, degree."""
        return self.way

    @property
    def omegas(self) -> FloatArray:
        """Middles of the exposures, degree, shape (n_frames,)."""
        return self.places

    def warnings(self, *, n_columns: int) -> list[str]:
        """What is allowed but should be known, one sentence each."""
        blur = math.radians(self.turn) * n_columns / 2
        if blur <= BLUR:
            return []
        return [
            f"the field's edge moves by {blur:.1f} pixels in one exposure; "
            f"expose {self.exposure * BLUR / blur:.3g} s or turn more slowly"
        ]


def fewest_projections(n_columns: int) -> int:
    """Projections over half a turn that a field of so many columns needs.

    Source:
        Crowther, DeRosier and Klug, Proc. R. Soc. A 317 (1970) 319: steps of one pixel at the edge.

    >>> fewest_projections(256)
    403
    """
    return math.ceil(math.pi / 2 * n_columns)


def angle_warnings(n_projections: int, *, n_columns: int) -> list[str]:
    """What is allowed of a number of projections but should be known, one sentence each."""
    needed = fewest_projections(n_columns)
    if n_projections >= needed:
        return []
    sharp = 2 * n_projections / math.pi
    return [
        f"{n_projections} projections resolve a circle of {sharp:.0f} pixels about the axis; the "
        f"field of {n_columns} columns needs {needed}"
    ]


def golden_arc(arc: Rotation, number: int) -> Rotation:
    """To and fro over one arc, each time between the angles of the times before.

    The angles of arc k lie a golden part of a step further than those of arc k - 1: any
    consecutive arcs together have gaps of at most three lengths, none longer than a step.

    Args:
        arc: The first one; it must not include its end, which is where the next step would be.
        number: From 0; odd ones go back.

    Source:
        Three-distance theorem (Sos 1958); golden-angle order as Kohler, Proc. IEEE NSS (2004).

    >>> table = Turntable(counts_per_degree=100.0)
    >>> arc = Rotation(0, 1000, 4, 0.1, 0.1, table)
    >>> [golden_arc(arc, number).omegas.round(2).tolist() for number in range(3)]
    [[0.0, 10.0, 20.0, 30.0], [36.18, 26.18, 16.18, 6.18], [2.36, 12.36, 22.36, 32.36]]
    """
    shifted = arc.shifted(round(math.modf(number * GOLDEN)[0] * arc.step))
    return shifted.reversed() if number % 2 else shifted


def golden_angle(number: int, *, start: float, span: float) -> float:
    """An angle that is a golden part of the span after the one before, degree.

    Args:
        number: From 0.
        start: The first, degree.
        span: That they fill, degree; 180 for a tomogram.

    >>> [round(golden_angle(number, start=0.0, span=180.0), 2) for number in range(4)]
    [0.0, 111.25, 42.49, 153.74]
    """
    return start + span * math.modf(number * GOLDEN)[0]


def whole_counts(angles: FloatArray, table: Turntable) -> FloatArray:
    """The nearest angles that are whole counts of the encoder, degree; the same if that is not known."""
    counts = table.counts_per_degree
    return np.asarray(np.rint(angles * counts) / counts if counts > 0 else angles)
