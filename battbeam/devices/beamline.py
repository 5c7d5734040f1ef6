"""This file is where the instruments of a beamline are held together, and its declaration loaded.

A declaration is a plain Python file with ``def declare(connection)`` that returns a `Beamline`.
"""

import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ophyd import Device

from battbeam.connection import Connection, SmallAngleNotes
from battbeam.devices.beam import Beam
from battbeam.devices.counters import Counters
from battbeam.devices.detector import AreaDetector
from battbeam.devices.dose_meter import DoseMeter
from battbeam.devices.energy_dispersive import EnergyDispersive
from battbeam.devices.energy_sweep import EnergySweep
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.fly_detector import FlyDetector
from battbeam.devices.foil import Foil
from battbeam.devices.furnace import Furnace
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.motor import Motor
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.pulses import Pulses
from battbeam.devices.ring_buffer import BurstCamera
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_stage import SampleStage
from battbeam.devices.statistics import Statistics
from battbeam.devices.white_beam import WhiteBeam
from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock


@dataclass(frozen=True)
class DetectorGuess:
    """Where the detector stands, as a ruler says.

    Attributes:
        distance: From the sample to where the beam meets the detector, mm, within 5 %.
        centre: Where, in pixels along rows' and columns' index, within 15 pixels.
        pixel_size: Along rows' and columns' index, mm.
    """

    distance: float = 130.0
    centre: tuple[float, float] = (256.0, 256.0)
    pixel_size: tuple[float, float] = (0.172, 0.172)


@dataclass(frozen=True)
class Beamline:
    """The instruments of one beamline.

    Attributes:
        potentiostat: Behind the guard of the cell in the beam; of several, of the first.
        sample_stage: Moves the cell across the beam, mm.
        rotation_stage: Turns it, degree.
        monochromator: eV.
        beam: Ring, shutter, attenuator, counters.
        detector: For diffraction.
        clock: The session's clock.
        calibration: Directory of geometries (.poni), line shapes (.json) and darks (.npz).
        standard: Calibrant on the sample stage, ``LaB6`` or ``CeO2``.
        standard_position: (x, y) of the sample stage with it in the beam, mm.
        guess: Of the detector's geometry, by ruler.
        dose_meter: Puts the light of every opening of the shutter into the ledger; None where the
            flux is not known.
        statistics: Of the detector's latest frame, for exposures by result; None where none are.
        potentiostats: Of every cell by its name; the one above, as ``cell1``, by default.
        cell_positions: (x, y) of the sample stage with the middle of each cell in the beam, mm.
        counters: For spectra; None where none are measured.
        energy_sweep: The monochromator in motion while they count.
        foil: Behind the sample, for the calibration of energies.
        furnace: Heats the sample.
        mass_spectrometer: For gas that comes from it; None where there is none.
        energy_dispersive: Counts spectra of the white beam; None where none are measured.
        white_beam: For them.
        white_dose_meter: As `dose_meter`, of the white beam.
        saxs: For small angles, exposed with the detector; None where there is none.
        saxs_notes: What the staff know of it.
        camera: For radiographs and tomograms; None where none are taken.
        pulses: Of the rotation's encoder, that trigger the camera.
        fly_camera: The camera timed by them, or by itself.
        burst_camera: The camera with a ring buffer, which keeps what came before an event.
        map_pulses: Of the sample stage's encoder, that trigger the detector.
        fly_detector: The detector timed by them: maps on the fly.
        tilt_stage: Tilts the sample stage, degree; None where it cannot be.
    """

    potentiostat: Potentiostat
    sample_stage: SampleStage
    rotation_stage: RotationStage
    monochromator: Monochromator
    beam: Beam
    detector: AreaDetector
    clock: Clock
    calibration: Path
    standard: str = "LaB6"
    standard_position: tuple[float, float] = (0.0, 0.0)
    guess: DetectorGuess = DetectorGuess()
    dose_meter: DoseMeter | None = None
    statistics: Statistics | None = None
    potentiostats: Mapping[str, Potentiostat] = field(default_factory=dict)
    cell_positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    counters: Counters | None = None
    energy_sweep: EnergySweep | None = None
    foil: Foil | None = None
    furnace: Furnace | None = None
    mass_spectrometer: MassSpectrometer | None = None
    energy_dispersive: EnergyDispersive | None = None
    white_beam: WhiteBeam | None = None
    white_dose_meter: DoseMeter | None = None
    saxs: AreaDetector | None = None
    saxs_notes: SmallAngleNotes | None = None
    camera: AreaDetector | None = None
    pulses: Pulses | None = None
    fly_camera: FlyCamera | None = None
    burst_camera: BurstCamera | None = None
    map_pulses: Pulses | None = None
    fly_detector: FlyDetector | None = None
    tilt_stage: Motor | None = None

    def __post_init__(self) -> None:
        if not self.potentiostats:
            object.__setattr__(self, "potentiostats", {"cell1": self.potentiostat})

    def guard_of(self, cell: str) -> Potentiostat:
        """The potentiostat behind the guard of a cell.

        Raises:
            DeviceError: If the beamline has no such cell.
        """
        if cell not in self.potentiostats:
            raise DeviceError(
                f"the beamline has no {cell}, it has {', '.join(self.potentiostats)}; every cell "
                "needs a guard of its own in connection.json"
            )
        return self.potentiostats[cell]

    @property
    def dose_meters(self) -> tuple[DoseMeter, ...]:
        """Of every beam whose light is counted."""
        both = (self.dose_meter, self.white_dose_meter)
        return tuple(meter for meter in both if meter is not None)

    @property
    def devices(self) -> dict[str, Device]:
        """Every ophyd device by its name."""
        held = [getattr(self, each.name) for each in fields(self)]
        held += self.potentiostats.values()
        return {device.name: device for device in held if isinstance(device, Device)}

    def connection_faults(self, timeout: float = 10.0) -> list[str]:
        """What does not answer within ``timeout`` wall seconds, one sentence a device."""
        faults = []
        for name, device in self.devices.items():
            try:
                device.wait_for_connection(timeout=timeout)
            except TimeoutError:
                faults.append(missing_records(name, device))
                # The first device has used up everybody's time.
                timeout = 0.5
        return faults


def missing_records(name: str, device: Device) -> str:
    """One sentence that names the records of a device that do not answer."""
    missing = [
        getattr(walk.item, "pvname", walk.dotted_name)
        for walk in device.walk_signals()
        if not walk.item.connected
    ]
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return f"{name} is not connected: no answer from {shown}; is its server running?"


#: Beamlines live as long as the process: caproto ends the subscriptions of a device that is
#: collected from within the collector, in whatever thread that runs, and has stalled itself so.
_kept: list[Beamline] = []


def load_beamline(declaration: Path, connection: Connection) -> Beamline:
    """The beamline that a file declares, connected to where ``connection`` says.

    Raises:
        DeviceError: If the file is missing or declares no beamline.
    """
    if not declaration.exists():
        raise DeviceError(f"beamline declaration {declaration} is missing")
    declare: Any = runpy.run_path(str(declaration)).get("declare")
    if not callable(declare):
        raise DeviceError(f"{declaration} has no function declare(connection)")
    beamline = declare(connection)
    if not isinstance(beamline, Beamline):
        raise DeviceError(
            f"{declaration}: declare(connection) returned {type(beamline).__name__}, not a Beamline"
        )
    _kept.append(beamline)
    return beamline
