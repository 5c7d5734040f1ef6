"""This file is where a cell that stands edge-on is moved across its layers."""

from ophyd import Component as Cpt

from battbeam.devices.motor import Motor
from battbeam.devices.sample_stage import SampleStage


class LayerStage(SampleStage):
    """A sample stage with a third axis, along z.

    >>> RE(bps.mv(sample_stage.z, -0.14))  # doctest: +SKIP
    """

    z = Cpt(Motor, "Z", units="mm", labels=("motors",), doc="mm, from the middle of the electrode")
