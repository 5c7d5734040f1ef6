"""This file is where the lithium of a graphite electrode is: at which point, and in which stage.

Lithium content y is per six carbon (LiyC6). Graphite stands upstream of the separator, as the beam
meets it; depth goes from its collector to its separator side.
"""

import numpy as np

from battbeam.materials import COUNTER_PHASES, COUNTER_RANGE
from battbeam.sim.lithium import active_areal_moles, connected_fraction
from battbeam.sim.scenario import Cell
from battbeam.units import FloatArray


def carbon_areal_moles(cell: Cell) -> float:
    """mol/cm2 of C6 in the counter electrode: its capacity over Faraday's constant."""
    return active_areal_moles(cell) * connected_fraction(cell) * cell.counter.capacity_ratio


def stages(content: FloatArray) -> list[tuple[str, FloatArray, FloatArray]]:
    """The phases of graphite at each lithium content.

    Args:
        content: y, 0 to 1, any shape.

    Returns:
        Each phase's name, its share of the carbon and the lithium content in it, both of the shape of
        ``content``; poor to rich.

    Source:
        Lever rule between neighbours of the order dilute, 4 to 2L, 2, 1: Dahn, Phys. Rev. B 44 (1991)
        9170. Stages 4 and 3 are part of LiC18 (2L), whose lattice follows its content.
    """
    content = np.asarray(content, dtype=float)
    edges = [COUNTER_RANGE[phase] for phase in COUNTER_PHASES]
    found = []
    for index, phase in enumerate(COUNTER_PHASES):
        low, high = edges[index]
        share = np.ones_like(content)
        if index > 0:
            before = edges[index - 1][1]
            share = np.minimum(share, (content - before) / (low - before))
        if index + 1 < len(edges):
            after = edges[index + 1][0]
            share = np.minimum(share, (after - content) / (after - high))
        found.append((phase, np.clip(share, 0.0, 1.0), np.clip(content, low, high)))
    return found


def local_content(
    mean: FloatArray | float,
    lag: FloatArray | float,
    x: FloatArray | float,
    y: FloatArray | float,
    depth: FloatArray | float,
    cell: Cell,
) -> FloatArray:
    """Lithium content at points of the counter electrode; its mean over the electrode is ``mean``.

    Args:
        mean: y of the whole electrode, ``HiddenState.counter_content``.
        lag: Of grains' surfaces ahead of their mean, ``HiddenState.counter_lag``: the gradient through the
            depth is in proportion to it, so it vanishes at rest and is small at a small current.
        x: mm, in the cell's frame.
        y: mm.
        depth: -0.5 (collector) to 0.5 (separator).
        cell: The hidden truth about the cell.

    Returns:
        Shape of the five broadcast together, 0 to 1. Where a gradient would leave that range, all of it
        is made smaller.
    """
    truth = cell.counter
    mean, lag = np.asarray(mean, dtype=float), np.asarray(lag, dtype=float)
    across = truth.gradient_x * np.asarray(x) + truth.gradient_y * np.asarray(y)
    deviation = 4 * mean * (1 - mean) * across + truth.gradient_depth * lag * np.asarray(depth)
    farthest = np.hypot(truth.gradient_x, truth.gradient_y) * cell.electrode_radius
    steepest = 4 * mean * (1 - mean) * farthest + np.abs(truth.gradient_depth * lag) / 2
    room = np.minimum(mean, 1 - mean)
    within = np.minimum(
        1.0, np.divide(room, steepest, out=np.ones_like(steepest), where=steepest > 0)
    )
    return np.asarray(np.clip(mean + within * deviation, 0.0, 1.0))
