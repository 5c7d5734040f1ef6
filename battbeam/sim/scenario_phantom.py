"""This file is where the inside of a cell is described for the imaging camera: its phantom.

Lengths in mm, in the cell's own frame at omega 0: x to the right and y up as seen from the source,
z downstream; the rotation axis is y, through the cell's middle. Sizes follow the hidden state of the
cell: ``state`` below is the place of its lithium content in its range, 0 (empty) to 1, and
``areal charge`` what has passed since the start, either way, in C/cm2 of electrode.

A material is ``active`` (the cell's active material), a crystalline phase of `battbeam.materials`,
an amorphous material named there, or ``polymer`` (a block copolymer electrolyte).
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from battbeam.sim.scenario_lithium import Plating, Symmetric
from battbeam.sim.scenario_part import Part


class Sheet(Part):
    """One layer of a stack.

    A sheet of ``Li`` gains or loses what the cell's charge plates or strips: 1.35 um per C/cm2.

    Attributes:
        material: Its name.
        thickness: At the start, mm.
        packing: Share of the volume that is solid; the rest is electrolyte.
        growth: Of an active sheet: relative growth of its thickness from state 0 to 1, amounts
            conserved.
    """

    material: str
    thickness: float = Field(gt=0)
    packing: float = Field(default=1.0, gt=0, le=1)
    growth: float = Field(default=0.0, gt=-1)


def _coin_layers() -> tuple[Sheet, ...]:
    return (
        Sheet(material="Kapton", thickness=0.05),
        Sheet(material="Li", thickness=0.15),
        Sheet(material="polyethylene", thickness=0.04),
        Sheet(material="active", thickness=0.12, packing=0.6, growth=0.1),
        Sheet(material="Al", thickness=0.04),
        Sheet(material="Kapton", thickness=0.05),
    )


def _cylinder_layers() -> tuple[Sheet, ...]:
    return (
        Sheet(material="Al", thickness=0.05),
        Sheet(material="active", thickness=0.12, packing=0.6, growth=0.1),
        Sheet(material="polyethylene", thickness=0.04),
        Sheet(material="Li", thickness=0.1),
        Sheet(material="Al", thickness=0.05),
    )


class Coin(Part):
    """A piece of a coin cell: boxes, normal to the beam's direction at omega 0.

    Attributes:
        layers: Upstream first; the stack is centred when built, and grows downstream.
        width: Of the boxes, mm.
        height: mm.
    """

    kind: Literal["coin"] = "coin"
    layers: tuple[Sheet, ...] = Field(default_factory=_coin_layers, min_length=1)
    width: float = Field(default=1.0, gt=0)
    height: float = Field(default=0.3, gt=0)


class Cylinder(Part):
    """A cell in a tube: discs along the rotation axis, in a case.

    Attributes:
        layers: The lowest first; the stack is centred when built, and grows upwards.
        radius: Of the discs, mm.
        case: Material of the tube about them.
        case_thickness: mm.
    """

    kind: Literal["cylinder"] = "cylinder"
    layers: tuple[Sheet, ...] = Field(default_factory=_cylinder_layers, min_length=1)
    radius: float = Field(default=0.6, gt=0)
    case: str = "Kapton"
    case_thickness: float = Field(default=0.05, gt=0)


class Particles(Part):
    """Particles of the active material in electrolyte: a reacted shell grows inwards and swells.

    The moles of each particle are conserved. A particle's core is as it was at the start, its shell
    swollen; the volume is the sum of both, and of a crack: some particles crack, a flat void in
    their shell, which opens with what has reacted since, and stays.

    Attributes:
        n_particles: How many.
        smallest: Radius at the start, mm.
        largest: mm.
        region_radius: Of the cylinder that holds them, fully swollen, mm.
        region_height: mm.
        swelling: Volume of what has fully reacted over its volume before.
        crack_state: State at which cracks appear.
        n_cracked: Of the particles, the largest first.
        crack_volume: Of a crack when all has reacted, over that of its particle at the start; half of it
            opens at once.
        tube_thickness: Of the Kapton tube about the region, mm; 0: none.
    """

    kind: Literal["particles"] = "particles"
    n_particles: int = Field(default=12, ge=1, le=200)
    smallest: float = Field(default=0.04, gt=0)
    largest: float = Field(default=0.09, gt=0)
    region_radius: float = Field(default=0.65, gt=0)
    region_height: float = Field(default=0.36, gt=0)
    swelling: float = Field(default=3.0, gt=0)
    crack_state: float = Field(default=0.45, ge=0, le=1)
    n_cracked: int = Field(default=3, ge=0)
    crack_volume: float = Field(default=0.04, ge=0, le=0.1)
    tube_thickness: float = Field(default=0.02, ge=0)

    @model_validator(mode="after")
    def _radii_ascend(self) -> "Particles":
        if self.smallest > self.largest:
            raise ValueError(
                f"smallest must not be above largest, got {self.smallest} mm and {self.largest} mm"
            )
        return self


class Wound(Part):
    """A wound primary cell: a sheet of active material rolled up with lithium foil, in a steel case.

    Each half turn is half a ring; the halves' centres lie half a pitch apart, so that they join. The
    sheet grows about its middle line while it is discharged (state 0 to 1) and its amounts are
    conserved; lithium foil lies half a pitch from it and shrinks as much. A crack, a gap across
    most of the sheet, opens at a state and stays.

    Attributes:
        inner_radius: Of the sheet's middle line where it begins, mm.
        pitch: Growth of the radius in a turn, mm.
        n_half_turns: Of the sheet.
        sheet_thickness: At the start, mm.
        packing: Share of the sheet that is active material; the rest is electrolyte.
        growth: Relative growth of the thickness from state 0 to 1.
        lithium_thickness: At the start, mm.
        case_radius: Inside, mm.
        case_thickness: mm.
        height: mm.
        crack_position: Along the sheet's middle line from its inner end, mm.
        crack_width: Along the sheet, mm.
        crack_share: Of the sheet's thickness.
        crack_state: State at which it opens.
    """

    kind: Literal["wound"] = "wound"
    inner_radius: float = Field(default=1.2, gt=0)
    pitch: float = Field(default=1.6, gt=0)
    n_half_turns: int = Field(default=6, ge=1)
    sheet_thickness: float = Field(default=0.7, gt=0)
    packing: float = Field(default=0.5, gt=0, le=1)
    growth: float = 0.3
    lithium_thickness: float = Field(default=0.4, gt=0)
    case_radius: float = Field(default=7.2, gt=0)
    case_thickness: float = Field(default=0.25, gt=0)
    height: float = Field(default=10.0, gt=0)
    crack_position: float = Field(default=20.0, gt=0)
    crack_width: float = Field(default=0.3, gt=0)
    crack_share: float = Field(default=0.8, gt=0, le=0.9)
    crack_state: float = Field(default=0.4, ge=0, le=1)

    @property
    def length(self) -> float:
        """Of the sheet's middle line, mm."""
        return math.pi * sum(self.half_turn_radius(index) for index in range(self.n_half_turns))

    def half_turn_radius(self, index: int) -> float:
        """Of the middle line in half turn ``index``, mm."""
        return self.inner_radius + self.pitch / 2 * index

    @model_validator(mode="after")
    def _fits(self) -> "Wound":
        swollen = self.sheet_thickness * (1 + max(self.growth, 0.0))
        faults = []
        if swollen + self.lithium_thickness > self.pitch:
            faults.append(
                f"sheet and lithium need {swollen + self.lithium_thickness:.3f} mm of the pitch of "
                f"{self.pitch} mm"
            )
        last = self.half_turn_radius(self.n_half_turns - 1)
        outermost = last + self.pitch + self.lithium_thickness / 2
        if outermost > self.case_radius:
            faults.append(f"the roll reaches {outermost:.3f} mm, the case has {self.case_radius}")
        if self.crack_position + self.crack_width > self.length:
            faults.append(f"the crack must lie on the sheet, which is {self.length:.3f} mm long")
        bow = self.crack_width**2 / (8 * self.inner_radius)
        if bow > (1 - self.crack_share) * self.sheet_thickness / 2:
            faults.append(f"a crack of {self.crack_width} mm does not stay inside a curved sheet")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Layers(Part):
    """A strip of a cathode on its collector, with an extra layer that grew into the collector.

    The layer is thickest in the middle of the strip and thins out to either side as cos squared; its
    mean over the strip is ``layer_mean``. Cathode and layer together are ``thickness + layer_mean``
    thick on average. It does not change with the cell's state.

    Attributes:
        thickness: Of the cathode, mm.
        packing: Share of the cathode that is active material.
        collector: Thickness of the aluminium, what the layer consumed included, mm.
        layer_mean: Mean thickness of the extra layer, mm; 0: a fresh cathode.
        layer_max: Its largest thickness, mm.
        layer_packing: Of active material in the layer.
        width: Of the strip, along the layers, mm.
        height: mm.
    """

    kind: Literal["layers"] = "layers"
    thickness: float = Field(default=0.158, gt=0)
    packing: float = Field(default=0.6, gt=0, le=1)
    collector: float = Field(default=0.07, gt=0)
    layer_mean: float = Field(default=0.0, ge=0)
    layer_max: float = Field(default=0.0, ge=0)
    layer_packing: float = Field(default=0.35, gt=0, le=1)
    width: float = Field(default=0.24, gt=0)
    height: float = Field(default=0.09, gt=0)

    @model_validator(mode="after")
    def _layer_fits(self) -> "Layers":
        if not 2 * self.layer_mean <= self.layer_max < self.collector:
            raise ValueError(
                f"layer_max must be twice layer_mean or more and less than the collector, got "
                f"{self.layer_max}, {self.layer_mean} and {self.collector} mm"
            )
        return self


Phantom = Annotated[
    Coin | Cylinder | Particles | Wound | Layers | Plating | Symmetric,
    Field(discriminator="kind"),
]
