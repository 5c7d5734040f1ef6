"""This file is where one beamline is shared: which of several waiting cells is measured next.

Every cell has an agenda of its own; here it is decided between them, earliest deadline first. What
is handed out, served or missed, is handed out once. Nothing here reads a clock: time (s since the
Unix epoch, session clock) is passed in, and the same calls give the same answers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from battbeam.experiment.schedule import Agenda, Due
from battbeam.experiment.watchers import CellReading

#: How long something that never expires may be put off for others that do, s. A slope of the
#: voltage is over in a minute at 1C; chosen here.
GRACE = 60.0
#: What happens to a cell that cannot be served in time: the guard's words.
ParkingPolicy = Literal["continue", "hold", "open_circuit"]


@dataclass(frozen=True)
class Parking:
    """When a cell is given up by the beamline, and what then happens to it.

    Attributes:
        after: Measurements missed one after the other because others were served meanwhile.
        policy: What the guard shall do to the cell; ``continue`` lets its protocol go on.
    """

    after: int = 3
    policy: ParkingPolicy = "continue"

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ValueError(f"a cell is parked after at least 1 miss, got {self.after}")


@dataclass(frozen=True)
class Parked:
    """A cell that the beamline has given up.

    Attributes:
        cell: Its name.
        time: When that was decided, s since the Unix epoch.
        policy: What was declared for it.
        reason: A sentence.
    """

    cell: str
    time: float
    policy: ParkingPolicy
    reason: str


@dataclass(frozen=True)
class Lateness:
    """How late one cell's measurements began.

    Attributes:
        n_served: Measurements begun.
        n_missed: Measurements missed, for whatever reason.
        total: Of all that began, s.
        maximum: Of those, s; 0 before the first.
    """

    n_served: int = 0
    n_missed: int = 0
    total: float = 0.0
    maximum: float = 0.0

    @property
    def mean(self) -> float:
        """s; NaN before the first."""
        return self.total / self.n_served if self.n_served else math.nan

    def served(self, lateness: float) -> "Lateness":
        """With one more that began so late."""
        return replace(
            self,
            n_served=self.n_served + 1,
            total=self.total + lateness,
            maximum=max(self.maximum, lateness),
        )

    def missed(self, n: int) -> "Lateness":
        """With so many more that were missed."""
        return replace(self, n_missed=self.n_missed + n)


@dataclass(frozen=True)
class _Job:
    """What one cell wants next, and what that takes from where the beamline is."""

    position: int
    cell: str
    due: Due
    station: str
    duration: float
    start_by: float

    @property
    def finish_by(self) -> float:
        """Latest end that still begins in time: the order of these has the smallest lateness.

        Source: Jackson's rule, see Pinedo, Scheduling, section 3.2.
        """
        return self.start_by + self.duration


class Dispatcher:
    """Chooses between cells so that as few measurements as possible are missed.

    Within a cell the order of its rules decides, between cells the earliest deadline; at ties the
    rule that stands higher in its schedule, then the order of the cells. When not everything can
    begin in time, the longest of those in the way is put off (Moore and Hodgson's rule). What can
    no longer be reached is missed with the reason. One call looks at one due of each cell.

    Args:
        agendas: By cell.
        durations: s that a measurement takes, by (cell, measure), moves not included; 0 where
            nothing is given.
        travel: s to go from one station to another; a station is a cell's name unless ``stations``
            says otherwise. Never less by a detour.
        stations: By (cell, measure), where another spot, detector or energy costs a move too.
        grace: How long what never expires may be put off for what does, s.
        parking: By cell, when it is given up; a cell that is not named never is.
    """

    def __init__(
        self,
        agendas: Mapping[str, Agenda],
        *,
        durations: Mapping[tuple[str, str], float] | None = None,
        travel: Callable[[str, str], float] = lambda here, there: 0.0,
        stations: Mapping[tuple[str, str], str] | None = None,
        grace: float = GRACE,
        parking: Mapping[str, Parking] | None = None,
    ) -> None:
        self.agendas = dict(agendas)
        self._durations = dict(durations or {})
        self._travel, self._stations = travel, dict(stations or {})
        self._grace = grace
        self._parking = dict(parking or {})
        self._in_a_row = dict.fromkeys(self.agendas, 0)
        self._busy: dict[str, tuple[float, float]] = {}
        self._parked: dict[str, Parked] = {}
        self._news: list[Parked] = []
        self._missed: list[Due] = []
        self._lateness = {cell: Lateness() for cell in self.agendas}

    @property
    def waiting(self) -> tuple[Due, ...]:
        """What is due and not served yet, of every cell."""
        return tuple(
            replace(due, cell=cell)
            for cell, agenda in self.agendas.items()
            for due in agenda.waiting
        )

    @property
    def lateness(self) -> dict[str, Lateness]:
        """How late each cell's measurements began."""
        return dict(self._lateness)

    @property
    def parked(self) -> dict[str, Parked]:
        """Cells that are not served any more."""
        return dict(self._parked)

    def feed(self, cell: str, reading: CellReading, now: float) -> None:
        """Take note of a reading of one cell."""
        self.agendas[cell].feed(reading, now=now)

    def take(self, now: float, here: str = "") -> Due | None:
        """What to measure next, or None; its `Due.cell` says of which cell.

        Args:
            now: When the beamline is free.
            here: Station at which it stands; empty is not known, and costs no move.
        """
        jobs = self._reachable(now, here)
        if not jobs:
            return None
        chosen = self._chosen(jobs, now, here)
        self.agendas[chosen.cell].hand_out(chosen.due)
        start = now + self.travel(here, chosen.station)
        self._lateness[chosen.cell] = self._lateness[chosen.cell].served(start - chosen.due.due)
        self._in_a_row[chosen.cell] = 0
        self._busy[chosen.cell] = (now, start + chosen.duration)
        return replace(chosen.due, cell=chosen.cell)

    def travel(self, here: str, there: str) -> float:
        """s to go from one station to another."""
        return self._travel(here, there) if here and here != there else 0.0

    def missed(self) -> list[Due]:
        """What was missed since the last call, to be recorded."""
        for cell in self.agendas:
            self._take_over(cell)
        missed, self._missed = self._missed, []
        return missed

    def newly_parked(self) -> list[Parked]:
        """Cells given up since the last call; what was declared for them is the caller's to do."""
        news, self._news = self._news, []
        return news

    def unpark(self, cell: str) -> None:
        """Serve a cell again; what it missed meanwhile is missed."""
        self._parked.pop(cell, None)
        self._in_a_row[cell] = 0

    def next_time(self) -> float:
        """Until when there is nothing to do but to feed it, s since the Unix epoch."""
        served = [agenda for cell, agenda in self.agendas.items() if cell not in self._parked]
        return min((agenda.next_time() for agenda in served), default=math.inf)

    # What each cell wants, and what of it is still to be had.

    def _reachable(self, now: float, here: str) -> list[_Job]:
        jobs = []
        for position, cell in enumerate(self.agendas):
            job = self._first_reachable(position, cell, now, here)
            self._take_over(cell)
            self._park(cell, now)
            if job is not None and cell not in self._parked:
                jobs.append(job)
        return jobs

    def _first_reachable(self, position: int, cell: str, now: float, here: str) -> _Job | None:
        """What a cell wants first; what it wants in vain is missed."""
        agenda = self.agendas[cell]
        for due in agenda.look(now):
            if cell in self._parked:
                agenda.give_up(due, "the cell is parked")
                continue
            job = self._job(position, cell, due)
            move = self.travel(here, job.station)
            if now + move <= due.expires:
                return job
            agenda.give_up(due, f"out of reach: a move of {move:.1f} s would end too late")
        return None

    def _job(self, position: int, cell: str, due: Due) -> _Job:
        key = (cell, due.measure)
        return _Job(
            position=position,
            cell=cell,
            due=due,
            station=self._stations.get(key, cell),
            duration=self._durations.get(key, 0.0),
            start_by=due.expires if math.isfinite(due.expires) else due.due + self._grace,
        )

    # Which of them comes first.

    def _chosen(self, jobs: list[_Job], now: float, here: str) -> _Job:
        """The first of the largest set that can begin in time, one after the other."""
        ordered = sorted(jobs, key=self._urgency)
        kept: list[_Job] = []
        for job in ordered:
            kept.append(job)
            if self._is_late(kept, now, here):
                # Whatever was put off beyond its grace is not put off again.
                movable = [each for each in kept if now <= each.start_by] or kept
                # Of equals the last: the order of rules and cells holds.
                kept.remove(max(reversed(movable), key=lambda each: each.duration))
        return kept[0] if kept else ordered[0]

    def _urgency(self, job: _Job) -> tuple[float, int, int]:
        names = [rule.name for rule in self.agendas[job.cell].schedule.rules]
        rank = names.index(job.due.rule) if job.due.rule in names else len(names)
        return job.finish_by, rank, job.position

    def _is_late(self, jobs: list[_Job], now: float, here: str) -> bool:
        """Whether the last of them begins too late when all are done in this order."""
        time, place = now, here
        for job in jobs:
            time += self.travel(place, job.station)
            begin, place = time, job.station
            time += job.duration
        return begin > jobs[-1].due.expires

    # Who is given up.

    def _take_over(self, cell: str) -> None:
        """Take note of what a cell has missed."""
        found = [replace(due, cell=cell) for due in self.agendas[cell].missed()]
        if not found:
            return
        self._missed += found
        self._lateness[cell] = self._lateness[cell].missed(len(found))
        self._in_a_row[cell] += sum(self._others_were_served(cell, due) for due in found)

    def _park(self, cell: str, now: float) -> None:
        """Give a cell up when it has missed too much."""
        parking, missed = self._parking.get(cell), self._in_a_row[cell]
        if parking is None or cell in self._parked or missed < parking.after:
            return
        reason = f"{missed} measurements in a row were missed while other cells were served"
        self._parked[cell] = Parked(cell, now, parking.policy, reason)
        self._news.append(self._parked[cell])

    def _others_were_served(self, cell: str, due: Due) -> bool:
        """Whether another cell had the beamline while this was due: not so without beam."""
        return any(
            begin <= due.expires and end >= due.due
            for other, (begin, end) in self._busy.items()
            if other != cell
        )
