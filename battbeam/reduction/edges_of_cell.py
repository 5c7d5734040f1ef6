"""This file is where scans of the transmission say where a cell is, and how it is tilted."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import fit_curve
from battbeam.units import FloatArray

# An edge is there when both sides differ by this many errors.
_LEAST_STEP = 8.0
# Widths of the beam that a scan must see on either side of an edge.
_WHOLE = 2.0
# Fewest points of a scan.
_LEAST_POINTS = 6
# Farthest from the middle of a scan that its tilt may be zero, in parts of the scan's length.
_TILT_REACH = 0.75


@dataclass(frozen=True)
class CellEdge:
    """One edge of a cell, or of the electrode in it; errors are one standard deviation.

    Attributes:
        position: Where half of the beam is beside it, mm.
        position_error: mm.
        width: Standard deviation of the beam's profile along the scan, mm.
        levels: Transmission before and after it along the scan.
        residual: Reduced chi squared.
    """

    position: float
    position_error: float
    width: float
    levels: tuple[float, float]
    residual: float


@dataclass(frozen=True)
class CellCentre:
    """Between two edges.

    Attributes:
        position: mm.
        position_error: mm.
        size: From edge to edge, mm.
        size_error: mm.
    """

    position: float
    position_error: float
    size: float
    size_error: float


@dataclass(frozen=True)
class CellTilt:
    """Where a cell is perpendicular to the beam.

    Attributes:
        tilt: Position of the tilt axis there, degree.
        tilt_error: One standard deviation, degree.
        residual: Reduced chi squared.
    """

    tilt: float
    tilt_error: float
    residual: float


def transmission(incident: FloatArray, transmitted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Counts behind over counts before, and the error that counting leaves, shape (n,) each.

    Raises:
        ReductionError: If a point has no counts.
    """
    before, behind = (np.asarray(each, dtype=float) for each in (incident, transmitted))
    if (before <= 0).any() or (behind <= 0).any():
        raise ReductionError("a point of the scan has no counts: is the shutter open?")
    ratio = behind / before
    return ratio, ratio * np.sqrt(1 / before + 1 / behind)


def edge_of_transmission(
    position: FloatArray, transmission: FloatArray, error: FloatArray
) -> CellEdge:
    """Where the transmission changes from one level to another: an error function.

    Args:
        position: Of a scan over one edge, mm, shape (n,).
        transmission: Shape (n,), see `transmission`.
        error: One standard deviation, shape (n,).

    Raises:
        ReductionError: If there is no edge in the scan.
    """
    order = np.argsort(position)
    at, seen, sigma = (
        np.asarray(each, dtype=float)[order] for each in (position, transmission, error)
    )
    if len(at) < _LEAST_POINTS:
        raise ReductionError(f"{len(at)} points of a scan, {_LEAST_POINTS} needed for an edge")
    n_ends = max(1, len(at) // 6)
    first, last = float(seen[:n_ends].mean()), float(seen[-n_ends:].mean())
    height = abs(last - first)
    if height < _LEAST_STEP * float(np.median(sigma)):
        raise ReductionError(
            f"no edge between {at[0]:.2f} and {at[-1]:.2f} mm: transmission {first:.4f} and "
            f"{last:.4f} at the ends"
        )
    part = (seen - first) / (last - first)
    # The area under the step says where it is, whatever its width.
    middle = float(at[-1] - np.trapezoid(part, at))
    spread = float(np.diff(at).mean())

    def model(parameters: FloatArray) -> FloatArray:
        step = (1 + erf((at - parameters[0]) / (np.sqrt(2) * np.exp(parameters[1])))) / 2
        return np.asarray(parameters[2] + (parameters[3] - parameters[2]) * step)

    fit = fit_curve(model, np.array([middle, np.log(spread), first, last]), seen, sigma)
    where, width = float(fit.parameters[0]), float(np.exp(fit.parameters[1]))
    if not at[0] + _WHOLE * width < where < at[-1] - _WHOLE * width:
        raise ReductionError(
            f"the edge at {where:.2f} mm is not wholly between {at[0]:.2f} and {at[-1]:.2f} mm: "
            f"move the scan"
        )
    return CellEdge(
        position=where,
        position_error=float(fit.errors[0]),
        width=width,
        levels=(float(fit.parameters[2]), float(fit.parameters[3])),
        residual=fit.chi_squared / max(fit.degrees_of_freedom, 1),
    )


def centre_of(one: CellEdge, other: CellEdge) -> CellCentre:
    """The middle between two edges."""
    error = float(np.hypot(one.position_error, other.position_error))
    return CellCentre(
        position=(one.position + other.position) / 2,
        position_error=error / 2,
        size=abs(other.position - one.position),
        size_error=error,
    )


def tilt_of_transmission(tilt: FloatArray, transmission: FloatArray, error: FloatArray) -> CellTilt:
    """Where the way through a flat cell is shortest: ln T = constant - depth / cos(tilt - tilt0).

    Args:
        tilt: Of a scan about the perpendicular, degree, shape (n,).
        transmission: Shape (n,), see `transmission`.
        error: One standard deviation, shape (n,).

    Raises:
        ReductionError: If the scan has no highest transmission inside.
    """
    at = np.asarray(tilt, dtype=float)
    if len(at) < _LEAST_POINTS:
        raise ReductionError(f"{len(at)} points of a scan, {_LEAST_POINTS} needed for a tilt")
    logarithm, sigma = np.log(transmission), error / transmission
    middle, reach = float((at.max() + at.min()) / 2), float(np.ptp(at)) * _TILT_REACH

    def model(parameters: FloatArray) -> FloatArray:
        way = 1 / np.cos(np.radians(at - parameters[0]))
        return np.asarray(parameters[1] - parameters[2] * (way - 1))

    def left(tilt: float) -> tuple[float, FloatArray]:
        columns = np.column_stack([np.ones(len(at)), 1 - 1 / np.cos(np.radians(at - tilt))])
        found = np.linalg.lstsq(columns / sigma[:, None], logarithm / sigma)[0]
        return float((((logarithm - columns @ found) / sigma) ** 2).sum()), np.asarray(found, float)

    best = minimize_scalar(
        lambda tilt: left(tilt)[0], bounds=(middle - reach, middle + reach), method="bounded"
    )
    start = np.array([float(best.x), *left(float(best.x))[1]])
    fit = fit_curve(model, start, logarithm, sigma)
    where, depth = float(fit.parameters[0]), float(fit.parameters[2])
    if not at.min() < where < at.max() or depth <= 0:
        raise ReductionError(
            f"no highest transmission between {at.min():.1f} and {at.max():.1f} degree of tilt"
        )
    return CellTilt(where, float(fit.errors[0]), fit.chi_squared / max(fit.degrees_of_freedom, 1))
