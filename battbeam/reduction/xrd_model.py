"""This file is where everything that is the same for all frames of a series is, and where a fit
starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import CountsInBins, PatternFit, PatternModel
from battbeam.reduction.pattern_model import LineShape
from battbeam.reduction.pixels import Bins, PixelGeometry
from battbeam.reduction.xrd_result import ScatteringPhase
from battbeam.units import AnyArray, FloatArray

#: Phases whose lattice follows their composition over a wide range: it is searched first.
SOLID_SOLUTIONS = ("LixFePO4", "NMC811")
# Compositions tried, and the spread among grains with which they are (a variance).
_N_TRIED, _SPREAD_TRIED = 181, 2e-4
# Inactive grains this near in lithium content to the others are held where they are expected: only
# one of two lattices that lie within a line's width of each other can be free.
_TOO_NEAR = 0.15
# A start without inactive grains is kept unless one with them is better by this in chi squared.
_BETTER_START = 25.0


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

    @property
    def pixels_per_width(self) -> float:
        """Largest pixel over the width of a line there."""
        middle = self.instrument.full_width(self.bins.centres).mean()
        return self.geometry.pixel_width[1] / float(middle)

    def fit(self, counts: CountsInBins) -> PatternFit:
        """The pattern of one frame, fitted from a start of its own."""
        start = self._start(counts)
        return self.pattern.fit(counts, start, held=self._held(start))

    def _held(self, start: Sequence[FloatArray]) -> frozenset[int]:
        """Which components' lattices stay at their priors."""
        components = self.pattern.components
        held = set()
        for index, component in enumerate(components):
            if component.kind != "inactive":
                continue
            grains = next(
                i
                for i, c in enumerate(components)
                if (c.phase, c.kind) == (component.phase, "grains")
            )
            edges = start[grains][: component.n_edges]
            content = component.table.content(edges, component.edge_weights)[0]
            if abs(content - component.centre[0]) < _TOO_NEAR:
                held.add(index)
        return frozenset(held)

    def _start(self, counts: CountsInBins) -> list[FloatArray]:
        """First lattices: the priors', and for solid solutions the best composition of a grid."""
        parameters = [c.centre.copy() for c in self.pattern.components]
        for index, component in enumerate(self.pattern.components):
            if component.kind == "grains" and component.phase in SOLID_SOLUTIONS:
                parameters[index] = self._best_composition(index, counts)
        return parameters

    @cached_property
    def _tried(self) -> dict[int, tuple[list[FloatArray], FloatArray]]:
        """Of each solid solution the lattices tried, and their patterns without absorption."""
        tried = {}
        for index, component in enumerate(self.pattern.components):
            if component.kind == "grains" and component.phase in SOLID_SOLUTIONS:
                low, high = component.table.range
                contents = np.linspace(low, high, _N_TRIED)
                lattices = [
                    np.append(component.table.edges(float(x))[0], _SPREAD_TRIED) for x in contents
                ]
                sticks = np.vstack([component.sticks(p, 0.0)[:1] for p in lattices])
                tried[index] = (lattices, component.shape.draw(sticks))
        return tried

    def _best_composition(self, index: int, counts: CountsInBins) -> FloatArray:
        lattices, drawn = self._tried[index]
        alone, joint = (
            _improvement(drawn, self._others(index, inactive), counts) for inactive in (False, True)
        )
        best = int(np.argmax(alone))
        if joint.max() - joint[best] > _BETTER_START:
            best = int(np.argmax(joint))
        return lattices[best]

    def _others(self, index: int, inactive: bool) -> FloatArray:
        columns = [self.pattern.background]
        for other, component in enumerate(self.pattern.components):
            if other != index and (inactive or component.kind != "inactive"):
                sticks = component.sticks(component.centre, 0.0)[:1]
                columns.append(component.shape.draw(sticks))
        return np.column_stack(columns)


def _improvement(candidates: FloatArray, others: FloatArray, counts: CountsInBins) -> FloatArray:
    """Gain in chi squared by each candidate over the other columns alone."""
    variance = np.maximum(
        np.convolve(counts.signal + counts.dark, np.ones(5) / 5, mode="same"), 1.0
    )
    weight = np.where(counts.used, 1 / np.sqrt(variance), 0.0)
    basis, _ = np.linalg.qr(others * weight[:, None])
    left = counts.signal * weight
    left = left - basis @ (basis.T @ left)
    weighted = candidates * weight[:, None]
    weighted = weighted - basis @ (basis.T @ weighted)
    norm2 = np.einsum("ij,ij->j", weighted, weighted)
    along = weighted.T @ left
    amount = along / np.maximum(norm2, 1e-300)
    return np.where(amount > 0, along * amount, -1.0)
