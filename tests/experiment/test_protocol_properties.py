"""Whatever is handed in as a protocol: it compiles, or every fault is a sentence."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import Protocol, Step, StepType, expected_duration
from battbeam.experiment.protocol_export import ExportFormat, export_protocol
from battbeam.experiment.protocol_faults import KINDS

PASSPORT = CellPassport.read(EXAMPLE)
BOUNDED = settings(max_examples=200, deadline=None, derandomize=True)
FIELDS = sorted({name for kind in KINDS.values() for name in kind.model_fields} - {"step", "id"})
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.floats(),
    st.sampled_from(["", "C/2", "D/0", "C/x", "0", "start", "1e400", "nan", "-"]),
    st.lists(st.floats(-5, 5), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
SENSIBLE = st.one_of(st.floats(0.001, 4.0), st.sampled_from(["C/2", "D/5", 1, 3, 60.0, 3.5]))
STEPS = st.one_of(
    ODD,
    st.builds(
        lambda kind, fields: {"step": kind, **fields},
        st.sampled_from([*KINDS, "magic", 3]),
        st.dictionaries(st.sampled_from([*FIELDS, "colour"]), ODD | SENSIBLE, max_size=6),
    ),
)
DOCUMENTS = st.fixed_dictionaries(
    {"method": st.lists(STEPS, max_size=4) | ODD, "record": st.just({"time_s": 10}) | ODD},
    optional={
        "safety": st.dictionaries(st.sampled_from(["max_voltage_V", "delay_s", "x"]), ODD),
        "sample": st.dictionaries(st.sampled_from(["capacity_mAh", "name"]), ODD),
        "unknown": ODD,
    },
)


@given(DOCUMENTS)
@BOUNDED
def test_anything_compiles_or_is_refused_in_words(document):
    protocol = Protocol.read(document)
    faults = protocol.faults(PASSPORT)
    assert all(isinstance(fault, str) and fault for fault in faults)
    if not faults:
        assert protocol.compile(PASSPORT).steps


RATES = st.sampled_from(["C/2", "D/2", 1, -1, "C/10", "D/5"])
SECONDS = st.integers(1, 3600)
VOLTAGES = st.integers(2500, 3900).map(lambda millivolt: millivolt / 1e3)
GOOD = st.one_of(
    st.builds(lambda s: {"step": "open_circuit_voltage", "until_time_s": s}, SECONDS),
    st.builds(
        lambda r, v, s: {
            "step": "constant_current",
            "rate_C": r,
            "until_voltage_V": v,
            "until_time_s": s,
        },
        RATES,
        VOLTAGES,
        SECONDS,
    ),
    st.builds(
        lambda v, s, r: {
            "step": "constant_voltage",
            "voltage_V": v,
            "until_time_s": s,
            "until_rate_C": r,
        },
        VOLTAGES,
        SECONDS,
        st.sampled_from([0.05, "C/100"]),
    ),
    st.builds(
        lambda r, s, n: {
            "step": "current_pulse",
            "rate_C": r,
            "pulse_time_s": s,
            "rest_time_s": s,
            "count": n,
        },
        RATES,
        st.integers(1, 300),
        st.integers(1, 4),
    ),
    st.builds(
        lambda a, b, s: {
            "step": "pitt",
            "start_voltage_V": a,
            "end_voltage_V": b,
            "voltage_step_mV": 100,
            "until_time_s": s,
        },
        VOLTAGES,
        st.just(3.95 - 0.07),
        SECONDS,
    ).filter(lambda step: step["start_voltage_V"] != step["end_voltage_V"]),
)
METHODS = st.lists(GOOD, min_size=1, max_size=5)


@given(METHODS, st.integers(1, 3))
@BOUNDED
def test_a_good_protocol_runs_as_long_as_its_parts(method, count):
    tag, loop = {"step": "tag", "tag": "a"}, {"step": "loop", "loop_to": "a", "cycle_count": count}
    whole = Protocol.read({"record": {"time_s": 1}, "method": [tag, *method, loop]})
    once = Protocol.read({"record": {"time_s": 1}, "method": method})
    steps, part = whole.compile(PASSPORT).steps, once.compile(PASSPORT).steps
    assert len(steps) == count * len(part)
    numbers = [step.cycle_number for step in steps]
    assert numbers == sorted(numbers)
    assert all(Step.from_document(step.to_document()) == step for step in steps)
    seconds = expected_duration(steps, passport=PASSPORT, state_of_charge=0.5)
    assert 0 <= seconds <= sum(step.duration or 0.0 for step in steps) + 1e-6


@given(METHODS, st.sampled_from(ExportFormat))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_protocol_of_what_every_cycler_has_is_written_for_every_cycler(method, format):
    protocol = Protocol.read({"record": {"time_s": 1}, "method": method})
    assert export_protocol(protocol, PASSPORT, format=format).text


@given(
    st.floats(0, 1),
    st.floats(-0.01, 0.01),
    st.floats(-0.01, 0.01),
    st.floats(0.01, 1e5),
)
@BOUNDED
def test_a_ramp_goes_on_where_it_was(part, start, end, duration):
    step = Step(0, StepType.CURRENT_RAMP, current=start, current_end=end, duration=duration)
    left = step.after(part * duration)
    if left is None:
        assert part * duration >= duration
        return
    assert left.current_end == end
    assert math.isclose(left.current, start + part * (end - start), abs_tol=1e-12)
    assert math.isclose(left.duration + part * duration, duration)
