"""This file is where the sample is turned.

omega grows with the record's positive direction; 0 degree is where the electrode faces the beam.
"""

from typing import Any

from battbeam.devices.motor import Motor


class RotationStage(Motor):
    """Turns the sample about the vertical axis; omega in degree.

    >>> RE(bps.mv(rotation_stage, 45.0))  # doctest: +SKIP
    """

    def __init__(self, prefix: str, *, name: str, tolerance: float = 2e-3, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, units="degree", tolerance=tolerance, **kwargs)
