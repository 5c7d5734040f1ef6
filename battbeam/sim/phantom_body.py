"""This file is where a phantom's parts are put together: shapes, each with the change of matter in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from battbeam.materials import FARADAY
from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.phantom_matter import Matter, active_matter, matter_of, porous
from battbeam.sim.phantom_shapes import Prism, Shape
from battbeam.sim.scenario_cell import Cell
from battbeam.sim.scenario_phantom import Sheet

#: Lithium metal that a charge plates, mm per C/cm2: molar mass over density and Faraday's constant.
PLATED_THICKNESS = 6.94 / 0.534 / FARADAY * 10
#: A sheet of lithium does not become thinner, mm: what is left without contact.
_THINNEST = 0.001
_COULOMB_PER_MAH = 3.6


@dataclass(frozen=True)
class PhantomState:
    """What of a cell's hidden state its sizes follow.

    Attributes:
        lithium_content: Mean of the active material.
        place: Of it in its range, 0 to 1.
        largest_place: The largest place so far.
        first_place: At the start.
        areal_charge: Passed since the start, C/cm2, > 0 on charge.
    """

    lithium_content: float
    place: float
    largest_place: float
    first_place: float
    areal_charge: float

    @classmethod
    def of(
        cls,
        cell: Cell,
        *,
        lithium_content: float | None = None,
        charge: float = 0.0,
        largest_content: float | None = None,
    ) -> "PhantomState":
        """Of a cell.

        Args:
            cell: The hidden truth about it.
            lithium_content: Mean; by default that at the start.
            charge: mAh passed since the start.
            largest_content: The largest so far; by default the present one, or the first if that was
                larger.
        """
        first = cell.initial_lithium_content
        content = first if lithium_content is None else lithium_content
        largest = max(first, content) if largest_content is None else largest_content
        low, high = ACTIVE_MATERIALS[cell.chemistry].content_range

        def place(of: float) -> float:
            return min(max((of - low) / (high - low), 0.0), 1.0)

        areal = charge * _COULOMB_PER_MAH / cell.electrode_area
        return cls(content, place(content), place(largest), place(first), areal)


@dataclass(frozen=True)
class Body:
    """A shape, and what is in it more than would be there without it."""

    shape: Shape
    change: Matter


@dataclass(frozen=True)
class Inside:
    """A cell's inside at one state.

    Attributes:
        bodies: Together they are all there is.
        sizes: What tests and truth want to know of it, by name; lengths in mm, volumes in mm3.
    """

    bodies: tuple[Body, ...]
    sizes: Mapping[str, Any] = field(hash=False)

    @property
    def reach(self) -> float:
        """Largest distance from the rotation axis, mm."""
        return max(body.shape.reach for body in self.bodies)

    @property
    def heights(self) -> tuple[float, float]:
        """Lowest and highest y of its prisms, which hold all the rest, mm."""
        prisms = [body.shape for body in self.bodies if isinstance(body.shape, Prism)]
        return min(prism.low for prism in prisms), max(prism.high for prism in prisms)


@dataclass(frozen=True)
class Layered:
    """A sheet at a state: its thickness in mm, and what it is made of."""

    thickness: float
    matter: Matter


def layered(sheet: Sheet, cell: Cell, state: PhantomState) -> Layered:
    """A sheet of a stack as thick as it is at a state, its solid amounts conserved."""
    if sheet.material == "Li":
        # What the counter electrode gains when the cell is charged.
        grown = sheet.thickness + PLATED_THICKNESS * state.areal_charge
        return Layered(max(grown, _THINNEST), matter_of("Li"))
    if sheet.material != "active":
        return Layered(sheet.thickness, porous(matter_of(sheet.material), sheet.packing))
    factor = (1 + sheet.growth * state.place) / (1 + sheet.growth * state.first_place)
    solid = active_matter(cell.chemistry, state.lithium_content)
    return Layered(sheet.thickness * factor, porous(solid, sheet.packing / factor))
