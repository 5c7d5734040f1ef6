"""The instruments of the simulated beamline: prefixes here, suffixes in the library."""

from battbeam.connection import Connection, SiteNotes
from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline, DetectorGuess
from battbeam.devices.clock import SimulatedClock
from battbeam.devices.detector import AreaDetector
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_stage import SampleStage


def declare(connection: Connection) -> Beamline:
    """The beamline that ``battbeam sim`` serves."""
    prefix = connection.beamline
    site = SiteNotes.read(connection.directory)
    potentiostats = {
        cell: Potentiostat(
            guard.prefix, name="potentiostat" if cell == "cell1" else f"potentiostat_{cell}"
        )
        for cell, guard in connection.guards.items()
    }
    return Beamline(
        potentiostat=potentiostats["cell1"],
        potentiostats=potentiostats,
        cell_positions=site.cell_positions,
        sample_stage=SampleStage(f"{prefix}SAMPLE:", name="sample_stage"),
        rotation_stage=RotationStage(f"{prefix}ROT", name="rotation_stage", labels=("motors",)),
        monochromator=Monochromator(
            f"{prefix}MONO:",
            name="monochromator",
            d_spacing=3.13560,
            hkl=(1, 1, 1),
            lattice_parameter=5.43102,
            labels=("motors",),
        ),
        beam=Beam(prefix, name="beam"),
        detector=AreaDetector(
            f"{prefix}DET1:",
            name="detector",
            directory=connection.frames,
            boot_id_pv=f"{prefix}BOOT_ID",
            readout_delay=site.readout_delay,
            labels=("detectors",),
        ),
        clock=SimulatedClock(connection.clock, name="clock"),
        calibration=connection.calibration,
        standard=site.standard,
        standard_position=site.standard_position,
        guess=DetectorGuess(
            distance=site.distance,
            centre=site.centre,
            pixel_size=(site.pixel_size, site.pixel_size),
        ),
    )
