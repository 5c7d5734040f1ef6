"""This file is where everything that a beamline serves of one area detector is put together."""

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from caproto import ChannelData
from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim import scenario
from battbeam.sim.detector import Detector
from battbeam.sim.heartbeat import Heartbeat
from battbeam.sim.shots import Camera, Shot
from battbeam.sim.statistics import Statistics
from battbeam.sim.writer import Writer


class CameraStation:
    """An area detector with its plugins, and the heartbeat of its computer.

    Args:
        prefix: Of the detector's PVs.
        camera: What takes frames.
        settings: Of the detector.
        clock: The session's.
        executor: In which frames are taken, after what else it does.
        preparer: In which what they share is worked out.
        more: Further arguments of `battbeam.sim.detector.Detector`.
    """

    def __init__(
        self,
        prefix: str,
        *,
        camera: Camera,
        settings: scenario.Detector | scenario.Imaging | scenario.SmallAngle,
        clock: Clock,
        executor: Executor,
        preparer: Executor,
        **more: Any,
    ) -> None:
        shape = (settings.n_rows, settings.n_columns)
        self.writer = Writer(f"{prefix}HDF1:", executor=executor, shape=shape)
        self.statistics = Statistics(f"{prefix}STATS1:")
        self.detector = Detector(
            f"{prefix}cam1:",
            settings=settings,
            start=camera.scenario.start,
            rate=camera.scenario.rate,
            camera=camera,
            clock=clock,
            writer=self.writer,
            executor=executor,
            preparer=preparer,
            show_counters=self._show,
            **more,
        )
        self.heartbeat = Heartbeat(prefix, clock=clock, device_clock=self.detector.device_clock)

    @property
    def _groups(self) -> tuple[PVGroup, ...]:
        return (self.writer, self.statistics, self.heartbeat, self.detector)

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        return (item for group in self._groups for item in group.pvdb.items())

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.detector.prepare()

    async def _show(self, shot: Shot, stamp: float) -> None:
        await self.statistics.show(shot, stamp)
