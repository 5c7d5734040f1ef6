"""This file is where the sample is turned.

omega grows with the record's positive direction; 0 degree is where the electrode faces the beam.
"""

from typing import Any

from battbeam.devices.encoded_motor import EncodedMotor
from battbeam.experiment.rotation import Turntable


class RotationStage(EncodedMotor):
    """Turns the sample about the vertical axis; omega in degree.

    Args:
        speed_limit: The fastest that it turns, degree/s.

    >>> RE(bps.mv(rotation_stage, 45.0))  # doctest: +SKIP
    """

    def __init__(self, prefix: str, *, name: str, tolerance: float = 2e-3, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, units="degree", tolerance=tolerance, **kwargs)

    @property
    def table(self) -> Turntable:
        """What is known of it now."""
        drive = self.drive
        return Turntable(
            counts_per_degree=drive.counts,
            acceleration=drive.acceleration,
            speed=abs(float(self.velocity.value_now())),
            speed_limit=drive.speed_limit,
        )
