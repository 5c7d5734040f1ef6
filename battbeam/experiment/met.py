"""This file is where it is said what a watcher of a condition answers."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from battbeam.experiment.cell_reading import CellReading


@dataclass(frozen=True)
class Met:
    """A condition was met.

    Attributes:
        due: When it became true, s since the Unix epoch; within a gap as a straight line has it.
        gap: s between the reading before and the one that showed it: how far ``due`` can be off.
        expires: After this time it is not served any more.
        missed: Why it is not served; empty when it is.
        remark: What else is worth keeping.
        is_known: Whether it has happened for certain; what has not is always missed.
    """

    due: float
    gap: float = 0.0
    expires: float = math.inf
    missed: str = ""
    remark: str = ""
    is_known: bool = True


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


class CellWatcher:
    """Of what the clock alone never meets."""

    def due(self, now: float) -> list[Met]:
        """Nothing: only the cell meets it."""
        return []

    def next_time(self) -> float:
        """Never."""
        return math.inf


def overdue(met: Met, now: float) -> Met:
    """The same, missed for having waited too long."""
    return replace(met, missed=f"not served until {now - met.due:.3f} s after it was due")


def newest_served(mets: list[Met], now: float) -> list[Met]:
    """Of slots that passed in one go only the newest is worth serving, if it is not too late."""
    return [
        met
        if met.missed or (position == len(mets) - 1 and now <= met.expires)
        else overdue(met, now)
        for position, met in enumerate(mets)
    ]


def between(
    last: CellReading, reading: CellReading, before: float, after: float, level: float
) -> Met:
    """Met where a straight line between two readings passes ``level``."""
    part = (level - before) / (after - before) if after != before else 1.0
    gap = reading.time - last.time
    return Met(due=last.time + min(max(part, 0.0), 1.0) * gap, gap=gap)
