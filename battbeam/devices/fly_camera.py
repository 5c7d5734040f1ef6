"""This file is where a camera is timed by the rotation of the sample, or by itself."""

import threading
from typing import Any

from battbeam.devices.camera import EXTERNAL, MULTIPLE
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frame_flyer import FRAME_TIME, LENGTHS, MARGIN, FrameFlyer
from battbeam.devices.frame_writer import EXACT, adjust
from battbeam.devices.frames import Flight
from battbeam.devices.pulses import Pulses
from battbeam.devices.rotation_stage import RotationStage
from battbeam.devices.status import TimedStatus
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.clock import Clock
from battbeam.experiment.rotation import Rotation


class FlyCamera(FrameFlyer):
    """Takes the frames of one arc as one train of pulses; darks and flats the camera times itself.

    Args:
        rotation: Turns the sample.
        pulses: Of its encoder, that trigger the camera; None where there are none: then it only
            takes frames that the camera times itself.
        facts: What is known of the camera before it is asked.

    >>> fly_camera.prepare(Flight("projection", rotation)).wait()  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        name: str,
        camera: AreaDetector,
        rotation: RotationStage,
        clock: Clock,
        pulses: Pulses | None = None,
        facts: CameraFacts | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, camera=camera, clock=clock, **kwargs)
        self.rotation, self.pulses = rotation, pulses
        self.facts = CameraFacts() if facts is None else facts
        self._travel_speed: float | None = None
        self._motion: TimedStatus | None = None

    def stage(self) -> list[Any]:
        """Open a file, and remember how fast the stage travels."""
        self._travel_speed = float(self.rotation.velocity.value_now())
        return super().stage()

    def flight_faults(self, flight: Flight) -> list[str]:
        """Why it cannot be flown, one sentence each."""
        faults = super().flight_faults(flight)
        if not isinstance(flight.train, Rotation):
            return faults
        if self.pulses is None:
            return [*faults, f"{self.name}: no pulses are declared; measure in steps"]
        found = flight.train.faults(readout_time=self.facts.readout_time)
        return faults + [f"{self.rotation.name}: {fault}" for fault in found]

    def _set_up(self, flight: Flight) -> None:
        super()._set_up(flight)
        if isinstance(flight.train, Rotation) and self.pulses is not None:
            self.pulses.program(flight.train)

    def _modes(self, flight: Flight) -> tuple[int, int]:
        by_pulses = isinstance(flight.train, Rotation)
        return (MULTIPLE, EXTERNAL) if by_pulses else super()._modes(flight)

    def _arm(self, flight: Flight, cancelled: threading.Event) -> None:
        if isinstance(flight.train, Rotation) and self.pulses is not None:
            self.rotation.set(flight.train.begin).wait()
            self.pulses.begin()
            self._acquire(True)

    def _go(self, flight: Flight, cancelled: threading.Event) -> str:
        if isinstance(flight.train, Rotation):
            return self._turn(flight.train, cancelled)
        return super()._go(flight, cancelled)

    def _turn(self, train: Rotation, cancelled: threading.Event) -> str:
        if cancelled.is_set():
            return ""
        adjust(self.rotation.velocity, train.speed, tolerance=EXACT)
        limit = LENGTHS * train.travel_time + FRAME_TIME * train.n_frames + MARGIN
        motion = self._motion = self.rotation.set(train.end, timeout=limit)
        if cancelled.is_set():
            # It came while the motion was set going.
            self.rotation.stop()
        self._await_frames(train.n_frames, lambda _: not motion.done, cancelled)
        error = motion.exception(timeout=0) if motion.done else None
        return "" if error is None else str(error)

    def _rest(self) -> None:
        motion, self._motion = self._motion, None
        if motion is not None and not motion.done:
            self.rotation.stop()
        if self.pulses is not None:
            self.pulses.disarm()
        super()._rest()
        if self._travel_speed is not None:
            adjust(self.rotation.velocity, self._travel_speed, tolerance=EXACT)

    def _halt(self) -> None:
        if self.pulses is not None:
            self.pulses.disarm()
        self.rotation.stop()

    def _n_missed(self) -> int:
        """Pulses that the camera could not follow in the latest arc."""
        pulses = self._pulses_of_flight()
        return -1 if pulses is None else int(pulses.missed.value_now())

    def _n_told(self) -> int:
        """Pulses of the latest arc so far, without those that the camera could not follow."""
        pulses = self._pulses_of_flight()
        return 0 if pulses is None else int(pulses.fired.value_now()) - self._n_missed()

    def _pulses_of_flight(self) -> Pulses | None:
        """What times the latest train; None if the camera itself does."""
        flight = self._flight
        return self.pulses if flight is not None and isinstance(flight.train, Rotation) else None

    def read_configuration(self) -> dict[str, Any]:
        """Of the camera, the stage and the pulses."""
        found = super().read_configuration()
        for device in (self.rotation, self.pulses):
            if device is not None:
                found |= device.read_configuration()
        return found

    def describe_configuration(self) -> dict[str, Any]:
        """Of the camera, the stage and the pulses."""
        found = super().describe_configuration()
        for device in (self.rotation, self.pulses):
            if device is not None:
                found |= device.describe_configuration()
        return found
