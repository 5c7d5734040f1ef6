import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.conditions import (
    AbsoluteClock,
    ChargeStep,
    EndOfProtocol,
    StepEdge,
    VoltageCrossing,
)
from battbeam.experiment.discrete_clock import DiscreteClock
from battbeam.experiment.schedule import Agenda, Due, Evaluator, Rule, Schedule
from battbeam.experiment.watchers import CellReading

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
PASSPORT = CellPassport.read({**EXAMPLE, "nominal_capacity": 2.0})
maybe_voltage = st.one_of(st.just(math.nan), st.integers(0, 20).map(lambda k: 3.0 + 0.05 * k))


def evaluator(*conditions, **options) -> Evaluator:
    rules = tuple(
        Rule(name=f"rule {k}", when=condition, measure="pattern")
        for k, condition in enumerate(conditions)
    )
    return Schedule(rules=rules).evaluator(**options)


def feed(watched: Evaluator, **values: list) -> list[list[Due]]:
    ((name, column),) = values.items()
    return [
        watched.update(CellReading(time=float(k), **{name: value}))
        for k, value in enumerate(column)
    ]


def fired(answers: list[list[Due]]) -> list[int]:
    return [k for k, dues in enumerate(answers) for due in dues if not due.missed]


def crossings(voltages: list[float], level: float, hysteresis: float, sign: int) -> list[int]:
    """Where a crossing must fire, said without a state machine.

    At or beyond the level, with a reading that was away from it (the first known one only short of
    it) since the last reading at or beyond it.
    """
    known = [(k, sign * (v - level)) for k, v in enumerate(voltages) if not math.isnan(v)]
    found = []
    for position, (k, beyond) in enumerate(known):
        if beyond < 0:
            continue
        earlier = [p for p in range(position) if known[p][1] >= 0]
        since = range(earlier[-1] + 1 if earlier else 0, position)
        if any(known[p][1] <= -hysteresis or (p == 0 and known[p][1] < 0) for p in since):
            found.append(k)
    return found


@EXAMPLES
@given(
    st.lists(maybe_voltage, max_size=40),
    st.sampled_from([0.0, 0.05, 0.2]),
    st.sampled_from([1, -1]),
)
def test_a_crossing_fires_exactly_when_the_definition_says(voltages, hysteresis, sign):
    direction = "rising" if sign > 0 else "falling"
    watched = evaluator(VoltageCrossing(level=3.5, direction=direction, hysteresis=hysteresis))
    assert fired(feed(watched, voltage=voltages)) == crossings(voltages, 3.5, hysteresis, sign)


@EXAMPLES
@given(st.lists(maybe_voltage, max_size=40))
def test_a_crossing_in_any_direction_is_a_rising_or_a_falling_one(voltages):
    watched = evaluator(VoltageCrossing(level=3.5, direction="any", hysteresis=0.1))
    either = sorted({*crossings(voltages, 3.5, 0.1, 1), *crossings(voltages, 3.5, 0.1, -1)})
    assert fired(feed(watched, voltage=voltages)) == either


@EXAMPLES
@given(st.lists(maybe_voltage, max_size=40))
def test_no_voltage_ever_fires_when_it_is_not_known(voltages):
    watched = evaluator(VoltageCrossing(level=3.5))
    assert all(not math.isnan(voltages[k]) for k in fired(feed(watched, voltage=voltages)))


@EXAMPLES
@given(st.lists(st.one_of(st.just(math.nan), st.floats(-3, 3)), min_size=1, max_size=40))
def test_charge_steps_are_passed_once_each_and_in_order(charges):
    watched = evaluator(ChargeStep(step=0.5, reference=0.0))
    known = [q for q in charges if not math.isnan(q)]
    answers = feed(watched, charge=charges)
    for charge, dues in zip(charges, answers, strict=True):
        assert not (dues and math.isnan(charge))
        assert sum(not due.missed for due in dues) <= 1
    # Every line between the extremes was crossed, so at least as many were met as lie there.
    if known:
        low, high = min(known), max(known)
        lines = [k for k in range(-7, 8) if low < 0.5 * k < high and k != known[0] / 0.5]
        assert sum(len(dues) for dues in answers) >= len(lines)


@EXAMPLES
@given(st.lists(st.floats(0.01, 0.3), min_size=1, max_size=60))
def test_a_growing_charge_meets_every_multiple_of_the_step_exactly_once(increments):
    charges = [0.0]
    for increment in increments:
        charges.append(charges[-1] + increment)
    answers = feed(evaluator(ChargeStep(step=0.5)), charge=charges)
    assert sum(len(dues) for dues in answers) == math.floor(charges[-1] / 0.5)
    assert fired(answers) == [
        k
        for k in range(1, len(charges))
        if math.floor(charges[k] / 0.5) > math.floor(charges[k - 1] / 0.5)
    ]


