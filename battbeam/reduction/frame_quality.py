"""This file is where a frame is looked at before anything is fitted to it: is it a smooth powder's?

A powder's rings are the same all around the beam, but for counting. What differs from that is a
grain too many (spots), a pixel that is not right (outliers), or a beam that is not where the
geometry has it. All of it is told from pixels and blocks of pixels against the mean of their ring.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.pixels import PixelGeometry
from battbeam.units import AnyArray, FloatArray

# The profile is drawn in so many points a pixel, and smoothed by so many of them for its slope.
_FINE = 4
_SLOPE_WIDTH = 4.0
# Blocks that spots are counted in: pixels along the radius, and how many around the beam.
_BLOCK, _N_SECTORS = 3, 48
# An outlier is farther from its ring than this many standard deviations.
_OUTLIER = 6.0
# Errors by counting are too small by more than a fifth from here on: a powder with spots.
_SPOTTY = 1.5
# The centre has moved: pixels, and errors. Less does not move any mean over a ring.
_CENTRE, _CENTRE_ERRORS = 0.15, 5.0
_CENTRE_ROUNDS = 8
# What blocks, and single pixels, of a smooth powder differ by besides counting, relative: a ring is cut
# by square pixels. Computed for pixels 1.7 line widths wide, at 1e8 counts.
_CUT_BLOCK, _CUT_PIXEL = 0.008, 0.03
# Expected counts of a block below which it says nothing about spots.
_LEAST_BLOCK = 20.0


@dataclass(frozen=True)
class FrameQuality:
    """What a frame shows besides a smooth powder.

    Attributes:
        residual_azimuthal: Mean square difference of blocks to their ring, over that of counting:
            1 of a smooth powder. Its square root is by what errors of counting are too small. That
            square pixels cut a ring differently is left out.
        residual_deviation: Standard deviation of it by counting.
        spottiness: Relative standard deviation among blocks of a ring, beyond counting.
        n_outliers: Pixels that are farther from their ring than chance explains.
        centre_shift: Of the rings against the geometry, pixels along rows' and columns' index.
        centre_shift_error: One standard deviation by counting.
        flags: What to know of the frame.
        outliers: True where a pixel is one, shape (n_rows, n_columns).
        expected: Counts of a smooth powder, shape (n_rows, n_columns).
    """

    residual_azimuthal: float
    residual_deviation: float
    spottiness: float
    n_outliers: int
    centre_shift: tuple[float, float]
    centre_shift_error: tuple[float, float]
    flags: tuple[str, ...]
    outliers: AnyArray = field(repr=False)
    expected: FloatArray = field(repr=False)

    @property
    def error_scale(self) -> float:
        """By what errors that know only of counting are to be multiplied."""
        beyond = self.residual_azimuthal > 1 + 3 * self.residual_deviation
        return float(np.sqrt(self.residual_azimuthal)) if beyond else 1.0

    def cleaned(self, frame: AnyArray) -> FloatArray:
        """The frame with what a smooth powder has in place of the outliers."""
        return np.where(self.outliers, self.expected, np.asarray(frame, dtype=float))


class FrameChecker:
    """Looks at frames of one geometry; made once, used for every frame.

    Args:
        geometry: Of the detector.
        mask: True where a pixel is not used, shape (n_rows, n_columns).
        polarization: Horizontal degree of linear polarization; None leaves it out.
        two_theta_range: Degree, to look at; None: everything beyond 1 degree.

    Raises:
        ReductionError: If no pixel is left.
    """

    def __init__(
        self,
        geometry: PixelGeometry,
        *,
        mask: AnyArray | None = None,
        polarization: float | None = None,
        two_theta_range: tuple[float, float] | None = None,
    ) -> None:
        self._geometry, self._mask = geometry, mask
        low, high = two_theta_range or (1.0, 180.0)
        angle = geometry.two_theta
        seen = (angle >= low) & (angle <= high)
        if mask is not None:
            seen &= ~np.asarray(mask, dtype=bool).ravel()
        if not seen.any():
            raise ReductionError("no pixel is left to look at: check mask and range")
        self._seen = np.flatnonzero(seen)
        self._angle = angle[self._seen]
        centres = geometry.centres()
        correction = geometry.correction(centres, polarization=polarization)[self._seen]
        self._correction = correction / correction.max()
        azimuth = np.arctan2(centres[0], centres[1])[self._seen]
        sector = np.floor((azimuth + np.pi) / (2 * np.pi) * _N_SECTORS).astype(np.int64)
        self._sector = np.minimum(sector, _N_SECTORS - 1)
        self._by_pixel = _by_pixel(geometry, self._seen)
        self._step = geometry.pixel_width[0]

    def check(self, frame: AnyArray, *, dark: FloatArray | None = None) -> FrameQuality:
        """Look at one frame.

        Args:
            frame: Counts, shape (n_rows, n_columns).
            dark: Expected counts without beam in this exposure, same shape.

        Raises:
            ReductionError: If the frame has another shape.
        """
        if frame.shape != self._geometry.shape:
            raise ReductionError(
                f"the frame has {frame.shape} pixels, the geometry {self._geometry.shape}"
            )
        below = np.zeros(len(self._seen)) if dark is None else dark.ravel()[self._seen]
        seen = _Seen(np.asarray(frame, dtype=float).ravel()[self._seen], below)
        good = np.ones(len(self._seen), dtype=bool)
        shift, error = np.zeros(2), np.full(2, np.inf)
        # Outliers draw the mean of their ring, so the first mean is one that few pixels cannot draw.
        expected = self._expected(seen, self._angle, good, robust=True)
        good = ~self._outliers(seen, expected)
        for _ in range(_CENTRE_ROUNDS):
            angle = self._angle - self._by_pixel @ shift
            expected = self._expected(seen, angle, good)
            step, error = self._centre(seen, angle, good, expected)
            shift = shift + step
            if np.abs(step).max() < 3e-3:
                break
        angle = self._angle - self._by_pixel @ shift
        expected = self._expected(seen, angle, good)
        good = ~self._outliers(seen, expected)
        expected = self._expected(seen, angle, good)
        return self._quality(seen, expected, ~self._outliers(seen, expected), shift, error)

    def _quality(
        self,
        seen: "_Seen",
        expected: FloatArray,
        good: AnyArray,
        shift: FloatArray,
        error: FloatArray,
    ) -> FrameQuality:
        residual, deviation, spottiness = self._spots(seen, expected, good)
        n_outliers = int(np.count_nonzero(~good))
        moved = float(np.hypot(*shift))
        flags = []
        if residual > max(_SPOTTY, 1 + 5 * deviation):
            flags.append(
                f"spotty: errors by counting are too small by {np.sqrt(residual):.1f}, more grains or "
                f"a moving sample are needed"
            )
        if n_outliers:
            flags.append(f"{n_outliers} pixels are not those of a powder's ring")
        if moved > max(_CENTRE, _CENTRE_ERRORS * float(error.max())):
            flags.append(f"beam centre moved by {moved:.1f} pixel: calibrate again")
        whole = np.full((2, int(np.prod(self._geometry.shape))), 0.0)
        whole[0, self._seen], whole[1, self._seen] = expected + seen.dark, ~good
        return FrameQuality(
            residual_azimuthal=residual,
            residual_deviation=deviation,
            spottiness=spottiness,
            n_outliers=n_outliers,
            centre_shift=(float(shift[0]), float(shift[1])),
            centre_shift_error=(float(error[0]), float(error[1])),
            flags=tuple(flags),
            outliers=whole[1].reshape(self._geometry.shape) > 0,
            expected=whole[0].reshape(self._geometry.shape),
        )

    def _profile(
        self, seen: "_Seen", angle: FloatArray, good: AnyArray, *, robust: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Counts per correction on a fine grid of angles, and the angles."""
        step = self._step / _FINE
        low = float(angle.min())
        index = np.floor((angle - low) / step).astype(np.int64)
        n = int(index.max()) + 1
        weight, signal = self._correction * good, (seen.counts - seen.dark) * good
        if robust:
            cell = index * _N_SECTORS + self._sector
            size = n * _N_SECTORS
            total = _sums(cell, signal, size).reshape(n, _N_SECTORS)
            norm = _sums(cell, weight, size).reshape(n, _N_SECTORS)
            height = _weighted_median(total, norm)
            known = norm.sum(axis=1) > 0
        else:
            norm = _sums(index, weight, n)
            known = norm > 0
            height = _sums(index, signal, n) / np.where(known, norm, 1.0)
        middle = _sums(index, angle * weight, n) / np.where(known, _sums(index, weight, n), 1.0)
        return middle[known], np.maximum(height[known], 0.0)

    def _expected(
        self, seen: "_Seen", angle: FloatArray, good: AnyArray, *, robust: bool = False
    ) -> FloatArray:
        at, height = self._profile(seen, angle, good, robust=robust)
        return np.asarray(np.interp(angle, at, height) * self._correction)

    def _outliers(self, seen: "_Seen", expected: FloatArray) -> AnyArray:
        """Pixels beyond what counting, and the usual scatter of their ring, explain."""
        mean = expected + seen.dark
        away = seen.counts - mean
        ring = np.floor((self._angle - self._angle.min()) / (_BLOCK * self._step)).astype(np.int64)
        cell = ring * _N_SECTORS + self._sector
        size = (int(ring.max()) + 1) * _N_SECTORS
        beyond = _sums(cell, away**2 - mean, size).reshape(-1, _N_SECTORS)
        square = _sums(cell, expected**2, size).reshape(-1, _N_SECTORS)
        # Of the sectors of a ring the middle one: an outlier is in one of them.
        scatter = np.maximum(_weighted_median(beyond, square), 0.0)[ring]
        relative = np.hypot(_CUT_PIXEL, np.sqrt(scatter))
        sigma = np.sqrt(np.maximum(mean, 0.0) + (relative * expected) ** 2)
        # Counts have a longer tail upwards than a normal distribution (Cornish and Fisher).
        high = away > _OUTLIER * sigma + (_OUTLIER**2 - 1) / 6
        return np.asarray(high | (away < -_OUTLIER * np.maximum(sigma, 1.0)))

    def _centre(
        self, seen: "_Seen", angle: FloatArray, good: AnyArray, expected: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Shift of the rings, pixels, shape (2,), and its error."""
        at, height = self._profile(seen, angle, good)
        grid = np.arange(at[0], at[-1], self._step / _FINE)
        reach = int(4 * _SLOPE_WIDTH)
        kernel = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * (_SLOPE_WIDTH / 2) ** 2))
        smooth = np.convolve(np.interp(grid, at, height), kernel / kernel.sum(), mode="same")
        slope = np.interp(angle, grid, np.gradient(smooth, grid)) * self._correction
        inside = good & (angle > at[0] + 2 * self._step) & (angle < at[-1] - 2 * self._step)
        columns = -slope[:, None] * self._by_pixel
        # The mean of a ring is free: on a part of the rings it follows a shift most of the way.
        index = np.floor((angle - at[0]) / (self._step / _FINE)).astype(np.int64)
        index = np.maximum(index, 0)
        size = int(index.max()) + 1
        norm = np.maximum(_sums(index, self._correction * good, size), 1e-300)
        means = [_sums(index, column * good, size) / norm for column in columns.T]
        columns = columns - self._correction[:, None] * np.column_stack([m[index] for m in means])
        columns = columns[inside]
        mean = np.maximum((expected + seen.dark)[inside], 0.05)
        normal = columns.T @ (columns / mean[:, None])
        if np.linalg.cond(normal) > 1e8:
            return np.zeros(2), np.full(2, np.inf)
        covariance = np.linalg.inv(normal)
        away = (seen.counts - seen.dark - expected)[inside]
        return covariance @ (columns.T @ (away / mean)), np.sqrt(np.diag(covariance))

    def _spots(
        self, seen: "_Seen", expected: FloatArray, good: AnyArray
    ) -> tuple[float, float, float]:
        ring = np.floor((self._angle - self._angle.min()) / (_BLOCK * self._step)).astype(np.int64)
        cell = ring * _N_SECTORS + self._sector
        size = (int(ring.max()) + 1) * _N_SECTORS

        def summed(values: FloatArray) -> FloatArray:
            return _sums(cell, values * good, size).reshape(-1, _N_SECTORS)

        signal, mean = summed(expected), summed(expected + seen.dark)
        away = summed(seen.counts) - mean
        used = mean > _LEAST_BLOCK
        # A ring's mean is that of its own blocks: each of them has drawn it by its share.
        share = signal / np.maximum(signal.sum(axis=1, keepdims=True), 1e-300)
        counted = (mean * (1 - share))[used]
        if not len(counted):
            return 1.0, float("inf"), 0.0
        square, light = away[used] ** 2, signal[used] ** 2
        deviation = float(np.sqrt(2 * (counted**2).sum()) / counted.sum())
        plain = float(square.sum() / counted.sum())
        beyond = float((square - counted - _CUT_BLOCK**2 * light).sum())
        residual = 1 + beyond / float(counted.sum()) if beyond > 0 else min(plain, 1.0)
        return residual, deviation, float(np.sqrt(max(beyond, 0.0) / light.sum()))


@dataclass(frozen=True)
class _Seen:
    """Counts of the pixels that are looked at, and their dark."""

    counts: FloatArray
    dark: FloatArray


def _sums(index: AnyArray, weights: AnyArray, size: int) -> FloatArray:
    """Of the weights at each index, shape (size,)."""
    return np.asarray(np.bincount(index, weights, size), dtype=float)


def _by_pixel(geometry: PixelGeometry, seen: AnyArray) -> FloatArray:
    """Degree of two theta by a pixel along rows' and columns' index, shape (n, 2)."""
    rows, columns = np.divmod(seen, geometry.shape[1])
    at, along = rows + 0.5, columns + 0.5

    def angle(row: FloatArray, column: FloatArray) -> FloatArray:
        x = geometry.positions(row, column)
        return np.asarray(np.degrees(np.arctan2(np.hypot(x[0], x[1]), x[2])))

    return np.column_stack(
        [
            angle(at + 0.5, along) - angle(at - 0.5, along),
            angle(at, along + 0.5) - angle(at, along - 0.5),
        ]
    )


def _weighted_median(total: FloatArray, norm: FloatArray) -> FloatArray:
    """Median of total over norm along the second axis, each counted by its norm, shape (n,); 0 where
    there is none.
    """
    value = np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), np.inf)
    order = np.argsort(value, axis=1)
    sorted_norm = np.take_along_axis(norm, order, axis=1)
    part = np.cumsum(sorted_norm, axis=1)
    at = np.argmax(part >= part[:, -1:] / 2, axis=1)
    found = np.take_along_axis(value, np.take_along_axis(order, at[:, None], axis=1), axis=1)[:, 0]
    return np.where(np.isfinite(found), found, 0.0)
