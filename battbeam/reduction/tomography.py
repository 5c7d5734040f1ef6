"""This file is where the frames of a tomogram become a volume."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from battbeam.errors import ReductionError
from battbeam.reduction.air import levelled
from battbeam.reduction.angles import coverage
from battbeam.reduction.phase_retrieval import retrieve_phase
from battbeam.reduction.projections import Projections, absorbance, opaque, usable
from battbeam.reduction.reconstruction import reconstruct
from battbeam.reduction.rings import stripes
from battbeam.reduction.rotation_axis import RotationAxis, ScanMotion, find_axis, find_motion
from battbeam.reduction.tomography_result import (
    TomographyOptions,
    TomographyPreview,
    TomographyResult,
)
from battbeam.units import AnyArray, FloatArray

__all__ = [
    "Projections",
    "TomographyOptions",
    "TomographyPreview",
    "TomographyReducer",
    "TomographyResult",
]

# Motion is told when it is more than a voxel, and more than so many standard deviations.
_MOST_MOTION, _SURE = 1.0, 4.0
# An axis whose error is more than half of that is not known well enough, columns.
_AXIS_WANTED = 0.25
# How well an axis is known that was given, columns.
_GIVEN = 0.05
# Share of pixels too dark to measure from which on a volume is not to be used: chosen here.
_MOST_OPAQUE = 0.01
# Projections from which on a preview is worth its while.
_LEAST_FOR_PREVIEW = 8


@dataclass(frozen=True)
class _Sinograms:
    """What is left of the frames once the beam, the detector and the rings are taken off."""

    absorbance: AnyArray
    omega: FloatArray
    time: FloatArray
    faults: tuple[str, ...]
    metrics: Mapping[str, float]


class TomographyReducer:
    """Reduces tomograms of one detector; made once, used for every tomogram.

    Args:
        options: See `TomographyOptions`.
        shape: Rows and columns of the frames.
    """

    def __init__(self, options: TomographyOptions, shape: tuple[int, int]) -> None:
        self.options = options
        self.shape = (int(shape[0]), int(shape[1]))
        # Sums of many threads differ in the last bits; live and replayed must not.
        self._threads = ThreadpoolController()

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What a stored result has to say about how it was made; JSON-ready."""
        return {
            "method": "filtered back projection, parallel beams",
            "shape": list(self.shape),
            "options": asdict(self.options),
        }

    def reduce(self, projections: Projections) -> TomographyResult:
        """The volume of one tomogram; of what cannot be reduced, the reason.

        Any part of a scan is a tomogram: a window of a golden-angle scan is `Projections` of it.
        """
        with self._threads.limit(limits=1):
            try:
                return self._reduce(projections)
            except ReductionError as fault:
                return TomographyResult(valid=False, reason=str(fault))

    def preview(self, projections: Projections, *, axis: float | None = None) -> TomographyPreview:
        """What can be seen so far: the centre slice, and the volume in binned voxels.

        Args:
            projections: Of the scan so far.
            axis: Column, of an earlier tomogram; without it and as long as the projections cannot
                tell, the middle of the field.
        """
        with self._threads.limit(limits=1):
            try:
                return self._preview(projections, axis)
            except ReductionError as fault:
                return TomographyPreview(n_projections=len(projections.counts), reason=str(fault))

    def _reduce(self, projections: Projections) -> TomographyResult:
        self._check(projections)
        seen = self._sinograms(projections)
        axis, motion = self._axis_and_motion(seen)
        covered = coverage(seen.omega)
        column: float | FloatArray = axis.column
        if _moved_across(motion):
            column = motion.axis_at(seen.omega, seen.time)
        volume = self._slices(seen, column, projections.pixel_size)
        reasons = _reasons(seen, axis, motion, covered.missing_wedge)
        n_left_out = len(projections.counts) - len(seen.omega)
        return TomographyResult(
            valid=not reasons,
            reason="; ".join(reasons),
            partial=n_left_out > 0 or covered.missing_wedge > 0,
            volume=volume,
            voxel_size=projections.pixel_size,
            axis=axis.column,
            axis_error=axis.error,
            n_projections=len(seen.omega),
            n_left_out=n_left_out,
            missing_wedge=covered.missing_wedge,
            motion=motion.shift,
            motion_error=motion.error,
            noise=self._noise(seen, axis.column, projections.pixel_size),
            metrics={**seen.metrics, "axis_agreement": axis.agreement, "angle_step": covered.step},
        )

    def _check(self, projections: Projections) -> None:
        if projections.shape != self.shape:
            raise ReductionError(
                f"projections are {projections.shape} pixels, this reducer was made for {self.shape}"
            )

    def _sinograms(self, projections: Projections, *, binning: int = 1) -> _Sinograms:
        options = self.options
        used = usable(projections, saturation=options.saturation)
        frames = used.frames[np.argsort(projections.time[used.frames], kind="stable")]
        raw = absorbance(projections, frames)
        metrics = {"opaque": opaque(raw)}
        air = levelled(raw, width=options.air_width)
        values = _binned(air.absorbance, binning)
        metrics["beam_drift"] = air.drift
        # What is left of rings in binned pixels is not worth the detail that their removal costs.
        if options.ring_width and binning == 1:
            rings = stripes(values, width=options.ring_width)
            values = values - rings.astype(np.float32)
            metrics["ring_level"] = float(rings.std())
        if options.propagation_distance is not None and options.delta_over_beta is not None:
            values = retrieve_phase(
                values,
                distance=options.propagation_distance,
                energy=projections.energy,
                delta_over_beta=options.delta_over_beta,
                pixel_size=projections.pixel_size * binning,
            )
        omega, time = projections.omega[frames], projections.time[frames]
        return _Sinograms(values, omega, time, used.faults, metrics)

    def _axis_and_motion(self, seen: _Sinograms) -> tuple[RotationAxis, ScanMotion]:
        given = self.options.axis
        if given is None:
            axis = find_axis(seen.absorbance, seen.omega)
            known = math.inf
        else:
            axis = RotationAxis(given, math.nan, math.nan)
            known = _GIVEN
            if not 0 < given < self.shape[1] - 1:
                raise ReductionError(
                    f"rotation axis out of the field: column {given:.1f} of 0 to {self.shape[1] - 1}"
                )
        motion = find_motion(
            seen.absorbance, seen.omega, seen.time, axis=axis.column, axis_error=known
        )
        if given is None and _moved_across(motion):
            # What the sample did must not be taken for the axis.
            axis = RotationAxis(motion.column, motion.column_error, axis.agreement)
        return axis, motion

    def _slices(self, seen: _Sinograms, column: float | FloatArray, pixel_size: float) -> AnyArray:
        return reconstruct(
            seen.absorbance,
            seen.omega,
            axis=column,
            pixel_size=pixel_size,
            method=self.options.method,
            window=self.options.window,
        )

    def _noise(self, seen: _Sinograms, column: float, pixel_size: float) -> float:
        """Of a voxel of the centre slice: half of what two halves of the projections differ by."""
        order = np.argsort(np.mod(seen.omega, 180.0), kind="stable")
        row = seen.absorbance.shape[1] // 2
        one, other = (
            self._slices(
                replace(
                    seen,
                    absorbance=seen.absorbance[part, row : row + 1],
                    omega=seen.omega[part],
                ),
                column,
                pixel_size,
            )
            for part in (order[::2], order[1::2])
        )
        return float(np.std((one - other)[one != 0]) / 2)

    def _preview(self, projections: Projections, axis: float | None) -> TomographyPreview:
        self._check(projections)
        if len(projections.counts) < _LEAST_FOR_PREVIEW:
            raise ReductionError(
                f"{len(projections.counts)} projections so far, {_LEAST_FOR_PREVIEW} wanted"
            )
        binning = self.options.preview_binning
        middle = self.shape[0] // 2
        seen = self._sinograms(_rows(projections, middle, middle + 1))
        column = self._axis_so_far(seen, axis)
        centre = self._slices(seen, column, projections.pixel_size)
        coarse = self._sinograms(projections, binning=binning)
        column_of_binned = (column + 0.5) / binning - 0.5
        voxel_size = projections.pixel_size * binning
        volume = self._slices(coarse, column_of_binned, voxel_size)
        return TomographyPreview(
            centre_slice=centre[0],
            volume=volume,
            voxel_size=voxel_size,
            axis=column,
            n_projections=len(seen.omega),
        )

    def _axis_so_far(self, seen: _Sinograms, axis: float | None) -> float:
        given = self.options.axis if axis is None else axis
        if given is not None:
            return given
        try:
            return find_axis(seen.absorbance, seen.omega).column
        except ReductionError:
            return (self.shape[1] - 1) / 2


