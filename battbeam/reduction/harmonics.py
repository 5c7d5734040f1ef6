"""This file is where projections become spatial frequencies, and are asked what a turning sample can
make of them.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.angles import coverage
from battbeam.units import AnyArray, FloatArray

# Frequencies in use, cycles a column: a quarter of a column needs no finer ones.
_HIGHEST, _N_FREQUENCIES = 0.125, 64
# Harmonics in use: no more than these, and no more than this share of the projections.
_MOST_HARMONICS, _SHARE_OF_PROJECTIONS = 200, 0.8
# Share of the window over which it falls off at either side.
_TAPER = 0.15
# Of the greatest mean absorbance: where the sample ends.
_EDGE = 0.03
# A sample that reaches the window's end may be so many times as wide.
_WIDER = 3.0
# How far out of the field an axis is looked for, in widths of it.
_BEYOND = 0.25
# Gauss-Newton steps, none longer than so many columns.
_N_STEPS, _LONGEST = 4, 2.0
# Share of its freedom that a series has at least after the fit: no division by nearly nothing.
_LEAST_FREE = 0.05
# Columns in use: more are taken together, the highest frequency does not need them.
_MOST_COLUMNS = 512


@dataclass(frozen=True)
class Basis:
    """Harmonics of a set of angles.

    Attributes:
        weight: Square root of each projection's share of the turn, shape (n,).
        even: Orthonormal harmonics of even order, slow ones first, shape (n, n_harmonics).
        odd: Likewise of odd order.
        most: The highest order.
        is_open: Whether a wedge of angles is missing.
    """

    weight: FloatArray
    even: FloatArray
    odd: FloatArray
    most: int
    is_open: bool

    @classmethod
    def of(cls, omega: FloatArray) -> "Basis":
        """Of angles in degree, shape (n,)."""
        most = min(_MOST_HARMONICS, int(_SHARE_OF_PROJECTIONS * len(omega)))
        covered = coverage(omega)
        weight = np.sqrt(covered.weights)
        angle = np.radians(omega)[:, None]
        found = []
        for orders in (np.arange(0, most + 1, 2), np.arange(1, most + 2, 2)):
            waves = np.stack([np.cos(angle * orders), np.sin(angle * orders)], axis=-1)
            waves = waves.reshape(len(omega), -1)
            if orders[0] == 0:
                waves = np.delete(waves, 1, axis=1)
            found.append(np.linalg.qr(weight[:, None] * waves)[0])
        return cls(weight, found[0], found[1], most, covered.missing_wedge > 0)


@dataclass(frozen=True)
class _Said:
    """What series say about shifts.

    Attributes:
        normal: Matrix of the normal equations, of the signal alone.
        gradient: Their right side.
        spread: Covariance of that side.
        variance: Of a value's real part, and of its imaginary one.
    """

    normal: FloatArray
    gradient: FloatArray
    spread: FloatArray
    variance: float


@dataclass(frozen=True)
class Harmonics:
    """Projections as spatial frequencies, and what a turning sample can make of them.

    A series is one spatial frequency of one group of rows. Where angles are missing only the slow
    ones, which few harmonics make up, say where the axis is: there they are given in units in which
    counting noise is the same in all, or that of the fast ones speaks louder. Else the fast ones
    say as much, and what is left of rings, which is slow, does less harm without.

    Attributes:
        values: Of each projection in each series, shape (n, n_series).
        frequency: Of each series, cycles a column, shape (n_series,).
        order: Highest harmonic that each series may have, shape (n_series,).
        basis: The harmonics.
    """

    values: AnyArray
    frequency: FloatArray
    order: FloatArray
    basis: Basis

    @classmethod
    def of(cls, rows: FloatArray, basis: Basis, centre: float) -> "Harmonics":
        """As seen through a window about a column; rows of shape (n, n_groups, n_columns).

        Raises:
            ReductionError: If nothing absorbs there.
        """
        n, n_groups, n_columns = rows.shape
        together = max(1, n_columns // _MOST_COLUMNS)
        n_kept = n_columns // together
        seen = rows[:, :, : n_kept * together].reshape(n, n_groups, n_kept, together).mean(axis=3)
        column = np.arange(n_kept) * together + (together - 1) / 2
        half = min(centre, n_columns - 1 - centre) + 0.5
        radius, taper = _extent(np.abs(seen.mean(axis=(0, 1))), column - centre, half)
        window = _window((column - centre) / half, taper)
        highest = min(_HIGHEST, (basis.most - 4) / (2 * np.pi * radius))
        frequency = np.geomspace(0.5 / n_columns, max(highest, 1 / n_columns), _N_FREQUENCIES)
        # A Bessel function of order m + 2 m^(1/3) + 2 at m is below 0.001.
        reach = 2 * np.pi * frequency * radius
        order = np.minimum(np.ceil(reach + 2 * np.cbrt(reach) + 2), basis.most)
        phase = 2 * np.pi * np.outer(column, frequency)
        # Slopes: of a sample wider than the field, values would show the window most of all. Those
        # of a mirror image have the other sign, which the factor i takes back.
        slopes = (np.gradient(seen, axis=2) * window).reshape(n * n_groups, n_kept)
        values = slopes @ np.sin(phase) + 1j * (slopes @ np.cos(phase))
        if basis.is_open:
            # Slopes are half the difference of a pixel's neighbours: that leaves so much of noise.
            values /= np.sin(2 * np.pi * frequency)
        return cls(
            basis.weight[:, None] * values.reshape(n, n_groups * _N_FREQUENCIES),
            np.tile(frequency, n_groups),
            np.tile(order, n_groups),
            basis,
        )

    def best_column(self, n_columns: int) -> tuple[float, float]:
        """About which least is left over, and how far all frequencies agree on that, up to 1."""
        reach = _BEYOND * n_columns
        columns = np.arange(-reach, n_columns + reach, 0.25)
        product = self._depends_on_column().reshape(-1, _N_FREQUENCIES).sum(axis=0)
        frequency = self.frequency[:_N_FREQUENCIES]
        phase = np.exp(4j * np.pi * np.outer(columns, frequency))
        held = (phase @ product).real
        best = int(held.argmax())
        return float(columns[best]), float(held[best] / np.abs(product).sum())

    def _depends_on_column(self) -> AnyArray:
        """What harmonics hold about column a is constant + Re(sum product exp(4 pi i k a))."""
        squares = []
        for held in (self._even, self._odd):
            x, y = held(self.values.real), held(self.values.imag)
            squares.append([(one * other).sum(axis=0) for one, other in ((x, x), (y, y), (x, y))])
        (even_xx, even_yy, even_xy), (odd_xx, odd_yy, odd_xy) = squares
        along = (even_xx - even_yy - odd_xx + odd_yy) / 2
        return np.asarray(along - 1j * (odd_xy - even_xy))

    def fitted(
        self, start: FloatArray, along: list[FloatArray], prior: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Shifts with which harmonics leave least, and their covariance, columns squared.

        Args:
            start: Of each shift, columns.
            along: What each does to each projection, shape (n,) each.
            prior: Weight of the start, 1 / columns squared.

        Returns:
            Shifts, and a covariance that is infinite where noise alone would say as much.
        """
        shift, directions = start.copy(), np.stack(along)
        known = np.diag(np.zeros(len(start)) if prior is None else prior)
        of_noise = self._said_by_noise(directions)
        for _ in range(_N_STEPS):
            said = self._said(shift, directions, of_noise)
            normal = said.normal + said.variance * known
            gradient = said.gradient + said.variance * known @ (shift - start)
            step = np.linalg.lstsq(normal, gradient, rcond=1e-12)[0]
            shift = shift - np.clip(step, -_LONGEST, _LONGEST)
        if np.linalg.eigvalsh(normal).min() <= 0:
            return shift, np.full_like(normal, np.inf)
        inverse = np.linalg.pinv(normal, rcond=1e-12)
        spread = said.spread + said.variance**2 * known
        return shift, np.asarray(inverse @ spread @ inverse)

    def _said(self, shift: FloatArray, directions: FloatArray, of_noise: FloatArray) -> "_Said":
        """What all series say about shifts, near some."""
        phase = 2 * np.pi * np.outer(shift @ directions, self.frequency)
        turned = self.values * np.exp(1j * phase)
        rest = self._left_over(turned)
        free = np.maximum(1 - (2 * self.order + 1) / (2 * len(rest)), _LEAST_FREE)
        variance = float(np.vdot(rest, rest).real) / (2 * len(rest) * free.sum())
        # From what harmonics hold, and of that the signal's alone: what noise in it says comes off.
        slopes = self._slopes(turned - rest, directions)
        whole = slopes.reshape(len(slopes), -1)
        scores = (slopes.conj() * (rest / np.sqrt(free))).real
        return _Said(
            normal=(whole.conj() @ whole.T).real - variance * of_noise,
            gradient=(whole.conj() @ rest.ravel()).real,
            spread=_spread(scores),
            variance=variance,
        )

    def _said_by_noise(self, directions: FloatArray) -> FloatArray:
        """What harmonics make of noise seems to say about shifts, as a normal matrix.

        Of noise whose real and imaginary parts have variance 1; drawn, always the same.
        """
        drawn = np.random.default_rng(0).normal(size=(2, *self.values.shape))
        noise = drawn[0] + 1j * drawn[1]
        slopes = self._slopes(noise - self._left_over(noise), directions)
        slopes = slopes.reshape(len(slopes), -1)
        return np.asarray((slopes.conj() @ slopes.T).real)

    def _slopes(self, held: AnyArray, directions: FloatArray) -> AnyArray:
        """By what is left over for a shift of one column, shape (n_directions, n, n_series)."""
        turn = 2j * np.pi * self.frequency
        return np.stack([self._left_over(held * np.outer(each, turn)) for each in directions])

    def _even(self, part: FloatArray) -> FloatArray:
        """What each even harmonic holds of a part, those that a series may not have 0."""
        allowed = np.arange(self.basis.even.shape[1])[:, None] < 2 * (self.order // 2) + 1
        return np.asarray((self.basis.even.T @ np.ascontiguousarray(part)) * allowed)

    def _odd(self, part: FloatArray) -> FloatArray:
        allowed = np.arange(self.basis.odd.shape[1])[:, None] < 2 * ((self.order + 1) // 2)
        return np.asarray((self.basis.odd.T @ np.ascontiguousarray(part)) * allowed)

    def _left_over(self, values: AnyArray) -> AnyArray:
        """What harmonics cannot hold."""
        even, odd = self._even(values.real), self._odd(values.imag)
        return np.asarray(values - (self.basis.even @ even + 1j * (self.basis.odd @ odd)))


def _spread(scores: FloatArray) -> FloatArray:
    """Covariance of a sum over projections and series, shape (n_directions, n, n_series).

    Noise is independent from projection to projection, though not from frequency to frequency; what
    is left of rings is the same in all projections, and independent from rows to rows: what differs
    more says how far the sum is known.
    """
    by_projection = scores.sum(axis=2)
    by_group = scores.sum(axis=1).reshape(len(scores), -1, _N_FREQUENCIES).sum(axis=2)
    n_groups = by_group.shape[1]
    found = [by_projection @ by_projection.T]
    if n_groups > 1:
        found.append(by_group @ by_group.T * (n_groups / (n_groups - 1)))
    return np.asarray(max(found, key=np.trace))


def _extent(mean: FloatArray, away: FloatArray, half: float) -> tuple[float, float]:
    """Radius of the sample, columns, and share of the window over which it may fall off.

    A sample that ends within the window is not touched by it: what falls off on one side more than
    on the other is no mirror image. One that reaches the window's end is wider than it.
    """
    away = np.abs(away)
    if not mean[away <= half].max() > 0:
        raise ReductionError("nothing absorbs: the rotation axis cannot be found")
    seen = mean > _EDGE * mean[away <= half].max()
    radius = float(away[seen].max()) + 1
    if radius >= half:
        return _WIDER * half, _TAPER
    return radius, min(_TAPER, 1 - radius / half)


def _window(place: FloatArray, taper: float) -> FloatArray:
    """1 inside of -1 to 1, falling off to 0 at both ends."""
    inside = np.clip((1 - np.abs(place)) / taper, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * inside))
