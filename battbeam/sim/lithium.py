"""This file is where the lithium of a working electrode is: how much, at which point, in which phase."""

import math

import numpy as np

from battbeam.materials import FARADAY, MISCIBILITY_GAP
from battbeam.sim import scenario
from battbeam.sim.chemistry import ACTIVE_MATERIALS, ActiveMaterial
from battbeam.units import FloatArray

_COULOMB_PER_MAH = 3.6


def active_material(cell: scenario.Cell) -> ActiveMaterial:
    """What the working electrode is made of."""
    return ACTIVE_MATERIALS[cell.chemistry]


def active_phase(cell: scenario.Cell) -> str:
    """Name of the active material when it is one phase."""
    return active_material(cell).name


def lithium_range(cell: scenario.Cell) -> tuple[float, float]:
    """Lowest and highest lithium content of the active material."""
    return active_material(cell).content_range


def active_areal_moles(cell: scenario.Cell) -> float:
    """All active formula units per electrode area, mol/cm2, inactive ones too."""
    return cell.active_loading * 1e-3 / active_material(cell).molar_mass


def connected_fraction(cell: scenario.Cell) -> float:
    """Share of the active material that takes part: neither inactive nor in the dead spot."""
    return (1 - cell.inactive_fraction) * (1 - _dead_area_fraction(cell))


def full_capacity(cell: scenario.Cell) -> float:
    """mAh that change the mean lithium content of the connected material by one."""
    moles = active_areal_moles(cell) * cell.electrode_area * connected_fraction(cell)
    return moles * FARADAY / _COULOMB_PER_MAH


def is_dead(*, x: FloatArray, y: FloatArray, cell: scenario.Cell) -> "np.typing.NDArray[np.bool_]":
    """Whether points of the electrode (mm, in the cell's frame) lie in the dead spot."""
    spot = cell.dead_spot
    if spot is None:
        return np.zeros(np.broadcast(x, y).shape, dtype=bool)
    return np.asarray(np.hypot(np.asarray(x) - spot.x, np.asarray(y) - spot.y) <= spot.radius)


def local_lithium_content(
    mean: FloatArray | float,
    x: FloatArray | float,
    y: FloatArray | float,
    depth: FloatArray | float,
    cell: scenario.Cell,
    *,
    lowest: FloatArray | float | None = None,
) -> FloatArray:
    """Lithium content of the connected material at points of the electrode.

    The gradients are scaled by 4 f (1 - f), f the mean's place in the lithium range, so that they
    vanish at both ends, and by so much more, where they are steep, that no point leaves the range.
    They are taken about the middle of the material that takes part, so the mean over the electrode
    is ``mean``. The dead spot stays as it was at the start.

    Args:
        mean: Of the connected material.
        x: mm, in the cell's frame.
        y: mm.
        depth: Through the electrode, -0.5 (separator) to 0.5 (collector).
        cell: The hidden truth about the cell.
        lowest: Lowest content that a point may have, where it is not the active material's.

    Returns:
        Shape of the four broadcast together.
    """
    lowest_of_all, high = lithium_range(cell)
    low = lowest_of_all if lowest is None else np.asarray(lowest, dtype=float)
    place = (np.asarray(mean, dtype=float) - low) / (high - low)
    middle_x, middle_y = _connected_middle(cell)
    deviation = (
        cell.gradient_x * (np.asarray(x, dtype=float) - middle_x)
        + cell.gradient_y * (np.asarray(y, dtype=float) - middle_y)
        + cell.gradient_depth * np.asarray(depth, dtype=float)
    )
    steepest = (
        math.hypot(cell.gradient_x, cell.gradient_y)
        * (cell.electrode_radius + math.hypot(middle_x, middle_y))
        + abs(cell.gradient_depth) / 2
    )
    # 4 f (1 - f) D stays within both ends for every f when D is at most a quarter of the range.
    within = np.minimum(1.0, 0.25 * (high - low) / steepest) if steepest > 0 else 1.0
    local = np.asarray(mean, dtype=float) + 4 * place * (1 - place) * within * deviation
    dead = is_dead(x=np.asarray(x), y=np.asarray(y), cell=cell)
    return np.where(dead, cell.initial_lithium_content, np.clip(local, low, high))


def phase_composition(
    local: FloatArray, cell: scenario.Cell
) -> list[tuple[str, FloatArray, FloatArray]]:
    """The phases at each local lithium content.

    Args:
        local: Lithium content, any shape.
        cell: The hidden truth about the cell.

    Returns:
        Each phase's name, its mole fraction and the lithium content in it, both of the shape of
        ``local``.

    Source:
        Lever rule between the edges of the miscibility gap of LixFePO4; one phase outside it, and
        for the others.
    """
    content = np.asarray(local, dtype=float)
    if cell.chemistry != "lfp" or cell.solid_solution:
        return [(active_phase(cell), np.ones_like(content), content)]
    poor, rich = MISCIBILITY_GAP
    fraction = np.clip((content - poor) / (rich - poor), 0.0, 1.0)
    return [
        ("LiFePO4", fraction, np.maximum(content, rich)),
        ("FePO4", 1 - fraction, np.minimum(content, poor)),
    ]


def _dead_area_fraction(cell: scenario.Cell) -> float:
    return 0.0 if cell.dead_spot is None else (cell.dead_spot.radius / cell.electrode_radius) ** 2


def _connected_middle(cell: scenario.Cell) -> tuple[float, float]:
    """Centre of area of the electrode without its dead spot, mm."""
    if cell.dead_spot is None:
        return 0.0, 0.0
    share = _dead_area_fraction(cell)
    weight = -share / (1 - share)
    return weight * cell.dead_spot.x, weight * cell.dead_spot.y
