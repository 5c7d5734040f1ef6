"""This file is where the limits of one cell are kept and every reading is held against them.

Hard limits are the guard's own and cannot be changed while it runs; soft limits lie inside them;
the passport's window and the protocol's own safety limits narrow both.
"""

import math
from dataclasses import replace
from typing import Literal

from battbeam.errors import GuardError
from battbeam.experiment.cell import Window

SoftLimit = Literal["voltage_min", "voltage_max", "current_max"]

#: How far a reading may leave the window in which the protocol must lie before it trips: a cycler
#: overshoots when it closes the circuit and reads with noise. Half of what cell makers allow in
#: their own safety circuits.
VOLTAGE_MARGIN = 0.025
#: The same for the current, relative; a range of a cycler overshoots by a few per cent when it
#: switches.
CURRENT_MARGIN = 0.05
#: Readings in a row that are no numbers before the cell counts as unobserved.
N_UNREADABLE = 3


class Limits:
    """What trips the cell."""

    def __init__(self, hard: Window) -> None:
        self.hard = hard
        self.soft = hard
        self.temperatures: tuple[float, float] = (-math.inf, math.inf)
        self._n_unreadable = 0

    def narrow(self, window: Window | None) -> None:
        """Set the soft limits about a cell's window, with margins; to the hard ones for None."""
        self.soft = self.hard
        if window is not None:
            self.soft = self.hard.within(
                Window(
                    window.voltage_min - VOLTAGE_MARGIN,
                    window.voltage_max + VOLTAGE_MARGIN,
                    window.current_max * (1 + CURRENT_MARGIN),
                )
            )

    def set_soft(self, name: SoftLimit, value: float) -> None:
        """Change one soft limit.

        Raises:
            GuardError: If it is no number, outside the hard limits, or leaves no window.
        """
        changed = replace(self.soft, **{name: value})
        if not math.isfinite(value):
            raise GuardError(f"soft {name} must be a number, got {value}")
        if self.hard.within(changed) != changed:
            raise GuardError(f"soft {name} {value:.6g} is outside the hard limits, {self.hard}")
        if not changed.voltage_min < changed.voltage_max or changed.current_max <= 0:
            raise GuardError(f"soft {name} {value:.6g} leaves no window: {changed}")
        self.soft = changed

    def narrow_temperatures(self, low: float | None, high: float | None) -> None:
        """Set between which temperatures the cell may be, degC; None leaves a side open."""
        self.temperatures = (
            -math.inf if low is None else low,
            math.inf if high is None else high,
        )

    def violation(
        self, *, voltage: float, current: float, temperature: float = math.nan
    ) -> str | None:
        """Why a reading trips the cell, or None. A temperature that is not known trips nothing."""
        low, high = self.temperatures
        if temperature < low or temperature > high:
            return f"temperature {temperature:.2f} degC is outside {low:g} to {high:g} degC"
        if not (math.isfinite(voltage) and math.isfinite(current)):
            self._n_unreadable += 1
            unobserved = self._n_unreadable >= N_UNREADABLE
            return f"{N_UNREADABLE} readings in a row are no numbers" if unobserved else None
        self._n_unreadable = 0
        return self.excess(voltage=voltage, current=current)

    def excess(self, *, voltage: float, current: float) -> str | None:
        """In which way a reading lies outside the soft limits, or None."""
        soft = self.soft
        if voltage > soft.voltage_max:
            return f"voltage {voltage:.4f} V > {soft.voltage_max:.4f} V"
        if voltage < soft.voltage_min:
            return f"voltage {voltage:.4f} V < {soft.voltage_min:.4f} V"
        if abs(current) > soft.current_max:
            return f"current {current * 1e3:.4f} mA beyond {soft.current_max * 1e3:.4f} mA"
        return None
