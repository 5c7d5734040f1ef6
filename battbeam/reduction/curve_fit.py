"""This file is where a curve with a few parameters is fitted to values with errors."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares

from battbeam.errors import ReductionError
from battbeam.units import FloatArray


@dataclass(frozen=True)
class CurveFit:
    """A fitted curve.

    Attributes:
        parameters: Shape (k,).
        covariance: Of them, shape (k, k).
        chi_squared: Of what is left, in the errors that were given; 0 if none were.
        degrees_of_freedom: Values less parameters.
    """

    parameters: FloatArray
    covariance: FloatArray = field(repr=False)
    chi_squared: float
    degrees_of_freedom: int

    @property
    def errors(self) -> FloatArray:
        """One standard deviation of each parameter, shape (k,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def variance_of(self, gradient: FloatArray) -> float:
        """Of something whose derivatives by the parameters these are, shape (k,)."""
        return float(gradient @ self.covariance @ gradient)


def fit_curve(
    model: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    values: FloatArray,
    errors: FloatArray | float | None,
    *,
    derivatives: Callable[[FloatArray], FloatArray] | None = None,
) -> CurveFit:
    """Least squares by Levenberg and Marquardt.

    Args:
        model: What values, shape (n,), parameters stand for.
        start: Parameters to begin with, shape (k,).
        values: Shape (n,).
        errors: One standard deviation of each; None: all the same, taken from what is left.
        derivatives: Of the values by the parameters, shape (n, k); None: by differences.

    Raises:
        ReductionError: If there are fewer values than parameters, or the fit does not settle.
    """
    n, k = len(values), len(start)
    if n < k + (errors is None):
        raise ReductionError(f"{n} values cannot say {k} parameters")
    sigma = np.broadcast_to(1.0 if errors is None else errors, values.shape)
    if not (np.isfinite(values).all() and np.isfinite(sigma).all() and (sigma > 0).all()):
        raise ReductionError("values and errors of a fit must be finite, errors greater than 0")

    def left(parameters: FloatArray) -> FloatArray:
        return np.asarray((model(parameters) - values) / sigma)

    if derivatives is None:
        solved = least_squares(left, start, method="lm", x_scale="jac")
    else:
        given, scale = derivatives, sigma[:, None]

        def slope(parameters: FloatArray) -> FloatArray:
            return np.asarray(given(parameters) / scale)

        solved = least_squares(left, start, jac=slope, method="lm", x_scale="jac")
    if not solved.success:
        raise ReductionError(f"the fit did not settle: {solved.message}")
    slopes = np.asarray(solved.jac, dtype=float)
    # Parameters have units of their own: in amperes one would be lost in the rounding of another.
    length = np.linalg.norm(slopes, axis=0)
    length = np.where(length > 0, length, 1.0)
    even = slopes / length
    covariance = np.linalg.pinv(even.T @ even) / np.outer(length, length)
    squares = 2 * float(solved.cost)
    if errors is None:
        covariance, squares = covariance * squares / (n - k), 0.0
    return CurveFit(np.asarray(solved.x), np.asarray(covariance), squares, n - k)
