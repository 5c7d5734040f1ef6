"""This file is where the time between an experiment and the one that resumes it is accounted for."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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


def earlier_from(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    log_of: Callable[[str], Iterable[str]] = lambda path: (),
) -> Earlier:
    """What an operando run left behind, whole or broken off.

    Args:
        documents: Of the outer run, (name, document).
        log_of: Lines of a guard's log by its path, from the start of the run on or earlier.

    Raises:
        ValueError: If they are not an operando run's.
    """
    start: Mapping[str, Any] = {}
    schedule, begin, heard = "", math.nan, -math.inf
    for name, document in documents:
        if name == "start":
            start = document
        elif name == "event":
            data = document["data"]
            heard = max([heard, *(each for each in map(data.get, _HEARD) if _is_time(each))])
            if data.get("schedule_json") and not data.get("schedule_refused"):
                schedule, begin = str(data["schedule_json"]), float(data["schedule_start"])
    if start.get("kind") != "operando" or not schedule:
        raise ValueError(f"run {start.get('uid', '')}: no operando run, nothing to resume")
    cells: Mapping[str, Any] = start.get("cells", {})
    return Earlier(
        uid=str(start["uid"]),
        start=begin,
        end=heard,
        schedule=Schedule.model_validate_json(schedule),
        readings={
            name: list(readings_of(log_of(told["guard"]["log"]), begin))
            for name, told in cells.items()
        },
        passports={
            name: CellPassport.read(told["cell"]) for name, told in cells.items() if told["cell"]
        },
    )


#: Keys of events that say when the run was heard of, session clock.
_HEARD = ("schedule_time", "rules_met", "rules_start", "clocks_time", "beam_start")


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def readings_of(lines: Iterable[str], begin: float) -> Iterator[CellReading]:
    """What a guard wrote down of its cell from ``begin`` on, as rules would have read it."""
    state = ""
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            # A guard that was killed leaves half a line.
            continue
        if entry.get("kind") == "state":
            state = str(entry["state"])
            if entry["time"] >= begin:
                yield CellReading(time=float(entry["time"]), state=state)
        elif entry.get("kind") == "live" and (entry.get("session_time") or 0.0) >= begin:
            yield _reading_of(entry, state)


def _reading_of(entry: Mapping[str, Any], state: str) -> CellReading:
    numbers = {
        name: math.nan if entry.get(name) is None else float(entry[name])
        for name in ("voltage", "charge", "current", "temperature")
    }
    return CellReading(
        time=float(entry["session_time"]),
        step_count=entry.get("step_count"),
        step_type=str(entry.get("step_type") or ""),
        cycle_number=entry.get("cycle_number"),
        state=state,
        **numbers,
    )


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
