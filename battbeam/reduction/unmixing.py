"""This file is where series of spectra are taken apart into shares of a few spectra."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

#: Most references: every subset of them is a candidate.
MOST_REFERENCES = 8
# An amount this small below zero, of 1, is rounding.
_ROUNDING = 1e-12
# Values of spectra at a time: what is made of them stays in a core's cache.
_CHUNK_VALUES = 1_000_000


@dataclass(frozen=True)
class Mixture:
    """Amounts of the references in each of m spectra.

    Attributes:
        amounts: Not negative, shape (m, k); they add up to 1 where that was asked for.
        errors: One standard deviation, of the fit without bounds, shape (k,): for errors of 1 in
            what was fitted; with weights, as they are.
        residual: Sum of squares of what is left, weighted, shape (m,).
    """

    amounts: FloatArray
    errors: FloatArray
    residual: FloatArray


class LinearCombination:
    """Fits many spectra as mixtures of the same few references, exactly.

    The least squares problem with amounts that are not negative has its answer among those of the
    subsets of references without bounds. All subsets are solved for all spectra at once, from the
    references' QR decomposition: normal equations would lose half of the digits.

    Args:
        references: Shape (k, n), k at most 8.
        errors: One standard deviation of each point, the same for all spectra, shape (n,); None: 1.
        closed: Whether amounts add up to 1.

    Raises:
        ReductionError: If there are too many references, or they are not independent.
    """

    def __init__(
        self, references: FloatArray, *, errors: FloatArray | None = None, closed: bool = False
    ) -> None:
        references = np.atleast_2d(references)
        k, n = references.shape
        if not 0 < k <= MOST_REFERENCES:
            raise ReductionError(f"1 to {MOST_REFERENCES} references can be fitted, got {k}")
        self._weights = np.ones(n) if errors is None else 1 / np.asarray(errors, dtype=float)
        q, self._r = np.linalg.qr((references * self._weights).T)
        size = np.linalg.svd(self._r, compute_uv=False)
        if n < k or size[-1] < 1e-10 * size[0]:
            raise ReductionError(
                f"the {k} references are not independent over {n} points: singular values"
                f" {', '.join(f'{each:.2g}' for each in size)}"
            )
        self._onto = np.ascontiguousarray((q * self._weights[:, None]).T)
        self.closed = closed
        subsets = [s for m in range(k, 0, -1) for s in itertools.combinations(range(k), m)]
        self._solutions = [_solution(self._r, subset, closed) for subset in subsets]

    @cached_property
    def errors(self) -> FloatArray:
        """Of the amounts, without bounds, shape (k,)."""
        slope = self._solutions[0][1]
        return np.asarray(np.sqrt((slope**2).sum(axis=1)))

    def amounts(self, spectra: FloatArray) -> FloatArray:
        """Of each of the spectra, shape (m, n): shape (m, k)."""
        spectra = np.atleast_2d(spectra)
        found = np.empty((len(spectra), len(self._r)))
        size = max(1, _CHUNK_VALUES // spectra.shape[1])
        for start in range(0, len(spectra), size):
            part = slice(start, start + size)
            found[part] = self._solved(self._onto @ spectra[part].T).T
        return found

    def fit(self, spectra: FloatArray) -> Mixture:
        """Amounts, errors and what is left of each of the spectra, shape (m, n)."""
        spectra = np.atleast_2d(spectra)
        reduced = self._onto @ spectra.T
        amounts = self._solved(reduced)
        total = np.einsum("ij,ij->i", spectra * self._weights, spectra * self._weights)
        outside = total - _squares(reduced)
        residual = np.maximum(outside, 0.0) + _squares(reduced - self._r @ amounts)
        return Mixture(amounts.T, self.errors, residual)

    def _solved(self, reduced: FloatArray) -> FloatArray:
        """Amounts, shape (k, m), of spectra in the references' own space, shape (k, m)."""
        offset, slope = self._solutions[0]
        best = slope @ reduced + offset
        bound = np.flatnonzero(best.min(axis=0) < 0)
        if len(bound):
            best[:, bound] = self._bounded(reduced[:, bound])
        return best

    def _bounded(self, reduced: FloatArray) -> FloatArray:
        """The best subset's answer, of spectra whose answer with all references is no mixture."""
        best, least = np.zeros_like(reduced), np.full(reduced.shape[1], np.inf)
        if not self.closed:
            least = _squares(reduced)
        for offset, slope in self._solutions[1:]:
            trial = slope @ reduced + offset
            squares = _squares(reduced - self._r @ trial)
            better = np.flatnonzero((squares < least) & (trial.min(axis=0) >= -_ROUNDING))
            best[:, better], least[better] = trial[:, better], squares[better]
        return np.maximum(best, 0.0)


