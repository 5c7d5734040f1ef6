"""This file is where a spot that the beam has damaged is told from one that it has not.

A control spot is exposed rarely, the measured spot again and again. Both see the same cell at the
same time, so at the same state of the cell they must agree, but for what spots of a fresh cell
differ by. What the beam has stopped keeps the state it had: it lags behind on charge and on
discharge alike, by the light that fell on it times how far the cell has gone since. That course is
known from the ledger, so one number is looked for: the damage rate, the share of the material that
ceases to take part per photon per mm2.

The alarm is a Bayes factor that grows with every comparison. Whatever the rule for stopping to
look, the chance that it ever passes 1/``false_alarms`` on an undamaged cell is at most
``false_alarms`` (Ville's inequality for test martingales), over the whole series, not a point.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from battbeam.units import FloatArray

#: Largest distance in state of charge over which a measured spot is interpolated to a control.
MATCH_MAX = 0.1
#: Distance in state of charge within which two states are the same.
SAME_STATE = 0.002
#: Comparisons that the quoted errors weigh as much as: they are trusted within a third or so.
ERROR_TRUST = 10.0
#: Comparisons below which nothing is decided.
N_MIN = 3

#: How damage shows. ``retarded``: material keeps the state at which it ceased to take part; values
#: are states of charge. ``drift``: the value moves in proportion to the fluence, as a swelling
#: lattice does.
Effect = Literal["retarded", "drift"]


@dataclass(frozen=True)
class SpotRow:
    """What a spot was found to be, at one exposure.

    Attributes:
        is_control: Whether it is the control spot.
        time: Middle of the exposure, s since the Unix epoch.
        state: Of the cell, from charge: state of charge or lithium content, 1.
        value: Of the spot, from X-rays: the same of a retarded spot, or what drifts.
        error: One standard deviation of `value`.
        fluence: On the spot after the exposure, from the ledger, photons per mm2.
    """

    is_control: bool
    time: float
    state: float
    value: float
    error: float
    fluence: float


@dataclass(frozen=True)
class Comparison:
    """The measured spot minus the control at one state of the cell.

    Attributes:
        time: Of the control's exposure.
        state: Of the cell, state of charge.
        difference: Of the values.
        error: One standard deviation of it.
        exposure: Difference that a damage rate of 1 mm2 per photon makes, to first order.
    """

    time: float
    state: float
    difference: float
    error: float
    exposure: float


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


def spot_rows(
    *,
    time: FloatArray,
    x: FloatArray,
    y: FloatArray,
    state_of_charge: FloatArray,
    value: FloatArray,
    error: FloatArray,
    fluence: FloatArray,
    exposed: tuple[float, float],
    control: tuple[float, float],
    tolerance: float = 0.05,
) -> list[SpotRow]:
    """Rows of the two spots out of the columns of reduced runs, in the order of time.

    Args:
        time: Middle of each exposure, s, shape (n,).
        x: Of the spot in the cell's frame, mm, shape (n,).
        y: mm, shape (n,).
        state_of_charge: Of the cell, shape (n,).
        value: Of the spot, from X-rays, shape (n,).
        error: Of `value`, shape (n,).
        fluence: On the spot after each exposure, photons per mm2, shape (n,).
        exposed: (x, y) of the measured spot, mm.
        control: (x, y) of the control spot, mm.
        tolerance: Largest distance from a spot at which a row is of it, mm.

    Raises:
        ValueError: If the spots are not further apart than twice the tolerance.
    """
    apart = math.dist(exposed, control)
    if not apart > 2 * tolerance:
        raise ValueError(
            f"exposed and control spot must be more than {2 * tolerance:g} mm apart, are {apart:g}"
        )
    rows = []
    for index in np.argsort(time, kind="stable"):
        here = (float(x[index]), float(y[index]))
        is_control = math.dist(here, control) <= tolerance
        if is_control or math.dist(here, exposed) <= tolerance:
            columns = (time, state_of_charge, value, error, fluence)
            rows.append(SpotRow(is_control, *(float(each[index]) for each in columns)))
    return rows


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


def comparisons(
    rows: Sequence[SpotRow], *, effect: Effect = "retarded", rate: float = 0.0
) -> list[Comparison]:
    """The measured spot at each control's state, between the exposures before and after it.

    Args:
        rows: Of both spots, in the order of time.
        effect: How damage shows.
        rate: At which the rest that can still cease is worked out; 0 is to first order.
    """
    kept = [row for row in rows if math.isfinite(row.value + row.state) and row.error > 0]
    exposed = [row for row in kept if not row.is_control]
    control = [row for row in kept if row.is_control]
    if not exposed or not control:
        return []
    of_exposed = _exposures(exposed, effect, rate)
    of_control = _exposures(control, effect, rate)
    times = np.array([row.time for row in exposed])
    found = []
    for row, mine in zip(control, of_control, strict=True):
        after = int(np.searchsorted(times, row.time))
        match = _matched(exposed, of_exposed, after, row.state)
        if match is not None:
            value, error, theirs = match
            found.append(
                Comparison(
                    row.time,
                    row.state,
                    value - row.value,
                    math.hypot(error, row.error),
                    theirs - mine,
                )
            )
    return found


def _exposures(rows: Sequence[SpotRow], effect: Effect, rate: float) -> FloatArray:
    """What a damage rate of 1 does to each row's value."""
    fluence = np.array([row.fluence for row in rows])
    if effect == "drift":
        return fluence
    state = np.array([row.state for row in rows])
    ceased = -np.expm1(-rate * fluence) / rate if rate > 0 else fluence
    ceasing = np.diff(ceased, prepend=0.0).clip(min=0.0)
    kept, weighted = np.cumsum(ceasing), np.cumsum(ceasing * state)
    return np.asarray(weighted - kept * state)


def _matched(
    rows: Sequence[SpotRow], exposures: FloatArray, after: int, state: float
) -> tuple[float, float, float] | None:
    """Value, error and exposure of the measured spot at a state; None if nothing is near."""
    near = [index for index in (after - 1, after) if 0 <= index < len(rows)]
    if len(near) == 2:
        first, last = rows[near[0]], rows[near[1]]
        span = last.state - first.state
        share = (state - first.state) / span if span else 0.5
        is_between = 0 <= share <= 1 and SAME_STATE < abs(span) <= MATCH_MAX
        if is_between or (abs(span) <= SAME_STATE and abs(state - first.state) <= SAME_STATE):
            share = share if is_between else 0.5
            value = first.value + share * (last.value - first.value)
            error = math.hypot((1 - share) * first.error, share * last.error)
            exposure = (1 - share) * exposures[near[0]] + share * exposures[near[1]]
            return value, error, float(exposure)
    for index in near:
        if abs(rows[index].state - state) <= SAME_STATE:
            return rows[index].value, rows[index].error, float(exposures[index])
    return None


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
