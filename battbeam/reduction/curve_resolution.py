"""This file is where a series of spectra is resolved into components that nobody measured alone, and
where it is said how far the answer is unique.

Alternating least squares (MCR-ALS): shares for given components, components for given shares, in
turn, none of them negative. Any mixture of the components that keeps all of this explains the series
as well; how far such a mixture can go is the band that comes with the shares.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import NonlinearConstraint, minimize

from battbeam.errors import ReductionError
from battbeam.reduction.unmixing import LinearCombination, purest_rows
from battbeam.units import FloatArray

# Relative change of what is left that ends the alternation, and the most rounds.
_SMALL_CHANGE, _MAX_ROUNDS = 1e-8, 500
# Shares and components may be this many errors below zero and still pass for not negative.
_BELOW_ZERO = 3.0
# A share of the largest value that passes for zero where there is no noise.
_LEAST_BELOW = 1e-6


@dataclass(frozen=True)
class Resolution:
    """A series of m spectra over n energies as shares of k components.

    Attributes:
        concentrations: Shares, not negative, shape (m, k); they add up to 1 if ``closed``.
        spectra: Of the components, not negative, shape (k, n).
        lowest: Least of each share, where its component is as small or as large as the constraints
            allow, shape (m, k).
        highest: Largest of it, shape (m, k).
        noise: Rms of what is left.
        n_rounds: Of the alternation.
        converged: Whether it settled.
    """

    concentrations: FloatArray
    spectra: FloatArray
    lowest: FloatArray
    highest: FloatArray
    noise: float
    n_rounds: int
    converged: bool

    @property
    def ambiguity(self) -> FloatArray:
        """Largest width of each component's band of shares, shape (k,); 0 if it is unique."""
        return np.asarray((self.highest - self.lowest).max(axis=0))


def resolve(
    spectra: FloatArray,
    *,
    n_components: int | None = None,
    initial: FloatArray | None = None,
    closed: bool = True,
) -> Resolution:
    """Components and shares of a series.

    Args:
        spectra: Shape (m, n), one a row.
        n_components: As many components, begun with the spectra that differ most; or
        initial: Components to begin with, shape (k, n), such as measured end members.
        closed: Whether the shares of a spectrum add up to 1.

    Raises:
        ReductionError: If neither or both of number and components are given, or components
            coincide.

    Source:
        Tauler, Chemom. Intell. Lab. Syst. 30 (1995) 133; the band as in Gemperline, Anal. Chem. 71
        (1999) 5398, and Tauler, J. Chemom. 15 (2001) 627.
    """
    if (initial is None) == (n_components is None):
        raise ReductionError("a resolution begins with a number of components or with components")
    if initial is None:
        initial = spectra[purest_rows(spectra, int(n_components or 0))]
    parts = np.array(initial, dtype=float)
    before, left, converged, n_rounds = np.inf, np.inf, False, 0
    while n_rounds < _MAX_ROUNDS and not converged:
        n_rounds += 1
        shares = LinearCombination(parts, closed=closed).amounts(spectra)
        parts = LinearCombination(shares.T).amounts(spectra.T).T
        left = float(((spectra - shares @ parts) ** 2).sum())
        converged = abs(before - left) <= _SMALL_CHANGE * max(left, np.finfo(float).tiny)
        before = left
    m, n = spectra.shape
    k = len(parts)
    noise = float(np.sqrt(left / max((m - k) * (n - k), 1)))
    band = _Band(shares, parts, noise, closed)
    ends = [np.column_stack([band.extreme(i, sign) for i in range(k)]) for sign in (1, -1)]
    found = np.stack([shares, *ends])
    return Resolution(
        shares, parts, found.min(axis=0), found.max(axis=0), noise, n_rounds, converged
    )


class _Band:
    """All mixtures of components that are as good; a mixture's rows add up to 1, which keeps closure
    and, without it, only fixes the scale.
    """

    def __init__(self, shares: FloatArray, parts: FloatArray, noise: float, closed: bool) -> None:
        self._shares, self._parts, self._k = shares, parts, len(parts)
        self._off = ~np.eye(self._k, dtype=bool)
        self._share_slack = -_slack(LinearCombination(parts, closed=closed).errors, noise, shares)
        self._part_slack = -_slack(LinearCombination(shares.T).errors, noise, parts.T)

    def extreme(self, component: int, sign: int) -> FloatArray:
        """Shares, shape (m,), of a component at its smallest (sign 1) or its largest (-1)."""
        start = np.zeros(self._k * (self._k - 1))
        if not len(start):
            return self._shares[:, component]

        def size(free: FloatArray) -> float:
            return sign * self._size(free, component)

        found = minimize(
            size,
            start,
            method="SLSQP",
            constraints=[NonlinearConstraint(self._room, 0.0, np.inf)],
            tol=1e-9,
        )
        best = found.x if self._room(found.x).min() > -1e-6 else start
        return self._mixed(best)[0][:, component]

    def _mixed(self, free: FloatArray) -> tuple[FloatArray, FloatArray]:
        mixture = np.zeros((self._k, self._k))
        mixture[self._off] = free
        np.fill_diagonal(mixture, 1 - mixture.sum(axis=1))
        return self._shares @ np.linalg.pinv(mixture), mixture @ self._parts

    def _size(self, free: FloatArray, component: int) -> float:
        shares, parts = self._mixed(free)
        whole = np.linalg.norm(self._shares) * np.linalg.norm(self._parts)
        size = np.linalg.norm(shares[:, component]) * np.linalg.norm(parts[component])
        return float(size / whole)

    def _room(self, free: FloatArray) -> FloatArray:
        """How far shares and components are from being negative, all of them not negative if so."""
        shares, parts = self._mixed(free)
        room = [(shares - self._share_slack).ravel(), (parts.T - self._part_slack).ravel()]
        return np.concatenate(room)


def _slack(errors: FloatArray, noise: float, values: FloatArray) -> FloatArray:
    return np.asarray(_BELOW_ZERO * errors * noise + _LEAST_BELOW * np.abs(values).max())
