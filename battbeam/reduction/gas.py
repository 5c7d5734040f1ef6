"""This file is where what a mass spectrometer saw is put back to when it left the sample.

Gas needs a time through the capillary (its lag), and mixes in the volume before the spectrometer: the
signal follows what enters with one time constant. Both are told by a pulse of argon of known start
and duration. A first-order response is undone by x(t - lag) = y(t) + mixing dy/dt.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import fit_curve
from battbeam.reduction.local_fit import smoothing_matrix
from battbeam.units import FloatArray

# Lags and mixing times that a fit begins with, in parts of the pulse's record.
_N_LAGS, _MIXING = 60, (0.1, 0.3, 0.7, 1.5)
# The pulse must stand out of the noise by this.
_LEAST_PULSE = 10.0
# Samples whose neighbours are looked at together: bounds memory.
_CHUNK = 256
# A peak's top is a parabola above this share of its height: of a logistic transition of 10 K what that
# leaves is 0.03 K.
_TOP = 0.8
# Fewest samples on a top.
_LEAST_TOP = 6
# Reach of `smoothing_matrix`, in widths.
_REACH = 5.0


@dataclass(frozen=True)
class Capillary:
    """How late, and how blurred, gas is seen.

    Attributes:
        lag: Through the capillary, s.
        lag_error: One standard deviation, s.
        mixing: Time constant of the volume before the spectrometer, s.
        mixing_error: s.
        delay: Lag and mixing together: by which the middle of a slow rise is late, s.
        delay_error: Less than those of its parts: what one gains the other loses.
        residual: Reduced chi squared of the pulse; NaN where its noise was not known.
    """

    lag: float
    lag_error: float
    mixing: float
    mixing_error: float
    delay: float
    delay_error: float
    residual: float = float("nan")


@dataclass(frozen=True)
class GasSignal:
    """What left the sample.

    Attributes:
        time: When it left, s since the Unix epoch, shape (n,).
        signal: Unit of the spectrometer's, shape (n,).
        error: One standard deviation, shape (n,). Those of neighbours are not independent.
    """

    time: FloatArray = field(repr=False)
    signal: FloatArray = field(repr=False)
    error: FloatArray = field(repr=False)


@dataclass(frozen=True)
class GasPeak:
    """Where gas leaves the sample fastest.

    Attributes:
        temperature: degC.
        temperature_error: One standard deviation, that of the lag included, degC.
        time: s since the Unix epoch.
        time_error: s.
    """

    temperature: float
    temperature_error: float
    time: float
    time_error: float


def capillary(
    time: FloatArray,
    signal: FloatArray,
    *,
    pulse_time: float,
    duration: float,
    error: FloatArray | float | None = None,
) -> Capillary:
    """Lag and mixing from a pulse of a gas that was not there before.

    A pulse without length has a height that is not known, and a start that hides between two samples:
    make it some mixing times long.

    Args:
        time: Of the samples, s, ascending, shape (n,); from before the pulse until it has gone.
        signal: Of argon, any unit, shape (n,).
        pulse_time: When the pulse began at the sample, same clock.
        duration: Of the pulse, s, greater than 0.
        error: Of each sample; None: the same for all, from what the fit leaves.

    Raises:
        ReductionError: If no pulse is seen.
    """
    if not duration > 0:
        raise ValueError(f"duration of the pulse must be greater than 0 s, got {duration}")
    since = np.asarray(time, dtype=float) - pulse_time
    noise = np.asarray(np.median(np.abs(np.diff(signal))) / 0.954 if error is None else error)

    def model(parameters: FloatArray) -> FloatArray:
        lag, mixing, height, base = parameters
        return np.asarray(base + height * _seen(since - lag, np.exp(mixing), duration))

    start = _first_guess(since, signal, duration)
    if start is None or start[2] < _LEAST_PULSE * float(noise.mean()):
        raise ReductionError(
            f"no pulse is seen after {pulse_time:.1f} s: was its valve opened, is the mass right?"
        )
    fit = fit_curve(model, start, signal, error)
    lag, mixing = float(fit.parameters[0]), float(np.exp(fit.parameters[1]))
    errors = fit.errors
    return Capillary(
        lag=lag,
        lag_error=float(errors[0]),
        mixing=mixing,
        mixing_error=float(mixing * errors[1]),
        delay=lag + mixing,
        delay_error=float(np.sqrt(fit.variance_of(np.array([1.0, mixing, 0.0, 0.0])))),
        residual=float("nan") if error is None else fit.chi_squared / fit.degrees_of_freedom,
    )


def corrected(
    time: FloatArray, signal: FloatArray, error: FloatArray, *, capillary: Capillary, width: float
) -> GasSignal:
    """What left the sample, and when: for pictures and for joining with frames.

    Args:
        time: Of the samples, s, ascending, shape (n,).
        signal: Shape (n,).
        error: One standard deviation of each, shape (n,).
        capillary: See `capillary`.
        width: Standard deviation of the weights of a local parabola, s: a few samples; what changes
            faster is blurred.
    """
    found, deviation = np.empty(len(time)), np.empty(len(time))
    for begin in range(0, len(time), _CHUNK):
        at = time[begin : begin + _CHUNK]
        reach = 2 * _REACH * max(width, float(np.diff(time).max(initial=0.0)))
        near = (time > at[0] - reach) & (time < at[-1] + reach)
        rows = smoothing_matrix(time[near], at, width=width)
        rows = rows + capillary.mixing * smoothing_matrix(time[near], at, width=width, derivative=1)
        part = slice(begin, begin + _CHUNK)
        found[part] = rows @ signal[near]
        deviation[part] = np.sqrt(rows**2 @ error[near] ** 2)
    return GasSignal(time - capillary.lag, found, deviation)


def peak_temperature(
    time: FloatArray,
    signal: FloatArray,
    error: FloatArray,
    *,
    capillary: Capillary,
    furnace_time: FloatArray,
    temperature: FloatArray,
    between: tuple[float, float] | None = None,
    width: float,
) -> GasPeak:
    """The temperature at which a gas leaves the sample fastest: the top of a parabola.

    The parabola is fitted to the samples as they are, and put through the response's inverse
    afterwards: of a parabola that is a parabola, and its errors are those of the samples.

    Args:
        time: Of the samples, s, ascending, shape (n,).
        signal: Shape (n,).
        error: One standard deviation of each, shape (n,).
        capillary: See `capillary`.
        furnace_time: When the temperature was read, s, ascending, shape (m,).
        temperature: Of the sample, degC, shape (m,).
        between: Lowest and highest temperature of the peak, degC; None: anywhere.
        width: See `corrected`; it says only which samples belong to the top.

    Raises:
        ReductionError: If there is no peak, or it has too few samples.
    """
    left = corrected(time, signal, error, capillary=capillary, width=width)
    at = np.interp(left.time, furnace_time, temperature, left=np.nan, right=np.nan)
    low, high = (-np.inf, np.inf) if between is None else between
    inside = np.flatnonzero((at >= low) & (at <= high))
    if not len(inside):
        raise ReductionError(f"no sample between {low:g} and {high:g} degC")
    top = _top(left.signal[inside]) + inside[0]
    if len(top) < _LEAST_TOP:
        raise ReductionError(
            f"{len(top)} samples on the top of the peak, {_LEAST_TOP} needed: sample faster"
        )
    if top[0] == inside[0] or top[-1] == inside[-1]:
        raise ReductionError(f"no peak between {at[inside[0]]:.0f} and {at[inside[-1]]:.0f} degC")
    highest, variance = _summit(time[top], signal[top], error[top])
    moment = highest - capillary.delay
    time_error = float(np.sqrt(variance + capillary.delay_error**2))
    reading = np.asarray(temperature, dtype=float)
    rate = float(np.interp(moment, furnace_time, np.gradient(reading, furnace_time)))
    return GasPeak(
        temperature=float(np.interp(moment, furnace_time, temperature)),
        temperature_error=abs(rate) * time_error,
        time=moment,
        time_error=time_error,
    )


def _summit(time: FloatArray, signal: FloatArray, error: FloatArray) -> tuple[float, float]:
    """When the parabola through samples is highest, s, and the variance of that, s2."""
    middle = float(time.mean())
    span = float(np.ptp(time)) / 2
    powers = ((time - middle) / span)[:, None] ** np.arange(3)
    weighted = powers / error[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    _, slope, bend = covariance @ (weighted.T @ (signal / error))
    if bend >= 0:
        raise ReductionError("no peak: the signal has no maximum there")
    gradient = np.array([0.0, -1 / (2 * bend), slope / (2 * bend**2)]) * span
    return middle - slope / (2 * bend) * span, float(gradient @ covariance @ gradient)


def _seen(since: FloatArray, mixing: float, duration: float) -> FloatArray:
    """Response to a pulse of height 1 that began 0 s ago at the spectrometer."""

    def risen(after: FloatArray) -> FloatArray:
        return np.where(after > 0, -np.expm1(-np.maximum(after, 0.0) / mixing), 0.0)

    return np.asarray(risen(since) - risen(since - duration))


def _first_guess(since: FloatArray, signal: FloatArray, duration: float) -> FloatArray | None:
    best, least = None, np.inf
    for lag in np.linspace(0.0, max(float(since[-1]), 0.0), _N_LAGS):
        for part in _MIXING:
            columns = np.column_stack(
                [_seen(since - lag, part * duration, duration), np.ones(len(since))]
            )
            found, left, rank, _ = np.linalg.lstsq(columns, signal)
            if rank == 2 and len(left) and left[0] < least and found[0] > 0:
                best, least = np.array([lag, np.log(part * duration), *found]), float(left[0])
    return best


def _top(signal: FloatArray) -> FloatArray:
    """Indices of the samples about the largest that are above `_TOP` of its height."""
    highest = int(np.argmax(signal))
    level = signal.min() + _TOP * (signal[highest] - signal.min())
    below = np.flatnonzero(signal < level)
    first = below[below < highest].max(initial=-1) + 1
    last = below[below > highest].min(initial=len(signal))
    return np.arange(first, last)
