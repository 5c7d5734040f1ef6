"""This file is where rays from the sample meet a flat detector: angles, solid angle, polarization,
pixels.

Coordinates, mm: origin in the electrode's middle on the beam's axis; z downstream; x to the right
and y up as seen from the source. The beam meets the detector's plane at (0, 0, distance). Its
normal leans by ``tilt`` from the beam towards the azimuth ``tilt_direction`` (from x to y); the
fast (column) axis and the slow (row) axis are x and y turned by the smallest rotation that turns z
into that normal. Row 0 lies lowest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import interpolate, sparse

from battbeam.sim.scenario import Detector
from battbeam.units import FloatArray

#: Rays sampled at once, to bound memory.
_RAYS_AT_ONCE = 1_000_000
#: No ray of the simulation leaves at a larger angle, degree: it is a transmission experiment.
HIGHEST_TWO_THETA = 80.0


@dataclass(frozen=True)
class FlatDetector:
    """Where each pixel is.

    Attributes:
        shape: (rows, columns).
        pixel_size: mm.
        distance: From the origin along the beam to the plane, mm.
        centre: (row, column) where the beam meets the plane, pixels from the corner of pixel (0,
            0).
        fast: Unit vector along a row.
        slow: Unit vector along a column.
    """

    shape: tuple[int, int]
    pixel_size: float
    distance: float
    centre: tuple[float, float]
    fast: FloatArray
    slow: FloatArray

    @classmethod
    def of(cls, detector: Detector) -> "FlatDetector":
        """The detector of a scenario.

        Raises:
            ValueError: If a pixel lies so far out that its ray would not leave downstream.
        """
        fast, slow = tilted_axes(tilt=detector.tilt, direction=detector.tilt_direction)
        flat = cls(
            (detector.n_rows, detector.n_columns),
            detector.pixel_size,
            detector.distance,
            (detector.centre_row, detector.centre_column),
            fast,
            slow,
        )
        if flat.highest_two_theta() > HIGHEST_TWO_THETA:
            raise ValueError(
                f"detector reaches 2 theta = {flat.highest_two_theta():.1f} degree, at most "
                f"{HIGHEST_TWO_THETA:.0f} is simulated: move it away or make it smaller"
            )
        return flat

    @property
    def normal(self) -> FloatArray:
        """Unit vector, downstream."""
        return np.cross(self.fast, self.slow)

    def rays(self, *, rows: FloatArray, columns: FloatArray, depth: float = 0.0) -> FloatArray:
        """Vectors, mm, from the point at ``depth`` on the beam to places on the detector, shape
        (..., 3).

        Rows and columns are in pixels from the corner of pixel (0, 0), so pixel centres are at
        halves.
        """
        along_slow = (np.asarray(rows, dtype=float) - self.centre[0]) * self.pixel_size
        along_fast = (np.asarray(columns, dtype=float) - self.centre[1]) * self.pixel_size
        origin = np.array([0.0, 0.0, self.distance - depth])
        return np.asarray(
            along_fast[..., None] * self.fast + along_slow[..., None] * self.slow + origin
        )

    def pixel_rays(self, depth: float = 0.0) -> FloatArray:
        """To every pixel's centre, shape (rows, columns, 3)."""
        rows, columns = np.indices(self.shape) + 0.5
        return self.rays(rows=rows, columns=columns, depth=depth)

    def highest_two_theta(self, depth: float = 0.0) -> float:
        """Of the four corners, degree."""
        rows, columns = (
            np.array([0, 0, 1, 1]) * self.shape[0],
            np.array([0, 1, 0, 1]) * self.shape[1],
        )
        return float(two_theta_of(self.rays(rows=rows, columns=columns, depth=depth)).max())

    def solid_angle(self, depth: float = 0.0) -> FloatArray:
        """Of each pixel, sr, shape (rows, columns)."""
        rays = self.pixel_rays(depth)
        return np.asarray(
            np.abs(rays @ self.normal) * self.pixel_size**2 / np.linalg.norm(rays, axis=-1) ** 3
        )

    def pixel_angle(self) -> float:
        """What a pixel spans where the beam meets the plane, degree."""
        return float(np.degrees(self.pixel_size / self.distance))


