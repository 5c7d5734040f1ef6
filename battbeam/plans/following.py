"""This file is where cells are followed: read, measured when a rule says so, until they have ended.

All cells share one beamline and one plan. It makes one move, one exposure, one command after the
other, so that no two measurements ever want the same motor: what locks the motors is that order.
"""

import logging
import math
from dataclasses import dataclass, replace

import bluesky.plan_stubs as bps

from battbeam.devices.notes import ParkingNotes
from battbeam.errors import GuardError
from battbeam.experiment.clock import Clock
from battbeam.experiment.dispatch import Dispatcher, Parked
from battbeam.experiment.guard_state import UNDER_WAY, GuardState
from battbeam.experiment.schedule import Due, Schedule
from battbeam.experiment.watchers import CellReading
from battbeam.plans.edits import Revision, Revisions, ScheduleFile
from battbeam.plans.preprocessors import contained, why
from battbeam.plans.service import Service
from battbeam.plans.stubs import SLICE, Plan, finished, write_down
from battbeam.plans.waking import Wake
from battbeam.plans.watch import CellWatch, Watch

_log = logging.getLogger(__name__)

#: Wall seconds without a word from the guard after which a cell is given up: nobody knows it.
GUARD_PATIENCE = 300.0
#: s of session clock that measurements which are due wait for the beam once the protocol has ended.
BEAM_PATIENCE = 3600.0


