"""This file is where projections say about which column the sample turned, and whether it moved.

A projection and the one from behind are mirror images about the axis. Sets without opposite pairs
say as much: as the sample turns, the component of spatial frequency k changes as a series of few
harmonics of the angle, no more than 2 pi k times the sample's radius; counted from the axis, its
real part is made of even ones and its imaginary part of odd ones. Counted from a wrong column, or
of a sample that moved, it is not. So the axis is the column, and the motion the shift, with which
least is left over.

Source:
    The range conditions of parallel beams (Ludwig, Comm. Pure Appl. Math. 19, 49 (1966)), of which
    the "double wedge" of Vo et al., Opt. Express 22, 19078 (2014), is the form for even angles. The
    least squares over any set of angles are our own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from battbeam.errors import ReductionError
from battbeam.reduction.harmonics import Basis, Harmonics
from battbeam.units import AnyArray, FloatArray

# Projections that the axis is found in: more tell it no better than it needs to be.
_ENOUGH = 300
# Groups of rows that are looked at each for itself.
_N_GROUPS = 6
# How far all frequencies agree about the column at least. Chosen from simulated scans: 0.93 and more
# where the axis was found, 0.84 and less of noise and where it was out of the field.
_LEAST_AGREEMENT = 0.88
# Share of the variance of motion along x that another axis explains, from which on the two cannot
# be told apart: 0.82 over a whole turn, 0.97 and more in one sweep over half a turn.
_MOST_EXPLAINED = 0.93
# Error of a motion, columns, from which on what looks like one may be what the model is off by.
_MOST_ERROR = 0.5
# Rows from which on motion along the axis can be seen, and steps of a row in which it is looked for.
_LEAST_ROWS, _FINER = 5, 16
# What the model of harmonics itself is off by, columns: about what is left of the scatter of axes
# found in simulated half turns at little noise. No error is told to be less.
_MODEL = 0.03
# Windows about the axis, which are enough once it moves less than that, columns.
_N_WINDOWS, _SETTLED = 8, 0.02


@dataclass(frozen=True)
class RotationAxis:
    """Where the axis is seen.

    Attributes:
        column: From 0.
        error: Standard deviation of it.
        agreement: Of all spatial frequencies about the column, up to 1.
    """

    column: float
    error: float
    agreement: float


@dataclass(frozen=True)
class ScanMotion:
    """How far the sample moved from the first to the last projection, evenly in time.

    Attributes:
        shift: Columns or rows: x, y, z at omega 0; NaN where it cannot be seen.
        error: Standard deviation of each; infinite where it cannot be seen.
        column: Of the rotation axis, that motion taken into account.
        column_error: Standard deviation of it.
    """

    shift: tuple[float, float, float]
    error: tuple[float, float, float]
    column: float
    column_error: float

    def axis_at(self, omega: FloatArray, time: FloatArray) -> FloatArray:
        """Column about which a sample that moved evenly seems to turn in each projection, shape (n,).

        Args:
            omega: Degree, shape (n,).
            time: s, shape (n,).
        """
        x, _, z = self.shift
        angle = np.radians(omega)
        return np.asarray(self.column + (x * np.cos(angle) + z * np.sin(angle)) * _part(time))


def find_axis(absorbance: AnyArray, omega: FloatArray) -> RotationAxis:
    """The column of the rotation axis; any order and distribution of angles over half a turn.

    Args:
        absorbance: Shape (n, n_rows, n_columns).
        omega: Degree, shape (n,).

    Raises:
        ReductionError: If nothing absorbs, or the projections agree about no column of the field.
    """
    n_columns = absorbance.shape[2]
    some = _some(omega)
    rows, basis = _grouped(absorbance[some]), Basis.of(omega[some])
    column, agreement = Harmonics.of(rows, basis, (n_columns - 1) / 2).best_column(n_columns)
    if not 1 < column < n_columns - 2 or agreement < _LEAST_AGREEMENT:
        raise ReductionError(_out_of_field(column, agreement, n_columns))
    # The window lies about the axis: it moves until it does.
    for _ in range(_N_WINDOWS):
        before = column
        harmonics = Harmonics.of(rows, basis, column)
        fitted, covariance = harmonics.fitted(np.array([column]), [np.ones(len(some))])
        column = float(np.clip(fitted[0], 2, n_columns - 3))
        if abs(column - before) < _SETTLED:
            break
    return RotationAxis(column, float(np.hypot(np.sqrt(covariance[0, 0]), _MODEL)), agreement)


def _out_of_field(column: float, agreement: float, n_columns: int) -> str:
    return (
        f"rotation axis not in the field of columns 0 to {n_columns - 1}: projections agree best "
        f"about column {column:.1f}, by {agreement:.2f} of 1 (wanted {_LEAST_AGREEMENT}); move the "
        "axis into the field, or look whether sample or camera moved"
    )


def find_motion(
    absorbance: AnyArray,
    omega: FloatArray,
    time: FloatArray,
    *,
    axis: float,
    axis_error: float = np.inf,
) -> ScanMotion:
    """How far the sample moved during the scan, and where the axis is then.

    In one sweep over half a turn, motion across the axis looks like another axis: it cannot be seen
    unless the axis is known otherwise, angles are repeated at the end, or come in golden-angle order
    or over a whole turn. Motion along the axis is read from what each row absorbs in sum, which does
    not change as the sample turns.

    Args:
        absorbance: Shape (n, n_rows, n_columns).
        omega: Degree, shape (n,).
        time: s, shape (n,).
        axis: Column, from `find_axis`.
        axis_error: How well it is known otherwise than from these projections, columns.
    """
    angle = np.radians(omega)
    part = _part(time)
    along = [np.ones(len(omega)), np.cos(angle) * part, np.sin(angle) * part]
    harmonics = Harmonics.of(_grouped(absorbance), Basis.of(omega), axis)
    prior = np.array([1 / axis_error**2, 0.0, 0.0])
    fitted, covariance = harmonics.fitted(np.array([axis, 0.0, 0.0]), along, prior)
    error = np.hypot(np.sqrt(np.diag(covariance)), _MODEL)
    y, y_error = _along_the_axis(absorbance, part)
    if not _is_told_apart(covariance):
        return ScanMotion((np.nan, y, np.nan), (np.inf, y_error, np.inf), axis, axis_error)
    is_seen = error < _MOST_ERROR
    shift, error_of_shift = np.where(is_seen, fitted, np.nan), np.where(is_seen, error, np.inf)
    return ScanMotion(
        shift=(float(shift[1]), y, float(shift[2])),
        error=(float(error_of_shift[1]), y_error, float(error_of_shift[2])),
        column=float(fitted[0]),
        column_error=float(error[0]),
    )


def _part(time: FloatArray) -> FloatArray:
    """Of the scan, -1/2 at the first projection and 1/2 at the last."""
    span = np.ptp(time)
    return (time - time.min()) / span - 0.5 if span > 0 else np.zeros(len(time))


def _is_told_apart(covariance: FloatArray) -> bool:
    """Whether motion is told from another axis, by the covariance of axis and motion."""
    if not np.isfinite(covariance).all():
        return False
    explained = covariance[0, 1:] ** 2 / (covariance[0, 0] * np.diag(covariance)[1:])
    return bool(explained.max() < _MOST_EXPLAINED)


def _along_the_axis(absorbance: AnyArray, part: FloatArray) -> tuple[float, float]:
    """How far what each row absorbs in sum moved up, rows, and the standard deviation of that."""
    mass = absorbance.sum(axis=2, dtype=np.float64)
    n, n_rows = mass.shape
    slopes = np.gradient(mass, axis=1) if n_rows > _LEAST_ROWS else np.zeros_like(mass)
    usual = slopes.mean(axis=0)
    centred = part - part.mean()
    if not (usual @ usual > 0 and centred @ centred > 0):
        return np.nan, np.inf
    # The shift at which slopes look most like the usual ones, each row's between its neighbours'.
    spectrum = np.fft.rfft(slopes, 2 * n_rows, axis=1) * np.fft.rfft(usual, 2 * n_rows).conj()
    likeness = np.fft.irfft(spectrum, _FINER * 2 * n_rows, axis=1)
    reach = _FINER * n_rows // 2
    near = np.concatenate([likeness[:, -reach:], likeness[:, : reach + 1]], axis=1)
    shift = (near.argmax(axis=1) - reach) / _FINER
    speed = float(centred @ shift / (centred @ centred))
    rest = shift - shift.mean() - speed * centred
    # A sample that looks the same at any height scatters by what its noise looks like.
    noise = np.diff(mass, axis=0).var() / 2
    variance = max(rest @ rest / max(n - 2, 1), 2 * noise / (usual @ usual), 1 / _FINER**2)
    return speed, float(np.sqrt(variance / (centred @ centred)))


def _some(omega: FloatArray) -> npt.NDArray[np.intp]:
    """Every n-th projection around the turn, as many as the axis needs."""
    return np.argsort(np.mod(omega, 180.0), kind="stable")[:: max(1, len(omega) // _ENOUGH)]


def _grouped(absorbance: AnyArray) -> FloatArray:
    """Means over groups of rows, shape (n, n_groups, n_columns)."""
    n_rows = absorbance.shape[1]
    groups = np.array_split(np.arange(n_rows), min(_N_GROUPS, n_rows))
    means = [absorbance[:, group].mean(axis=1, dtype=np.float64) for group in groups]
    return np.stack(means, axis=1)
