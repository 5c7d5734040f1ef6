"""This file is where a spot in the beam is compared with a control spot, at the same state of the cell.

A control spot is exposed rarely, the measured spot again and again. Both see the same cell at the
same time, so at the same state of the cell they must agree, but for what spots of a fresh cell
differ by. What the beam has stopped keeps the state it had: it lags behind on charge and on
discharge alike, by the light that fell on it times how far the cell has gone since. That course is
known from the ledger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from battbeam.units import FloatArray

#: Largest distance in state of charge over which a measured spot is interpolated to a control.
MATCH_MAX = 0.1
#: Distance in state of charge within which two states are the same.
SAME_STATE = 0.002

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
