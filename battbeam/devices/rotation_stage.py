"""This file is where the sample is turned.

omega grows with the record's positive direction; 0 degree is where the electrode faces the beam.
"""

import math
from typing import Any

from ophyd import Component as Cpt

from battbeam.devices.motor import Motor
from battbeam.devices.signals import Readback, Setting
from battbeam.experiment.rotation import Turntable


class RotationStage(Motor):
    """Turns the sample about the vertical axis; omega in degree.

    Args:
        speed_limit: The fastest that it turns, degree/s.

    >>> RE(bps.mv(rotation_stage, 45.0))  # doctest: +SKIP
    """

    acceleration = Cpt(Setting, ".ACCL", units="s", kind="config", doc="from rest to its velocity")
    encoder_step = Cpt(
        Readback, ".ERES", units="degree", kind="config", doc="of one encoder count; 0: not known"
    )

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        tolerance: float = 2e-3,
        speed_limit: float = math.inf,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, units="degree", tolerance=tolerance, **kwargs)
        self.speed_limit = speed_limit

    @property
    def table(self) -> Turntable:
        """What is known of it now."""
        count = abs(float(self.encoder_step.value_now()))
        return Turntable(
            counts_per_degree=1 / count if count > 0 else 0.0,
            acceleration=float(self.acceleration.value_now()),
            speed=abs(float(self.velocity.value_now())),
            speed_limit=self.speed_limit,
        )
