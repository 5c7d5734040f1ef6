"""This file is where a phase becomes a column of counts in bins, with derivatives by its lattice."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from battbeam.reduction.pattern_model import CompositionTable, LineShape
from battbeam.reduction.pixels import lagrange_weights
from battbeam.reduction.reflections import Reflections, free_edges_of
from battbeam.units import AnyArray, FloatArray

# A normal distribution of grains in five of them (Gauss-Hermite); right up to the ninth moment.
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
# Grid points that a reflection between them is laid on: with ten to a line's width it keeps its shape to
# 7e-5 of its height, with four to 4e-4, which is what a weak line beside it may be.
_POINTS = 6
# Five-point first and three-point second derivatives, by its position, of what a stick draws.
_FIRST = np.array([1, -8, 0, 8, -1]) / 12
_SECOND = np.array([1, -2, 1])


@dataclass(frozen=True)
class MeasuredComponent:
    """The pattern of a measured end member: one amount, no lattice.

    Attributes:
        phase: Name that it goes by.
        column: Counts in bins per monitor count and transmission, shape (n_bins,).
        variance: Of them, shape (n_bins,).
    """

    phase: str
    column: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)
    kind: str = "reference"
    centre: FloatArray = field(default_factory=lambda: np.empty(0))
    sigma: FloatArray = field(default_factory=lambda: np.empty(0))
    share: tuple[float, float] | None = None


@dataclass(frozen=True)
class Component:
    """One population of grains of one phase: one amount, and parameters of its lattice.

    Attributes:
        phase: Name.
        reflections: Of it.
        shape: Lines at its depth.
        downstream: Share of the cell's absorption behind its layer.
        kind: ``grains`` with free edges and spread of composition, ``inert`` with free edges,
            ``stage`` the same with the composition that the edges tell, ``inactive`` and
            ``fatigued`` with a composition from the table.
        centre: Prior of each parameter; behind those of the lattice a factor for each group.
        sigma: Its standard deviation.
        share: Prior mean and standard deviation of its share of all active material, or None.
        groups: Of each reflection the group whose intensity is a parameter, -1 for one that keeps
            that of the structure; None if all do. Shape (n_reflections,).
        displaced: Index of the displacement among the shared parameters, None if it does not move.
        broadened: Index of the extra variance of its lines, None if there is none.
        distance: From its layer to the detector, mm.
    """

    phase: str
    reflections: Reflections
    shape: LineShape
    downstream: float
    kind: str
    centre: FloatArray
    sigma: FloatArray
    share: tuple[float, float] | None = None
    groups: AnyArray | None = None
    displaced: int | None = None
    broadened: int | None = None
    distance: float = np.inf

    @cached_property
    def table(self) -> CompositionTable:
        """Lattice against composition."""
        return CompositionTable(self.phase)

    @cached_property
    def n_edges(self) -> int:
        """How many are free."""
        return len(free_edges_of(self.reflections.structure))

    @cached_property
    def edge_weights(self) -> FloatArray:
        """How edges vote on a composition, inverse variances."""
        if not self.table.is_linear:
            # Of the table: a within 0.004, c within 0.04 angstrom.
            return np.diag(1 / np.array([0.004, 0.04]) ** 2)
        return np.eye(self.n_edges)

    @cached_property
    def is_composed(self) -> bool:
        """Whether its only parameter is a composition."""
        return self.kind in ("inactive", "fatigued")

    @cached_property
    def has_shared(self) -> bool:
        """Whether parameters that components share move or widen its lines."""
        return self.displaced is not None or self.broadened is not None

    @cached_property
    def n_groups(self) -> int:
        """How many intensities are parameters, the last ones."""
        return 0 if self.groups is None else int(self.groups.max()) + 1

    def sticks(
        self, parameters: FloatArray, optical_depth: float, shared: FloatArray | None = None
    ) -> FloatArray:
        """Stick pattern per areal mole, its derivatives by the parameters, then by the shared ones,
        shape (1 + n_parameters + n_shared, size).
        """
        laid = self._laid(parameters, optical_depth, np.empty(0) if shared is None else shared)
        own = [laid.pattern, *laid.by_edge]
        if self.is_composed:
            _, slope = self.table.edges(float(parameters[0]))
            own = [laid.pattern, slope @ np.array(laid.by_edge)]
        elif self.kind == "grains":
            own.append(laid.by_spread)
        return np.array([*own, *laid.by_group, *laid.by_shared])

    def _laid(
        self, parameters: FloatArray, optical_depth: float, shared: FloatArray
    ) -> "_LaidPattern":
        nothing = np.zeros(self.n_edges)
        if self.is_composed:
            content = float(parameters[0])
            edges, slope = self.table.edges(content)
            by_edge = slope / max(float(slope @ slope), 1e-12)
            grains = _Grains(edges, content, by_edge, nothing, 0.0)
        elif self.kind == "inert":
            grains = _Grains(parameters[: self.n_edges], None, nothing, nothing, 0.0)
        else:
            edges = parameters[: self.n_edges]
            spread = float(parameters[self.n_edges]) if self.kind == "grains" else 0.0
            content, by_edge = self.table.content(edges, self.edge_weights)
            _, slope = self.table.edges(content)
            bent = np.zeros((self.n_edges, self.n_edges))
            if not self.table.is_linear:
                bent = np.outer(by_edge, self.table.curvature(content))
            grains = _Grains(edges, content, by_edge, slope, spread, bent)
        factors = parameters[len(parameters) - self.n_groups :]
        return _LaidPattern(self, grains, factors, optical_depth, shared)


@dataclass(frozen=True)
class _Grains:
    """A lattice, the composition it has, how one follows the other, the compositions' variance, and the
    derivative of the slope by each edge.
    """

    edges: FloatArray
    content: float | None
    content_by_edge: FloatArray
    slope: FloatArray
    spread: float
    bent: FloatArray | None = None


class _LaidPattern:
    """Sticks of grains whose compositions have a variance, and their derivatives."""

    def __init__(
        self,
        component: Component,
        grains: _Grains,
        factors: FloatArray,
        optical_depth: float,
        shared: FloatArray,
    ) -> None:
        self._component, self._grains = component, grains
        grid, reflections = component.shape.sticks, component.reflections
        angle, by_edge = reflections.two_theta(grains.edges)
        strength, strength_by_edge, by_content = reflections.strength(grains.edges, grains.content)
        strength_by_edge = strength_by_edge + by_content[:, None] * grains.content_by_edge
        # Light scattered behind its layer's middle leaves by a longer way; the transmission was
        # divided out.
        absorbed = np.exp(-optical_depth * component.downstream * (1 / np.cos(angle) - 1))
        self._whole = strength * absorbed
        self._strength, self._strength_by_edge = self._whole, strength_by_edge * absorbed[:, None]
        if component.groups is not None:
            factor = np.where(component.groups < 0, 1.0, factors[component.groups])
            self._strength = self._strength * factor
            self._strength_by_edge = self._strength_by_edge * factor[:, None]
        self._by_displacement = np.zeros(0)
        if component.displaced is not None:
            angle = self._displaced(angle, float(shared[component.displaced]))
        at = (np.degrees(angle) - grid.start) / grid.step
        self._step = np.degrees(by_edge) / grid.step
        self._along = self._step @ grains.slope
        self._grid, self._shared = grid, shared
        self._sum = self._lay(at)

    def _displaced(self, angle: FloatArray, moved: float) -> FloatArray:
        """Angles under which a layer that came nearer by ``moved`` mm is seen, and their derivative.

        Source:
            A ring's radius is (distance - moved) tan(2 theta).
        """
        distance, grid = self._component.distance, self._component.shape.sticks
        seen = np.arctan((1 - moved / distance) * np.tan(angle))
        nearer = -(np.cos(seen) ** 2) * np.tan(angle) / distance
        self._by_displacement = np.degrees(nearer) / grid.step
        # The ring keeps its light.
        ratio = np.sin(angle) / np.sin(seen)
        self._strength, self._whole = self._strength * ratio, self._whole * ratio
        self._strength_by_edge = self._strength_by_edge * ratio[:, None]
        return np.asarray(seen)

    def _lay(self, at: FloatArray) -> "_Laid":
        spread = max(self._grains.spread, 0.0)
        index = self._component.broadened
        if index is None:
            return _Laid(at, self._along, spread, self._grid.size)
        extra = max(float(self._shared[index]), 0.0) / self._grid.step**2
        return _Laid(at, np.sqrt(spread * self._along**2 + extra), 1.0, self._grid.size)

    def _moved(self, strength: FloatArray) -> FloatArray:
        """Derivative by positions, of sticks with these strengths times their rates."""
        return np.convolve(self._sum.sum(strength), _FIRST, mode="same")

    def _widened(self, strength: FloatArray) -> FloatArray:
        return np.asarray(np.convolve(self._sum.sum(strength), _SECOND, mode="same") / 2)

    @cached_property
    def _variances(self) -> list[tuple[float, FloatArray]]:
        """Below zero (spread, extra variance) and what each widens a line by, in grid steps squared:
        carried on straight there, so that an error can be symmetric.
        """
        below = [(self._grains.spread, self._along**2)]
        index = self._component.broadened
        if index is not None:
            squared = np.full(len(self._along), 1 / self._grid.step**2)
            below.append((float(self._shared[index]), squared))
        return [(variance, rate) for variance, rate in below if variance < 0]

    @cached_property
    def pattern(self) -> FloatArray:
        """Sticks, shape (size,)."""
        total = self._sum.sum(self._strength)
        for variance, rate in self._variances:
            total = total + variance * self._widened(self._strength * rate)
        return total

    @property
    def by_edge(self) -> list[FloatArray]:
        """Derivatives by the edges."""
        rows = []
        for step, by_edge in zip(self._step.T, self._strength_by_edge.T, strict=True):
            row = self._moved(self._strength * step) + self._sum.sum(by_edge)
            for variance, rate in self._variances:
                moved = self._moved(self._strength * rate * step)
                row = row + variance * np.convolve(moved, _SECOND, mode="same") / 2
            rows.append(row)
        if self._grains.bent is not None and self._grains.bent.any():
            # Where the table bends, another lattice is spread along another direction.
            for edge, slope in enumerate(self._grains.bent):
                rate = 2 * self._along * (self._step @ slope)
                rows[edge] = rows[edge] + self._grains.spread * self._widened(self._strength * rate)
        return rows

    @property
    def by_spread(self) -> FloatArray:
        """Derivative by the variance of the composition."""
        return self._widened(self._strength * self._along**2)

    @property
    def by_group(self) -> list[FloatArray]:
        """Derivatives by the factors of intensities."""
        groups = self._component.groups
        if groups is None:
            return []
        return [
            self._sum.sum(np.where(groups == group, self._whole, 0.0))
            for group in range(self._component.n_groups)
        ]

    @property
    def by_shared(self) -> list[FloatArray]:
        """Derivatives by the shared parameters."""
        rows = [np.zeros(self._grid.size) for _ in self._shared]
        if self._component.displaced is not None:
            rows[self._component.displaced] = self._moved(self._strength * self._by_displacement)
        if self._component.broadened is not None:
            rows[self._component.broadened] = self._widened(self._strength / self._grid.step**2)
        return rows


class _Laid:
    """Where on the grid reflections lie, each spread along its own direction."""

    def __init__(self, at: FloatArray, along: FloatArray, spread: float, size: int) -> None:
        nodes, node_weights = np.zeros(1), np.ones(1)
        if spread > 0:
            nodes, node_weights = _NODES * np.sqrt(spread), _NODE_WEIGHTS
        places = at[None, :] + nodes[:, None] * along[None, :]
        first, weights = lagrange_weights(places, _POINTS)
        index = first[None] + np.arange(_POINTS)[:, None, None]
        # Ends are left out, where derivatives would be cut.
        inside = (index >= 4) & (index < size - 4)
        self._index = np.where(inside, index, 0).ravel()
        self._weights = np.where(inside, weights * node_weights[None, :, None], 0.0)
        self._size = size

    def sum(self, values: FloatArray) -> FloatArray:
        """A value of each reflection, shape (n,), summed onto the grid, shape (size,)."""
        light = (self._weights * values).ravel()
        return np.asarray(
            np.bincount(self._index, weights=light, minlength=self._size), dtype=float
        )
