"""This file is where predicates are watched: whether something was so at a time, or is not known.

A reading that does not know a quantity makes its predicates unknown from then on, until one knows
it again; between two readings that both know it, a straight line tells when it changed.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Protocol

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.predicates import (
    Between,
    Both,
    Compare,
    CycleIs,
    Either,
    Not,
    Predicate,
    StepIs,
)
from battbeam.experiment.quantities import reader

#: Changes that are remembered; what lies before them is not known any more.
KEPT = 256


class Truth(Protocol):
    """What is known of a predicate."""

    def update(self, reading: CellReading) -> Sequence[float]:
        """Take note of a reading; the times at which something may have changed, ascending."""
        ...

    def at(self, time: float) -> bool | None:
        """Whether it was so; None is not known. After the last reading as that had it."""
        ...


class _History:
    def __init__(self) -> None:
        self._changes: deque[tuple[float, bool | None]] = deque(maxlen=KEPT)

    def at(self, time: float) -> bool | None:
        for begin, state in reversed(self._changes):
            if time >= begin:
                return state
        return None

    def _change(self, time: float, state: bool | None) -> tuple[float, ...]:
        if self._changes and self._changes[-1][1] is state:
            return ()
        self._changes.append((time, state))
        return (time,)


class _Beyond(_History):
    """A quantity is beyond a value; once it is, until it is behind by the hysteresis."""

    def __init__(self, predicate: Compare, quantity: Callable[[CellReading], float]) -> None:
        super().__init__()
        self._sign = 1.0 if predicate.relation == ">" else -1.0
        self._value, self._margin = predicate.value, predicate.margin
        self._quantity = quantity
        self._known: bool | None = None
        self._last: tuple[float, float] | None = None

    def update(self, reading: CellReading) -> tuple[float, ...]:
        value = self._quantity(reading)
        if not math.isfinite(value):
            self._last = None
            return self._change(reading.time, None)
        beyond = self._sign * (value - self._value)
        state = beyond > 0 or (self._known is True and beyond > -self._margin)
        last, was = self._last, self._known
        self._last, self._known = (reading.time, beyond), state
        if last is None or state is was:
            return self._change(reading.time, state)
        # Where a straight line passes the value, or what lies the hysteresis behind it.
        passed = 0.0 if state else -self._margin
        part = min(max((passed - last[1]) / (beyond - last[1]), 0.0), 1.0)
        return self._change(last[0] + part * (reading.time - last[0]), state)


class _Step(_History):
    def __init__(self, predicate: StepIs) -> None:
        super().__init__()
        self._step_type = str(predicate.step_type)

    def update(self, reading: CellReading) -> tuple[float, ...]:
        known = reading.step_type == self._step_type if reading.step_type else None
        return self._change(reading.time, known)


class _Cycle(_History):
    def __init__(self, predicate: CycleIs) -> None:
        super().__init__()
        self._first = predicate.first
        self._last = math.inf if predicate.last is None else predicate.last

    def update(self, reading: CellReading) -> tuple[float, ...]:
        number = reading.cycle_number
        state = None if number is None else self._first <= number <= self._last
        return self._change(reading.time, state)


class _Combined:
    def __init__(self, parts: Sequence[Truth]) -> None:
        self._parts = parts

    def update(self, reading: CellReading) -> Sequence[float]:
        changes = [each.update(reading) for each in self._parts]
        return sorted({time for found in changes for time in found}) if any(changes) else ()


class _Not(_Combined):
    def at(self, time: float) -> bool | None:
        state = self._parts[0].at(time)
        return None if state is None else not state


class _Both(_Combined):
    def at(self, time: float) -> bool | None:
        states = [each.at(time) for each in self._parts]
        if False in states:
            return False
        return None if None in states else True


class _Either(_Combined):
    def at(self, time: float) -> bool | None:
        states = [each.at(time) for each in self._parts]
        if True in states:
            return True
        return None if None in states else False


@singledispatch
def truth(predicate: Predicate, passport: CellPassport | None) -> Truth:
    """What watches a predicate, and has seen nothing yet.

    Raises:
        ValueError: If the passport is needed and not there.
    """
    raise TypeError(f"no truth for {type(predicate).__name__}")


@truth.register
def _(predicate: Compare, passport: CellPassport | None) -> Truth:
    return _Beyond(predicate, reader(predicate.quantity, passport, what=predicate.sentence()))


@truth.register
def _(predicate: Between, passport: CellPassport | None) -> Truth:
    return _Both([truth(side, passport) for side in predicate.sides])


@truth.register
def _(predicate: StepIs, passport: CellPassport | None) -> Truth:
    return _Step(predicate)


@truth.register
def _(predicate: CycleIs, passport: CellPassport | None) -> Truth:
    return _Cycle(predicate)


@truth.register
def _(predicate: Not, passport: CellPassport | None) -> Truth:
    return _Not([truth(predicate.predicate, passport)])


@truth.register
def _(predicate: Both, passport: CellPassport | None) -> Truth:
    return _Both([truth(each, passport) for each in predicate.predicates])


@truth.register
def _(predicate: Either, passport: CellPassport | None) -> Truth:
    return _Either([truth(each, passport) for each in predicate.predicates])
