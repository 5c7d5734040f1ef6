"""Rates of change, rests and interruptions, against cells whose truth has a closed form."""

import math
import random

import pytest

from battbeam.experiment.conditions import (
    AnyOf,
    EndOfRest,
    FastChange,
    Settling,
    StepEdge,
    While,
)
from battbeam.experiment.predicates import StepIs
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Agenda, Evaluator, Rule, Schedule
from battbeam.experiment.watchers import CellReading, ProtocolSteps

REST, CURRENT = str(StepType.REST), str(StepType.CONSTANT_CURRENT)


def evaluator(condition) -> Evaluator:
    return Schedule(rules=(Rule(name="rule", when=condition, measure="map"),)).evaluator()


def relaxation(seed, *, tau=900.0, size=0.08, noise=2e-4, interval=1.0, end=7200.0):
    """A rest after a current: the voltage falls by ``size`` with a time constant."""
    rng = random.Random(seed)
    for k in range(int(600 / interval)):
        time = k * interval
        yield CellReading(
            time=time - 600.0, voltage=3.6 + 1e-4 * time, step_count=1, step_type=CURRENT
        )
    for k in range(int(end / interval)):
        time = k * interval
        voltage = 3.5 + size * math.exp(-time / tau) + rng.gauss(0, noise)
        if rng.random() < 0.01:
            voltage = rng.choice([math.nan, 0.0, 5.0])
        yield CellReading(time=time, voltage=voltage, step_count=2, step_type=REST)


@pytest.mark.parametrize("seed", range(8))
def test_a_relaxation_has_settled_once_and_never_early(seed):
    tau, size, below, window = 900.0, 0.08, 0.020, 300.0
    settled = tau * math.log(size / tau * 3600 / below)
    watched = evaluator(Settling(of="dV/dt", below=below, window=window))
    dues = [due for reading in relaxation(seed) for due in watched.update(reading)]
    (due,) = dues
    assert settled <= due.due <= settled + 0.75 * window
    # What the window costs: half of it, and a twentieth until a part is complete.
    assert 0.45 * window <= due.lateness <= 0.56 * window + 2


def test_noise_that_hides_the_slope_never_settles_by_chance():
    watched = evaluator(Settling(of="dV/dt", below=0.001, window=60.0))
    rests = relaxation(3, tau=1e6, size=10.0, noise=5e-3, end=20_000.0)
    assert [due for reading in rests for due in watched.update(reading)] == []


def test_a_rest_that_is_settled_in_its_first_window_is_not_lost():
    watched = evaluator(While(condition=SETTLED, predicate=StepIs(step_type="rest")))
    dues = [
        due
        for reading in relaxation(1, tau=20.0, noise=1e-5, end=900.0)
        for due in watched.update(reading)
    ]
    assert len(dues) == 1


SETTLED = Settling(of="dV/dt", below=0.02, window=120.0)


def test_a_plateau_is_over_when_its_charge_per_voltage_is_small():
    watched = evaluator(Settling(of="dQ/dV", below=5.0, window=200.0))
    rng, found = random.Random(5), []
    for k in range(6000):
        # 20 mAh/V before 3000 s, then 2 mAh/V; 1 uAh a second.
        charge = 0.001 * k
        voltage = 3.4 + min(charge, 3.0) / 20 + max(charge - 3.0, 0.0) / 2 + rng.gauss(0, 1e-4)
        found += watched.update(CellReading(time=float(k), voltage=voltage, charge=charge))
    (due,) = found
    assert 2900 <= due.due <= 3200


@pytest.mark.parametrize("seed", range(5))
def test_a_short_is_seen_once_and_a_step_of_the_current_is_none(seed):
    watched = evaluator(FastChange(quantity="voltage", direction="falling", rate=0.02, window=10.0))
    rng, found = random.Random(seed), []
    for k in range(600):
        voltage = 3.6 - (0.3 if k >= 200 else 0) - (1.5 if k >= 400 else 0) + rng.gauss(0, 0.002)
        reading = CellReading(time=float(k), voltage=voltage, step_count=1 + (k >= 200))
        found += watched.update(reading)
    (due,) = found
    assert 394 <= due.due <= 406
    assert due.lateness <= 6.0


def test_self_heating_is_a_fast_rise_of_temperature():
    watched = evaluator(
        FastChange(quantity="temperature", direction="rising", rate=1.0, window=60.0)
    )
    rng, found = random.Random(2), []
    for k in range(1200):
        temperature = 25 + max(k - 600, 0) * 2 / 60 + rng.gauss(0, 0.1)
        found += watched.update(CellReading(time=float(k), temperature=temperature))
    (due,) = found
    assert 590 <= due.due <= 680


def rests(condition, durations, *, interval=1.0):
    """Rests of given lengths (and what they were declared), with a current of 50 s before each."""
    agenda = Agenda(evaluator(condition))
    time, count, served = 1000.0, 0, []

    def feed(**values):
        agenda.feed(CellReading(time=time, step_count=count, state="Running", **values))
        while (due := agenda.take(time)) is not None:
            served.append((count, due.due, due.lateness_at(time)))

    for length, declared in [*durations, (0.0, 0.0)]:
        count += 1
        for _ in range(50):
            feed(step_type=CURRENT, step_remaining=math.inf)
            time += interval
        count += 1
        for k in range(int(length / interval)):
            feed(step_type=REST, step_remaining=declared - k * interval)
            time += interval
    return served, agenda


