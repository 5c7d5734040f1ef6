"""This file is where the PVs of the holder of a simulated cell are."""

from typing import Any

from caproto.server import PVGroup, pvproperty

from battbeam.sim.refusal import attempt
from battbeam.sim.thermostat import Thermostat


async def _put_setpoint(group: "ThermostatGroup", instance: Any, value: Any) -> float:
    return await group.set(instance, value)


class ThermostatGroup(PVGroup):  # type: ignore[misc]
    """The holder of the cell on one channel; no part of EPICS-ECLab."""

    setpoint = pvproperty(
        name="SP", value=25.0, units="degC", precision=2, put=_put_setpoint, alarm_group="SP"
    )
    readback = pvproperty(
        name="RBV", value=25.0, units="degC", precision=3, read_only=True, doc="of the cell"
    )

    def __init__(self, prefix: str, *, thermostat: Thermostat) -> None:
        super().__init__(prefix)
        self._thermostat = thermostat

    async def prepare(self) -> None:
        """Fill in what a client may read at once."""
        await self.setpoint.write(self._thermostat.setpoint)
        await self.update(0.0)

    async def set(self, instance: Any, value: Any) -> float:
        """Ask for another temperature; out of range it is refused, and the alarm set."""
        await attempt(instance, lambda: self._thermostat.set(float(value)))
        return self._thermostat.setpoint

    async def update(self, time: float) -> None:
        """Show the cell's temperature at a time of the session's clock, if it has changed."""
        shown = round(self._thermostat.cell_temperature, 3)
        if shown != self.readback.value:
            await self.readback.write(shown, timestamp=time)
