"""This file is where a detector says how bright its latest frame is, before anybody reads it.

It works on the ``STATS1:`` records of any areaDetector: frames never cross Channel Access, four
numbers of each do.
"""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Note, Readback


class Statistics(Device):  # type: ignore[misc]
    """Of the latest frame.

    Args:
        saturation: Highest count a pixel holds, before any correction.
    """

    brightest = Cpt(Readback, "MaxValue_RBV", units="count", kind="normal", doc="pixel")
    total = Cpt(Readback, "Total_RBV", units="count", kind="normal", doc="of all pixels")
    counter = Cpt(
        Readback, "ArrayCounter_RBV", dtype="integer", kind="omitted", doc="frames so far"
    )
    enabled = Cpt(
        Readback, "EnableCallbacks_RBV", dtype="string", kind="omitted", doc="must be Enable"
    )
    computes = Cpt(
        Readback, "ComputeStatistics_RBV", dtype="string", kind="omitted", doc="must be Yes"
    )
    saturation = Cpt(Note, units="count", kind="config", doc="highest count a pixel holds")

    def __init__(self, prefix: str, *, name: str, saturation: float, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.saturation.put(float(saturation))
        self.brightest.name, self.total.name = "brightest_pixel", "total_counts"

    def faults(self) -> list[str]:
        """Why nothing can be decided by it, one sentence each; before anything moves."""
        if not self.connected:
            return [f"{self.name} is not connected: no answer from {self.prefix}"]
        wanted = (
            ("EnableCallbacks", self.enabled, "Enable"),
            ("ComputeStatistics", self.computes, "Yes"),
        )
        return [
            f"{self.prefix}{record} must be {value!r}, is {signal.value_now()!r}; set it"
            for record, signal, value in wanted
            if signal.value_now() != value
        ]

    def is_overloaded(self) -> bool:
        """Whether a pixel of the latest frame counted as high as it can."""
        return float(self.brightest.value_now()) >= float(self.saturation.value_now())
