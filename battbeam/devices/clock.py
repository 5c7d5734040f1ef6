"""This file is where the clock of a simulated beamline is asked.

Its server publishes (epoch, anchor, rate) on every change; between changes the time is arithmetic.
"""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignalRO

from battbeam.devices.signals import CONNECTION_TIMEOUT, READ_TIMEOUT
from battbeam.errors import DeviceError
from battbeam.experiment.clock import ClockState


class SimulatedClock(Device):  # type: ignore[misc]
    """The clock that all simulated devices share; a `battbeam.experiment.clock.Clock`.

    >>> clock.now()  # doctest: +SKIP
    1750000012.5
    """

    state = Cpt(
        EpicsSignalRO,
        "State",
        kind="config",
        timeout=READ_TIMEOUT,
        connection_timeout=CONNECTION_TIMEOUT,
        doc="epoch (s), anchor (s), rate (s per wall second)",
    )

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._state: ClockState | None = None
        self.state.subscribe(self._changed, run=False)

    def _changed(self, value: Any = None, **_: Any) -> None:
        if value is not None and len(value) == 3:
            epoch, anchor, rate = (float(number) for number in value)
            self._state = ClockState(epoch=epoch, anchor=anchor, rate=rate)

    def _known(self) -> ClockState:
        if self._state is None:
            self._changed(self.state.get())
        if self._state is None:
            raise DeviceError(
                f"{self.name}: {self.state.pvname} does not hold epoch, anchor and rate"
            )
        return self._state

    @property
    def rate(self) -> float:
        """s of this clock per wall second; 0 while frozen."""
        return self._known().rate

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        return self._known().now()