def _squares(columns: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->j", columns, columns))


def _solution(
    r: FloatArray, subset: tuple[int, ...], closed: bool
) -> tuple[FloatArray, FloatArray]:
    """Amounts are ``slope @ reduced + offset`` where only the subset may be other than 0."""
    k, m = len(r), len(subset)
    offset, slope = np.zeros((k, 1)), np.zeros((k, k))
    columns = r[:, subset]
    if not closed:
        slope[subset, :] = np.linalg.pinv(columns)
        return offset, slope
    # Amounts that add up to 1: equal shares, and what moves between them.
    moves = np.linalg.svd(np.ones((1, m)))[2][1:].T
    inverse = np.linalg.pinv(columns @ moves) if m > 1 else np.zeros((0, k))
    equal = np.full(m, 1 / m)
    slope[subset, :] = moves @ inverse
    offset[subset, 0] = equal - moves @ (inverse @ (columns @ equal))
    return offset, slope


@dataclass(frozen=True)
class SpectraRank:
    """How many spectra a series is made of.

    Attributes:
        rank: By the noise where that is known, else by Malinowski's indicator.
        by_gap: Where singular values fall by the largest factor.
        by_indicator: Where Malinowski's indicator is least.
        by_noise: Singular values above the largest that noise of the given size has; -1 without.
        singular_values: Shape (min(m, n),).
        indicator: Malinowski's, of each rank from 1, shape (min(m, n) - 1,).
        real_error: Noise that each rank leaves, shape (min(m, n) - 1,).
    """

    rank: int
    by_gap: int
    by_indicator: int
    by_noise: int
    singular_values: FloatArray
    indicator: FloatArray
    real_error: FloatArray


def spectra_rank(spectra: FloatArray, *, errors: FloatArray | float | None = None) -> SpectraRank:
    """How many independent spectra a series, shape (m, n), needs.

    Args:
        spectra: One a row, not centred.
        errors: One standard deviation, as a number or of each value; None: not known.

    Source:
        Malinowski, Factor Analysis in Chemistry, 3rd ed. (2002), section 4.3: real error and IND.
        The largest singular value of noise is about sqrt(m) + sqrt(n) standard deviations, with a
        width of (m^-1/2 + n^-1/2)^(1/3) / 2 (Johnstone, Ann. Stat. 29 (2001) 295).
    """
    m, n = spectra.shape
    values = np.asarray(np.linalg.svd(spectra, compute_uv=False), dtype=np.float64)
    small, large = min(m, n), max(m, n)
    ranks = np.arange(1, small)
    left = np.cumsum((values**2)[::-1])[::-1][1:]
    real_error = np.asarray(np.sqrt(left / (large * (small - ranks))), dtype=np.float64)
    indicator = np.asarray(real_error / (small - ranks) ** 2)
    half = max(small // 2, 1)
    ratios = values[:half] / np.maximum(values[1 : half + 1], np.finfo(float).tiny)
    by_gap, by_indicator = int(np.argmax(ratios)) + 1, int(np.argmin(indicator[:half])) + 1
    by_noise = -1
    if errors is not None:
        scaled = np.linalg.svd(spectra / errors, compute_uv=False)
        edge = np.sqrt(m) + np.sqrt(n)
        # Four widths of the law of Tracy and Widom: one time in 10^4 and less.
        edge += 4 * (1 / np.sqrt(m) + 1 / np.sqrt(n)) ** (1 / 3) / 2
        by_noise = int((scaled > edge).sum())
    rank = by_indicator if by_noise < 0 else by_noise
    return SpectraRank(rank, by_gap, by_indicator, by_noise, values, indicator, real_error)


def purest_rows(spectra: FloatArray, n: int) -> AnyArray:
    """Indices of the n spectra that differ most: each lies farthest from the span of those before.

    Source:
        Successive projections; Araújo et al., Chemom. Intell. Lab. Syst. 57 (2001) 65.
    """
    left, chosen = np.array(spectra, dtype=float), list[int]()
    for _ in range(n):
        index = int(np.argmax(np.einsum("ij,ij->i", left, left)))
        chosen.append(index)
        along = left[index] / np.linalg.norm(left[index])
        left = left - np.outer(left @ along, along)
    return np.array(sorted(chosen))
