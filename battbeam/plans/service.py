"""This file is where what is due is measured, and where it is written down how that went."""

import math
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.notes import RuleNotes
from battbeam.experiment.clock import Clock
from battbeam.experiment.schedule import Due
from battbeam.plans.measurements import Measurement, OwnRun, Pattern
from battbeam.plans.preprocessors import contained, why
from battbeam.plans.series import SeriesRun, give_up_all
from battbeam.plans.stubs import Plan, write_down


class Service:
    """Serves the rules of one experiment; a failed measurement is written down and contained.

    Args:
        experiment: Uid of the outer run.
        measurements: By name.
        clock: The session's.
        shared: What every run of the experiment says in its start document.
    """

    def __init__(
        self,
        experiment: str,
        measurements: Mapping[str, Measurement],
        clock: Clock,
        shared: Mapping[str, Any],
    ) -> None:
        self._experiment, self._measurements = experiment, measurements
        self._clock, self._shared = clock, shared
        self._series: dict[str, SeriesRun] = {}
        self._notes = RuleNotes("", name="rules")

    def serve(self, due: Due) -> Plan:
        """Measure what is due and write down how it went."""
        start = self._clock.now()
        outcome: dict[str, Any] = {"run": "", "point": -1, "error": ""}
        measurement = self._measurements[due.measure]

        def failed(error: Exception) -> Plan:
            outcome["error"] = why(error)
            yield from give_up_all(list(self._series.values()))

        if isinstance(measurement, Pattern):
            plan = self._pattern(due, measurement, outcome)
        else:
            plan = self._own_run(due, measurement, outcome)
        yield from contained(plan, failed)
        yield from self._write(due, start=start, lateness=due.lateness_at(start), **outcome)

    def missed(self, due: Due, excuse: str) -> Plan:
        """Write down what was not served."""
        yield from self._write(
            due, start=math.nan, lateness=math.nan, run="", point=-1, error="", excuse=excuse
        )

    def close(self) -> Plan:
        """End every series run."""
        for series in self._series.values():
            yield from series.close()

    def _pattern(self, due: Due, pattern: Pattern, outcome: dict[str, Any]) -> Plan:
        series = self._series.get(due.rule)
        if series is None:
            series = SeriesRun(f"series:{due.rule}", pattern, self._said(due))
            self._series[due.rule] = series
        yield from give_up_all(list(self._series.values()), but=series)
        try:
            outcome["point"], lost = yield from series.take()
        finally:
            outcome["run"] = series.uid
        if lost:
            outcome["error"] = f"without beam: {lost}"

    def _own_run(self, due: Due, measurement: OwnRun, outcome: dict[str, Any]) -> Plan:
        yield from give_up_all(list(self._series.values()))
        plan = measurement.plan(self._said(due))
        key = f"rule:{due.rule}:{due.index}"
        outcome["run"] = str((yield from bpp.set_run_key_wrapper(plan, key)))

    def _said(self, due: Due) -> dict[str, Any]:
        operando = {"uid": self._experiment, "index": due.index, "rule": due.rule}
        return {"operando": operando, **self._shared}

    def _write(self, due: Due, *, excuse: str = "", **outcome: Any) -> Plan:
        missed = f"{due.missed} ({excuse})" if due.missed and excuse else due.missed
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
            missed=missed,
            remark=due.remark,
            **outcome,
        )