def _rows(projections: Projections, first: int, stop: int) -> Projections:
    rows = slice(first, stop)
    return replace(
        projections,
        counts=projections.counts[:, rows],
        flats=projections.flats[:, rows],
        darks=projections.darks[:, rows],
    )


def _binned(values: AnyArray, binning: int) -> AnyArray:
    """Means of so many rows and columns; what is left over at the ends is left out."""
    if binning == 1:
        return values
    n, n_rows, n_columns = values.shape
    rows = min(binning, n_rows)
    cut = values[:, : n_rows // rows * rows, : n_columns // binning * binning]
    return np.asarray(
        cut.reshape(n, n_rows // rows, rows, n_columns // binning, binning).mean(axis=(2, 4))
    )


def _moved(motion: ScanMotion) -> bool:
    return any(
        abs(shift) > _MOST_MOTION and abs(shift) > _SURE * error
        for shift, error in zip(motion.shift, motion.error, strict=True)
    )


def _moved_across(motion: ScanMotion) -> bool:
    """Whether it is known how it moved across the axis."""
    return _moved(motion) and bool(np.isfinite(motion.shift[::2]).all())


def _reasons(
    seen: _Sinograms, axis: RotationAxis, motion: ScanMotion, missing_wedge: float
) -> list[str]:
    reasons = []
    if missing_wedge > 0:
        lost = f" ({', '.join(seen.faults)})" if seen.faults else ""
        reasons.append(f"partial: {missing_wedge:.1f} of 180 degree have no projection{lost}")
    if 2 * axis.error > _AXIS_WANTED:
        reasons.append(
            f"the rotation axis is known to {axis.error:.2f} columns only; give it (axis), from a "
            "tomogram of the same day"
        )
    if _moved(motion):
        x, y, z = motion.shift
        reasons.append(
            f"the sample moved during the scan by {x:.1f}, {y:.1f}, {z:.1f} voxels (x, y, z)"
        )
    if seen.metrics["opaque"] > _MOST_OPAQUE:
        reasons.append(
            f"{seen.metrics['opaque']:.1%} of the pixels saw next to no light; expose for longer, "
            "or at a higher energy"
        )
    return reasons
