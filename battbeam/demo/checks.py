"""This file is where what was recovered is held against the hidden truth of the simulation.

Tolerances: the larger of what the method promises and z sigma of the result's own error, with z such that
all comparisons of one demo together fail by chance less than once in a thousand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from scipy import stats

from battbeam.units import FloatArray

#: Chance that a whole demo fails although everything is right.
CHANCE = 1e-3
#: What the method promises (see `docs/explanations/accuracy.md`).
FRACTION, MEAN_FRACTION, ACTIVE_AMOUNT, ANGLE = 0.02, 0.003, 0.01, 0.005
EDGE = {"a": 0.001, "c": 0.003}
STATE_OF_CHARGE = 0.001
PULL_MEAN, PULL_WIDTH = 0.3, (0.7, 1.4)
MAP_SLOPE, MAP_INTERCEPT, MAP_RMS = 0.03, 0.02, 0.03


class Charged(Protocol):
    """A measurement that is held against the truth."""

    def true_charge(self) -> tuple[float, float, float]:
        """That had passed at its start, middle and end, mAh."""
        ...


@dataclass(frozen=True)
class Check:
    """One line of the verdict.

    Attributes:
        name: What was compared.
        recovered: By the reduction.
        truth: Of the simulation.
        tolerance: Largest difference allowed.
        n: How many values were compared; the worst of them is shown.
        sigma: The result's own error, where it has one; NaN otherwise.
    """

    name: str
    recovered: float
    truth: float
    tolerance: float
    n: int = 1
    sigma: float = float("nan")

    @property
    def passed(self) -> bool:
        """False also where nothing was recovered."""
        return bool(abs(self.recovered - self.truth) <= self.tolerance)

    @property
    def deviation(self) -> float:
        """By how many of its own sigma it is off; NaN where it has none."""
        return (self.recovered - self.truth) / self.sigma

    def as_json(self) -> dict[str, Any]:
        """For ``result.json``."""
        return {**asdict(self), "passed": self.passed}


def z_for(n_comparisons: int, chance: float = CHANCE) -> float:
    """How many sigma each of n comparisons may be off, so that all together fail with ``chance``.

    >>> round(z_for(1, 0.05), 2)
    1.96
    """
    return float(stats.norm.isf(chance / 2 / max(n_comparisons, 1)))


def worst(
    name: str,
    *,
    recovered: FloatArray,
    truth: FloatArray,
    error: FloatArray,
    promised: float | FloatArray,
    z: float,
) -> Check:
    """The value that is furthest outside its tolerance, max(promised, z error); a missing value fails.

    ``promised`` is one for all values, or one for each.
    """
    if len(recovered) == 0:
        return Check(name, float("nan"), float("nan"), float(np.max(promised, initial=0.0)), 0)
    tolerance = np.maximum(promised, z * np.nan_to_num(error, nan=0.0))
    ratio = np.nan_to_num(np.abs(recovered - truth) / tolerance, nan=np.inf)
    index = int(np.argmax(ratio))
    return Check(
        name,
        float(recovered[index]),
        float(truth[index]),
        float(tolerance[index]),
        len(recovered),
        float(error[index]),
    )


def mean_error(
    name: str,
    *,
    recovered: FloatArray,
    truth: FloatArray,
    error: FloatArray,
    promised: float,
    z: float,
) -> Check:
    """The mean difference over all values, against zero."""
    n = len(recovered)
    if n == 0:
        return Check(name, float("nan"), 0.0, promised, 0)
    sigma = float(np.sqrt(np.sum(error**2))) / n
    return Check(name, float(np.mean(recovered - truth)), 0.0, max(promised, z * sigma), n, sigma)


def clock_error(of: Callable[[str], FloatArray], passport: Mapping[str, Any]) -> FloatArray:
    """Of the state of charge, because clocks are only known so well; at least a microampere hour.

    Args:
        of: A column of the rows, by its name.
        passport: Of the cell.
    """
    charge = np.abs(of("current")) * of("clock_uncertainty") / 3.6
    return np.asarray(np.maximum(charge, 1e-3) / passport["nominal_capacity"])


def state_of_charge(
    measured: Sequence[Charged], of: Callable[[str], FloatArray], passport: Mapping[str, Any]
) -> Check:
    """At the start, the middle and the end of everything measured; ``of`` as of `clock_error`."""
    charges = np.array([each.true_charge() for each in measured]).reshape(-1, 3)
    names = ("state_of_charge_start", "state_of_charge", "state_of_charge_end")
    passed = charges.T.ravel() / float(passport["nominal_capacity"])
    return worst(
        "state of charge at start, middle and end",
        recovered=np.concatenate([of(name) for name in names]),
        truth=passport["initial_state_of_charge"] + passed,
        error=np.tile(clock_error(of, passport), 3),
        promised=STATE_OF_CHARGE,
        z=0.0,
    )


def constant(
    name: str, *, recovered: FloatArray, error: FloatArray, promised: float, z: float
) -> Check:
    """A quantity relative to its weighted mean, which must stay at 1 within max(promised, z error)."""
    if len(recovered) == 0:
        return Check(name, float("nan"), 1.0, promised, 0)
    mean = float(np.sum(recovered / error**2) / np.sum(1 / error**2))
    return worst(
        name,
        recovered=recovered / mean,
        truth=np.ones(len(recovered)),
        error=error / abs(mean),
        promised=promised,
        z=z,
    )


def pulls(
    name: str, *, recovered: FloatArray, truth: FloatArray, error: FloatArray, z: float
) -> list[Check]:
    """Whether errors are honest: (recovered - truth) / error has mean 0 and standard deviation 1."""
    pull = (recovered - truth) / error
    n = len(pull)
    if n < 10:
        return []
    low, high = PULL_WIDTH
    # Of n normal pulls the mean scatters by 1/sqrt(n) and the deviation by 1/sqrt(2 n).
    return [
        Check(
            f"{name}: mean pull",
            float(pull.mean()),
            0.0,
            max(PULL_MEAN, z / np.sqrt(n)),
            n,
            1 / np.sqrt(n),
        ),
        Check(
            f"{name}: spread of pulls",
            float(pull.std(ddof=1)),
            (low + high) / 2,
            max((high - low) / 2, z / np.sqrt(2 * n)),
            n,
            1 / np.sqrt(2 * n),
        ),
    ]


def own_errors(error: FloatArray, shared: FloatArray) -> FloatArray:
    """What is left of errors without the part that all have alike."""
    return np.asarray(np.sqrt(np.maximum(error**2 - shared**2, 0.0)))


def alike_and_apart(
    name: str,
    *,
    recovered: FloatArray,
    truth: FloatArray,
    own: FloatArray,
    shared: float,
    unit: str,
    promised: float,
    z: float,
) -> list[Check]:
    """What all have alike moves them together; each one's own error must be seen in what is left.

    Args:
        name: Of the quantity.
        recovered: Of each row.
        truth: Of each.
        own: Error of each without the part that is shared.
        shared: That part.
        unit: Of all of these.
        promised: That the method promises of all together.
        z: Standard deviations that may be.
    """
    weight, n = own**-2.0, len(own)
    together = float(np.average(recovered - truth, weights=weight)) if n else np.nan
    mean = float(np.hypot(shared, weight.sum() ** -0.5)) if n else np.nan
    return [
        Check(f"{name}, all together ({unit})", together, 0.0, max(promised, z * mean), n, mean),
        *pulls(name, recovered=recovered - together, truth=truth, error=own, z=z),
    ]


def straight_line(
    name: str, *, recovered: FloatArray, truth: FloatArray, error: FloatArray, z: float
) -> list[Check]:
    """Recovered = slope x truth + intercept over a map, and the rms difference."""
    if len(recovered) < 3:
        return [Check(f"{name}: slope", float("nan"), 1.0, MAP_SLOPE, len(recovered))]
    design = np.column_stack([truth, np.ones(len(truth))]) / error[:, None]
    (slope, intercept), *_ = np.linalg.lstsq(design, recovered / error, rcond=None)
    covariance = np.linalg.inv(design.T @ design)
    slope_error, intercept_error = np.sqrt(np.diag(covariance))
    rms = float(np.sqrt(np.mean((recovered - truth) ** 2)))
    n = len(recovered)
    return [
        Check(
            f"{name}: slope",
            float(slope),
            1.0,
            max(MAP_SLOPE, z * slope_error),
            n,
            float(slope_error),
        ),
        Check(
            f"{name}: intercept",
            float(intercept),
            0.0,
            max(MAP_INTERCEPT, z * intercept_error),
            n,
            float(intercept_error),
        ),
        Check(
            f"{name}: rms difference",
            rms,
            0.0,
            max(MAP_RMS, z * float(np.sqrt(np.mean(error**2)))),
            n,
        ),
    ]


def all_passed(checks: Sequence[Check]) -> bool:
    """Whether there is a verdict and every line of it holds."""
    return bool(checks) and all(check.passed for check in checks)
