"""This file is where what is due is measured, and where it is written down how that went."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.beam import Beam
from battbeam.devices.notes import RuleNotes
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.schedule import Due, Rule
from battbeam.plans.budgets import current_to_come, smear_of, smear_refusal
from battbeam.plans.couplings import Keeper, Kept, unkeepable
from battbeam.plans.light import attenuated, decided, limited
from battbeam.plans.measurements import Measurement, OwnRun, Pattern, cost_of
from battbeam.plans.preprocessors import contained, why
from battbeam.plans.series import SeriesRun, give_up_all
from battbeam.plans.stubs import Plan, write_down
from battbeam.plans.watch import CellWatch


@dataclass
class _Attempt:
    """One measurement that is due, and how it goes.

    Attributes:
        due: What asks for it.
        cell: That is measured.
        smear: Predicted, 1.
        refusal: Why it is not made.
        ends: Whether the cell is not measured any more after it.
        dose: What the dose budget decided.
        origin: (x, y) of the sample stage with the cell's frame in the beam, mm.
        spot: (x, y) in the cell's frame instead of the measurement's own.
        transmission: Of the attenuator instead of the present one.
    """

    due: Due
    cell: CellWatch
    smear: float = math.nan
    refusal: str = ""
    ends: bool = False
    dose: str = ""
    spot: tuple[float, float] | None = None
    transmission: float | None = None
    outcome: dict[str, Any] = field(
        default_factory=lambda: {"run": "", "point": -1, "error": "", "start": math.nan}
    )


class Service:
    """Serves the rules of one experiment; a failed measurement is written down and contained.

    Args:
        experiment: Uid of the outer run.
        measurements: By name.
        cells: By name.
        beam: That they share.
        clock: The session's.
        stage: The sample stage, for cells whose place on it is known.
        dose: By cell, a limit of light and what is done there; the beam's dose meter knows the rest.
    """

    def __init__(
        self,
        experiment: str,
        measurements: Mapping[str, Measurement],
        cells: Mapping[str, CellWatch],
        beam: Beam,
        clock: Clock,
        *,
        stage: Any = None,
        dose: Mapping[str, DoseBudget] | None = None,
    ) -> None:
        self._experiment, self._measurements, self._cells = experiment, measurements, cells
        self._beam, self._clock, self._stage = beam, clock, stage
        self._dose = dict(dose or {})
        self._series: dict[tuple[str, str, str], SeriesRun] = {}
        self._next: SeriesRun | None = None
        self._notes = RuleNotes("", name="rules")

    def expect(self, rules: Sequence[Rule]) -> None:
        """The first pattern of these will probably be the first: `get_ready` stages for it."""
        for rule in rules:
            measurement = self._measurements[rule.measure]
            if isinstance(measurement, Pattern):
                self._next = self._series_of(rule.name, rule.measure, rule.cell, measurement)
                return

    def get_ready(self) -> Plan:
        """While there is nothing else to do: stage what was measured last, if nothing is."""
        if self._next is not None and not any(series.is_staged for series in self._series.values()):
            yield from self._next.get_ready()

    def serve(self, due: Due, notice: Callable[[], None]) -> Plan:
        """Measure what is due and write down how it went; a refused one is written as missed.

        Args:
            due: What is due.
            notice: Called when the cell is kept for it.

        Returns:
            Whether the cell is not to be measured any more.
        """
        attempt = self._judged(due)
        if attempt.refusal:
            yield from self.missed(replace(due, missed=attempt.refusal), "", attempt)
            return attempt.ends
        keeper = Keeper(attempt.cell, due, self._clock, notice)

        def failed(error: Exception) -> Plan:
            attempt.outcome["error"] = why(error)
            yield from give_up_all(list(self._series.values()))

        plan = attenuated(self._measured(attempt), self._beam, attempt.transmission)
        plan = limited(plan, self._beam, self._dose.get(due.cell))
        yield from contained(keeper.around(plan), failed)
        yield from self._write(attempt, keeper.kept)
        return False

    def missed(self, due: Due, excuse: str = "", attempt: _Attempt | None = None) -> Plan:
        """Write down what was not served."""
        missed = f"{due.missed} ({excuse})" if due.missed and excuse else due.missed
        attempt = attempt or _Attempt(due, self._cells[due.cell])
        attempt.due = replace(due, missed=missed)
        yield from self._write(attempt, Kept())

    def close(self) -> Plan:
        """End every series run."""
        for series in self._series.values():
            yield from series.close()

    # Whether it may be measured.

    def _judged(self, due: Due) -> _Attempt:
        """What becomes of something that is due, before anything moves."""
        attempt = _Attempt(due, self._cells[due.cell])
        attempt.refusal = unkeepable(due, attempt.cell, self._clock.now())
        if not attempt.refusal:
            self._judge_smear(attempt)
        if not attempt.refusal:
            self._judge_dose(attempt)
        return attempt

    def _judge_smear(self, attempt: _Attempt) -> None:
        due, cell = attempt.due, attempt.cell
        cost = cost_of(self._measurements[due.measure])
        seconds = math.nan if cost is None else cost.smeared
        current = _current_ahead(cell, due, seconds, self._clock.now())
        if cell.passport is not None and due.coupling != "hold_potential":
            attempt.smear = smear_of(cell.passport.c_rate_from_current(current), seconds)
        attempt.refusal = smear_refusal(due, cell.passport, current=current, seconds=seconds)

    def _judge_dose(self, attempt: _Attempt) -> None:
        budget, passport = self._dose.get(attempt.due.cell), attempt.cell.passport
        cost = cost_of(self._measurements[attempt.due.measure])
        if budget is None or passport is None:
            return
        if cost is None:
            attempt.refusal = "dose budget: the measurement does not say what light it costs"
            return
        decision = decided(budget, self._beam, passport.sample_uid, cost)
        attempt.dose = decision.action
        if decision.reason:
            attempt.dose += f": {decision.reason}"
        if not decision.is_made:
            attempt.refusal, attempt.ends = attempt.dose, decision.action == "stop"
        elif decision.action == "move":
            attempt.spot = decision.spot
        elif decision.action == "attenuate":
            attempt.transmission = decision.transmission

    # Measuring.

    def _measured(self, attempt: _Attempt) -> Plan:
        measurement = self._measurements[attempt.due.measure]
        attempt.outcome["start"] = self._clock.now()
        if isinstance(measurement, Pattern):
            yield from self._pattern(attempt, measurement)
        else:
            yield from self._own_run(attempt, measurement)

    def _pattern(self, attempt: _Attempt, pattern: Pattern) -> Plan:
        due, outcome = attempt.due, attempt.outcome
        series = self._series_of(due.rule, due.measure, due.cell, pattern)
        self._next = series
        yield from give_up_all(list(self._series.values()), but=series)
        moves = self._moves(attempt, pattern)
        try:
            outcome["point"], lost = yield from series.take(moves, self._said(due))
        finally:
            outcome["run"] = series.uid
        if lost:
            outcome["error"] = f"without beam: {lost}"

    def _series_of(self, rule: str, measure: str, cell: str, pattern: Pattern) -> SeriesRun:
        key = (rule, measure, cell)
        if key not in self._series:
            here = _on_cell(pattern, self._cells[cell], self._cells)
            self._series[key] = SeriesRun(":".join(("series", *key)), here)
        return self._series[key]

    def _moves(self, attempt: _Attempt, pattern: Pattern) -> list[tuple[Any, float]]:
        """Where to be: positions of the sample stage are in the cell's frame."""
        moves = dict(pattern.positions)
        if self._stage is None or (attempt.cell.position is None and attempt.spot is None):
            return list(moves.items())
        x, y = attempt.cell.position or (0.0, 0.0)
        spot_x, spot_y = attempt.spot or pattern.spot
        return list({**moves, self._stage.x: x + spot_x, self._stage.y: y + spot_y}.items())

    def _own_run(self, attempt: _Attempt, measurement: OwnRun) -> Plan:
        due = attempt.due
        yield from give_up_all(list(self._series.values()))
        said = self._said(due)
        if attempt.spot is not None and measurement.cost is not None:
            here, (x, y) = measurement.cost.spots[0], attempt.cell.position or (0.0, 0.0)
            said["cell_position"] = [x + attempt.spot[0] - here.x, y + attempt.spot[1] - here.y]
        plan = measurement.plan(said)
        key = f"rule:{due.cell}:{due.rule}:{due.index}"
        attempt.outcome["run"] = str((yield from bpp.set_run_key_wrapper(plan, key)))

    def _said(self, due: Due) -> dict[str, Any]:
        operando = {"uid": self._experiment, "index": due.index, "rule": due.rule}
        cell = self._cells[due.cell]
        place = {} if cell.position is None else {"cell_position": list(cell.position)}
        return {"operando": operando, **place, **cell.md}

    def _write(self, attempt: _Attempt, kept: Kept) -> Plan:
        due, start = attempt.due, attempt.outcome["start"]
        remarks = (due.remark, *kept.remarks, *attempt.cell.news())
        yield from bps.checkpoint()
        yield from write_down(
            self._notes,
            "rules",
            rule=due.rule,
            index=due.index,
            measure=due.measure,
            due=due.due,
            met=due.met,
            gap=due.gap,
            missed=due.missed,
            cell=due.cell,
            coupling=due.coupling,
            kept_from=kept.since,
            kept_to=kept.until,
            smear_predicted=attempt.smear,
            dose=attempt.dose,
            remark="; ".join(part for part in remarks if part),
            lateness=due.lateness_at(start),
            **attempt.outcome,
        )


def _current_ahead(cell: CellWatch, due: Due, seconds: float, now: float) -> float:
    """The largest current to be expected during a measurement, A; NaN is not known."""
    potentiostat = cell.potentiostat
    current = float(potentiostat.current.value_now())
    kept = due.coupling == "step_then_measure"
    if kept or math.isnan(current) or math.isnan(seconds) or cell.passport is None:
        return current
    return current_to_come(
        cell.steps,
        step_index=int(potentiostat.step_index.value_now()),
        remaining=cell.reading(now).step_remaining,
        duration=seconds,
        current=current,
        voltage_max=cell.passport.window.voltage_max,
    )


def _on_cell(pattern: Pattern, cell: CellWatch, cells: Mapping[str, CellWatch]) -> Pattern:
    """The same pattern with readings of this cell instead of another one's."""
    others = {id(each.potentiostat) for each in cells.values()}
    readables = tuple(
        cell.potentiostat if id(readable) in others else readable
        for readable in pattern.exposure.readables
    )
    return replace(pattern, exposure=replace(pattern.exposure, readables=readables))
