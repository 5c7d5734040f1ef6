"""This file is where a channel that is sampled at its own rate is read at the moments of others."""

from typing import Literal

import numpy as np

from battbeam.units import AnyArray, FloatArray


def joined(
    times: FloatArray,
    channel_times: FloatArray,
    values: AnyArray,
    *,
    period: float,
    method: Literal["linear", "nearest"] = "linear",
) -> FloatArray:
    """What a channel showed at other moments; NaN where it has a gap.

    ``nearest`` takes the sample that is nearest, if it is not farther than one period. ``linear``
    draws a line between two samples that are at most two periods apart, so one may be missing, and
    says nothing before the first and after the last.

    Args:
        times: Of the moments, s since the Unix epoch on the session's clock, shape (n,).
        channel_times: Of the samples, same clock, any order, shape (m,).
        values: Of the samples, shape (m,), or (m, k) for k columns; NaN: no sample.
        period: Between samples, s, greater than 0.
        method: See above.

    Returns:
        Shape (n,) or (n, k).

    Raises:
        ValueError: If the period is not positive, or times and values do not fit.

    >>> joined(np.array([1.0, 3.5]), np.array([0.0, 2.0, 8.0]), np.array([5.0, 7.0, 9.0]), period=2)
    array([ 6., nan])
    """
    if not period > 0:
        raise ValueError(f"period must be greater than 0 s, got {period}")
    found = np.asarray(values, dtype=float)
    stamps = np.asarray(channel_times, dtype=float)
    if found.shape[:1] != stamps.shape:
        raise ValueError(f"{len(stamps)} times and values of shape {found.shape} do not fit")
    if found.ndim == 1:
        return _column(np.asarray(times, dtype=float), stamps, found, period, method)
    columns = [
        _column(np.asarray(times, dtype=float), stamps, one, period, method) for one in found.T
    ]
    return np.column_stack(columns)


def _column(
    times: FloatArray, stamps: FloatArray, values: FloatArray, period: float, method: str
) -> FloatArray:
    seen = np.isfinite(values) & np.isfinite(stamps)
    order = np.argsort(stamps[seen], kind="stable")
    stamps, values = stamps[seen][order], values[seen][order]
    if not len(stamps):
        return np.full(times.shape, np.nan)
    after = np.clip(np.searchsorted(stamps, times), 0, len(stamps) - 1)
    before = np.where(stamps[after] == times, after, np.maximum(after - 1, 0))
    if method == "nearest":
        nearer = np.where(
            np.abs(times - stamps[before]) <= np.abs(stamps[after] - times), before, after
        )
        return np.where(np.abs(times - stamps[nearer]) <= period, values[nearer], np.nan)
    gap = stamps[after] - stamps[before]
    share = np.where(gap > 0, (times - stamps[before]) / np.where(gap > 0, gap, 1.0), 0.0)
    line = (1 - share) * values[before] + share * values[after]
    inside = (stamps[before] <= times) & (times <= stamps[after])
    return np.where(inside & (gap <= 2 * period), line, np.nan)


def gaps(times: FloatArray, *, period: float) -> list[tuple[float, float]]:
    """Where a channel has a gap: more than two periods without a sample.

    Args:
        times: Of the samples, s, any order, shape (n,).
        period: Between samples, s, greater than 0.

    Returns:
        From and to, of each.

    >>> gaps(np.array([0.0, 2.0, 4.0, 30.0, 32.0]), period=2.0)
    [(4.0, 30.0)]
    """
    stamps = np.sort(np.asarray(times, dtype=float))
    after = np.flatnonzero(np.diff(stamps) > 2 * period)
    return [(float(stamps[k]), float(stamps[k + 1])) for k in after]