@dataclass
class Follower:
    """Watches the cells and measures, until every protocol has ended and nothing is due.

    Attributes:
        schedule: As it goes on.
        dispatcher: Chooses what is next; a cell that is not measured any more leaves it.
        service: Measures it.
        watch: Looks after beam and clocks.
        file: The schedule as it may be edited.
        revisions: Are written down here.
        wake: Ends waits.
    """

    schedule: Schedule
    dispatcher: Dispatcher
    service: Service
    watch: Watch
    file: ScheduleFile
    revisions: Revisions
    wake: Wake

    def __post_init__(self) -> None:
        self._cells = {cell.name: cell for cell in self.watch.cells}
        self._ended_at: dict[str, float] = {}
        self._here = ""
        self._parking_notes = ParkingNotes("", name="parking")

    @property
    def _clock(self) -> Clock:
        return self.watch.clock

    def follow(self) -> Plan:
        """Until the end.

        Raises:
            GuardError: If no cell is left that could be measured, and why.
        """
        while self._followed:
            yield from bps.checkpoint()
            yield from self.watch.look()
            yield from self._edited()
            now = self._clock.now()
            for cell in self._followed:
                self._read(cell, now)
            due = None if self.watch.is_dark else self.dispatcher.take(now, self._here)
            yield from self._told()
            if due is not None:
                yield from self._serve(due)
                continue
            yield from self._retired(now)
            yield from self.service.get_ready()
            remaining = self.dispatcher.next_time() - self._clock.now()
            yield from self.wake.within(_pause(remaining, self._clock))
        self._judge_end()

    @property
    def _followed(self) -> list[CellWatch]:
        return [cell for name, cell in self._cells.items() if name in self.dispatcher.agendas]

    def _read(self, cell: CellWatch, now: float) -> None:
        reading = cell.reading(now)
        self.dispatcher.feed(cell.name, reading, now)
        if reading.state == GuardState.FINISHED:
            self._ended_at.setdefault(cell.name, now)
        elif cell.has_protocol or reading.state:
            cell.lost = cell.lost or _why_lost(reading, cell)

    def _serve(self, due: Due) -> Plan:
        cell = self._cells[due.cell]
        if cell.lost:
            yield from self.service.missed(replace(due, missed=cell.lost))
            return
        self._here = due.cell

        def notice() -> None:
            now = self._clock.now()
            self.dispatcher.feed(cell.name, cell.reading(now), now)

        ends = yield from self.service.serve(due, notice)
        if ends:
            cell.lost = "the dose limit is reached: it is not measured any more"

    def _told(self) -> Plan:
        """Write down what was missed, and who was given up."""
        for missed in self.dispatcher.missed():
            yield from self.service.missed(missed, self.watch.excuse(missed))
        for parked in self.dispatcher.newly_parked():
            yield from self._park(parked)

    # How cells leave.

    def _retired(self, now: float) -> Plan:
        """Let cells go that are lost, or have ended with nothing left to measure."""
        for cell in self._followed:
            agenda = self.dispatcher.agendas[cell.name]
            ended_at = self._ended_at.get(cell.name, math.inf)
            if cell.lost:
                _log.warning("cell %s is not measured any more: %s", cell.name, cell.lost)
                for due in agenda.waiting:
                    agenda.give_up(due, cell.lost)
                yield from self._told()
                yield from self._rules_ended(cell)
            elif now < ended_at or (agenda.waiting and now <= ended_at + BEAM_PATIENCE):
                continue
            del self.dispatcher.agendas[cell.name]

    def _rules_ended(self, cell: CellWatch) -> Plan:
        """One row a rule: it will not be met any more."""
        now = self._clock.now()
        for rule in self.schedule.rules:
            if rule.cell == cell.name:
                ended = Due(rule.name, -1, rule.measure, now, now, missed=cell.lost)
                yield from self.service.missed(replace(ended, cell=cell.name))

    def _judge_end(self) -> None:
        lost = {name: cell.lost for name, cell in self._cells.items() if cell.lost}
        if lost and not self._ended_at:
            raise GuardError("; ".join(lost.values()))

    def _park(self, parked: Parked) -> Plan:
        """Do what was declared for a cell that cannot be served in time, and write it down."""
        cell, failure = self._cells[parked.cell], []
        potentiostat = cell.potentiostat
        if parked.policy != "continue":
            cell.lost = f"parked ({parked.policy.replace('_', ' ')}): {parked.reason}"

        def parking() -> Plan:
            if parked.policy == "hold":
                yield from finished(potentiostat.hold())
            elif parked.policy == "open_circuit":
                yield from finished(potentiostat.open_circuit(f"parked: {parked.reason}"))

        def failed(error: Exception) -> Plan:
            failure.append(why(error))
            yield from bps.null()

        _log.warning("cell %s is parked (%s): %s", parked.cell, parked.policy, parked.reason)
        yield from contained(parking(), failed)
        yield from write_down(
            self._parking_notes,
            "parking",
            cell=parked.cell,
            policy=parked.policy,
            reason=parked.reason,
            time=parked.time,
            error="; ".join(failure),
        )

    # How the schedule changes.

    def _edited(self) -> Plan:
        revision = self.file.look(self.schedule)
        if revision is None:
            return
        for fault in revision.refused:
            _log.error("the edited schedule is not taken: %s", fault)
        if not revision.refused:
            self._revise(revision)
        yield from self.revisions.write(revision, self._clock.now())

    def _revise(self, revision: Revision) -> None:
        now, self.schedule = self._clock.now(), revision.schedule
        for name, agenda in self.dispatcher.agendas.items():
            agenda.revise(revision.schedule.for_cell(name), now)
        for change in revision.changes:
            _log.warning("the schedule was edited: %s", change)


def _pause(remaining: float, clock: Clock) -> float:
    """Wall seconds to wait when the clock alone makes something due in ``remaining`` s."""
    if clock.rate <= 0 or remaining <= 0:
        return SLICE
    return min(SLICE, max(remaining / clock.rate, SLICE / 100))


def _why_lost(reading: CellReading, cell: CellWatch) -> str:
    """Why a cell is not to be followed any more; empty while it is under way."""
    guard = f"guard {cell.potentiostat.name}"
    if cell.silence > GUARD_PATIENCE:
        return (
            f"{guard}: silent for {cell.silence:.0f} s; the cycler goes on with its own list, "
            "look at the cell"
        )
    if not reading.state or reading.state in (*UNDER_WAY, GuardState.UNREACHABLE):
        return ""
    if reading.state == GuardState.OPEN_CIRCUIT and not (cell.has_protocol or cell.has_begun):
        return ""
    told = f"{guard}: the cell is {reading.state} before its protocol ended"
    if reading.state == GuardState.TRIPPED:
        return f"{told}: {cell.potentiostat.trip_reason.value_now()}"
    if cell.potentiostat.has_lapsed:
        return f"{told}: it heard no beat of this session for too long and took it for lost"
    return told