@EXAMPLES
@given(
    st.floats(1.0, 100.0),
    st.lists(st.floats(0.0, 250.0), min_size=1, max_size=40),
    st.integers(1, 30),
)
def test_every_slot_is_due_or_missed_once_never_early_and_never_shifted(period, waits, n):
    clock = DiscreteClock(1000.0)
    watched = evaluator(AbsoluteClock(start=1000.0, period=period, n=n))
    dues: list[Due] = []
    for wait in waits:
        clock.advance(wait)
        answer = watched.due(clock.now())
        assert all(due.due <= clock.now() == due.met for due in answer)
        assert sum(not due.missed for due in answer) <= 1
        dues += answer
    assert [due.index for due in dues] == list(range(len(dues)))
    assert [due.due for due in dues] == [1000.0 + k * period for k in range(len(dues))]
    assert len(dues) == sum(1000.0 + k * period <= clock.now() for k in range(n))
    assert all(due.lateness <= 0.5 * period for due in dues if not due.missed)


@EXAMPLES
@given(st.lists(st.sampled_from([None, 0, 1, 2]), max_size=40))
def test_a_step_edge_is_met_once_for_every_step(growth):
    counts, count = [], 0
    for step in growth:
        count += step or 0
        counts.append(None if step is None else count)
    answers = feed(evaluator(StepEdge()), step_count=counts)
    known = [k for k in counts if k is not None]
    assert sum(len(dues) for dues in answers) == (known[-1] - known[0] if known else 0)
    assert all(counts[k] is not None for k in fired(answers))


def test_103_slots_served_with_jitter_do_not_drift():
    clock, agenda = (
        DiscreteClock(1000.0),
        Agenda(evaluator(AbsoluteClock(start=1000.0, period=40.0, n=103))),
    )
    starts = []
    while agenda.next_time() < math.inf:
        clock.wait_until(agenda.next_time() + 0.037 * (len(starts) % 3))
        due = agenda.take(clock.now())
        assert due is not None
        starts.append((due.due, clock.now()))
        clock.advance(2.8)
    assert [due for due, _ in starts] == [1000.0 + 40.0 * k for k in range(103)]
    assert max(start - due for due, start in starts) < 0.1
    assert agenda.missed() == []


def test_a_slot_that_could_not_be_served_is_missed_and_nothing_shifts():
    clock, agenda = (
        DiscreteClock(1000.0),
        Agenda(evaluator(AbsoluteClock(start=1000.0, period=40.0, n=6))),
    )
    served = []
    while agenda.next_time() < math.inf:
        clock.wait_until(agenda.next_time())
        due = agenda.take(clock.now())
        if due is not None:
            served.append(due.index)
            clock.advance(65.0 if due.index == 1 else 3.0)
    missed = agenda.missed()
    assert served == [0, 1, 3, 4, 5]
    assert [(due.index, due.due) for due in missed] == [(2, 1080.0)]
    assert "25.000 s after it was due" in missed[0].missed


def test_a_grace_of_its_own_decides_what_is_missed():
    watched = evaluator(AbsoluteClock(start=0.0, period=40.0, grace=1.0))
    assert [bool(due.missed) for due in watched.due(81.5)] == [True, True, True]
    assert [bool(due.missed) for due in watched.due(120.5)] == [False]


def test_slots_end_at_until():
    watched = evaluator(AbsoluteClock(start=0.0, period=40.0, until=80.0))
    assert len(watched.due(1000.0)) == 3
    assert watched.next_time() == math.inf


def test_a_jump_across_the_level_in_a_gap_fires_when_seen_and_says_how_late():
    watched = evaluator(VoltageCrossing(level=3.5, direction="rising"))
    watched.update(CellReading(time=0.0, voltage=3.4))
    assert watched.update(CellReading(time=50.0, voltage=math.nan)) == []
    (due,) = watched.update(CellReading(time=100.0, voltage=3.6), now=101.0)
    assert due.due == pytest.approx(50.0)
    assert due.lateness == pytest.approx(51.0)
    assert due.gap == 100.0


def test_a_cell_that_is_above_the_level_already_has_not_crossed_it():
    watched = evaluator(VoltageCrossing(level=3.5, direction="rising"))
    assert fired(feed(watched, voltage=[3.6, 3.7, 3.6])) == []


def test_charge_jumping_over_two_steps_serves_the_newest_and_records_the_other():
    watched = evaluator(ChargeStep(step=1.0))
    watched.update(CellReading(time=0.0, charge=0.0))
    first, second = watched.update(CellReading(time=10.0, charge=2.5))
    assert "between two readings" in first.missed
    assert (second.missed, second.index) == ("", 1)
    assert second.due == pytest.approx(8.0)


def test_charge_turning_back_meets_the_lines_on_the_way_down():
    charges = [0.0, 1.2, 2.3, 1.8, 0.9, -0.1]
    assert fired(feed(evaluator(ChargeStep(step=1.0)), charge=charges)) == [1, 2, 4, 5]


