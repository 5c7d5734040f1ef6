"""This file is where a simulated beamline is described: which cell, which beam, which detector, which faults.

A scenario is the hidden truth of a simulation. What the user believes (the cell passport) is written apart.
Positive z points downstream, from the source to the detector; x to the right and y up as seen from the source.
"""

import itertools
import math
import reprlib
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from battbeam.errors import PreflightError
from battbeam.sim.chemistry import Chemistry
from battbeam.sim.scenario_cell import (
    Cell,
    CounterElectrode,
    DeadSpot,
    Layer,
    Part,
    Position,
    ReferenceElectrode,
    TemperatureLaw,
    Texture,
    Thermostat,
    coin_cell_stack,
    pouch_stack,
    spectroscopy_stack,
)
from battbeam.sim.scenario_degradation import (
    Ageing,
    Fatigue,
    Heating,
    Motion,
    Plating,
    PlatingSpot,
    Reduction,
    Transition,
)
from battbeam.sim.scenario_detector import Detector, DetectorFaults
from battbeam.sim.scenario_energy_dispersive import EnergyDispersive
from battbeam.sim.scenario_imaging import Imaging
from battbeam.sim.scenario_layer import tilt_faults
from battbeam.sim.scenario_mass_spectrometer import MassSpectrometer
from battbeam.sim.scenario_small_angle import SmallAngle
from battbeam.sim.scenario_spectroscopy import Furnace, Glitch, Spectroscopy

__all__ = [
    "Ageing",
    "Beam",
    "Cell",
    "Chemistry",
    "CounterElectrode",
    "Cycler",
    "DeadSpot",
    "Detector",
    "DetectorFaults",
    "EnergyDispersive",
    "Fatigue",
    "Furnace",
    "Glitch",
    "Heating",
    "Imaging",
    "Layer",
    "MassSpectrometer",
    "Motion",
    "Plating",
    "PlatingSpot",
    "Position",
    "Reduction",
    "ReferenceElectrode",
    "Scenario",
    "SmallAngle",
    "Spectroscopy",
    "TemperatureLaw",
    "Texture",
    "Thermostat",
    "Transition",
    "changer_place",
    "pouch_stack",
    "spectroscopy_stack",
]
#: mm between neighbouring places of the changer, and the rows of one of its columns; cells with the
#: default electrode and the standard at its default place have room.
_CHANGER_SPACING, _CHANGER_ROWS = 18.0, (0, 1, -1)
#: mm about the standard's position that belong to it.
STANDARD_RADIUS = 2.0
#: Characters at most of a prefix: an EPICS record's name has 60, the cycler's longest suffix 40.
_PREFIX_LENGTH = 20


