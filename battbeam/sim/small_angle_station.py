"""This file is where what a beamline serves of its small-angle detector is put together.

``DET3`` is an area detector of its own. With an External trigger it exposes whenever ``DET1`` does:
each exposure of that one gives a pulse on ``DET1:TRIGGER_OUT`` when it begins.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from caproto import ChannelData
from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.detector import Detector
from battbeam.sim.motor import Motor
from battbeam.sim.records import shown
from battbeam.sim.shots import Pose, Shot
from battbeam.sim.small_angle_shots import SmallAngleCamera
from battbeam.sim.statistics import Statistics
from battbeam.sim.writer import Writer


class TriggerOut(PVGroup):  # type: ignore[misc]
    """Pulses at which the exposures of a camera begin; a `battbeam.sim.exposure_times.PulseSource`."""

    Fired = shown(0, name="TRIGGER_OUT", doc="exposures so far, stamped when the last one began")
    Missed = shown(0, name="TRIGGER_OUT:MISSED", doc="that the other detector did not follow")

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._came: asyncio.Queue[float] = asyncio.Queue()

    async def fire(self, time: float) -> None:
        """An exposure begins at a time of the session clock, s."""
        self._came.put_nowait(time)
        await self.Fired.write(self.Fired.value + 1, timestamp=time)

    def listen(self) -> None:
        """See `battbeam.sim.exposure_times.PulseSource`."""
        self._came = asyncio.Queue()

    async def next_pulse(self) -> float:
        """See `battbeam.sim.exposure_times.PulseSource`."""
        return await self._came.get()

    def pulse_now(self) -> float | None:
        """See `battbeam.sim.exposure_times.PulseSource`."""
        return None if self._came.empty() else self._came.get_nowait()

    async def miss(self) -> None:
        """See `battbeam.sim.exposure_times.PulseSource`."""
        await self.Missed.write(self.Missed.value + 1)


class _Heartbeat(PVGroup):  # type: ignore[misc]
    """Of the detector's computer."""

    Heartbeat = shown(0, name="HEARTBEAT", doc="stamped by the clock of the detector's computer")


class SmallAngleStation:
    """The small-angle detector with its plugins, and the pulses that it follows.

    Args:
        prefix: Of the beamline's PVs.
        camera: What takes frames.
        trigger: Of the detector that it follows.
        clock: The session's.
        executor: In which frames are taken, after what else it does.
        pose: How everything that moves stands.
        rotation: Turns the sample.
    """

    def __init__(
        self,
        prefix: str,
        *,
        camera: SmallAngleCamera,
        trigger: TriggerOut,
        clock: Clock,
        executor: Executor,
        pose: Callable[[float], Pose],
        rotation: Motor,
    ) -> None:
        scenario, settings = camera.scenario, camera.settings
        self._clock = clock
        shape = (settings.n_rows, settings.n_columns)
        self.writer = Writer(f"{prefix}DET3:HDF1:", executor=executor, shape=shape)
        self.statistics = Statistics(f"{prefix}DET3:STATS1:")
        self.heartbeat = _Heartbeat(f"{prefix}DET3:")
        self.detector = Detector(
            f"{prefix}DET3:cam1:",
            settings=settings,
            start=scenario.start,
            rate=scenario.rate,
            camera=camera,
            clock=clock,
            writer=self.writer,
            executor=executor,
            preparer=executor,
            pose=pose,
            rotation=rotation,
            show_counters=self._show,
            pulses=trigger,
        )

    @classmethod
    def of(
        cls, prefix: str, camera: SmallAngleCamera | None, **settings: Any
    ) -> "SmallAngleStation | None":
        """Of a camera; None where there is none."""
        return None if camera is None else cls(prefix, camera=camera, **settings)

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        groups = (self.writer, self.statistics, self.heartbeat, self.detector)
        return (item for group in groups for item in group.pvdb.items())

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.detector.prepare()

    async def show(self) -> None:
        """Beat."""
        stamp = self.detector.device_clock.at(self._clock.now())
        beat = self.heartbeat.Heartbeat
        await beat.write(beat.value + 1, timestamp=stamp)

    async def _show(self, shot: Shot, stamp: float) -> None:
        await self.statistics.show(shot, stamp)
