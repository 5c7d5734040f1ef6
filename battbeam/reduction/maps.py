"""This file is where rows of one map become a grid, and grids are held against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# Positions nearer than this share of a map's step belong to one line of it: a stage in motion is
# read a little beside.
_SAME_LINE = 0.25
# Positions nearer than this are one place however fine the map, mm: a stage that stands is not read
# the same twice.
_SAME_PLACE = 0.002
# Pixels that a correlation needs.
_LEAST_PIXELS = 5


@dataclass(frozen=True)
class Amount:
    """Of something in a whole cell.

    Attributes:
        value: Its unit is that of what was summed.
        error: One standard deviation.
    """

    value: float
    error: float


@dataclass(frozen=True)
class Map:
    """One column over a regular grid; NaN where it is not known.

    Attributes:
        x: Of the columns, mm, ascending, shape (n_x,).
        y: Of the rows, mm, ascending, shape (n_y,).
        values: Shape (n_y, n_x).
        errors: One standard deviation, shape (n_y, n_x).
    """

    x: FloatArray
    y: FloatArray
    values: FloatArray = field(repr=False)
    errors: FloatArray = field(repr=False)

    @classmethod
    def of(
        cls,
        rows: Mapping[str, Any],
        column: str,
        *,
        x: str = "sample_stage_x",
        y: str = "sample_stage_y",
    ) -> "Map":
        """A column of the rows of one map, by where each was measured.

        Of rows at one place the last valid one counts; what is not valid is NaN.

        Args:
            rows: Columns by name, such as a reduced run's: ``column``, its ``_error`` if there is
                one, ``valid`` if there is one, and the positions.
            column: To draw.
            x: Column of the position along the map's columns, mm.
            y: Along its rows.

        Raises:
            ReductionError: If the positions are no grid.
        """
        where = [np.asarray(rows[name], dtype=float) for name in (x, y)]
        values = np.asarray(rows[column], dtype=float)
        name = f"{column}_error"
        errors = (
            np.asarray(rows[name], dtype=float) if name in rows else np.full(len(values), np.nan)
        )
        good = np.isfinite(values)
        if "valid" in rows:
            good = good & (np.asarray(rows["valid"]) == 1)
        axes, places = zip(*(_lines(each) for each in where), strict=True)
        grid = np.full((2, len(axes[1]), len(axes[0])), np.nan)
        for row in np.flatnonzero(good):  # in order: the last one stays
            grid[:, places[1][row], places[0][row]] = values[row], errors[row]
        return cls(axes[0], axes[1], grid[0], grid[1])

    @property
    def known(self) -> AnyArray:
        """Where there is a value, shape (n_y, n_x)."""
        return np.asarray(np.isfinite(self.values))

    @property
    def n_missing(self) -> int:
        """Pixels without a value."""
        return int(np.count_nonzero(~self.known))

    @property
    def pixel_area(self) -> float:
        """cm2; NaN of a map of one row or column."""
        steps = [np.diff(each).mean() if len(each) > 1 else np.nan for each in (self.x, self.y)]
        return float(steps[0] * steps[1] / 100)

    @property
    def mean(self) -> float:
        """Over all pixels that are known."""
        return float(np.nanmean(self.values))

    @property
    def mean_error(self) -> float:
        """Of it, by the errors of the pixels: not what lies between and outside them."""
        sigma = self.errors[self.known]
        return float(np.sqrt((sigma**2).sum()) / len(sigma))

    @property
    def total(self) -> float:
        """Of a column that is per cm2: over the area of all pixels, missing ones as the mean."""
        return self.mean * self.pixel_area * self.values.size

    @property
    def total_error(self) -> float:
        """Of it, by the errors of the pixels."""
        return self.mean_error * self.pixel_area * self.values.size

    def over(self, area: float) -> "Amount":
        """Of a column that is per cm2: over a larger area than the map's.

        What lies outside of the map is taken to be as the pixels at its rim are in the mean.

        Args:
            area: cm2.

        Raises:
            ReductionError: If the map is larger, or nothing is known of its rim.
        """
        mapped = self.pixel_area * self.values.size
        rim = self.known.copy()
        rim[1:-1, 1:-1] = False
        if area < mapped or not rim.any():
            raise ReductionError(
                f"a map of {mapped:.3g} cm2 with {np.count_nonzero(rim)} pixels at its rim says "
                f"nothing about {area:.3g} cm2"
            )
        weight = mapped / self.known.sum() + rim * (area - mapped) / rim.sum()
        each = (weight * self.values)[self.known], (weight * self.errors)[self.known]
        return Amount(float(each[0].sum()), float(np.sqrt((each[1] ** 2).sum())))

    @property
    def excess(self) -> "Map":
        """What each pixel has more than the mean of all."""
        return Map(self.x, self.y, self.values - self.mean, self.errors)

    def disagreement(self, other: "Map") -> float:
        """Chi squared of the difference to a map of the same pixels, over how many are known in both:
        1 +- sqrt(2 / n) of two maps of one thing.
        """
        shared = _shared(self, other)
        apart = (self.values - other.values)[shared]
        variance = (self.errors**2 + other.errors**2)[shared]
        return float((apart**2 / variance).mean())


def _lines(position: FloatArray) -> tuple[FloatArray, AnyArray]:
    """Evenly spaced lines that positions lie on, shape (n,), and the line of each position."""
    ascending = np.unique(position)
    if not np.isfinite(ascending).all() or not len(ascending):
        raise ReductionError("a position of the map is not known")
    gaps = np.diff(ascending)
    apart = gaps > max(_SAME_LINE * gaps.max(initial=0.0), _SAME_PLACE)
    first = np.concatenate([[0], np.flatnonzero(apart) + 1]).astype(int)
    middles = np.array([part.mean() for part in np.split(ascending, first[1:])])
    if len(middles) == 1:
        return middles, np.zeros(len(position), dtype=int)
    step = float(np.min(np.diff(middles)))
    index = np.rint((middles - middles[0]) / step)
    step = float(np.polyfit(index, middles, 1)[0])
    index = np.rint((middles - middles[0]) / step).astype(int)
    if np.abs(middles - middles[0] - index * step).max() > _SAME_LINE * step:
        raise ReductionError(
            f"positions are no regular grid: {np.array2string(middles, precision=3)}"
        )
    axis = middles[0] + step * np.arange(index[-1] + 1)
    axis[index] = middles
    return axis, np.rint((position - middles[0]) / step).astype(int)


def _shared(one: Map, other: Map) -> AnyArray:
    if one.values.shape != other.values.shape:
        raise ReductionError(f"maps of {one.values.shape} and {other.values.shape} pixels")
    return np.asarray(one.known & other.known)


@dataclass(frozen=True)
class Correlation:
    """How alike two maps are.

    Attributes:
        measured: Pearson's r of the values as they are: noise makes it smaller.
        r: What it would be without noise: over the share of each map's variance that is not noise.
            It may come out beyond 1 by its error.
        error: One standard deviation, because of the noise: how far r is from that of the same
            pixels without noise.
        population_error: With what other pixels would have given besides: for a statement about the
            cell, not about this grid.
        reliability: Share of the variance of each map that is not noise.
        n: Pixels.
    """

    measured: float
    r: float
    error: float
    population_error: float
    reliability: tuple[float, float]
    n: int


def correlation(one: Map, other: Map) -> Correlation:
    """Pearson's correlation of two maps of the same pixels, freed from their noise.

    The errors of both must be independent of each other.

    Raises:
        ReductionError: If there are too few pixels, or one map shows nothing but noise.

    Source:
        Spearman, Am. J. Psychol. 15 (1904) 72, with reliabilities from the errors of the values.
    """
    shared = _shared(one, other)
    n = int(np.count_nonzero(shared))
    if n < _LEAST_PIXELS:
        raise ReductionError(f"{n} pixels are known in both maps, {_LEAST_PIXELS} needed")
    values = [each.values[shared] - each.values[shared].mean() for each in (one, other)]
    noise = [each.errors[shared] ** 2 for each in (one, other)]
    # A mean over n pixels takes a share 1 / n of the noise with it.
    kept = 1 - 1 / n
    raw = [float((each**2).mean()) for each in values]
    true = [spread - kept * float(each.mean()) for spread, each in zip(raw, noise, strict=True)]
    reliability = tuple(
        left / spread if spread > 0 else 0.0 for left, spread in zip(true, raw, strict=True)
    )
    if min(reliability) <= 0:
        name = ("first", "second")[int(np.argmin(reliability))]
        raise ReductionError(f"the {name} map shows nothing but noise")
    product = float((values[0] * values[1]).mean())
    scale = float(np.sqrt(true[0] * true[1]))
    r = product / scale
    error = np.sqrt(_noise_variance(values, noise, true, r) / n)
    sampling = (1 - min(abs(r), 1.0) ** 2) / np.sqrt(n - 2)
    return Correlation(
        measured=product / float(np.sqrt(raw[0] * raw[1])),
        r=r,
        error=float(error),
        population_error=float(np.hypot(error, sampling)),
        reliability=(reliability[0], reliability[1]),
        n=n,
    )


def _noise_variance(
    values: list[FloatArray], noise: list[FloatArray], true: list[float], r: float
) -> float:
    """n times the variance of r by the noise of both maps: by first derivatives, and by the products
    of noise with noise that those leave out.
    """
    scale = np.sqrt(true[0] * true[1])
    total = float((noise[0] * noise[1]).mean()) / scale**2
    for mine, theirs in ((0, 1), (1, 0)):
        slope = values[theirs] / scale - r * values[mine] / true[mine]
        # Values hold noise themselves, which derivatives at the truth do not.
        extra = noise[theirs] / scale**2 + r**2 * noise[mine] / true[mine] ** 2
        total += float(((slope**2 - extra) * noise[mine]).mean())
        total += r**2 / 2 * float((noise[mine] ** 2).mean()) / true[mine] ** 2
    return max(float(total), 0.0)
