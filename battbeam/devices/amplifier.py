"""This file is where a current amplifier is set: volts out per ampere of an ionisation chamber."""

from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import DerivedSignal

from battbeam.devices.signals import Described, Setting, put_new
from battbeam.devices.status import TimedStatus, already_done


class _Gain(Described, DerivedSignal):  # type: ignore[misc]
    """The gain at the index that a sibling tells."""

    def __init__(self, *, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent.index, parent=parent, write_access=False, **kwargs)

    def inverse(self, value: float) -> float:
        """V/A at an index of the record."""
        return float(self.parent.gains[int(value)])


class Amplifier(Device):  # type: ignore[misc]
    """A current amplifier with a few gains.

    Args:
        gains: V/A, in the order of the record's choices.

    >>> RE(bps.mv(counters.amplifier_it, 1e8))  # doctest: +SKIP
    """

    index = Cpt(Setting, "GAIN", dtype="integer", kind="omitted", doc="of the gain")
    gain = Cpt(_Gain, units="V/A", kind="config", doc="volts out per ampere in")
    egu = "V/A"

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        gains: Sequence[float] = (1e6, 1e7, 1e8, 1e9),
        **kwargs: Any,
    ) -> None:
        self.gains = tuple(float(gain) for gain in gains)
        super().__init__(prefix, name=name, **kwargs)

    @property
    def position(self) -> float:
        """V/A now."""
        return self.gains[int(self.index.value_now())]

    def check_value(self, gain: float) -> None:
        """Refuse a gain that it does not have.

        Raises:
            ValueError: Naming those that there are.
        """
        if gain not in self.gains:
            known = ", ".join(f"{each:g}" for each in self.gains)
            raise ValueError(f"{self.name}: no gain of {gain:g} V/A; there are {known}")

    def set(self, gain: float) -> TimedStatus:
        """Set one of its gains, V/A.

        Raises:
            ValueError: If it does not have it.
            TimeoutError: If its server does not answer.
        """
        self.check_value(gain)
        put_new(self.index, self.gains.index(gain))
        return already_done()
