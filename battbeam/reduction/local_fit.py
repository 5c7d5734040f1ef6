"""This file is where a noisy curve on any grid is smoothed and differentiated, as one matrix."""

import numpy as np

from battbeam.units import FloatArray

# Reach of a Gaussian weight, in widths.
_REACH = 5.0


def smoothing_matrix(
    energy: FloatArray, at: FloatArray, *, width: float, derivative: int = 0, degree: int = 2
) -> FloatArray:
    """What a curve at ``energy`` has to be multiplied with to be smooth at ``at``.

    A polynomial is fitted about each point, with Gaussian weights. Where points are farther apart
    than the width, the weights are as wide as they are apart.

    Args:
        energy: eV, ascending, shape (n,).
        at: eV, shape (m,).
        width: Standard deviation of the weights, eV.
        derivative: 0 for the curve, 1 for its slope per eV, 2 for the slope's slope.
        degree: Of the polynomial: a parabola, or one that follows the curve better and noise as well.

    Returns:
        Shape (m, n).

    Source:
        Local polynomial regression; Fan and Gijbels, Local Polynomial Modelling and Its
        Applications (1996), section 3.1.
    """
    spacing = np.gradient(energy)
    widths = np.maximum(width, np.interp(at, energy, spacing))
    offset = (energy[None, :] - at[:, None]) / widths[:, None]
    weight = np.where(np.abs(offset) < _REACH, np.exp(-(offset**2) / 2), 0.0)
    powers = np.stack([offset**power for power in range(degree + 1)], axis=1)
    normal = np.einsum("mpn,mn,mqn->mpq", powers, weight, powers)
    rows = np.linalg.solve(normal, powers * weight[:, None, :])[:, derivative]
    scale = (1.0, 1.0, 2.0)[derivative] / widths**derivative
    return np.asarray(rows * scale[:, None] if derivative else rows)
