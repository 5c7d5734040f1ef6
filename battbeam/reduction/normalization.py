"""This file is where absorbance is brought to 0 before an edge and to 1 behind it.

A line is fitted before the edge, a polynomial behind it to what the line leaves, and the step is the
polynomial at the edge energy. Ranges and their defaults are those of xraylarch's ``pre_edge``, so
that numbers can be compared; ranges are in eV relative to the edge energy. For fixed energies all of
it is linear but the division by the step: one small matrix serves any number of spectra.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.local_fit import smoothing_matrix
from battbeam.units import FloatArray

# Of the Gaussian with which a curve is smoothed before its steepest point is looked for, eV: about
# the width of a 3d metal's K level.
_EDGE_WIDTH = 1.0
# Points at either end where no edge is looked for: a share of all, and at least so many.
_END_SHARE, _END_POINTS = 0.02, 3
# Values of spectra that are normalized at a time: these and their results stay in a core's cache.
_CHUNK_VALUES = 100_000


@dataclass(frozen=True)
class NormalizationRanges:
    """Where an edge is normalized.

    Attributes:
        pre: Of the line before the edge, eV relative to the edge energy.
        post: Of the polynomial behind it.
        degree: Of the polynomial.
    """

    pre: tuple[float, float]
    post: tuple[float, float]
    degree: int

    @classmethod
    def of(
        cls,
        energy: FloatArray,
        edge_energy: float,
        *,
        pre: tuple[float, float] | None = None,
        post: tuple[float, float] | None = None,
        degree: int | None = None,
    ) -> "NormalizationRanges":
        """What is given, and what xraylarch 2026.3 chooses where nothing is.

        Source:
            Documentation of ``larch.xafs.pre_edge``: from the second point to half way to the edge;
            from a third of the range behind the edge, at most 25 eV, to its end; degree 2 over
            300 eV, 1 over 30 eV, 0 below.
        """
        relative = energy - edge_energy
        if pre is None:
            step = 5.0 if int(np.argmin(np.abs(relative))) > 20 else 2.0
            start = max(step * round(relative[1] / step), relative[0])
            pre = (start, start / 2)
        if post is None:
            stop = min(5.0 * round(relative[-1] / 5.0), relative[-1])
            post = (min(25.0, 5.0 * round(stop / 15.0)), stop)
        pre, post = (min(pre), max(pre)), (min(post), max(post))
        if degree is None:
            length = post[1] - post[0]
            degree = 2 if length >= 300 else 1 if length >= 30 else 0
        return cls(pre, post, degree)


@dataclass(frozen=True)
class Normalized:
    """One normalized spectrum; errors are one standard deviation.

    Attributes:
        values: Shape (n,).
        errors: From counting, the step taken as exact, shape (n,).
        step: Of the absorbance at the edge energy.
        step_error: Of it.
        pre_edge: The line before the edge, over all energies, shape (n,).
        post_edge: The polynomial behind it, with the line, shape (n,).
    """

    values: FloatArray
    errors: FloatArray
    step: float
    step_error: float
    pre_edge: FloatArray
    post_edge: FloatArray


class NormalizationOperator:
    """Normalizes spectra that share their energies and their edge energy.

    Args:
        energy: eV, ascending, shape (n,).
        edge_energy: E0, eV.
        pre: Range of the line before the edge, eV relative to the edge energy; None: default.
        post: Range of the polynomial behind it; None: default.
        degree: Of the polynomial; None: default.

    Raises:
        ReductionError: If a range holds too few points.
    """

    def __init__(
        self,
        energy: FloatArray,
        *,
        edge_energy: float,
        pre: tuple[float, float] | None = None,
        post: tuple[float, float] | None = None,
        degree: int | None = None,
    ) -> None:
        self.energy, self.edge_energy = energy, edge_energy
        self.ranges = NormalizationRanges.of(energy, edge_energy, pre=pre, post=post, degree=degree)
        at = int(np.argmin(np.abs(energy - edge_energy)))
        self._line, self._line_of = self._fitted(self.ranges.pre, 1, "before the edge")
        curve, curve_of = self._fitted(self.ranges.post, self.ranges.degree, "behind the edge")
        # What the line leaves, under the polynomial.
        rest_of = curve_of - (curve_of @ self._line) @ self._line_of
        self._curve, self._curve_of = curve, rest_of
        self._step_of = curve[at] @ rest_of
        self._functionals = np.vstack([self._line_of, self._step_of])
        self._line_rows = np.ascontiguousarray(self._line.T)

    def normalized(self, absorbance: FloatArray) -> FloatArray:
        """Of one spectrum, shape (n,), or of many, shape (m, n); the same shape."""
        spectra = np.atleast_2d(absorbance)
        result = np.empty(spectra.shape)
        size = max(1, _CHUNK_VALUES // spectra.shape[1])
        for start in range(0, len(spectra), size):
            part, out = spectra[start : start + size], result[start : start + size]
            found = (self._functionals @ part.T).T
            np.matmul(found[:, :2], self._line_rows, out=out)
            np.subtract(part, out, out=out)
            out *= 1 / found[:, 2:]
        return result.reshape(np.shape(absorbance))

    def steps(self, absorbance: FloatArray) -> FloatArray:
        """Edge step of each spectrum, shape (m,)."""
        return np.asarray(absorbance @ self._step_of)

    def normalize(self, absorbance: FloatArray, errors: FloatArray) -> Normalized:
        """One spectrum with its errors, shape (n,) both."""
        step = float(self._step_of @ absorbance)
        line = self._line @ (self._line_of @ absorbance)
        matrix = np.eye(len(absorbance)) - self._line @ self._line_of
        variance = (matrix**2) @ errors**2
        # Without any step at all there is nothing to be normalized: NaN.
        scale = step if step != 0 else np.nan
        return Normalized(
            values=(absorbance - line) / scale,
            errors=np.sqrt(variance) / abs(scale),
            step=step,
            step_error=float(np.sqrt(self._step_of**2 @ errors**2)),
            pre_edge=line,
            post_edge=line + self._curve @ (self._curve_of @ absorbance),
        )

    def _fitted(
        self, limits: tuple[float, float], degree: int, where: str
    ) -> tuple[FloatArray, FloatArray]:
        """Polynomials at all energies, (n, degree + 1), and what gives their amounts, (.., n)."""
        relative = self.energy - self.edge_energy
        # As xraylarch counts: the point at or below the start is in, that nearest the end is out.
        start = max(int(np.searchsorted(relative, limits[0], side="right")) - 1, 0)
        stop = int(np.argmin(np.abs(relative - limits[1])))
        if stop - start < degree + 2:
            raise ReductionError(
                f"{max(stop - start, 0)} points {where}, {limits[0]:g} to {limits[1]:g} eV from"
                f" {self.edge_energy:g} eV; a polynomial of degree {degree} needs {degree + 2}"
            )
        scale = max(float(np.abs(relative).max()), 1.0)
        powers = np.vander(relative / scale, degree + 1, increasing=True)
        amounts = np.zeros((degree + 1, len(relative)))
        amounts[:, start:stop] = np.linalg.pinv(powers[start:stop])
        return powers, amounts


class OwnEdgeNormalization:
    """Normalizes spectra that share their energies, each at its own edge energy.

    The edge energy is where a smoothed spectrum is steepest; the normalization is that of the point
    nearest to it, as in xraylarch, so that there is one operator for each such point.

    Args:
        energy: eV, ascending, shape (n,).
        pre: As of `NormalizationOperator`.
        post: Likewise.
        degree: Likewise.
    """

    def __init__(
        self,
        energy: FloatArray,
        *,
        pre: tuple[float, float] | None = None,
        post: tuple[float, float] | None = None,
        degree: int | None = None,
    ) -> None:
        self.energy = energy
        self._ranges = (pre, post, degree)
        self._slopes = smoothing_matrix(energy, energy, width=_EDGE_WIDTH, derivative=1).T.copy()
        ends = max(_END_POINTS, int(_END_SHARE * len(energy)))
        self._inside = slice(ends, len(energy) - ends)
        self._operators: dict[int, NormalizationOperator] = {}

    def edge_energies(self, absorbance: FloatArray) -> FloatArray:
        """Where each spectrum is steepest, eV, shape (m,); between points by a parabola."""
        slopes = np.atleast_2d(absorbance) @ self._slopes[:, self._inside]
        top = np.clip(slopes.argmax(axis=1), 1, slopes.shape[1] - 2)
        rows = np.arange(len(slopes))
        energy = self.energy[self._inside]
        before, behind = energy[top] - energy[top - 1], energy[top + 1] - energy[top]
        rise = (slopes[rows, top] - slopes[rows, top - 1]) / before
        fall = (slopes[rows, top + 1] - slopes[rows, top]) / behind
        # Vertex of the parabola through three points, from its slopes half way between them.
        bend = np.where(rise > fall, rise - fall, np.inf)
        move = (rise * behind + fall * before) / (2 * bend)
        return np.asarray(energy[top] + np.clip(move, -before, behind))

    def normalized(self, absorbance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Normalized spectra, shape (m, n), and the edge energies they were normalized at, (m,)."""
        edges = self.edge_energies(absorbance)
        middles = (self.energy[1:] + self.energy[:-1]) / 2
        nearest = np.searchsorted(middles, edges)
        result = np.empty_like(absorbance)
        for point in np.unique(nearest):
            members = np.flatnonzero(nearest == point)
            result[members] = self._operator(int(point)).normalized(absorbance[members])
        return result, self.energy[nearest]

    def _operator(self, point: int) -> NormalizationOperator:
        if point not in self._operators:
            pre, post, degree = self._ranges
            self._operators[point] = NormalizationOperator(
                self.energy,
                edge_energy=float(self.energy[point]),
                pre=pre,
                post=post,
                degree=degree,
            )
        return self._operators[point]
