"""This file is where everything that is the same for all frames of a series is, and where a fit
starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.linalg as sl

from battbeam.reduction.component import Component, MeasuredComponent
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import CountsInBins, PatternFit, PatternModel
from battbeam.reduction.pattern_model import LineShape
from battbeam.reduction.pixels import Bins, PixelGeometry
from battbeam.reduction.xrd_components import SOLID_SOLUTIONS
from battbeam.reduction.xrd_references import MeasuredPattern
from battbeam.reduction.xrd_result import ScatteringPhase
from battbeam.units import AnyArray, FloatArray

# Compositions tried, and the spread among grains with which they are (a variance).
_N_TRIED, _SPREAD_TRIED = 181, 2e-4
# Of a phase whose composition is nearly known: how many, and over how many standard deviations of it.
_N_TRIED_NEAR, _REACH = 31, 2.5
# Inactive grains this near in lithium content to the others are held where they are expected: only
# one of two lattices that lie within a line's width of each other can be free.
_TOO_NEAR = 0.15
# Fatigued grains are not looked for among others whose 003 lies nearer than this share of a line
# width; from one width on their lattice is free, and they say how many they are.
_APART, _RESOLVED = 0.1, 1.0
# Layers of oxide: the reflection whose angle tells c.
_BY_LAYERS = "003"
# A start without inactive grains is kept unless one with them is better by this in chi squared. If the
# others then explain less than this share of what they explain without, both starts are gone from.
_BETTER_START, _STILL_EXPLAINED = 25.0, 0.1


@dataclass(frozen=True)
class _First:
    """Where the fit of an active phase starts.

    Attributes:
        lattice: Its parameters.
        improvement: Of chi squared by it.
        is_doubtful: Whether nearly all grains may take no part, and the others lie elsewhere.
    """

    lattice: FloatArray
    improvement: float
    is_doubtful: bool = False


@dataclass(frozen=True)
class XrdModel:
    """Everything about a series of frames that is the same for each of them.

    Attributes:
        geometry: Of the pixels.
        instrument: Widths of lines.
        polarization: Used in the correction factors, or None.
        bins: Of the pattern.
        norm: Sum of solid angle times polarization over each bin, steradian.
        used: Bins with enough pixels.
        shape: Lines at electrode depth.
        pattern: Components over their background.
        phases: As asked for.
        blank: Counts of an empty cell per monitor count and transmission, and their variance, shape
            (n_bins,) each; None without one.
        end_members: Measured ones by name.
    """

    geometry: PixelGeometry
    instrument: Instrument
    polarization: float | None
    bins: Bins
    norm: FloatArray = field(repr=False)
    used: AnyArray = field(repr=False)
    shape: LineShape = field(repr=False)
    pattern: PatternModel = field(repr=False)
    phases: tuple[ScatteringPhase, ...] = ()
    blank: tuple[FloatArray, FloatArray] | None = field(default=None, repr=False)
    end_members: Mapping[str, MeasuredPattern] = field(default_factory=dict)

    @property
    def pixels_per_width(self) -> float:
        """Largest pixel over the width of a line there."""
        middle = self.instrument.full_width(self.bins.centres).mean()
        return self.geometry.pixel_width[1] / float(middle)

    def fit(self, counts: CountsInBins) -> PatternFit:
        """The pattern of one frame, fitted from a start of its own; from two, and the better of both,
        where grains that take no part may be nearly all there are.
        """
        start, is_doubtful = self._start(counts)
        fit = self._fitted(counts, start)
        if not is_doubtful:
            return fit
        other, _ = self._start(counts, mostly_inactive=True)
        fits = (fit, self._fitted(counts, other))
        return min(fits, key=lambda each: each.chi_squared + each.of_priors)

    def _fitted(self, counts: CountsInBins, start: Sequence[FloatArray]) -> PatternFit:
        held, near = self._held(start), self._unresolved(start)
        fit = self.pattern.fit(counts, start, held=held, absent=near)
        # Grains that stopped, fewer than none, among others that are broader imitate both populations:
        # a start may take them for it. Where the others lie on average is told without those that stopped.
        beside = near - self._absent(fit.parameters)
        if not beside:
            return fit
        both = self.pattern.fit(counts, fit.parameters, held=held - beside, absent=near - beside)
        return fit if any(both.linear[index] < 0 for index in beside) else both

    def _held(self, start: Sequence[FloatArray]) -> frozenset[int]:
        """Which components' lattices stay at their priors."""
        held = set()
        for index, component in self._populations("inactive"):
            content = self._content(component.phase, start)
            if abs(content - component.centre[0]) < _TOO_NEAR:
                held.add(index)
        return frozenset(held) | self._unresolved(start)

    def _absent(self, parameters: Sequence[FloatArray]) -> frozenset[int]:
        """Fatigued grains that lie among the others, or that these have not passed."""
        return self._nearer(parameters, _APART)

    def _unresolved(self, parameters: Sequence[FloatArray]) -> frozenset[int]:
        return self._nearer(parameters, _RESOLVED)

    def _nearer(self, parameters: Sequence[FloatArray], widths: float) -> frozenset[int]:
        """Fatigued grains that do not lie so far beside the others."""
        return frozenset(
            index
            for index, component in self._populations("fatigued")
            if self.widths_apart(component.phase, parameters) < widths
        )

    def is_resolved(self, phase: str, parameters: Sequence[FloatArray]) -> bool:
        """Whether fatigued grains of a phase lie beside the others."""
        return self.widths_apart(phase, parameters) >= _RESOLVED

    def widths_apart(self, phase: str, parameters: Sequence[FloatArray]) -> float:
        """By how many line widths the 003 of the grains that went on lies beyond that of the fatigued;
        < 0 if they have not gone that far.
        """
        ((index, fatigued),) = self._populations("fatigued", phase)
        ((among, grains),) = self._populations("grains", phase)
        edges = (
            parameters[among][: grains.n_edges],
            fatigued.table.edges(float(parameters[index][0]))[0],
        )
        line = grains.reflections.index_of(_BY_LAYERS)
        if line is None:
            return -np.inf
        angles = [np.degrees(grains.reflections.two_theta(e)[0][line]) for e in edges]
        width = float(self.instrument.full_width(np.array([angles[1]]))[0])
        apart = abs(angles[0] - angles[1]) / width
        has_passed = self._content(phase, parameters) < float(parameters[index][0])
        return float(apart if has_passed else -apart)

    def _populations(self, kind: str, phase: str | None = None) -> list[tuple[int, Component]]:
        return [
            (index, component)
            for index, component in enumerate(self.pattern.components)
            if isinstance(component, Component)
            and component.kind == kind
            and phase in (None, component.phase)
        ]

    def _content(self, phase: str, parameters: Sequence[FloatArray]) -> float:
        """Lithium content of the grains of a phase that take part."""
        ((index, grains),) = self._populations("grains", phase)
        return grains.table.content(parameters[index][: grains.n_edges], grains.edge_weights)[0]

    def _start(
        self, counts: CountsInBins, *, mostly_inactive: bool = False
    ) -> tuple[list[FloatArray], bool]:
        """First lattices: the priors', and of active phases the best composition of a grid, that of
        the phase which explains most first; and whether another start is as likely.
        """
        parameters = [c.centre.copy() for c in self.pattern.components]
        left, is_doubtful = set(self._tried), False
        while left:
            found = {
                i: self._best_composition(i, parameters, counts, mostly_inactive) for i in left
            }
            strongest = max(sorted(left), key=lambda i: found[i].improvement)
            parameters[strongest] = found[strongest].lattice
            is_doubtful |= found[strongest].is_doubtful
            left.remove(strongest)
        return parameters, is_doubtful

    @cached_property
    def _tried(self) -> dict[int, tuple[list[FloatArray], FloatArray]]:
        """Of each active phase the lattices tried, and their patterns without absorption; where it
        has a composition that is expected, that one is the first.
        """
        tried = {}
        for kind in ("grains", "stage"):
            for index, component in self._populations(kind):
                rest = component.centre[component.n_edges :].copy()
                if kind == "grains":
                    rest[0] = _SPREAD_TRIED
                lattices = [
                    np.concatenate([component.table.edges(float(x))[0], rest])
                    for x in _contents_tried(component)
                ]
                sticks = np.vstack([self._alone(component, p) for p in lattices])
                tried[index] = (lattices, component.shape.draw(sticks))
        return tried

    def _alone(self, component: Component, parameters: FloatArray) -> FloatArray:
        """Sticks of a component without absorption, shape (1, size)."""
        return component.sticks(parameters, 0.0, np.zeros(len(self.pattern.shared)))[:1]

    @cached_property
    def _kept(self) -> dict[tuple[int, bytes], FloatArray]:
        """Patterns without absorption that were drawn: of every component's prior, and of lattices that
        are tried.
        """
        return {}

    def _drawn_alone(self, index: int, component: Component, parameters: FloatArray) -> FloatArray:
        """Pattern of a component without absorption, shape (n_bins, 1)."""
        key = (index, parameters.tobytes())
        if key not in self._kept:
            self._kept[key] = component.shape.draw(self._alone(component, parameters))
        return self._kept[key]

    def _best_composition(
        self,
        index: int,
        parameters: Sequence[FloatArray],
        counts: CountsInBins,
        mostly_inactive: bool,
    ) -> _First:
        """First lattice of an active phase."""
        lattices, drawn = self._tried[index]
        alone, joint = (
            _improvement(drawn, self._others(index, parameters, inactive), counts)
            for inactive in (False, True)
        )
        best = int(np.argmax(alone))
        is_better = joint.max() - joint[best] > _BETTER_START
        explains = joint.max() > _STILL_EXPLAINED * alone[best]
        if is_better and (explains or mostly_inactive):
            best = int(np.argmax(joint))
        if self.pattern.components[index].phase not in SOLID_SOLUTIONS:
            # A weak phase stays where it is expected: noise has no say in where a fit starts.
            expected = self.pattern.components[index].centre
            if alone[best] - alone[0] < _BETTER_START:
                return _First(expected, float(alone[0]))
        return _First(lattices[best], float(alone[best]), is_doubtful=is_better and not explains)

    def _others(self, index: int, parameters: Sequence[FloatArray], inactive: bool) -> FloatArray:
        """Background and other components. Grains that stopped are none of them: where the others pass
        by, those alone would explain the frame.
        """
        columns = [self.pattern.background]
        for other, component in enumerate(self.pattern.components):
            if isinstance(component, MeasuredComponent):
                columns.append(component.column[:, None])
            elif other != index and (
                not component.is_composed or (inactive and component.kind == "inactive")
            ):
                columns.append(self._drawn_alone(other, component, parameters[other]))
        return np.column_stack(columns)


