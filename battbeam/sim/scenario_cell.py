"""This file is where the cells of a scenario are described: electrodes, stack, holder.

Positive z points downstream, from the source to the detector; x to the right and y up as seen from
the source.
"""

from typing import Literal

from pydantic import Field, model_validator

from battbeam.sim.chemistry import ACTIVE_MATERIALS, Chemistry
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


class Layer(Part):
    """One layer of the stack, in the beam's order; its amount is areal, so it is conserved when it swells.

    Attributes:
        material: ``active`` (the electrode's active material, its amount from the cell), a crystalline phase of
            `battbeam.materials`, or an amorphous material named there.
        thickness: mm, as built.
        depth: z of its middle, mm, from the electrode's middle.
    """

    material: str
    thickness: float = Field(gt=0)
    depth: float


def coin_cell_stack() -> tuple[Layer, ...]:
    """A coin cell with Kapton windows: a thin steel casing, lithium, separator, electrode on aluminium."""
    return (
        Layer(material="Kapton", thickness=0.05, depth=-1.5),
        Layer(material="Li", thickness=0.4, depth=-0.27),
        Layer(material="polyethylene", thickness=0.025, depth=-0.05),
        Layer(material="active", thickness=0.06, depth=0.0),
        Layer(material="carbon", thickness=0.008, depth=0.0),
        Layer(material="Al", thickness=0.015, depth=0.04),
        Layer(material="steel", thickness=0.004, depth=1.45),
        Layer(material="Kapton", thickness=0.05, depth=1.5),
    )


def spectroscopy_stack() -> tuple[Layer, ...]:
    """A cell for spectra from the Mn to the Cu edge: Kapton on either side, nothing that has an edge there.

    Without steel and copper; an electrode of 8 mg/cm2 of NMC811 has a jump of 1.1 at the Ni edge.
    """
    return (
        Layer(material="Kapton", thickness=0.025, depth=-0.4),
        Layer(material="Li", thickness=0.2, depth=-0.2),
        Layer(material="polyethylene", thickness=0.025, depth=-0.05),
        Layer(material="active", thickness=0.03, depth=0.0),
        Layer(material="carbon", thickness=0.004, depth=0.0),
        Layer(material="Al", thickness=0.01, depth=0.03),
        Layer(material="Kapton", thickness=0.025, depth=0.1),
    )


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
    """

    material: Literal["lithium", "graphite"] = "lithium"
    capacity_ratio: float = Field(default=1.1, gt=0)
    initial_lithium_content: float = Field(default=0.08, gt=0, lt=1)
    coulombic_efficiency: float = Field(default=0.9995, gt=0, le=1)
    kinetic_resistance: float = Field(default=0.0, ge=0)
    double_layer_capacitance: float = Field(default=1e-4, ge=0)
    diffusion_time: float = Field(default=60.0, gt=0)


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


class Ageing(Part):
    """What an aged cell is, and how a cell ages on.

    Attributes:
        capacity_fade: Share of the connected capacity lost per equivalent full cycle, outside the
            beam's footprint: what the beam meets keeps its amplitude.
        valence_shift: Valence by which the active metal is above that of a fresh cell.
        shell_shift: By which the metal-oxygen distance is longer than in a fresh cell, angstrom.
        debye_waller: By which sigma squared of every shell is larger than in a fresh cell, angstrom squared.
        debye_waller_per_cycle: What it gains per equivalent full cycle, angstrom squared.
    """

    capacity_fade: float = Field(default=0.0, ge=0, lt=1)
    valence_shift: float = 0.0
    shell_shift: float = 0.0
    debye_waller: float = Field(default=0.0, ge=0)
    debye_waller_per_cycle: float = Field(default=0.0, ge=0)


class Reduction(Part):
    """How heat reduces one metal of a charged cathode: a logistic function of temperature.

    Attributes:
        half: Temperature at which half of the change is done, degC.
        width: Of the logistic, K.
        amplitude: Valence that is lost in the end.
    """

    half: float
    width: float = Field(default=12.0, gt=0)
    amplitude: float = Field(ge=0)


class Heating(Part):
    """How a charged layered cathode changes in a furnace; what it has lost does not come back.

    Attributes:
        nickel: Goes first.
        cobalt: Later and less.
    """

    nickel: Reduction = Reduction(half=200.0, amplitude=0.8)
    cobalt: Reduction = Reduction(half=270.0, amplitude=0.4)


class Cell(Part):
    """One cell: the working electrode that the beam looks at, and what stands opposite.

    Attributes:
        chemistry: ``lfp`` (LiFePO4), ``nmc811`` (LiNi0.8Mn0.1Co0.1O2), or without diffraction lines
            ``nanmc442`` (NaNi0.4Mn0.4Co0.2O2), ``lmo`` (LiMn2O4), ``lirich`` (a lithium-rich layered
            oxide), ``nca`` (LiNi0.8Co0.15Al0.05O2), ``mno2`` (of a primary cell), ``sno`` (lithium
            per Sn, to 6.4), ``lithium`` (a symmetric cell).
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
        heating: How heat reduces its metals.
        short_charge: Largest areal charge, passed either way since the start, C/cm2, at which the cell
            becomes a short; none: never.
        beam_damage: How fast material that the beam meets ceases to take part, as share per fluence,
            mm2 per photon; it keeps the lithium content at which it ceased. 0: never.
        position: (x, y) of the sample stage with the cell's middle in the beam, mm; by default the
            next place of the changer.
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
    short_charge: float | None = Field(default=None, gt=0)
    beam_damage: float = Field(default=0.0, ge=0)
    position: Position | None = None
    stack: tuple[Layer, ...] | None = None
    phantom: Phantom | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "Cell":
        low, high = ACTIVE_MATERIALS[self.chemistry].content_range
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
        return self

    @property
    def electrode_area(self) -> float:
        """cm2."""
        return 3.141592653589793 * (self.electrode_radius / 10) ** 2
