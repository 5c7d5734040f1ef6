"""This file is where a whole pattern is fitted: amounts solved exactly, lattices by Gauss-Newton.

Counts are compared with counts. The weights are the model's own expected variance, renewed every
step, so that the answer is that of maximum likelihood and not drawn towards low counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg as sl

from battbeam.reduction.pattern_model import Component
from battbeam.units import FloatArray

_MAX_STEPS = 30
_MAX_HALVINGS = 6
# A step this small, in standard deviations of each parameter, ends the fit.
_SMALL_STEP = 0.02
# No step may move a line by more than this, in sticks' steps (ten to a line width).
_LONGEST_MOVE = 6.0
# Least variance of a bin, counts squared: keeps empty bins from ruling.
_LEAST_VARIANCE = 0.25


@dataclass(frozen=True)
class CountsInBins:
    """One frame, summed into bins.

    Attributes:
        signal: Counts, dark subtracted, shape (n_bins,).
        dark: Counts subtracted, shape (n_bins,).
        dark_variance: Of them, shape (n_bins,).
        used: Bins to fit, bool, shape (n_bins,).
        optical_depth: -ln of the transmission, 0 if not known.
    """

    signal: FloatArray
    dark: FloatArray
    dark_variance: FloatArray
    used: FloatArray
    optical_depth: float


@dataclass(frozen=True)
class PatternFit:
    """A fitted pattern.

    Attributes:
        linear: Amount of each component, then of each background function.
        parameters: Of each component.
        covariance: Of (linear, all parameters in their order).
        model: Counts without dark, shape (n_bins,).
        background: Its smooth part, shape (n_bins,).
        variance: Of the signal, by the model, shape (n_bins,).
        chi_squared: Sum over the used bins.
        degrees_of_freedom: Bins less parameters, as far as these are free of their priors.
        converged: Whether the last step was small.
    """

    linear: FloatArray
    parameters: tuple[FloatArray, ...]
    covariance: FloatArray = field(repr=False)
    model: FloatArray = field(repr=False)
    background: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)
    chi_squared: float
    degrees_of_freedom: float
    converged: bool


@dataclass(frozen=True)
class _Point:
    """The model at one set of lattices: columns of the amounts, and their derivatives."""

    parameters: tuple[FloatArray, ...]
    columns: FloatArray
    derivatives: tuple[FloatArray, ...]


class PatternModel:
    """Components over a smooth background, fitted together.

    Args:
        components: See `Component`.
        background: Counts of each smooth function, shape (n_bins, n_functions).
    """

    def __init__(self, components: Sequence[Component], background: FloatArray) -> None:
        self.components = tuple(components)
        self.background = background
        self._n_linear = len(self.components) + background.shape[1]
        self._centre = np.concatenate([c.centre for c in self.components])
        self._sigma = np.concatenate([c.sigma for c in self.components])
        self._slices = []
        begin = 0
        for component in self.components:
            self._slices.append(slice(begin, begin + len(component.centre)))
            begin += len(component.centre)

    def fit(self, counts: CountsInBins, start: Sequence[FloatArray]) -> PatternFit:
        """The most likely amounts and lattices, from a start."""
        point = self._at(tuple(start), counts)
        variance = self._first_variance(counts)
        linear = self._amounts(point, counts, variance, np.zeros(self._n_linear))[0]
        converged = False
        for _ in range(_MAX_STEPS):
            variance = self._variance(point, linear, counts)
            linear, before = self._amounts(point, counts, variance, linear)
            step, errors = self._step(point, linear, counts, variance)
            converged = bool(np.all(np.abs(step) < _SMALL_STEP * errors))
            if converged:
                break
            step = step * self._shortening(point, step)
            for _ in range(_MAX_HALVINGS):
                trial = self._at(self._moved(point.parameters, step), counts)
                found, after = self._amounts(trial, counts, variance, linear)
                if after <= before + 1e-6 * abs(before):
                    break
                step = step / 2
            point, linear = trial, found
        return self._outcome(point, linear, counts, converged)

    def _at(self, parameters: tuple[FloatArray, ...], counts: CountsInBins) -> _Point:
        drawn: list[FloatArray] = []
        groups: dict[int, list[int]] = {}
        for index, component in enumerate(self.components):
            groups.setdefault(id(component.shape), []).append(index)
        sticks = [
            c.sticks(p, counts.optical_depth)
            for c, p in zip(self.components, parameters, strict=True)
        ]
        drawn = [np.empty(0)] * len(sticks)
        for members in groups.values():
            together = self.components[members[0]].shape.draw(
                np.vstack([sticks[i] for i in members])
            )
            ends = np.cumsum([len(sticks[i]) for i in members])
            for index, columns in zip(members, np.split(together, ends[:-1], axis=1), strict=True):
                drawn[index] = columns
        columns = np.column_stack([*(d[:, 0] for d in drawn), self.background])
        return _Point(parameters, columns, tuple(d[:, 1:] for d in drawn))

    def _moved(
        self, parameters: tuple[FloatArray, ...], step: FloatArray
    ) -> tuple[FloatArray, ...]:
        return tuple(p + step[part] for p, part in zip(parameters, self._slices, strict=True))

    def _first_variance(self, counts: CountsInBins) -> FloatArray:
        smooth = np.convolve(
            np.maximum(counts.signal + counts.dark, 0), np.ones(5) / 5, mode="same"
        )
        return np.asarray(np.maximum(smooth, 1.0) + counts.dark_variance)

    def _variance(self, point: _Point, linear: FloatArray, counts: CountsInBins) -> FloatArray:
        expected = point.columns @ linear + counts.dark
        return np.asarray(np.maximum(expected, _LEAST_VARIANCE) + counts.dark_variance)

    def _linear_prior(self, linear: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and inverse variances of the amounts of inactive grains, as shares of all active
        material.
        """
        mean, prior = np.zeros(self._n_linear), np.zeros(self._n_linear)
        scale = abs(sum(linear[i] for i, c in enumerate(self.components) if c.kind != "inert"))
        for index, component in enumerate(self.components):
            if component.share is not None and scale > 0:
                mean[index] = component.share[0] * scale
                prior[index] = 1 / (component.share[1] * scale) ** 2
        return mean, prior

    def _normal(
        self, columns: FloatArray, target: FloatArray, counts: CountsInBins, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        weight = np.where(counts.used, 1 / variance, 0.0)
        weighted = columns * weight[:, None]
        return columns.T @ weighted, weighted.T @ target

    def _amounts(
        self, point: _Point, counts: CountsInBins, variance: FloatArray, near: FloatArray
    ) -> tuple[FloatArray, float]:
        """Best amounts at these lattices, and chi squared with priors."""
        mean, prior = self._linear_prior(near)
        normal, right = self._normal(point.columns, counts.signal, counts, variance)
        linear = _solve(normal + np.diag(prior), right + prior * mean)
        apart = counts.signal - point.columns @ linear
        chi_squared = float(
            (apart**2 / variance)[counts.used].sum() + (prior * (linear - mean) ** 2).sum()
        )
        flat = np.concatenate(point.parameters)
        return linear, chi_squared + float((((flat - self._centre) / self._sigma) ** 2).sum())

    def _all_columns(self, point: _Point, linear: FloatArray) -> FloatArray:
        moved = [d * amount for d, amount in zip(point.derivatives, linear, strict=False)]
        return np.column_stack([point.columns, *moved])

    def _joint(
        self, point: _Point, linear: FloatArray, counts: CountsInBins, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Normal matrix and right side of all parameters together, priors included."""
        apart = counts.signal - point.columns @ linear
        normal, right = self._normal(self._all_columns(point, linear), apart, counts, variance)
        mean, prior = self._linear_prior(linear)
        flat = np.concatenate(point.parameters)
        precision = np.concatenate([prior, 1 / self._sigma**2])
        pull = np.concatenate([prior * (mean - linear), (self._centre - flat) / self._sigma**2])
        return normal + np.diag(precision), right + pull

    def _step(
        self, point: _Point, linear: FloatArray, counts: CountsInBins, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        normal, right = self._joint(point, linear, counts, variance)
        step = _solve(normal, right)[self._n_linear :]
        errors = np.sqrt(np.diag(_inverse(normal)))[self._n_linear :]
        return step, errors

    def _shortening(self, point: _Point, step: FloatArray) -> float:
        longest = 0.0
        for component, parameters, part in zip(
            self.components, point.parameters, self._slices, strict=True
        ):
            if component.kind == "inactive":
                slope = component.table.edges(float(parameters[0]))[1]
                edges, moved = component.table.edges(float(parameters[0]))[0], slope * step[part][0]
            else:
                edges, moved = parameters[: component.n_edges], step[part][: component.n_edges]
            by_edge = component.reflections.two_theta(edges)[1]
            move = np.degrees(by_edge @ moved) / component.shape.sticks.step
            longest = max(longest, float(np.abs(move).max()))
        return min(1.0, _LONGEST_MOVE / longest) if longest > 0 else 1.0

    def _outcome(
        self, point: _Point, linear: FloatArray, counts: CountsInBins, converged: bool
    ) -> PatternFit:
        variance = self._variance(point, linear, counts)
        normal, _ = self._joint(point, linear, counts, variance)
        covariance = _inverse(normal)
        model = point.columns @ linear
        n_phases = len(self.components)
        chi_squared = float(((counts.signal - model) ** 2 / variance)[counts.used].sum())
        free = 1 - np.diag(covariance)[self._n_linear :] / self._sigma**2
        return PatternFit(
            linear=linear,
            parameters=point.parameters,
            covariance=covariance,
            model=model,
            background=point.columns[:, n_phases:] @ linear[n_phases:],
            variance=variance,
            chi_squared=chi_squared,
            degrees_of_freedom=float(counts.used.sum() - self._n_linear - free.sum()),
            converged=converged,
        )

    def slice_of(self, index: int) -> slice:
        """Where a component's parameters stand in the covariance."""
        part = self._slices[index]
        return slice(self._n_linear + part.start, self._n_linear + part.stop)


def _scaled(normal: FloatArray) -> tuple[FloatArray, FloatArray]:
    diagonal = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    return normal / np.outer(diagonal, diagonal) + 1e-12 * np.eye(len(normal)), diagonal


def _solve(normal: FloatArray, right: FloatArray) -> FloatArray:
    scaled, diagonal = _scaled(normal)
    return np.asarray(sl.solve(scaled, right / diagonal, assume_a="pos") / diagonal)


def _inverse(normal: FloatArray) -> FloatArray:
    scaled, diagonal = _scaled(normal)
    inverse = sl.inv(scaled)
    return np.asarray((inverse + inverse.T) / 2 / np.outer(diagonal, diagonal))
