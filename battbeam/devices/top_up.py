"""This file is where the ring says when it will be filled up."""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Note, Readback
from battbeam.experiment.clock import Clock


class TopUp(Device):  # type: ignore[misc]
    """The ring's injections, which shake the beam and must not fall into an exposure.

    Args:
        clock: The session's.
        length: s of session clock from the start of an injection until the beam is good again.
    """

    next = Cpt(
        Readback, "NextTopUp", units="s", tolerant=True, kind="omitted", doc="until it; NaN: none"
    )
    delay = Cpt(Note, units="s", kind="normal", doc="that the exposure waited for an injection")

    def __init__(
        self, prefix: str, *, name: str, clock: Clock, length: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.clock, self.length = clock, length
        self.delay.name = "top_up_delay"

    def clear_from(self, duration: float) -> float:
        """When an exposure of ``duration`` s may begin so that no injection falls into it.

        One injection is waited for, never two: an exposure longer than their interval begins right
        after one.

        Returns:
            Session clock, s since the Unix epoch; now, if nothing is known of an injection.
        """
        until, now = float(self.next.value_now()), self.clock.now()
        age = now - float(self.next.timestamp)
        # What is older was not stamped by this clock.
        until -= age if 0 <= age <= 60 * max(self.clock.rate, 1.0) else 0.0
        # NaN compares false: no injection is known.
        return now + until + self.length if -self.length < until < duration else now
