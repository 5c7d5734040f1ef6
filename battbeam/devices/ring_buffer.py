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
from battbeam.devices.frame_writer import FILE_TIMEOUT, adjust, wait_until
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.signals import Readback, Setting
from battbeam.errors import DeviceError
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
    trigger_once = Cpt(
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
    """Kickoff lets the camera run into the ring buffer, complete fires it.

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
        self._source: str | None = None

    @property
    def is_armed(self) -> bool:
        """Whether the ring buffer keeps frames; not after a pause."""
        return self._is_aloft and bool(self.ring.capture.value_now() != 0)

    @property
    def n_kept(self) -> int:
        """Frames that it has now."""
        return int(self.ring.n_kept.value_now())

    def stage(self) -> list[Any]:
        """Open a file, and let the ring buffer be what is written to it."""
        self._source = str(self.camera.hdf.source.value_now())
        staged = super().stage()
        adjust(self.camera.hdf.source, str(self.ring.port.value_now()))
        return staged

    def unstage(self) -> list[Any]:
        """Close the file and let the camera itself be written to the next."""
        unstaged = super().unstage()
        if self._source is not None:
            adjust(self.camera.hdf.source, self._source)
            self._source = None
        return unstaged

    def flight_faults(self, flight: Flight) -> list[str]:
        """Why it cannot be flown, one sentence each."""
        train = flight.train
        if not isinstance(train, BurstTrain):
            return [f"{self.name}: only bursts are flown here, not {type(train).__name__}"]
        faults = super().flight_faults(flight)
        if not 0 <= train.n_before < train.n_frames:
            faults.append(
                f"{self.name}: n_before must be at least 0 and below the {train.n_frames} frames "
                f"of the burst, got {train.n_before}"
            )
        return faults

    def _set_up(self, flight: Flight) -> None:
        train = flight.train
        if not isinstance(train, BurstTrain):
            raise DeviceError(f"{self.name}: no burst is prepared")
        self.camera.set_up(train, image_mode=CONTINUOUS, trigger_mode=INTERNAL)
        adjust(self.ring.n_before, train.n_before)
        adjust(self.ring.n_after, train.n_after)
        adjust(self.ring.trigger_once, 1)

    def _arm(self, flight: Flight, cancelled: threading.Event) -> None:
        self._capture(True)
        self.camera.cam.acquire.put(1, wait=False)

    def _capture(self, on: bool) -> None:
        ring = self.ring
        ring.capture.put(int(on), wait=False)
        wait_until(
            lambda: ring.capture.value_now() == int(on),
            timeout=FILE_TIMEOUT,
            what=lambda: f"{self.name}: ring buffer {'keeps frames' if on else 'stopped'}",
        )

    def _go(self, flight: Flight, cancelled: threading.Event) -> str:
        if cancelled.is_set():
            return ""
        train = flight.train
        self.ring.fire.put(1, wait=False)
        self._await_frames(
            train.n_frames,
            lambda _: self._arrived < train.n_frames and self.ring.capture.value_now() != 0,
            cancelled,
        )
        return ""

    def _rest(self) -> None:
        if self.camera.cam.acquire.value_now() != 0:
            self.camera.cam.acquire.put(0, wait=False)
        if self.ring.capture.value_now() != 0:
            self._capture(False)

    def _halt(self) -> None:
        self.ring.capture.put(0, wait=False)
