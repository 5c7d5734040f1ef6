"""This file is where a series of rows says at which temperature, or voltage, a material changes."""

from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import fit_curve
from battbeam.reduction.local_fit import smoothing_matrix
from battbeam.units import FloatArray

# A transition has begun when this share of it is over.
_ONSET = 0.05
# Standard deviation of the weights with which c is smoothed, V, and half of the voltages that make
# the parabola of its maximum: chosen so that a fall over 0.1 V is not blurred.
_SMOOTH, _ABOUT_TOP = 0.012, 0.04
# Rows needed for a collapse.
_LEAST_ROWS = 8
# A fall smaller than this many errors has no middle.
_LEAST_FALL = 5.0


@dataclass(frozen=True)
class Transition:
    """One change with temperature; errors are one standard deviation.

    Attributes:
        half: Where half of it is over, degC.
        half_error: Of it.
        width: Of the logistic, K: from 27 to 73 % in two of them.
        width_error: Of it.
        onset: Where 5 % are over, degC.
        onset_error: Of it.
        levels: Fraction long before and long after.
        residual: Reduced chi squared; above 1 it is no logistic.
    """

    half: float
    half_error: float
    width: float
    width_error: float
    onset: float
    onset_error: float
    levels: tuple[float, float]
    residual: float


@dataclass(frozen=True)
class Collapse:
    """How far an edge falls below its maximum when a cell is charged.

    Attributes:
        voltage: Where half of the fall is over, V; NaN of a fall that is no more than noise.
        voltage_error: One standard deviation, V.
        depth: Maximum less what it is at the highest voltage, angstrom; 0 where the maximum is there.
        depth_error: Angstrom.
        highest: Maximum, angstrom.
        highest_voltage: Where it is, V.
        upper_voltage: Up to which it was followed, V: compare cells at the same one.
    """

    voltage: float
    voltage_error: float
    depth: float
    depth_error: float
    highest: float
    highest_voltage: float
    upper_voltage: float


def transition(
    temperature: FloatArray,
    fraction: FloatArray,
    error: FloatArray,
    *,
    levels: tuple[float, float] | None = None,
) -> Transition:
    """Where a phase fraction rises, or falls, as a logistic function of temperature.

    Args:
        temperature: The highest so far: what turned does not turn back; degC, shape (n,).
        fraction: Of one phase, shape (n,); NaN is left out.
        error: One standard deviation of each, shape (n,).
        levels: Fraction long before and long after; None: fitted.

    Raises:
        ReductionError: If the middle of it was not reached, or there are too few rows.
    """
    good = np.isfinite(temperature) & np.isfinite(fraction) & np.isfinite(error)
    order = np.argsort(temperature[good], kind="stable")
    at, share, sigma = (each[good][order] for each in (temperature, fraction, error))
    if len(at) < 5:
        raise ReductionError(f"{len(at)} rows cannot say where a transition is")
    n_ends = max(1, len(at) // 10)
    ends = levels or (float(share[:n_ends].mean()), float(share[-n_ends:].mean()))
    half = _crossing(at, share, (ends[0] + ends[1]) / 2)
    if half is None:
        raise ReductionError(
            f"the fraction goes from {share[0]:.2f} to {share[-1]:.2f} between {at[0]:.0f} and "
            f"{at[-1]:.0f} degC: half of the transition was not reached"
        )

    def model(parameters: FloatArray) -> FloatArray:
        before, after = levels if levels is not None else parameters[2:]
        return before + (after - before) * _logistic((at - parameters[0]) / np.exp(parameters[1]))

    start = np.array([half, np.log(np.ptp(at) / 20), *(() if levels is not None else ends)])
    fit = fit_curve(model, start, share, sigma)
    if not at[0] < fit.parameters[0] < at[-1]:
        raise ReductionError(f"no transition between {at[0]:.0f} and {at[-1]:.0f} degC")
    width = float(np.exp(fit.parameters[1]))
    before_half = width * np.log(1 / _ONSET - 1)
    gradient = np.zeros(len(start))
    gradient[:2] = 1.0, -before_half
    found = levels if levels is not None else (float(fit.parameters[2]), float(fit.parameters[3]))
    return Transition(
        half=float(fit.parameters[0]),
        half_error=float(fit.errors[0]),
        width=width,
        width_error=float(width * fit.errors[1]),
        onset=float(fit.parameters[0] - before_half),
        onset_error=float(np.sqrt(fit.variance_of(gradient))),
        levels=found,
        residual=fit.chi_squared / max(fit.degrees_of_freedom, 1),
    )


def _logistic(argument: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(argument / 2)))


