"""This file is where edge positions of standards become a line that valences are read from, and where
a peak before the edge is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.reduction.absorbance import Absorbance
from battbeam.units import FloatArray

# A peak before an edge: half of the range its area is taken over, and the standard deviation of the
# Gaussian it is looked for with, eV; what it takes for one to stand out, in standard deviations.
_HALF_WIDTH, _PEAK_WIDTH, _SIGNIFICANT = 3.0, 0.9, 5.0
# Of the curve to either side of it that its base is drawn through, eV below and above.
_FLANKS = (10.0, 2.5)
# Least distance of all of this from the edge itself, eV: the tail has a pole there.
_CLEARANCE = 1.5
_PLACE_STEP, _LEAST_POINTS = 0.25, 8


@dataclass(frozen=True)
class ValenceLine:
    """Oxidation state against edge position, a straight line through standards.

    Attributes:
        edge_position: eV, mean of the standards.
        oxidation_state: There.
        slope: 1/eV.
        covariance: Of (oxidation state, slope), shape (2, 2).
    """

    edge_position: float
    oxidation_state: float
    slope: float
    covariance: FloatArray

    @classmethod
    def through(
        cls,
        edge_positions: Sequence[float],
        oxidation_states: Sequence[float],
        *,
        edge_position_errors: Sequence[float],
    ) -> "ValenceLine":
        """By least squares; the scatter about the line counts where it is more than the errors say.

        Args:
            edge_positions: eV, two different ones or more.
            oxidation_states: Of the same standards.
            edge_position_errors: eV, one standard deviation.

        Raises:
            ValueError: If there are fewer than two positions.
        """
        edges, states = np.asarray(edge_positions, float), np.asarray(oxidation_states, float)
        if len(edges) < 2 or np.ptp(edges) == 0:
            raise ValueError(f"a line needs two edge positions, got {edges.tolist()}")
        middle = float(edges.mean())
        columns = np.column_stack([np.ones(len(edges)), edges - middle])
        inverse = np.linalg.pinv(columns)
        state, slope = inverse @ states
        left = states - columns @ [state, slope]
        told = (slope * np.asarray(edge_position_errors, float)) ** 2
        seen = float(left @ left) / (len(edges) - 2) if len(edges) > 2 else 0.0
        covariance = inverse @ np.diag(np.maximum(told, seen)) @ inverse.T
        return cls(middle, float(state), float(slope), covariance)

    def at(self, edge_position: float, error: float) -> tuple[float, float]:
        """Oxidation state and its error at an edge position, eV."""
        away = edge_position - self.edge_position
        lever = np.array([1.0, away])
        variance = float(lever @ self.covariance @ lever) + (self.slope * error) ** 2
        return self.oxidation_state + self.slope * away, float(np.sqrt(variance))


def pre_edge_area(
    energy: FloatArray,
    normalized: Absorbance,
    *,
    between: tuple[float, float],
    edge_position: float,
) -> tuple[float, float]:
    """Area of the peak before an edge, and its error, eV.

    The peak is looked for by the Gaussian that stands out most. Its area is that of the curve, 3 eV to
    either side, above a base that is drawn through the curve beyond: a line plus the tail of the
    edge's own width, 1 / (edge - energy). Where no peak stands out it is taken in the middle.

    Args:
        energy: eV, ascending, shape (n,).
        normalized: Absorbance, 1 behind the edge.
        between: Where the peak may have its middle, eV.
        edge_position: eV.

    Returns:
        NaN if there are too few points on either side or in the peak.

    Source:
        The tail is that of the Lorentzian level width: arctan(x) goes with pi/2 - 1/x.
    """
    good = np.isfinite(normalized.values) & np.isfinite(normalized.errors)
    good &= energy < edge_position - _CLEARANCE
    x, y, sigma = energy[good], normalized.values[good], normalized.errors[good]
    if len(x) < _LEAST_POINTS:
        return float("nan"), float("nan")
    base = np.column_stack([np.ones(len(x)), (x - edge_position) / 10, 1 / (edge_position - x)])
    last = min(between[1], edge_position - _CLEARANCE - _HALF_WIDTH - _FLANKS[1])
    places = np.arange(between[0], last + _PLACE_STEP / 2, _PLACE_STEP)
    found = [_standing_out(x, y, sigma, base, place) for place in places]
    middle = (between[0] + between[1]) / 2
    if found and max(found) > _SIGNIFICANT:
        middle = float(places[int(np.argmax(found))])
    return _area_about(x, y, sigma, base, middle)


def _standing_out(
    x: FloatArray, y: FloatArray, sigma: FloatArray, base: FloatArray, place: float
) -> float:
    """Height of a Gaussian above the base, in its standard deviations."""
    near = np.abs(x - place) <= _FLANKS[0]
    peak = np.exp(-(((x - place) / _PEAK_WIDTH) ** 2) / 2)
    columns = np.column_stack([peak, base])[near]
    if near.sum() < _LEAST_POINTS:
        return 0.0
    inverse = np.linalg.pinv(columns / sigma[near][:, None])
    return float(inverse[0] @ (y[near] / sigma[near]) / np.linalg.norm(inverse[0]))


def _area_about(
    x: FloatArray, y: FloatArray, sigma: FloatArray, base: FloatArray, middle: float
) -> tuple[float, float]:
    low, high = middle - _HALF_WIDTH, middle + _HALF_WIDTH
    inside = (x >= low) & (x <= high)
    below = (x < low) & (x >= low - _FLANKS[0])
    above = (x > high) & (x <= high + _FLANKS[1])
    if inside.sum() < 3 or min(below.sum(), above.sum()) < 2:
        return float("nan"), float("nan")
    beside = below | above
    amounts = np.zeros((3, len(x)))
    amounts[:, beside] = np.linalg.pinv(base[beside] / sigma[beside][:, None]) / sigma[beside]
    width = np.zeros(len(x))
    # Each point stands for the curve half way to its neighbours, within the peak's range.
    edges = np.concatenate([[low], (x[inside][1:] + x[inside][:-1]) / 2, [high]])
    width[inside] = np.diff(edges)
    weights = width - (width @ base) @ amounts
    return float(weights @ y), float(np.sqrt(weights**2 @ sigma**2))
