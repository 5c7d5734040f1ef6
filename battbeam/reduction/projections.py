"""This file is where counts behind a rotating sample become transmissions."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# A frame with less than this share of the median frame's intensity had no beam. Chosen here: a
# top-up dip is a few per cent, a beam dump is all of it.
_LEAST_BEAM = 0.2
# The median frame with less than this share of the open beam is no measurement.
_LEAST_INTENSITY = 1e-3
# Share of full pixels from which on a frame is not used; chosen here, hot pixels are fewer.
_MOST_SATURATED = 1e-3
# Transmissions are not taken to be below this: a count less than one is no measurement.
_LEAST_TRANSMISSION = 1e-4
# A pixel with less than this share of the open beam's median is dead.
_DEAD = 0.02
# Flats whose mean is less than this many standard deviations of the darks above them: no beam.
_LEAST_FLAT = 10.0


@dataclass(frozen=True)
class Projections:
    """The frames of one tomogram, all of one exposure.

    Attributes:
        counts: Shape (n, n_rows, n_columns), row 0 at the bottom; any type of number.
        omega: Of the sample in the middle of each exposure, degree, shape (n,); NaN if not known.
        time: Of the middle of each exposure, s, shape (n,).
        flats: Beam without sample, shape (m, n_rows, n_columns).
        flat_time: Of each, s, shape (m,).
        darks: No beam, shape (l, n_rows, n_columns).
        pixel_size: At the sample, mm.
        energy: Of the photons, eV; NaN if not known.
        i0: Counts before the sample with each projection, shape (n,); None where nobody counted.
        flat_i0: The same with each flat, shape (m,).
    """

    counts: AnyArray
    omega: FloatArray
    time: FloatArray
    flats: AnyArray
    flat_time: FloatArray
    darks: AnyArray
    pixel_size: float
    energy: float = np.nan
    i0: FloatArray | None = None
    flat_i0: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.counts.ndim != 3 or self.flats.ndim != 3 or self.darks.ndim != 3:
            raise ReductionError("projections, flats and darks want three axes: (n, row, column)")
        for name, frames in (("flats", self.flats), ("darks", self.darks)):
            if len(frames) and frames.shape[1:] != self.counts.shape[1:]:
                raise ReductionError(
                    f"{name} are {frames.shape[1:]} pixels, projections {self.counts.shape[1:]}"
                )
        lengths = (len(self.omega), len(self.time))
        if lengths != (len(self.counts),) * 2 or len(self.flat_time) != len(self.flats):
            raise ReductionError(
                f"{len(self.counts)} projections come with {lengths[0]} angles and {lengths[1]} "
                f"times, {len(self.flats)} flats with {len(self.flat_time)} times"
            )
        for name, counted, n in (
            ("i0", self.i0, len(self.counts)),
            ("flat_i0", self.flat_i0, len(self.flats)),
        ):
            if counted is not None and len(counted) != n:
                raise ReductionError(f"{name} wants {n} counts, got {len(counted)}")
        if not self.pixel_size > 0:
            raise ReductionError(f"pixel_size must be greater than 0 mm, got {self.pixel_size}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.counts.shape[1]), int(self.counts.shape[2])

    @cached_property
    def dark(self) -> AnyArray:
        """The mean dark, counts, shape (n_rows, n_columns).

        Raises:
            ReductionError: If there is none.
        """
        if not len(self.darks):
            raise ReductionError(
                "no darks: counts without beam are not known; take frames with the shutter closed"
            )
        return np.asarray(self.darks.mean(axis=0, dtype=np.float64), dtype=np.float32)

    @cached_property
    def _open_beam(self) -> list[tuple[float, AnyArray]]:
        """Time and mean, dark subtracted, of each series of flats, in order."""
        if not len(self.flats):
            raise ReductionError(
                "no flats: the beam without sample is not known; take frames with the sample out"
            )
        series = [
            (
                float(self.flat_time[group].mean()),
                np.asarray(self.flats[group].mean(axis=0, dtype=np.float64) - self.dark),
            )
            for group in self._series
        ]
        spread = self.darks.std() + 1.0
        for time, flat in series:
            if flat.mean() < _LEAST_FLAT * spread:
                raise ReductionError(
                    f"flats at {time:.0f} s have no beam: {flat.mean():.1f} counts above the dark"
                )
        faded = np.float32(self._faded)
        return [(time, flat.astype(np.float32) * faded) for time, flat in series]

    @cached_property
    def _series(self) -> list[npt.NDArray[np.intp]]:
        """Which flats were taken together, in the order of time."""
        order = np.argsort(self.flat_time, kind="stable")
        # A series ends where projections were taken in between.
        position = np.searchsorted(np.sort(self.time), self.flat_time[order])
        return np.split(order, np.flatnonzero(np.diff(position)) + 1)

    @cached_property
    def _faded(self) -> float:
        """The beam of the projections over what the flats say of it; 1 where nobody counted.

        One number for all of them: that of a single projection has the noise of its own count.
        """
        if self.i0 is None or self.flat_i0 is None:
            return 1.0
        counted = np.isfinite(self.omega) & np.isfinite(self.time) & (self.i0 > 0)
        times = [float(self.flat_time[group].mean()) for group in self._series]
        open_i0 = [float(np.median(self.flat_i0[group])) for group in self._series]
        if not counted.any() or not all(each > 0 for each in open_i0):
            return 1.0
        told = np.interp(self.time[counted], times, open_i0)
        return float(np.median(self.i0[counted]) / np.median(told))

    def open_beam(self, time: float) -> AnyArray:
        """What the detector would have counted without sample, dark subtracted.

        Between two series of flats it changes linearly; before the first and after the last it
        does not. Where somebody counted before the sample, it is as strong as it was for the
        projections: flats of hours ago saw another beam.

        Args:
            time: s.

        Raises:
            ReductionError: If there are no flats, or they saw no beam.
        """
        series = self._open_beam
        if time <= series[0][0]:
            return series[0][1]
        for (before, first), (after, second) in pairwise(series):
            if time <= after:
                part = np.float32((time - before) / (after - before))
                return np.asarray(first + part * (second - first))
        return series[-1][1]

    def open_beams(self, frames: npt.NDArray[np.intp] | None = None) -> Iterator[AnyArray]:
        """`open_beam` of each projection, or of some."""
        return (
            self.open_beam(float(time))
            for time in self.time[slice(None) if frames is None else frames]
        )


@dataclass(frozen=True)
class Usable:
    """Which frames of a tomogram can be used.

    Attributes:
        frames: Their indices, shape (n_usable,).
        faults: What is wrong with the others, one phrase a kind.
    """

    frames: npt.NDArray[np.intp]
    faults: tuple[str, ...]


def usable(projections: Projections, *, saturation: float | None = None) -> Usable:
    """Frames with an angle, with beam and without full pixels.

    Args:
        projections: With flats and darks.
        saturation: Counts at which a pixel is full.

    Raises:
        ReductionError: If flats are full, or if hardly any frame is left.
    """
    if saturation is not None and _share_full(projections.flats, saturation) > _MOST_SATURATED:
        raise ReductionError(
            f"flats: {_share_full(projections.flats, saturation):.1%} of the pixels hold "
            f"{saturation:g} counts or more; expose for a shorter time"
        )
    counts = projections.counts
    full = np.array([_share_full(frame, saturation) > _MOST_SATURATED for frame in counts])
    beam = np.array(
        [
            (frame.mean(dtype=np.float64) - projections.dark.mean()) / open_beam.mean()
            for frame, open_beam in zip(counts, projections.open_beams(), strict=True)
        ]
    )
    usual = float(np.median(beam)) if len(beam) else 0.0
    if not usual > _LEAST_INTENSITY:
        raise ReductionError(
            f"no beam: the median of {len(beam)} projections has {usual:.2g} of the open beam"
        )
    kinds = {
        "without beam": beam < _LEAST_BEAM * usual,
        "with full pixels": full,
        "without an angle": ~np.isfinite(projections.omega),
    }
    frames = np.flatnonzero(~np.any(list(kinds.values()), axis=0))
    faults = tuple(f"{hits.sum()} frames {kind}" for kind, hits in kinds.items() if hits.any())
    if 2 * len(frames) < len(counts) or len(frames) < 3:
        raise ReductionError(
            f"{len(frames)} of {len(counts)} projections can be used: {', '.join(faults)}"
        )
    return Usable(frames, faults)


def _share_full(frames: AnyArray, saturation: float | None) -> float:
    return 0.0 if saturation is None or not frames.size else float(np.mean(frames >= saturation))


def absorbance(
    projections: Projections, frames: npt.NDArray[np.intp], *, rows: slice = slice(None)
) -> AnyArray:
    """-ln(transmission) of each pixel: counts over the open beam at that time, darks off both.

    Dead pixels are what their neighbours in the row are.

    Args:
        projections: With flats and darks.
        frames: Which ones.
        rows: Of the detector.

    Returns:
        Shape (n_frames, n_rows, n_columns), single precision.
    """
    dark = projections.dark[rows]
    found = np.empty((len(frames), *dark.shape), dtype=np.float32)
    beams = projections.open_beams(frames)
    for index, (frame, beam) in enumerate(zip(frames, beams, strict=True)):
        above = np.subtract(projections.counts[frame, rows], dark, out=found[index])
        np.divide(above, np.maximum(beam[rows], 1e-6), out=above)
    np.maximum(found, _LEAST_TRANSMISSION, out=found)
    np.log(found, out=found)
    np.negative(found, out=found)
    first = projections.open_beam(-np.inf)[rows]
    for row, column in np.argwhere(first < _DEAD * np.median(first)):
        alive = np.flatnonzero(first[row] >= _DEAD * np.median(first))
        near = alive[np.argsort(np.abs(alive - column))[:2]]
        found[:, row, column] = found[:, row, near].mean(axis=-1)
    return found


def opaque(values: AnyArray) -> float:
    """Share of the pixels behind which too little light came to measure any more."""
    return float(np.mean(values >= -np.log(2 * _LEAST_TRANSMISSION)))
