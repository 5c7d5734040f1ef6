"""This file is where the time between an experiment and the one that resumes it is accounted for."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from battbeam.devices.notes import GapNotes
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.schedule import Agenda, Due, Schedule
from battbeam.experiment.watchers import CellReading
from battbeam.plans.stubs import Plan, write_down


@dataclass(frozen=True)
class Earlier:
    """The operando run that is resumed.

    Attributes:
        uid: Of the run.
        start: When it began, s since the Unix epoch, session clock.
        end: When it was last heard of.
        schedule: Its last revision.
        readings: By cell, what the guard has written down since the run began, in the order of
            time; without them only clocks are known to have been due.
        passports: By cell.
    """

    uid: str
    start: float
    end: float
    schedule: Schedule
    readings: Mapping[str, Iterable[CellReading]] = field(default_factory=dict)
    passports: Mapping[str, CellPassport] = field(default_factory=dict)


def due_meanwhile(earlier: Earlier, now: float) -> list[Due]:
    """What was due after the earlier run was last heard of, until ``now``, in the order of time."""
    found = [due for cell in earlier.schedule.cells for due in _due_of(earlier, cell, now)]
    return sorted(found, key=lambda due: due.due)


def _due_of(earlier: Earlier, cell: str, now: float) -> list[Due]:
    evaluator = earlier.schedule.for_cell(cell).evaluator(
        passport=earlier.passports.get(cell), start=earlier.start
    )
    agenda, found = Agenda(evaluator), []

    def collect(time: float) -> None:
        while (due := agenda.take(time)) is not None:
            found.append(due)
        found.extend(agenda.missed())

    for reading in earlier.readings.get(cell, ()):
        if reading.time > now:
            break
        agenda.feed(reading)
        collect(reading.time)
    collect(now)
    return [due for due in found if earlier.end < due.due <= now]


def write_gap(earlier: Earlier, now: float) -> Plan:
    """One event: from when to when nobody measured, and what was due meanwhile."""
    missed = due_meanwhile(earlier, now)
    told = [
        {
            "cell": due.cell,
            "rule": due.rule,
            "index": due.index,
            "measure": due.measure,
            "due": due.due,
        }
        for due in missed
    ]
    yield from write_down(
        GapNotes("", name="gap"),
        "gap",
        resumes=earlier.uid,
        start=earlier.end,
        end=now,
        length=now - earlier.end,
        n_due=len(told),
        due=json.dumps(told),
    )
