"""This file is where a spot that the beam has damaged is told from one that it has not.

From what the measured spot and its control differ by (see `battbeam.experiment.spot_comparison`) one
number is looked for: the damage rate, the share of the material that ceases to take part per photon
per mm2.

The alarm is a Bayes factor that grows with every comparison. Whatever the rule for stopping to
look, the chance that it ever passes 1/``false_alarms`` on an undamaged cell is at most
``false_alarms`` (Ville's inequality for test martingales), over the whole series, not a point.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from battbeam.experiment.spot_comparison import Comparison, Effect, SpotRow, comparisons
from battbeam.units import FloatArray

#: Comparisons that the quoted errors weigh as much as: they are trusted within a third or so.
ERROR_TRUST = 10.0
#: Comparisons below which nothing is decided.
N_MIN = 3


@dataclass(frozen=True)
class Damage:
    """What exposed and control spot say together.

    Attributes:
        is_found: Whether there is an alarm.
        time: Of the comparison that raised it; NaN without one.
        evidence: Largest Bayes factor so far, damage over none.
        rate: Share that ceases per photon per mm2 (or change of the value, of a drift); NaN if
            there is nothing to say it from.
        rate_error: One standard deviation of it.
        n_comparisons: Controls that could be compared.
        reason: In words.
    """

    is_found: bool
    time: float
    evidence: float
    rate: float
    rate_error: float
    n_comparisons: int
    reason: str


def damage_alarm(
    rows: Sequence[SpotRow],
    *,
    rate_of_interest: float,
    spread: float = 0.01,
    false_alarms: float = 0.05,
    effect: Effect = "retarded",
) -> Damage:
    """Whether the beam damages the measured spot, from all rows so far in the order of time.

    Args:
        rows: Of both spots; those without a finite value or a positive error are left out.
        rate_of_interest: Damage rate that is worth an alarm, mm2 per photon: the share that may
            cease over the fluence that is planned.
        spread: Standard deviation of what spots of a fresh cell differ by, in the value's unit; a
            map before the first cycle says it.
        false_alarms: Chance of any alarm in the whole series without damage, 1.
        effect: How damage shows.

    Raises:
        ValueError: If a parameter is not positive or ``false_alarms`` not below 1.
    """
    numbers = {"rate_of_interest": rate_of_interest, "spread": spread}
    faults = [f"{name} must be greater than 0, got {n}" for name, n in numbers.items() if not n > 0]
    if not 0 < false_alarms < 1:
        faults.append(f"false_alarms must lie between 0 and 1, got {false_alarms}")
    if faults:
        raise ValueError("; ".join(faults))
    compared = comparisons(rows, effect=effect)
    if len(compared) < N_MIN:
        why = f"{len(compared)} comparison(s) with the control, {N_MIN} are needed"
        return Damage(False, math.nan, 1.0, math.nan, math.nan, len(compared), why)
    factors = _evidence(compared, rate_of_interest, spread, is_one_sided=effect == "retarded")
    factors = factors[N_MIN - 1 :]
    threshold, largest = 1 / false_alarms, float(factors.max())
    passed = np.flatnonzero(factors >= threshold)
    first = int(passed[0]) if len(passed) else None
    rate, error = _rate(rows, compared, spread, effect)
    time = math.nan if first is None else compared[first + N_MIN - 1].time
    said = f"evidence {largest:.3g} of {threshold:g} needed, rate {rate:.2g} +- {error:.1g} mm2"
    return Damage(
        is_found=first is not None,
        time=time,
        evidence=largest,
        rate=rate,
        rate_error=error,
        n_comparisons=len(compared),
        reason=("the exposed spot lags behind the control: " if first is not None else "") + said,
    )


@dataclass(frozen=True)
class _Sums:
    """Sums over the first 1, 2, ... comparisons, each of shape (n,), weighted by their errors and
    by what spots may differ by.
    """

    n: FloatArray
    difference: FloatArray
    mixed: FloatArray
    exposure: FloatArray


def _sums(compared: Sequence[Comparison], spread: float) -> _Sums:
    """Spots of a fresh cell may differ by a constant, by a share of the state, and between the ends.

    Those three are normally distributed about 0 with ``spread`` and integrated out.
    """
    error = np.array([each.error for each in compared])
    state = np.array([each.state for each in compared])
    difference = np.array([each.difference for each in compared]) / error
    exposure = np.array([each.exposure for each in compared]) / error
    spots = np.column_stack([np.ones_like(state), state, 4 * state * (1 - state)])
    spots = spread * spots / error[:, None]
    inner = np.linalg.inv(np.eye(3) + np.cumsum(spots[:, :, None] * spots[:, None, :], axis=0))

    def product(left: FloatArray, right: FloatArray) -> FloatArray:
        by_left, by_right = (np.cumsum(each[:, None] * spots, axis=0) for each in (left, right))
        explained = np.einsum("ni,nij,nj->n", by_left, inner, by_right)
        return np.asarray(np.cumsum(left * right) - explained)

    return _Sums(
        np.arange(1.0, len(compared) + 1),
        product(difference, difference),
        product(exposure, difference),
        product(exposure, exposure),
    )


def _evidence(
    compared: Sequence[Comparison], rate: float, spread: float, *, is_one_sided: bool
) -> FloatArray:
    """Bayes factor of damage at rates of the order of ``rate`` over none, after 1, 2, ... comparisons.

    Both sides share the scale of the errors, drawn about 1 (inverse gamma, `ERROR_TRUST` degrees of
    freedom), and what spots differ by; the rate is normal, or half normal, about 0.

    Source:
        Normal inverse gamma marginals of a linear model, as in any text on Bayesian regression.
    """
    sums = _sums(compared, spread)
    gain = 1 + rate**2 * sums.exposure
    explained = rate**2 * sums.mixed**2 / gain
    without = ERROR_TRUST + sums.difference
    degrees = sums.n + ERROR_TRUST
    log_factor = -0.5 * np.log(gain) - 0.5 * degrees * np.log1p(-explained / without)
    if is_one_sided:
        scale = np.sqrt((without - explained) / degrees)
        pull = rate * sums.mixed / np.sqrt(gain) / scale
        log_factor += np.log(np.maximum(2 * special.stdtr(degrees, pull), 1e-300))
    return np.asarray(np.exp(np.minimum(log_factor, 700.0)))


def _rate(
    rows: Sequence[SpotRow], compared: Sequence[Comparison], spread: float, effect: Effect
) -> tuple[float, float]:
    """Damage rate and its standard deviation; the light meets less and less that can still cease."""
    rate, error = _straight_rate(compared, spread)
    for _ in range(4):
        if effect == "drift" or not rate > 0:
            break
        rate, error = _straight_rate(comparisons(rows, effect=effect, rate=rate), spread)
    return rate, error


def _straight_rate(compared: Sequence[Comparison], spread: float) -> tuple[float, float]:
    sums = _sums(compared, spread)
    n, difference, mixed, exposure = (
        float(each[-1]) for each in (sums.n, sums.difference, sums.mixed, sums.exposure)
    )
    if not exposure > 0:
        return math.nan, math.nan
    left = difference - mixed**2 / exposure
    scale = max(1.0, left / max(n - 1, 1))
    return mixed / exposure, math.sqrt(scale / exposure)
