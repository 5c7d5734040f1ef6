"""This file is where pixels become angles: geometry from a .poni, bins, and the response of bins
to lines.

Lengths are mm. The frame of reference is pyFAI's: axis 1 along rows' index, axis 2 along columns'
index, axis 3 along the beam, the sample at the origin.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from zipfile import BadZipFile

import numpy as np
import pyFAI
import scipy.sparse as sp

from battbeam.errors import ReductionError
from battbeam.units import HC, AnyArray, FloatArray

# Of the response's layout in a cache file.
_CACHE_VERSION = 3
# Sub-pixels handled at once; bounds the memory of a response (about 1.5 GB a 20 million).
_CHUNK = 2_000_000


@dataclass(frozen=True)
class PixelGeometry:
    """Where the pixels of one detector are.

    Attributes:
        shape: Rows and columns.
        pixel_size: Along rows' index and along columns' index, mm.
        distance: From the sample to the detector's plane, along its normal, mm.
        poni: The normal's foot, from the corner of pixel (0, 0), mm.
        rotation: From the detector's frame to the laboratory's, shape (3, 3).
        energy: eV.
    """

    shape: tuple[int, int]
    pixel_size: tuple[float, float]
    distance: float
    poni: tuple[float, float]
    rotation: tuple[tuple[float, ...], ...]
    energy: float

    @classmethod
    def read(cls, path: Path, shape: tuple[int, int]) -> "PixelGeometry":
        """From a .poni, for frames of this shape.

        Raises:
            ReductionError: If the file is missing or malformed, names no wavelength, or is for
                another detector.
        """
        try:
            integrator = pyFAI.load(str(path))
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as fault:
            raise ReductionError(
                f"geometry {path} cannot be read: {fault}; make it with calibrate_geometry"
            ) from fault
        if not integrator.wavelength:
            raise ReductionError(f"geometry {path} names no wavelength")
        detector = integrator.detector
        if detector.pixel1 is None or detector.pixel2 is None:
            raise ReductionError(f"geometry {path} names no pixel size")
        if detector.shape is not None and tuple(detector.shape) != tuple(shape):
            raise ReductionError(
                f"geometry {path} is for a detector of {tuple(detector.shape)} pixels, "
                f"the frame has {tuple(shape)}"
            )
        rotation = np.asarray(integrator.rotation_matrix(), dtype=float)
        return cls(
            shape=(int(shape[0]), int(shape[1])),
            pixel_size=(detector.pixel1 * 1e3, detector.pixel2 * 1e3),
            distance=integrator.dist * 1e3,
            poni=(integrator.poni1 * 1e3, integrator.poni2 * 1e3),
            rotation=tuple(tuple(float(v) for v in row) for row in rotation),
            energy=HC / (integrator.wavelength * 1e10),
        )

    def positions(self, rows: FloatArray, columns: FloatArray) -> FloatArray:
        """Of points given in pixels from the corner of pixel (0, 0), mm, shape (3, n)."""
        rotation = np.array(self.rotation)
        first = rows * self.pixel_size[0] - self.poni[0]
        second = columns * self.pixel_size[1] - self.poni[1]
        return np.asarray(
            rotation[:, 0, None] * first
            + rotation[:, 1, None] * second
            + rotation[:, 2, None] * self.distance
        )

    def centres(self) -> FloatArray:
        """Of all pixels, mm, shape (3, n_rows * n_columns)."""
        rows, columns = np.indices(self.shape, dtype=float).reshape(2, -1) + 0.5
        return self.positions(rows, columns)

    def correction(
        self, positions: FloatArray, *, polarization: float | None, depth: float = 0.0
    ) -> FloatArray:
        """Solid angle (steradian) times polarization factor of a pixel at each position, seen from
        a depth.
        """
        seen = _seen_from(positions, depth)
        radius2 = (seen**2).sum(axis=0)
        normal = np.array(self.rotation)[:, 2]
        height = normal @ seen
        solid_angle = self.pixel_size[0] * self.pixel_size[1] * np.abs(height) / radius2**1.5
        if polarization is None:
            return np.asarray(solid_angle)
        across = seen[1] ** 2 / radius2
        up = seen[0] ** 2 / radius2
        return np.asarray(
            solid_angle * (1 - (1 + polarization) / 2 * across - (1 - polarization) / 2 * up)
        )

    @cached_property
    def two_theta(self) -> FloatArray:
        """Of every pixel's centre, degree, shape (n_rows * n_columns,)."""
        return angle_of(self.centres())

    @property
    def pixel_width(self) -> tuple[float, float]:
        """Smallest and largest extent of a pixel in two theta over the detector, degree (along its
        longer side).
        """
        rows, columns = (np.linspace(0.5, n - 0.5, 33) for n in self.shape)
        at, along = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
        middle = self.positions(at, along)
        gradient = np.hypot(
            angle_of(self.positions(at + 0.5, along)) - angle_of(self.positions(at - 0.5, along)),
            angle_of(self.positions(at, along + 0.5)) - angle_of(self.positions(at, along - 0.5)),
        )
        far = angle_of(middle) > 1.0
        return float(gradient[far].min()), float(gradient[far].max())

    def fingerprint(self) -> str:
        """The same for the same geometry."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def _seen_from(positions: FloatArray, depth: float) -> FloatArray:
    if depth == 0:
        return positions
    return np.asarray(positions - np.array([0.0, 0.0, depth])[:, None])


def angle_of(positions: FloatArray, depth: float = 0.0) -> FloatArray:
    """Two theta of positions (3, n) seen from a depth (mm) along the beam, degree."""
    seen = _seen_from(positions, depth)
    return np.asarray(np.degrees(np.arctan2(np.hypot(seen[0], seen[1]), seen[2])))


def lagrange_weights(position: FloatArray, n_points: int) -> tuple[AnyArray, FloatArray]:
    """Index of the first of so many grid points (even) around each position, and Lagrange weights
    (n_points, n) of them.
    """
    first = np.floor(position).astype(np.int64) - (n_points // 2 - 1)
    u = position - first
    weights = [
        math.prod((u - k) / (j - k) for k in range(n_points) if k != j) for j in range(n_points)
    ]
    return first, np.stack(weights)


@dataclass(frozen=True)
class Bins:
    """Which pixel falls into which bin.

    Attributes:
        edges: Degree, shape (n_bins + 1,).
        index: Of each pixel, shape (n_pixels,); n_bins where it is left out.
    """

    edges: FloatArray
    index: AnyArray

    @classmethod
    def of(cls, geometry: PixelGeometry, edges: FloatArray, mask: AnyArray | None) -> "Bins":
        """Bins of equal width for a geometry; ``mask`` is true where a pixel is not used."""
        width = edges[1] - edges[0]
        n_bins = len(edges) - 1
        index = np.floor((geometry.two_theta - edges[0]) / width)
        used = (index >= 0) & (index < n_bins)
        if mask is not None:
            used &= ~np.asarray(mask, dtype=bool).ravel()
        return cls(edges=edges, index=np.where(used, index, n_bins).astype(np.int32))

    @property
    def n_bins(self) -> int:
        """How many."""
        return len(self.edges) - 1

    @property
    def centres(self) -> FloatArray:
        """Degree, shape (n_bins,)."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    def middles(self, weight: FloatArray, geometry: PixelGeometry) -> FloatArray:
        """Mean two theta of the pixels of each bin by their weights, degree, shape (n_bins,); its centre
        where there is none.

        Pixels do not fill a bin evenly: a smooth pattern is seen at their middle, not at the bin's.
        """
        total = self.sum(weight)
        angles = self.sum(weight * geometry.two_theta)
        inside = np.divide(angles, total, out=self.centres, where=total > 0)
        return np.clip(inside, self.edges[0], self.edges[-1])

    def sum(self, values: AnyArray) -> FloatArray:
        """Of values of the pixels over each bin, shape (n_bins,)."""
        summed = np.bincount(self.index, weights=values.ravel(), minlength=self.n_bins + 1)
        return np.asarray(summed[: self.n_bins], dtype=float)


