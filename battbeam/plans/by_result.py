"""This file is where it is said how an exposure is found by its result."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from battbeam.devices.notes import ResultNotes
from battbeam.devices.statistics import Statistics

#: Counts of the brightest pixel from which a brighter frame can be told.
ENOUGH = 30.0
#: Standard deviations by which the brightest pixel may exceed what was foretold.
SAFETY = 4.0


@dataclass
class ByResult:
    """Expose until the result is good enough; one object a measurement, it keeps what was frozen.

    A probe frame finds the attenuator's transmission at which the brightest pixel stays below
    `fill` of saturation; it is frozen for the whole run. Then frames are taken until one of `noise`,
    `n_max` and `longest` is met. A frame that overloads the detector is followed by a lower
    transmission, and the measurement starts afresh.

    Attributes:
        statistics: Of the detector's latest frame.
        probe: Exposure of the probe frame, s.
        fill: Aim of the brightest pixel, as a share of saturation.
        noise: Relative counting error of all frames together at which it is enough, 1; 0 is never.
        n_max: Points at the most.
        longest: s from the first frame's start to the last one's end, as a smear budget allows.
        transmission: That was frozen; None is not chosen yet.
    """

    statistics: Statistics
    probe: float = 1.0
    fill: float = 0.5
    noise: float = 0.0
    n_max: int = 10
    longest: float = math.inf
    transmission: float | None = None
    notes: ResultNotes = field(default_factory=ResultNotes)
    n_measured: int = 0

    def faults(self) -> list[str]:
        """What is wrong with it, one sentence each; before anything moves."""
        checks = (
            (self.probe > 0, f"probe must be greater than 0 s, got {self.probe:g} s"),
            (0 < self.fill <= 1, f"fill must be above 0 and at most 1, got {self.fill:g}"),
            (self.noise >= 0, f"noise must be at least 0, got {self.noise:g}"),
            (self.n_max >= 1, f"n_max must be at least 1, got {self.n_max}"),
            (self.longest > 0, f"longest must be greater than 0 s, got {self.longest:g} s"),
        )
        return [
            f"by result: {why}" for holds, why in checks if not holds
        ] + self.statistics.faults()

    def said(self) -> dict[str, Any]:
        """For the start document."""
        told = ("probe", "fill", "noise", "n_max", "longest")
        return {name: getattr(self, name) for name in told}

    def best(
        self,
        transmissions: Sequence[float],
        *,
        brightest: float,
        at: float,
        exposures: float,
    ) -> float | None:
        """The largest transmission at which the brightest pixel stays below its aim.

        Args:
            transmissions: That there are, 1.
            brightest: Counts of the brightest pixel in the probe frame.
            at: Transmission of the probe frame.
            exposures: Exposure of a frame over that of the probe.

        Returns:
            None if even the smallest is too bright.
        """
        aim = self.fill * float(self.statistics.saturation.value_now())
        most = brightest + SAFETY * math.sqrt(max(brightest, 1.0))
        fitting = [each for each in transmissions if most * exposures * each / at <= aim]
        return max(fitting, default=None)


def counting_error(total: float) -> float:
    """Relative standard deviation of a number of counts.

    >>> counting_error(10_000.0)
    0.01
    """
    return 1 / math.sqrt(total) if total > 0 else math.inf
