"""This file is where everything that a beamline serves for imaging is put together."""

from collections.abc import Callable
from concurrent.futures import Executor

from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.camera_station import CameraStation
from battbeam.sim.circular_buffer import PORT, CircularBuffer
from battbeam.sim.imaging_shots import ImagingCamera
from battbeam.sim.motor import Motor
from battbeam.sim.pso import Pulses
from battbeam.sim.shots import Kept, Pose, Shot


class ImagingStation(CameraStation):
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
        imaging = camera.scenario.imaging
        self.pulses = Pulses(f"{prefix}PSO1:", axis=rotation, clock=clock)
        self.buffer = CircularBuffer(f"{prefix}DET2:CB1:")
        super().__init__(
            f"{prefix}DET2:",
            camera=camera,
            settings=imaging,
            clock=clock,
            executor=executor,
            preparer=executor,
            pose=pose,
            rotation=rotation,
            keep=self._keep,
            readout=imaging.readout,
            pulses=self.pulses,
        )

    @property
    def _groups(self) -> tuple[PVGroup, ...]:
        return (self.pulses, self.buffer, *super()._groups)

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.pulses.prepare()
        await super().prepare()

    def _keep(self, shot: Shot, stamp: float) -> list[Kept]:
        """Write what comes from where the writer listens, the camera or the circular buffer."""
        passed = self.buffer.passed(shot, stamp)
        source = str(self.writer.NDArrayPort.value)
        shots = passed if source == PORT else [(shot, stamp)]
        return [self.writer.keep(each, its) for each, its in shots]

    async def _show(self, shot: Shot, stamp: float) -> None:
        await super()._show(shot, stamp)
        await self.buffer.show()
