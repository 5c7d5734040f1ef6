"""This file is where a small-angle frame becomes sizes and spacings.

Frames are summed into bins as those of diffraction are (`battbeam.reduction.pixels`), whole pixels, no
interpolation; models are drawn through the pixels' own areas. Intensities are counts over the sum of
solid angle and polarization, per monitor count and transmission: absolute up to one constant of the
instrument, so volumes and surfaces are relative, ratios of them are not.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp

from battbeam.errors import ReductionError
from battbeam.reduction.pixels import Bins, FineGrid, PixelGeometry, cached_response, response
from battbeam.reduction.saxs_fit import SphereFit, rough_radius, sphere_fit, structure_peak
from battbeam.reduction.saxs_laws import (
    LEAST_BINS,
    UNKNOWN,
    Guinier,
    SaxsPattern,
    Value,
    guinier,
    invariant,
    porod,
)
from battbeam.reduction.xrd_result import Dark
from battbeam.units import AnyArray, FloatArray, q_from_two_theta

# Points of a model to a pixel, and of a pixel's area along each side.
_FINE, _N_SUB = 4, 3
# Fewer counts than this are no pattern.
_LEAST_COUNTS = 2000.0
# Porod's law from this q Rg on.
_POROD_FROM = 5.0


#: What may be fitted to a small-angle pattern.
_Model = Literal["spheres", "peak", "none"]


@dataclass(frozen=True)
class SaxsOptions:
    """How a small-angle frame is reduced.

    Attributes:
        model: ``spheres`` fits a distribution of sizes, ``peak`` the spacing of an ordered structure,
            ``none`` neither.
        surface: Whether grains too large to be seen lie beside the spheres: their surface, which
            falls with q^-4, is fitted along, and Guinier's law, Porod's and the invariant are of
            what is left.
        q_range: 1/angstrom, of everything; None: from beside the beam stop to the detector's edge.
        guinier_limit: Largest q Rg of the Guinier range.
        porod_from: Least q of the Porod range, 1/angstrom; None: 5 / Rg, but two thirds of the largest
            at most.
        peak_range: 1/angstrom, in which the peak is looked for; needed for ``peak``.
        polarization: Horizontal degree of linear polarization; None leaves it out.
        cache_directory: Where the response of a geometry is kept; None computes it each time.
    """

    model: _Model = "spheres"
    surface: bool = False
    q_range: tuple[float, float] | None = None
    guinier_limit: float = 1.5
    porod_from: float | None = None
    peak_range: tuple[float, float] | None = None
    polarization: float | None = None
    cache_directory: Path | None = None

    def __post_init__(self) -> None:
        if self.model not in get_args(_Model):
            known = ", ".join(get_args(_Model))
            raise ValueError(f"model must be one of {known}, got {self.model!r}")
        for name in ("q_range", "peak_range"):
            ends = getattr(self, name)
            if ends is not None and not (len(ends) == 2 and 0 <= ends[0] < ends[1]):
                raise ValueError(f"{name} must be two values that ascend, 1/angstrom, got {ends}")
        if self.model == "peak" and self.peak_range is None:
            raise ValueError("model 'peak' needs a peak_range, in 1/angstrom")
        if self.surface and self.model != "spheres":
            raise ValueError("a surface lies beside spheres: it needs model 'spheres'")


@dataclass(frozen=True)
class SaxsResult:
    """What one frame says; unit of intensity: see the module.

    Attributes:
        valid: Whether the numbers may be used.
        reason: Why not.
        q: 1/angstrom, shape (n_bins,).
        intensity: Shape (n_bins,).
        intensity_error: Shape (n_bins,).
        guinier_radius: Radius of gyration, angstrom.
        porod_constant: Limit of q^4 times intensity, 1/angstrom^4.
        background: Flat, intensity.
        invariant: Integral of q^2 times intensity from 0 to infinity, 1/angstrom^3.
        radius: Median of the spheres, angstrom.
        radius_width: Standard deviation of ln(radius).
        volume_fraction: Of the spheres, relative: intensity at q = 0 over <V^2> / <V>.
        surface: Of grains beside them, as a Porod's constant; with the option ``surface``.
        peak_q: Of the ordered structure, 1/angstrom.
        spacing: 2 pi over it, angstrom.
        peak_area: Intensity / angstrom.
        residual: Reduced chi squared of the model; NaN without one.
    """

    valid: bool
    reason: str
    q: FloatArray = field(repr=False)
    intensity: FloatArray = field(repr=False)
    intensity_error: FloatArray = field(repr=False)
    guinier_radius: Value = UNKNOWN
    porod_constant: Value = UNKNOWN
    background: Value = UNKNOWN
    invariant: Value = UNKNOWN
    radius: Value = UNKNOWN
    radius_width: Value = UNKNOWN
    volume_fraction: Value = UNKNOWN
    surface: Value = UNKNOWN
    peak_q: Value = UNKNOWN
    spacing: Value = UNKNOWN
    peak_area: Value = UNKNOWN
    residual: float = float("nan")


class SaxsReducer:
    """Reduces frames of one small-angle geometry; made once, used for every frame.

    Args:
        geometry: A .poni of the small-angle detector.
        shape: Rows and columns of its frames.
        options: See `SaxsOptions`.
        mask: True where a pixel is not used (the beam stop), shape (n_rows, n_columns).

    Raises:
        ReductionError: If the geometry cannot be read, or fewer than eight bins are left.
    """

    def __init__(
        self,
        geometry: Path,
        *,
        shape: tuple[int, int],
        options: SaxsOptions | None = None,
        mask: AnyArray | None = None,
    ) -> None:
        self.options = options or SaxsOptions()
        self._geometry = PixelGeometry.read(geometry, shape)
        hidden = np.zeros(shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        angle = self._geometry.two_theta[~hidden.ravel()]
        q = q_from_two_theta(two_theta=angle, energy=self._geometry.energy)
        low, high = self.options.q_range or (0.0, np.inf)
        inside = angle[(q >= low) & (q <= high)]
        pixel = _pixel(self._geometry)
        if not len(inside) or np.ptp(inside) < LEAST_BINS * pixel:
            raise ReductionError(
                f"fewer than {LEAST_BINS} bins between {low:g} and {high:g} 1/A; the detector sees "
                f"{q.min(initial=np.inf):.4g} to {q.max(initial=0.0):.4g}"
            )
        n_bins = int(np.ptp(inside) / pixel)
        edges = np.asarray(float(inside.min()) + pixel * np.arange(n_bins + 1), dtype=float)
        self._bins = Bins.of(self._geometry, edges, hidden)
        reach = 3 * pixel
        first = max(edges[0] - reach, pixel / _FINE)
        size = int((edges[-1] + reach - first) / pixel * _FINE) + 1
        grid = FineGrid(start=first, step=pixel / _FINE, size=size)
        matrix = self._response(grid, hidden)
        self._norm = np.asarray(matrix.sum(axis=1)).ravel()
        self._used = self._norm > 0
        scale = sp.diags(1 / np.where(self._used, self._norm, 1.0))
        self._smearing = sp.csr_matrix(scale @ matrix)[np.flatnonzero(self._used)]
        self._angles = grid.two_theta
        self._fine = q_from_two_theta(two_theta=self._angles, energy=self._geometry.energy)

    def _response(self, grid: FineGrid, hidden: AnyArray) -> sp.csr_matrix:
        def compute() -> sp.csr_matrix:
            return response(
                self._geometry,
                self._bins,
                grid,
                polarization=self.options.polarization,
                depth=0.0,
                n_sub=_N_SUB,
            )

        key = f"{self._geometry.fingerprint()} {self._bins.edges.tolist()} {grid} {_N_SUB} "
        key += f"{self.options.polarization} {np.packbits(hidden).tobytes().hex()}"
        return cached_response(self.options.cache_directory, key, compute)

    @property
    def energy(self) -> float:
        """Of the geometry, eV."""
        return float(self._geometry.energy)

    @property
    def two_theta(self) -> FloatArray:
        """Of the bins, degree, shape (n_bins,)."""
        return np.asarray(self._smearing @ self._angles)

    @property
    def q(self) -> FloatArray:
        """Of the bins, the mean over their pixels, 1/angstrom, shape (n_bins,)."""
        return np.asarray(self._smearing @ self._fine)

    def pattern(
        self,
        frame: AnyArray,
        *,
        monitor: float,
        transmission: float = 1.0,
        exposure: float | None = None,
        dark: Dark | None = None,
        energy: float | None = None,
    ) -> SaxsPattern:
        """Intensity of a frame against q.

        Args:
            frame: Counts, shape (n_rows, n_columns).
            monitor: Counts of I0 during the exposure.
            transmission: Of the sample.
            exposure: s; needed with a dark.
            dark: Frames without beam.
            energy: Of the frame, eV, where it is not the geometry's.

        Raises:
            ReductionError: If the frame has another shape, or a dark comes without an exposure.
        """
        if frame.shape != self._geometry.shape:
            raise ReductionError(
                f"the frame has {frame.shape} pixels, the geometry {self._geometry.shape}"
            )
        total = self._bins.sum(frame)[self._used]
        below, variance = np.zeros(len(total)), np.maximum(total, 1.0)
        if dark is not None:
            if exposure is None:
                raise ReductionError("a dark needs the frame's exposure, in s")
            ratio, summed = exposure / dark.exposure, self._bins.sum(dark.counts)[self._used]
            below, variance = ratio * summed, variance + ratio**2 * summed
        norm = self._norm[self._used] * monitor * transmission
        # The angles stay; q goes with the energy.
        ratio = 1.0 if energy is None else energy / self._geometry.energy
        return SaxsPattern(
            q=ratio * self.q,
            intensity=(total - below) / norm,
            error=np.sqrt(variance) / norm,
            fine=ratio * self._fine,
            smearing=self._smearing,
        )

    def reduce(
        self,
        frame: AnyArray,
        *,
        monitor: float,
        transmission: float | None = None,
        exposure: float | None = None,
        dark: Dark | None = None,
        energy: float | None = None,
    ) -> SaxsResult:
        """Sizes and spacings of one frame; arguments as of `pattern`.

        A transmission that is not known is taken as 1.
        """
        known = transmission is not None and np.isfinite(transmission) and transmission > 0
        passed = float(transmission) if known and transmission is not None else 1.0
        if not np.isfinite(monitor) or monitor <= 0:
            nothing = np.full(int(self._used.sum()), np.nan)
            return SaxsResult(False, f"no beam: monitor {monitor}", self.q, nothing, nothing)
        pattern = self.pattern(
            frame, monitor=monitor, transmission=passed, exposure=exposure, dark=dark, energy=energy
        )
        arrays = (pattern.q, pattern.intensity, pattern.error)
        counts = float((pattern.intensity / pattern.error)[pattern.intensity > 0].max(initial=0.0))
        if float(self._bins.sum(frame).sum()) < _LEAST_COUNTS or counts < 3:
            return SaxsResult(False, "no beam: no counts above the dark", *arrays)
        try:
            return self._reduced(pattern)
        except ReductionError as fault:
            return SaxsResult(False, str(fault), *arrays)

    def _without_surface(self, pattern: SaxsPattern) -> tuple[SaxsPattern, dict[str, Any]]:
        """What spheres scatter, and what they are; the surface's error is added to each bin's."""
        fit = sphere_fit(pattern, radius=rough_radius(pattern), background=0.0, surface=True)
        fall = pattern.seen(pattern.fine**-4.0)
        left = replace(
            pattern,
            intensity=pattern.intensity - fit.surface.value * fall,
            error=np.hypot(pattern.error, fit.surface.error * fall),
        )
        return left, {**_of_spheres(fit), "surface": fit.surface}

    def _reduced(self, pattern: SaxsPattern) -> SaxsResult:
        arrays = (pattern.q, pattern.intensity, pattern.error)
        if self.options.model == "peak" and self.options.peak_range is not None:
            peak = structure_peak(pattern, self.options.peak_range)
            return SaxsResult(
                True,
                "",
                *arrays,
                peak_q=peak.q,
                spacing=peak.spacing,
                peak_area=peak.area,
                residual=peak.residual,
            )
        found: dict[str, Any] = {}
        if self.options.surface:
            left, found = self._without_surface(pattern)
            # What the spheres are does not hang on laws at the ends of the range.
            with suppress(ReductionError):
                found |= self._laws(left)
            return SaxsResult(True, "", *arrays, **found)
        found |= self._laws(pattern)
        if self.options.model == "spheres":
            radius, flat = found["guinier_radius"].value, found["background"].value
            found |= _of_spheres(sphere_fit(pattern, radius=radius, background=flat))
        return SaxsResult(True, "", *arrays, **found)

    def _laws(self, pattern: SaxsPattern) -> dict[str, Value]:
        """Guinier's and Porod's, and the invariant."""
        rough = guinier(pattern, limit=self.options.guinier_limit)
        high = porod(pattern, self.options.porod_from or _porod_start(pattern, rough))
        low = guinier(pattern, limit=self.options.guinier_limit, background=high.background)
        whole = invariant(pattern, low, high)
        return {
            "guinier_radius": low.radius,
            "porod_constant": high.constant,
            "background": high.background,
            "invariant": whole,
        }


def _of_spheres(fit: SphereFit) -> dict[str, Value | float]:
    return {
        "radius": fit.radius,
        "radius_width": fit.width,
        "volume_fraction": fit.volume_fraction,
        "residual": fit.residual,
    }


def _pixel(geometry: PixelGeometry) -> float:
    """Extent of a pixel in two theta beside the beam, degree."""
    return float(np.degrees(min(geometry.pixel_size) / geometry.distance))


def _porod_start(pattern: SaxsPattern, low: Guinier) -> float:
    return float(min(_POROD_FROM / low.radius.value, pattern.q[-1] * 2 / 3))
