"""This file is where counts behind a rotating sample become transmissions."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

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
    """

    counts: AnyArray
    omega: FloatArray
    time: FloatArray
    flats: AnyArray
    flat_time: FloatArray
    darks: AnyArray
    pixel_size: float
    energy: float = np.nan

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
        order = np.argsort(self.flat_time, kind="stable")
        when = self.flat_time[order]
        # A series ends where projections were taken in between.
        position = np.searchsorted(np.sort(self.time), when)
        groups = np.split(order, np.flatnonzero(np.diff(position)) + 1)
        series = [
            (
                float(self.flat_time[group].mean()),
                np.asarray(self.flats[group].mean(axis=0, dtype=np.float64) - self.dark),
            )
            for group in groups
        ]
        spread = self.darks.std() + 1.0
        for time, flat in series:
            if flat.mean() < _LEAST_FLAT * spread:
                raise ReductionError(
                    f"flats at {time:.0f} s have no beam: {flat.mean():.1f} counts above the dark"
                )
        return [(time, flat.astype(np.float32)) for time, flat in series]

    def open_beam(self, time: float) -> AnyArray:
        """What the detector would have counted without sample, dark subtracted.

        Between two series of flats it changes linearly; before the first and after the last it
        does not.

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
