"""This file is where pulses are made at positions of a stage: position-synchronized output."""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.frame_writer import EXACT, adjust
from battbeam.devices.signals import Readback, Setting
from battbeam.experiment.passage import Passage

OFF, ARMED = 0, 1


class Pulses(Device):  # type: ignore[misc]
    """Fires a pulse each time the stage has gone a whole number of its encoder's counts.

    Args:
        units: Of the stage.

    >>> pulses.program(rotation)  # doctest: +SKIP
    """

    start = Cpt(Setting, "START", kind="omitted", doc="of the first pulse")
    step = Cpt(Setting, "STEP", kind="config", doc="to the next; < 0 goes back")
    n_pulses = Cpt(Setting, "N", dtype="integer", kind="config", doc="that are asked for")
    width = Cpt(Setting, "WIDTH", units="s", kind="config", doc="of a pulse: an exposure")
    arm = Cpt(Setting, "ARM", dtype="integer", kind="omitted", doc="1 while it may fire")
    fired = Cpt(Readback, "FIRED", dtype="integer", kind="omitted", doc="since it was armed")
    missed = Cpt(
        Readback, "MISSED", dtype="integer", kind="omitted", doc="that the camera did not follow"
    )

    def __init__(self, prefix: str, *, name: str, units: str = "degree", **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        for signal in (self.start, self.step):
            signal.declared_units = units

    def program(self, passage: Passage) -> None:
        """Set it up for one passage of the stage, not armed.

        Raises:
            DeviceError: If a record does not take its value.
        """
        adjust(self.arm, OFF)
        adjust(self.start, float(passage.first_pulse), tolerance=EXACT)
        adjust(self.step, float(passage.spacing), tolerance=EXACT)
        adjust(self.width, float(passage.exposure), tolerance=EXACT)
        adjust(self.n_pulses, int(passage.n_frames))

    def begin(self) -> None:
        """Arm it; the stage must stand before the first pulse.

        Raises:
            DeviceError: If it is not armed.
        """
        adjust(self.arm, OFF)
        adjust(self.arm, ARMED)

    def disarm(self) -> None:
        """Fire no more, without waiting."""
        self.arm.put(OFF, wait=False)
