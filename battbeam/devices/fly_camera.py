"""This file is where a camera is timed by the rotation of the sample, or by itself."""

from typing import Any, ClassVar

from battbeam.devices.detector import AreaDetector
from battbeam.devices.pulsed_flyer import PulsedFlyer
from battbeam.devices.pulses import Pulses
from battbeam.devices.rotation_stage import RotationStage
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.clock import Clock
from battbeam.experiment.passage import Passage
from battbeam.experiment.rotation import Rotation


class FlyCamera(PulsedFlyer):
    """Takes the frames of one arc as one train of pulses; darks and flats the camera times itself.

    Args:
        rotation: Turns the sample.
        pulses: Of its encoder, that trigger the camera; None where there are none: then it only
            takes frames that the camera times itself.
        facts: What is known of the camera before it is asked.

    >>> fly_camera.prepare(Flight("projection", rotation)).wait()  # doctest: +SKIP
    """

    kind_of_train: ClassVar[type[Passage]] = Rotation

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
        super().__init__(
            name=name, camera=camera, axis=rotation, clock=clock, pulses=pulses, **kwargs
        )
        self.rotation = rotation
        self.facts = CameraFacts() if facts is None else facts

    @property
    def readout_time(self) -> float:
        """s that the camera needs between two exposures."""
        return self.facts.readout_time
