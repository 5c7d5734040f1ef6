"""This file is where it is decided when to measure: rules on the cell, the most important first.

A schedule is a plain value. Its evaluator is pure: it is told what the cell reads and what time it
is, and answers with what is due. Deadlines are absolute; what could not be served is recorded as
missed, never shifted.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import AbsoluteClock, Condition
from battbeam.experiment.watchers import CellReading, Met, overdue, watcher

#: How cell and measurement go together. ``free_running``: the cell goes on and smear is stated.
#: ``hold_potential``: it is held at its voltage while X-rays run. ``step_then_measure``: what is
#: under way, a rest or a constant voltage, is kept until the measurement is done.
Coupling = Literal["free_running", "hold_potential", "step_then_measure"]


class Rule(BaseModel):
    """A condition on the cell, and what to measure when it is met.

    Attributes:
        name: Unique in its schedule.
        when: The condition.
        measure: Name of the measurement.
        coupling: How the cell and the measurement go together.
        hold_maximum: s of cell time that a cell is kept for one measurement, at the most; None is
            the guard's own.
        smear_max: Largest change of state of charge during one measurement, 1; a measurement that
            cannot stay below is refused. None is no budget.
        cell: Name of the guard's cell that the condition is on and that is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    when: Condition
    measure: str = Field(min_length=1)
    coupling: Coupling = "free_running"
    hold_maximum: float | None = Field(default=None, gt=0)
    smear_max: float | None = Field(default=None, gt=0)
    cell: str = "cell1"

    def sentence(self) -> str:
        """The rule as a person says it."""
        coupling = self.coupling.replace("_", " ")
        return f"{self.name}: {self.when.sentence()}, measure {self.measure} ({coupling})"

    def __str__(self) -> str:
        return self.sentence()


@dataclass(frozen=True)
class Due:
    """One time at which one rule was met.

    Attributes:
        rule: Name of the rule.
        index: Counts what this rule was met, missed or not, from 0.
        measure: Name of the measurement.
        due: When the condition became true, s since the Unix epoch, session clock.
        met: When that was seen.
        gap: How far ``due`` can be off because nothing was known of the cell meanwhile, s.
        expires: After this time it is not served any more.
        missed: Why it is not served; empty when it is.
        remark: What else is worth keeping.
        cell: Of the rule, as are the next three.
        coupling: How the cell and the measurement go together.
        hold_maximum: s of cell time that the cell is kept for it, at the most.
        smear_max: Largest change of state of charge during it, 1.
    """

    rule: str
    index: int
    measure: str
    due: float
    met: float
    gap: float = 0.0
    expires: float = math.inf
    missed: str = ""
    remark: str = ""
    cell: str = "cell1"
    coupling: Coupling = "free_running"
    hold_maximum: float | None = None
    smear_max: float | None = None

    @property
    def lateness(self) -> float:
        """s from becoming true to being seen."""
        return self.met - self.due

    def lateness_at(self, time: float) -> float:
        """s from becoming true to ``time``, the start of its measurement."""
        return time - self.due