@dataclass(frozen=True)
class FineGrid:
    """Angles on which lines are drawn before pixels and bins blur them.

    Attributes:
        start: Degree.
        step: Degree.
        size: How many.
    """

    start: float
    step: float
    size: int

    @property
    def two_theta(self) -> FloatArray:
        """Degree, shape (size,)."""
        return np.asarray(self.start + self.step * np.arange(self.size), dtype=float)


def response(
    geometry: PixelGeometry,
    bins: Bins,
    grid: FineGrid,
    *,
    polarization: float | None,
    depth: float,
    n_sub: int,
    pixels: AnyArray | None = None,
) -> sp.csr_matrix:
    """What each bin counts of light at each fine angle, shape (n_bins, grid.size).

    Each pixel is sampled at n_sub x n_sub Gauss points of its area, so a line comes out as wide
    as the pixels see it. The bin is that of the pixel's centre, as in the integration; the angle
    is that seen from the layer's depth. ``pixels`` restricts it to some of them.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(n_sub)
    offsets = np.stack(np.meshgrid(nodes, nodes, indexing="ij")).reshape(2, -1) / 2
    area = np.outer(node_weights, node_weights).ravel() / 4
    chosen = np.nonzero(bins.index < bins.n_bins)[0] if pixels is None else pixels
    dense = np.zeros(bins.n_bins * grid.size)
    step = max(1, _CHUNK // len(area))
    for begin in range(0, len(chosen), step):
        part = chosen[begin : begin + step]
        rows, columns = np.divmod(part, geometry.shape[1])
        centre = geometry.positions(rows + 0.5, columns + 0.5)
        share = geometry.correction(centre, polarization=polarization, depth=depth)
        positions = geometry.positions(
            (rows[:, None] + 0.5 + offsets[0]).ravel(),
            (columns[:, None] + 0.5 + offsets[1]).ravel(),
        )
        first, weights = lagrange_weights((angle_of(positions, depth) - grid.start) / grid.step, 4)
        light = (share[:, None] * area).ravel()
        base = np.repeat(bins.index[part].astype(np.int64) * grid.size, len(area))
        inside = (first >= 0) & (first + 3 < grid.size)
        for j in range(4):
            key = (base + first + j)[inside]
            dense += np.bincount(key, weights=(weights[j] * light)[inside], minlength=dense.size)
    return sp.csr_matrix(dense.reshape(bins.n_bins, grid.size))


def cached_response(
    directory: Path | None, key: str, compute: Callable[[], sp.csr_matrix]
) -> sp.csr_matrix:
    """A `response`, kept in a directory under a key that holds all that it depends on."""
    if directory is None:
        return compute()
    name = hashlib.sha256(f"{_CACHE_VERSION} {key}".encode()).hexdigest()[:32]
    path = directory / f"response_{name}.npz"
    if path.exists():
        try:
            return sp.csr_matrix(sp.load_npz(path))
        except (OSError, ValueError, KeyError, BadZipFile):
            path.unlink(missing_ok=True)
    computed = compute()
    directory.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=directory, suffix=".npz", delete=False) as stream:
        sp.save_npz(stream, computed)
    Path(stream.name).replace(path)
    return computed
