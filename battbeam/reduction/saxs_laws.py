"""This file is where a small-angle pattern is, and what the laws of its ends say of it.

Every model is drawn on a fine axis of q and put through the pixels' areas before it is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import CurveFit, fit_curve
from battbeam.units import AnyArray, FloatArray

#: Fewest bins of a fit.
LEAST_BINS = 8
# Where Porod's range begins when it is asked how far its beginning matters.
_LATER = (1.15, 1.3)
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
        if np.count_nonzero(used) < max(LEAST_BINS, len(start) + 1):
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
        upper = max(limit / radius, float(pattern.q[min(LEAST_BINS, len(pattern.q)) - 1]))
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
    if np.count_nonzero(used) < LEAST_BINS:
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
