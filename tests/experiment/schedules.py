"""Random conditions, rules and schedules, for tests of what they say and when they are met."""

from hypothesis import strategies as st

from battbeam.experiment import conditions as c
from battbeam.experiment import predicates as p
from battbeam.experiment.protocol import StepType
from battbeam.experiment.quantities import Quantity
from battbeam.experiment.schedule import Rule, Schedule

positive = st.floats(0.01, 1e6)
number = st.floats(allow_nan=False, allow_infinity=False)
small = st.one_of(st.floats(-1e3, 1e3), number)
directions = st.sampled_from(["rising", "falling", "any"])
maybe = st.one_of(st.none(), st.floats(0, 10))
step_types = st.sampled_from(list(StepType))


def _between(quantity, ends, hysteresis):
    return p.Between(quantity=quantity, low=min(ends), high=max(ends), hysteresis=hysteresis)


def _cycles(first, more):
    return p.CycleIs(first=first, last=None if more is None else first + more)


plain_predicates = st.one_of(
    st.builds(
        p.Compare,
        quantity=st.sampled_from(Quantity),
        relation=st.sampled_from("<>"),
        value=small,
        hysteresis=maybe,
    ),
    st.builds(_between, st.sampled_from(Quantity), st.sets(small, min_size=2, max_size=2), maybe),
    st.builds(p.StepIs, step_type=step_types),
    st.builds(_cycles, st.integers(0, 99), st.one_of(st.none(), st.integers(0, 9))),
)
predicates = st.recursive(
    plain_predicates,
    lambda inner: st.one_of(
        st.builds(p.Not, predicate=inner),
        st.builds(p.Both, predicates=st.lists(inner, min_size=2, max_size=3)),
        st.builds(p.Either, predicates=st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=4,
)
times = st.one_of(st.none(), st.floats(1.7e9, 1.9e9), st.integers(0, 2**31).map(float), number)
grace = st.one_of(st.none(), positive)


def _charge_step(field, value, reference):
    return c.ChargeStep(**{field: value}, reference=reference)


def _levels(model):
    return st.builds(
        model,
        levels=st.lists(small, min_size=1, max_size=4),
        direction=directions,
        hysteresis=maybe,
    )


plain = [
    st.builds(
        c.AbsoluteClock,
        start=times,
        period=positive,
        n=st.one_of(st.none(), st.integers(1, 999)),
        until=times,
        grace=grace,
    ),
    st.builds(
        c.Cadence,
        rates=st.lists(
            st.builds(c.Rate, period=positive, during=predicates), min_size=1, max_size=3
        ),
        otherwise=positive,
        start=times,
        grace=grace,
    ),
    st.builds(c.WindowClock, period=positive, window=predicates, grace=grace),
    st.builds(c.Becomes, predicate=predicates, lasting=st.floats(0, 100)),
    st.builds(
        c.VoltageCrossing,
        level=small,
        direction=directions,
        hysteresis=st.floats(0, 1),
        of=st.sampled_from(["cell", "working", "counter"]),
    ),
    st.builds(c.TemperatureCrossing, level=small, direction=directions, hysteresis=st.floats(0, 1)),
    st.builds(
        _charge_step,
        st.sampled_from(["step", "fraction", "areal"]),
        positive,
        st.one_of(st.none(), small),
    ),
    *(_levels(each) for each in (c.ChargeLevels, c.ArealChargeLevels, c.StateOfChargeLevels)),
    st.builds(
        c.Settling,
        of=st.sampled_from(["dV/dt", "dI/dt", "dQ/dV"]),
        below=positive,
        window=positive,
    ),
    st.builds(
        c.FastChange,
        quantity=st.sampled_from(["voltage", "temperature"]),
        direction=st.sampled_from(["rising", "falling"]),
        rate=positive,
        window=positive,
    ),
    st.builds(c.StepEdge, step_type=st.one_of(st.none(), step_types)),
    st.builds(c.CycleEdge, number=st.one_of(st.none(), st.integers(0, 99))),
    st.builds(
        c.EndOfRest,
        of=st.sampled_from(["rest", "constant_voltage", "relaxation"]),
        lead=st.floats(0, 100),
    ),
    st.builds(c.EndOfProtocol),
]


def _combined(inner):
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        st.builds(c.AnyOf, conditions=several),
        st.builds(c.AllOf, conditions=several, within=st.one_of(st.none(), positive)),
        st.builds(c.After, condition=inner, delay=positive),
        st.builds(c.While, condition=inner, predicate=predicates),
        st.builds(c.AtMost, condition=inner, n=st.integers(1, 99)),
    )


conditions = st.recursive(st.one_of(plain), _combined, max_leaves=4)
names = st.one_of(st.sampled_from(["top of charge", "B12", "a-b.c"]), st.text(min_size=1))
rules = st.builds(
    Rule,
    name=names,
    when=conditions,
    measure=names,
    coupling=st.sampled_from(["free_running", "hold_potential", "step_then_measure"]),
    hold_maximum=st.one_of(st.none(), positive),
    smear_max=st.one_of(st.none(), st.floats(1e-6, 1)),
    cell=st.one_of(st.just("cell1"), names),
)
schedules = st.builds(
    Schedule, rules=st.lists(rules, min_size=1, max_size=4, unique_by=lambda rule: rule.name)
)
