"""This file is where instruments without hardware are made, to test plans as messages.

They are the real classes with signals that remember what was put; a motor is where it was sent, a
shutter follows its command, and the guard says what the test lets it say.
"""

import json
from pathlib import Path
from typing import Any

from ophyd import Device
from ophyd.sim import FakeEpicsSignal, FakeEpicsSignalRO, fake_device_cache, make_fake_device

from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline
from battbeam.devices.camera import CONTINUOUS
from battbeam.devices.detector import AreaDetector
from battbeam.devices.encoded_motor import EncodedMotor
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.fly_detector import FlyDetector
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.motor import Motor
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.pulses import Pulses
from battbeam.devices.ring_buffer import BurstCamera, RingBuffer
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.sample_stage import SampleStage
from battbeam.devices.signals import Described, Note, Readback, Setting
from battbeam.experiment.clock import Clock
from battbeam.experiment.guard_state import GuardState

#: Si 111, as in the declarations.
_CRYSTAL: dict[str, Any] = {"d_spacing": 3.13560, "hkl": (1, 1, 1), "lattice_parameter": 5.43102}


class FakeReadback(Described, FakeEpicsSignalRO):  # type: ignore[misc]
    """Holds what the test puts with ``sim_put``."""


class FakeSetting(Described, FakeEpicsSignal):  # type: ignore[misc]
    """Holds what was put."""


fake_device_cache.update({Readback: FakeReadback, Setting: FakeSetting, Note: Note})


class ManualClock:
    """A clock that a test turns by hand.

    Attributes:
        time: s since the Unix epoch.
        rate: s per wall second.
    """

    def __init__(self, time: float = 1000.0, rate: float = 1.0) -> None:
        self.time, self.rate = time, rate

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        return self.time


def fake(cls: type[Device], prefix: str = "X:", **kwargs: Any) -> Any:
    """One instrument of a class, with signals that only remember."""
    return make_fake_device(cls)(prefix, **kwargs)


def ready_motor(motor: Motor, *, limits: tuple[float, float] = (-20.0, 20.0)) -> Motor:
    """Let a fake motor be at rest at 0 and arrive wherever it is sent."""
    motor.velocity.sim_put(1.0)
    motor.low_limit.sim_put(limits[0])
    motor.high_limit.sim_put(limits[1])
    motor.user_offset.sim_put(0.0)
    motor.readback.sim_put(0.0)
    motor.setpoint.sim_put(0.0)
    motor.is_done.sim_put(1)
    motor.setpoint.sim_set_putter(lambda position, **_: motor.readback.sim_put(position))
    return motor


def ready_encoded(
    axis: EncodedMotor, *, limits: tuple[float, float], speed: float, count: float
) -> None:
    """Let a fake axis be known to its last count, and arrive at once."""
    ready_motor(axis, limits=limits)
    axis.velocity.sim_put(speed)
    axis.acceleration.sim_put(0.1)
    axis.encoder_step.sim_put(count)


def ready_rotation(stage: RotationStage, *, speed: float = 90.0) -> RotationStage:
    """Let a fake rotation stage be known to its last count, and arrive at once."""
    ready_encoded(stage, limits=(-360.0, 360.0), speed=speed, count=1e-3)
    return stage


def ready_stage(stage: SampleStage) -> SampleStage:
    """Let the axes of a fake sample stage be known to their last count, and arrive at once."""
    for axis in (stage.x, stage.y):
        ready_encoded(axis, limits=(-20.0, 20.0), speed=1.0, count=1e-4)
    return stage


def ready_pulses(camera: AreaDetector, axis: EncodedMotor, *, name: str, units: str) -> Pulses:
    """Let a fake camera take a frame for each pulse, all at once when the axis has passed them."""
    pulses: Pulses = fake(Pulses, name=name, units=units)
    for signal in (pulses.start, pulses.step, pulses.width):
        signal.sim_put(0.0)
    for signal in (pulses.n_pulses, pulses.arm, pulses.fired, pulses.missed):
        signal.sim_put(0)
    cam, hdf = camera.cam, camera.hdf
    takes_at_once = cam.acquire.sim_put

    def acquire(value: int, **_: Any) -> None:
        if value and not cam.trigger_mode.get():
            cam.counter.sim_put(cam.counter.get() + cam.n_images.get())
            hdf.captured.sim_put(hdf.captured.get() + cam.n_images.get())
            value = 0
        takes_at_once(value)

    def go(position: float, **_: Any) -> None:
        begin, first = axis.position, pulses.start.get()
        if pulses.arm.get() and cam.acquire.get() and (begin - first) * (position - first) < 0:
            n = pulses.n_pulses.get()
            pulses.fired.sim_put(n)
            came = n - pulses.missed.get()
            cam.counter.sim_put(cam.counter.get() + came)
            hdf.captured.sim_put(hdf.captured.get() + came)
            if came == n:
                takes_at_once(0)
        axis.readback.sim_put(position)

    cam.acquire.sim_set_putter(acquire)
    axis.setpoint.sim_set_putter(go)
    return pulses


