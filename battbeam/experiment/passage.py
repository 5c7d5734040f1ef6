"""This file is where one way of an axis at constant speed is counted out: pulses, speed, taxi.

An axis that moves at constant speed triggers the detector every whole number of its encoder's
counts, so that places are exact however uneven the speed is. Each pulse comes half an exposure's way
early: the *middle* of an exposure is at its place. Positions grow with the encoder.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from battbeam.units import FloatArray

#: Part of a step for which the axis moves at constant speed before the first pulse: the record
#: settles, and the detector is ready. Chosen here.
SETTLE = 0.5
#: Relative unevenness of an axis' speed: pulses may come closer together by that. Chosen here; it
#: also covers that times since 1970 are known to some tenths of a microsecond only.
RIPPLE = 0.01


@dataclass(frozen=True)
class Drive:
    """What is known of an axis with an encoder.

    Attributes:
        counts: Of its encoder, per unit; 0 is not known.
        acceleration: From rest to any speed, s.
        speed_limit: Units per s; infinity is not known.
    """

    counts: float
    acceleration: float = 0.0
    speed_limit: float = math.inf


@dataclass(frozen=True)
class Passage(ABC):
    """One way at constant speed, with a pulse every whole number of counts.

    Attributes:
        first: Encoder count in the middle of the first exposure.
        step: Counts from one exposure to the next; negative goes back.
        n_frames: At least 2.
        exposure: s.
        period: From one pulse to the next, s.
        unit: Of the axis.
    """

    first: int
    step: int
    n_frames: int
    exposure: float
    period: float
    unit: ClassVar[str]

    @property
    @abstractmethod
    def drive(self) -> Drive:
        """What moves."""

    @property
    def spacing(self) -> float:
        """A step, in the axis' unit; negative goes back."""
        return self.step / self.drive.counts

    @property
    def speed(self) -> float:
        """Of the axis while it measures, units per s."""
        return abs(self.spacing) / self.period

    @property
    def way(self) -> float:
        """How far it goes in one exposure, in the axis' unit."""
        return self.speed * self.exposure

    @cached_property
    def places(self) -> FloatArray:
        """Middles of the exposures, shape (n_frames,)."""
        counts = self.first + self.step * np.arange(self.n_frames)
        return np.asarray(counts / self.drive.counts)

    @property
    def first_pulse(self) -> float:
        """Where the first exposure begins, a whole count."""
        counts = self.drive.counts
        early = round(math.copysign(self.way / 2, self.step) * counts)
        return (self.first - early) / counts

    @property
    def taxi(self) -> float:
        """From rest to constant speed, and some way at it."""
        return self.speed * self.drive.acceleration / 2 + SETTLE * abs(self.spacing)

    @property
    def begin(self) -> float:
        """Where the axis sets out."""
        return self.first_pulse - math.copysign(self.taxi, self.step)

    @property
    def end(self) -> float:
        """Where it comes to rest."""
        last = self.first_pulse + self.spacing * (self.n_frames - 1)
        return last + math.copysign(self.way + self.taxi, self.step)

    @property
    def duration(self) -> float:
        """From the first exposure's start to the last one's end, s."""
        return (self.n_frames - 1) * self.period + self.exposure

    @property
    def travel_time(self) -> float:
        """From rest to rest, s."""
        return abs(self.end - self.begin) / self.speed + self.drive.acceleration

    def reversed(self) -> Self:
        """The same places in the other direction."""
        return replace(self, first=self.first + self.step * (self.n_frames - 1), step=-self.step)

    def shifted(self, counts: int) -> Self:
        """The same, further by some counts."""
        return replace(self, first=self.first + counts)

    def faults(self, *, readout_time: float = 0.0) -> list[str]:
        """Why the axis or the detector cannot do it, one sentence each.

        Args:
            readout_time: s that the detector needs between two exposures.
        """
        faults = []
        shortest = shortest_period(self.exposure, readout_time)
        if self.period < shortest * (1 - 1e-9):
            faults.append(
                f"{self.speed:.4g} {self.unit}/s is too fast: a pulse comes every {self.period:g} s, "
                f"the camera needs {self.exposure:g} s and {readout_time:g} s to read out, and the "
                f"stage is uneven by {RIPPLE:.0%}; at most {abs(self.spacing) / shortest:.4g} "
                f"{self.unit}/s"
            )
        if self.speed > self.drive.speed_limit:
            faults.append(
                f"{self.speed:.4g} {self.unit}/s is faster than the stage moves "
                f"({self.drive.speed_limit:g} {self.unit}/s); allow {self.duration_at_limit:.3g} s"
            )
        return faults

    @property
    def duration_at_limit(self) -> float:
        """The shortest time in which the axis can go so far, s."""
        return (self.n_frames - 1) * abs(self.spacing) / self.drive.speed_limit


@dataclass(frozen=True)
class Line(Passage):
    """One row of a map, mm.

    Attributes:
        axis: What moves.

    >>> line = Line.over(-1.0, 1.0, 11, exposure=0.5, period=0.505, axis=Drive(counts=1e4))
    >>> round(line.spacing, 6), round(line.speed, 4), round(line.way, 4)
    (0.2, 0.396, 0.198)
    """

    axis: Drive
    unit: ClassVar[str] = "mm"

    @property
    def drive(self) -> Drive:
        """What moves."""
        return self.axis

    @classmethod
    def over(
        cls,
        start: float,
        stop: float,
        n_frames: int,
        *,
        exposure: float,
        period: float,
        axis: Drive,
    ) -> "Line":
        """From ``start`` to ``stop``, mm, both measured; see `whole_step`."""
        step = whole_step(start, stop, n_frames, counts=axis.counts, unit=cls.unit)
        return cls(round(start * axis.counts), step, n_frames, exposure, period, axis)


def whole_step(
    start: float, stop: float, n_frames: int, *, counts: float, unit: str, noun: str = "points"
) -> int:
    """Counts from one of ``n_frames`` places, at least 2, to the next.

    A step is a whole number of counts: the last place is off by half a count for every step at the
    most.

    Raises:
        ValueError: If the encoder is not known, or too coarse: the last place would be off by more
            than a step.
    """
    if not counts > 0:
        raise ValueError(f"the encoder's counts per {unit} are not known")
    exact = (stop - start) * counts / (n_frames - 1)
    step = round(exact)
    if step == 0 or abs(step - exact) * (n_frames - 1) > abs(exact):
        raise ValueError(
            f"a step of {abs(exact) / counts:.3g} {unit} is {abs(exact):.3g} counts of the "
            f"encoder, too few for steps of whole counts; take fewer {noun}"
        )
    return step


def shortest_period(exposure: float, readout_time: float) -> float:
    """From one pulse to the next, s, so that the detector can follow an uneven axis.

    >>> round(shortest_period(0.1, 0.0), 6)
    0.101
    """
    return (exposure + readout_time) * (1 + RIPPLE)
