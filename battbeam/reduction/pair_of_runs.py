"""This file is where rows of two runs say how far a line moved because the lattice did.

The fit of a whole pattern takes out where the cell stood, if a reference in the electrode's plane tells
(`XrdOptions.displacement`). If that reference's lattice is left free enough to be that of another energy
(`XrdOptions.reference_error`), its stretch from one run to the other is that of the energy, and of every
other lattice besides.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.reduction.line_shift import LineShift


@dataclass(frozen=True)
class LineInRow:
    """One line of one run; errors are one standard deviation.

    Attributes:
        two_theta: As fitted, with the cell's displacement taken out, degree.
        two_theta_error: Of it.
        reference: Edge of the reference's lattice as fitted, angstrom; NaN without a reference.
        reference_error: Of it.
        displacement: Of the cell along the beam, mm, > 0 towards the detector; NaN if it was not looked
            for.
        displacement_error: Of it.
    """

    two_theta: float
    two_theta_error: float
    reference: float = np.nan
    reference_error: float = np.nan
    displacement: float = np.nan
    displacement_error: float = np.nan

    @property
    def has_reference(self) -> bool:
        """Whether something tells energy and place from the lattice."""
        return bool(np.isfinite([self.reference, self.displacement]).all())


def shift_between(before: LineInRow, after: LineInRow) -> LineShift:
    """How far a line moved from one run to another because its lattice did.

    A lattice that seems stretched by s has its line at a two theta that is too small by 2 tan(theta) s;
    the reference says s. Errors of line and reference are added as if they had nothing in common.

    Returns:
        Its ``shift`` is NaN, and ``seen`` all there is, where either run has no reference.
    """
    seen = after.two_theta - before.two_theta
    if not (before.has_reference and after.has_reference):
        flag = "no reference in both runs: a shift is not told from energy or place"
        return LineShift(np.nan, np.nan, seen, np.nan, np.nan, (flag,))
    stretch = after.reference / before.reference - 1
    stretch_error = np.hypot(before.reference_error, after.reference_error) / before.reference
    by_stretch = np.degrees(2 * np.tan(np.radians(after.two_theta) / 2))
    error = np.sqrt(
        before.two_theta_error**2 + after.two_theta_error**2 + (by_stretch * stretch_error) ** 2
    )
    return LineShift(
        shift=float(seen + by_stretch * stretch),
        shift_error=float(error),
        seen=seen,
        energy_change=float(stretch),
        displacement=after.displacement - before.displacement,
    )
