"""This file is where conditions are watched: what each one has seen of the cell is remembered here.

A reading that is not known (NaN, disconnected) makes a condition unknown: it is never met by it,
and nothing is forgotten. What happened during such a gap is met when it is seen.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Protocol

from battbeam.experiment.conditions import (
    AbsoluteClock,
    ChargeStep,
    Condition,
    EndOfProtocol,
    StepEdge,
    VoltageCrossing,
)

#: The guard's word for a protocol that has run to its end.
FINISHED = "Finished"


@dataclass(frozen=True)
class CellReading:
    """What is known of a cell at one time; NaN, None and the empty string are not known.

    Attributes:
        time: s since the Unix epoch, session clock.
        voltage: V.
        charge: Passed since the cell was mounted, mAh, > 0 charges.
        step_count: Of the guard; never repeats.
        step_type: Of the step under way.
        state: Of the guard.
        current: A, > 0 charges.
        temperature: degC.
        cycle_number: Of the protocol.
        step_elapsed: s of cell time that the step has lasted.
        step_remaining: s of cell time until the step's longest duration is over; infinity when it
            has none.
        voltage_working: Of the working electrode against the reference electrode, V.
        voltage_counter: Of the counter electrode against the reference electrode, V.
    """

    time: float
    voltage: float = math.nan
    charge: float = math.nan
    step_count: int | None = None
    step_type: str = ""
    state: str = ""
    current: float = math.nan
    temperature: float = math.nan
    cycle_number: int | None = None
    step_elapsed: float = math.nan
    step_remaining: float = math.nan
    voltage_working: float = math.nan
    voltage_counter: float = math.nan


@dataclass(frozen=True)
class Met:
    """A condition was met.

    Attributes:
        due: When it became true, s since the Unix epoch; within a gap as a straight line has it.
        gap: s between the reading before and the one that showed it: how far ``due`` can be off.
        expires: After this time it is not served any more.
        missed: Why it is not served; empty when it is.
        remark: What else is worth keeping.
    """

    due: float
    gap: float = 0.0
    expires: float = math.inf
    missed: str = ""
    remark: str = ""


class Watcher(Protocol):
    """Watches one condition."""

    def update(self, reading: CellReading) -> list[Met]:
        """What one reading of the cell has met; readings come in the order of time."""
        ...

    def due(self, now: float) -> list[Met]:
        """What the clock alone has met."""
        ...

    def next_time(self) -> float:
        """When the clock alone will meet it next, s since the Unix epoch; infinity if never."""
        ...


class _CellWatcher:
    def due(self, now: float) -> list[Met]:
        return []

    def next_time(self) -> float:
        return math.inf


class ClockWatcher:
    """Every slot is met once: the newest that passed is due, those before it were missed."""

    def __init__(self, condition: AbsoluteClock) -> None:
        self._condition = condition
        self._next = 0
        condition.slot(0)

    def update(self, reading: CellReading) -> list[Met]:
        """Nothing: the cell does not move a clock."""
        return []

    def due(self, now: float) -> list[Met]:
        """Slots that have passed since the last call."""
        condition, passed = self._condition, list(self._passed(now))
        self._next += len(passed)
        late = condition.longest_delay
        slots = [Met(due=slot, expires=slot + late) for slot in passed]
        return [overdue(met, now) for met in slots[:-1]] + [
            overdue(met, now) if now > met.expires else met for met in slots[-1:]
        ]

    def _passed(self, now: float) -> Iterator[float]:
        index = self._next
        while self._condition.has_slot(index) and self._condition.slot(index) <= now:
            yield self._condition.slot(index)
            index += 1

    def next_time(self) -> float:
        """The next slot."""
        return (
            self._condition.slot(self._next) if self._condition.has_slot(self._next) else math.inf
        )


def overdue(met: Met, now: float) -> Met:
    """The same, missed for having waited too long."""
    return replace(met, missed=f"not served until {now - met.due:.3f} s after it was due")


class _Edge:
    """One direction of a crossing; ``sign`` is 1 for rising and -1 for falling."""

    def __init__(self, condition: VoltageCrossing, sign: int) -> None:
        self._level, self._hysteresis, self._sign = condition.level, condition.hysteresis, sign
        self._armed: bool | None = None

    def passed(self, voltage: float) -> bool:
        beyond = self._sign * (voltage - self._level)
        crossed = bool(self._armed) and beyond >= 0
        # The first reading decides on which side the cell is; later ones must clear the hysteresis.
        if self._armed is None:
            self._armed = beyond < 0
        elif crossed:
            self._armed = False
        elif beyond < 0 and beyond <= -self._hysteresis:
            self._armed = True
        return crossed


class CrossingWatcher(_CellWatcher):
    """Remembers on which side of the level the voltage was last seen."""

    def __init__(self, condition: VoltageCrossing) -> None:
        signs = {"rising": (1,), "falling": (-1,), "any": (1, -1)}[condition.direction]
        self._edges = [_Edge(condition, sign) for sign in signs]
        self._level = condition.level
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the level lies between the last known voltage and this one."""
        if not math.isfinite(reading.voltage):
            return []
        last, self._last = self._last, reading
        crossed = [edge.passed(reading.voltage) for edge in self._edges]
        if last is None or not any(crossed):
            return []
        return [between(last, reading, last.voltage, reading.voltage, self._level)]


