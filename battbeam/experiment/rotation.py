"""This file is where the turning of a sample is counted out: pulses, speed, taxi, order of angles.

A stage that turns at constant speed triggers the camera every whole number of its encoder's counts,
so that angles are exact however uneven the speed is. Each pulse comes half an exposure's turn early:
the *middle* of an exposure is at its angle. Angles are in degree and grow with the encoder.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from battbeam.units import FloatArray

#: 1 / golden ratio: the part of a turn (of a step, of an arc) that fills gaps most evenly.
GOLDEN = (math.sqrt(5.0) - 1) / 2
#: Part of a step for which the stage turns at constant speed before the first pulse: the record
#: settles, and the camera is ready. Chosen here.
SETTLE = 0.5
#: Relative unevenness of a stage's speed: pulses may come closer together by that. Chosen here; it
#: also covers that times since 1970 are known to some tenths of a microsecond only.
RIPPLE = 0.01
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
class Rotation:
    """One arc at constant speed, with a pulse every whole number of counts.

    Attributes:
        first: Encoder count in the middle of the first exposure.
        step: Counts from one exposure to the next; negative turns back.
        n_frames: At least 2.
        exposure: s.
        period: From one pulse to the next, s.
        table: What turns.
    """

    first: int
    step: int
    n_frames: int
    exposure: float
    period: float
    table: Turntable

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
        if not counts > 0:
            raise ValueError("the encoder's counts per degree are not known")
        exact = (stop - start) * counts / (n_frames - 1)
        step = round(exact)
        if step == 0 or abs(step - exact) * (n_frames - 1) > abs(exact):
            raise ValueError(
                f"a step of {abs(exact) / counts:.3g} degree is {abs(exact):.3g} counts of the "
                "encoder, too few for steps of whole counts; take fewer projections"
            )
        return cls(round(start * counts), step, n_frames, exposure, period, table)

    @property
    def degrees(self) -> float:
        """A step, degree."""
        return self.step / self.table.counts_per_degree

    @property
    def speed(self) -> float:
        """Of the stage while it measures, degree/s."""
        return abs(self.degrees) / self.period

    @property
    def turn(self) -> float:
        """How far it turns in one exposure, degree."""
        return self.speed * self.exposure

    @cached_property
    def omegas(self) -> FloatArray:
        """Middles of the exposures, degree, shape (n_frames,)."""
        counts = self.first + self.step * np.arange(self.n_frames)
        return np.asarray(counts / self.table.counts_per_degree)

    @property
    def first_pulse(self) -> float:
        """Where the first exposure begins, a whole count, degree."""
        counts = self.table.counts_per_degree
        early = round(math.copysign(self.turn / 2, self.step) * counts)
        return (self.first - early) / counts

    @property
    def taxi(self) -> float:
        """From rest to constant speed, and some way at it, degree."""
        return self.speed * self.table.acceleration / 2 + SETTLE * abs(self.degrees)

    @property
    def begin(self) -> float:
        """Where the stage sets out, degree."""
        return self.first_pulse - math.copysign(self.taxi, self.step)

    @property
    def end(self) -> float:
        """Where it comes to rest, degree."""
        last = self.first_pulse + self.degrees * (self.n_frames - 1)
        return last + math.copysign(self.turn + self.taxi, self.step)

    @property
    def duration(self) -> float:
        """From the first exposure's start to the last one's end, s."""
        return (self.n_frames - 1) * self.period + self.exposure

    @property
    def travel_time(self) -> float:
        """From rest to rest, s."""
        return abs(self.end - self.begin) / self.speed + self.table.acceleration

    def reversed(self) -> "Rotation":
        """The same angles in the other direction."""
        return replace(self, first=self.first + self.step * (self.n_frames - 1), step=-self.step)

    def shifted(self, counts: int) -> "Rotation":
        """The same, further by some counts."""
        return replace(self, first=self.first + counts)

    def faults(self, *, readout_time: float = 0.0) -> list[str]:
        """Why the stage or the camera cannot do it, one sentence each.

        Args:
            readout_time: s that the camera needs between two exposures.
        """
        faults = []
        shortest = shortest_period(self.exposure, readout_time)
        if self.period < shortest * (1 - 1e-9):
            faults.append(
                f"{self.speed:.4g} degree/s is too fast: a pulse comes every {self.period:g} s, the "
                f"camera needs {self.exposure:g} s and {readout_time:g} s to read out, and the "
                f"stage is uneven by {RIPPLE:.0%}; at most {abs(self.degrees) / shortest:.4g} "
                "degree/s"
            )
        if self.speed > self.table.speed_limit:
            faults.append(
                f"{self.speed:.4g} degree/s is faster than the stage turns "
                f"({self.table.speed_limit:g} degree/s); allow {self.duration_at_limit:.3g} s"
            )
        return faults

    @property
    def duration_at_limit(self) -> float:
        """The shortest time in which the stage can turn so far, s."""
        return (self.n_frames - 1) * abs(self.degrees) / self.table.speed_limit

    def warnings(self, *, n_columns: int) -> list[str]:
        """What is allowed but should be known, one sentence each."""
        blur = math.radians(self.turn) * n_columns / 2
        if blur <= BLUR:
            return []
        return [
            f"the field's edge moves by {blur:.1f} pixels in one exposure; "
            f"expose {self.exposure * BLUR / blur:.3g} s or turn more slowly"
        ]


def shortest_period(exposure: float, readout_time: float) -> float:
    """From one pulse to the next, s, so that the camera can follow an uneven stage.

    >>> round(shortest_period(0.1, 0.0), 6)
    0.101
    """
    return (exposure + readout_time) * (1 + RIPPLE)


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
