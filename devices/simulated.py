"""The instruments of the simulated beamline: prefixes here, suffixes in the library."""

from battbeam.connection import Connection
from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline, DetectorGuess
from battbeam.devices.clock import SimulatedClock
from battbeam.devices.detector import AreaDetector
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_stage import SampleStage
from battbeam.sim.scenario import Scenario


def declare(connection: Connection) -> Beamline:
    """The beamline that ``battbeam sim`` serves."""
    prefix = connection.beamline
    scenario = Scenario.read(connection.directory / "sim" / "scenario.json")
    return Beamline(
        potentiostat=Potentiostat(connection.guards["cell1"].prefix, name="potentiostat"),
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
            # The delay is wall time, stamps are on the session's clock.
            readout_delay=scenario.detector.readout_delay * scenario.rate,
            labels=("detectors",),
        ),
        clock=SimulatedClock(connection.clock, name="clock"),
        calibration=connection.calibration,
        standard=scenario.standard,
        standard_position=scenario.standard_position,
        # As a ruler would say: within some millimetres and pixels of where it stands.
        guess=DetectorGuess(
            distance=round(scenario.detector.distance, -1) or scenario.detector.distance,
            centre=(round(scenario.detector.centre_row), round(scenario.detector.centre_column)),
            pixel_size=(scenario.detector.pixel_size, scenario.detector.pixel_size),
        ),
    )
