"""Whatever is asked, in whatever order, the cell stays inside its limits."""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.guard_state import GuardState
from battbeam.guard.commands import carry_out, set_soft_limit

TOKEN = "a-random-token"
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
CURRENTS = st.fixed_dictionaries(
    {
        "step": st.just("constant_current"),
        "rate_C": st.floats(-6, 6),
        "until_voltage_V": st.floats(2, 5),
        "until_time_s": st.floats(0, 20_000),
    }
)
VOLTAGES = st.fixed_dictionaries(
    {
        "step": st.just("constant_voltage"),
        "voltage_V": st.floats(2, 5),
        "until_time_s": st.floats(0, 2000),
    }
)
PROTOCOLS = st.fixed_dictionaries(
    {
        "record": st.just({"time_s": 10}),
        "method": st.lists(CURRENTS | VOLTAGES, min_size=1, max_size=4),
    }
)
COMMANDS = st.one_of(
    st.tuples(st.just("Load"), st.builds(lambda p: {"protocol": p}, PROTOCOLS)),
    st.tuples(st.sampled_from(["Start", "Hold", "Proceed", "OpenCircuit", "Reset"]), st.just({})),
    st.tuples(
        st.just("Occasion"),
        st.builds(lambda o: {"occasion": o}, st.sampled_from(["pause", "failure"])),
    ),
    st.tuples(st.just("soft"), st.tuples(st.sampled_from(["voltage_max", "current_max"]), NUMBERS)),
    st.tuples(st.just("wait"), st.integers(5, 600)),
)


@settings(max_examples=60, deadline=None)
@given(commands=st.lists(COMMANDS, min_size=3, max_size=15))
def test_no_order_of_commands_takes_the_cell_beyond_its_limits(bench_type, commands):
    with tempfile.TemporaryDirectory() as directory:
        bench = bench_type(Path(directory))
        bench.own()
        bench.mount()
        for verb, content in [("Load", {"protocol": PLAIN}), ("Start", {}), *commands]:
            bench.beat()
            if verb == "wait":
                bench.run(content)
            elif verb == "soft":
                set_soft_limit(bench.guard, *content)
            else:
                text = json.dumps({"token": TOKEN, **content})
                carry_out(bench.guard, verb, text, wall=bench.wall)
                bench.run(5)
            stays_inside(bench)
        bench.close()


PLAIN = {
    "record": {"time_s": 10},
    "method": [{"step": "constant_current", "rate_C": 1, "until_time_s": 600}],
}


def stays_inside(bench):
    limits, guard = EXAMPLE["limits"], bench.guard
    assert guard.limits.hard.within(guard.limits.soft) == guard.limits.soft
    assert abs(bench.cycler.current) <= limits["current_max"] * 1.05
    assert limits["voltage_min"] - 0.05 <= bench.cycler.voltage <= limits["voltage_max"] + 0.05
    allowed = (GuardState.RUNNING, GuardState.HOLDING)
    assert guard.state in allowed or not bench.cycler.is_running
