"""This file is where the position of an edge is found: by how far a known curve has to be shifted.

A curve is compared over a window as scale * known(energy - shift) + line. Scale and line are free,
so that normalization has no say in the position. Half of the step's height and the steepest point
are read off one place of a curve and move with the grid; the shift uses every point on the edge.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.interpolate import CubicSpline

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.xanes_result import Standard
from battbeam.units import FloatArray

# Distance of the shifts that are tried before the fit, eV.
_SEARCH_STEP = 0.25
_MAX_STEPS = 40
# An edge's scale has to stand out of its noise by this much.
_SIGNIFICANT = 3.0
# A curve is a straight line when this share of it (squared) is left after taking one off.
_FLAT = 1e-20
# A step this small ends the fit, eV.
_SMALL_STEP = 1e-6
# Standard deviations by which chi squared has to be too large before scatter is put down to the energy
# of each point, and the most that is, eV.
_SCATTER, _MOST_JITTER = 3.0, 10.0
# Points a fit needs: four parameters and something left to judge them by.
_LEAST_POINTS = 7


class KnownCurve:
    """A standard between its points.

    Args:
        standard: See `Standard`.
    """

    def __init__(self, standard: Standard) -> None:
        self.standard = standard
        self.range = (float(standard.energy[0]), float(standard.energy[-1]))
        self._values = CubicSpline(standard.energy, standard.absorbance)
        self._slopes = self._values.derivative()
        self._errors = standard.absorbance_error

    def values(self, energy: FloatArray) -> FloatArray:
        """Absorbance, shape (n,)."""
        return np.asarray(self._values(energy))

    def slopes(self, energy: FloatArray) -> FloatArray:
        """Its derivative, 1/eV, shape (n,)."""
        return np.asarray(self._slopes(energy))

    def variance(self, energy: FloatArray) -> FloatArray:
        """Of the absorbance, shape (n,)."""
        if self._errors is None:
            return np.zeros_like(energy)
        return np.asarray(np.interp(energy, self.standard.energy, self._errors)) ** 2


@dataclass(frozen=True)
class ShiftFit:
    """How far a curve lies behind a known one.

    Attributes:
        shift: eV, > 0: the curve's features are at higher energies. NaN if there is no edge.
        reason: Why there is none.
        scale: Of the curve over the known one.
        scale_error: Of it, one standard deviation.
        jitter: Energy noise of each point, eV: the one given, or more.
        known_variance: Of the shift, from the noise of the known curve, eV squared.
        residual: Chi squared over degrees of freedom, with the jitter given.
        pull: Change of the shift by an absorbance, eV, shape (n,); 0 outside the window.
        lever: Change of the shift by an energy of one point, 1, shape (n,).
        variance: Of the absorbance, from its counting, shape (n,).
    """

    shift: float
    reason: str
    scale: float
    scale_error: float
    jitter: float
    known_variance: float
    residual: float
    pull: FloatArray = field(repr=False)
    lever: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)

    @property
    def error(self) -> float:
        """Of the shift, one standard deviation: counting, jitter and the known curve's noise."""
        counting = float(np.sum(self.pull**2 * self.variance))
        return float(np.sqrt(counting + self.jitter_variance + self.known_variance))

    @property
    def jitter_variance(self) -> float:
        """Of the shift, from the energy noise of the points, eV squared."""
        return float(np.sum(self.lever**2)) * self.jitter**2


def fit_shift(
    energy: FloatArray,
    absorbance: Absorbance,
    known: KnownCurve,
    *,
    window: tuple[float, float],
    start: float = 0.0,
    search: float = 6.0,
    jitter: float = 0.0,
) -> ShiftFit:
    """The shift of a curve against a known one, by least squares.

    Args:
        energy: eV, ascending, shape (n,); NaN values of the absorbance are left out.
        absorbance: On any scale.
        known: What it is compared with.
        window: Of the known curve's energies, eV: what is compared is what lies there unshifted.
        start: Shift about which it is looked for, eV.
        search: How far to either side, eV.
        jitter: Energy noise of each point, eV; more is assumed where the curves differ by more than
            that, be it noise or another shape: the error tells.
    """
    fit = _Fit(energy, absorbance, known, window, start, search)
    if fit.reason:
        return fit.nothing()
    return fit.run(jitter)


