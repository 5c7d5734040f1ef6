"""This file is where the white beam is: a shutter of its own on the same ring."""

from ophyd import Component as Cpt

from battbeam.devices.beam import Beam, Shutter


class WhiteBeam(Beam):
    """The beam before any monochromator. No absorbers and no counters stand in it: a dose meter counts
    the most that can have come.

    >>> RE(bps.mv(white_beam.shutter, 1))  # doctest: +SKIP
    """

    shutter = Cpt(Shutter, "WHITE:SHUTTER:", kind="omitted", doc="open only while counting")
    # ophyd drops what a subclass sets to None.
    attenuator = None
    i0 = i0_rate = i0_dark_rate = None
    transmission_counts = transmission_rate = None
