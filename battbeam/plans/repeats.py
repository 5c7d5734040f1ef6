"""This file is where it is said when enough spectra of an edge have been taken."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from battbeam.experiment.clock import Clock


@dataclass(frozen=True)
class Repeats:
    """Take spectra until the first of these is met.

    Attributes:
        n_max: Spectra of each edge at the most.
        noise: Counting error of the absorbance at the worst point of all spectra together, 1; 0 is
            never. In fluorescence the relative error of the ratio.
        smear: Change of the state of charge from the first spectrum's start to the last one's end,
            1: the next one is not begun if it would pass it. Needs the cell's passport.
        longest: The same in s of session clock.
    """

    n_max: int = 1
    noise: float = 0.0
    smear: float = math.inf
    longest: float = math.inf

    def faults(self) -> list[str]:
        """What is wrong with them, one sentence each."""
        checks = (
            (self.n_max >= 1, f"n_max must be at least 1, got {self.n_max}"),
            (self.noise >= 0, f"noise must be at least 0, got {self.noise:g}"),
            (self.smear > 0, f"smear must be greater than 0, got {self.smear:g}"),
            (self.longest > 0, f"longest must be greater than 0 s, got {self.longest:g} s"),
        )
        return [f"repeats: {why}" for holds, why in checks if not holds]

    def said(self) -> dict[str, Any]:
        """For the start document; no limit is null."""
        return {
            name: value if math.isfinite(value) else None for name, value in asdict(self).items()
        }


class Course:
    """How far the spectra of one edge have come.

    Args:
        repeats: When it is enough.
        n_points: Of each spectrum.
        clock: The session's.
        state_of_charge: Of the cell now, 1; NaN where it is not known.

    Attributes:
        stopped: Why no other spectrum follows; empty: one does.
        n_spectra: That have begun.
    """

    def __init__(
        self,
        repeats: Repeats,
        n_points: int,
        clock: Clock,
        state_of_charge: Callable[[], float],
    ) -> None:
        self.stopped, self.n_spectra = "", 0
        self._repeats, self._clock, self._state_of_charge = repeats, clock, state_of_charge
        self._before, self._behind = np.zeros(n_points), np.zeros(n_points)
        self._counted = np.zeros(n_points, dtype=bool)
        self._first = self._start = self._end = math.nan
        self._charge = math.nan

    def begin(self) -> None:
        """One more spectrum begins."""
        self._start = self._clock.now()
        if self.n_spectra == 0:
            self._first, self._charge = self._start, self._state_of_charge()
        self.n_spectra += 1

    def count(self, points: Any, before: Any, behind: Any) -> None:
        """Add photons counted before and behind the sample, or fluoresced, at points by index."""
        self._before[points] += before
        self._behind[points] += behind
        self._counted[points] = True

    @property
    def absorbance_error(self) -> float:
        """Of counting alone, at the worst point, 1; infinite where a point has no photons."""
        least = np.minimum(self._before, self._behind)[self._counted]
        if not len(least):
            return math.nan
        if least.min() <= 0:
            return math.inf
        before, behind = self._before[self._counted], self._behind[self._counted]
        return float(np.sqrt(1 / before + 1 / behind).max())

    @property
    def smear(self) -> float:
        """Change of the state of charge since the first spectrum began, 1; NaN: not known."""
        return abs(self._state_of_charge() - self._charge)

    @property
    def span(self) -> tuple[float, float]:
        """Start and end of the last spectrum, s, session clock."""
        return self._start, self._end

    def end(self, broken: str = "") -> None:
        """The spectrum has ended; see whether another one follows.

        Args:
            broken: Why it ended before its last point; empty: it did not.
        """
        repeats, self._end = self._repeats, self._clock.now()
        error, growth = self.absorbance_error, 1 + 1 / max(self.n_spectra, 1)
        if broken:
            self.stopped = broken
        elif error <= repeats.noise:
            self.stopped = f"counting error {error:.2g} met {repeats.noise:g}"
        elif self.n_spectra >= repeats.n_max:
            self.stopped = f"count cap of {repeats.n_max} spectra"
        elif (self._end - self._first) * growth > repeats.longest:
            self.stopped = f"another spectrum would pass {repeats.longest:g} s"
        elif self.smear * growth > repeats.smear:
            self.stopped = f"another spectrum would pass a smear of {repeats.smear:g}"
