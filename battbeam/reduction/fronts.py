"""This file is where a front that moves through radiographs is followed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# Part of its way that a front's speed is fitted over: where it begins and where it leaves the field
# it is not whole.
_FROM, _TO = 0.08, 0.92
# Share of the strongest line from which on lines belong to what has grown.
_BAND = 0.5
# Standard deviations of the background that what has grown must stand out by.
_LEAST_SIGNAL = 5.0
# Pixels over which profiles are smoothed before their edges are looked for.
_SMOOTH = 3


@dataclass(frozen=True)
class Front:
    """One edge of what grows.

    Attributes:
        position: mm from the outer edge of the first column (or row), shape (n,); NaN where there is
            nothing, or where it has left the field.
        speed: mm/s, > 0 towards larger columns (or rows), fitted over its way through the field; 0
            if it stands, NaN if it is seen too rarely.
        speed_error: Standard deviation of it, mm/s.
    """

    position: FloatArray
    speed: float
    speed_error: float


@dataclass(frozen=True)
class Fronts:
    """What grows in a series of radiographs.

    Attributes:
        lateral: The faster of its two edges along the columns.
        vertical: The faster of its two edges along the rows.
        anisotropy: Lateral over vertical speed, without sign; infinite if it grows laterally alone.
        fill_time: When the lateral front reaches the end of the field, s; NaN if it does not within
            the series.
        change: Of the absorbance where it has grown, shape (n,).
    """

    lateral: Front
    vertical: Front
    anisotropy: float
    fill_time: float
    change: FloatArray


@dataclass(frozen=True)
class Edges:
    """Where what is new in one radiograph begins and ends.

    Attributes:
        columns: First and last edge, pixels from the outer edge of the first column, shape (2,); NaN
            where nothing stands out, infinite where it reaches the end of the field.
        rows: Likewise.
        change: Of the absorbance there; 0 where nothing stands out.
    """

    columns: FloatArray
    rows: FloatArray
    change: float


def edges_of(change: AnyArray) -> Edges:
    """The edges of what is new in one radiograph.

    Each lies where the change falls to half of what it is behind the edge, between pixels.

    Args:
        change: Of the absorbance since before anything grew, shape (n_rows, n_columns).
    """
    new = np.asarray(change, dtype=float)
    seen = np.ones(new.shape[1], dtype=bool)
    nothing = Edges(np.full(2, np.nan), np.full(2, np.nan), 0.0)
    # First all columns say in which rows it has grown, then those in which it has.
    for _ in range(2):
        grown = _band(new[:, seen].mean(axis=1))
        if not grown.any():
            return nothing
        across = new[grown].mean(axis=0)
        sign = float(np.sign(across[seen].sum())) or 1.0
        columns, height = _edges(sign * across[None])
        seen = _covered(columns, new.shape[1])[0]
        if not seen.any():
            return nothing
    rows, _ = _edges(sign * new[:, seen].mean(axis=1)[None])
    return Edges(columns[0], rows[0], sign * float(height[0]))


def follow_fronts(
    absorbance: AnyArray, time: FloatArray, *, pixel_size: float, n_before: int = 1
) -> Fronts:
    """Positions and speeds of the edges of what is new since the first radiographs.

    Each edge lies where the change falls to half of what it is behind the edge, between pixels. That
    may be a gain or a loss, and may itself change with time: lithium that gets denser still ends
    where it ends.

    Args:
        absorbance: Shape (n, n_rows, n_columns).
        time: s, shape (n,), ascending.
        pixel_size: At the sample, mm.
        n_before: Radiographs at the beginning that show the field before anything grew.

    Raises:
        ReductionError: If there are fewer than three radiographs after those, or nothing grows.
    """
    n = len(absorbance)
    if n - n_before < 3:
        raise ReductionError(
            f"a front is followed in 3 radiographs or more after {n_before}, got {n - n_before}"
        )
    new = np.asarray(absorbance, dtype=float) - absorbance[:n_before].mean(axis=0, dtype=float)
    last = new[-max(3, n // 10) :].mean(axis=0)
    rows = _band(last.mean(axis=1))
    across = new[:, rows].mean(axis=1)
    sign = float(np.sign(across[-1].sum())) or 1.0
    columns, change = _edges(sign * across)
    if not change.any():
        raise ReductionError(
            f"nothing grows in {n} radiographs: no change stands out from the noise"
        )
    covered = _covered(columns, across.shape[1])
    along = np.stack(
        [
            frame[:, where].mean(axis=1) if where.any() else np.zeros(frame.shape[0])
            for frame, where in zip(sign * new, covered, strict=True)
        ]
    )
    levels, _ = _edges(along)
    edges = [Edges(*each) for each in zip(columns, levels, sign * change, strict=True)]
    return fronts_of(edges, time, pixel_size=pixel_size, n_columns=across.shape[1])


def fronts_of(
    edges: Sequence[Edges], time: FloatArray, *, pixel_size: float, n_columns: int
) -> Fronts:
    """Speeds of the edges of a series.

    Args:
        edges: Of each radiograph, of `edges_of`.
        time: Of each, s, shape (n,), ascending.
        pixel_size: At the sample, mm.
        n_columns: Of the field.
    """
    columns, rows = (
        np.array([getattr(each, name) for each in edges], dtype=float).reshape(-1, 2)
        for name in ("columns", "rows")
    )
    lateral, vertical = (_fastest(each, time, pixel_size) for each in (columns, rows))
    slow = abs(vertical.speed)
    anisotropy = abs(lateral.speed) / slow if slow > 0 else np.inf
    fill = _fill_time(lateral, columns, time, n_columns * pixel_size)
    return Fronts(lateral, vertical, anisotropy, fill, np.array([each.change for each in edges]))


def _band(profile: FloatArray) -> AnyArray:
    """Where a profile stands out."""
    smooth = uniform_filter1d(profile, _SMOOTH)
    away = np.abs(smooth - np.median(smooth)) if np.ptp(smooth) > 0 else np.abs(smooth)
    height = np.abs(smooth)
    strongest = height if height.max() > away.max() else away
    return np.asarray(strongest > _BAND * strongest.max())


def _edges(profiles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and last edge of what stands out, pixels from the outer edge of the first, and its height.

    Shape (n, 2), NaN where nothing stands out; -inf and inf where it reaches the end; shape (n,).
    """
    smooth = uniform_filter1d(profiles, _SMOOTH, axis=1, mode="nearest")
    noise = np.median(np.abs(np.diff(profiles, axis=1))) / 0.954 / np.sqrt(_SMOOTH)
    edges, heights = np.full((len(profiles), 2), np.nan), np.zeros(len(profiles))
    for index, profile in enumerate(smooth):
        # Where most pixels are full or blind there is no noise to tell by.
        if profile.max() <= _LEAST_SIGNAL * noise:
            continue
        height = float(profile.max())
        for _ in range(3):
            height = float(np.mean(profile[profile > height / 2]))
        above = np.flatnonzero(profile > height / 2)
        heights[index] = height
        edges[index] = [
            _between(profile, int(above[0]), -1, height / 2),
            _between(profile, int(above[-1]), 1, height / 2),
        ]
    return edges, heights


