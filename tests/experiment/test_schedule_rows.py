"""Whole schedules on simulated cells: cadence, levels of charge, denser rates, revisions, a week."""

import math
import sys
from time import process_time

import pytest

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.discrete_clock import DiscreteClock
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Agenda, Schedule
from battbeam.experiment.watchers import CellReading

PASSPORT = CellPassport.read(EXAMPLE)
REST, CURRENT = str(StepType.REST), str(StepType.CONSTANT_CURRENT)


def schedule(*lines: str) -> Schedule:
    return Schedule.parse("\n".join(lines))


def test_103_starts_every_40_s_of_which_one_is_missed_and_none_shifts():
    tomograms = schedule("tomogram: every 40 s, 103 times, measure tomogram")
    clock, starts = DiscreteClock(5000.0), []
    agenda = Agenda(tomograms.evaluator(start=clock.now()))
    while agenda.next_time() < math.inf:
        clock.wait_until(agenda.next_time())
        due = agenda.take(clock.now())
        if due is not None:
            starts.append((due.index, clock.now()))
            clock.advance(65.0 if due.index == 50 else 2.8)
    (missed,) = agenda.missed()
    assert (missed.index, missed.due) == (51, 5000.0 + 51 * 40)
    assert "25.000 s after" in missed.missed
    assert starts == [(k, 5000.0 + 40 * k) for k in range(103) if k != 51]


@pytest.mark.parametrize("interval", [1.0, 7.0])
def test_9_84_and_296_coulomb_per_cm2_are_met_within_half_a_coulomb(interval):
    # 20 mA through 1.767 cm2: 0.011 C/cm2 a second, with a rest and a gap on the way.
    current, area = 0.02, EXAMPLE["electrode_area"]
    agenda = Agenda(
        schedule("levels: at 9, 84, 296 C/cm2, measure tomogram").evaluator(passport=PASSPORT)
    )
    time, charge, found = 0.0, 0.0, []
    while charge * 3.6 / area < 300:
        is_resting, is_known = 3000 < time < 3600, not 9000 < time < 9020
        charge += 0.0 if is_resting else current * interval / 3.6
        agenda.feed(CellReading(time=time, charge=charge if is_known else math.nan))
        due = agenda.take(time)
        if due is not None:
            found.append(charge * 3.6 / area)
        time += interval
    assert len(found) == 3
    assert found == pytest.approx([9, 84, 296], abs=0.5)
    assert agenda.missed() == []


def cycling(time: float, *, half: float = 3600.0) -> CellReading:
    """A triangle of voltage between 3.0 and 4.3 V."""
    phase = time / half % 2
    voltage = 3.0 + 1.3 * (phase if phase < 1 else 2 - phase)
    return CellReading(time=time, voltage=voltage)


def test_patterns_lie_five_times_denser_above_4_1_volt():
    agenda = Agenda(
        schedule("a4: every 40 s while voltage > 4.1 V, else every 200 s, measure p").evaluator(
            start=0.0
        )
    )
    above, below = 0, 0
    for k in range(4 * 3600):
        agenda.feed(cycling(float(k)))
        due = agenda.take(float(k))
        if due is not None:
            above += cycling(due.due).voltage > 4.1
            below += cycling(due.due).voltage <= 4.1
    hours_above = 4 * (0.2 / 1.3)
    assert agenda.missed() == []
    # A slot more or less in each of the windows.
    assert above / hours_above == pytest.approx(90, rel=0.03)
    assert below / (4 - hours_above) == pytest.approx(18, abs=1.2)


def test_an_edited_schedule_shifts_nothing_that_was_not_edited():
    old = schedule("a: every 40 s, measure p", "b: every 90 s, measure q")
    agenda = Agenda(old.evaluator(start=1000.0))
    assert [agenda.take(1000.0).rule for _ in range(2)] == ["a", "b"]
    agenda.look(1090.0)
    new = schedule("c: every 25 s, measure p", "a: every 40 s, measure q (hold potential)")
    changed = agenda.revise(new, 1095.0)
    assert [line.split(":")[0] for line in changed] == ["taken out", "new", "changed"]
    missed = {(due.rule, due.due): due.missed for due in agenda.missed()}
    assert missed[("b", 1090.0)] == "the rule was taken out"
    # What waited for a is served as a says now, and its slots are where they were.
    assert [(due.rule, due.due, due.measure, due.coupling) for due in agenda.waiting] == [
        ("a", 1080.0, "q", "hold_potential")
    ]
    agenda.take(1095.0)
    # A new rule has no slots before it was written.
    assert [(due.rule, due.due) for due in agenda.look(1125.0)] == [("c", 1125.0), ("a", 1120.0)]
    assert [due.due for due in agenda.missed()] == [1100.0]
    assert [due.index for due in agenda.waiting] == [1, 3]


def test_a_changed_condition_begins_afresh_and_goes_on_counting():
    agenda = Agenda(
        schedule("a: when the voltage rises through 3 V, measure p").evaluator(start=0.0)
    )
    for time, voltage in [(0.0, 2.9), (1.0, 3.1)]:
        agenda.feed(CellReading(time=time, voltage=voltage))
    agenda.revise(schedule("a: when the voltage rises through 3.3 V, measure p"), 2.0)
    assert [due.missed for due in agenda.missed()] == ["the rule's condition was changed"]
    for time, voltage in [(3.0, 3.2), (4.0, 3.4)]:
        agenda.feed(CellReading(time=time, voltage=voltage))
    assert agenda.take(4.0).index == 1


