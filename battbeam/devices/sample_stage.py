"""This file is where the sample is moved across the beam.

x to the right and y up as seen from the source, in mm: the point of the sample that the beam meets.
"""

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.encoded_motor import EncodedMotor


class SampleStage(Device):  # type: ignore[misc]
    """Moves the sample across the beam, along x and y.

    >>> RE(bps.mv(sample_stage.x, 0.5, sample_stage.y, -0.5))  # doctest: +SKIP
    """

    x = Cpt(
        EncodedMotor,
        "X",
        units="mm",
        labels=("motors",),
        doc="mm, to the right seen from the source",
    )
    y = Cpt(EncodedMotor, "Y", units="mm", labels=("motors",), doc="mm, up")
