"""Several cells, one beamline: who is measured next, who waits, who is given up."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.conditions import AbsoluteClock, StepEdge, VoltageCrossing
from battbeam.experiment.dispatch import Dispatcher, Parking
from battbeam.experiment.schedule import Agenda, Rule, Schedule
from battbeam.experiment.watchers import CellReading


def agenda(*rules):
    return Agenda(Schedule(rules=rules).evaluator())


def slot(name="clock", *, start=0.0, period=1e6, grace=1e5, measure="pattern", n=1):
    when = AbsoluteClock(start=start, period=period, grace=grace, n=n)
    return Rule(name=name, when=when, measure=measure)


def line(here, there):
    """Cells on a line, 10 s from one to the next."""
    return 10.0 * abs(int(here[-1]) - int(there[-1]))


def served(dispatcher, durations, *, now=0.0, here=""):
    """Serve until nothing waits; (cell, start) of each."""
    done = []
    while (due := dispatcher.take(now, here)) is not None:
        now += dispatcher.travel(here, due.cell)
        done.append((due.cell, now))
        now, here = now + durations.get((due.cell, due.measure), 0.0), due.cell
    return done


def test_the_earliest_deadline_is_served_first():
    agendas = {"cell1": agenda(slot(grace=500.0)), "cell2": agenda(slot(grace=50.0))}
    assert Dispatcher(agendas).take(0.0).cell == "cell2"


def test_a_short_one_goes_before_a_long_one_that_must_begin_a_little_earlier():
    agendas = {"cell1": agenda(slot(grace=50.0)), "cell2": agenda(slot(grace=55.0))}
    durations = {("cell1", "pattern"): 40.0, ("cell2", "pattern"): 1.0}
    assert Dispatcher(agendas, durations=durations).take(0.0).cell == "cell2"


def test_of_two_with_one_deadline_the_higher_rule_is_served_first():
    other = Rule(name="other", when=StepEdge(), measure="pattern")
    agendas = {"cell1": agenda(other, slot()), "cell2": agenda(slot("top"))}
    assert Dispatcher(agendas).take(0.0).cell == "cell2"


def test_within_a_cell_the_order_of_its_rules_decides():
    agendas = {"cell1": agenda(slot("first", grace=900.0), slot("second", grace=10.0))}
    dispatcher = Dispatcher(agendas)
    assert [dispatcher.take(0.0).rule for _ in range(2)] == ["first", "second"]


def test_what_can_no_longer_be_reached_is_missed_with_the_reason():
    agendas = {"cell1": agenda(slot(grace=5.0)), "cell2": agenda(slot(grace=5.0))}
    dispatcher = Dispatcher(agendas, travel=line)
    assert dispatcher.take(0.0, "cell1").cell == "cell1"
    assert dispatcher.take(0.0, "cell1") is None
    (missed,) = dispatcher.missed()
    assert missed.cell == "cell2"
    assert missed.missed == "out of reach: a move of 10.0 s would end too late"


def test_one_long_measurement_gives_way_to_several_short_ones():
    durations = {("cell1", "map"): 300.0, ("cell2", "pattern"): 30.0, ("cell3", "pattern"): 30.0}
    agendas = {
        "cell1": agenda(slot(measure="map", grace=10.0)),
        "cell2": agenda(slot(grace=200.0)),
        "cell3": agenda(slot(grace=200.0)),
    }
    dispatcher = Dispatcher(agendas, durations=durations)
    assert [cell for cell, _ in served(dispatcher, durations)] == ["cell2", "cell3"]
    assert [due.cell for due in dispatcher.missed()] == ["cell1"]


def test_what_never_expires_is_put_off_no_longer_than_its_grace():
    crossing = Rule(name="slope", when=VoltageCrossing(level=3.5), measure="map")
    agendas = {"cell1": agenda(crossing), "cell2": agenda(slot(period=50.0, grace=20.0, n=None))}
    durations = {("cell1", "map"): 100.0, ("cell2", "pattern"): 45.0}
    dispatcher = Dispatcher(agendas, durations=durations, grace=60.0)
    dispatcher.feed("cell1", CellReading(time=0.0, voltage=3.4), 0.0)
    dispatcher.feed("cell1", CellReading(time=1.0, voltage=3.6), 1.0)
    now, order = 1.0, []
    while now < 400.0:
        due = dispatcher.take(now)
        order.append("" if due is None else due.cell)
        now += 1.0 if due is None else durations[due.cell, due.measure]
    assert order[:3] == ["cell2", "cell1", ""]


def test_lateness_counts_the_move():
    dispatcher = Dispatcher(_two(), travel=line)
    dispatcher.take(2.0, "cell1")
    late = dispatcher.lateness["cell3"]
    assert (late.n_served, late.maximum, late.mean) == (1, 22.0, 22.0)
    assert math.isnan(dispatcher.lateness["cell1"].mean)


def _two():
    edge = Rule(name="step", when=StepEdge(), measure="pattern")
    return {"cell1": agenda(edge), "cell3": agenda(slot())}


def overloaded(**options):
    """Two cells of which only one can be served: 45 s of work every 50 s, twice."""
    agendas = {cell: agenda(slot(period=50.0, grace=0.0, n=None)) for cell in ("cell1", "cell2")}
    durations = dict.fromkeys(itertools.product(agendas, ["pattern"]), 45.0)
    return Dispatcher(agendas, durations=durations, **options)


def test_a_cell_that_is_always_too_late_is_parked_as_declared():
    dispatcher = overloaded(parking={"cell2": Parking(after=4, policy="hold")})
    taken = [dispatcher.take(50.0 * k) for k in range(10)]
    assert {due.cell for due in taken} == {"cell1"}
    for k in range(10):
        dispatcher.take(50.0 * k + 45.0)
    (parked,) = dispatcher.newly_parked()
    assert (parked.cell, parked.policy) == ("cell2", "hold")
    assert "in a row were missed while other cells were served" in parked.reason
    assert dispatcher.newly_parked() == []
    assert set(dispatcher.parked) == {"cell2"}


def test_a_parked_cell_is_not_served_until_it_is_unparked():
    dispatcher = overloaded(parking={"cell2": Parking(after=1)})
    dispatcher.take(0.0)
    dispatcher.take(45.0)
    assert set(dispatcher.parked) == {"cell2"}
    dispatcher.agendas.pop("cell1")
    assert dispatcher.take(100.0) is None
    assert dispatcher.missed()[-1].missed == "the cell is parked"
    dispatcher.unpark("cell2")
    assert dispatcher.take(150.0).cell == "cell2"


def test_slots_missed_without_beam_park_no_cell():
    dispatcher = overloaded(parking={"cell1": Parking(after=2), "cell2": Parking(after=2)})
    dispatcher.take(0.0)
    assert dispatcher.take(1000.0) is not None
    assert len(dispatcher.missed()) > 30
    assert dispatcher.parked == {}


def test_parking_after_no_miss_is_refused():
    with pytest.raises(ValueError, match="after at least 1 miss, got 0"):
        Parking(after=0)


JOBS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 150)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jobs=JOBS)
def test_no_order_serves_more_than_the_one_chosen(jobs):
    agendas = {f"cell{k}": agenda(slot(grace=float(late))) for k, (_, late) in enumerate(jobs)}
    durations = {(f"cell{k}", "pattern"): float(length) for k, (length, _) in enumerate(jobs)}
    dispatcher = Dispatcher(agendas, durations=durations)

    def in_time(order):
        now, n = 0, 0
        for length, late in order:
            if now <= late:
                now, n = now + length, n + 1
        return n

    best = max(in_time(order) for order in itertools.permutations(jobs))
    assert len(served(dispatcher, durations)) == best


@settings(max_examples=40, deadline=None, derandomize=True)
@given(jobs=JOBS)
def test_each_slot_is_handed_out_once_served_or_missed(jobs):
    agendas = {
        f"cell{k}": agenda(slot(start=float(late), period=70.0, grace=20.0, n=4))
        for k, (_, late) in enumerate(jobs)
    }
    durations = {(f"cell{k}", "pattern"): float(length) for k, (length, _) in enumerate(jobs)}
    dispatcher = Dispatcher(agendas, durations=durations, travel=line)
    now, here, seen = 0.0, "", []
    while now < 2000.0:
        due = dispatcher.take(now, here)
        seen += [(each.cell, each.index) for each in dispatcher.missed()]
        if due is None:
            now += 5.0
            continue
        seen.append((due.cell, due.index))
        now += dispatcher.travel(here, due.cell) + durations[due.cell, due.measure]
        here = due.cell
    assert sorted(seen) == sorted(itertools.product(agendas, range(4)))