def test_a_schedule_that_cannot_be_followed_changes_nothing():
    agenda = Agenda(schedule("a: every 40 s, measure p").evaluator(start=0.0))
    with pytest.raises(ValueError, match=r"electrode_area \(cm2\) is needed, got None"):
        agenda.revise(schedule("b: at 9 C/cm2, measure p"), 1.0)
    assert agenda.schedule.rules[0].name == "a"
    assert agenda.take(40.0).rule == "a"


def test_what_nobody_serves_does_not_pile_up():
    agenda = Agenda(schedule("a: when a step begins, measure p").evaluator())
    for k in range(500):
        agenda.feed(CellReading(time=float(k), step_count=k))
        agenda.look(float(k))
    missed = agenda.missed()
    assert len(agenda.waiting) == 64
    assert len(missed) == 499 - 64
    assert missed[0].missed == "64 later ones of the rule waited already"


def test_rules_of_one_cell():
    both = schedule("a: every 40 s, measure p", "b: every 9 s, measure p of cell2")
    assert both.cells == ("cell1", "cell2")
    assert both.for_cell("cell2").rules == both.rules[1:]
    with pytest.raises(ValueError, match="no rule is on cell 'x'; rules are on cell1, cell2"):
        both.for_cell("x")


WEEK = (
    "map at slopes: when the voltage rises through 3.45 V, measure map (hold potential)",
    "top: every 40 s while voltage > 4.1 V, else every 200 s, measure pattern",
    "relaxed: at the end of each rest, 60 s before, measure map (step then measure)",
    "settled: when dV/dt settles below 0.005 V/h over 300 s while step is rest, measure map",
    "levels: at state of charge 20, 50, 80 %, measure map",
    "charge: each time 2.5 % of the capacity has passed, measure pattern",
    "steps: 300 s after (when a step begins), measure pattern",
    "cycles: when a cycle begins, at most 20 times, measure tomogram",
    "hot: when temperature > 40 degC and current > 0 A for 5 s, measure pattern",
    "short: when the voltage falls faster than 0.05 V/s over 10 s, measure tomogram",
)


def week_reading(k: int) -> CellReading:
    """Charge 2 h, rest 1 h, discharge 2 h, rest 1 h."""
    cycle, phase = divmod(k, 6 * 3600)
    part, since = min(phase // 3600, 5), phase % 3600
    kind = (1, 1, 0, -1, -1, 0)[part]
    filled = (phase / 7200, 1.0, max(1 - (phase - 10800) / 7200, 0.0))[
        0 if part < 2 else 1 if part < 3 else 2
    ]
    relaxing = 0.0 if kind else 0.05 * math.exp(-since / 500)
    return CellReading(
        time=1.79e9 + k,
        voltage=3.0 + 1.2 * filled + 0.05 * kind + relaxing + 1e-4 * math.sin(k * 1.7),
        charge=2.9 * filled,
        current=0.00145 * kind,
        temperature=25.0 + 2 * math.sin(k / 5000),
        step_count=4 * cycle + (1, 1, 2, 3, 3, 4)[part],
        step_type=CURRENT if kind else REST,
        step_remaining=math.inf if kind else 3600.0 - since,
        cycle_number=cycle + 1,
        state="Running",
    )


def run_week(n: int) -> tuple[dict[str, int], list[int], list[float]]:
    """How often each rule was met, and objects in use after, and CPU time of each seventh."""
    agenda = Agenda(schedule(*WEEK).evaluator(passport=PASSPORT, start=1.79e9))
    counts: dict[str, int] = {}
    sizes, costs, begin = [], [], process_time()
    for k in range(n):
        reading = week_reading(k)
        agenda.feed(reading)
        while (due := agenda.take(reading.time)) is not None:
            counts[due.rule] = counts.get(due.rule, 0) + 1
        assert agenda.missed() == []
        if (k + 1) % (n // 7) == 0:
            sizes.append(sys.getallocatedblocks())
            costs.append(process_time() - begin - sum(costs))
    return counts, sizes, costs


def test_a_day_of_ten_rules_meets_each_as_often_as_it_should():
    counts, *_ = run_week(86_400)
    assert counts["map at slopes"] == 4
    assert counts["relaxed"] == counts["settled"] == 8
    assert counts["levels"] == 4 * 6
    assert counts["cycles"] == 3
    assert counts["steps"] == 15
    assert counts["charge"] == 4 * 80
    assert "short" not in counts
    assert "hot" not in counts


@pytest.mark.acceptance
def test_a_week_of_ten_rules_costs_as_much_at_its_end_as_at_its_begin():
    counts, sizes, costs = run_week(604_800)
    # A reading is a dozen objects; ten thousand would be a thousand of 604,800 readings kept.
    assert sizes[-1] - sizes[0] < 10_000, sizes
    assert costs[-1] < 1.5 * min(costs), costs
    assert sum(costs) < 60.0
    assert counts["levels"] == 28 * 6
    assert counts["relaxed"] == counts["settled"] == 28 * 2
    assert counts["charge"] == 28 * 80
