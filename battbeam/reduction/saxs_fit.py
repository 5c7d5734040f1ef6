"""This file is where sizes and spacings are fitted to a small-angle pattern."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import CurveFit
from battbeam.reduction.saxs_laws import LEAST_BINS, SaxsPattern, Value
from battbeam.reduction.saxs_model import forward_volume, spheres
from battbeam.units import FloatArray

# Sizes that a fit of spheres over a surface is begun from, and their width.
_SIZES, _ROUGH_WIDTH = 25, 0.15


@dataclass(frozen=True)
class SphereFit:
    """Spheres of many sizes; see `battbeam.reduction.saxs_model`.

    Attributes:
        radius: Median, angstrom.
        width: Standard deviation of ln(radius).
        volume_fraction: Relative.
        background: Flat, intensity.
        residual: Reduced chi squared.
        surface: Of grains too large to be seen otherwise, 1/angstrom^4 times intensity; 0 where it
            was not fitted.
    """

    radius: Value
    width: Value
    volume_fraction: Value
    background: Value
    residual: float
    surface: Value = field(default_factory=lambda: Value(0.0, 0.0))


@dataclass(frozen=True)
class StructurePeak:
    """The peak of an ordered structure.

    Attributes:
        q: 1/angstrom.
        spacing: 2 pi / q, angstrom.
        width: Standard deviation of the peak, 1/angstrom.
        area: Intensity / angstrom.
        residual: Reduced chi squared.
    """

    q: Value
    spacing: Value
    width: Value
    area: Value
    residual: float


def rough_radius(pattern: SaxsPattern) -> float:
    """Radius of gyration of spheres over a surface and a flat background, to begin a fit with.

    Of some sizes, each with amounts that are not negative, that which comes closest.
    """
    others = [pattern.seen((pattern.fine / pattern.q[0]) ** -4.0), np.ones(len(pattern.q))]
    found = []
    for size in np.geomspace(1.5 / pattern.q[-1], 2.0 / pattern.q[0], _SIZES):
        drawn = pattern.seen(spheres(pattern.fine, radius=float(size), width=_ROUGH_WIDTH))
        columns = np.column_stack([drawn, *others]) / pattern.error[:, None]
        amounts, left = nnls(columns, pattern.intensity / pattern.error)
        if amounts[0] > 0:
            found.append((float(left), float(size)))
    if not found:
        raise ReductionError("no spheres are seen beside a surface and a background")
    return min(found)[1] * float(np.sqrt(3 / 5)) * float(np.exp(7 * _ROUGH_WIDTH**2))


def sphere_fit(
    pattern: SaxsPattern, *, radius: float, background: float, surface: bool = False
) -> SphereFit:
    """Spheres with a log-normal distribution of sizes, over a flat background.

    Args:
        pattern: See `SaxsPattern`.
        radius: Of gyration, to begin with, angstrom.
        background: To begin with.
        surface: Whether grains too large to be seen lie beside them, whose surface falls with q^-4.

    Raises:
        ReductionError: If it does not settle.
    """
    scale = float(pattern.intensity.max())
    # Steep grains: 1 at the first bin.
    fall = (pattern.fine / pattern.q[0]) ** -4.0

    def model(parameters: FloatArray) -> FloatArray:
        size, width = np.exp(np.clip(parameters[1], -10, 15)), np.exp(np.clip(parameters[2], -9, 0))
        drawn = spheres(pattern.fine, radius=float(size), width=float(width))
        steep = parameters[4] * fall if surface else 0.0
        return np.asarray(scale * (np.exp(parameters[0]) * drawn + parameters[3] + steep))

    everywhere = np.ones(len(pattern.q), dtype=bool)
    best: CurveFit | None = None
    for width in (0.1, 0.25):
        size = np.log(radius * np.sqrt(5 / 3)) - 7 * width**2
        begin = [0.0, size, np.log(width), background / scale, *([0.0] if surface else [])]
        fit = pattern.fit(model, np.array(begin), everywhere)
        best = fit if best is None or fit.chi_squared < best.chi_squared else best
    if best is None:
        raise ReductionError("no distribution of spheres fits")
    steep = scale * float(pattern.q[0]) ** 4
    forward, size, width = np.exp(best.parameters[:3])
    errors = best.errors
    volume = scale * forward / forward_volume(radius=float(size), width=float(width))
    # ln(volume) = ln(forward) - 3 ln(radius) - 13.5 width^2.
    gradient = np.array([1.0, -3.0, -27.0 * width**2, *np.zeros(len(best.parameters) - 3)])
    return SphereFit(
        radius=Value(float(size), float(size * errors[1])),
        width=Value(float(width), float(width * errors[2])),
        volume_fraction=Value(float(volume), float(volume * np.sqrt(best.variance_of(gradient)))),
        background=Value(float(scale * best.parameters[3]), float(scale * errors[3])),
        residual=best.chi_squared / best.degrees_of_freedom,
        surface=Value(float(steep * best.parameters[4]), float(steep * errors[4]))
        if surface
        else Value(0.0, 0.0),
    )


def structure_peak(pattern: SaxsPattern, peak_range: tuple[float, float]) -> StructurePeak:
    """A peak over what falls with q^-4 and a flat background.

    Args:
        pattern: See `SaxsPattern`.
        peak_range: 1/angstrom, with some of what lies on either side of the peak.

    Raises:
        ReductionError: If there is no peak in the range.
    """
    used = (pattern.q >= peak_range[0]) & (pattern.q <= peak_range[1])
    at = pattern.q[used]
    if len(at) < LEAST_BINS:
        raise ReductionError(
            f"{len(at)} bins between {peak_range[0]:g} and {peak_range[1]:g} 1/A, a peak needs "
            f"{LEAST_BINS}; the pattern goes from {pattern.q[0]:.4g} to {pattern.q[-1]:.4g}"
        )
    middle = float(at.mean())
    fall, flat = (pattern.fine / middle) ** -4.0, np.ones(len(pattern.fine))

    def model(parameters: FloatArray) -> FloatArray:
        away = (pattern.fine - parameters[0]) / np.exp(parameters[1])
        line = np.exp(-np.minimum(away**2 / 2, 700))
        return np.asarray(parameters[2] * line + parameters[3] * fall + parameters[4] * flat)

    best: CurveFit | None = None
    span = float(np.ptp(at))
    for part in (0.3, 0.5, 0.7):
        top = peak_range[0] + part * (peak_range[1] - peak_range[0])
        columns = [np.exp(-(((pattern.q - top) / (span / 8)) ** 2) / 2)[used]]
        columns += [pattern.seen(fall)[used], np.ones(len(at))]
        rough = np.linalg.lstsq(np.column_stack(columns), pattern.intensity[used])[0]
        try:
            fit = pattern.fit(model, np.array([top, np.log(span / 8), *rough]), used)
        except ReductionError:
            continue
        best = fit if best is None or fit.chi_squared < best.chi_squared else best
    if best is None or best.parameters[2] < 5 * best.errors[2]:
        raise ReductionError(f"no peak between {peak_range[0]:g} and {peak_range[1]:g} 1/A")
    q, width, height = (
        float(best.parameters[0]),
        float(np.exp(best.parameters[1])),
        best.parameters[2],
    )
    if not peak_range[0] < q < peak_range[1]:
        raise ReductionError(f"no peak between {peak_range[0]:g} and {peak_range[1]:g} 1/A")
    area = float(np.sqrt(2 * np.pi) * width * height)
    relative = best.variance_of(np.array([0, 1, 1 / height, 0, 0]))
    return StructurePeak(
        q=Value(q, float(best.errors[0])),
        spacing=Value(2 * np.pi / q, float(2 * np.pi / q**2 * best.errors[0])),
        width=Value(width, float(width * best.errors[1])),
        area=Value(area, float(area * np.sqrt(relative))),
        residual=best.chi_squared / max(best.degrees_of_freedom, 1),
    )


def volume_change(spacing: Value, first: Value) -> Value:
    """Relative change of volume of a structure whose spacing changed alike in all directions.

    >>> volume_change(Value(101.0, 0.0), Value(100.0, 0.0)).value.__round__(4)
    0.0303
    """
    ratio = spacing.value / first.value
    relative = np.hypot(spacing.error / spacing.value, first.error / first.value)
    return Value(ratio**3 - 1, float(3 * ratio**3 * relative))