def tilted_axes(*, tilt: float, direction: float) -> tuple[FloatArray, FloatArray]:
    """Fast and slow axis of a detector whose normal leans by ``tilt`` towards ``direction``, both
    degree.
    """
    t, a = np.radians([tilt, direction])
    axis = np.array([-np.sin(a), np.cos(a), 0.0])

    def turned(vector: FloatArray) -> FloatArray:
        # Rodrigues' rotation about ``axis``, which lies in the plane and turns z towards the
        # direction.
        return np.asarray(
            vector * np.cos(t)
            + np.cross(axis, vector) * np.sin(t)
            + axis * (axis @ vector) * (1 - np.cos(t))
        )

    return turned(np.array([1.0, 0.0, 0.0])), turned(np.array([0.0, 1.0, 0.0]))


def two_theta_of(rays: FloatArray) -> FloatArray:
    """Angle between rays, shape (..., 3), and the beam, degree."""
    return np.asarray(np.degrees(np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])))


def azimuth_of(rays: FloatArray) -> FloatArray:
    """Azimuth of rays about the beam from x to y, degree."""
    return np.asarray(np.degrees(np.arctan2(rays[..., 1], rays[..., 0])))


def polarization_factor(rays: FloatArray, *, degree: float) -> FloatArray:
    """Share of the Thomson scattering that goes along each ray.

    For an electric vector e the share is 1 - (k . e)^2; a beam with horizontal degree of
    polarization p is (1 + p) / 2 along x and (1 - p) / 2 along y.
    """
    squares = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)) ** 2
    return np.asarray(1 - (1 + degree) / 2 * squares[..., 0] - (1 - degree) / 2 * squares[..., 1])


def fine_grid(
    flat: FlatDetector, *, line_width: float, depths: tuple[float, ...] = (0.0,)
) -> FloatArray:
    """2 theta from 0 past the farthest corner in steps of a tenth of a line's width, degree."""
    top = max(flat.highest_two_theta(depth) for depth in depths)
    step = line_width / 10
    return np.asarray(np.arange(int(np.ceil(top / step)) + 3) * step)


def samples_per_edge(flat: FlatDetector, *, line_width: float) -> int:
    """Gauss-Legendre points per pixel edge that integrate a line of this width (degree) to 1e-4 or
    better.
    """
    return max(3, 2 + int(np.ceil(2.5 * flat.pixel_angle() / line_width)))