class Beam(Part):
    """The beam and the storage ring behind it.

    Attributes:
        energy: eV.
        energy_offset: True energy minus what the monochromator's readback says, eV.
        flux: Photons per s on the sample at 100 mA and open attenuator.
        ring_current: mA at the start.
        lifetime: Of the ring current, s of cell time.
        top_up_interval: s of cell time between injections that fill the ring up, or none.
        top_up_length: Of an injection, s of cell time.
        top_up_dip: Share of the photons that is lost meanwhile, 0 to 1.
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
    top_up_interval: float | None = Field(default=None, gt=0)
    top_up_length: float = Field(default=2.0, ge=0)
    top_up_dip: float = Field(default=0.3, ge=0, le=1)
    size_x: float = Field(default=0.3, gt=0)
    size_y: float = Field(default=0.3, gt=0)
    polarization: float = Field(default=0.98, ge=-1, le=1)
    dumps: tuple[tuple[float, float], ...] = ()
    i0_efficiency: float = Field(default=0.01, gt=0)
    transmission_efficiency: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _injections_end(self) -> "Beam":
        if self.top_up_interval is not None and self.top_up_length >= self.top_up_interval:
            raise ValueError(
                f"top_up_length must be shorter than top_up_interval, got {self.top_up_length} s and "
                f"{self.top_up_interval} s"
            )
        return self


class Cycler(Part):
    """The dumb cycler.

    Attributes:
        record_interval: s of cell time between records of a data file, unless its technique says otherwise.
        live_interval: s of cell time between refreshes of the live values (at most 50 a wall second).
        clock_offset: The cycler's clock minus the beamline's at the start, s.
        clock_drift: Relative rate of the cycler's clock, 1 (1e-6 is one part per million).
        clock_jitter: Standard deviation of each of its stamps, s.
        clock_jump: (after so many s of cell time, by so many s) that clock is set otherwise; or not.
        buffers_data_file: Whether records reach the data file only when a step ends (a fault).
    """

    record_interval: float = Field(default=10.0, gt=0)
    live_interval: float = Field(default=1.0, gt=0)
    clock_offset: float = 3.2
    clock_drift: float = 20e-6
    clock_jitter: float = Field(default=0.0, ge=0)
    clock_jump: tuple[float, float] | None = None
    buffers_data_file: bool = False


class Scenario(Part):
    """A whole simulated beamline.

    Attributes:
        name: Of the scenario.
        seed: Of every random number.
        prefix: With which the name of every PV begins; it ends with a colon.
        rate: s of cell time per s of wall time.
        start: Time on the simulated clock at which it starts, s since the Unix epoch.
        cells: One on each channel of the cycler, channel 1 first, all on the sample changer.
        stack: Layers of every cell that brings none of its own.
        beam: The beam.
        detector: The detector.
        cycler: The cycler.
        imaging: The imaging camera, the wide beam for it, and the rotation stage.
        spectroscopy: Monochromator, counters and foils for spectra.
        furnace: About whatever is in the beam.
        mass_spectrometer: For gas of what is heated, or none.
        small_angle: The small-angle detector, and what scatters into it; or none.
        energy_dispersive: The white beam, and the detector for it.
        standard: Calibrant mounted beside the cells, in the beam when the stage is at
            ``standard_position``.
        standard_position: (x, y) of the sample stage, mm.
    """

    name: str = "coin_cell"
    seed: int = 1
    prefix: str = Field(
        default="SIM:", max_length=_PREFIX_LENGTH, pattern=r"^[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*:$"
    )
    rate: float = Field(default=60.0, ge=0.1, le=3600)
    start: float = 1_750_000_000.0
    cells: tuple[Cell, ...] = Field(default=(Cell(),), min_length=1)
    stack: tuple[Layer, ...] = Field(default_factory=coin_cell_stack)
    beam: Beam = Beam()
    detector: Detector = Detector()
    cycler: Cycler = Cycler()
    imaging: Imaging = Imaging()
    spectroscopy: Spectroscopy = Spectroscopy()
    furnace: Furnace = Furnace()
    mass_spectrometer: MassSpectrometer | None = None
    small_angle: SmallAngle | None = None
    energy_dispersive: EnergyDispersive = EnergyDispersive()
    standard: Literal["LaB6", "CeO2"] = "LaB6"
    standard_position: Position = (12.0, 0.0)

    @model_validator(mode="after")
    def _is_possible(self) -> "Scenario":
        faults = [*self._stack_faults(), *self._overlaps()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _stack_faults(self) -> list[str]:
        stacks = {"stack": self.stack}
        for number, cell in enumerate(self.cells, start=1):
            if cell.stack is not None:
                stacks[f"stack of cell {number}"] = cell.stack
        n_active = {
            name: sum(layer.material == "active" for layer in stack)
            for name, stack in stacks.items()
        }
        return (
            [
                f"{name} must hold exactly one layer of material 'active', got {n}"
                for name, n in n_active.items()
                if n != 1
            ]
            + [
                f"cell {number}: {fault}"
                for number, cell in enumerate(self.cells, start=1)
                for fault in (cell.stack_faults(self.stack) if cell.stack is None else ())
            ]
            + [f"{name}: {fault}" for name, stack in stacks.items() for fault in tilt_faults(stack)]
        )

    def _overlaps(self) -> list[str]:
        edge = math.hypot(self.beam.size_x, self.beam.size_y) / 2
        radii = [cell.electrode_radius + edge for cell in self.cells]
        places = [
            (f"cell {number}", *place)
            for number, place in enumerate(zip(self.positions, radii, strict=True), start=1)
        ]
        places.append(("the standard", self.standard_position, STANDARD_RADIUS))
        return [
            f"{one} at {at} mm and {other} at {there} mm lie {math.dist(at, there):.2f} mm apart, "
            f"wanted {radius + far:.2f} mm or more"
            for (one, at, radius), (other, there, far) in itertools.combinations(places, 2)
            if math.dist(at, there) < radius + far
        ]

    @property
    def clock_prefix(self) -> str:
        """Of the clock's PVs."""
        return f"{self.prefix}CLOCK:"

    @property
    def cycler_prefix(self) -> str:
        """Of the cycler's PVs."""
        return f"{self.prefix}ECLAB:"

    @property
    def beamline_prefix(self) -> str:
        """Of the PVs of motors, ring, shutter, counters and detector."""
        return f"{self.prefix}BL:"

    def guard_prefix(self, number: int) -> str:
        """Of the PVs of a cell's guard; number 1 is the first."""
        return f"{self.prefix}CELL{number}:"

    @property
    def positions(self) -> tuple[Position, ...]:
        """(x, y) of the sample stage with the middle of each cell in the beam, mm."""
        return tuple(
            cell.position if cell.position is not None else changer_place(number)
            for number, cell in enumerate(self.cells, start=1)
        )

    def stack_of(self, number: int) -> tuple[Layer, ...]:
        """The layers of a cell; number 1 is the first."""
        own = self.cells[number - 1].stack
        return self.stack if own is None else own

    @classmethod
    def read(cls, path: Path) -> "Scenario":
        """A scenario from a .toml or .json file.

        Raises:
            PreflightError: If it cannot be read, or is none, with every fault.
        """
        try:
            if path.suffix == ".json":
                return cls.model_validate_json(path.read_text())
            return cls.model_validate(tomllib.loads(path.read_text()))
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'scenario'}: {fault['msg']}, "
                f"got {reprlib.repr(fault['input'])}"
                for fault in error.errors()
            ]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            faults = [str(error)]
        raise PreflightError(f"scenario {path}", faults)


def changer_place(number: int) -> Position:
    """Where the changer holds cell ``number`` unless its scenario says otherwise, mm.

    >>> [changer_place(number) for number in (1, 2, 3, 4)]
    [(0.0, 0.0), (0.0, 18.0), (0.0, -18.0), (-18.0, 0.0)]
    """
    column, row = divmod(number - 1, len(_CHANGER_ROWS))
    return -_CHANGER_SPACING * column + 0.0, _CHANGER_SPACING * _CHANGER_ROWS[row]
