"""The instruments of the simulated beamline: prefixes here, suffixes in the library."""

from typing import Any

from battbeam.connection import Connection, SiteNotes
from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline, DetectorGuess
from battbeam.devices.clock import SimulatedClock
from battbeam.devices.clock_watch import ClockWatch
from battbeam.devices.counters import Counters
from battbeam.devices.detector import AreaDetector
from battbeam.devices.dose_meter import DoseMeter
from battbeam.devices.energy_dispersive import EnergyDispersive
from battbeam.devices.energy_sweep import EnergySweep
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.fly_detector import FlyDetector
from battbeam.devices.foil import Foil
from battbeam.devices.furnace import Furnace
from battbeam.devices.layer_stage import LayerStage
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.motor import Motor
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.pulses import Pulses
from battbeam.devices.ring_buffer import BurstCamera, RingBuffer
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_places import LayerPlaces, Place, SamplePlaces
from battbeam.devices.shutter_keeper import ShutterKeeper
from battbeam.devices.statistics import Statistics
from battbeam.devices.top_up import TopUp
from battbeam.devices.white_beam import WhiteBeam
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.dose import LEDGER, WHITE_LEDGER, DoseLedger


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
    clock = SimulatedClock(connection.clock, name="clock")
    sample_stage = LayerStage(f"{prefix}SAMPLE:", name="sample_stage")
    monochromator = Monochromator(
        f"{prefix}MONO:",
        name="monochromator",
        d_spacing=3.13560,
        hkl=(1, 1, 1),
        lattice_parameter=5.43102,
        labels=("motors",),
    )
    beam = Beam(
        prefix,
        name="beam",
        transmissions=(1.0, 0.3, 0.1, 0.03, 0.01),
        top_up=TopUp(f"{prefix}RING:", name="top_up", clock=clock, length=site.top_up_length),
        point_overhead=site.point_overhead,
    )
    places = [
        Place(potentiostat, site.cell_positions.get(cell, (0.0, 0.0)))
        for cell, potentiostat in potentiostats.items()
    ]
    dose_meter = (
        None
        if site.flux is None
        else DoseMeter(
            name="dose_meter",
            ledger=DoseLedger(connection.directory / LEDGER),
            beam=beam,
            monochromator=monochromator,
            clock=clock,
            flux=site.flux,
            places=SamplePlaces(sample_stage, places),
            keeper=ShutterKeeper(
                f"{prefix}SHUTTER:CMD",
                clock_pv=f"{connection.clock}State",
                directory=connection.directory / "log",
            ),
            overhead=site.shutter_overhead,
        )
    )
    rotation_stage = RotationStage(f"{prefix}ROT", name="rotation_stage", labels=("motors",))
    detector = AreaDetector(
        f"{prefix}DET1:",
        name="detector",
        directory=connection.frames,
        boot_id_pv=f"{prefix}BOOT_ID",
        readout_delay=site.readout_delay,
        clock_watch=ClockWatch(f"{prefix}DET1:HEARTBEAT", name="detector_clock", clock=clock),
        labels=("detectors",),
    )
    map_pulses = Pulses(f"{prefix}PSO2:", name="map_pulses", units="mm")
    return Beamline(
        potentiostat=potentiostats["cell1"],
        potentiostats=potentiostats,
        cell_positions=site.cell_positions,
        sample_stage=sample_stage,
        rotation_stage=rotation_stage,
        monochromator=monochromator,
        beam=beam,
        dose_meter=dose_meter,
        statistics=Statistics(
            f"{prefix}DET1:STATS1:", name="statistics", saturation=site.saturation
        ),
        detector=detector,
        map_pulses=map_pulses,
        tilt_stage=Motor(
            f"{prefix}SAMPLE:TILT", name="tilt_stage", units="degree", labels=("motors",)
        ),
        fly_detector=FlyDetector(
            name="fly_detector",
            camera=detector,
            stage=sample_stage,
            pulses=map_pulses,
            clock=clock,
        ),
        clock=clock,
        calibration=connection.calibration,
        standard=site.standard,
        standard_position=site.standard_position,
        guess=DetectorGuess(
            distance=site.distance,
            centre=site.centre,
            pixel_size=(site.pixel_size, site.pixel_size),
        ),
        mass_spectrometer=MassSpectrometer(f"{prefix}MS1:", name="mass_spectrometer")
        if site.mass_spectrometer
        else None,
        **spectroscopy(connection, site),
        **small_angle(connection, site, detector, clock),
        **imaging(connection, site, rotation_stage, clock),
        **energy_dispersive(connection, site, clock, LayerPlaces(sample_stage, places)),
    )


