"""Seven simulated days of scheduling, sharing out and recording: no growth, no slowing down."""

import gc
import json
import resource
import time
import tracemalloc

import pytest

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.conditions import (
    AbsoluteClock,
    ChargeStep,
    StepEdge,
    VoltageCrossing,
)
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.discrete_event import DiscreteEvent
from battbeam.experiment.forecast_subject import subject_of
from battbeam.experiment.schedule import Rule, Schedule

DAY = 86400.0
#: Rows kept for whoever watches; all go to the file.
KEPT = 1000
PASSPORT = CellPassport.read(EXAMPLE)
METHOD = [
    {"step": "tag", "tag": "begin"},
    {"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.8},
    {"step": "constant_voltage", "voltage_V": 3.8, "until_rate_C": 0.1, "until_time_s": 1800},
    {"step": "open_circuit_voltage", "until_time_s": 300},
    {"step": "constant_current", "rate_C": -1, "until_voltage_V": 2.6},
    {"step": "loop", "loop_to": "begin", "cycle_count": 100},
]


class Record:
    """Writes every row, keeps the last."""

    def __init__(self, path):
        self.file, self.last, self.n = path.open("w", buffering=1), [], 0

    def __call__(self, row):
        self.n += 1
        self.last = [*self.last[-KEPT:], row] if self.n % KEPT == 0 else [*self.last, row][-KEPT:]
        self.file.write(
            json.dumps({**vars(row.due), "start": row.start, "smear": row.smear}) + "\n"
        )


def described(cell):
    rules = (
        Rule(name="slope", when=VoltageCrossing(level=3.6), measure="pattern", cell=cell),
        Rule(name="edge", when=StepEdge(), measure="pattern", cell=cell),
        Rule(name="charge", when=ChargeStep(fraction=0.05), measure="pattern", cell=cell),
        Rule(name="clock", when=AbsoluteClock(period=240.0), measure="pattern", cell=cell),
    )
    site = SiteFacts(overhead=4.0, move=5.0)
    return Description(
        site=site,
        costs={"pattern": point_cost(site, 20.0)},
        passport=PASSPORT.model_copy(update={"sample_uid": cell}),
        protocol={"record": {"time_s": 10}, "method": METHOD},
        schedule=Schedule(rules=rules),
        cell=cell,
    )


def run_days(tmp_path, n_days, *, length=DAY):
    """Rows, CPU seconds and traced bytes after each day."""
    cells = [described(f"cell{number}") for number in (1, 2)]
    record = Record(tmp_path / "rows.jsonl")
    subjects = {each.cell: subject_of(each, 0.0) for each in cells}
    event = DiscreteEvent(subjects, cells[0].site, start=0.0, reading_interval=5.0, sink=record)
    days, n_before = [], 0
    for day in range(1, n_days + 1):
        begin = time.process_time()
        event.run(until=day * length)
        seconds = time.process_time() - begin
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
        days.append((record.n - n_before, seconds, traced))
        n_before = record.n
    record.file.close()
    assert not any(subject.cell.trip for subject in subjects.values())
    return days


def test_a_simulated_morning_keeps_nothing(tmp_path):
    tracemalloc.start()
    try:
        days = run_days(tmp_path, 1, length=DAY / 8)
    finally:
        tracemalloc.stop()
    assert days[0][0] > 100
    assert days[0][2] < 20e6


@pytest.mark.acceptance
def test_seven_simulated_days_do_not_grow_and_the_last_point_costs_what_the_first_did(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    days = run_days(tmp_path, 7)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert sum(n for n, _, _ in days) > 7000
    assert grown < 100e6
    costs = (
        sorted(seconds / n for n, seconds, _ in days[:3]),
        sorted(seconds / n for n, seconds, _ in days[-3:]),
    )
    # Medians of three days: the machine is shared.
    assert costs[1][1] < 1.5 * costs[0][1]
    (tmp_path / "second").mkdir()
    tracemalloc.start()
    try:
        traced = [traced for _, _, traced in run_days(tmp_path / "second", 3)]
    finally:
        tracemalloc.stop()
    assert traced[-1] - traced[0] < 2e6