def test_the_end_of_a_rest_is_met_with_its_lead_once_each():
    served, agenda = rests(EndOfRest(lead=60.0), [(600, 600), (300, 300), (1800, 1800)])
    assert [(count, due) for count, due, _ in served] == [
        (2, 1050.0 + 540),
        (4, 1700.0 + 240),
        (6, 2050.0 + 1740),
    ]
    assert max(lateness for *_, lateness in served) == 0
    assert agenda.missed() == []


def test_a_rest_that_ends_earlier_is_met_when_it_has_ended():
    served, _ = rests(EndOfRest(lead=60.0), [(200, 3600), (600, 600)])
    assert [due for _, due, _ in served] == [1250.0, 1300.0 + 540]


def test_a_lead_that_nobody_looked_at_in_time_is_due_when_it_was():
    agenda = Agenda(evaluator(EndOfRest(lead=60.0)))
    agenda.feed(CellReading(time=0.0, step_count=1, step_type=REST, step_remaining=600.0))
    agenda.feed(CellReading(time=580.0, step_count=1, step_type=REST, step_remaining=20.0))
    assert agenda.take(580.0).due == 540.0


def test_a_rest_shorter_than_the_lead_is_met_as_soon_as_it_is_seen():
    served, _ = rests(EndOfRest(lead=60.0), [(30, 30)])
    assert [due for _, due, _ in served] == [1050.0]


def test_without_a_lead_it_is_the_end_that_is_met():
    served, _ = rests(EndOfRest(), [(200, 200), (100, 100)])
    assert [due for _, due, _ in served] == [1250.0, 1400.0]


def test_a_rest_that_is_not_known_any_more_is_not_met_by_the_clock():
    agenda = Agenda(evaluator(EndOfRest(lead=60.0)))
    agenda.feed(CellReading(time=0.0, step_count=1, step_type=REST, step_remaining=100.0))
    assert agenda.next_time() == 40.0
    agenda.feed(CellReading(time=30.0))
    assert agenda.next_time() == math.inf
    assert agenda.take(50.0) is None
    agenda.feed(CellReading(time=60.0, step_count=1, step_type=REST, step_remaining=40.0))
    assert agenda.take(60.0).due == 60.0


def held(count, kind, state="Running", time=0.0):
    return CellReading(time=time, step_count=count, step_type=kind, state=state, cycle_number=4)


@pytest.mark.parametrize(
    "interruption",
    [
        [(5, "constant_voltage", "Holding"), (6, REST, "Running")],
        [(4, REST, "Holding"), (5, "constant_voltage", "Running"), (6, REST, "Running")],
        [(4, REST, "OpenCircuit"), (5, REST, "Running")],
        [(5, "", "Holding"), (5, "", "OpenCircuit"), (6, "", "Running"), (6, REST, "Running")],
    ],
)
def test_a_hold_and_an_opened_circuit_are_no_steps_of_the_protocol(interruption):
    steps = AnyOf(conditions=(StepEdge(), EndOfRest()))
    watched, found = evaluator(steps), []
    seen = [(3, CURRENT, "Running"), (4, REST, "Running"), *interruption]
    last = seen[-1][0]
    for k, (count, kind, state) in enumerate([*seen, (last + 1, CURRENT, "Running")]):
        found += [k] * len(watched.update(held(count, kind, state, float(k))))
    # The rest begins; and it ends where the current begins, seen together.
    assert found == [1, len(seen)]


@pytest.mark.parametrize(
    ("ending", "n_new"),
    [
        ([(5, REST, "Holding"), (6, REST, "Finished")], 0),
        ([(5, REST, "Holding"), (5, REST, "Finished")], 0),
        ([(4, REST, "OpenCircuit"), (5, REST, "Finished")], 0),
        ([(5, REST, "Holding"), (6, REST, "Tripped")], 0),
        # A cycler that does not answer for a while.
        ([(5, REST, "Holding"), (5, REST, "Unreachable"), (6, REST, "Running")], 0),
        # A step that the protocol itself had left, over as well.
        ([(5, REST, "Holding"), (7, REST, "Finished")], 1),
    ],
)
def test_what_was_left_of_a_step_is_no_new_one_if_it_is_over_before_it_is_seen(ending, n_new):
    watched, found = evaluator(StepEdge(step_type=StepType.REST)), []
    seen = [(3, CURRENT, "Running"), (4, REST, "Running"), *ending]
    for k, (count, kind, state) in enumerate(seen):
        found += [k] * len(watched.update(held(count, kind, state, float(k))))
    assert found == [1, *[len(seen) - 1] * n_new]


def test_a_protocol_started_after_another_is_no_interruption():
    steps = ProtocolSteps()
    states = [(3, "Running"), (3, "OpenCircuit"), (3, "Loaded"), (4, "Running")]
    assert [steps.seen(held(count, REST, state)).step_count for count, state in states] == [
        3,
        3,
        3,
        4,
    ]
