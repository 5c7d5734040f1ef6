"""This file is where a whole pattern is fitted: amounts solved exactly, lattices by Gauss-Newton.

Counts are compared with counts. The weights are the model's own expected variance, renewed every
step, so that the answer is that of maximum likelihood and not drawn towards low counts.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg as sl

from battbeam.reduction.component import Component, MeasuredComponent
from battbeam.reduction.pattern_steps import of_the_moving, of_the_seen, shortened
from battbeam.units import FloatArray

_MAX_STEPS = 30
_MAX_HALVINGS = 6
# A step this small, in standard deviations of each parameter, ends the fit.
_SMALL_STEP = 0.02
# Steps in which a phase may move whose amount is still hardly one.
_FREE_STEPS = 2
# So does this many steps that together gain less than this in chi squared: a phase too weak to have
# a say of its own can swing to and fro for long.
_IDLE_STEPS, _IDLE_GAIN = 3, 0.03
# Chi squared may rise by this on a step: derivatives of spreads are not exact to the last.
_NO_WORSE = 0.02
# Standard deviation of a parameter that is held: small against anything measured.
_HELD = 1e-5
#: Kinds of components that are active material of the working electrode.
WORKING = ("grains", "inactive", "fatigued")
# Share of all active material that is none.
_ABSENT = 1e-9
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
        shared: Parameters that components have together.
        covariance: Of (linear, all parameters in their order, shared).
        model: Counts without dark, shape (n_bins,).
        background: Its smooth part, shape (n_bins,).
        variance: Of the signal, by the model, shape (n_bins,).
        chi_squared: Sum over the used bins.
        of_priors: What parameters away from their priors add to it; a fit makes the sum of both least.
        degrees_of_freedom: Bins less parameters, as far as these are free of their priors.
        converged: Whether the last step was small.
    """

    linear: FloatArray
    parameters: tuple[FloatArray, ...]
    shared: FloatArray
    covariance: FloatArray = field(repr=False)
    model: FloatArray = field(repr=False)
    background: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)
    chi_squared: float
    of_priors: float
    degrees_of_freedom: float
    converged: bool


@dataclass(frozen=True)
class _Point:
    """The model at one set of lattices: columns of the amounts, and their derivatives."""

    parameters: tuple[FloatArray, ...]
    shared: FloatArray
    columns: FloatArray
    derivatives: tuple[FloatArray, ...]
    shared_derivatives: tuple[FloatArray, ...]

    @property
    def flat(self) -> FloatArray:
        """All parameters that are not amounts."""
        return np.concatenate([*self.parameters, self.shared])


