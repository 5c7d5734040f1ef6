"""This file is where a cell's holder is warmed and cooled, and the cell follows. No clock.

The holder approaches its set-point exponentially, never faster than its ramp; the cell follows the
holder with a lag of its own and is warmer by its own heat.

What it does not imitate: overshoot of a controller, the room, heat from one cell to the next.
"""

import math
from dataclasses import dataclass, field

from battbeam.sim import scenario

#: degC that can be asked for.
RANGE = (-40.0, 100.0)
#: Longest piece, s, over which the holder counts as steady for the cell that follows it.
_PIECE = 5.0


@dataclass
class Thermostat:
    """The holder of one cell.

    Attributes:
        truth: What the cell and its holder are.
        setpoint: degC.
        temperature: Of the holder, degC.
        cell_temperature: degC.
    """

    truth: scenario.Cell
    setpoint: float = field(init=False)
    temperature: float = field(init=False)
    cell_temperature: float = field(init=False)

    def __post_init__(self) -> None:
        self.setpoint = self.temperature = self.cell_temperature = self.truth.temperature

    def set(self, setpoint: float) -> None:
        """Ask for another temperature, degC.

        Raises:
            ValueError: If it lies outside `RANGE`.
        """
        low, high = RANGE
        if not low <= setpoint <= high:
            raise ValueError(
                f"temperature set-point must lie in {low} to {high} degC, got {setpoint}"
            )
        self.setpoint = setpoint

    def step(self, duration: float, *, heat: float = 0.0) -> None:
        """Go on for ``duration`` s, the cell giving off ``heat`` W.

        Raises:
            ValueError: If the duration is negative.
        """
        if duration < 0:
            raise ValueError(f"duration must not be negative, got {duration} s")
        settings = self.truth.thermostat
        n_pieces = max(math.ceil(duration / _PIECE), 1)
        if self.temperature == self.setpoint:
            n_pieces = 1
        piece = duration / n_pieces
        share = -math.expm1(-piece / settings.cell_time_constant)
        for _ in range(n_pieces):
            before = self.temperature
            self.temperature = self._holder_after(piece)
            goal = (before + self.temperature) / 2 + heat * settings.thermal_resistance
            self.cell_temperature += (goal - self.cell_temperature) * share

    def _holder_after(self, duration: float) -> float:
        """Ramp while the exponential would be faster, then the exponential; exact."""
        settings = self.truth.thermostat
        ramp, tau = settings.ramp / 60, settings.time_constant
        away = self.temperature - self.setpoint
        ramping = max(abs(away) - ramp * tau, 0.0) / ramp
        on_ramp = min(duration, ramping)
        left = abs(away) - ramp * on_ramp
        left *= math.exp(-(duration - on_ramp) / tau)
        # Below a thousandth of a degree no thermometer shows a difference.
        if left < 1e-3:
            return self.setpoint
        return self.setpoint + math.copysign(left, away)