def between(
    last: CellReading, reading: CellReading, before: float, after: float, level: float
) -> Met:
    """Met where a straight line between two readings passes ``level``."""
    part = (level - before) / (after - before) if after != before else 1.0
    gap = reading.time - last.time
    return Met(due=last.time + min(max(part, 0.0), 1.0) * gap, gap=gap)


class ChargeStepWatcher(_CellWatcher):
    """Remembers which lines of the grid come next, one above the charge and one below."""

    def __init__(self, condition: ChargeStep, capacity: float | None) -> None:
        self._step = condition.step_in_charge(capacity)
        self._reference = condition.reference
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
        if lines:
            self._below, self._above = lines[-1] - 1, lines[-1] + 1
        mets = [
            between(last, reading, last.charge, reading.charge, self._reference + k * self._step)
            for k in lines
        ]
        jumped = [
            replace(met, missed="passed between two readings, and the next step too")
            for met in mets[:-1]
        ]
        return jumped + mets[-1:]

    def _passed(self, position: float) -> list[int]:
        if position >= self._above:
            return list(range(self._above, math.floor(position) + 1))
        return (
            list(range(self._below, math.ceil(position) - 1, -1)) if position <= self._below else []
        )


class StepEdgeWatcher(_CellWatcher):
    """Remembers the last step count."""

    def __init__(self, condition: StepEdge) -> None:
        self._step_type = condition.step_type
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the step count has grown and the new step is of the type asked for."""
        if reading.step_count is None or (self._step_type is not None and not reading.step_type):
            return []
        last, self._last = self._last, reading
        if last is None or last.step_count is None or reading.step_count <= last.step_count:
            return []
        gap = reading.time - last.time
        unseen = reading.step_count - last.step_count - 1
        if self._step_type is None:
            jumped = Met(due=reading.time, gap=gap, missed="the step was over before it was seen")
            return [jumped] * unseen + [Met(due=reading.time, gap=gap)]
        if reading.step_type != self._step_type:
            return []
        remark = f"{unseen} steps of unknown type passed unseen before it" if unseen else ""
        return [Met(due=reading.time, gap=gap, remark=remark)]


class EndWatcher(_CellWatcher):
    """Remembers whether the protocol had ended."""

    def __init__(self) -> None:
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the guard says that the protocol has finished, and had not said so before."""
        if not reading.state:
            return []
        last, self._last = self._last, reading
        if last is None or reading.state != FINISHED:
            return []
        # Finished on both sides of a gap is another end if steps have run in between.
        another = (reading.step_count or 0) > (last.step_count or 0)
        if last.state == FINISHED and not another:
            return []
        return [Met(due=reading.time, gap=reading.time - last.time)]


@singledispatch
def watcher(condition: Condition, capacity: float | None) -> Watcher:
    """A watcher that has seen nothing yet.

    Args:
        condition: What to watch for.
        capacity: Of the cell, mAh, for conditions that speak of fractions of it.

    Raises:
        ValueError: If the condition lacks something to be watched.
    """
    raise TypeError(f"no watcher for {type(condition).__name__}")


@watcher.register
def _(condition: AbsoluteClock, capacity: float | None) -> Watcher:
    return ClockWatcher(condition)


@watcher.register
def _(condition: VoltageCrossing, capacity: float | None) -> Watcher:
    return CrossingWatcher(condition)


@watcher.register
def _(condition: ChargeStep, capacity: float | None) -> Watcher:
    return ChargeStepWatcher(condition, capacity)


@watcher.register
def _(condition: StepEdge, capacity: float | None) -> Watcher:
    return StepEdgeWatcher(condition)


@watcher.register
def _(condition: EndOfProtocol, capacity: float | None) -> Watcher:
    return EndWatcher()
