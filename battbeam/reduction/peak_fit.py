"""This file is where single lines of many patterns are fitted at once, with errors.

All patterns have the same lines over the same axis: an angle, or an energy. Every pattern is a least
squares problem of its own; they take their steps (Levenberg and Marquardt) together, so that a
thousand cost little more than one costs elsewhere.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

_GAUSSIAN = 4 * np.log(2)
# Patterns that are worked on together: their derivatives stay in the cache.
_TOGETHER = 256
_MAX_STEPS = 100
# A step this small, in standard deviations of each parameter, ends a fit; so does this damping.
_SMALL_STEP, _MOST_DAMPED = 1e-5, 1e9
_FIRST_DAMPING = 1e-4
# Least and largest factor on a width.
_WIDTHS = (0.1, 10.0)
# A line whose area is below this many standard deviations has no place and no width.
_SIGNIFICANT = 3.0


@dataclass(frozen=True)
class Peaks:
    """Lines of many patterns; errors are one standard deviation.

    Attributes:
        position: Of each line, in the unit of the axis, shape (n_patterns, n_lines). NaN where the
            line is too weak to have one, or has left the window.
        position_error: Likewise.
        width: Full width at half maximum, likewise.
        width_error: 0 where it was fixed.
        area: In the unit of the values times that of the axis, shape (n_patterns, n_lines).
        area_error: Likewise.
        covariance: Of (positions, width factors, areas, background), shape (n_patterns, k, k).
        chi_squared: Shape (n_patterns,).
        degrees_of_freedom: Shape (n_patterns,).
        converged: Whether the last step was small, bool, shape (n_patterns,).
    """

    position: FloatArray
    position_error: FloatArray
    width: FloatArray
    width_error: FloatArray
    area: FloatArray
    area_error: FloatArray
    covariance: FloatArray = field(repr=False)
    chi_squared: FloatArray
    degrees_of_freedom: FloatArray
    converged: AnyArray


def fit_peaks(
    axis: FloatArray,
    values: FloatArray,
    errors: FloatArray,
    *,
    positions: FloatArray,
    full_width: FloatArray | float,
    lorentzian: float = 0.0,
    widths: Literal["each", "together", "fixed"] = "together",
    reach: float = 3.0,
    background_degree: int = 1,
) -> Peaks:
    """Overlapping pseudo-Voigt lines over a smooth background.

    Args:
        axis: Shape (n_bins,), ascending.
        values: Shape (n_bins,) or (n_patterns, n_bins); NaN is left out.
        errors: One standard deviation of each value, of the same shape.
        positions: Where the lines are expected, shape (n_lines,).
        full_width: Expected full width at half maximum of each (`Instrument.full_width`).
        lorentzian: Share of the Lorentzian, 0 to 1.
        widths: Whether each line has its own, all are wider or narrower by one factor, or none is
            free.
        reach: Bins farther than this many widths from all lines are not used.
        background_degree: Of the polynomial beneath.

    Raises:
        ReductionError: If no bin or fewer bins than parameters lie near the lines.
    """
    model = _Model(
        axis,
        np.asarray(positions, dtype=float),
        np.broadcast_to(np.asarray(full_width, dtype=float), np.shape(positions)),
        lorentzian,
        widths,
        reach,
        background_degree,
    )
    values = np.atleast_2d(np.asarray(values, dtype=float))[:, model.near]
    errors = np.atleast_2d(np.asarray(errors, dtype=float))[:, model.near]
    used = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    weight = np.where(used, 1 / np.where(used, errors, 1.0), 0.0)
    values = np.where(used, values, 0.0)
    parts = [
        _Fit(model, values[first : first + _TOGETHER], weight[first : first + _TOGETHER]).run()
        for first in range(0, len(values), _TOGETHER)
    ]
    parameters, covariance, chi_squared, converged = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    freedom = np.asarray(used.sum(axis=1) - model.n_parameters, dtype=float)
    return model.peaks(parameters, covariance, chi_squared, freedom, converged)


class _Model:
    """Lines and background as columns; parameters are (positions, width factors, areas, background)."""

    def __init__(
        self,
        axis: FloatArray,
        positions: FloatArray,
        full_width: FloatArray,
        lorentzian: float,
        widths: str,
        reach: float,
        background_degree: int,
    ) -> None:
        self.positions, self.full_width, self.lorentzian = positions, full_width, lorentzian
        self.reach = reach
        apart = np.abs(axis[:, None] - positions[None, :]) / full_width
        self.near = apart.min(axis=1) <= reach
        self.axis = np.asarray(axis, dtype=float)[self.near]
        n = len(positions)
        self.n_factors = {"each": n, "together": 1, "fixed": 0}[widths]
        self.places = slice(0, n)
        self.factors = slice(n, n + self.n_factors)
        self.areas = slice(n + self.n_factors, 2 * n + self.n_factors)
        self.n_parameters = 2 * n + self.n_factors + background_degree + 1
        if len(self.axis) <= self.n_parameters:
            raise ReductionError(
                f"{len(self.axis)} bins near the lines at {np.round(positions, 3).tolist()} "
                f"are too few for {self.n_parameters} parameters"
            )
        middle, half = self.axis.mean(), np.ptp(self.axis) / 2
        powers = np.arange(background_degree + 1)
        self.background = ((self.axis - middle) / half)[:, None] ** powers

    def start(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        """Lines where they are expected, with the areas that fit best."""
        parameters = np.zeros((len(values), self.n_parameters))
        parameters[:, self.places] = self.positions
        parameters[:, self.factors] = 1.0
        lines = self._lines(parameters[:1])[0][0]
        columns = np.column_stack([lines.T, self.background])
        weighted = columns[None] * weight[:, :, None]
        normal = np.einsum("nbi,nbj->nij", weighted, weighted)
        right = np.einsum("nbi,nb->ni", weighted, values * weight)
        parameters[:, self.areas.start :] = _solved(normal, right)
        return parameters

    def bounded(self, parameters: FloatArray) -> FloatArray:
        """The same with lines that left the window at its edge, and widths within a factor of ten."""
        limited = parameters.copy()
        far = self.reach * self.full_width
        limited[:, self.places] = np.clip(
            parameters[:, self.places], self.positions - far, self.positions + far
        )
        limited[:, self.factors] = np.clip(parameters[:, self.factors], *_WIDTHS)
        return limited

    def _lines(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Lines of unit area and their derivatives by place and width, shape (n, n_lines, n_bins)."""
        factor = parameters[:, self.factors] if self.n_factors else np.ones((len(parameters), 1))
        width = (self.full_width * factor)[:, :, None]
        distance = self.axis[None, None, :] - parameters[:, self.places][:, :, None]
        u = distance / width
        square = u**2
        gaussian = np.exp(-_GAUSSIAN * square)
        gaussian *= (1 - self.lorentzian) * np.sqrt(_GAUSSIAN / np.pi)
        shape = 1 / (1 + 4 * square)
        lorentz = self.lorentzian * 2 / np.pi * shape
        # That of `instrument.pseudo_voigt`, whose parts the derivatives need.
        line = (gaussian + lorentz) / width
        # Derivative by u, of the line times its width.
        slope = -2 * u * (_GAUSSIAN * gaussian + 4 * lorentz * shape)
        return line, -slope / width**2, -(line + u * slope / width) / width

    def at(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values, shape (n, n_bins), and derivatives, shape (n, n_bins, n_parameters)."""
        line, by_place, by_width = self._lines(parameters)
        area = parameters[:, self.areas][:, :, None]
        by_factor = area * by_width * self.full_width[None, :, None]
        columns = [area * by_place]
        if self.n_factors:
            together = self.n_factors < len(self.positions)
            columns.append(by_factor.sum(axis=1, keepdims=True) if together else by_factor)
        columns.append(line)
        rows = np.concatenate(columns, axis=1).swapaxes(1, 2)
        smooth = np.broadcast_to(self.background, (len(parameters), *self.background.shape))
        coefficients = parameters[:, self.areas.stop :]
        values = (area * line).sum(axis=1) + coefficients @ self.background.T
        return values, np.concatenate([rows, smooth], axis=2)

    def peaks(
        self,
        parameters: FloatArray,
        covariance: FloatArray,
        chi_squared: FloatArray,
        freedom: FloatArray,
        converged: AnyArray,
    ) -> Peaks:
        """Parameters as lines; without place and width where there is no line."""
        error = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
        n = len(self.positions)
        area, area_error = parameters[:, self.areas], error[:, self.areas]
        place = parameters[:, self.places]
        factor = parameters[:, self.factors] if self.n_factors else np.ones((len(parameters), 1))
        by_factor = error[:, self.factors] if self.n_factors else np.zeros((len(parameters), 1))
        is_line = area > _SIGNIFICANT * area_error
        is_line &= np.abs(place - self.positions) < self.reach * self.full_width
        shape = (len(parameters), n)

        def known(values: FloatArray) -> FloatArray:
            return np.where(is_line, np.broadcast_to(values, shape), np.nan)

        return Peaks(
            position=known(place),
            position_error=known(error[:, self.places]),
            width=known(self.full_width * np.abs(factor)),
            width_error=known(self.full_width * by_factor),
            area=area,
            area_error=area_error,
            covariance=covariance,
            chi_squared=chi_squared,
            degrees_of_freedom=freedom,
            converged=converged,
        )


class _Fit:
    """Some patterns, each with a damping of its own."""

    def __init__(self, model: _Model, values: FloatArray, weight: FloatArray) -> None:
        self._model, self._values, self._weight = model, values, weight

    def run(self) -> tuple[FloatArray, FloatArray, FloatArray, AnyArray]:
        """Parameters, covariance, chi squared and whether they converged."""
        parameters = self._model.start(self._values, self._weight)
        n = len(parameters)
        left = np.arange(n)
        damping, converged = np.full(n, _FIRST_DAMPING), np.zeros(n, dtype=bool)
        normal, right, chi_squared = self._normal(parameters, left)
        for _ in range(_MAX_STEPS):
            diagonal = np.einsum("nii->ni", normal[left])
            damped = normal[left] + damping[left, None, None] * _diagonal(diagonal)
            step = _solved(damped, right[left])
            trial = self._model.bounded(parameters[left] + step)
            found = self._normal(trial, left)
            better = found[2] <= chi_squared[left]
            moved = left[better]
            parameters[moved] = trial[better]
            for kept, new in zip((normal, right, chi_squared), found, strict=True):
                kept[moved] = new[better]
            damping[left] = np.where(better, damping[left] / 10, damping[left] * 10)
            is_small = np.all(np.abs(step) * np.sqrt(diagonal) < _SMALL_STEP, axis=1)
            converged[left] = is_small
            left = left[~is_small & (damping[left] < _MOST_DAMPED)]
            if not len(left):
                break
        return parameters, _inverse(normal), chi_squared, converged

    def _normal(
        self, parameters: FloatArray, which: AnyArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        model, derivatives = self._model.at(parameters)
        weight = self._weight[which]
        apart = (self._values[which] - model) * weight
        weighted = derivatives * weight[:, :, None]
        across = weighted.swapaxes(1, 2)
        return across @ weighted, (across @ apart[:, :, None])[:, :, 0], (apart**2).sum(axis=1)


def _diagonal(values: FloatArray) -> FloatArray:
    return values[:, :, None] * np.eye(values.shape[1])


def _scaled(normal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """With ones on the diagonal and a trace more, so that what nothing depends on can be solved for."""
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-300))
    size = normal.shape[1]
    return normal / (scale[:, :, None] * scale[:, None, :]) + 1e-12 * np.eye(size), scale


def _solved(normal: FloatArray, right: FloatArray) -> FloatArray:
    scaled, scale = _scaled(normal)
    return np.asarray(np.linalg.solve(scaled, (right / scale)[:, :, None])[:, :, 0] / scale)


def _inverse(normal: FloatArray) -> FloatArray:
    scaled, scale = _scaled(normal)
    return np.asarray(np.linalg.inv(scaled) / (scale[:, :, None] * scale[:, None, :]))
