"""This file is where frames are kept that came before somebody knew that they matter.

A ring buffer stands between the camera and its file writer and forgets all but the latest frames.
When it is fired it hands on what it has and what comes then: NDPluginCircularBuff of areaDetector.
"""

import threading
from dataclasses import dataclass
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.camera import CONTINUOUS, INTERNAL
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frame_flyer import FrameFlyer
from battbeam.devices.frame_writer import adjust
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.signals import Readback, Setting
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.clock import Clock


@dataclass(frozen=True)
class BurstTrain(FrameTrain):
    """Frames before and after an event, asked of a ring buffer.

    Attributes:
        n_before: That are kept from before; at least 0.
    """

    n_before: int = 0

    @property
    def n_after(self) -> int:
        """Frames from the event on."""
        return self.n_frames - self.n_before


class RingBuffer(Device):  # type: ignore[misc]
    """Keeps the latest frames until it is fired."""

    capture = Cpt(
        Setting,
        "Capture_RBV",
        write_pv="Capture",
        dtype="integer",
        kind="omitted",
        doc="1 while it keeps frames",
    )
    n_before = Cpt(
        Setting,
        "PreCount_RBV",
        write_pv="PreCount",
        dtype="integer",
        kind="config",
        doc="frames kept from before",
    )
    n_after = Cpt(
        Setting,
        "PostCount_RBV",
        write_pv="PostCount",
        dtype="integer",
        kind="config",
        doc="frames handed on from then",
    )
    n_firings = Cpt(
        Setting,
        "PresetTriggerCount_RBV",
        write_pv="PresetTriggerCount",
        dtype="integer",
        kind="omitted",
        doc="firings until it stops",
    )
    fire = Cpt(Setting, "Trigger", dtype="integer", kind="omitted", doc="put 1: now")
    n_kept = Cpt(
        Readback, "CurrentQty_RBV", dtype="integer", kind="omitted", doc="frames in it now"
    )
    port = Cpt(Readback, "PortName_RBV", dtype="string", kind="omitted", doc="its name as a source")


class BurstCamera(FrameFlyer):
    """Of a burst, kickoff lets the camera run into the ring buffer, and complete fires it.

    Args:
        ring: Between the camera and its writer.
        facts: What is known of the camera before it is asked.
    """

    def __init__(
        self,
        *,
        name: str,
        camera: AreaDetector,
        ring: RingBuffer,
        clock: Clock,
        facts: CameraFacts | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, camera=camera, clock=clock, **kwargs)
        self.ring = ring
        self.facts = CameraFacts() if facts is None else facts
        self._source = ""
        self._is_fired = False

    @property
    def is_armed(self) -> bool:
        """Whether the ring buffer keeps frames; not after a pause."""
        return self._is_aloft and bool(self.ring.capture.value_now() != 0)

    @property
    def n_kept(self) -> int:
        """Frames that it has now."""
        return int(self.ring.n_kept.value_now())

    def stage(self) -> list[Any]:
        """Open a file, and remember whose frames are written to it."""
        self._source = str(self.camera.hdf.source.value_now())
        return super().stage()

    def unstage(self) -> list[Any]:
        """Close the file and let the camera itself be written to the next."""
        unstaged = super().unstage()
        if self._source:
            adjust(self.camera.hdf.source, self._source)
        return unstaged

    def flight_faults(self, flight: Flight) -> list[str]:
        """Why it cannot be flown, one sentence each."""
        faults, train = super().flight_faults(flight), flight.train
        if isinstance(train, BurstTrain) and not 0 <= train.n_before < train.n_frames:
            faults.append(
                f"{self.name}: n_before must be at least 0 and below the {train.n_frames} frames "
                f"of the burst, got {train.n_before}"
            )
        return faults

    def _set_up(self, flight: Flight) -> None:
        super()._set_up(flight)
        train = flight.train
        if not isinstance(train, BurstTrain):
            adjust(self.camera.hdf.source, self._source)
            return
        adjust(self.camera.hdf.source, str(self.ring.port.value_now()))
        adjust(self.ring.n_before, train.n_before)
        adjust(self.ring.n_after, train.n_after)
        adjust(self.ring.n_firings, 1)

    def _modes(self, flight: Flight) -> tuple[int, int]:
        is_burst = isinstance(flight.train, BurstTrain)
        return (CONTINUOUS, INTERNAL) if is_burst else super()._modes(flight)

    def _arm(self, flight: Flight, cancelled: threading.Event) -> None:
        self._is_fired = False
        if isinstance(flight.train, BurstTrain):
            self._capture(True)
            self.camera.cam.acquire.put(1, wait=False)

    def _capture(self, on: bool) -> None:
        what = f"{self.name}: ring buffer {'keeps frames' if on else 'stopped'}"
        self._switch(self.ring.capture, on, what)

    def _go(self, flight: Flight, cancelled: threading.Event) -> str:
        train = flight.train
        if not isinstance(train, BurstTrain):
            return super()._go(flight, cancelled)
        if not self._is_fired:
            self._is_fired = True
            self.ring.fire.put(1, wait=False)
        # The buffer stops by itself when it has handed on what was asked.
        self._await_frames(
            train.n_frames, lambda _: bool(self.ring.capture.value_now() != 0), cancelled
        )
        return ""

    def _rest(self) -> None:
        super()._rest()
        if self.ring.capture.value_now() != 0:
            self._capture(False)

    def _halt(self) -> None:
        self.ring.capture.put(0, wait=False)

    def pause(self) -> None:
        """Stop keeping frames; a burst that was fired already is written to its end."""
        if not self._is_fired:
            super().pause()
