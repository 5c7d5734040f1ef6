"""This file is where the limits are that a protocol sets itself, inside those of its cell."""

import math

from battbeam.experiment.cell import Window
from battbeam.guard.limits import CURRENT_MARGIN, VOLTAGE_MARGIN
from battbeam.guard.runner import Terms


class ProtocolLimits:
    """Trips a cell that has left its protocol's window for longer than the protocol allows, or that
    has passed more charge in one direction.
    """

    def __init__(self, terms: Terms) -> None:
        window = terms.window
        self._window = Window(
            window.voltage_min - VOLTAGE_MARGIN,
            window.voltage_max + VOLTAGE_MARGIN,
            window.current_max * (1 + CURRENT_MARGIN),
        )
        self._charge_max = math.inf if terms.charge_max is None else terms.charge_max
        self._delay = terms.delay
        self._outside_since = math.nan

    def violation(
        self, *, time: float, voltage: float, current: float, capacity: float
    ) -> str | None:
        """Why a reading trips the cell, or None.

        Args:
            time: Of the cycler's clock, s.
            voltage: V.
            current: A.
            capacity: mAh passed since the current changed its sign.
        """
        if abs(capacity) > self._charge_max:
            return f"charge {capacity:.4f} mAh in one direction, beyond {self._charge_max:.4f} mAh"
        window = self._window
        inside = window.voltage_min <= voltage <= window.voltage_max
        if (inside and abs(current) <= window.current_max) or not math.isfinite(voltage + current):
            self._outside_since = math.nan
            return None
        if math.isnan(self._outside_since):
            self._outside_since = time
        if time - self._outside_since < self._delay:
            return None
        return (
            f"{voltage:.4f} V and {current * 1e3:.4f} mA are outside the protocol's limits,"
            f" {window.voltage_min:.4f} to {window.voltage_max:.4f} V,"
            f" {window.current_max * 1e3:.4f} mA, for {time - self._outside_since:g} s"
        )
