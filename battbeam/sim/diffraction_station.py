"""This file is where what a beamline serves of its diffraction detector is put together: ``DET1``,
and the pulses that it follows and gives.
"""

from collections.abc import Callable
from concurrent.futures import Executor

from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.camera_station import CameraStation
from battbeam.sim.intensities import Intensities
from battbeam.sim.motor import Motor
from battbeam.sim.pso import Pulses
from battbeam.sim.pulse_queue import PulseQueue
from battbeam.sim.records import shown
from battbeam.sim.shots import DiffractionCamera, Pose, Shot


class TriggerOut(PulseQueue):
    """Pulses at which the exposures of a camera begin."""

    Fired = shown(0, name="TRIGGER_OUT", doc="exposures so far, stamped when the last one began")
    Missed = shown(0, name="TRIGGER_OUT:MISSED", doc="that the other detector did not follow")


class DiffractionStation(CameraStation):
    """The diffraction detector with its plugins, and pulses of the sample stage.

    Args:
        prefix: Of the beamline's PVs.
        camera: What takes frames.
        stage: Whose pulses trigger it in a map.
        rotation: Turns the sample.
        intensities: Hold the counts of the last exposure.
        clock: The session's.
        executor: In which frames are taken, after what else it does.
        preparer: In which scenes are worked out.
        pose: How everything that moves stands.
    """

    def __init__(
        self,
        prefix: str,
        *,
        camera: DiffractionCamera,
        stage: Motor,
        rotation: Motor,
        intensities: Intensities,
        clock: Clock,
        executor: Executor,
        preparer: Executor,
        pose: Callable[[float], Pose],
    ) -> None:
        self._intensities = intensities
        self.map_pulses = Pulses(f"{prefix}PSO2:", axis=stage, clock=clock)
        self.trigger_out = TriggerOut(f"{prefix}DET1:")
        super().__init__(
            f"{prefix}DET1:",
            camera=camera,
            settings=camera.scenario.detector,
            clock=clock,
            executor=executor,
            preparer=preparer,
            pose=pose,
            rotation=rotation,
            began=self.trigger_out.fire,
            pulses=self.map_pulses,
        )

    @property
    def _groups(self) -> tuple[PVGroup, ...]:
        return (self.map_pulses, self.trigger_out, *super()._groups)

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.map_pulses.prepare()
        await super().prepare()

    async def _show(self, shot: Shot, stamp: float) -> None:
        await self._intensities.show(shot, stamp)
        await super()._show(shot, stamp)
