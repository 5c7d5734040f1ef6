"""This file is where a camera is timed by an axis in motion, or by itself."""

import threading
from typing import Any, ClassVar

from battbeam.devices.camera import EXTERNAL, MULTIPLE
from battbeam.devices.encoded_motor import EncodedMotor
from battbeam.devices.frame_flyer import FRAME_TIME, LENGTHS, MARGIN, FrameFlyer
from battbeam.devices.frame_writer import EXACT, adjust
from battbeam.devices.frames import Flight
from battbeam.devices.pulses import Pulses
from battbeam.devices.status import TimedStatus
from battbeam.experiment.passage import Passage


class PulsedFlyer(FrameFlyer):
    """Takes the frames of one passage of an axis as one train of pulses of its encoder.

    Args:
        axis: What moves.
        pulses: Of its encoder, that trigger the camera; None where there are none: then it only
            takes frames that the camera times itself.

    Attributes:
        kind_of_train: What passages of this axis are.
    """

    kind_of_train: ClassVar[type[Passage]]

    def __init__(
        self, *, name: str, axis: EncodedMotor, pulses: Pulses | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.axis, self.pulses = axis, pulses
        self._travel_speed: float | None = None
        self._motion: TimedStatus | None = None

    @property
    def readout_time(self) -> float:
        """s that the camera needs between two exposures."""
        return 0.0

    def stage(self) -> list[Any]:
        """Open a file, and remember how fast the axis travels."""
        self._travel_speed = float(self.axis.velocity.value_now())
        return super().stage()

    def _passage(self, flight: Flight | None) -> Passage | None:
        """What is flown of a flight; None where the camera times itself."""
        train = None if flight is None else flight.train
        return train if isinstance(train, self.kind_of_train) else None

    def flight_faults(self, flight: Flight) -> list[str]:
        """Why it cannot be flown, one sentence each."""
        faults = super().flight_faults(flight)
        passage = self._passage(flight)
        if passage is None:
            return faults
        if self.pulses is None:
            return [*faults, f"{self.name}: no pulses are declared; measure in steps"]
        found = passage.faults(readout_time=self.readout_time)
        return faults + [f"{self.axis.name}: {fault}" for fault in found]

    def _set_up(self, flight: Flight) -> None:
        super()._set_up(flight)
        passage = self._passage(flight)
        if passage is not None and self.pulses is not None:
            self.pulses.program(passage)

    def _modes(self, flight: Flight) -> tuple[int, int]:
        by_pulses = self._passage(flight) is not None
        return (MULTIPLE, EXTERNAL) if by_pulses else super()._modes(flight)

    def _arm(self, flight: Flight, cancelled: threading.Event) -> None:
        passage = self._passage(flight)
        if passage is not None and self.pulses is not None:
            self.axis.set(passage.begin).wait()
            self.pulses.begin()
            self._acquire(True)

    def _go(self, flight: Flight, cancelled: threading.Event) -> str:
        passage = self._passage(flight)
        if passage is None:
            return super()._go(flight, cancelled)
        return self._pass(passage, cancelled)

    def _pass(self, passage: Passage, cancelled: threading.Event) -> str:
        if cancelled.is_set():
            return ""
        adjust(self.axis.velocity, passage.speed, tolerance=EXACT)
        limit = LENGTHS * passage.travel_time + FRAME_TIME * passage.n_frames + MARGIN
        motion = self._motion = self.axis.set(passage.end, timeout=limit)
        if cancelled.is_set():
            # It came while the motion was set going.
            self.axis.stop()
        self._await_frames(passage.n_frames, lambda _: not motion.done, cancelled)
        error = motion.exception(timeout=0) if motion.done else None
        return "" if error is None else str(error)

    def _rest(self) -> None:
        motion, self._motion = self._motion, None
        if motion is not None and not motion.done:
            self.axis.stop()
        if self.pulses is not None:
            self.pulses.disarm()
        super()._rest()
        if self._travel_speed is not None:
            adjust(self.axis.velocity, self._travel_speed, tolerance=EXACT)

    def _halt(self) -> None:
        if self.pulses is not None:
            self.pulses.disarm()
        self.axis.stop()

    def _n_missed(self) -> int:
        """Pulses that the camera could not follow in the latest passage."""
        pulses = self._pulses_of_flight()
        return -1 if pulses is None else int(pulses.missed.value_now())

    def _n_told(self) -> int:
        """Pulses of the latest passage so far, without those that the camera could not follow."""
        pulses = self._pulses_of_flight()
        return 0 if pulses is None else int(pulses.fired.value_now()) - self._n_missed()

    def _pulses_of_flight(self) -> Pulses | None:
        """What times the latest train; None if the camera itself does."""
        return None if self._passage(self._flight) is None else self.pulses

    def read_configuration(self) -> dict[str, Any]:
        """Of the camera, the axis and the pulses."""
        found = super().read_configuration()
        for device in (self.axis, self.pulses):
            if device is not None:
                found |= device.read_configuration()
        return found

    def describe_configuration(self) -> dict[str, Any]:
        """Of the camera, the axis and the pulses."""
        found = super().describe_configuration()
        for device in (self.axis, self.pulses):
            if device is not None:
                found |= device.describe_configuration()
        return found
