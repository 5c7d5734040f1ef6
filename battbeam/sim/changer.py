"""This file is where it is decided what the beam meets: which cell of the changer, the standard, nothing.

At stage (x, y) the beam's middle meets the point (x, y) minus its position of each cell, in that
cell's own frame.
"""

import math
from dataclasses import dataclass
from typing import Literal

from battbeam.sim.scenario import STANDARD_RADIUS, Scenario

#: mm that the stage travels at least to either side, and beyond the middle of the outermost cell.
_TRAVEL, _MARGIN = 20.0, 10.0

InBeam = Literal["cell", "standard", "nothing"]


@dataclass(frozen=True)
class Place:
    """What is at a place of the sample stage.

    Attributes:
        in_beam: What the beam meets.
        cell: Number of the cell, 1 the first; 0 without one.
        x: Of the beam's middle in the frame of the cell (without one: of the stage), mm.
        y: mm.
        way: How far the stage goes along x and y while it is looked at, mm; (x, y) is its middle.
    """

    in_beam: InBeam
    cell: int
    x: float
    y: float
    way: tuple[float, float] = (0.0, 0.0)


def place_of(
    scenario: Scenario, x: float, y: float, way: tuple[float, float] = (0.0, 0.0)
) -> Place:
    """What the beam meets with the stage at (x, y), mm, the middle of its ``way`` along x and y."""
    if math.dist((x, y), scenario.standard_position) <= STANDARD_RADIUS:
        return Place("standard", 0, x, y, way)
    half_diagonal = (math.hypot(scenario.beam.size_x, scenario.beam.size_y) + math.hypot(*way)) / 2
    for number, (cell, (cell_x, cell_y)) in enumerate(
        zip(scenario.cells, scenario.positions, strict=True), start=1
    ):
        if math.hypot(x - cell_x, y - cell_y) < cell.electrode_radius + half_diagonal:
            return Place("cell", number, x - cell_x, y - cell_y, way)
    return Place("nothing", 0, x, y, way)


def stage_limits(scenario: Scenario, axis: int) -> tuple[float, float]:
    """How far the stage travels along x (axis 0) or y (1), mm: to the edge of every cell."""
    places = [position[axis] for position in scenario.positions]
    return min(-_TRAVEL, min(places) - _MARGIN), max(_TRAVEL, max(places) + _MARGIN)
