"""This file is where a diffraction frame becomes phase fractions and lattice parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from battbeam.errors import ReductionError
from battbeam.reduction.component import Component
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import CountsInBins, PatternFit
from battbeam.reduction.xrd_derive import derive, free_reflections
from battbeam.reduction.xrd_model import XrdModel
from battbeam.reduction.xrd_references import fingerprints
from battbeam.reduction.xrd_result import (
    Dark,
    EndMemberResult,
    FatiguedResult,
    PhaseResult,
    ScatteringPhase,
    XrdOptions,
    XrdResult,
)
from battbeam.reduction.xrd_setup import build_model
from battbeam.units import AnyArray, FloatArray

__all__ = [
    "Dark",
    "EndMemberResult",
    "FatiguedResult",
    "PhaseResult",
    "ScatteringPhase",
    "XrdOptions",
    "XrdReducer",
    "XrdResult",
]

# Fewer counts than this, or than ten standard deviations of the dark, are no pattern.
_LEAST_COUNTS = 2000.0
# Share of saturated pixels from which on a frame is not used.
_MOST_SATURATED = 0.01
# Pixels wider than this many line widths: fractions were never proven there.
_MOST_PIXELS_PER_WIDTH = 2.0
# Reduced chi squared from which on the numbers are not to be used.
_WORST_RESIDUAL = 5.0
# Peaks are looked for at every n-th stick; ten sticks make a line width.
_PEAK_STRIDE = 4


class XrdReducer:
    """Reduces frames of one geometry; made once, used for every frame.

    Args:
        geometry: A .poni, as `battbeam.reduction.geometry` writes it.
        instrument: The .json beside it: widths of lines, polarization.
        phases: Everything crystalline in the beam; one active phase or more.
        shape: Rows and columns of the frames.
        options: See `XrdOptions`.
        mask: True where a pixel is not used, shape (n_rows, n_columns).

    Raises:
        ReductionError: If a file is missing or malformed, or no pattern can be had from this
            geometry.
    """

    def __init__(
        self,
        geometry: Path,
        instrument: Path,
        phases: Sequence[ScatteringPhase],
        *,
        shape: tuple[int, int],
        options: XrdOptions | None = None,
        mask: AnyArray | None = None,
    ) -> None:
        self.options = options or XrdOptions()
        self._shape = (int(shape[0]), int(shape[1]))
        self._instrument = Instrument.read(instrument)
        # Sums of many threads differ in the last bits; live and replayed must not.
        self._threads = ThreadpoolController()
        with self._threads.limit(limits=1):
            self._model: XrdModel = build_model(
                geometry,
                self._instrument,
                phases,
                shape=self._shape,
                options=self.options,
                mask=mask,
            )
        self._geometry_text = geometry.read_text()
        self._dark: tuple[Dark, FloatArray] | None = None
        blank = {} if self.options.blank is None else {"blank": self.options.blank}
        self._fingerprints = (
            fingerprints(self.options.references),
            fingerprints(blank).get("blank"),
        )

    @property
    def two_theta(self) -> FloatArray:
        """Of the bins, degree, shape (n_bins,)."""
        return self._model.bins.centres

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What a stored result has to say about how it was made; JSON-ready."""
        options = asdict(self.options)
        options["cache_directory"] = None
        options["references"], options["blank"] = self._fingerprints
        return {
            "method": "whole pattern, counts in bins",
            "geometry": self._geometry_text,
            "instrument": asdict(self._instrument),
            "phases": [asdict(phase) for phase in self._model.phases],
            "polarization": self._model.polarization,
            "options": options,
            "bin_width": float(np.diff(self._model.bins.edges[:2])[0]),
        }

    @property
    def free_reflections(self) -> Mapping[str, tuple[str, ...]]:
        """Of every phase with intensities of its own the reflections that have one, as "hkl"."""
        components = self._model.pattern.components
        return {
            component.phase: free_reflections(component)
            for component in components
            if isinstance(component, Component) and component.groups is not None
        }

    def integrate(self, frame: AnyArray) -> FloatArray:
        """Sum of counts over sum of correction factors in each bin, NaN where no pixel lies; no
        dark, no limit.
        """
        self._check(frame)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self._model.bins.sum(frame) / self._model.norm)

    def reduce(
        self,
        frame: AnyArray,
        *,
        monitor: float,
        transmission: float | None,
        exposure: float | None = None,
        dark: Dark | None = None,
    ) -> XrdResult:
        """Phase fractions, amounts and lattice parameters of one frame.

        Args:
            frame: Counts, shape (n_rows, n_columns).
            monitor: Counts of I0 during the exposure.
            transmission: Of the cell, 0 to 1 (counts behind over counts before, over the same
                without cell);
                None or NaN: not measured; amounts are as if all came through, and the longer way
                of light at an angle is that of `XrdOptions.optical_depth`.
            exposure: s; needed with a dark.
            dark: Frames without beam.

        Raises:
            ReductionError: If the frame has another shape, or a dark comes without an exposure.
        """
        self._check(frame)
        with self._threads.limit(limits=1):
            return self._reduce(frame, monitor, transmission, exposure, dark)

    def _reduce(
        self,
        frame: AnyArray,
        monitor: float,
        transmission: float | None,
        exposure: float | None,
        dark: Dark | None,
    ) -> XrdResult:
        passed, depth = 1.0, self.options.optical_depth or 0.0
        if transmission is not None and np.isfinite(transmission) and transmission > 0:
            passed, depth = float(transmission), float(-np.log(transmission))
        saturated = self._saturated(frame)
        counts = self._counts(frame, saturated, dark, exposure, monitor * passed, depth)
        reason = self._no_beam(counts, monitor) or self._too_bright(len(saturated))
        if reason:
            return self._result(counts, None, reason, len(saturated))
        fit = self._model.fit(counts)
        derived = derive(
            self._model,
            fit,
            self.options,
            per_amount=1 / (monitor * passed),
            relative=1 / np.sqrt(monitor),
        )
        reason = self._doubts(fit)
        values = {name: getattr(derived, name) for name in derived.__dataclass_fields__}
        return self._result(counts, fit, reason, len(saturated), **values)

    def _check(self, frame: AnyArray) -> None:
        if frame.shape != self._shape:
            raise ReductionError(f"the frame has {frame.shape} pixels, the geometry {self._shape}")

    def _saturated(self, frame: AnyArray) -> AnyArray:
        if self.options.saturation is None:
            return np.empty(0, dtype=np.int64)
        hot = np.nonzero(frame.ravel() >= self.options.saturation)[0]
        return hot[self._model.bins.index[hot] < self._model.bins.n_bins]

    def _counts(
        self,
        frame: AnyArray,
        saturated: AnyArray,
        dark: Dark | None,
        exposure: float | None,
        light: float,
        depth: float,
    ) -> CountsInBins:
        bins, used = self._model.bins, self._model.used
        total = bins.sum(frame)
        if len(saturated):
            # A bin with a saturated pixel would lose light that the model expects.
            used = used & (bins.sum(np.isin(np.arange(frame.size), saturated)) == 0)
        below, variance = np.zeros(bins.n_bins), np.zeros(bins.n_bins)
        if dark is not None:
            if exposure is None:
                raise ReductionError("a dark needs the frame's exposure, in s")
            ratio = exposure / dark.exposure
            summed = self._dark_in_bins(dark)
            below, variance = ratio * summed, ratio**2 * summed
        if self._model.blank is not None and light > 0:
            below = below + light * self._model.blank[0]
            variance = variance + light**2 * self._model.blank[1]
        return CountsInBins(total - below, below, variance, used, depth)

    def _dark_in_bins(self, dark: Dark) -> FloatArray:
        if self._dark is None or self._dark[0] is not dark:
            self._dark = (dark, self._model.bins.sum(dark.counts))
        return self._dark[1]

    def _no_beam(self, counts: CountsInBins, monitor: float) -> str:
        if not np.isfinite(monitor) or monitor <= 0:
            return f"no beam: monitor {monitor}"
        signal, noise = counts.signal.sum(), np.sqrt((counts.dark + counts.dark_variance).sum())
        if signal < max(_LEAST_COUNTS, 10 * noise):
            return f"no beam: {signal:.0f} counts above dark"
        return ""

    def _too_bright(self, n_saturated: int) -> str:
        share = n_saturated / np.prod(self._shape)
        return f"{100 * share:.1f} % of pixels saturated" if share > _MOST_SATURATED else ""

    def _doubts(self, fit: PatternFit) -> str:
        reasons = []
        if self._model.pixels_per_width > _MOST_PIXELS_PER_WIDTH:
            wide = self._model.pixels_per_width
            reasons.append(f"pixels {wide:.1f} line widths wide: fractions not reliable")
        if not fit.converged:
            reasons.append("the fit did not settle")
        residual = fit.chi_squared / fit.degrees_of_freedom
        if residual > _WORST_RESIDUAL:
            reasons.append(f"residual {residual:.1f}: something in the pattern is not in the model")
        return "; ".join(reasons)

    @cached_property
    def _peak_shapes(self) -> tuple[FloatArray, FloatArray]:
        matrix = np.ascontiguousarray(self._model.shape.matrix[:, ::_PEAK_STRIDE])
        return matrix, matrix**2

    def _largest_peak(self, counts: CountsInBins, fit: PatternFit) -> tuple[float, float]:
        lines, squares = self._peak_shapes
        weight = np.where(counts.used, 1 / fit.variance, 0.0)
        norm = np.sqrt(weight @ squares)
        angles = self._model.shape.sticks.two_theta[::_PEAK_STRIDE]
        inside = (angles > self.two_theta[0]) & (angles < self.two_theta[-1]) & (norm > 0)
        height = np.where(
            inside,
            ((counts.signal - fit.model) * weight) @ lines / np.where(norm > 0, norm, 1),
            0.0,
        )
        largest = int(np.argmax(np.abs(height)))
        return float(height[largest]), float(angles[largest])

    def _result(
        self,
        counts: CountsInBins,
        fit: PatternFit | None,
        reason: str,
        n_saturated: int,
        **derived: Any,
    ) -> XrdResult:
        fitted = np.logical_and(counts.used, self._model.norm > 0)
        norm = np.where(fitted, self._model.norm, np.nan)
        nothing = np.full(len(norm), np.nan)
        raw = np.sqrt(np.maximum(counts.signal + counts.dark, 1.0) + counts.dark_variance)
        found: dict[str, Any] = {}
        if fit is not None:
            peak, at = self._largest_peak(counts, fit)
            found = {
                "residual": fit.chi_squared / fit.degrees_of_freedom,
                "residual_deviation": float(np.sqrt(2 / fit.degrees_of_freedom)),
                "unexplained": peak,
                "unexplained_two_theta": at,
            }
        return XrdResult(
            valid=not reason,
            reason=reason,
            intensity=counts.signal / norm,
            intensity_error=raw / norm,
            model=nothing if fit is None else fit.model / norm,
            background=nothing if fit is None else fit.background / norm,
            counts=float(counts.signal.sum()),
            n_saturated=n_saturated,
            **found,
            **derived,
        )
