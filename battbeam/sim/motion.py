"""This file is where it is worked out how far a cell has moved along the beam."""

from collections.abc import Sequence

from battbeam.sim.scenario import Layer
from battbeam.sim.scenario_degradation import Motion


def displacement(motion: Motion | None, *, charge: float, capacity: float, age: float) -> float:
    """mm downstream since the start.

    Args:
        motion: The law; None: the cell stands still.
        charge: C passed since the start, > 0 on charge.
        capacity: C that change the mean content of the fresh working electrode by one.
        age: s since the start.
    """
    if motion is None:
        return 0.0
    if motion.law == "step":
        return motion.amplitude if age >= motion.at else 0.0
    return motion.amplitude * charge / capacity


def depths(layers: Sequence[Layer], moved: float) -> tuple[float, ...]:
    """z of the middle of each layer, mm, with the cell ``moved`` mm downstream."""
    return tuple(layer.depth + (moved if layer.moves else 0.0) for layer in layers)