def _crossing(at: FloatArray, share: FloatArray, level: float) -> float | None:
    """Where a noisy rise or fall passes a level: as many rows are on its wrong side before as after."""
    above = share > level
    if above.all() or not above.any():
        return None
    rising = float(np.corrcoef(at, share)[0, 1]) > 0
    n_before = int(np.count_nonzero(~above if rising else above))
    return float(at[min(n_before, len(at) - 1)])


@dataclass(frozen=True)
class _Smoothed:
    """A curve of which every point is a known sum of what was measured."""

    voltage: FloatArray
    rows: FloatArray = field(repr=False)
    values: FloatArray = field(repr=False)

    def at(self, voltage: float) -> FloatArray:
        """What the measured has to be multiplied with."""
        return np.asarray(
            smoothing_matrix(self.voltage, np.array([voltage]), width=_SMOOTH)[0], dtype=float
        )


def collapse(
    voltage: FloatArray, edge: FloatArray, error: FloatArray, *, upper_voltage: float | None = None
) -> Collapse:
    """How far an edge of the lattice falls below its maximum on one charge, and where.

    Args:
        voltage: Of the rows of one charge, V, shape (n,).
        edge: c of each, angstrom, shape (n,); NaN is left out.
        error: One standard deviation of each, angstrom, shape (n,).
        upper_voltage: Up to which to look, V, so that cells are compared at the same one; None: all.

    Raises:
        ReductionError: If there are too few rows, or they end before the upper voltage.
    """
    good = np.isfinite(voltage) & np.isfinite(edge) & np.isfinite(error)
    order = np.argsort(voltage[good], kind="stable")
    at, c, sigma = (each[good][order] for each in (voltage, edge, error))
    if len(at) < _LEAST_ROWS:
        raise ReductionError(f"{len(at)} rows of a charge, {_LEAST_ROWS} needed for a collapse")
    end = float(at[-1]) if upper_voltage is None else upper_voltage
    if end > at[-1] + _SMOOTH:
        raise ReductionError(f"the rows end at {at[-1]:.3f} V, before {end:.3f} V")
    curve = _Smoothed(at, smoothing_matrix(at, at, width=_SMOOTH), c)
    smooth = curve.rows @ c
    peak = _peak(curve, smooth, end)
    last = curve.at(end)
    top, top_voltage = float(peak[1] @ c), peak[0]
    fall = peak[1] - last
    depth, depth_error = float(fall @ c), float(np.sqrt(fall**2 @ sigma**2))
    where, where_error = np.nan, np.nan
    if depth > _LEAST_FALL * depth_error:
        where, where_error = _middle(curve, sigma, peak[1] - fall / 2, top_voltage, end)
    return Collapse(
        voltage=where,
        voltage_error=where_error,
        depth=depth,
        depth_error=depth_error,
        highest=top,
        highest_voltage=top_voltage,
        upper_voltage=end,
    )


def _peak(curve: _Smoothed, smooth: FloatArray, end: float) -> tuple[float, FloatArray]:
    """Voltage of the maximum, and what the measured has to be multiplied with to be its height."""
    inside = np.flatnonzero(curve.voltage <= end)
    highest = float(curve.voltage[inside[np.argmax(smooth[inside])]])
    near = (np.abs(curve.voltage - highest) <= _ABOUT_TOP) & (curve.voltage <= end)
    if np.count_nonzero(near) < 4 or highest >= end - _SMOOTH:
        return (end, curve.at(end)) if highest >= end - _SMOOTH else (highest, curve.at(highest))
    powers = (curve.voltage[near] - highest)[:, None] ** np.arange(3)
    solve = np.linalg.pinv(powers)
    _, slope, bend = solve @ curve.values[near]
    if bend >= 0 or abs(slope / (2 * bend)) > _ABOUT_TOP:
        return highest, curve.at(highest)
    offset = -slope / (2 * bend)
    # At a maximum the height does not depend, to first order, on where it is taken.
    rows = np.zeros(len(curve.voltage))
    rows[near] = offset ** np.arange(3) @ solve
    return highest + offset, rows


def _middle(
    curve: _Smoothed, sigma: FloatArray, half: FloatArray, top: float, end: float
) -> tuple[float, float]:
    level = float(half @ curve.values)
    fine = np.linspace(top, end, 400)
    rows = smoothing_matrix(curve.voltage, fine, width=_SMOOTH)
    below = np.flatnonzero(rows @ curve.values < level)
    if not len(below) or below[0] == 0:
        return float("nan"), float("nan")
    one, two = (float(rows[k] @ curve.values) for k in (below[0] - 1, below[0]))
    step = fine[1] - fine[0]
    where = float(fine[below[0]] - step * (level - two) / (one - two))
    slope = float(
        smoothing_matrix(curve.voltage, np.array([where]), width=_SMOOTH, derivative=1)[0]
        @ curve.values
    )
    apart = curve.at(where) - half
    return where, float(np.sqrt(apart**2 @ sigma**2) / abs(slope))
