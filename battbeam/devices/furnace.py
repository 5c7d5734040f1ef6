"""This file is where the sample is heated, at a steady rate."""

import math
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import FreshReadback, Setting
from battbeam.devices.status import TimedStatus
from battbeam.errors import DeviceError

#: Share by which a ramp may take longer than its rate says, and wall seconds besides: settling.
RAMP_SHARE, RAMP_MARGIN = 0.5, 120.0


class Furnace(Device):  # type: ignore[misc]
    """Heats the sample; a positioner in degC that arrives when its readback does.

    Args:
        tolerance: Largest distance of the readback from where it was sent, K.
        limits: Lowest and highest temperature, degC.

    >>> RE(bps.mv(furnace.ramp, 5.0, furnace, 250.0))  # doctest: +SKIP
    """

    readback = Cpt(FreshReadback, "RBV", units="degC", kind="hinted", doc="of the sample")
    setpoint = Cpt(Setting, "SP", units="degC", kind="normal", doc="where it was sent")
    programme = Cpt(FreshReadback, "WSP", units="degC", kind="omitted", doc="the sample follows it")
    ramp = Cpt(Setting, "RAMP", units="K/min", kind="config", doc="rate of heating and cooling")
    egu = "degC"

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        tolerance: float = 1.0,
        limits: tuple[float, float] = (0.0, 800.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.tolerance, self.limits = tolerance, limits
        self.readback.name = self.name
        self._way: tuple[TimedStatus, float] | None = None
        self.readback.subscribe(self._changed, run=False)

    @property
    def position(self) -> float:
        """degC now."""
        return float(self.readback.value_now())

    def check_value(self, temperature: float) -> None:
        """Refuse a temperature outside the limits.

        Raises:
            ValueError: Outside, or not a number.
        """
        low, high = self.limits
        if not low <= temperature <= high:
            raise ValueError(
                f"{self.name}: {temperature:g} degC is outside its limits, {low:g} to {high:g} degC"
            )

    def set(self, temperature: float, *, timeout: float | None = None) -> TimedStatus:
        """Go to a temperature at the present rate.

        Args:
            temperature: degC.
            timeout: Wall seconds; by default half as long again as the ramp, and a margin.

        Raises:
            ValueError: If it is outside the limits.
        """
        temperature = float(temperature)
        self.check_value(temperature)
        here, rate = self.position, float(self.ramp.value_now())
        if timeout is None:
            ramping = abs(temperature - here) / rate * 60 if rate > 0 else 0.0
            timeout = RAMP_MARGIN + (1 + RAMP_SHARE) * ramping
        overdue = DeviceError(
            f"{self.name}: not at {temperature:g} degC within {timeout:.0f} s, it started from "
            f"{here:g} degC at {rate:g} K/min"
        )
        status = TimedStatus(timeout=timeout, overdue=overdue)
        self._way = (status, temperature)
        self.setpoint.put(temperature, wait=False)
        self._changed(self.position)
        return status

    def _changed(self, value: Any = None, **_: Any) -> None:
        way, here = self._way, math.nan if value is None else float(value)
        if way is not None and abs(here - way[1]) <= self.tolerance:
            self._way = None
            way[0].finish()

    def stop(self, *, success: bool = False) -> None:
        """Hold the programme where it is, if it is on its way.

        The sample comes after it, and up to it. Were it sent back to the sample's own temperature, the
        sample would go beyond that first, and what heat has turned does not turn back.
        """
        way, self._way = self._way, None
        if way is None or way[0].done:
            return
        here = float(self.programme.value_now())
        self.setpoint.put(here, wait=False)
        if success:
            way[0].finish()
        else:
            way[0].fail(
                DeviceError(f"{self.name}: stopped at {here:g} on its way to {way[1]:g} degC")
            )