def _between(profile: FloatArray, inside: int, step: int, level: float) -> float:
    outside = inside + step
    if not 0 <= outside < len(profile):
        return step * np.inf
    part = (profile[inside] - level) / (profile[inside] - profile[outside])
    return float(inside + 0.5 + step * part)


def _covered(edges: FloatArray, n: int) -> AnyArray:
    """Which columns lie between the edges, a little away from them, shape (n_frames, n)."""
    middle = np.arange(n) + 0.5
    first, last = edges[:, :1] + _SMOOTH, edges[:, 1:] - _SMOOTH
    return np.asarray((middle > first) & (middle < last))


def _fastest(edges: FloatArray, time: FloatArray, pixel_size: float) -> Front:
    fronts = [_fitted(each * pixel_size, time) for each in edges.T]
    known = [front for front in fronts if np.isfinite(front.speed)]
    return max(known, key=lambda front: abs(front.speed)) if known else fronts[-1]


def _fitted(position: FloatArray, time: FloatArray) -> Front:
    seen = np.isfinite(position)
    shown = np.where(seen, position, np.nan)
    if np.count_nonzero(seen) < 3:
        return Front(shown, np.nan, np.inf)
    low, high = np.nanmin(shown), np.nanmax(shown)
    part = (shown - low) / max(high - low, 1e-12)
    used = seen & (part >= _FROM) & (part <= _TO)
    if np.count_nonzero(used) < 3:
        used = seen
    when = time[used] - time[used].mean()
    spread = float(when @ when)
    speed = float(when @ shown[used]) / spread
    rest = shown[used] - shown[used].mean() - speed * when
    error = float(np.sqrt(rest @ rest / max(np.count_nonzero(used) - 2, 1) / spread))
    return Front(shown, speed, error)


def _fill_time(front: Front, edges: FloatArray, time: FloatArray, width: float) -> float:
    """When the line through the front's way meets the end of the field."""
    is_out = np.isinf(edges).all(axis=1)
    seen = np.isfinite(front.position)
    if not (is_out.any() and seen.any() and np.isfinite(front.speed) and front.speed != 0):
        return float("nan")
    end = width if front.speed > 0 else 0.0
    when, where = time[seen], front.position[seen]
    part = (where - where.min()) / max(np.ptp(where), 1e-12)
    used = (part >= _FROM) & (part <= _TO) if np.count_nonzero(seen) > 4 else part >= 0
    return float(when[used].mean() + (end - where[used].mean()) / front.speed)
