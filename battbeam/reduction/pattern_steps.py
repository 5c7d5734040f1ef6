"""This file is where a step of a fit becomes one that can be taken: not too far, and not for nothing."""

from collections.abc import Sequence

import numpy as np

from battbeam.reduction.component import Component, MeasuredComponent
from battbeam.units import FloatArray

# A phase whose amount is less than so many errors is hardly there.
_HARDLY = 3.0
# A component that moves by less than this, in standard deviations, need not be drawn again.
_STILL = 0.005
# No step may move a line by more than this, in sticks' steps (ten to a line width).
_LONGEST_MOVE = 6.0


def of_the_seen(
    step: FloatArray, slices: Sequence[slice], amounts: FloatArray, errors: FloatArray
) -> FloatArray:
    """The step without components that are hardly there.

    Their lattices would follow the noise for many steps, and nothing else would change: amounts are as
    honest without.

    Args:
        step: Of all parameters that are not amounts.
        slices: Where each component's parameters stand among them.
        amounts: Of the components, those of the background behind them.
        errors: Of the amounts.
    """
    step = step.copy()
    for part, amount, error in zip(slices, amounts, errors, strict=False):
        if abs(amount) < _HARDLY * error:
            step[part] = 0.0
    return step


def of_the_moving(step: FloatArray, slices: Sequence[slice], errors: FloatArray) -> FloatArray:
    """The step without components that it hardly moves, by the errors of their parameters."""
    moves = np.abs(step) >= _STILL * errors
    for part in slices:
        moves[part] = moves[part].any()
    return np.where(moves, step, 0.0)


def shortened(
    step: FloatArray,
    slices: Sequence[slice],
    components: Sequence[Component | MeasuredComponent],
    parameters: Sequence[FloatArray],
) -> FloatArray:
    """The step with no line of any component moving too far.

    Args:
        step: Of all parameters that are not amounts.
        slices: Where each component's parameters stand among them.
        components: To be moved.
        parameters: Of each, as they are.
    """
    step = step.copy()
    for component, p, part in zip(components, parameters, slices, strict=True):
        if isinstance(component, MeasuredComponent) or not step[part].any():
            continue
        edges, moved = p[: component.n_edges], step[part][: component.n_edges]
        if component.is_composed:
            edges, slope = component.table.edges(float(p[0]))
            moved = slope * step[part][0]
        by_edge = component.reflections.two_theta(edges)[1]
        move = np.degrees(by_edge @ moved) / component.shape.sticks.step
        longest = float(np.abs(move).max(initial=0.0))
        step[part] *= min(1.0, _LONGEST_MOVE / max(longest, 1e-300))
    return step
