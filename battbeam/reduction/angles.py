"""This file is where a set of projection angles says how evenly it covers half a turn."""

from dataclasses import dataclass

import numpy as np

from battbeam.units import FloatArray

# A gap of more than this many median ones is a missing wedge. Golden-angle sets have gaps of at
# most three sizes, the largest (3 + sqrt 5) / 2 = 2.6 times the smallest.
_LARGEST_GAP = 3.5
# Angles closer than this share of an even gap are one angle seen twice, once from behind.
_SAME = 0.02


@dataclass(frozen=True)
class Coverage:
    """Of half a turn by projections.

    Attributes:
        weights: Share of half a turn that each projection stands for, radian, shape (n,).
        missing_wedge: What no projection stands for, degree.
        step: Median distance between neighbours, degree.
    """

    weights: FloatArray
    missing_wedge: float
    step: float


def coverage(omega: FloatArray) -> Coverage:
    """Weights for any order and any distribution of angles, uniform and golden-angle ones included.

    A projection and the one from behind hold the same, so angles count modulo 180 degree; each
    stands for half of the gaps beside it. In front of a missing wedge there is no more to stand for
    than usual.

    Args:
        omega: Degree, shape (n,).

    >>> coverage(np.array([0.0, 45.0, 90.0, 135.0])).weights.round(3)
    array([0.785, 0.785, 0.785, 0.785])
    """
    folded = np.mod(omega, 180.0)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + 180.0)
    step = float(np.median(gaps[gaps > _SAME * 180 / len(omega)]))
    missing = gaps > _LARGEST_GAP * step
    covered = np.where(missing, step, gaps)
    weights = np.empty(len(omega))
    weights[order] = np.radians((covered + np.roll(covered, 1)) / 2)
    return Coverage(weights, float((gaps - covered)[missing].sum()), step)
