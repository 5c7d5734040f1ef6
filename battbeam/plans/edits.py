"""This file is where a schedule is edited while the cell runs, and every revision is written down.

The schedule stands as text in a file that anybody may edit. What is read there is taken only as a
whole and without a fault; otherwise the schedule before goes on, and the faults are written down.
"""

import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from battbeam.devices.notes import ScheduleNotes
from battbeam.errors import PreflightError
from battbeam.experiment.conditions import AbsoluteClock
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.stubs import Plan, write_down

#: Wall seconds between two looks at the file.
LOOK_INTERVAL = 0.5


@dataclass(frozen=True)
class Revision:
    """One state of the schedule.

    Attributes:
        schedule: As it goes on.
        author: Who wrote it.
        source: Where it was written.
        changes: What it changed, one sentence each.
        refused: Why an edit was not taken, one sentence each.
    """

    schedule: Schedule
    author: str = ""
    source: str = "recipe"
    changes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class ScheduleFile:
    """The running schedule as a file.

    Args:
        path: Written when the experiment starts, and looked at from then on; None is no file.
        faults: Says what is wrong with a schedule for this experiment.
    """

    def __init__(self, path: Path | None, faults: Callable[[Schedule], Sequence[str]]) -> None:
        self._path, self._faults = path, faults
        self._seen: tuple[int, int] | None = None
        self._text = ""
        self._next_look = 0.0

    def write(self, schedule: Schedule) -> None:
        """Put the running schedule into the file, whole or not at all."""
        if self._path is None:
            return
        self._text = text_of(schedule)
        scratch = self._path.with_name(f".{self._path.name}.tmp")
        scratch.write_text(self._text)
        scratch.replace(self._path)
        self._seen = self._stamp()

    def look(self, running: Schedule, now: float) -> Revision | None:
        """What somebody has made of the running schedule; None if nobody has.

        Args:
            running: The schedule as it goes on.
            now: Session clock; a clock that is new starts now.
        """
        if self._path is None or time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + LOOK_INTERVAL
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return None
        text, author = self._path.read_text(errors="replace"), _owner(self._path)
        self._seen = stamp
        if text == self._text:
            return None
        self._text = text
        source = str(self._path)
        try:
            schedule = anchored_like(parsed(text), running, now)
        except PreflightError as error:
            return Revision(running, author, source, refused=error.faults)
        except ValueError as error:
            return Revision(running, author, source, refused=(str(error),))
        if schedule == running:
            return None
        if faults := tuple(self._faults(schedule)):
            return Revision(running, author, source, refused=faults)
        return Revision(schedule, author, source, changes=tuple(changes(running, schedule)))

    def _stamp(self) -> tuple[int, int] | None:
        """When the file was written and how long it is; None while an editor has it away."""
        try:
            found = os.stat(self._path) if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size)


def text_of(schedule: Schedule) -> str:
    """The schedule as it stands in the file."""
    return schedule.model_dump_json(indent=1)


def parsed(text: str) -> Schedule:
    """The schedule that stands in the file.

    Raises:
        ValueError: With every fault.
    """
    return Schedule.model_validate_json(text)


def _owner(path: Path) -> str:
    try:
        return pwd.getpwuid(path.stat().st_uid).pw_name
    except (KeyError, OSError):
        return ""


def anchored_like(schedule: Schedule, running: Schedule, now: float) -> Schedule:
    """The same schedule, where clocks that run go on and clocks that are new start at ``now``.

    A rule that stands in both, its start apart, keeps its slots: an edit shifts nothing.
    """
    before = {rule.name: rule for rule in running.rules}
    rules = tuple(_kept(rule, before.get(rule.name)) for rule in schedule.rules)
    return Schedule(rules=rules).anchored(now)


def _kept(rule: Rule, before: Rule | None) -> Rule:
    if before is None or not isinstance(before.when, AbsoluteClock):
        return rule
    if not isinstance(rule.when, AbsoluteClock) or rule.when.start is not None:
        return rule
    if rule.when.period != before.when.period:
        return rule
    return rule.model_copy(
        update={"when": rule.when.model_copy(update={"start": before.when.start})}
    )


def changes(before: Schedule, after: Schedule) -> list[str]:
    """What a revision changed, one sentence each."""
    old = {rule.name: rule for rule in before.rules}
    new = {rule.name: rule for rule in after.rules}
    told = [f"rule {name!r} was taken out" for name in old if name not in new]
    told += [f"rule {name!r} is new: {rule}" for name, rule in new.items() if name not in old]
    told += [
        f"rule {name!r} was {old[name]}, is {rule}"
        for name, rule in new.items()
        if name in old and old[name] != rule
    ]
    common = [name for name in old if name in new]
    if common != [name for name in new if name in old]:
        told.append(f"the order is {', '.join(new)}")
    return told


class Revisions:
    """Writes every revision down, numbered."""

    def __init__(self) -> None:
        self._notes = ScheduleNotes("", name="schedule")
        self._number = -1

    def write(self, revision: Revision) -> Plan:
        """One revision, or one edit that was refused: that keeps the number."""
        if not revision.refused:
            self._number += 1
        yield from write_down(
            self._notes,
            "schedule",
            revision=self._number,
            json=revision.schedule.model_dump_json(),
            sentence=str(revision.schedule),
            text=text_of(revision.schedule),
            author=revision.author,
            source=revision.source,
            changes="\n".join(revision.changes),
            refused="\n".join(revision.refused),
        )
