"""This file is where lines become counts in bins, and lithium contents lattices.

Reflections are sticks on a fine grid of angles; one matrix, computed once, turns sticks into what
the bins count of instrument-wide lines. So a pattern and all its derivatives cost one product.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from battbeam.materials import COUNTER_RANGE, LITHIUM_RANGE, lattice_edges
from battbeam.reduction.instrument import Instrument, pseudo_voigt
from battbeam.reduction.pixels import FineGrid
from battbeam.units import AnyArray, FloatArray


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
    """The lattice of a phase that holds lithium against its content, carried on straight beyond its
    ends.

    Attributes:
        phase: Name.
    """

    phase: str

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest lithium content."""
        return {**COUNTER_RANGE, **LITHIUM_RANGE}[self.phase]

    @cached_property
    def _nodes(self) -> FloatArray:
        return np.linspace(*self.range, 901)

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

    @cached_property
    def _curvatures(self) -> FloatArray:
        return np.asarray(np.gradient(self._slopes, self._nodes, axis=0))

    def curvature(self, content: float) -> FloatArray:
        """Second derivative of the free edges by the content, 0 beyond its ends, shape (n_free_edges,)."""
        columns = self._curvatures.T
        return np.array([np.interp(content, self._nodes, c, left=0, right=0) for c in columns])

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
        matrix: Counts in every bin of a line of unit strength, shape (n_bins, n_sticks); best in
            columns (Fortran's order).
        columns: The sticks it holds, None for all.
    """

    sticks: FineGrid
    matrix: FloatArray = field(repr=False)
    columns: AnyArray | None = field(default=None, repr=False)

    def draw(self, sticks: FloatArray) -> FloatArray:
        """Counts of several stick patterns (k, size), shape (n_bins, k)."""
        chosen = sticks if self.columns is None else sticks[:, self.columns]
        # Few sticks are not zero, and the matrix is larger than a cache.
        lit = np.flatnonzero(chosen.any(axis=0))
        return np.asarray((chosen[:, lit] @ self.matrix.T[lit]).T)
