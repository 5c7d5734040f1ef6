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
from battbeam.experiment.schedule import Schedule
from battbeam.plans.stubs import Plan, write_down

#: Wall seconds between two looks at the file.
LOOK_INTERVAL = 0.5


@dataclass(frozen=True)
class Revision:
    """One state of the schedule.

    Attributes:
        schedule: As it is written: its open clocks began when the experiment did.
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


def file_faults(path: Path | None) -> list[str]:
    """Why the running schedule cannot stand in a file, one sentence."""
    if path is None:
        return []
    if not path.parent.is_dir():
        return [f"schedule file {path}: {path.parent} is no directory; make it first"]
    if path.is_dir():
        return [f"schedule file {path}: is a directory; name a file in it"]
    if not os.access(path.parent, os.W_OK):
        return [f"schedule file {path}: nothing can be written into {path.parent}"]
    return []


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
        self._text = schedule.text()
        scratch = self._path.with_name(f".{self._path.name}.tmp")
        scratch.write_text(self._text)
        scratch.replace(self._path)
        self._seen = self._stamp()

    def look(self, running: Schedule) -> Revision | None:
        """What somebody has made of the running schedule; None if nobody has."""
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
            schedule = Schedule.parse(text)
        except PreflightError as error:
            return Revision(running, author, source, refused=error.faults)
        except ValueError as error:
            return Revision(running, author, source, refused=(str(error),))
        if schedule == running:
            return None
        if faults := tuple(self._faults(schedule)):
            return Revision(running, author, source, refused=faults)
        return Revision(schedule, author, source, changes=tuple(running.differences(schedule)))

    def _stamp(self) -> tuple[int, int] | None:
        """When the file was written and how long it is; None while an editor has it away."""
        try:
            found = os.stat(self._path) if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size)


def _owner(path: Path) -> str:
    try:
        return pwd.getpwuid(path.stat().st_uid).pw_name
    except (KeyError, OSError):
        return ""


class Revisions:
    """Writes every revision down, numbered.

    Args:
        start: Of the experiment, where open clocks begin, s since the Unix epoch.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._notes = ScheduleNotes("", name="schedule")
        self._number = -1

    def write(self, revision: Revision, now: float) -> Plan:
        """One revision, or one edit that was refused: that keeps the number."""
        if not revision.refused:
            self._number += 1
        yield from write_down(
            self._notes,
            "schedule",
            revision=self._number,
            time=now,
            start=self._start,
            json=revision.schedule.anchored(self._start).model_dump_json(),
            sentence=str(revision.schedule),
            text=revision.schedule.text(),
            author=revision.author,
            source=revision.source,
            changes="\n".join(revision.changes),
            refused="\n".join(revision.refused),
        )