class Schedule(BaseModel):
    """Rules, the most important first.

    >>> from battbeam.experiment.conditions import VoltageCrossing
    >>> crossing = VoltageCrossing(level=3.5, direction="rising")
    >>> print(Schedule(rules=(Rule(name="slope", when=crossing, measure="pattern"),)))
    slope: when the voltage rises through 3.5 V, measure pattern (free running)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("rules")
    @classmethod
    def _unique_names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rule names must be unique; more than once: {', '.join(twice)}")
        return rules

    def anchored(self, time: float) -> "Schedule":
        """The same schedule with every open clock starting at ``time``."""
        return Schedule(rules=tuple(_anchored(rule, time) for rule in self.rules))

    def sentence(self) -> str:
        """The schedule as a person says it, a line a rule, the most important first."""
        return "\n".join(rule.sentence() for rule in self.rules)

    def __str__(self) -> str:
        return self.sentence()

    def evaluator(
        self, *, passport: CellPassport | None = None, capacity: float | None = None
    ) -> "Evaluator":
        """An evaluator that has seen nothing yet.

        Args:
            passport: Of the cell, for conditions that speak of fractions of its capacity.
            capacity: The same number alone, mAh.

        Raises:
            ValueError: If a clock is not anchored, or the capacity is needed and not given.
        """
        if passport is not None:
            capacity = passport.nominal_capacity
        return Evaluator(self, capacity=capacity)


def _anchored(rule: Rule, time: float) -> Rule:
    if not isinstance(rule.when, AbsoluteClock) or rule.when.start is not None:
        return rule
    return rule.model_copy(update={"when": rule.when.model_copy(update={"start": time})})


class Evaluator:
    """What is due, from readings of the cell and from the clock; of one thread only."""

    def __init__(self, schedule: Schedule, *, capacity: float | None = None) -> None:
        self.schedule = schedule
        self._watchers = [watcher(rule.when, capacity) for rule in schedule.rules]
        self._counts = [0] * len(schedule.rules)

    def update(self, reading: CellReading, *, now: float | None = None) -> list[Due]:
        """What a reading has met, the most important first; readings come in the order of time.

        Args:
            reading: Of the cell.
            now: When it is looked at, session clock; None is at once.
        """
        seen = reading.time if now is None else now
        return self._dues([each.update(reading) for each in self._watchers], seen)

    def due(self, now: float) -> list[Due]:
        """What the clock has met since the last call, the most important first."""
        return self._dues([each.due(now) for each in self._watchers], now)

    def next_time(self) -> float:
        """When the clock alone will meet a rule next, s since the Unix epoch; infinity if never."""
        return min(each.next_time() for each in self._watchers)

    def _dues(self, mets: list[list[Met]], seen: float) -> list[Due]:
        return [
            self._due(position, met, seen) for position, found in enumerate(mets) for met in found
        ]

    def _due(self, position: int, met: Met, seen: float) -> Due:
        rule, index = self.schedule.rules[position], self._counts[position]
        self._counts[position] += 1
        return Due(
            rule=rule.name,
            index=index,
            measure=rule.measure,
            due=met.due,
            met=seen,
            gap=met.gap,
            expires=met.expires,
            missed=met.missed,
            remark=met.remark,
            cell=rule.cell,
            coupling=rule.coupling,
            hold_maximum=rule.hold_maximum,
            smear_max=rule.smear_max,
        )


class Agenda:
    """What is due and not served yet; the most important first, and of one rule the oldest.

    A plan feeds it what it reads and asks it what to measure; whatever is handed out, served or
    missed, is handed out once.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._waiting: list[Due] = []
        self._missed: list[Due] = []

    @property
    def schedule(self) -> Schedule:
        """What it goes by."""
        return self._evaluator.schedule

    @property
    def waiting(self) -> tuple[Due, ...]:
        """What is due and not served yet."""
        return tuple(self._waiting)

    def feed(self, reading: CellReading, *, now: float | None = None) -> None:
        """Take note of a reading of the cell."""
        self._sort(self._evaluator.update(reading, now=now))

    def look(self, now: float) -> tuple[Due, ...]:
        """What could be measured now, the most important first; what waited too long is missed."""
        self._sort(self._evaluator.due(now))
        late = [due for due in self._waiting if now > due.expires]
        self._waiting = [due for due in self._waiting if now <= due.expires]
        self._missed += [_missed(due, now) for due in late]
        return tuple(self._waiting)

    def take(self, now: float) -> Due | None:
        """What to measure now, or None; what has waited too long is missed."""
        waiting = self.look(now)
        return self.hand_out(waiting[0]) if waiting else None

    def hand_out(self, due: Due) -> Due:
        """Hand out one of those that wait, whichever comes first.

        Raises:
            ValueError: If it does not wait.
        """
        if due not in self._waiting:
            raise ValueError(f"rule {due.rule!r}, index {due.index}: it does not wait to be served")
        self._waiting.remove(due)
        return due

    def give_up(self, due: Due, reason: str) -> None:
        """One of those that wait is missed, for a reason."""
        self._missed.append(replace(self.hand_out(due), missed=reason))

    def missed(self) -> list[Due]:
        """What was missed since the last call, to be recorded."""
        missed, self._missed = self._missed, []
        return missed

    def next_time(self) -> float:
        """Until when there is nothing to do but to feed it, s since the Unix epoch."""
        return -math.inf if self._waiting else self._evaluator.next_time()

    def _sort(self, dues: list[Due]) -> None:
        self._missed += [due for due in dues if due.missed]
        self._waiting += [due for due in dues if not due.missed]
        order = {
            rule.name: position for position, rule in enumerate(self._evaluator.schedule.rules)
        }
        self._waiting.sort(key=lambda due: (order[due.rule], due.index))


def _missed(due: Due, now: float) -> Due:
    reason = overdue(Met(due=due.due), now).missed
    return replace(due, missed=reason)
