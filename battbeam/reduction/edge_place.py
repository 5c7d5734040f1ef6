"""This file is where a place on a curve is read off: its steepest point, and half of its height.

Such a place moves by hundredths of an eV with the grid. It says once where a foil or a first spectrum
is; all that follows is compared by its shift.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.local_fit import smoothing_matrix
from battbeam.units import FloatArray

# Points that are needed.
_LEAST_POINTS = 7
# Of the Gaussian that smooths before half height or the steepest point is looked for, eV.
_SMOOTHING = 1.0
_COARSE_STEP, _FINE_STEP = 0.1, 0.01
# Fine steps to either side of a coarse place, and those over which a curvature is taken.
_AROUND, _WIDE = 60, 20


@dataclass(frozen=True)
class Place:
    """An energy on a curve, eV, and its error, one standard deviation."""

    energy: float
    error: float


def steepest_point(
    energy: FloatArray, absorbance: Absorbance, *, between: tuple[float, float]
) -> Place:
    """Where a smoothed curve is steepest; NaN if not inside the limits.

    An edge rises otherwise than it levels off, so that smoothing moves its steepest point. A
    polynomial of the fourth degree leaves a third of that. Half of what it took off is in the error,
    which is large where steps are coarse.
    """
    found = _place(energy, absorbance, between, derivative=1, level=None, degree=4)
    stiff = _place(energy, absorbance, between, derivative=1, level=None, degree=2)
    moved = float(np.nan_to_num(stiff.energy - found.energy))
    return Place(found.energy, float(np.hypot(found.error, moved / 2)))


def half_height(
    energy: FloatArray, normalized: Absorbance, *, between: tuple[float, float]
) -> Place:
    """Where a smoothed normalized curve first passes 0.5; NaN if not inside the limits.

    This only names the edge of a first spectrum: it moves by hundredths of an eV with the grid.
    """
    return _place(energy, normalized, between, derivative=0, level=0.5, degree=2)


def _place(
    energy: FloatArray,
    absorbance: Absorbance,
    between: tuple[float, float],
    *,
    derivative: int,
    level: float | None,
    degree: int,
) -> Place:
    good = np.isfinite(absorbance.values) & np.isfinite(absorbance.errors)
    x, y, sigma = energy[good], absorbance.values[good], absorbance.errors[good]
    low, high = max(between[0], x[0]), min(between[1], x[-1])
    nothing = Place(float("nan"), float("nan"))
    if high - low < 3 * _COARSE_STEP or len(x) < _LEAST_POINTS:
        return nothing
    coarse = np.arange(low, high, _COARSE_STEP)
    curve = smoothing_matrix(x, coarse, width=_SMOOTHING, derivative=derivative) @ y
    near = int(np.argmax(curve)) if level is None else _first_passage(curve, level)
    if not 0 < near < len(coarse) - 1:
        return nothing
    fine = coarse[near] + _FINE_STEP * np.arange(-_AROUND, _AROUND + 1)
    rows = smoothing_matrix(x, fine, width=_SMOOTHING, derivative=derivative, degree=degree)
    found = _top(rows @ y) if level is None else _passed(rows @ y, level)
    if found is None:
        return nothing
    at, steepness = found
    weights = rows[round(at)]
    if level is None:
        # What moves a maximum is the slope that noise has there.
        weights = (rows[round(at) + _WIDE] - rows[round(at) - _WIDE]) / (2 * _WIDE * _FINE_STEP)
    error = float(np.sqrt(weights**2 @ sigma**2)) / abs(steepness)
    return Place(float(fine[0] + at * _FINE_STEP), error)


def _first_passage(curve: FloatArray, level: float) -> int:
    """Index of the first value above a level after one below it, -1 if there is none."""
    above = np.flatnonzero((curve[:-1] < level) & (curve[1:] >= level))
    return int(above[0]) + 1 if len(above) else -1


def _top(curve: FloatArray) -> tuple[float, float] | None:
    """Index of the largest value between points, and the curvature there, per eV squared."""
    top = int(np.argmax(curve))
    if not _WIDE <= top < len(curve) - _WIDE:
        return None
    low, middle, high = curve[top - _WIDE], curve[top], curve[top + _WIDE]
    bend = float(low - 2 * middle + high)
    move = _WIDE * float(low - high) / (2 * bend)
    return top + move, bend / (_WIDE * _FINE_STEP) ** 2


def _passed(curve: FloatArray, level: float) -> tuple[float, float] | None:
    """Index at which the level is first passed, between points, and the slope there, per eV."""
    i = _first_passage(curve, level) - 1
    if i < 0:
        return None
    rise = float(curve[i + 1] - curve[i])
    return i + (level - float(curve[i])) / rise, rise / _FINE_STEP
