"""This file is where the shapes of a phantom are, and how long rays run inside them.

Rays are horizontal and parallel. In a sample turned by omega the ray at u from the axis holds the
points with x cos(omega) + z sin(omega) = u. Chords are averaged over a pixel in closed form: of a
prism along both edges of the pixel, of an ellipsoid along u exactly and along y by two Gauss points
in what the pixel's row has of it, which conserves volume exactly.
"""

import math
from dataclasses import dataclass

import numpy as np

from battbeam.sim.phantom_outlines import Mask, Outline
from battbeam.units import FloatArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)


@dataclass(frozen=True)
class Grid:
    """Where the samples of a projection are.

    Attributes:
        u: Edges of its columns, from the rotation axis, mm, evenly spaced, shape (n_columns + 1,).
        y: Edges of its rows, from the cell's middle, mm, shape (n_rows + 1,).
    """

    u: FloatArray
    y: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y) - 1, len(self.u) - 1


@dataclass(frozen=True)
class Patch:
    """Mean chords in a part of a grid.

    Attributes:
        rows: Of the grid.
        columns: Of the grid.
        chords: mm, shape of both.
    """

    rows: slice
    columns: slice
    chords: FloatArray


@dataclass(frozen=True)
class Prism:
    """An outline from one height to another.

    Attributes:
        outline: In the horizontal plane.
        low: mm.
        high: mm.
    """

    outline: Outline
    low: float
    high: float

    def column_chords(self, grid: Grid, omega: float) -> FloatArray:
        """Mean chord in each column at its heights, mm."""
        area = self.outline.area_left(grid.u, omega)
        return np.asarray(np.diff(area) / np.diff(grid.u))

    def row_shares(self, grid: Grid) -> FloatArray:
        """Share of each row that it fills."""
        within = np.clip(grid.y, self.low, self.high)
        return np.asarray(np.diff(within) / np.diff(grid.y))

    def holds(self, x: FloatArray, y: FloatArray, z: FloatArray) -> Mask:
        """Whether points (mm, at omega 0) lie in it."""
        return np.asarray(self.outline.holds(x, z) & (y >= self.low) & (y <= self.high))

    @property
    def reach(self) -> float:
        """Largest distance of its points from the axis, mm."""
        return self.outline.reach


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, or what of it lies between two heights.

    Attributes:
        centre: x, y, z, mm.
        semi_axes: mm.
        directions: Of the axes, rows of unit vectors (x, y, z), row after row.
        low: mm; nothing of it lies below.
        high: mm; nor above.
    """

    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    directions: tuple[tuple[float, float, float], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def sphere(cls, centre: tuple[float, float, float], radius: float) -> "Ellipsoid":
        """All axes alike."""
        return cls(centre, (radius, radius, radius))

    def patch(self, grid: Grid, omega: float) -> Patch | None:
        """Mean chords where a grid meets it, or None where it does not."""
        cut = _Cut.of(self, omega)
        y = grid.y - self.centre[1]
        height = cut.half_height
        low = max(-height, self.low - self.centre[1])
        high = min(height, self.high - self.centre[1])
        rows = _meeting(y, low, high)
        columns = _meeting(grid.u - cut.middle, -cut.half_width, cut.half_width)
        if rows is None or columns is None:
            return None
        edges = np.clip(y[rows.start : rows.stop + 1], low, high)
        u = grid.u[columns.start : columns.stop + 1] - cut.middle
        half = np.diff(edges) / 2
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            at = (edges[:-1] + edges[1:]) / 2 + node * half
            total += (weight * half)[:, None] * np.diff(cut.area_left(u, at), axis=1)
        area = np.diff(y[rows.start : rows.stop + 1])[:, None] * np.diff(u)[None, :]
        return Patch(rows, columns, total / area)

    def holds(self, x: FloatArray, y: FloatArray, z: FloatArray) -> Mask:
        """Whether points (mm, at omega 0) lie in it."""
        parts = [x - self.centre[0], y - self.centre[1], z - self.centre[2]]
        far = sum(
            (sum(c * part for c, part in zip(axis, parts, strict=True)) / length) ** 2
            for axis, length in zip(self.directions, self.semi_axes, strict=True)
        )
        return np.asarray((far <= 1) & (y >= self.low) & (y <= self.high))

    @property
    def reach(self) -> float:
        """Largest distance of its points from the axis, mm."""
        return math.hypot(self.centre[0], self.centre[2]) + max(self.semi_axes)


@dataclass(frozen=True)
class _Cut:
    """An ellipsoid as rays at one omega see it: chord = 2 sqrt(a - uu du^2 - 2 uy du dy - yy dy^2) / a.

    Attributes:
        middle: u of its centre, mm.
        a: 1/mm2.
        uu: 1/mm4.
        uy: 1/mm4.
        yy: 1/mm4.
    """

    middle: float
    a: float
    uu: float
    uy: float
    yy: float

    @classmethod
    def of(cls, shape: Ellipsoid, omega: float) -> "_Cut":
        cosine, sine = math.cos(omega), math.sin(omega)
        scaled = np.array(shape.directions, dtype=float) / np.array(shape.semi_axes)[:, None]
        across, up, along = _columns(scaled, cosine, sine)
        a = float(along @ along)
        uu = a * float(across @ across) - float(across @ along) ** 2
        uy = a * float(across @ up) - float(across @ along) * float(up @ along)
        yy = a * float(up @ up) - float(up @ along) ** 2
        return cls(shape.centre[0] * cosine + shape.centre[2] * sine, a, uu, uy, yy)

    @property
    def half_width(self) -> float:
        """Along u, mm."""
        return math.sqrt(self.a / (self.uu - self.uy**2 / self.yy))

    @property
    def half_height(self) -> float:
        """Along y, mm."""
        return math.sqrt(self.a / (self.yy - self.uy**2 / self.uu))

    def area_left(self, u: FloatArray, y: FloatArray) -> FloatArray:
        """Of its slice at each height, what lies left of each u, less a constant; shape
        (heights, u).
        """
        left = np.maximum(self.a - (self.yy - self.uy**2 / self.uu) * y**2, 1e-300) / self.uu
        part = (u[None, :] + (self.uy / self.uu * y)[:, None]) / np.sqrt(left)[:, None]
        np.clip(part, -1.0, 1.0, out=part)
        segment = np.sqrt(1 - part * part)
        segment *= part
        segment += np.arcsin(part, out=part)
        segment *= (math.sqrt(self.uu) / self.a * left)[:, None]
        return segment


def _columns(scaled: FloatArray, cosine: float, sine: float) -> tuple[FloatArray, ...]:
    """A matrix times the directions of u, of y and of the rays."""
    across = scaled @ np.array([cosine, 0.0, sine])
    along = scaled @ np.array([-sine, 0.0, cosine])
    return across, np.asarray(scaled[:, 1]), along


def _meeting(edges: FloatArray, low: float, high: float) -> slice | None:
    """Intervals between edges that touch low to high."""
    first = max(int(np.searchsorted(edges, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(edges, high, side="left")), len(edges) - 1)
    return slice(first, last) if last > first and low < high else None


Shape = Prism | Ellipsoid
