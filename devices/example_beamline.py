"""The instruments of a real beamline, as an example: change the prefixes, keep the rest.

Prefixes are declared here, suffixes live in the library. There is no simulated clock: the wall
clock counts.
"""

from pathlib import Path

from battbeam.connection import Connection
from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline, DetectorGuess
from battbeam.devices.clock_watch import ClockWatch
from battbeam.devices.detector import AreaDetector
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.clock import WallClock

#: Where the detector's server writes; readable from here under the same path.
FRAMES = Path("/data/frames")


def declare(connection: Connection) -> Beamline:
    """The beamline at the end of these prefixes."""
    clock = WallClock()
    return Beamline(
        potentiostat=Potentiostat(connection.guards["cell1"].prefix, name="potentiostat"),
        sample_stage=SampleStage("BL99:SAMPLE:", name="sample_stage"),
        rotation_stage=RotationStage("BL99:ROT", name="rotation_stage", labels=("motors",)),
        monochromator=Monochromator(
            "BL99:MONO:",
            name="monochromator",
            d_spacing=3.13560,
            hkl=(1, 1, 1),
            lattice_parameter=5.43102,
            labels=("motors",),
        ),
        beam=Beam("BL99:", name="beam", minimum_ring_current=20.0),
        detector=AreaDetector(
            "BL99:DET1:",
            name="detector",
            directory=FRAMES,
            boot_id_pv="BL99:DET1:IOC:STARTTOD",
            readout_delay=0.003,
            clock_watch=ClockWatch("BL99:DET1:IOC:UPTIME", name="detector_clock", clock=clock),
            labels=("detectors",),
        ),
        mass_spectrometer=MassSpectrometer("BL99:MS1:", name="mass_spectrometer"),
        clock=clock,
        calibration=connection.calibration,
        standard="LaB6",
        standard_position=(12.0, 0.0),
        guess=DetectorGuess(distance=250.0, centre=(527.0, 491.0), pixel_size=(0.172, 0.172)),
    )
