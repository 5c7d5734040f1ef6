"""This file is where cells are described in which lithium grows: plated, or from sites of an electrode.

Lengths and places as in `battbeam.sim.scenario_phantom`.
"""

from typing import Literal

from pydantic import Field, model_validator

from battbeam.sim.scenario_part import Part


class Plating(Part):
    """A front of lithium that runs along an electrode, seen edge-on.

    The electrode fills the lower part of the field. Lithium covers it from the left end to a front
    that has come ``areal charge / filling_charge`` of the width, and is ``thickness +
    growth * areal charge`` thick. How dense it is follows from the charge, which it holds exactly.

    Attributes:
        width: That the front can run, mm; the field's, as a rule.
        surround: By which electrode and electrolyte go on at either end, mm.
        depth: Along the beam at omega 0, mm.
        height: Of the cell, mm.
        electrode: Material.
        electrode_share: Of the height.
        thickness: Of the lithium at the front, mm.
        growth: Of its thickness, mm per C/cm2; less than dense lithium needs (0.00135) is refused.
        filling_charge: At which the front reaches the other end, C/cm2.
    """

    kind: Literal["plating"] = "plating"
    width: float = Field(default=0.065, gt=0)
    surround: float = Field(default=0.01, ge=0)
    depth: float = Field(default=0.05, gt=0)
    height: float = Field(default=0.065, gt=0)
    electrode: str = "Cu"
    electrode_share: float = Field(default=0.3, gt=0, lt=1)
    thickness: float = Field(default=0.006, gt=0)
    growth: float = Field(default=0.0014, ge=0.00135)
    filling_charge: float = Field(default=2.0, gt=0)

    @model_validator(mode="after")
    def _lithium_fits(self) -> "Plating":
        least = 0.00135 * self.filling_charge
        if self.thickness < least:
            raise ValueError(
                f"thickness must be {least:.5f} mm or more to hold the lithium of "
                f"{self.filling_charge} C/cm2, got {self.thickness} mm"
            )
        return self


class Symmetric(Part):
    """Lithium, polymer, lithium, discs along the axis; lithium grows from the lower electrode.

    Each site is a dome of lithium in the polymer (protruding) above a bowl of polymer in the lithium
    (the sub-surface structure), half ellipsoids of the same centre. Their volumes follow the areal
    charge between the given ones linearly. The dome reaches the other electrode when the last charge
    has passed: that is the short.

    Attributes:
        radius: Of the discs, mm.
        electrode: Thickness of each lithium electrode, mm.
        polymer: Thickness of the polymer, mm.
        n_sites: How many; the first in the middle, the others about it.
        site_distance: Of the others from the middle, mm.
        areal_charges: C/cm2, ascending, from 0.
        subsurface: Share of its largest volume that a bowl has at each of them.
        protruding: The same of a dome.
        subsurface_depth: Of a bowl at its largest, mm.
        subsurface_radius: mm.
        protruding_radius: Of a dome at its largest, mm; it is as high as the polymer is thick.
    """

    kind: Literal["symmetric"] = "symmetric"
    radius: float = Field(default=0.11, gt=0)
    electrode: float = Field(default=0.018, gt=0)
    polymer: float = Field(default=0.026, gt=0)
    n_sites: int = Field(default=3, ge=1, le=7)
    site_distance: float = Field(default=0.065, gt=0)
    areal_charges: tuple[float, ...] = (0.0, 9.0, 84.0, 296.0)
    subsurface: tuple[float, ...] = (0.15, 0.45, 0.9, 1.0)
    protruding: tuple[float, ...] = (0.0, 0.05, 0.4, 1.0)
    subsurface_depth: float = Field(default=0.014, gt=0)
    subsurface_radius: float = Field(default=0.03, gt=0)
    protruding_radius: float = Field(default=0.026, gt=0)

    @model_validator(mode="after")
    def _is_a_table(self) -> "Symmetric":
        charges = self.areal_charges
        is_table = len(charges) == len(self.subsurface) == len(self.protruding) >= 2
        if not is_table or charges[0] != 0 or list(charges) != sorted(set(charges)):
            raise ValueError(
                "areal_charges must ascend from 0, with a share in subsurface and protruding each"
            )
        if not all(0 <= share <= 1 for share in (*self.subsurface, *self.protruding)):
            raise ValueError("shares of subsurface and protruding must lie in 0 to 1")
        widest = max(self.subsurface_radius, self.protruding_radius)
        if self.n_sites > 1 and not 2 * widest <= self.site_distance <= self.radius - widest:
            raise ValueError(
                f"site_distance must lie in {2 * widest} to {self.radius - widest} mm for the sites "
                f"to be apart and inside, got {self.site_distance} mm"
            )
        if self.subsurface_depth >= self.electrode:
            raise ValueError(
                f"subsurface_depth must be less than the electrode, got {self.subsurface_depth} mm "
                f"and {self.electrode} mm"
            )
        return self
