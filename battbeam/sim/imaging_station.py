"""This file is where everything that a beamline serves for imaging is put together."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from caproto import ChannelData
from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.circular_buffer import PORT, CircularBuffer
from battbeam.sim.detector import Detector
from battbeam.sim.imaging_shots import ImagingCamera
from battbeam.sim.motor import Motor
from battbeam.sim.pso import Pulses
from battbeam.sim.records import shown
from battbeam.sim.shots import Kept, Pose, Shot
from battbeam.sim.statistics import Statistics
from battbeam.sim.writer import Writer


class _Heartbeat(PVGroup):  # type: ignore[misc]
    """Of the camera's computer."""

    Heartbeat = shown(0, name="HEARTBEAT", doc="stamped by the clock of the camera's computer")


class ImagingStation:
    """The imaging camera with its plugins, and the pulses of the rotation stage.

    Args:
        prefix: Of the beamline's PVs.
        camera: What takes frames.
        rotation: Turns the sample.
        clock: The session's.
        executor: In which frames are taken, after what else it does.
        pose: How everything that moves stands.
    """

    def __init__(
        self,
        prefix: str,
        *,
        camera: ImagingCamera,
        rotation: Motor,
        clock: Clock,
        executor: Executor,
        pose: Callable[[float], Pose],
    ) -> None:
        scenario, imaging = camera.scenario, camera.scenario.imaging
        self._clock = clock
        self.pulses = Pulses(f"{prefix}PSO1:", axis=rotation, clock=clock)
        self.writer = Writer(
            f"{prefix}DET2:HDF1:", executor=executor, shape=(imaging.n_rows, imaging.n_columns)
        )
        self.statistics = Statistics(f"{prefix}DET2:STATS1:")
        self.buffer = CircularBuffer(f"{prefix}DET2:CB1:")
        self.heartbeat = _Heartbeat(f"{prefix}DET2:")
        self.detector = Detector(
            f"{prefix}DET2:cam1:",
            settings=imaging,
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
            keep=self._keep,
            readout=imaging.readout,
            pulses=self.pulses,
        )

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        groups = (
            self.pulses,
            self.writer,
            self.statistics,
            self.buffer,
            self.heartbeat,
            self.detector,
        )
        return (item for group in groups for item in group.pvdb.items())

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.pulses.prepare()
        await self.detector.prepare()

    async def show(self) -> None:
        """Beat."""
        stamp = self.detector.device_clock.at(self._clock.now())
        beat = self.heartbeat.Heartbeat
        await beat.write(beat.value + 1, timestamp=stamp)

    def _keep(self, shot: Shot, stamp: float) -> list[Kept]:
        """Write what comes from where the writer listens, the camera or the circular buffer."""
        passed = self.buffer.passed(shot, stamp)
        source = str(self.writer.NDArrayPort.value)
        shots = passed if source == PORT else [(shot, stamp)]
        return [self.writer.keep(each, its) for each, its in shots]

    async def _show(self, shot: Shot, stamp: float) -> None:
        await self.statistics.show(shot, stamp)
        await self.buffer.show()
