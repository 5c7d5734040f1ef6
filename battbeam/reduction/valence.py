"""This file is where edge positions of standards become a line that valences are read from, and where
a peak before the edge is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.reduction.absorbance import Absorbance
from battbeam.units import FloatArray

# Of the curve to either side of a peak that its base is drawn from, eV below and above it.
_FLANKS = (10.0, 3.0)
# Least distance of the base from the edge itself, eV: its tail has a pole there.
_CLEARANCE = 2.0


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
    peak: tuple[float, float],
    edge_position: float,
) -> tuple[float, float]:
    """Area of the peak before an edge, and its error, eV.

    Its base is a line plus the tail of the edge's own width, 1 / (edge - energy), drawn through the
    curve on either side of the peak.

    Args:
        energy: eV, ascending, shape (n,).
        normalized: Absorbance, 1 behind the edge.
        peak: Range of the peak, eV.
        edge_position: eV.

    Returns:
        NaN if there are too few points on either side or in the peak.

    Source:
        The tail is that of the Lorentzian level width: arctan(x) goes with pi/2 - 1/x.
    """
    good = np.isfinite(normalized.values) & np.isfinite(normalized.errors)
    good &= energy < edge_position - _CLEARANCE
    x, y, sigma = energy[good], normalized.values[good], normalized.errors[good]
    inside = (x >= peak[0]) & (x <= peak[1])
    below = (x < peak[0]) & (x >= peak[0] - _FLANKS[0])
    above = (x > peak[1]) & (x <= peak[1] + _FLANKS[1])
    if inside.sum() < 3 or min(below.sum(), above.sum()) < 2:
        return float("nan"), float("nan")
    base = below | above
    columns = np.column_stack([np.ones(len(x)), (x - peak[0]) / 10, 1 / (edge_position - x)])
    amounts = np.zeros((3, len(x)))
    amounts[:, base] = np.linalg.pinv(columns[base] / sigma[base][:, None]) / sigma[base]
    width = np.zeros(len(x))
    # Each point stands for the curve half way to its neighbours, within the peak's range.
    edges = np.concatenate([[peak[0]], (x[inside][1:] + x[inside][:-1]) / 2, [peak[1]]])
    width[inside] = np.diff(edges)
    weights = width - (width @ columns) @ amounts
    return float(weights @ y), float(np.sqrt(weights**2 @ sigma**2))
