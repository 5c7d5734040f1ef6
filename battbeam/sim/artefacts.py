"""This file is where a detector does wrong what its scenario says: lag, drift, pile-up, hot pixels, a move.

A detector without faults counts as `battbeam.sim.frame.counts` does, to the last count. What is by chance
here comes from random numbers of its own. Of pile-up the mean is imitated, not that it makes counts more
even than Poisson's; of lag that a frame leaves a share of what it recorded, not that the panel sees light
between frames.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from battbeam.sim.frame import counts
from battbeam.sim.scenario import Detector, DetectorFaults, Scenario
from battbeam.units import FloatArray

#: Of the random numbers of lag, beside the scenario's seed.
_STREAM = 0x6C61
_HOUR = 3600.0


@dataclass(frozen=True)
class _Left:
    """What the last frame leaves: its counts above dark, and when it ended."""

    signal: FloatArray
    end: float


class Panel:
    """Counts photons as the detector of a scenario does, faults included.

    Args:
        scenario: What is simulated.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._left: _Left | None = None

    @property
    def _faults(self) -> DetectorFaults:
        return self._scenario.detector.faults

    def counts(
        self,
        photons: FloatArray,
        *,
        start: float,
        end: float,
        number: int,
        rng: np.random.Generator,
    ) -> npt.NDArray[np.uint32]:
        """What is counted of the expected photons in an exposure, shape (rows, columns).

        With lag it depends on the frame that was counted before.

        Args:
            photons: Expected, shape (rows, columns).
            start: Of the exposure, session clock, s.
            end: s.
            number: Of the frame.
            rng: Chance of the frame itself.
        """
        faults, duration = self._faults, end - start
        seen = _with_hot_cluster(photons, faults)
        if faults.dead_time > 0:
            seen = seen / (1 + seen * faults.dead_time / duration)
        detector = self.detector_at(start)
        frame = counts(seen, duration=duration, detector=detector, rng=rng)
        return self._with_lag(frame, start=start, end=end, number=number, detector=detector)

    def detector_at(self, time: float) -> Detector:
        """The detector with the dark that it has at a time of the session clock, s."""
        detector = self._scenario.detector
        if self._faults.dark_drift == 0:
            return detector
        hours = max(time - self._scenario.start, 0.0) / _HOUR
        dark_rate = detector.dark_rate + self._faults.dark_drift * hours
        return detector.model_copy(update={"dark_rate": dark_rate})

    def _with_lag(
        self,
        frame: npt.NDArray[np.uint32],
        *,
        start: float,
        end: float,
        number: int,
        detector: Detector,
    ) -> npt.NDArray[np.uint32]:
        if self._faults.lag_fraction == 0:
            return frame
        if self._left is not None:
            delay = max(start - self._left.end, 0.0)
            share = self._faults.lag_fraction * math.exp(-delay / self._faults.lag_time)
            rng = np.random.default_rng([self._scenario.seed, number, _STREAM])
            frame = frame + rng.poisson(share * self._left.signal).astype(np.uint32)
            frame = np.minimum(frame, detector.saturation).astype(np.uint32)
        dark = detector.dark_rate * (end - start)
        self._left = _Left(np.maximum(frame - dark, 0.0), end)
        return frame

    def truth(self, time: float) -> dict[str, Any]:
        """What only a detector with faults has to say of a frame that began at a time."""
        if self._faults == DetectorFaults():
            return {}
        return {
            "dark_rate": self.detector_at(time).dark_rate,
            "detector_moved": moved_at(self._scenario, time),
        }


def _with_hot_cluster(photons: FloatArray, faults: DetectorFaults) -> FloatArray:
    if faults.hot_cluster is None:
        return photons
    row, column, size, factor = faults.hot_cluster
    seen = photons.copy()
    seen[row : row + size, column : column + size] *= factor
    return seen


def moved_at(scenario: Scenario, time: float) -> bool:
    """Whether the detector has been moved by a time of the session clock, s."""
    moves = scenario.detector.faults.moves
    return moves is not None and time >= scenario.start + moves[0]


def moved(scenario: Scenario) -> Scenario:
    """The scenario with its detector where it is after the move."""
    detector = scenario.detector
    if detector.faults.moves is None:
        return scenario
    _, distance, row, column = detector.faults.moves
    there = {
        "distance": detector.distance + distance,
        "centre_row": detector.centre_row + row,
        "centre_column": detector.centre_column + column,
        "faults": detector.faults.model_copy(update={"moves": None}),
    }
    return scenario.model_copy(update={"detector": detector.model_copy(update=there)})
