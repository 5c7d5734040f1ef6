"""This file is where sizes, surfaces and spacings are taken from a small-angle pattern.

Every model is drawn on a fine axis of q and put through the pixels' areas before it is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.optimize import nnls

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import CurveFit, fit_curve
from battbeam.reduction.saxs_model import forward_volume, spheres
from battbeam.units import AnyArray, FloatArray

# Fewest bins of a fit.
_LEAST_BINS = 8
# Where Porod's range begins when it is asked how far its beginning matters.
_LATER = (1.15, 1.3)
# Sizes that a fit of spheres over a surface is begun from, and their width.
_SIZES, _ROUGH_WIDTH = 25, 0.15
# Rounds in which the Guinier range follows the radius.
_ROUNDS = 6


@dataclass(frozen=True)
class SaxsPattern:
    """Intensity of one frame against q, and how a model would be seen by the same pixels.

    Attributes:
        q: 1/angstrom, shape (n_bins,).
        intensity: See the module, shape (n_bins,).
        error: One standard deviation, shape (n_bins,).
        fine: q that models are drawn at, 1/angstrom, shape (n_fine,).
        smearing: From those to the bins, shape (n_bins, n_fine).
    """

    q: FloatArray = field(repr=False)
    intensity: FloatArray = field(repr=False)
    error: FloatArray = field(repr=False)
    fine: FloatArray = field(repr=False)
    smearing: sp.csr_matrix = field(repr=False)

    def seen(self, model: FloatArray) -> FloatArray:
        """A model drawn at ``fine`` as the bins see it, shape (n_bins,)."""
        return np.asarray(self.smearing @ model)

    def fit(
        self, model: Callable[[FloatArray], FloatArray], start: FloatArray, used: AnyArray
    ) -> CurveFit:
        """Parameters of a model drawn at ``fine``, from some of the bins.

        Raises:
            ReductionError: If there are too few bins, or the fit does not settle.
        """
        if np.count_nonzero(used) < max(_LEAST_BINS, len(start) + 1):
            raise ReductionError(f"{np.count_nonzero(used)} bins are too few for a fit")
        part = self.smearing[np.flatnonzero(used)]
        return fit_curve(
            lambda parameters: np.asarray(part @ model(parameters)),
            start,
            self.intensity[used],
            self.error[used],
        )


@dataclass(frozen=True)
class Value:
    """A number and its error, one standard deviation; NaN where it is not known."""

    value: float = float("nan")
    error: float = float("nan")


#: What was not asked for, or not found.
UNKNOWN = Value()


@dataclass(frozen=True)
class Guinier:
    """The slope at q = 0.

    Attributes:
        radius: Of gyration, angstrom.
        forward: Intensity at q = 0.
        upper_q: To which it was fitted, 1/angstrom.
    """

    radius: Value
    forward: Value
    upper_q: float


@dataclass(frozen=True)
class Porod:
    """The fall at large q: constant / q^4 + background.

    Attributes:
        constant: 1/angstrom^4 times intensity.
        background: Intensity.
        lower_q: From which it was fitted, 1/angstrom.
        weights: Both as sums over the intensities of the bins, shape (2, n_bins).
        later: The same of ranges that begin later.
    """

    constant: Value
    background: Value
    lower_q: float
    weights: FloatArray = field(repr=False)
    later: tuple[FloatArray, ...] = field(repr=False)


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


def guinier(
    pattern: SaxsPattern, *, limit: float = 1.5, background: Value | None = None
) -> Guinier:
    """Radius of gyration: ln I = ln I0 - q^2 Rg^2 / 3 + term q^4, up to q Rg = limit.

    The term in q^4 is fitted along: without it, spheres come out 2 % small.

    Args:
        pattern: See `SaxsPattern`.
        limit: Largest q Rg.
        background: Flat, taken off; its error is added.

    Raises:
        ReductionError: If the pattern does not fall at small q, or shows too little of it.
    """
    flat = background or Value(0.0, 0.0)
    fit, upper = _guinier(pattern, limit, flat.value)
    radius = float(np.sqrt(fit.parameters[1]))
    forward = float(np.exp(fit.parameters[0]))
    error = float(fit.errors[1] / (2 * radius))
    if flat.error > 0:
        used = pattern.q <= upper
        moved = pattern.fit(_guinier_model(pattern, flat.value + flat.error), fit.parameters, used)
        error = float(np.hypot(error, np.sqrt(max(moved.parameters[1], 0.0)) - radius))
    return Guinier(Value(radius, error), Value(forward, float(forward * fit.errors[0])), upper)


def _guinier_model(pattern: SaxsPattern, flat: float) -> Callable[[FloatArray], FloatArray]:
    square = pattern.fine**2
    reach = square <= pattern.q[-1] ** 2

    def model(parameters: FloatArray) -> FloatArray:
        logarithm = parameters[0] - parameters[1] * square / 3 + parameters[2] * square**2
        return np.asarray(flat + np.exp(np.clip(np.where(reach, logarithm, -700), -700, 700)))

    return model


def _guinier(pattern: SaxsPattern, limit: float, flat: float) -> tuple[CurveFit, float]:
    signal = np.maximum(pattern.intensity - flat, 1e-12 * pattern.intensity.max())
    # Begins with the radius that the fall to 1 / e shows, and ends where the range no longer moves.
    fallen = np.flatnonzero(signal < signal[:3].mean() * np.exp(-1 / 3))
    if not len(fallen):
        raise ReductionError("the intensity does not fall at small angles: no Guinier range")
    radius = 1.0 / max(pattern.q[fallen[0]], 1e-9)
    start = np.array([float(np.log(signal[:3].mean())), radius**2, 0.0])
    for _ in range(_ROUNDS):
        upper = max(limit / radius, float(pattern.q[min(_LEAST_BINS, len(pattern.q)) - 1]))
        fit = pattern.fit(_guinier_model(pattern, flat), start, pattern.q <= upper)
        if not fit.parameters[1] > 0:
            raise ReductionError("the intensity does not fall at small angles: no Guinier range")
        found = float(np.sqrt(fit.parameters[1]))
        if abs(found / radius - 1) < 0.01:
            break
        # Half of the way in the logarithm: the range follows the radius without swinging.
        radius, start = float(np.sqrt(found * radius)), fit.parameters
    if pattern.q[0] * found > 1:
        raise ReductionError(
            f"Guinier range not seen: the first bin is at q Rg = {pattern.q[0] * found:.1f}"
        )
    return fit, upper


def porod(pattern: SaxsPattern, lower_q: float) -> Porod:
    """Porod's constant and a flat background.

    Particles of one shape and few sizes still oscillate about the law where it is fitted, and a sphere
    has (q R)^-2 of it besides. How far that goes is asked of a range that begins later: what differs
    by more than noise is added to the errors.

    Source:
        Porod, Kolloid-Z. 124 (1951) 83.

    Raises:
        ReductionError: If there are too few bins.
    """
    here = _porod_weights(pattern, lower_q)
    later = tuple(_porod_weights(pattern, part * lower_q) for part in _LATER)
    values = here @ pattern.intensity
    errors = _with_range(here, later, pattern)
    return Porod(
        Value(float(values[0]), float(errors[0])),
        Value(float(values[1]), float(errors[1])),
        lower_q,
        here,
        later,
    )


def _with_range(
    here: FloatArray, later: tuple[FloatArray, ...], pattern: SaxsPattern
) -> FloatArray:
    """Errors of sums over the intensities, with what other ranges change beyond noise, shape (k,)."""
    beyond = np.zeros(len(here))
    for other in later:
        apart = (other - here) @ pattern.intensity
        noise = (other - here) ** 2 @ pattern.error**2
        beyond = np.maximum(beyond, apart**2 - noise)
    return np.asarray(np.sqrt(here**2 @ pattern.error**2 + beyond), dtype=float)


def _porod_weights(pattern: SaxsPattern, lower_q: float) -> FloatArray:
    """Constant and background as sums over the intensities, shape (2, n_bins)."""
    used = pattern.q >= lower_q
    if np.count_nonzero(used) < _LEAST_BINS:
        raise ReductionError(f"{np.count_nonzero(used)} bins beyond {lower_q:.3g} 1/A for Porod")
    basis = np.column_stack([pattern.seen(pattern.fine**-4.0), np.ones(len(pattern.q))])
    scaled = np.where(used, 1 / pattern.error, 0.0)[:, None] * basis
    covariance = np.linalg.inv(scaled.T @ scaled)
    return np.asarray(covariance @ (scaled * np.where(used, 1 / pattern.error, 0.0)[:, None]).T)


def invariant(pattern: SaxsPattern, low: Guinier, high: Porod) -> Value:
    """Integral of q^2 times intensity: Guinier's below the first bin, Porod's beyond the last.

    It depends on how much scatters and how strongly, not on its shape: 2 pi^2 f (1 - f) times the
    contrast's square.
    """
    q, last = pattern.q, float(pattern.q[-1])
    steps = np.gradient(q)
    weights = steps * q**2
    # The first and last bin have their outer halves as well.
    edges = (float(q[0] - steps[0] / 2), float(last + steps[-1] / 2))
    fine = np.linspace(0.0, edges[0], 200)
    beside = np.exp(-((fine * low.radius.value) ** 2) / 3) * fine**2
    below = float(np.trapezoid(beside, fine))
    flat = (edges[1] ** 3 - edges[0] ** 3) / 3
    here, *later = (
        (weights + each[0] / edges[1] - each[1] * flat)[None]
        for each in (high.weights, *high.later)
    )
    value = float(here[0] @ pattern.intensity) + below * low.forward.value
    error = float(_with_range(here, tuple(later), pattern)[0])
    return Value(value, float(np.hypot(error, below * low.forward.error)))


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
    if len(at) < _LEAST_BINS:
        raise ReductionError(f"{len(at)} bins between {peak_range[0]:g} and {peak_range[1]:g} 1/A")
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
