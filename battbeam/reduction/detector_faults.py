"""This file is where what a detector adds to a frame, or loses of it, is measured and taken out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import fit_curve
from battbeam.units import AnyArray, FloatArray

# Share of its counts that a pixel may lose to its dead time before it is said.
_MOST_LOST = 0.1
# A drift of the dark, or a lag, is there at this many errors.
_SURE = 4.0
_HOUR = 3600.0


@dataclass(frozen=True)
class Lag:
    """What a frame keeps of the one before: ``fraction`` exp(-delay / ``time``) of its counts.

    Attributes:
        fraction: Right after it.
        fraction_error: One standard deviation.
        time: s; infinite where one delay was measured: it is that delay's fraction.
        time_error: One standard deviation, s.
    """

    fraction: float
    fraction_error: float
    time: float
    time_error: float

    def share(self, delay: float) -> float:
        """Of the frame before that is still there after a delay, s."""
        return self.fraction * float(np.exp(-delay / self.time))

    def corrected(self, frame: AnyArray, previous: AnyArray, *, delay: float) -> FloatArray:
        """A frame without what it keeps of the frame before.

        Args:
            frame: Counts, shape (n_rows, n_columns).
            previous: As it was recorded, dark subtracted, same shape.
            delay: Between the two, as in the measurement of the lag, s.
        """
        return np.asarray(frame - self.share(delay) * np.asarray(previous, dtype=float))


@dataclass(frozen=True)
class DarkDrift:
    """By how much pixels that no beam reaches count more than the dark says.

    Attributes:
        rate: Counts a pixel and s.
        rate_error: One standard deviation.
        flags: What to know of it.
    """

    rate: float
    rate_error: float
    flags: tuple[str, ...] = ()

    def corrected(self, dark: FloatArray, *, exposure: float) -> FloatArray:
        """Expected counts without beam, drift included, shape of the dark."""
        return np.asarray(dark + self.rate * exposure)


@dataclass(frozen=True)
class PileUp:
    """A frame whose pixels missed photons while they were busy.

    Attributes:
        counts: As they would be without, shape (n_rows, n_columns).
        largest: Largest share of its counts that a pixel lost.
        n_lossy: Pixels that lost more than a tenth.
        flags: What to know of it.
    """

    counts: FloatArray = field(repr=False)
    largest: float
    n_lossy: int
    flags: tuple[str, ...] = ()


def panel_lag(
    previous: AnyArray,
    after: Sequence[AnyArray],
    *,
    delays: Sequence[float],
    dark: FloatArray,
    mask: AnyArray | None = None,
) -> Lag:
    """Lag, from frames with the shutter closed after a bright one.

    The sum over all pixels is compared, so that noise of the bright frame draws nothing.

    Args:
        previous: The bright frame, counts, shape (n_rows, n_columns).
        after: One or more frames, all of one exposure, each with its own bright frame before it or
            all after the same one.
        delays: Of each, s.
        dark: Expected counts without beam and without lag in one of them, same shape.
        mask: True where a pixel is not used.

    Raises:
        ReductionError: If delays and frames do not fit, or the bright frame is not bright.
    """
    if len(after) != len(delays) or not len(after):
        raise ReductionError(f"{len(after)} frames and {len(delays)} delays do not fit")
    used = np.ones(previous.shape, bool) if mask is None else ~np.asarray(mask, bool)
    light = float((np.asarray(previous, dtype=float) - dark)[used].sum())
    if light <= 0:
        raise ReductionError("the bright frame has no counts above its dark")
    kept = np.array([float((frame - dark)[used].sum()) for frame in after]) / light
    counted = np.array([float(np.asarray(frame)[used].sum()) for frame in after])
    error = np.sqrt(np.maximum(counted, 1.0)) / light
    error = np.hypot(error, kept / np.sqrt(light))
    if len(after) == 1:
        return Lag(float(kept[0]), float(error[0]), float("inf"), float("nan"))
    at = np.asarray(delays, dtype=float)

    def model(parameters: FloatArray) -> FloatArray:
        return np.asarray(parameters[0] * np.exp(-at * np.exp(parameters[1])))

    start = np.array([float(kept[0]), -np.log(max(float(np.ptp(at)), 1e-3))])
    fit = fit_curve(model, start, kept, error)
    time = float(np.exp(-fit.parameters[1]))
    return Lag(float(fit.parameters[0]), float(fit.errors[0]), time, float(time * fit.errors[1]))


def lag_flags(lag: Lag, *, counts: float, previous_counts: float, delay: float) -> tuple[str, ...]:
    """What to say of a frame that follows another, when its lag was not taken out.

    Args:
        lag: See `panel_lag`.
        counts: Of the frame, dark subtracted.
        previous_counts: Of the one before.
        delay: Between them, s.
    """
    share = lag.share(delay) * previous_counts / max(counts, 1.0)
    if share * np.sqrt(max(counts, 0.0)) < 1.0:
        return ()
    return (f"lag: {100 * share:.1f} % of the counts are the frame's before",)


def dark_drift(
    frame: AnyArray, dark: FloatArray, *, shadow: AnyArray, exposure: float
) -> DarkDrift:
    """Drift of the dark, from pixels in a shadow, such as that of the beam stop.

    Args:
        frame: Counts, shape (n_rows, n_columns).
        dark: Expected counts without beam in this exposure, same shape.
        shadow: True where no beam arrives, same shape.
        exposure: s.

    Raises:
        ReductionError: If no pixel lies in the shadow.
    """
    n = int(np.count_nonzero(shadow))
    if not n:
        raise ReductionError("no pixel lies in the shadow")
    seen = float(np.asarray(frame)[shadow].sum())
    rate = (seen - float(dark[shadow].sum())) / n / exposure
    # Chance is that of the dark: rare counts that happen not to come would else have no error.
    error = float(np.sqrt(max(seen, float(dark[shadow].sum()), 1.0)) / n / exposure)
    flags: tuple[str, ...] = ()
    if abs(rate) > _SURE * error:
        flags = (f"dark has drifted by {rate:.2g} counts a pixel and s: take darks again",)
    return DarkDrift(rate, error, flags)


def dark_flags(age: float, *, limit: float = _HOUR) -> tuple[str, ...]:
    """What to say of a dark that was taken some seconds before.

    >>> dark_flags(18720.0)
    ('dark is 5.2 h old',)
    """
    return (f"dark is {age / _HOUR:.1f} h old",) if age > limit else ()


def without_pile_up(frame: AnyArray, *, exposure: float, dead_time: float) -> PileUp:
    """Counts that pixels of a known dead time would have without it.

    A pixel is busy for the dead time after each photon that it counts: m = n / (1 + n t).

    Args:
        frame: Counts, shape (n_rows, n_columns).
        exposure: s.
        dead_time: s.

    Raises:
        ReductionError: If a pixel has more counts than its dead time allows.

    Source:
        Knoll, Radiation Detection and Measurement (2010), section 4.VII: not paralyzable.
    """
    counts = np.asarray(frame, dtype=float)
    busy = counts * dead_time / exposure
    largest = float(busy.max(initial=0.0))
    if largest >= 1:
        raise ReductionError(
            f"a pixel has {counts.max():.0f} counts in {exposure:g} s: its dead time of "
            f"{dead_time:g} s cannot be"
        )
    n_lossy = int(np.count_nonzero(busy > _MOST_LOST))
    flags: tuple[str, ...] = ()
    if n_lossy:
        flags = (f"{n_lossy} pixels lost up to {100 * largest:.0f} % to pile-up",)
    return PileUp(counts / (1 - busy), largest, n_lossy, flags)
