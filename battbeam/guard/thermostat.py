"""This file is where a cell's holder is warmed and cooled, and its temperature read, over Channel
Access.
"""

import math
from typing import Any, Protocol

from caproto import CaprotoError

from battbeam.channel_access import PV, Context
from battbeam.errors import GuardError
from battbeam.guard.config import ThermostatConfig


class Thermostat(Protocol):
    """What a guard asks of a thermostat."""

    @property
    def temperature(self) -> float:
        """Of the cell, degC; NaN when it is not known."""
        ...

    @property
    def fault(self) -> str:
        """Why it cannot be set; empty if it can."""
        ...

    def set(self, temperature: float) -> None:
        """Ask for another temperature, degC; raises `GuardError` if that is not taken."""
        ...


class EpicsThermostat:
    """A set-point and a readback."""

    def __init__(self, config: ThermostatConfig) -> None:
        self._config = config
        self._context = Context(timeout=config.timeout)
        names = [config.readback, *([config.setpoint] if config.setpoint else [])]
        self._pvs: list[PV] = list(self._context.get_pvs(*names))
        self._temperature = math.nan
        self._subscription = self._pvs[0].subscribe()
        self._subscription.add_callback(self._on_readback)

    def _on_readback(self, _subscription: Any, response: Any) -> None:
        self._temperature = float(response.data[0])

    @property
    def temperature(self) -> float:
        """Of the cell, degC; NaN when it is not known."""
        return self._temperature if self._pvs[0].connected else math.nan

    @property
    def fault(self) -> str:
        """Why it cannot be set; empty if it can."""
        if len(self._pvs) < 2:
            return "the guard's file names no set-point: its temperature is only read"
        return "" if self._pvs[1].connected else f"{self._pvs[1].name} does not answer"

    def set(self, temperature: float) -> None:
        """Ask for another temperature, degC.

        Raises:
            GuardError: If it is not taken.
        """
        if len(self._pvs) < 2:
            raise GuardError(self.fault)
        pv, timeout = self._pvs[1], self._config.timeout
        try:
            pv.wait_for_connection(timeout=timeout)
            pv.write([temperature], wait=True, timeout=timeout)
        except (CaprotoError, TimeoutError) as error:
            raise GuardError(f"{pv.name} does not take {temperature} degC: {error}") from error

    def close(self) -> None:
        """Let go of it, as it is."""
        self._context.disconnect()
