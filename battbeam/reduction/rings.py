"""This file is where rings are taken out of sinograms."""

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import savgol_filter

from battbeam.units import AnyArray

# What neighbouring rows have in common is no ring where it exceeds so many robust standard deviations
# of all that they have in common: the edge of something round in the middle of the axis.
_OUTSTANDING = 4.0
# Rows over which that is asked.
_ROWS = 21
# Median absolute deviation to standard deviation.
_ROBUST = 1.4826


def stripes(absorbance: AnyArray, *, width: int) -> AnyArray:
    """What each pixel adds to every projection, shape (n_rows, n_columns).

    A pixel whose gain has changed since the flats adds the same absorbance at every angle, and so
    draws a ring. The mean over all angles, less its own smooth course over ``width`` columns
    (Savitzky-Golay, second order), is taken for that.

    Args:
        absorbance: Shape (n, n_rows, n_columns).
        width: Columns, odd.
    """
    mean = absorbance.mean(axis=0, dtype=np.float64)
    width = min(width, (mean.shape[1] - 1) // 2 * 2 + 1)
    rough = mean - savgol_filter(mean, width, 2, axis=1)
    common = median_filter(rough, size=(min(_ROWS, len(rough)), 1))
    typical = _ROBUST * np.median(np.abs(common))
    kept = np.where(np.abs(common) > _OUTSTANDING * typical, common, 0.0)
    return np.asarray(rough - kept)


def without_rings(absorbance: AnyArray, *, width: int) -> AnyArray:
    """Absorbance without `stripes`, shape (n, n_rows, n_columns), single precision."""
    return np.asarray(absorbance - stripes(absorbance, width=width).astype(np.float32))
