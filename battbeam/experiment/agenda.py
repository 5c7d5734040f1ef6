"""This file is where a schedule is evaluated: what is due, what waits, what was missed.

The evaluator is pure: it is told what the cell reads and what time it is, and answers with what is
due. Deadlines are absolute; what could not be served is recorded as missed, never shifted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.met import Met, Watcher, overdue
from battbeam.experiment.watchers import ProtocolSteps, watcher

if TYPE_CHECKING:
    from battbeam.experiment.schedule import Coupling, Rule, Schedule

#: Times that one rule may wait to be served; beyond it the oldest is missed. More is no queue but a
#: beam that is away, and a bound keeps memory bounded. Chosen here.
LONGEST_QUEUE = 64


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
        cell: Name of the guard's cell.
        coupling: How the cell and the measurement go together.
        hold_maximum: s that the cell is kept at the most; None is the guard's own.
        smear_max: Largest change of state of charge during the measurement; None is no budget.
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
    coupling: "Coupling" = "free_running"
    hold_maximum: float | None = None
    smear_max: float | None = None

    @property
    def lateness(self) -> float:
        """s from becoming true to being seen."""
        return self.met - self.due

    def lateness_at(self, time: float) -> float:
        """s from becoming true to ``time``, the start of its measurement."""
        return time - self.due


class Evaluator:
    """What is due, from readings of the cell and from the clock; of one thread only.

    Args:
        schedule: With every clock anchored.
        passport: Of the cell, for conditions that speak of its capacity or area.
        start: Of the experiment, s since the Unix epoch, for rules that a revision adds.

    Raises:
        ValueError: If a clock is not anchored, or the passport is needed and not given.
    """

    def __init__(
        self,
        schedule: "Schedule",
        *,
        passport: CellPassport | None = None,
        start: float | None = None,
    ) -> None:
        self.schedule, self.passport, self.start = schedule, passport, start
        self._watchers: list[Watcher] = [watcher(rule.when, passport) for rule in schedule.rules]
        self._counts = dict.fromkeys((rule.name for rule in schedule.rules), 0)
        self._steps = ProtocolSteps()

    def revise(self, schedule: "Schedule", now: float) -> None:
        """Go on with another schedule; a rule with the same name and condition forgets nothing.

        Raises:
            ValueError: As the evaluator itself; then nothing has changed.
        """
        revised = schedule.anchored(now if self.start is None else self.start)
        kept = {
            rule.name: (rule, each)
            for rule, each in zip(self.schedule.rules, self._watchers, strict=True)
        }

        def continued(rule: "Rule") -> Watcher:
            old, each = kept.get(rule.name, (None, None))
            if old is not None and each is not None and old.is_met_as(rule):
                return each
            return watcher(rule.when, self.passport, now)

        self._watchers = [continued(rule) for rule in revised.rules]
        self.schedule = revised
        # Indices go on where a rule of that name stopped: they label what was measured.
        for rule in revised.rules:
            self._counts.setdefault(rule.name, 0)

    def update(self, reading: CellReading, *, now: float | None = None) -> list[Due]:
        """What a reading has met, the most important first; readings come in the order of time.

        Args:
            reading: Of the cell.
            now: When it is looked at, session clock; None is at once.
        """
        seen = reading.time if now is None else now
        own = self._steps.seen(reading)
        return self._dues([each.update(own) for each in self._watchers], seen)

    def due(self, now: float) -> list[Due]:
        """What the clock has met since the last call, the most important first."""
        return self._dues([each.due(now) for each in self._watchers], now)

    def next_time(self) -> float:
        """When the clock alone will meet a rule next, s since the Unix epoch; infinity if never."""
        return min(each.next_time() for each in self._watchers)

    def _dues(self, mets: list[list[Met]], seen: float) -> list[Due]:
        return [
            self._due(self.schedule.rules[position], met, seen)
            for position, found in enumerate(mets)
            for met in found
        ]

    def _due(self, rule: "Rule", met: Met, seen: float) -> Due:
        index = self._counts[rule.name]
        self._counts[rule.name] += 1
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
    """What is due and not served yet: the most important rule first; of one rule, what expires first.

    A plan feeds it what it reads and asks it what to measure; whatever is handed out, served or
    missed, is handed out once.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._waiting: list[Due] = []
        self._missed: list[Due] = []
        self._order = _order(evaluator.schedule)

    @property
    def waiting(self) -> tuple[Due, ...]:
        """What is due and not served yet, as of the last call."""
        return tuple(self._waiting)

    @property
    def schedule(self) -> "Schedule":
        """The one that is followed now."""
        return self._evaluator.schedule

    def feed(self, reading: CellReading, *, now: float | None = None) -> None:
        """Take note of a reading of the cell."""
        self._sort(self._evaluator.update(reading, now=now))

    def look(self, now: float) -> tuple[Due, ...]:
        """What is due now and not served yet; what has waited too long is missed."""
        self._sort(self._evaluator.due(now))
        if any(now > due.expires for due in self._waiting):
            self._missed += [
                replace(due, missed=overdue(Met(due=due.due), now).missed)
                for due in self._waiting
                if now > due.expires
            ]
            self._waiting = [due for due in self._waiting if now <= due.expires]
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

    def revise(self, schedule: "Schedule", now: float) -> list[str]:
        """Go on with another schedule, which may have been written while the cell runs.

        A rule that keeps its name, cell and condition forgets nothing, and what it waits for is
        served as it says now. Another starts fresh, its clock with its first slot from now on. What
        waits for a rule that was taken out, or whose condition was changed, is missed.

        Args:
            schedule: The new one; its open clocks start when the experiment started.
            now: Session clock, s since the Unix epoch.

        Returns:
            What has changed, one sentence each; nothing if nothing has.

        Raises:
            ValueError: If it cannot be evaluated; then the old one is followed on.
        """
        old = self._evaluator.schedule
        self._sort(self._evaluator.due(now))
        self._evaluator.revise(schedule, now)
        new = self._evaluator.schedule
        self._order = _order(new)
        before = {rule.name: rule for rule in old.rules}
        after = {rule.name: rule for rule in new.rules}
        waiting, self._waiting = self._waiting, []
        for due in waiting:
            self._keep(due, before[due.rule], after.get(due.rule))
        self._waiting.sort(key=self._key)
        return old.differences(new)

    def _keep(self, due: Due, old: "Rule", new: "Rule | None") -> None:
        if new is None:
            self._missed.append(replace(due, missed="the rule was taken out"))
        elif not old.is_met_as(new):
            self._missed.append(replace(due, missed="the rule's condition was changed"))
        else:
            kept = replace(
                due,
                measure=new.measure,
                coupling=new.coupling,
                hold_maximum=new.hold_maximum,
                smear_max=new.smear_max,
            )
            self._waiting.append(kept)

    def _sort(self, dues: Sequence[Due]) -> None:
        if not dues:
            return
        self._missed += [due for due in dues if due.missed]
        self._waiting += [due for due in dues if not due.missed]
        self._waiting.sort(key=self._key)
        for name in {due.rule for due in dues}:
            queue = [due for due in self._waiting if due.rule == name]
            for due in sorted(queue, key=lambda due: due.index)[:-LONGEST_QUEUE]:
                self._waiting.remove(due)
                reason = f"{LONGEST_QUEUE} later ones of the rule waited already"
                self._missed.append(replace(due, missed=reason))

    def _key(self, due: Due) -> tuple[int, float, int]:
        return self._order[due.rule], due.expires, due.index


def _order(schedule: "Schedule") -> dict[str, int]:
    return {rule.name: position for position, rule in enumerate(schedule.rules)}