def spectroscopy(connection: Connection, site: SiteNotes) -> dict[str, Any]:
    """What spectra are measured with; nothing where counters were not calibrated."""
    if site.counters is None:
        return {}
    prefix = connection.beamline
    return {
        "counters": Counters(
            f"{prefix}SCALER1:",
            name="counters",
            amplifiers=f"{prefix}AMP_",
            calibration=site.counters,
            labels=("detectors",),
        ),
        "energy_sweep": EnergySweep(f"{prefix}SWEEP1:", name="energy_sweep", labels=("detectors",)),
        "foil": Foil(f"{prefix}FOIL:", name="foil"),
        "furnace": Furnace(f"{prefix}FURNACE:", name="furnace", limits=(20.0, 600.0)),
    }


def energy_dispersive(
    connection: Connection, site: SiteNotes, clock: SimulatedClock, places: LayerPlaces
) -> dict[str, Any]:
    """The white beam and the detector for it; nothing where there is none."""
    if site.white_beam is None:
        return {}
    prefix = connection.beamline
    white_beam = WhiteBeam(prefix, name="white_beam", point_overhead=site.point_overhead)
    light = site.white_beam.light
    return {
        "energy_dispersive": EnergyDispersive(
            f"{prefix}MCA1:", name="mca", calibration=site.white_beam, labels=("detectors",)
        ),
        "white_beam": white_beam,
        "white_dose_meter": None
        if light is None
        else DoseMeter(
            name="white_dose_meter",
            ledger=DoseLedger(connection.directory / WHITE_LEDGER),
            beam=white_beam,
            monochromator=None,
            clock=clock,
            flux=light,
            places=places,
            keeper=ShutterKeeper(
                f"{prefix}WHITE:SHUTTER:CMD",
                clock_pv=f"{connection.clock}State",
                directory=connection.directory / "log",
                name="white_shutter_keeper",
            ),
            overhead=site.shutter_overhead,
        ),
    }


def small_angle(
    connection: Connection, site: SiteNotes, detector: AreaDetector, clock: SimulatedClock
) -> dict[str, Any]:
    """The small-angle detector, which a cable from the other one triggers; nothing where there is none."""
    if site.small_angle is None:
        return {}
    prefix = connection.beamline
    return {
        "saxs": AreaDetector(
            f"{prefix}DET3:",
            name="saxs",
            directory=connection.frames,
            boot_id_pv=f"{prefix}BOOT_ID",
            readout_delay=site.small_angle.readout_delay,
            clock_watch=ClockWatch(f"{prefix}DET3:HEARTBEAT", name="saxs_clock", clock=clock),
            follows=detector,
            labels=("detectors",),
        ),
        "saxs_notes": site.small_angle,
    }


def imaging(
    connection: Connection, site: SiteNotes, rotation_stage: RotationStage, clock: SimulatedClock
) -> dict[str, Any]:
    """The camera for radiographs and tomograms, and what times it; nothing where there is none."""
    if site.camera is None:
        return {}
    prefix, facts = connection.beamline, CameraFacts.of(site.camera)
    camera = AreaDetector(
        f"{prefix}DET2:",
        name="camera",
        directory=connection.frames,
        boot_id_pv=f"{prefix}BOOT_ID",
        readout_delay=site.camera.readout_delay,
        clock_watch=ClockWatch(f"{prefix}DET2:HEARTBEAT", name="camera_clock", clock=clock),
        labels=("detectors",),
    )
    pulses = Pulses(f"{prefix}PSO1:", name="pulses")
    timed: dict[str, Any] = {"camera": camera, "clock": clock, "facts": facts}
    return {
        "camera": camera,
        "pulses": pulses,
        "fly_camera": FlyCamera(name="fly_camera", rotation=rotation_stage, pulses=pulses, **timed),
        "burst_camera": BurstCamera(
            name="burst_camera", ring=RingBuffer(f"{prefix}DET2:CB1:", name="ring"), **timed
        ),
    }