class _Fit:
    def __init__(
        self,
        energy: FloatArray,
        absorbance: Absorbance,
        known: KnownCurve,
        window: tuple[float, float],
        start: float,
        search: float,
    ) -> None:
        self.all = np.where(np.isfinite(absorbance.errors), absorbance.errors, 0.0) ** 2
        low = max(window[0], known.range[0] + max(0.0, -start)) + start
        high = min(window[1], known.range[1]) + start
        inside = (energy >= low) & (energy <= high)
        self.used = inside & np.isfinite(absorbance.values) & np.isfinite(absorbance.errors)
        self.energy, self.values = energy[self.used], absorbance.values[self.used]
        self.counting, self.known = self.all[self.used], known
        self.start, self.search = start, search
        self.reason = ""
        if len(self.energy) < _LEAST_POINTS:
            self.reason = f"{len(self.energy)} points on the edge, {_LEAST_POINTS} are needed"
        middle = self.energy.mean() if len(self.energy) else 0.0
        self.line = np.column_stack([np.ones(len(self.energy)), (self.energy - middle) / 10])

    def run(self, jitter: float) -> ShiftFit:
        """With the jitter given, or the larger one that the scatter asks for."""
        first = self._solved(self._start(), jitter)
        most = 1 + _SCATTER * np.sqrt(2 / max(len(self.energy) - 4, 1))
        if not first.residual > most or not np.isfinite(first.shift):
            return first
        low, high = jitter, max(2 * jitter, 1e-3)
        while high < _MOST_JITTER and self._solved(first.shift, high).residual > 1:
            low, high = high, 2 * high
        while high - low > 1e-2 * high:
            middle = (low + high) / 2
            above = self._solved(first.shift, middle).residual > 1
            low, high = (middle, high) if above else (low, middle)
        return replace(self._solved(first.shift, high), residual=first.residual)

    def nothing(self) -> ShiftFit:
        zeros = np.zeros(len(self.all))
        nan = float("nan")
        return ShiftFit(nan, self.reason, nan, nan, nan, nan, nan, zeros, zeros, self.all)

    def _columns(self, shift: float) -> FloatArray:
        return np.column_stack([self.known.values(self.energy - shift), self.line])

    def _start(self) -> float:
        """The best of a row of shifts, by counting alone: the line is taken off all at once."""
        reach = _SEARCH_STEP * np.arange(round(self.search / _SEARCH_STEP) + 1)
        shifts = self.start + np.concatenate([-reach[:0:-1], reach])
        weight = 1 / np.sqrt(self.counting)
        line = np.linalg.qr(self.line * weight[:, None])[0]
        curves = self.known.values(self.energy - shifts[:, None]) * weight
        size = (curves**2).sum(axis=1)
        curves = curves - curves @ line @ line.T
        values = self.values * weight
        along, length = curves @ (values - line @ (line.T @ values)), (curves**2).sum(axis=1)
        rises = (along > 0) & (length > _FLAT * size)
        gain = np.where(rises, along**2 / np.where(rises, length, 1.0), -np.inf)
        return float(shifts[int(np.argmax(gain))])

    def _variance(self, shift: float, scale: float, jitter: float) -> FloatArray:
        at = self.energy - shift
        known = self.known.variance(at) + (jitter * self.known.slopes(at)) ** 2
        return self.counting + scale**2 * known

    def _amounts(self, shift: float, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        columns, weight = self._columns(shift), 1 / np.sqrt(variance)
        amounts = np.linalg.lstsq(columns * weight[:, None], self.values * weight, rcond=None)[0]
        return np.asarray(amounts), self.values - columns @ amounts

    def _solved(self, shift: float, jitter: float) -> ShiftFit:
        """Gauss-Newton from a start; weights follow the scale."""
        scale = self._amounts(shift, self._variance(shift, 0.0, jitter))[0][0]
        for _ in range(_MAX_STEPS):
            variance = self._variance(shift, scale, jitter)
            amounts, left = self._amounts(shift, variance)
            scale = float(amounts[0])
            jacobian = np.column_stack(
                [-scale * self.known.slopes(self.energy - shift), self._columns(shift)]
            )
            weight = 1 / np.sqrt(variance)
            inverse = np.linalg.pinv(jacobian * weight[:, None]) * weight
            step = float(np.clip(inverse[0] @ left, -1.0, 1.0))
            shift += step
            if abs(step) < _SMALL_STEP or abs(shift - self.start) > 2 * self.search:
                break
        return self._outcome(shift, scale, jitter, variance, inverse)

    def _outcome(
        self, shift: float, scale: float, jitter: float, variance: FloatArray, inverse: FloatArray
    ) -> ShiftFit:
        left = self._amounts(shift, variance)[1]
        at = self.energy - shift
        pull, lever = np.zeros(len(self.all)), np.zeros(len(self.all))
        pull[self.used] = inverse[0]
        lever[self.used] = inverse[0] * scale * self.known.slopes(at)
        scale_error = float(np.sqrt(inverse[1] ** 2 @ variance))
        lost = abs(shift - self.start) > self.search + 1 or scale < _SIGNIFICANT * scale_error
        return ShiftFit(
            shift=float("nan") if lost else shift,
            reason=f"no edge within {self.search:g} eV of where it was looked for" if lost else "",
            scale=scale,
            scale_error=scale_error,
            jitter=jitter,
            known_variance=float(inverse[0] ** 2 @ (scale**2 * self.known.variance(at))),
            residual=float(left @ (left / variance)) / max(len(left) - 4, 1),
            pull=pull,
            lever=lever,
            variance=self.all,
        )
