"""This file is where the cells of a scenario are described: electrodes, stack, holder.

Positive z points downstream, from the source to the detector; x to the right and y up as seen from
the source.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from battbeam.sim.chemistry import ACTIVE_MATERIALS, ActiveMaterial, Chemistry
from battbeam.sim.scenario_degradation import Ageing, Fatigue, Heating, Motion, Plating
from battbeam.sim.scenario_layer import Layer as Layer
from battbeam.sim.scenario_layer import Texture as Texture
from battbeam.sim.scenario_layer import coin_cell_stack as coin_cell_stack
from battbeam.sim.scenario_layer import pouch_stack as pouch_stack
from battbeam.sim.scenario_layer import spectroscopy_stack as spectroscopy_stack
from battbeam.sim.scenario_part import Part as Part
from battbeam.sim.scenario_phantom import Phantom

#: Whose edges are mixed from fixed spectra, or which have none.
_WITHOUT_SHIFT: tuple[Chemistry, ...] = ("lfp", "lirich", "sno", "lithium")
#: (x, y) of the sample stage with the middle of a cell in the beam, mm.
Position = tuple[float, float]


class DeadSpot(Part):
    """A disc of the electrode that takes no part: its lithium content stays what it was at the start.

    Attributes:
        x: Of the centre, mm, in the cell's frame.
        y: Of the centre, mm.
        radius: mm.
    """

    x: float = 0.8
    y: float = -0.6
    radius: float = Field(default=0.35, gt=0)


class CounterElectrode(Part):
    """What stands opposite the working electrode.

    Attributes:
        material: ``lithium`` (its potential is 0 V by definition) or ``graphite`` (a full cell).
        capacity_ratio: Of graphite: what it holds over what the working electrode gives (n/p).
        initial_lithium_content: Of graphite: y in LiyC6 when the simulation starts.
        coulombic_efficiency: Of graphite: lithium stored over charge passed while it takes lithium
            up; the rest is lost to the film on it.
        kinetic_resistance: Of the charge transfer in the linear range, ohm; 0: without.
        double_layer_capacitance: F.
        diffusion_time: Of graphite: time constant with which a grain's surface follows its mean, s.
        gradient_x: Of graphite: change of local y per mm across the electrode when half full (vanishes
            full and empty).
        gradient_y: The same along y.
        gradient_depth: Of graphite: difference of local y between the separator's and the collector's
            side, per lead of the grains' surfaces over their mean (vanishes at rest).
    """

    material: Literal["lithium", "graphite"] = "lithium"
    capacity_ratio: float = Field(default=1.1, gt=0)
    initial_lithium_content: float = Field(default=0.08, gt=0, lt=1)
    coulombic_efficiency: float = Field(default=0.9995, gt=0, le=1)
    kinetic_resistance: float = Field(default=0.0, ge=0)
    double_layer_capacitance: float = Field(default=1e-4, ge=0)
    diffusion_time: float = Field(default=60.0, gt=0)
    gradient_x: float = 0.0
    gradient_y: float = 0.0
    gradient_depth: float = 0.0


class ReferenceElectrode(Part):
    """A third electrode, of lithium, against which both others are measured.

    Attributes:
        place: Share of the ohmic resistance between it and the working electrode, 0 to 1; the rest
            lies between it and the counter electrode.
        offset: Its potential against lithium at the start, V.
        drift: Of its potential, V/h.
    """

    place: float = Field(default=0.5, ge=0, le=1)
    offset: float = 0.0
    drift: float = 0.0


class TemperatureLaw(Part):
    """Activation energies, J/mol, of what changes with temperature (Arrhenius, from 25 degC).

    Attributes:
        ohmic: Of the conductivity.
        kinetic: Of the exchange currents.
        diffusion: Of the diffusion coefficients.
    """

    ohmic: float = Field(default=15_000.0, ge=0)
    kinetic: float = Field(default=50_000.0, ge=0)
    diffusion: float = Field(default=35_000.0, ge=0)


class Thermostat(Part):
    """What a cell's holder does to reach a temperature, and how the cell follows.

    Attributes:
        ramp: Fastest change of the holder, K/min.
        time_constant: With which the holder approaches its set-point, s.
        cell_time_constant: With which the cell follows the holder, s.
        thermal_resistance: From cell to holder, K/W: how much the cell heats itself.
    """

    ramp: float = Field(default=2.0, gt=0)
    time_constant: float = Field(default=20.0, gt=0)
    cell_time_constant: float = Field(default=60.0, gt=0)
    thermal_resistance: float = Field(default=20.0, ge=0)


class Cell(Part):
    """One cell: the working electrode that the beam looks at, and what stands opposite.

    Attributes:
        chemistry: ``lfp`` (LiFePO4), ``nmc811`` (LiNi0.8Mn0.1Co0.1O2), ``nmc622``, ``nmc90``
            (LiNi0.9Mn0.05Co0.05O2), ``nca`` (LiNi0.8Co0.15Al0.05O2), ``hec`` (of many metals), or without
            diffraction lines ``nanmc442`` (NaNi0.4Mn0.4Co0.2O2), ``lmo`` (LiMn2O4), ``lirich`` (a
            lithium-rich layered oxide), ``mno2`` (of a primary cell), ``sno`` (lithium per Sn, to 6.4),
            ``lithium`` (a symmetric cell).
        solid_solution: LiFePO4 only: one phase whose lattice follows x, instead of two phases.
        active_loading: Active material per electrode area, mg/cm2.
        electrode_radius: mm.
        inactive_fraction: Of the active mass, without contact: it scatters, at its initial lithium content.
        initial_lithium_content: x of the connected material when the simulation starts.
        coulombic_efficiency: Charge stored over charge passed while charging; the rest is a side reaction.
        gradient_x: Change of local x per mm across the electrode when half charged (vanishes full and empty).
        gradient_y: The same along y.
        gradient_depth: Difference of local x between the collector's and the separator's side, half charged.
        dead_spot: Or none.
        resistance: Ohmic, ohm.
        kinetic_resistance: Of the charge transfer in the linear range, ohm.
        hysteresis: Half the gap between charge and discharge at zero current, V (LiFePO4).
        diffusion_time: Time constant with which a grain's surface follows its mean, s.
        double_layer_capacitance: F; only impedance shows it.
        voltage_noise: Standard deviation of one reading, V.
        counter: The counter electrode.
        reference: The third electrode, or none.
        temperature: At the start, degC.
        temperature_law: How resistances and diffusion change with it.
        thermostat: Of the cell's holder.
        ageing: How it has aged, and ages.
        heating: How heat reduces its metals and turns its phases.
        fatigue: A share of it that gives lithium down to some content only, or none.
        plating: How lithium plates on a graphite counter electrode, or not.
        motion: How the cell moves along the beam, or not.
        short_charge: Largest areal charge, passed either way since the start, C/cm2, at which the cell
            becomes a short; none: never.
        beam_damage: How fast material that the beam meets ceases to take part, as share per fluence,
            mm2 per photon; it keeps the lithium content at which it ceased. 0: never.
        position: (x, y) of the sample stage with the cell's middle in the beam, mm; by default the
            next place of the changer.
        tilt: Position of the tilt axis, degree, at which it stands perpendicular to the beam.
        stack: Its layers; by default those of the scenario.
        phantom: Its inside as the imaging camera sees it; by default a piece of a coin cell.
    """

    chemistry: Chemistry = "lfp"
    solid_solution: bool = False
    active_loading: float = Field(default=10.0, gt=0)
    electrode_radius: float = Field(default=7.5, gt=0)
    inactive_fraction: float = Field(default=0.02, ge=0, lt=1)
    initial_lithium_content: float = Field(default=0.98, ge=0)
    coulombic_efficiency: float = Field(default=0.999, gt=0, le=1)
    gradient_x: float = 0.02
    gradient_y: float = 0.0
    gradient_depth: float = 0.02
    dead_spot: DeadSpot | None = DeadSpot()
    resistance: float = Field(default=12.0, ge=0)
    kinetic_resistance: float = Field(default=10.0, ge=0)
    hysteresis: float = Field(default=0.008, ge=0)
    diffusion_time: float = Field(default=120.0, gt=0)
    double_layer_capacitance: float = Field(default=1e-3, ge=0)
    voltage_noise: float = Field(default=0.0001, ge=0)
    counter: CounterElectrode = CounterElectrode()
    reference: ReferenceElectrode | None = None
    temperature: float = Field(default=25.0, gt=-60, lt=120)
    temperature_law: TemperatureLaw = TemperatureLaw()
    thermostat: Thermostat = Thermostat()
    ageing: Ageing = Ageing()
    heating: Heating = Heating()
    fatigue: Fatigue | None = None
    plating: Plating | None = None
    motion: Motion | None = None
    short_charge: float | None = Field(default=None, gt=0)
    beam_damage: float = Field(default=0.0, ge=0)
    position: Position | None = None
    tilt: float = Field(default=0.0, ge=-20, le=20)
    stack: tuple[Layer, ...] | None = None
    phantom: Phantom | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "Cell":
        active = ACTIVE_MATERIALS[self.chemistry]
        low, high = active.content_range
        if not low <= self.initial_lithium_content <= high:
            raise ValueError(
                f"initial_lithium_content of {self.chemistry} must lie in {low:g} to {high:g}, "
                f"got {self.initial_lithium_content:g}"
            )
        if self.beam_damage > 0 and high > 1:
            raise ValueError(f"beam_damage is not simulated for {self.chemistry}")
        if self.ageing.valence_shift != 0 and self.chemistry in _WITHOUT_SHIFT:
            raise ValueError(
                f"valence_shift moves an edge; no edge of {self.chemistry} moves as a whole"
            )
        if faults := [
            *self._fatigue_faults(active),
            *self._plating_faults(),
            *self.stack_faults(self.stack or ()),
        ]:
            raise ValueError("; ".join(faults))
        return self

    def _fatigue_faults(self, active: ActiveMaterial) -> list[str]:
        found = []
        if not active.is_layered:
            given = {
                "fatigue": self.fatigue is not None,
                "c_strain_per_cycle": self.ageing.c_strain_per_cycle != 0,
            }
            found += [
                f"{name} is of layered oxides whose lattice is known, not of {self.chemistry}"
                for name, is_given in given.items()
                if is_given
            ]
        if self.fatigue is not None and self.beam_damage > 0:
            found.append("fatigue and beam_damage are not simulated together")
        laws = self.heating.transitions(self.chemistry)
        if laws is not None and not laws[0].half < laws[1].half:
            found.append(
                f"rock_salt must come after spinel, got {laws[1].half:g} degC and {laws[0].half:g} degC"
            )
        return found

    def _plating_faults(self) -> list[str]:
        if self.plating is None:
            return []
        return self._without_graphite("plating") + [
            f"the spot of plating at ({spot.x:g}, {spot.y:g}) mm with a radius of {spot.radius:g} mm "
            f"leaves the electrode, whose radius is {self.electrode_radius:g} mm"
            for spot in self.plating.spots
            if math.hypot(spot.x, spot.y) + spot.radius > self.electrode_radius
        ]

    def stack_faults(self, layers: Sequence[Layer]) -> list[str]:
        """Why this cell cannot be built of these layers, one sentence each."""
        depths = {layer.material: layer.depth for layer in layers}
        names = [layer.material for layer in layers]
        found = []
        for name in ("counter", "plated"):
            if name in depths:
                found += self._without_graphite(f"a layer of material {name!r}")
            if names.count(name) > 1:
                found.append(f"one layer of material {name!r} at most, got {names.count(name)}")
        if depths.get("counter", -math.inf) > depths.get("active", math.inf):
            found.append("the layer 'counter' must lie upstream of 'active'")
        return found

    def _without_graphite(self, what: str) -> list[str]:
        if self.counter.material == "graphite":
            return []
        return [f"{what} needs a counter electrode of graphite, got {self.counter.material}"]

    @property
    def electrode_area(self) -> float:
        """cm2."""
        return 3.141592653589793 * (self.electrode_radius / 10) ** 2
