"""This file is where quantities of the cell are watched: levels, steps of charge, rates of change."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.conditions_of_cell import Direction, FastChange, Settling
from battbeam.experiment.met import CellWatcher, Met, between
from battbeam.experiment.slope import Change, Slope

#: Lines of a grid that one jump may pass and that are written down one by one; an absurd reading
#: passes millions.
MOST_LINES = 1000
#: Standard errors by which a slope must lie on its side of a limit.
CERTAIN = 2.0
#: A rate that has settled must have been at this many times its limit before it settles again.
UNSETTLED = 2.0
#: A change that was fast must have slowed down to this part of its limit before it is fast again.
SLOW = 0.5
#: Seconds in an hour, in a minute.
_HOUR, _MINUTE = 3600.0, 60.0
_JUMPED = "passed between two readings, and the next {} too"


class _Edge:
    """One direction of a crossing; ``sign`` is 1 for rising and -1 for falling."""

    def __init__(self, level: float, hysteresis: float, sign: int) -> None:
        self._level, self._hysteresis, self._sign = level, hysteresis, sign
        self._armed: bool | None = None

    def passed(self, value: float) -> bool:
        beyond = self._sign * (value - self._level)
        crossed = bool(self._armed) and beyond >= 0
        # The first reading decides on which side the cell is; later ones must clear the hysteresis.
        if self._armed is None:
            self._armed = beyond < 0
        elif crossed:
            self._armed = False
        elif beyond < 0 and beyond <= -self._hysteresis:
            self._armed = True
        return crossed


class LevelsWatcher(CellWatcher):
    """Remembers on which side of each level a quantity was last seen."""

    def __init__(
        self,
        quantity: Callable[[CellReading], float],
        levels: Sequence[float],
        *,
        direction: Direction,
        hysteresis: float,
    ) -> None:
        signs = {"rising": (1,), "falling": (-1,), "any": (1, -1)}[direction]
        self._quantity, self._levels = quantity, levels
        self._edges = [[_Edge(level, hysteresis, sign) for sign in signs] for level in levels]
        marks = {mark for each in levels for mark in (each - hysteresis, each, each + hysteresis)}
        self._marks = [-math.inf, *sorted(marks), math.inf]
        self._low = self._high = math.nan
        self._last: tuple[CellReading, float] | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when a level lies between the last known value and this one."""
        value = self._quantity(reading)
        if not math.isfinite(value):
            return []
        last, self._last = self._last, (reading, value)
        if self._low < value < self._high:
            return []
        place = bisect.bisect_left(self._marks, value)
        self._low, self._high = self._marks[place - 1], self._marks[place]
        # Every edge is asked: each remembers what it was asked.
        passed = [
            level
            for level, edges in zip(self._levels, self._edges, strict=True)
            if sum(edge.passed(value) for edge in edges)
        ]
        if last is None or not passed:
            return []
        mets = [between(last[0], reading, last[1], value, level) for level in passed]
        mets.sort(key=lambda met: met.due)
        return [replace(met, missed=_JUMPED.format("level")) for met in mets[:-1]] + mets[-1:]


