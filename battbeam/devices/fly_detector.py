"""This file is where the diffraction detector is timed by the sample stage, or by itself."""

from typing import Any, ClassVar

from battbeam.devices.detector import AreaDetector
from battbeam.devices.pulsed_flyer import PulsedFlyer
from battbeam.devices.pulses import Pulses
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.clock import Clock
from battbeam.experiment.passage import Line, Passage


class FlyDetector(PulsedFlyer):
    """Takes the frames of one row of a map as one train of pulses, while the sample moves along x.

    Args:
        camera: The detector.
        stage: Moves the sample.
        pulses: Of the encoder of its x, that trigger the detector.
        readout_time: s that the detector needs between two exposures.

    >>> fly_detector.prepare(Flight("map", line)).wait()  # doctest: +SKIP
    """

    kind_of_train: ClassVar[type[Passage]] = Line

    def __init__(
        self,
        *,
        name: str,
        camera: AreaDetector,
        stage: SampleStage,
        clock: Clock,
        pulses: Pulses | None = None,
        readout_time: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            name=name, camera=camera, axis=stage.x, clock=clock, pulses=pulses, **kwargs
        )
        self.sample_stage, self._readout_time = stage, readout_time

    @property
    def readout_time(self) -> float:
        """s that the detector needs between two exposures."""
        return self._readout_time
