"""This file is where the stages of lithium in graphite are told apart by their layers' spacing.

Lines of graphite, its dilute stages (as LiC18), LiC12 and LiC6 overlap. Their spacings are nearly known;
what is asked is how much of each there is, and so how much lithium. Only as many lines are drawn as the
counts ask for: one that is not there would take from its neighbour, within whose width it may lie.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.materials import COUNTER_RANGE, lattice_edges
from battbeam.reduction.curve_fit import CurveFit, fit_curve
from battbeam.units import AnyArray, FloatArray

_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
# Full widths beside the outermost line that are fitted, for the background.
_MARGIN = 4.0
# Together the stages must be seen by this many errors.
_SEEN = 5.0
# What chi squared must gain by another line: two parameters, and chance among several sets.
_PER_LINE = 10.0
# How far beyond what its phase can have a spacing may be found, angstrom: else it is another stage.
_BEYOND = 0.006
# Prior of what widths are multiplied with.
_WIDTH = 0.05


@dataclass(frozen=True)
class Line:
    """One reflection of one phase.

    Attributes:
        name: That results have it under.
        phase: A name of `battbeam.materials.PHASES`.
        hkl: As digits.
        spacing: Expected, angstrom.
        spread: Standard deviation of what is expected, angstrom.
        lithium: Per six carbon; None: by the spacing (`battbeam.materials.lattice_edges`).
    """

    name: str
    phase: str
    hkl: str
    spacing: float
    spread: float
    lithium: float | None = None


#: Lines of the layers in graphite, lithium-poor to lithium-rich. What their spacings differ by between
#: samples is recalled; that of LiC18 stands for all dilute stages.
STAGES = (
    Line("graphite", "graphite", "002", 3.37, 0.015),
    Line("LiC18", "LiC18", "002", 3.50, 0.02),
    Line("LiC12", "LiC12", "002", 3.525, 0.003, 0.5),
    Line("LiC6", "LiC6", "001", 3.70, 0.01, 1.0),
)

_SUBSETS = tuple(
    lines
    for n in range(1, len(STAGES) + 1)
    for lines in itertools.combinations(range(len(STAGES)), n)
)


@dataclass(frozen=True)
class StageFit:
    """Fitted stages.

    Attributes:
        channel: Of each line and its error, shape (n_lines, 2).
        area: Counts of each and its error, shape (n_lines, 2).
        seen: Names of the lines that were drawn; others have the area 0, and as its error how well it
            would be seen.
        residual: Reduced chi squared, priors included.
        parameters: Areas, channels, factor on the widths, background.
        covariance: Of them.
    """

    channel: FloatArray
    area: FloatArray
    seen: tuple[str, ...]
    residual: float
    parameters: FloatArray = field(repr=False)
    covariance: FloatArray = field(repr=False)


class StageModel:
    """The lines of the stages over a straight background.

    Args:
        channel: Of a spacing (or an angle, or an energy): the axis that counts come on.
        full_width: Of a line there, same unit.
        strength: Counts of each of `STAGES` per mole of formula units, relative, at a spacing.
        companions: Of each of `STAGES` the weaker lines of the same phase that come with it, each as
            (spacing, share of its counts); they stay where they are when the layers widen.
    """

    def __init__(
        self,
        channel: Callable[[FloatArray], FloatArray],
        full_width: Callable[[FloatArray], FloatArray],
        strength: Sequence[Callable[[float], float]],
        companions: Sequence[Sequence[tuple[float, float]]] = ((),) * len(STAGES),
    ) -> None:
        spacing = np.array([line.spacing for line in STAGES])
        self._expected = channel(spacing)
        slope = (channel(spacing * (1 + 1e-6)) - self._expected) / (spacing * 1e-6)
        self._spread = np.abs(slope) * np.array([line.spread for line in STAGES])
        self._width = full_width(self._expected) / _PER_SIGMA
        ends = np.array([_ends(line) for line in STAGES])
        self._limits = np.sort(channel(ends), axis=1)
        self._strength = tuple(strength)
        self._companions = tuple(
            tuple((float(channel(np.array(d))), share) for d, share in each) for each in companions
        )
        margin = _MARGIN * float(self._width.max()) * _PER_SIGMA
        self._range = float(self._expected.min()) - margin, float(self._expected.max()) + margin

    def fit(self, counts: AnyArray) -> StageFit:
        """Areas and places of the stages in a spectrum of counts, shape (n_channels,).

        Raises:
            ReductionError: If the spectrum does not reach there, or none of them is seen.
        """
        low, high = int(np.ceil(self._range[0])), int(np.floor(self._range[1]))
        if low < 0 or high >= len(counts):
            raise ReductionError(
                f"the stages of graphite lie in channels {low} to {high}, the spectrum has {len(counts)}"
            )
        window = _Window.of(np.asarray(counts, dtype=float), low, high)
        best: CurveFit | None = None
        which: tuple[int, ...] = ()
        for lines in _SUBSETS:
            fit = self._subset(window, lines)
            if fit is None or (best is not None and _cost(fit, lines) >= _cost(best, which)):
                continue
            best, which = fit, lines
        if best is None:
            raise ReductionError("no line of graphite or its stages is seen")
        n, k = len(STAGES), len(which)
        total = np.zeros(len(best.parameters))
        total[:k] = 1.0
        if float(best.parameters[:k].sum()) < _SEEN * np.sqrt(best.variance_of(total)):
            raise ReductionError("no line of graphite or its stages is seen")
        whole = [*which, *(n + each for each in which), 2 * n, 2 * n + 1, 2 * n + 2]
        parameters = np.concatenate([np.zeros(n), self._expected, [1.0, 0.0, 0.0]])
        parameters[whole] = best.parameters
        # Of a line that is not there: its place is not known, and its area by how well one would be seen.
        covariance = np.diag(
            np.concatenate([self._least_area(window), self._spread**2, np.zeros(3)])
        )
        covariance[np.ix_(whole, whole)] = best.covariance
        errors = np.sqrt(np.diag(covariance))
        return StageFit(
            channel=np.column_stack([parameters[n : 2 * n], errors[n : 2 * n]]),
            area=np.column_stack([parameters[:n], errors[:n]]),
            seen=tuple(STAGES[each].name for each in which),
            residual=best.chi_squared / max(best.degrees_of_freedom, 1),
            parameters=parameters,
            covariance=covariance,
        )

    def _drawn(
        self, window: "_Window", parameters: FloatArray, lines: tuple[int, ...]
    ) -> FloatArray:
        k = len(lines)
        light, _, _ = self._shapes(window, parameters, lines)
        smooth = parameters[2 * k + 1] + parameters[2 * k + 2] * window.along
        return np.asarray(light @ parameters[:k] + smooth)

    def _slopes(
        self, window: "_Window", parameters: FloatArray, lines: tuple[int, ...]
    ) -> FloatArray:
        """Of `_drawn` by the parameters, shape (n_channels, n_parameters)."""
        area = parameters[: len(lines)]
        light, by_place, by_factor = self._shapes(window, parameters, lines)
        smooth = [np.ones_like(window.along), window.along]
        return np.column_stack([light, area * by_place, by_factor @ area, *smooth])

    def _shapes(
        self, window: "_Window", parameters: FloatArray, lines: tuple[int, ...]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each line of unit area with what comes with it, and its derivatives by its place and by the
        factor on the widths; shape (n_channels, n_lines) each.
        """
        k, factor = len(lines), parameters[2 * len(lines)]
        others = [(i, *each) for i, line in enumerate(lines) for each in self._companions[line]]
        owner = np.array([*range(k), *(i for i, _, _ in others)])
        places = np.append(parameters[k : 2 * k], [at for _, at, _ in others])
        share = np.append(np.ones(k), [share for _, _, share in others])
        sigma = self._width[list(lines)][owner] * factor
        u = (window.at[:, None] - places) / sigma
        bells = share * np.exp(-(u**2) / 2) / (np.sqrt(2 * np.pi) * sigma)
        together = np.equal.outer(owner, np.arange(k)).astype(float)
        by_factor = bells * (u**2 - 1) / factor
        by_place = (bells * u / sigma)[:, :k]
        return bells @ together, by_place, by_factor @ together

    def _subset(self, window: "_Window", lines: tuple[int, ...]) -> CurveFit | None:
        """The fit of some of the stages; None where one of them would be less than nothing, or not where
        it can be.
        """
        k, chosen = len(lines), list(lines)
        middle = np.append(self._expected[chosen], 1.0)
        spread = np.append(self._spread[chosen], _WIDTH)

        def model(parameters: FloatArray) -> FloatArray:
            return np.concatenate(
                [self._drawn(window, parameters, lines), parameters[k : 2 * k + 1]]
            )

        def slopes(parameters: FloatArray) -> FloatArray:
            priors = np.eye(len(parameters))[k : 2 * k + 1]
            return np.vstack([self._slopes(window, parameters, lines), priors])

        start = self._start(window, lines)
        values = np.concatenate([window.values, middle])
        fit: CurveFit | None = None
        # The second time with the variance that the model expects, which noise cannot draw.
        for level in (window.smooth, None):
            expected = self._drawn(window, start, lines) if level is None else level
            errors = np.concatenate([np.sqrt(np.maximum(expected, 1.0)), spread])
            try:
                fit = fit_curve(model, start, values, errors, derivatives=slopes)
            except ReductionError:
                return None
            start = fit.parameters
        if fit is None or (fit.parameters[:k] <= 0).any():
            return None
        low, high = self._limits[chosen].T
        places = fit.parameters[k : 2 * k]
        return fit if ((low < places) & (places < high)).all() else None

    def _start(self, window: "_Window", lines: tuple[int, ...]) -> FloatArray:
        """Lines where they are expected, with the areas that fit best."""
        k = len(lines)
        start = np.concatenate([np.zeros(k), self._expected[list(lines)], [1.0, 0.0, 0.0]])
        linear = [*range(k), 2 * k + 1, 2 * k + 2]
        columns = []
        for index in linear:
            one = start.copy()
            one[index] = 1.0
            columns.append(self._drawn(window, one, lines))
        start[linear] = np.linalg.lstsq(np.column_stack(columns), window.values)[0]
        return start

    def _least_area(self, window: "_Window") -> FloatArray:
        """Variance of the area of a line alone at its expected place, shape (n_lines,)."""
        away = (window.at[:, None] - self._expected) / self._width
        light = np.exp(-(away**2) / 2) / (np.sqrt(2 * np.pi) * self._width)
        known = (light**2 / np.maximum(window.smooth, 1.0)[:, None]).sum(axis=0)
        return np.asarray(1 / known, dtype=float)

    def content(
        self, fit: StageFit, spacing: Callable[[FloatArray], FloatArray]
    ) -> tuple[float, float]:
        """Lithium per six carbon, mean over all stages by moles, and its error.

        Args:
            fit: Of `fit`.
            spacing: Of a channel, angstrom.
        """
        n = len(STAGES)

        def mean(parameters: FloatArray) -> float:
            spacings = spacing(parameters[n : 2 * n])
            strength = zip(self._strength, spacings, strict=True)
            moles = parameters[:n] / np.array([of(float(d)) for of, d in strength])
            held = [lithium_of(line, float(d)) for line, d in zip(STAGES, spacings, strict=True)]
            return float(moles @ np.array(held) / moles.sum())

        errors = np.sqrt(np.diag(fit.covariance))
        gradient = np.zeros(len(errors))
        for index in range(2 * n):
            step = np.zeros(len(errors))
            step[index] = errors[index] / 2
            there, back = mean(fit.parameters + step), mean(fit.parameters - step)
            gradient[index] = (there - back) / errors[index]
        return mean(fit.parameters), float(np.sqrt(gradient @ fit.covariance @ gradient))


