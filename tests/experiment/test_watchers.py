"""Conditions, alone and combined, on random records of a cell: they are met when the record says."""

import math
import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from battbeam.experiment import conditions as c
from battbeam.experiment import predicates as p
from battbeam.experiment.predicates import Compare, Not
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.experiment.watchers import CellReading
from tests.experiment.oracle import events

EXAMPLES = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
BEGIN = 1000.0
TYPES = ["open_circuit_voltage", "constant_current", "constant_voltage"]


def record_of(seed):
    """A random protocol, read at irregular times, noisy, with gaps in each quantity."""
    rng = random.Random(seed)
    n = rng.randint(2, 30)
    time, count, cycle, kind, state = BEGIN, 3, 1, TYPES[0], "Running"
    voltage, charge, temperature, slopes = 3.5, 0.3, 25.0, (0.0, 0.0, 0.0)
    gap, found = 0, []
    for _ in range(n):
        step = rng.choice([0.1, 1.0, 1.0, 2.0, rng.uniform(0.01, 9.0)])
        if rng.random() < 0.15:
            grown = rng.choice([1, 1, 1, 2, 4])
            count, kind = count + grown, rng.choice(TYPES)
            cycle += rng.choice([0, 0, 1, 2])
            slopes = tuple(rng.choice([-1, 0, 1]) * rng.uniform(0, 1) for _ in range(3))
            voltage += rng.choice([0, 0, 0.3, -0.3])
            state = "Finished" if rng.random() < 0.2 else "Running"
        time += step
        voltage += 0.05 * slopes[0] * step
        charge += 0.1 * slopes[1] * step
        temperature += slopes[2] * step
        gap = rng.choice([0, 0, 0, 0, 0, 0, 1, 2, 3]) if not gap else gap - 1
        known = [gap == 0 or rng.random() < 0.5 for _ in range(6)]
        found.append(
            CellReading(
                time=time,
                voltage=voltage + rng.gauss(0, 0.001) if known[0] else math.nan,
                current=slopes[1] * 0.01 if known[1] else math.nan,
                charge=charge if known[1] else math.nan,
                temperature=temperature if known[2] else math.nan,
                step_count=count if known[3] else None,
                step_type=kind if known[3] and known[4] else "",
                cycle_number=cycle if known[4] else None,
                state=state if known[5] else "",
            )
        )
    return found


records = st.integers(0, 2**32 - 1).map(record_of)
levels = {
    "voltage": st.integers(3200, 3900).map(lambda v: v / 1000 + 0.0003),
    "voltage_magnitude": st.integers(3200, 3900).map(lambda v: v / 1000 + 0.0003),
    "current": st.sampled_from([0.0, 0.003, -0.003]),
    "charge": st.integers(-50, 100).map(lambda q: q / 100 + 0.0003),
    "temperature": st.integers(200, 300).map(lambda t: t / 10 + 0.03),
}
compares = st.sampled_from(sorted(levels)).flatmap(
    lambda name: st.builds(
        Compare, quantity=st.just(name), relation=st.sampled_from("<>"), value=levels[name]
    )
)
predicates = st.recursive(
    st.one_of(
        compares,
        st.builds(p.StepIs, step_type=st.sampled_from(TYPES)),
        st.builds(p.CycleIs, first=st.integers(1, 3)),
        st.builds(
            lambda low, span: p.Between(quantity="voltage", low=low, high=low + span),
            st.floats(3.2, 3.7),
            st.floats(0.05, 0.3),
        ),
    ),
    lambda inner: st.one_of(
        st.builds(Not, predicate=inner),
        st.builds(p.Both, predicates=st.lists(inner, min_size=2, max_size=2)),
        st.builds(p.Either, predicates=st.lists(inner, min_size=2, max_size=2)),
    ),
    max_leaves=3,
)
directions = st.sampled_from(["rising", "falling", "any"])
starts = st.sampled_from([BEGIN, BEGIN + 3.3])
periods = st.floats(0.7, 15)
clocks = st.builds(
    c.AbsoluteClock,
    start=starts,
    period=periods,
    n=st.one_of(st.none(), st.integers(1, 20)),
    until=st.one_of(st.none(), st.floats(BEGIN, BEGIN + 60)),
)
cadences = st.builds(
    c.Cadence,
    rates=st.lists(st.builds(c.Rate, period=periods, during=predicates), min_size=1, max_size=2),
    otherwise=periods,
    start=starts,
)
becomes = st.builds(c.Becomes, predicate=predicates, lasting=st.sampled_from([0.0, 0.0, 0.5, 4.0]))
plain = {
    "clock": clocks,
    "cadence": cadences,
    "becomes": becomes,
    "voltage": st.builds(
        c.VoltageCrossing,
        level=levels["voltage"],
        direction=directions,
        hysteresis=st.sampled_from([0.005, 0.05]),
    ),
    "temperature": st.builds(
        c.TemperatureCrossing, level=levels["temperature"], direction=directions
    ),
    "charge step": st.builds(
        c.ChargeStep, step=st.sampled_from([0.1, 0.25]), reference=st.just(0.0)
    ),
    "levels": st.builds(
        c.ChargeLevels,
        levels=st.lists(levels["charge"], min_size=1, max_size=3),
        direction=directions,
    ),
    "step": st.builds(c.StepEdge, step_type=st.one_of(st.none(), st.sampled_from(TYPES))),
    "cycle": st.builds(c.CycleEdge, number=st.one_of(st.none(), st.integers(1, 4))),
    "end": st.just(c.EndOfProtocol()),
}


def combined(inner):
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        st.builds(c.AnyOf, conditions=several),
        st.builds(c.AllOf, conditions=several, within=st.sampled_from([None, 5.0, 30.0])),
        st.builds(c.After, condition=inner, delay=st.floats(0.5, 20)),
        st.builds(c.While, condition=inner, predicate=predicates),
        st.builds(c.AtMost, condition=inner, n=st.integers(1, 4)),
    )


def met(condition, record):
    """Every event of a record fed reading by reading, as the oracle says them."""
    rule = Rule(name="rule", when=condition, measure="pattern")
    watched = Schedule(rules=(rule,)).evaluator()
    found = []
    for k, reading in enumerate(record):
        for clock, dues in enumerate((watched.update(reading), watched.due(reading.time))):
            assert all(due.due <= reading.time + 1e-9 == due.met + 1e-9 for due in dues)
            found += [(k, clock, due.due, bool(due.missed)) for due in dues]
    return found


def rounded(found):
    return sorted((k, clock, round(due, 6), bool(missed)) for k, clock, due, missed in found)


@pytest.mark.parametrize("kind", plain)
@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_a_condition_is_met_exactly_when_the_record_says(kind, data):
    record, condition = data.draw(records), data.draw(plain[kind])
    assert rounded(met(condition, record)) == rounded(events(condition, record))


@EXAMPLES
@given(record=records, condition=combined(st.one_of(list(plain.values()))))
def test_a_combination_is_met_exactly_when_the_record_says(record, condition):
    assert rounded(met(condition, record)) == rounded(events(condition, record))


@EXAMPLES
@given(
    record=records,
    condition=combined(combined(st.one_of(list(plain.values())))),
)
def test_a_combination_of_combinations_is_met_exactly_when_the_record_says(record, condition):
    assert rounded(met(condition, record)) == rounded(events(condition, record))