def _contents_tried(component: Component) -> FloatArray:
    """Lithium contents at which a fit of an active phase may start, shape (n,)."""
    low, high = component.table.range
    if component.phase in SOLID_SOLUTIONS:
        return np.linspace(low, high, _N_TRIED)
    if component.kind == "stage":
        middle = component.centre[: component.n_edges]
        expected = component.table.content(middle, component.edge_weights)[0]
        return np.append(expected, np.linspace(low, high, _N_TRIED_NEAR))
    edges = component.centre[: component.n_edges]
    expected = component.table.content(edges, component.edge_weights)[0]
    slope = component.table.edges(expected)[1]
    reach = _REACH * float(np.max(component.sigma[: component.n_edges] / np.abs(slope)))
    return np.append(
        expected,
        np.linspace(max(low, expected - reach), min(high, expected + reach), _N_TRIED_NEAR),
    )


def _improvement(candidates: FloatArray, others: FloatArray, counts: CountsInBins) -> FloatArray:
    """Gain in chi squared by each candidate over the other columns alone."""
    variance = np.maximum(
        np.convolve(counts.signal + counts.dark, np.ones(5) / 5, mode="same"), 1.0
    )
    weight = np.where(counts.used, 1 / variance, 0.0)
    weighted = others * weight[:, None]
    normal = weighted.T @ others
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    factor = np.linalg.cholesky(normal / np.outer(scale, scale) + 1e-12 * np.eye(len(normal)))
    both = np.column_stack([weighted.T @ candidates, weighted.T @ counts.signal]) / scale[:, None]
    common = sl.solve_triangular(factor, both, lower=True)
    whole = weight @ candidates**2
    norm2 = whole - np.einsum("ij,ij->j", common[:, :-1], common[:, :-1])
    along = (weight * counts.signal) @ candidates - common[:, -1] @ common[:, :-1]
    amount = along / np.maximum(norm2, 1e-9 * whole + 1e-300)
    return np.where(amount > 0, along * amount, -1.0)