@dataclass(frozen=True)
class _Window:
    """The channels about the stages."""

    at: FloatArray
    along: FloatArray
    values: FloatArray
    smooth: FloatArray

    @classmethod
    def of(cls, counts: FloatArray, low: int, high: int) -> "_Window":
        at = np.arange(low, high + 1, dtype=float)
        values = counts[low : high + 1]
        smooth = np.convolve(np.pad(values, 3, mode="edge"), np.ones(7) / 7, mode="valid")
        return cls(at, (at - at.mean()) / (np.ptp(at) / 2), values, np.asarray(smooth, dtype=float))


def _cost(fit: CurveFit, lines: tuple[int, ...]) -> float:
    return fit.chi_squared + _PER_LINE * len(lines)


def lithium_of(line: Line, spacing: float) -> float:
    """Per six carbon, of a stage whose layers are this far apart."""
    if line.lithium is not None:
        return line.lithium
    content, spacings = _table(line.phase)
    return float(np.interp(spacing, spacings, content))


def _ends(line: Line) -> tuple[float, float]:
    """Spacings between which a line can be found, angstrom."""
    if line.lithium is not None:
        return line.spacing - 0.1, line.spacing + 0.1
    _, spacings = _table(line.phase)
    return float(spacings.min()) - _BEYOND, float(spacings.max()) + _BEYOND


@functools.cache
def _table(phase: str) -> tuple[FloatArray, FloatArray]:
    """Lithium content and spacing of two layers a cell."""
    content = np.linspace(*COUNTER_RANGE[phase], 61)
    return content, lattice_edges(phase, content)[:, 1] / 2