class PatternModel:
    """Components over a smooth background, fitted together.

    Args:
        components: See `Component`.
        background: Counts of each smooth function, shape (n_bins, n_functions).
        shared: Name, centre and standard deviation of the prior of each parameter that components
            have together.
    """

    def __init__(
        self,
        components: Sequence[Component | MeasuredComponent],
        background: FloatArray,
        shared: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.components = tuple(components)
        self.background = background
        self.shared = dict(shared or {})
        self.n_linear = len(self.components) + background.shape[1]
        ends = np.cumsum([0, *(len(c.centre) for c in self.components)])
        self.slices = [slice(int(i), int(j)) for i, j in itertools.pairwise(ends)]

    def slice_of(self, index: int) -> slice:
        """Where a component's parameters stand in the covariance."""
        part = self.slices[index]
        return slice(self.n_linear + part.start, self.n_linear + part.stop)

    def fit(
        self,
        counts: CountsInBins,
        start: Sequence[FloatArray],
        *,
        held: frozenset[int] = frozenset(),
        absent: frozenset[int] = frozenset(),
    ) -> PatternFit:
        """The most likely amounts and lattices, from a start.

        Args:
            counts: The frame.
            start: Parameters of each component.
            held: Components whose parameters stay at the centre of their prior.
            absent: Components whose amounts stay 0.
        """
        return _Fit(self, counts, held, absent).run(tuple(start))

    def at(
        self,
        parameters: tuple[FloatArray, ...],
        shared: FloatArray,
        optical_depth: float,
        known: dict[int, tuple[bytes, FloatArray]],
    ) -> _Point:
        """Columns and derivatives; components that share a line shape are drawn together.

        Args:
            parameters: Of each component.
            shared: That components have together.
            optical_depth: Of the cell.
            known: What was drawn last at this optical depth, and at which parameters; renewed.
        """
        drawn = self._drawn(parameters, shared, optical_depth, known)
        columns = np.column_stack([*(d[:, 0] for d in drawn), self.background])
        ends = [1 + len(p) for p in parameters]
        own = tuple(d[:, 1:end] for d, end in zip(drawn, ends, strict=True))
        together = tuple(d[:, end:] for d, end in zip(drawn, ends, strict=True))
        return _Point(parameters, shared, columns, own, together)

    def _drawn(
        self,
        parameters: tuple[FloatArray, ...],
        shared: FloatArray,
        optical_depth: float,
        known: dict[int, tuple[bytes, FloatArray]],
    ) -> list[FloatArray]:
        """Of each component its column and derivatives, shape (n_bins, 1 + n_parameters + n_shared)."""
        drawn = [np.empty(0)] * len(self.components)
        groups: dict[int, list[tuple[int, Component, FloatArray]]] = {}
        for index, (component, p) in enumerate(zip(self.components, parameters, strict=True)):
            if isinstance(component, MeasuredComponent):
                still = np.zeros((len(component.column), len(shared)))
                drawn[index] = np.column_stack([component.column, still])
                continue
            key = p.tobytes() + (shared.tobytes() if component.has_shared else b"")
            if index in known and known[index][0] == key:
                drawn[index] = known[index][1]
                continue
            known[index] = (key, drawn[index])
            sticks = component.sticks(p, optical_depth, shared)
            groups.setdefault(id(component.shape), []).append((index, component, sticks))
        for members in groups.values():
            together = members[0][1].shape.draw(np.vstack([sticks for _, _, sticks in members]))
            ends = np.cumsum([len(sticks) for _, _, sticks in members])
            for (index, _, _), columns in zip(
                members, np.split(together, ends[:-1], axis=1), strict=True
            ):
                drawn[index] = columns
                known[index] = (known[index][0], columns)
        return drawn


def _is_idle(gains: Sequence[float]) -> bool:
    """Whether steps that gained so much in chi squared lead nowhere.

    >>> _is_idle([0.02, 0.004, 0.001]), _is_idle([0.5, 0.1, 0.01])
    (True, False)

    To and fro, within what a step may rise:

    >>> _is_idle([0.0137, -0.0137, 0.0137]), _is_idle([4.0, -4.0, 4.0])
    (True, False)
    """
    change = np.abs(gains)
    swings = float(change.max()) <= _NO_WORSE and abs(float(np.sum(gains))) < _IDLE_GAIN
    # Derivatives are not exact to the last: where no step leads forward any more, it ends.
    return bool(change.sum() < _IDLE_GAIN or swings or max(gains) <= 0)


class _Fit:
    """One fit of one frame."""

    def __init__(
        self,
        model: PatternModel,
        counts: CountsInBins,
        held: frozenset[int],
        absent: frozenset[int],
    ) -> None:
        self.model, self.counts, self._absent = model, counts, absent
        self._n_linear = model.n_linear
        self._known: dict[int, tuple[bytes, FloatArray]] = {}
        components, shared = model.components, list(model.shared.values())
        self._centre = np.concatenate([*(c.centre for c in components), [c for c, _ in shared]])
        self._sigma = np.concatenate(
            [
                *(
                    np.full(len(c.centre), _HELD) if i in held else c.sigma
                    for i, c in enumerate(components)
                ),
                [sigma for _, sigma in shared],
            ]
        )

    def run(self, start: tuple[FloatArray, ...]) -> PatternFit:
        """Steps of Gauss-Newton, each halved until it is one forward."""
        point = self._at(start, np.array([centre for centre, _ in self.model.shared.values()]))
        linear = self._amounts(point, self._first_variance(), np.zeros(self._n_linear))[0]
        converged, gains = False, [np.inf] * _IDLE_STEPS
        for n_done in range(_MAX_STEPS):
            variance = self._variance(point, linear)
            linear, before = self._amounts(point, variance, linear)
            step, errors = self._step(point, linear, variance)
            idle = _is_idle(gains[-_IDLE_STEPS:])
            if n_done >= _FREE_STEPS:
                step = of_the_seen(step, self.model.slices, linear, self._amount_errors)
            converged = idle or bool(np.all(np.abs(step) < _SMALL_STEP * errors))
            if converged:
                break
            step = of_the_moving(step, self.model.slices, errors)
            step = shortened(step, self.model.slices, self.model.components, point.parameters)
            for _ in range(_MAX_HALVINGS):
                moved = zip(point.parameters, self.model.slices, strict=True)
                shared = point.shared + step[len(step) - len(point.shared) :]
                trial = self._at(tuple(p + step[part] for p, part in moved), shared)
                found, after = self._amounts(trial, variance, linear)
                if after <= before + _NO_WORSE:
                    break
                step = step / 2
            point, linear = trial, found
            gains.append(before - after)
        return self._outcome(point, linear, converged)

    def _at(self, parameters: tuple[FloatArray, ...], shared: FloatArray) -> _Point:
        return self.model.at(parameters, shared, self.counts.optical_depth, self._known)

    def _first_variance(self) -> FloatArray:
        seen = np.maximum(self.counts.signal + self.counts.dark, 0)
        smooth = np.convolve(seen, np.ones(5) / 5, mode="same")
        return np.asarray(np.maximum(smooth, 1.0) + self.counts.dark_variance)

    def _variance(self, point: _Point, linear: FloatArray) -> FloatArray:
        expected = point.columns @ linear + self.counts.dark
        variance = np.maximum(expected, _LEAST_VARIANCE) + self.counts.dark_variance
        for amount, component in zip(linear, self.model.components, strict=False):
            if isinstance(component, MeasuredComponent):
                variance = variance + amount**2 * component.variance
        return np.asarray(variance)

    def _linear_prior(self, linear: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and inverse variances of the amounts of inactive and fatigued grains: shares of all
        active material.
        """
        mean, prior = np.zeros(self._n_linear), np.zeros(self._n_linear)
        components = self.model.components
        scale = abs(sum(linear[i] for i, c in enumerate(components) if c.kind in WORKING))
        for index, component in enumerate(components):
            if component.share is not None and scale > 0:
                mean[index] = component.share[0] * scale
                prior[index] = 1 / (component.share[1] * scale) ** 2
            if index in self._absent and scale > 0:
                mean[index], prior[index] = 0.0, 1 / (_ABSENT * scale) ** 2
        return mean, prior

    def _normal(
        self, columns: FloatArray, target: FloatArray, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        weighted = columns * np.where(self.counts.used, 1 / variance, 0.0)[:, None]
        return columns.T @ weighted, weighted.T @ target

    def _amounts(
        self, point: _Point, variance: FloatArray, near: FloatArray
    ) -> tuple[FloatArray, float]:
        """Best amounts at these lattices, and chi squared with priors."""
        mean, prior = self._linear_prior(near)
        signal, used = self.counts.signal, self.counts.used
        normal, right = self._normal(point.columns, signal, variance)
        linear = _solve(normal + np.diag(prior), right + prior * mean)
        apart = signal - point.columns @ linear
        chi_squared = float((apart**2 / variance)[used].sum())
        return linear, chi_squared + self._of_priors(point, linear, near)

    def _of_priors(self, point: _Point, linear: FloatArray, near: FloatArray) -> float:
        mean, prior = self._linear_prior(near)
        of_lattices = ((point.flat - self._centre) / self._sigma) ** 2
        return float((prior * (linear - mean) ** 2).sum() + of_lattices.sum())

    def _joint(
        self, point: _Point, linear: FloatArray, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Normal matrix and right side of all parameters together, priors included."""
        moved = [d * amount for d, amount in zip(point.derivatives, linear, strict=False)]
        if len(point.shared):
            together = zip(point.shared_derivatives, linear, strict=False)
            moved.append(sum((d * a for d, a in together), np.zeros((1, 1))))
        every = np.column_stack([point.columns, *moved])
        apart = self.counts.signal - point.columns @ linear
        normal, right = self._normal(every, apart, variance)
        mean, prior = self._linear_prior(linear)
        flat = point.flat
        precision = np.concatenate([prior, 1 / self._sigma**2])
        pull = np.concatenate([prior * (mean - linear), (self._centre - flat) / self._sigma**2])
        return normal + np.diag(precision), right + pull

    def _step(
        self, point: _Point, linear: FloatArray, variance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Of the lattices, and their standard deviations."""
        normal, right = self._joint(point, linear, variance)
        inverse, n_linear = _inverse(normal), self._n_linear
        # Of amounts as lattices stand, whatever is known of intensities.
        self._amount_errors = np.sqrt(np.diag(_inverse(normal[:n_linear, :n_linear])))
        return (inverse @ right)[n_linear:], np.sqrt(np.diag(inverse))[n_linear:]

    def _outcome(self, point: _Point, linear: FloatArray, converged: bool) -> PatternFit:
        signal, used = self.counts.signal, self.counts.used
        variance = self._variance(point, linear)
        normal, _ = self._joint(point, linear, variance)
        covariance = _inverse(normal)
        model = point.columns @ linear
        n_phases = len(self.model.components)
        free = 1 - np.diag(covariance)[self._n_linear :] / self._sigma**2
        return PatternFit(
            linear=linear,
            parameters=point.parameters,
            shared=point.shared,
            covariance=covariance,
            model=model,
            background=point.columns[:, n_phases:] @ linear[n_phases:],
            variance=variance,
            chi_squared=float(((signal - model) ** 2 / variance)[used].sum()),
            of_priors=self._of_priors(point, linear, linear),
            degrees_of_freedom=max(1.0, float(used.sum() - self._n_linear - free.sum())),
            converged=converged,
        )


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