def ready_fly_camera(camera: AreaDetector, rotation: RotationStage, clock: Clock) -> FlyCamera:
    """Let a fake camera take a frame for each pulse of the rotation."""
    pulses = ready_pulses(camera, rotation, name="pulses", units="degree")
    return FlyCamera(
        name="fly_camera", camera=camera, rotation=rotation, clock=clock, pulses=pulses
    )


def ready_fly_detector(camera: AreaDetector, stage: SampleStage, clock: Clock) -> FlyDetector:
    """Let a fake detector take a frame for each pulse of the sample stage."""
    pulses = ready_pulses(camera, stage.x, name="map_pulses", units="mm")
    return FlyDetector(name="fly_detector", camera=camera, stage=stage, clock=clock, pulses=pulses)


def ready_burst_camera(camera: AreaDetector, clock: Clock, *, n_kept: int = 100) -> BurstCamera:
    """Let a fake ring buffer hold ``n_kept`` frames at once, and hand on what it is asked for."""
    ring = fake(RingBuffer, name="ring")
    for signal in (ring.capture, ring.n_before, ring.n_after, ring.n_firings, ring.fire):
        signal.sim_put(0)
    ring.n_kept.sim_put(n_kept)
    ring.port.sim_put("CB1")
    takes_at_once, acquire = camera.cam.acquire._put_func, camera.cam.acquire

    def run(value: int, **kwargs: Any) -> None:
        if camera.cam.image_mode.get() == CONTINUOUS:
            acquire.sim_put(value)
        else:
            takes_at_once(value, **kwargs)

    def fire(value: int, **_: Any) -> None:
        if value and ring.capture.get() and camera.hdf.source.get() == "CB1":
            came = min(ring.n_kept.get(), ring.n_before.get()) + ring.n_after.get()
            camera.hdf.captured.sim_put(camera.hdf.captured.get() + came)
            ring.capture.sim_put(0)

    acquire.sim_set_putter(run)
    ring.fire.sim_set_putter(fire)
    return BurstCamera(name="burst_camera", camera=camera, ring=ring, clock=clock)


def ready_beam(beam: Beam, *, ring_current: float = 100.0) -> Beam:
    """Let a fake beam be up, with a shutter that follows its command."""
    beam.ring_current.sim_put(ring_current)
    for counter in (beam.i0, beam.transmission_counts, beam.i0_rate, beam.i0_dark_rate):
        counter.sim_put(1.0)
    beam.attenuator.transmission.sim_put(1.0)
    beam.shutter.status.sim_put(0)
    beam.shutter.command.sim_set_putter(lambda wanted, **_: beam.shutter.status.sim_put(wanted))
    return beam


def ready_detector(detector: AreaDetector) -> AreaDetector:
    """Let a fake detector take every train at once, whole."""
    cam, hdf = detector.cam, detector.hdf
    for signal, value in ((cam.exposure, 1.0), (cam.period, 1.0), (hdf.stamp, 500.0)):
        signal.sim_put(value)
    for signal in (cam.acquire, cam.counter, cam.image_mode, cam.trigger_mode):
        signal.sim_put(0)
    for signal in (hdf.captured, hdf.capture):
        signal.sim_put(0)
    for signal in (cam.n_images, hdf.path_exists, hdf.write_mode):
        signal.sim_put(1)
    for signal in (cam.n_rows, cam.n_columns):
        signal.sim_put(8)
    hdf.n_asked.sim_put(0)
    for signal in (hdf.file_path, hdf.file_name, hdf.template, hdf.message):
        signal.sim_put("")
    hdf.full_name.sim_put("/frames/one.h5")
    hdf.source.sim_put("CAM")
    detector.boot_id.sim_put("boot 1")

    def acquire(value: int, **_: Any) -> None:
        if value:
            n = cam.n_images.get()
            cam.counter.sim_put(cam.counter.get() + n)
            hdf.captured.sim_put(hdf.captured.get() + n)
        cam.acquire.sim_put(0)

    def capture(value: int, **_: Any) -> None:
        if value:
            hdf.captured.sim_put(0)
        hdf.capture.sim_put(value)

    cam.acquire.sim_set_putter(acquire)
    hdf.capture.sim_set_putter(capture)
    return detector


