"""This file is where the beam's changes during a scan are read from the air beside the sample."""

from dataclasses import dataclass

import numpy as np

from battbeam.units import AnyArray, FloatArray

# Mean absorbance beyond which what is seen at the side of a frame is not air. Chosen here: between
# flats beams change by per cents, casings absorb tens of per cent.
_MOST_ABSORBANCE = 0.1
# Share of frames with air from which on it is believed.
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Air:
    """What the beam did, as seen beside the sample.

    Attributes:
        absorbance: Without what the beam did, shape (n, n_rows, n_columns).
        drift: Standard deviation of the beam's intensity over the frames; NaN where no air is seen.
    """

    absorbance: AnyArray
    drift: float


def levelled(absorbance: AnyArray, *, width: int) -> Air:
    """Absorbance that is 0 in air.

    Intensity in air changes with row (second order: the beam drifts up or down) and, where both
    sides see air, linearly with the column. A frame that sees none takes what the frames beside it
    say; if most see none, nothing is changed.

    Args:
        absorbance: By the flats, shape (n, n_rows, n_columns), in order of time.
        width: Columns at either side where air may be.
    """
    n_rows, n_columns = absorbance.shape[1:]
    width = min(width, n_columns // 4)
    if not width:
        return Air(absorbance, np.nan)
    sides = np.stack([absorbance[:, :, :width], absorbance[:, :, -width:]]).astype(float)
    level = sides.mean(axis=(2, 3))
    is_air = np.abs(level) < _MOST_ABSORBANCE
    if is_air.any(axis=0).mean() < _LEAST_SHARE:
        return Air(absorbance, np.nan)
    coefficients = _fitted(sides, is_air, n_columns)
    row, column = _axis(n_rows), _axis(n_columns)
    by_row = coefficients[:, :-1] @ np.stack([row**power for power in range(_order(n_rows))])
    by_column = coefficients[:, -1:] * column
    corrected = absorbance - by_row[:, :, None].astype(np.float32)
    corrected -= by_column[:, None, :].astype(np.float32)
    return Air(corrected, float(np.std(by_row.mean(axis=1))))


def _order(n_rows: int) -> int:
    return min(3, n_rows)


def _axis(n: int) -> FloatArray:
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)


def _fitted(sides: FloatArray, is_air: AnyArray, n_columns: int) -> FloatArray:
    """Powers of the row and a slope along the columns, shape (n, n_powers + 1)."""
    _, n, n_rows, width = sides.shape
    row, column = _axis(n_rows), _axis(n_columns)
    of_side = np.stack([column[:width], column[-width:]])
    columns = np.broadcast_to(of_side[:, None, :], (2, n_rows, width))
    powers = [np.broadcast_to(row[:, None] ** p, (2, n_rows, width)) for p in range(_order(n_rows))]
    design = np.stack([*powers, columns], axis=-1)
    found = np.full((n, design.shape[-1]), np.nan)
    for which in ((True, True), (True, False), (False, True)):
        frames = np.flatnonzero((is_air == np.array(which)[:, None]).all(axis=0))
        if not len(frames):
            continue
        used = np.array(which)
        # One side alone says nothing about a slope along the columns.
        terms = slice(None) if all(which) else slice(-1)
        matrix = design[used].reshape(-1, design.shape[-1])[:, terms]
        values = sides[used][:, frames].transpose(1, 0, 2, 3).reshape(len(frames), -1)
        found[frames] = 0.0
        found[frames, terms] = values @ np.linalg.pinv(matrix).T
    known = ~np.isnan(found[:, 0])
    for term in found.T:
        term[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), term[known])
    return found
