"""This file is where an axis is known well enough to be flown: its encoder and how it sets out."""

import math
from typing import Any

from ophyd import Component as Cpt

from battbeam.devices.motor import Motor
from battbeam.devices.signals import Readback, Setting
from battbeam.experiment.passage import Drive


class EncodedMotor(Motor):
    """One axis with an encoder behind an EPICS motor record.

    Args:
        speed_limit: The fastest that it goes, units per s.
    """

    acceleration = Cpt(Setting, ".ACCL", units="s", kind="config", doc="from rest to its velocity")
    encoder_step = Cpt(Readback, ".ERES", kind="config", doc="of one encoder count; 0: not known")

    def __init__(
        self, prefix: str, *, name: str, units: str, speed_limit: float = math.inf, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, units=units, **kwargs)
        self.speed_limit = speed_limit
        self.encoder_step.declared_units = units

    @property
    def drive(self) -> Drive:
        """What is known of it now."""
        count = abs(float(self.encoder_step.value_now()))
        return Drive(
            counts=1 / count if count > 0 else 0.0,
            acceleration=float(self.acceleration.value_now()),
            speed_limit=self.speed_limit,
        )