class ChargeStepWatcher(CellWatcher):
    """Remembers which lines of the grid come next, one above the charge and one below."""

    def __init__(self, step: float, reference: float | None) -> None:
        self._step, self._reference = step, reference
        self._below = self._above = 0
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met at the newest line that was passed; lines jumped over in a gap were missed."""
        if not math.isfinite(reading.charge):
            return []
        last, self._last = self._last, reading
        if self._reference is None:
            self._reference = reading.charge
        position = (reading.charge - self._reference) / self._step
        if last is None:
            self._below, self._above = math.ceil(position) - 1, math.floor(position) + 1
            return []
        lines = self._passed(position)
        if not lines:
            return []
        self._below, self._above = lines[-1] - 1, lines[-1] + 1
        mets = [
            between(last, reading, last.charge, reading.charge, self._reference + k * self._step)
            for k in lines[-MOST_LINES:]
        ]
        jumped = [replace(met, missed=_JUMPED.format("step")) for met in mets[:-1]]
        if len(lines) > MOST_LINES:
            jumped[0] = replace(jumped[0], remark=f"and {len(lines) - MOST_LINES} more before it")
        return jumped + mets[-1:]

    def _passed(self, position: float) -> range:
        if position >= self._above:
            return range(self._above, math.floor(position) + 1)
        if position <= self._below:
            return range(self._below, math.ceil(position) - 1, -1)
        return range(0)


class SettlingWatcher(CellWatcher):
    """Remembers the window, and whether the cell has been unsettled since it last settled."""

    def __init__(self, condition: Settling) -> None:
        self._below, self._window = condition.below, condition.window
        self._of = condition.of
        self._slope = Slope(condition.window, 2 if condition.of == "dQ/dV" else 1)
        self._armed: bool | None = None
        self._step_count: int | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when it is certain that the window's slope is small; a new step begins a new one."""
        values = self._values(reading)
        if not all(math.isfinite(value) for value in values):
            return []
        if reading.step_count is not None:
            if self._step_count is not None and reading.step_count != self._step_count:
                self._slope.reset()
                self._armed = True
            self._step_count = reading.step_count
        if not self._slope.add(reading.time, *values) or not self._slope.is_full:
            return []
        is_settled, is_unsettled = self._judge()
        if self._armed is None:
            self._armed = not is_settled
        elif is_settled and self._armed:
            self._armed = False
            return [Met(due=self._slope.middle, gap=0.5 * self._window)]
        elif is_unsettled:
            self._armed = True
        return []

    def _values(self, reading: CellReading) -> tuple[float, ...]:
        if self._of == "dQ/dV":
            return reading.charge, reading.voltage
        return (reading.voltage if self._of == "dV/dt" else reading.current,)

    def _judge(self) -> tuple[bool, bool]:
        """Whether it has certainly settled, and whether it certainly has not."""
        if self._of != "dQ/dV":
            change = self._slope.rate()
            size, error = abs(change.size) * _HOUR, CERTAIN * change.error * _HOUR
            return size + error <= self._below, size - error >= UNSETTLED * self._below
        _, charge, voltage = self._slope.changes()
        least, most = _bounds(charge)
        # Without current there is no dQ/dV.
        is_settled = least > 0 and most <= self._below * _bounds(voltage)[0]
        return is_settled, least >= UNSETTLED * self._below * _bounds(voltage)[1]


def _bounds(change: Change) -> tuple[float, float]:
    """Of the magnitude of a change."""
    return (
        max(abs(change.size) - CERTAIN * change.error, 0.0),
        abs(change.size) + CERTAIN * change.error,
    )


class FastChangeWatcher(CellWatcher):
    """Remembers the window, and whether the change has been slow since it last was fast."""

    def __init__(self, condition: FastChange) -> None:
        is_voltage = condition.quantity == "voltage"
        self._is_voltage = is_voltage
        self._rate = condition.rate if is_voltage else condition.rate / _MINUTE
        self._sign = 1.0 if condition.direction == "rising" else -1.0
        self._window = condition.window
        self._slope = Slope(condition.window)
        self._armed = True
        self._step_count: int | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when it is certain that the slope is steep; a new step's jump is none of it."""
        value = reading.voltage if self._is_voltage else reading.temperature
        if not math.isfinite(value):
            return []
        if reading.step_count is not None:
            is_new = self._step_count is not None and reading.step_count != self._step_count
            if is_new and self._is_voltage:
                self._slope.reset()
            self._step_count = reading.step_count
        if not self._slope.add(reading.time, value) or not self._slope.is_full:
            return []
        change = self._slope.rate()
        size = self._sign * change.size
        if self._armed and size - CERTAIN * change.error >= self._rate:
            self._armed = False
            return [Met(due=self._slope.middle, gap=0.5 * self._window)]
        if size <= SLOW * self._rate:
            self._armed = True
        return []
