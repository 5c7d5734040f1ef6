"""This file is where an experiment runs ahead of itself: believed cells, the real schedule, one
beamline.

The rules are watched by the same evaluators and shared out by the same dispatcher as in the real
experiment, and like there a cell is looked at between two measurements, not during one. Time is
discrete: a simulated day takes seconds. Only sums are kept; each row goes to a sink as it comes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.discrete_clock import DiscreteClock
from battbeam.experiment.discrete_event_cell import ModelCell
from battbeam.experiment.dispatch import Dispatcher, Parked, Parking
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.fluence import FluenceMap, Light
from battbeam.experiment.schedule import Agenda, Due, Schedule

#: Conditions that no reading of a cell can meet.
_CLOCKS = ("absolute_clock",)
#: s that a step ahead is at least, so that the arithmetic of times always goes on.
_LEAST_STEP = 1e-3


@dataclass(frozen=True)
class Subject:
    """One cell with what shall be measured on it.

    Attributes:
        cell: On its way through its protocol.
        schedule: Its rules, clocks anchored.
        costs: Of each measurement.
        passport: Of the cell.
        budget: Of light on every spot, or none.
        parking: When it is given up, or never.
    """

    cell: ModelCell
    schedule: Schedule
    costs: Mapping[str, Cost]
    passport: CellPassport
    budget: DoseBudget | None = None
    parking: Parking | None = None


@dataclass(frozen=True)
class Row:
    """What became of one due.

    Attributes:
        due: What was due; its `missed` says why it was not served.
        start: Of its measurement, s since the Unix epoch; NaN when there was none.
        end: Likewise.
        smear: Change of the state of charge between first and last exposure, 1.
        state_of_charge: In the middle of it.
        photons: On the sample.
        refused: Why the dose budget forbade it; empty if it did not.
    """

    due: Due
    start: float = math.nan
    end: float = math.nan
    smear: float = math.nan
    state_of_charge: float = math.nan
    photons: float = 0.0
    refused: str = ""

    @property
    def is_served(self) -> bool:
        """Whether it was measured."""
        return not self.due.missed and not self.refused


class DiscreteEvent:
    """Runs subjects on one beamline.

    Args:
        subjects: By the cell's name.
        site: The beamline.
        reading_interval: s between two looks at the cells, while the beamline is idle.
        start: s since the Unix epoch.
        sink: Given every row as it comes, in the order of time.
        duration: How long a measurement really takes, from what is due and its declared duration;
            the dispatcher goes by the declared one.
        light: What fell on the samples before.
    """

    def __init__(
        self,
        subjects: Mapping[str, Subject],
        site: SiteFacts,
        *,
        start: float,
        reading_interval: float,
        sink: Callable[[Row], None] = lambda row: None,
        duration: Callable[[Due, float], float] = lambda due, declared: declared,
        light: FluenceMap | None = None,
    ) -> None:
        self.subjects, self.site, self.start = dict(subjects), site, start
        self.clock = DiscreteClock(start)
        self.light = FluenceMap() if light is None else light
        self.parked: list[Parked] = []
        self.stopped = ""
        self._sink, self._duration, self._interval = sink, duration, reading_interval
        self._here = ""
        self.dispatcher = Dispatcher(
            {
                name: Agenda(subject.schedule.evaluator(passport=subject.passport))
                for name, subject in self.subjects.items()
            },
            durations={
                (name, measure): cost.duration
                for name, subject in self.subjects.items()
                for measure, cost in subject.costs.items()
            },
            travel=lambda here, there: site.move,
            parking={
                name: subject.parking
                for name, subject in self.subjects.items()
                if subject.parking is not None
            },
        )
        self._needs_readings = any(
            rule.when.kind not in _CLOCKS
            for subject in self.subjects.values()
            for rule in subject.schedule.rules
        )

    def run(self, until: float = math.inf) -> None:
        """Until every protocol has ended and nothing is due, or until a time."""
        agendas = self.dispatcher.agendas
        while agendas and self.clock.now() < until and not self.stopped:
            now = self.clock.now()
            for name in agendas:
                cell = self.subjects[name].cell
                cell.advance(now)
                self.dispatcher.feed(name, cell.reading(), now)
            due = self.dispatcher.take(now, self._here)
            self._told()
            if due is not None:
                self._serve(due, now)
                continue
            # As in the real experiment: whose protocol has ended is not measured any more.
            for name in [each for each in agendas if self.subjects[each].cell.is_over]:
                del agendas[name]
            if agendas:
                self.clock.wait_until(min(self._next(now), until))

    def _next(self, now: float) -> float:
        """When there is something to look at again."""
        clock = self.dispatcher.next_time()
        following = min(clock, now + self._interval) if self._needs_readings else clock
        if math.isinf(following) or not self._needs_readings:
            # Without rules on the cells only the end of their protocols is waited for.
            following = min(following, now + max(60.0, self._interval))
        return max(following, now + _LEAST_STEP)

    def _told(self) -> None:
        for missed in self.dispatcher.missed():
            self._sink(Row(missed))
        for parked in self.dispatcher.newly_parked():
            self.parked.append(parked)
            cell = self.subjects[parked.cell].cell
            if parked.policy != "continue":
                # A hold has a maximum length too: sooner or later the circuit is open.
                cell.stop(f"parked: {parked.reason}")

    # One measurement.

    def _serve(self, due: Due, now: float) -> None:
        subject = self.subjects[due.cell]
        cost = subject.costs[due.measure]
        begin = now + self.dispatcher.travel(self._here, due.cell)
        shift, share, refused, stops = self._budgeted(subject, cost, begin)
        self._here = due.cell
        if stops:
            self.stopped = refused
        if refused:
            self._sink(Row(due, refused=refused))
            return
        length = max(self._duration(due, cost.duration), cost.exposure)
        self._sink(self._measured(due, subject, cost, begin, length, shift, share))
        self.clock.wait_until(begin + length)

    def _measured(
        self,
        due: Due,
        subject: Subject,
        cost: Cost,
        begin: float,
        length: float,
        shift: tuple[float, float],
        share: float,
    ) -> Row:
        cell, end = subject.cell, begin + length
        gap = (length - cost.exposure) / max(len(cost.spots), 1)
        cell.advance(begin)
        maximum = math.inf if due.hold_maximum is None else due.hold_maximum
        if due.coupling == "step_then_measure":
            cell.keep(min(end, begin + maximum))
        elif due.coupling == "hold_potential":
            cell.hold(maximum=maximum)
        passed, photons, time = [], 0.0, begin
        for spot in cost.spots:
            time += gap
            cell.advance(time)
            passed.append(cell.state_of_charge)
            photons += self._lit(subject, spot, time, shift, share)
            time += spot.exposure
            cell.advance(time)
            passed.append(cell.state_of_charge)
        if due.coupling == "hold_potential":
            cell.advance(end)
            cell.proceed()
        smear = max(passed) - min(passed) if passed else 0.0
        middle = (passed[0] + passed[-1]) / 2 if passed else cell.state_of_charge
        return Row(due, begin, end, smear, middle, photons)

    def _lit(
        self, subject: Subject, spot: Spot, time: float, shift: tuple[float, float], share: float
    ) -> float:
        beam, since = self.site.beam, time - self.start
        photons = beam.photons(since, since + spot.exposure) * share
        place = (spot.x + shift[0], spot.y + shift[1])
        self.light.add(subject.passport.sample_uid, Light(*place, beam.size, photons, beam.energy))
        return photons

    def _budgeted(
        self, subject: Subject, cost: Cost, begin: float
    ) -> tuple[tuple[float, float], float, str, bool]:
        """Where the first spot goes instead, with what share of the light, why not at all, and
        whether that ends the experiment.
        """
        budget, beam = subject.budget, self.site.beam
        if budget is None:
            return (0.0, 0.0), 1.0, "", False
        total: dict[tuple[float, float], float] = {}
        for spot in cost.spots:
            total[spot.x, spot.y] = total.get((spot.x, spot.y), 0.0) + spot.exposure
        shift, share = (0.0, 0.0), 1.0
        for place, exposure in total.items():
            decision = budget.decide(
                self.light,
                subject.passport.sample_uid,
                place,
                beam.photons(begin - self.start, begin - self.start + exposure),
                size=beam.size,
                energy=beam.energy,
                transmissions=beam.transmissions,
            )
            if not decision.is_made or (decision.action == "move" and len(total) > 1):
                return shift, share, decision.reason, decision.action == "stop"
            shift = (decision.spot[0] - place[0], decision.spot[1] - place[1])
            share = min(share, decision.transmission)
        return shift, share, "", False