def _sampled(
    flat: FlatDetector, first: int, last: int, depth: float, points: int
) -> tuple[FloatArray, FloatArray]:
    """2 theta over the pixels of rows first to last, shape (pixels, points^2), and the samples'
    weights.
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    offsets, weights = (nodes + 1) / 2, weights / 2
    rows = (np.arange(first, last)[:, None] + offsets)[:, None, :, None]
    columns = (np.arange(flat.shape[1])[:, None] + offsets)[None, :, None, :]
    rays = flat.rays(rows=rows, columns=columns, depth=depth)
    return two_theta_of(rays).reshape(-1, points**2), np.outer(weights, weights).ravel()


def _row_chunks(flat: FlatDetector, points: int) -> list[tuple[int, int]]:
    n_rows = max(1, _RAYS_AT_ONCE // (flat.shape[1] * points**2))
    return [(row, min(row + n_rows, flat.shape[0])) for row in range(0, flat.shape[0], n_rows)]


def sharpened(pattern: FloatArray) -> FloatArray:
    """A pattern on the fine grid such that linear interpolation does not broaden it, on average.

    Linear interpolation convolves with a triangle of variance step^2 / 6; one twelfth of the second
    difference is taken off beforehand.
    """
    second = np.zeros_like(pattern)
    second[1:-1] = pattern[2:] - 2 * pattern[1:-1] + pattern[:-2]
    return np.asarray(pattern - second / 12)


def as_seen_from(
    pattern: FloatArray, *, grid: FloatArray, distance: float, depth: float, origin: float
) -> FloatArray:
    """A radial pattern that starts at ``depth``, as one that starts at ``origin`` and meets every place
    of an upright detector alike.

    A ray to a radius r of the detector has tan(2 theta) = r / (distance - depth), so the other depth is
    a stretch of the grid; solid angle and polarization (its mean over the azimuth) go along. Of a tilt
    it misses 1.4e-4 degree at 130 mm, 0.6 degree and 0.1 mm. Beyond the grid's end the last value stays.

    Args:
        pattern: On the grid, per sr.
        grid: 2 theta, degree.
        distance: From z = 0 to the detector, mm.
        depth: z where the rays start, mm.
        origin: z where they are believed to start, mm.
    """
    if depth == origin:
        return pattern
    shrink = (distance - origin) / (distance - depth)
    believed = np.radians(grid)
    true = np.arctan(np.tan(believed) * shrink)
    angle = np.minimum(np.degrees(true), grid[-1])
    acceptance = shrink**2 * (np.cos(true) / np.cos(believed)) ** 3
    acceptance *= (1 + np.cos(true) ** 2) / (1 + np.cos(believed) ** 2)
    spline = interpolate.CubicSpline(grid, pattern)
    return np.asarray(spline(angle) * acceptance)


def pixel_means(
    flat: FlatDetector, *, grid: FloatArray, pattern: FloatArray, depth: float, points: int
) -> FloatArray:
    """Mean over each pixel's area of a radial pattern that starts at ``depth``, shape (rows,
    columns).
    """
    step, sharp = grid[1] - grid[0], sharpened(pattern)
    means = []
    for first, last in _row_chunks(flat, points):
        two_theta, weights = _sampled(flat, first, last, depth, points)
        place = two_theta / step
        lower = np.minimum(place.astype(np.int32), len(grid) - 2)
        upper = place - lower
        means.append((sharp[lower] * (1 - upper) + sharp[lower + 1] * upper) @ weights)
    return np.concatenate(means).reshape(flat.shape)


class PixelMap:
    """From a radial pattern on the fine grid to its mean over each pixel's area, for one depth.

    A band of weights per pixel, kept as a sparse matrix in single precision.
    """

    def __init__(self, flat: FlatDetector, *, grid: FloatArray, depth: float, points: int) -> None:
        self.shape = flat.shape
        blocks = [
            _band(flat, first, last, grid, depth, points)
            for first, last in _row_chunks(flat, points)
        ]
        self._matrix = sparse.vstack(blocks, format="csr")

    def image(self, pattern: FloatArray) -> FloatArray:
        """The pattern's mean over each pixel, shape (rows, columns)."""
        image = self._matrix @ sharpened(pattern).astype(np.float32)
        return np.asarray(image, dtype=float).reshape(self.shape)


def _band(
    flat: FlatDetector, first: int, last: int, grid: FloatArray, depth: float, points: int
) -> Any:
    """Weights of a block of rows as a sparse matrix: every pixel has as many columns as the widest
    needs.
    """
    two_theta, weights = _sampled(flat, first, last, depth, points)
    place = two_theta / (grid[1] - grid[0])
    lower = place.astype(np.int32)
    upper = (place - lower) * weights
    start = lower.min(axis=1)
    width = int((lower.max(axis=1) - start).max()) + 2
    n_pixels = len(start)
    slot = (lower - start[:, None]) + (np.arange(n_pixels, dtype=np.int32) * width)[:, None]
    size = n_pixels * width
    band = np.bincount(slot.ravel(), weights=(weights - upper).ravel(), minlength=size)
    band += np.bincount(slot.ravel() + 1, weights=upper.ravel(), minlength=size)[:size]
    columns = (start[:, None] + np.arange(width, dtype=np.int32)).ravel()
    kept = band > 0
    counts = kept.reshape(n_pixels, width).sum(axis=1)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    weights_kept, shape = band[kept].astype(np.float32), (n_pixels, len(grid))
    return sparse.csr_matrix((weights_kept, columns[kept], pointers), shape=shape)