def ready_potentiostat(potentiostat: Potentiostat, passport: Any = None) -> Potentiostat:
    """Let a fake guard do at once whatever it is told."""
    for walk in potentiostat.walk_signals():
        unknown = {"number": 0.0, "integer": 0, "string": ""}[walk.item.declared_dtype]
        walk.item.sim_put(unknown)
    potentiostat.state.sim_put(GuardState.OPEN_CIRCUIT.value)
    potentiostat.controls.sim_put(1)
    potentiostat.hard_voltage_min.sim_put(2.0)
    potentiostat.hard_voltage_max.sim_put(4.4)
    potentiostat.hard_current_max.sim_put(0.05)
    potentiostat.passport.sim_put("" if passport is None else json.dumps(passport))
    follows = {
        "load_command": GuardState.LOADED,
        "start_command": GuardState.RUNNING,
        "hold_command": GuardState.HOLDING,
        "proceed_command": GuardState.RUNNING,
        "open_circuit_command": GuardState.OPEN_CIRCUIT,
    }
    for attribute in potentiostat.component_names:
        if attribute.endswith("_command") or attribute in ("passport", "policies"):
            signal = getattr(potentiostat, attribute)
            signal.sim_set_putter(_answering(potentiostat, attribute, follows.get(attribute)))
    return potentiostat


def _answering(potentiostat: Potentiostat, attribute: str, state: GuardState | None) -> Any:
    def put(text: str, **_: Any) -> None:
        command = json.loads(text)
        if attribute == "passport":
            potentiostat.passport.sim_put(json.dumps(command["passport"]))
        if state is not None:
            potentiostat.state.sim_put(state.value)
        if attribute in ("hold_command", "proceed_command"):
            # Each is a step of the guard's, begun at once.
            potentiostat.step_count.sim_put(potentiostat.step_count.get() + 1)
        verb = attribute.removesuffix("_command").title().replace("_", "")
        answer = {"id": command["id"], "verb": verb, "ok": True, "error": "", "faults": []}
        potentiostat.result.sim_put(json.dumps(answer))

    return put


def fake_beamline(directory: Path, *, passport: Any = None) -> Beamline:
    """A whole beamline that obeys at once."""
    stage = ready_stage(fake(SampleStage, name="sample_stage"))
    monochromator = fake(Monochromator, name="monochromator", **_CRYSTAL)
    ready_motor(monochromator.bragg, limits=(1.0, 60.0)).readback.sim_put(5.0)
    detector, camera = (
        ready_detector(fake(AreaDetector, name=name, directory=directory, boot_id_pv="X:BOOT"))
        for name in ("detector", "camera")
    )
    rotation, clock = ready_rotation(fake(RotationStage, name="rotation_stage")), ManualClock()
    fly_camera = ready_fly_camera(camera, rotation, clock)
    fly_detector = ready_fly_detector(detector, stage, clock)
    return Beamline(
        potentiostat=ready_potentiostat(fake(Potentiostat, name="potentiostat"), passport),
        sample_stage=stage,
        rotation_stage=rotation,
        monochromator=monochromator,
        beam=ready_beam(fake(Beam, name="beam")),
        detector=detector,
        camera=camera,
        pulses=fly_camera.pulses,
        fly_camera=fly_camera,
        map_pulses=fly_detector.pulses,
        fly_detector=fly_detector,
        tilt_stage=ready_motor(fake(Motor, name="tilt_stage", units="degree")),
        burst_camera=ready_burst_camera(camera, clock),
        clock=clock,
        calibration=directory / "calibration",
        standard_position=(12.0, 0.0),
    )
