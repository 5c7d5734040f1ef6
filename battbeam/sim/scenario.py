"""This file is where a simulated beamline is described: which cell, which beam, which detector, which faults.

A scenario is the hidden truth of a simulation. What the user believes (the cell passport) is written apart.
Positive z points downstream, from the source to the detector; x to the right and y up as seen from the source.
"""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Chemistry = Literal["lfp", "nmc811"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeadSpot(_Part):
    """A disc of the electrode that takes no part: its lithium content stays what it was at the start.

    Attributes:
        x: Of the centre, mm, in the cell's frame.
        y: Of the centre, mm.
        radius: mm.
    """

    x: float = 0.8
    y: float = -0.6
    radius: float = Field(default=0.35, gt=0)


class Cell(_Part):
    """One half cell against lithium metal.

    Attributes:
        chemistry: ``lfp`` (LiFePO4) or ``nmc811`` (LiNi0.8Mn0.1Co0.1O2).
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
        voltage_noise: Standard deviation of one reading, V.
    """

    chemistry: Chemistry = "lfp"
    solid_solution: bool = False
    active_loading: float = Field(default=10.0, gt=0)
    electrode_radius: float = Field(default=7.5, gt=0)
    inactive_fraction: float = Field(default=0.02, ge=0, lt=1)
    initial_lithium_content: float = Field(default=0.98, ge=0, le=1)
    coulombic_efficiency: float = Field(default=0.999, gt=0, le=1)
    gradient_x: float = 0.02
    gradient_y: float = 0.0
    gradient_depth: float = 0.02
    dead_spot: DeadSpot | None = DeadSpot()
    resistance: float = Field(default=12.0, ge=0)
    kinetic_resistance: float = Field(default=10.0, ge=0)
    hysteresis: float = Field(default=0.008, ge=0)
    diffusion_time: float = Field(default=120.0, gt=0)
    voltage_noise: float = Field(default=0.0001, ge=0)

    @property
    def electrode_area(self) -> float:
        """cm2."""
        return 3.141592653589793 * (self.electrode_radius / 10) ** 2


class Layer(_Part):
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


class Beam(_Part):
    """The beam and the storage ring behind it.

    Attributes:
        energy: eV.
        energy_offset: True energy minus what the monochromator's readback says, eV.
        flux: Photons per s on the sample at 100 mA and open attenuator.
        ring_current: mA at the start.
        lifetime: Of the ring current, s of cell time; infinite for top-up.
        size_x: Full width of the (uniform) beam, mm.
        size_y: Full height, mm.
        polarization: Horizontal degree of linear polarization, -1 to 1.
        dumps: (start, length) of losses of beam, s of cell time after the simulation started.
        i0_efficiency: Counts of I0 per photon.
        transmission_efficiency: Counts of the transmission counter per photon behind the cell.
    """

    energy: float = Field(default=22163.0, gt=0)
    energy_offset: float = 0.0
    flux: float = Field(default=2.0e8, gt=0)
    ring_current: float = Field(default=100.0, gt=0)
    lifetime: float = Field(default=36_000.0, gt=0)
    size_x: float = Field(default=0.3, gt=0)
    size_y: float = Field(default=0.3, gt=0)
    polarization: float = Field(default=0.98, ge=-1, le=1)
    dumps: tuple[tuple[float, float], ...] = ()
    i0_efficiency: float = Field(default=0.01, gt=0)
    transmission_efficiency: float = Field(default=0.5, gt=0)


class Detector(_Part):
    """A flat area detector.

    Attributes:
        n_rows: Pixels along the slow axis (up).
        n_columns: Pixels along the fast axis (right).
        pixel_size: mm.
        distance: From the electrode's middle to the point where the beam meets the detector plane, mm.
        centre_row: Where the beam meets the plane, in pixels from the corner of pixel (0, 0).
        centre_column: The same along the fast axis.
        tilt: Angle between the detector's normal and the beam, degree.
        tilt_direction: Azimuth about the beam towards which the normal leans, degree from x to y.
        gain: Counts per detected photon.
        saturation: Highest count a pixel holds.
        dark_rate: Counts per pixel and s.
        readout_delay: From the end of an exposure to its stamp, s of wall time.
        peak_width: Full width at half maximum of a line at 2 theta = 0, degree: beam, divergence and grains.
        peak_width_slope: Growth of the width with tan(theta), degree.
        peak_lorentzian: Lorentzian share of a line (pseudo-Voigt), 0 to 1.
        compute_freezes_clock: Whether the simulated clock stands while a frame is computed.
    """

    n_rows: int = Field(default=512, ge=16)
    n_columns: int = Field(default=512, ge=16)
    pixel_size: float = Field(default=0.172, gt=0)
    distance: float = Field(default=130.0, gt=0)
    centre_row: float = 251.3
    centre_column: float = 262.7
    tilt: float = 0.6
    tilt_direction: float = 35.0
    gain: float = Field(default=1.0, gt=0)
    saturation: int = Field(default=1_000_000, gt=0)
    dark_rate: float = Field(default=0.002, ge=0)
    readout_delay: float = Field(default=0.002, ge=0)
    peak_width: float = Field(default=0.085, gt=0)
    peak_width_slope: float = Field(default=0.05, ge=0)
    peak_lorentzian: float = Field(default=0.3, ge=0, le=1)
    compute_freezes_clock: bool = True


class Cycler(_Part):
    """The dumb cycler.

    Attributes:
        record_interval: s of cell time between records of a data file, unless its technique says otherwise.
        live_interval: s of cell time between refreshes of the live values (at most 50 a wall second).
        clock_offset: The cycler's clock minus the beamline's at the start, s.
        clock_drift: Relative rate of the cycler's clock, 1 (1e-6 is one part per million).
        buffers_data_file: Whether records reach the data file only when a step ends (a fault).
    """

    record_interval: float = Field(default=10.0, gt=0)
    live_interval: float = Field(default=1.0, gt=0)
    clock_offset: float = 3.2
    clock_drift: float = 20e-6
    buffers_data_file: bool = False


class Scenario(_Part):
    """A whole simulated beamline.

    Attributes:
        name: Of the scenario.
        seed: Of every random number.
        rate: s of cell time per s of wall time.
        start: Time on the simulated clock at which it starts, s since the Unix epoch.
        cells: One on each channel of the cycler, channel 1 first; cell 1 is in the beam, its middle
            at (0, 0) of the sample stage.
        standard: Calibrant mounted beside the cell, in the beam when the stage is at ``standard_position``.
        standard_position: (x, y) of the sample stage, mm.
        stack: Layers of cell 1.
    """

    name: str = "coin_cell"
    seed: int = 1
    rate: float = Field(default=60.0, ge=0.1, le=3600)
    start: float = 1_750_000_000.0
    cells: tuple[Cell, ...] = (Cell(),)
    stack: tuple[Layer, ...] = Field(default_factory=coin_cell_stack)
    beam: Beam = Beam()
    detector: Detector = Detector()
    cycler: Cycler = Cycler()
    standard: Literal["LaB6", "CeO2"] = "LaB6"
    standard_position: tuple[float, float] = (12.0, 0.0)

    @model_validator(mode="after")
    def _one_electrode(self) -> "Scenario":
        n_active = sum(layer.material == "active" for layer in self.stack)
        if n_active != 1:
            raise ValueError(
                f"stack must hold exactly one layer of material 'active', got {n_active}"
            )
        return self

    @classmethod
    def read(cls, path: Path) -> "Scenario":
        """A scenario from a .toml or .json file."""
        if path.suffix == ".json":
            return cls.model_validate_json(path.read_text())
        return cls.model_validate(tomllib.loads(path.read_text()))