def test_a_fraction_needs_the_capacity():
    with pytest.raises(ValueError, match="nominal_capacity \\(mAh\\) is needed, got None"):
        evaluator(ChargeStep(fraction=0.05))
    watched = evaluator(ChargeStep(fraction=0.05), passport=PASSPORT)
    assert fired(feed(watched, charge=[0.0, 0.09, 0.11])) == [2]


def test_a_charge_step_is_an_amount_or_a_fraction():
    with pytest.raises(ValidationError, match="either step"):
        ChargeStep(step=1.0, fraction=0.1)


def test_a_typed_step_edge_waits_for_its_type():
    watched = evaluator(StepEdge(step_type="rest"))
    readings = [
        (1, "constant_current"),
        (1, ""),
        (2, ""),
        (2, "open_circuit_voltage"),
        (3, "constant_current"),
        (6, "open_circuit_voltage"),
    ]
    answers = [
        watched.update(CellReading(time=float(k), step_count=count, step_type=kind))
        for k, (count, kind) in enumerate(readings)
    ]
    assert fired(answers) == [3, 5]
    assert "2 steps of unknown type" in answers[5][0].remark


def test_the_end_of_the_protocol_is_met_once_and_a_trip_is_none():
    watched = evaluator(EndOfProtocol())
    states = [
        "Loaded",
        "Running",
        "",
        "Tripped",
        "Running",
        "Finished",
        "",
        "Finished",
        "Running",
        "Finished",
    ]
    assert fired(feed(watched, state=states)) == [5, 9]


def test_two_ends_on_both_sides_of_a_gap_are_two():
    watched = evaluator(EndOfProtocol())
    for count, state, expected in [
        (3, "Running", 0),
        (3, "Finished", 1),
        (3, "Finished", 0),
        (7, "Finished", 1),
    ]:
        assert (
            len(watched.update(CellReading(time=count, step_count=count, state=state))) == expected
        )


def test_the_order_of_rules_is_their_priority():
    rules = (
        Rule(name="slope", when=VoltageCrossing(level=3.5, direction="rising"), measure="map"),
        Rule(name="clock", when=AbsoluteClock(start=10.0, period=10.0), measure="pattern"),
    )
    agenda = Agenda(Schedule(rules=rules).evaluator())
    agenda.feed(CellReading(time=9.0, voltage=3.4))
    assert agenda.take(9.0) is None
    agenda.feed(CellReading(time=10.0, voltage=3.6))
    assert [agenda.take(10.0).rule for _ in range(2)] == ["slope", "clock"]
    assert agenda.take(10.0) is None


def test_a_slot_that_waited_too_long_behind_another_rule_is_missed():
    rules = (
        Rule(name="slope", when=VoltageCrossing(level=3.5, direction="rising"), measure="map"),
        Rule(name="clock", when=AbsoluteClock(start=10.0, period=10.0, n=1), measure="pattern"),
    )
    agenda = Agenda(Schedule(rules=rules).evaluator())
    agenda.feed(CellReading(time=9.0, voltage=3.4))
    agenda.feed(CellReading(time=10.0, voltage=3.6))
    assert agenda.take(10.0).rule == "slope"
    assert len(agenda.waiting) == 1
    assert agenda.take(16.0) is None
    assert [due.rule for due in agenda.missed()] == ["clock"]
    assert agenda.missed() == []


def test_a_schedule_survives_json_and_reads_as_sentences():
    schedule = Schedule(
        rules=(
            Rule(
                name="slope",
                when=VoltageCrossing(level=3.5, direction="falling"),
                measure="pattern",
            ),
            Rule(name="steps", when=ChargeStep(fraction=0.05, reference=0.0), measure="pattern"),
            Rule(name="edges", when=StepEdge(step_type="rest"), measure="map"),
            Rule(name="cadence", when=AbsoluteClock(period=40.0, n=103), measure="pattern"),
            Rule(name="end", when=EndOfProtocol(), measure="map"),
        )
    )
    assert Schedule.model_validate(json.loads(schedule.model_dump_json())) == schedule
    assert str(schedule).splitlines() == [
        "slope: when the voltage falls through 3.5 V, measure pattern (free running)",
        "steps: each time 5 % of the capacity has passed from 0 mAh,"
        " measure pattern (free running)",
        "edges: when a rest step begins, measure map (free running)",
        "cadence: every 40 s, 103 times, measure pattern (free running)",
        "end: when the protocol has ended, measure map (free running)",
    ]


def test_an_open_clock_must_be_anchored():
    schedule = Schedule(
        rules=(Rule(name="cadence", when=AbsoluteClock(period=40.0), measure="pattern"),)
    )
    with pytest.raises(ValueError, match="anchor the schedule first"):
        schedule.evaluator()
    assert schedule.anchored(500.0).evaluator().next_time() == 500.0


def test_names_of_rules_are_unique():
    rule = Rule(name="cadence", when=EndOfProtocol(), measure="pattern")
    with pytest.raises(ValidationError, match="more than once: cadence"):
        Schedule(rules=(rule, rule))
