"""This file is where a line before and after is compared: how far it moved because the lattice did.

A line also moves when the energy does (delta 2theta = -2 tan(theta) delta E / E) and when the cell
does not come back to its place along the beam (-sin(4 theta) / 2 L for each mm towards the detector).
Lines of a reference in the electrode's plane, whose lattice has not changed, tell how far; without
them nothing does.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.units import FloatArray

# What may have happened between two runs, standard deviations: relative change of the energy (a
# monochromator that was tuned anew), and mm along the beam (a cell that was mounted anew).
_ENERGY, _PLACE = 1e-3, 0.3
# Errors by which lines of one reference may lie beside what energy and place explain.
_DISAGREE = 4.0


@dataclass(frozen=True)
class Angles:
    """Lines of one run.

    Attributes:
        two_theta: Degree, shape (n,).
        error: One standard deviation, degree, shape (n,).
    """

    two_theta: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class LineShift:
    """How far a line moved from one run to another.

    Attributes:
        shift: By the lattice alone, degree; NaN where nothing tells it from energy and place.
        shift_error: One standard deviation, degree.
        seen: As it was seen, degree.
        energy_change: Relative, from the reference; NaN without.
        displacement: Of the electrode along the beam, mm, > 0 towards the detector; NaN without.
        flags: What to know of it.
    """

    shift: float
    shift_error: float
    seen: float
    energy_change: float
    displacement: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cause:
    """What moved the lines of a reference.

    Attributes:
        energy_change: Relative.
        energy_change_error: One standard deviation, also of what is not told from the other.
        displacement: Along the beam, mm, > 0 towards the detector.
        displacement_error: mm.
        covariance: Of the two, shape (2, 2).
        flags: What to know of it.
    """

    energy_change: float
    energy_change_error: float
    displacement: float
    displacement_error: float
    covariance: FloatArray = field(repr=False)
    flags: tuple[str, ...] = ()


def line_shift(
    before: tuple[float, float],
    after: tuple[float, float],
    *,
    distance: float,
    reference_before: Angles | None = None,
    reference_after: Angles | None = None,
) -> LineShift:
    """How far a line moved because its lattice did.

    Args:
        before: Two theta and its error in the first run, degree.
        after: The same in the second.
        distance: From sample to detector, mm.
        reference_before: Lines of a reference in the electrode's plane, such as its collector's, in
            the first run; None: there is none.
        reference_after: The same lines, in the same order, in the second.

    Raises:
        ValueError: If the references do not have the same number of lines.
    """
    seen = after[0] - before[0]
    if reference_before is None or reference_after is None:
        flag = "no reference in both runs: a shift is not told from energy or place"
        return LineShift(np.nan, np.nan, seen, np.nan, np.nan, (flag,))
    if reference_before.two_theta.shape != reference_after.two_theta.shape:
        raise ValueError(
            f"{len(reference_before.two_theta)} lines of the reference before, "
            f"{len(reference_after.two_theta)} after"
        )
    error = np.hypot(reference_before.error, reference_after.error)
    moved = Angles(reference_after.two_theta, error)
    cause = cause_of_shift(reference_before.two_theta, moved, distance=distance)
    here = _moves(np.array([before[0]]), distance)[0]
    found = np.array([cause.energy_change, cause.displacement])
    variance = before[1] ** 2 + after[1] ** 2 + here @ cause.covariance @ here
    return LineShift(
        shift=float(seen - here @ found),
        shift_error=float(np.sqrt(variance)),
        seen=seen,
        energy_change=cause.energy_change,
        displacement=cause.displacement,
        flags=cause.flags,
    )


def cause_of_shift(expected: FloatArray, seen: Angles, *, distance: float) -> Cause:
    """What moved the lines of a reference whose lattice is known: energy, place or both.

    All lines move the same way by either, a little differently: with a few orders of one metal the two
    are told apart weakly, and the errors say so.

    Args:
        expected: Where the lines belong, degree, shape (n,).
        seen: Where they are, in the same order.
        distance: From sample to detector, mm.
    """
    columns = _moves(expected, distance)
    weighted = columns / seen.error[:, None]
    moved = seen.two_theta - expected
    precision = weighted.T @ weighted + np.diag([1 / _ENERGY**2, 1 / _PLACE**2])
    covariance = np.asarray(np.linalg.inv(precision), dtype=float)
    found = covariance @ (weighted.T @ (moved / seen.error))
    worst = float(np.abs((moved - columns @ found) / seen.error).max(initial=0.0))
    flags: tuple[str, ...] = ()
    if worst > _DISAGREE:
        flags = (f"lines of the reference disagree by {worst:.1f} errors",)
    return Cause(
        energy_change=float(found[0]),
        energy_change_error=float(np.sqrt(covariance[0, 0])),
        displacement=float(found[1]),
        displacement_error=float(np.sqrt(covariance[1, 1])),
        covariance=covariance,
        flags=flags,
    )


def _moves(two_theta: FloatArray, distance: float) -> FloatArray:
    """Degree by relative change of the energy and by mm along the beam, shape (n, 2)."""
    theta = np.radians(two_theta) / 2
    by_energy = -2 * np.tan(theta)
    by_place = -np.sin(4 * theta) / (2 * distance)
    return np.asarray(np.degrees(np.column_stack([by_energy, by_place])))
