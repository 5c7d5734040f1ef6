"""This file is where phases become columns of counts in bins, with derivatives by their lattices.

Reflections are sticks on a fine grid of angles; one matrix, computed once, turns sticks into what
the bins count of instrument-wide lines. So a pattern and all its derivatives cost one product.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from battbeam.materials import LITHIUM_RANGE, lattice_edges
from battbeam.reduction.instrument import Instrument, pseudo_voigt
from battbeam.reduction.pixels import FineGrid, cubic_weights
from battbeam.reduction.reflections import Reflections, free_edges_of
from battbeam.units import AnyArray, FloatArray

# A normal distribution of grains in five of them (Gauss-Hermite); right up to the ninth moment.
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
# Five-point first and three-point second derivatives, by its position, of what a stick draws.
_FIRST = np.array([1, -8, 0, 8, -1]) / 12
_SECOND = np.array([1, -2, 1])


def line_profiles(
    fine: FineGrid, sticks: FineGrid, instrument: Instrument, columns: AnyArray | None = None
) -> FloatArray:
    """Lines of unit strength at all or some sticks, drawn on a fine grid, shape (fine.size, n)."""
    at = sticks.two_theta if columns is None else sticks.two_theta[columns]
    distance = fine.two_theta[:, None] - at[None, :]
    profile = pseudo_voigt(distance, instrument.full_width(at)[None, :], instrument.lorentzian)
    # What is spread in angle lies on a cone of that angle: the power of the cone is conserved.
    cone = np.sin(np.radians(at)) / np.sin(np.radians(fine.two_theta))[:, None]
    # Strengths are per radian of two theta.
    return np.asarray(profile * cone * (180 / np.pi))


@dataclass(frozen=True)
class CompositionTable:
    """The lattice of an active phase against its lithium content, carried on straight beyond its
    ends.

    Attributes:
        phase: Name.
    """

    phase: str

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest lithium content."""
        return LITHIUM_RANGE[self.phase]

    @cached_property
    def _nodes(self) -> FloatArray:
        low, high = LITHIUM_RANGE[self.phase]
        return np.linspace(low, high, 901)

    @cached_property
    def _edges(self) -> FloatArray:
        return lattice_edges(self.phase, self._nodes)

    @cached_property
    def _slopes(self) -> FloatArray:
        return np.asarray(np.gradient(self._edges, self._nodes, axis=0))

    @cached_property
    def is_linear(self) -> bool:
        """Whether it is Vegard's law."""
        return bool(np.abs(self._slopes - self._slopes[0]).max() < 1e-6)

    def edges(self, content: float) -> tuple[FloatArray, FloatArray]:
        """Free edges and their derivative by the content, shape (n_free_edges,) each."""
        inside = min(max(content, self._nodes[0]), self._nodes[-1])
        slope = np.array([np.interp(inside, self._nodes, column) for column in self._slopes.T])
        base = np.array([np.interp(inside, self._nodes, column) for column in self._edges.T])
        return base + slope * (content - inside), slope

    def content(self, edges: FloatArray, weights: FloatArray) -> tuple[float, FloatArray]:
        """Lithium content nearest to a lattice, and its derivative by the edges.

        Args:
            edges: Angstrom, shape (n_free_edges,).
            weights: Inverse covariance of the edges, shape (n_free_edges, n_free_edges).
        """
        apart = edges - self._edges
        at = int(np.argmin(np.einsum("ni,ij,nj->n", apart, weights, apart)))
        slope = self._slopes[at]
        by_edge = weights @ slope / (slope @ weights @ slope)
        return float(self._nodes[at] + by_edge @ apart[at]), np.asarray(by_edge)


@dataclass(frozen=True)
class LineShape:
    """What the bins count of lines from one depth.

    Attributes:
        sticks: The grid of positions.
        matrix: Counts in every bin of a line of unit strength, shape (n_bins, n_sticks).
        columns: The sticks it holds, None for all.
    """

    sticks: FineGrid
    matrix: FloatArray = field(repr=False)
    columns: AnyArray | None = field(default=None, repr=False)

    def draw(self, sticks: FloatArray) -> FloatArray:
        """Counts of several stick patterns (k, size), shape (n_bins, k)."""
        chosen = sticks if self.columns is None else sticks[:, self.columns]
        return np.asarray(self.matrix @ chosen.T)


@dataclass(frozen=True)
class Component:
    """One population of grains of one phase: one amount, and parameters of its lattice.

    Attributes:
        phase: Name.
        reflections: Of it.
        shape: Lines at its depth.
        downstream: Share of the cell's absorption behind its layer.
        kind: ``grains`` with free edges and spread of composition, ``inert`` with free edges,
            ``inactive`` with a composition from the table.
        centre: Prior of each parameter.
        sigma: Its standard deviation.
        share: Prior mean and standard deviation of its share of all active material, or None.
    """

    phase: str
    reflections: Reflections
    shape: LineShape
    downstream: float
    kind: str
    centre: FloatArray
    sigma: FloatArray
    share: tuple[float, float] | None = None

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

    def sticks(self, parameters: FloatArray, optical_depth: float) -> FloatArray:
        """Stick pattern per areal mole and its derivatives by the parameters, shape
        (1 + n_parameters, size).
        """
        nothing = np.zeros(self.n_edges)
        if self.kind == "inert":
            return self._drawn(parameters, None, nothing, nothing, 0.0, optical_depth)[:-1]
        if self.kind == "inactive":
            content = float(parameters[0])
            edges, slope = self.table.edges(content)
            drawn = self._drawn(edges, content, nothing, nothing, 0.0, optical_depth)
            return np.vstack([drawn[:1], slope @ drawn[1:-1]])
        edges, spread = parameters[: self.n_edges], float(parameters[self.n_edges])
        content, by_edge = self.table.content(edges, self.edge_weights)
        if not self.table.is_linear:
            by_edge = nothing
        _, slope = self.table.edges(content)
        return self._drawn(edges, content, by_edge, slope, spread, optical_depth)

    def _drawn(
        self,
        edges: FloatArray,
        content: float | None,
        content_by_edge: FloatArray,
        slope: FloatArray,
        spread: float,
        optical_depth: float,
    ) -> FloatArray:
        """Sticks of grains whose compositions have a variance, and their derivatives by the edges and
        by that variance.
        """
        grid = self.shape.sticks
        angle, by_edge = self.reflections.two_theta(edges)
        strength, strength_by_edge, by_content = self.reflections.strength(edges, content)
        strength_by_edge = strength_by_edge + by_content[:, None] * content_by_edge
        # Light scattered behind its layer's middle leaves by a longer way; the transmission was
        # divided out.
        absorbed = np.exp(-optical_depth * self.downstream * (1 / np.cos(angle) - 1))
        strength, strength_by_edge = strength * absorbed, strength_by_edge * absorbed[:, None]
        at = (np.degrees(angle) - grid.start) / grid.step
        step = np.degrees(by_edge) / grid.step
        along = step @ slope
        laid = _Laid(at, along, max(spread, 0.0), grid.size)
        rows = [laid.sum(strength)]
        for edge in range(self.n_edges):
            moved = np.convolve(laid.sum(strength * step[:, edge]), _FIRST, mode="same")
            rows.append(moved + laid.sum(strength_by_edge[:, edge]))
        rows.append(np.convolve(laid.sum(strength * along**2), _SECOND, mode="same") / 2)
        if spread < 0:
            # Carried on straight below zero, so that an error can be symmetric.
            for edge in range(self.n_edges):
                moved = np.convolve(
                    laid.sum(strength * along**2 * step[:, edge]), _FIRST, mode="same"
                )
                rows[1 + edge] += spread * np.convolve(moved, _SECOND, mode="same") / 2
            rows[0] = rows[0] + spread * rows[-1]
        return np.array(rows)


class _Laid:
    """Where on the grid reflections lie, each spread along its own direction."""

    def __init__(self, at: FloatArray, along: FloatArray, spread: float, size: int) -> None:
        nodes, node_weights = np.zeros(1), np.ones(1)
        if spread > 0:
            nodes, node_weights = _NODES * np.sqrt(spread), _NODE_WEIGHTS
        first, weights = cubic_weights(at[None, :] + nodes[:, None] * along[None, :])
        index = first[None] + np.arange(4)[:, None, None]
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
