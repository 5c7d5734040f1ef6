"""Steps that the guard ends, on a cycler of ten lines that cannot end them."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import Protocol
from battbeam.guard.core import Guard
from battbeam.guard.log import Log
from battbeam.guard.restore import Past, restore

CHARGE = {"step": "constant_current", "rate_C": 1, "until_time_s": 100}
HOLD = {"step": "constant_voltage", "voltage_V": 3.4, "until_charge_mAh": 0.1}
SETTLE = {"step": "open_circuit_voltage", "until_time_s": 5000, "until_voltage_rate_mV_per_h": 5}
LOAD = {"step": "constant_resistance", "resistance_ohm": 1500, "until_time_s": 300}
WARM = {"step": "temperature", "temperature_degC": 40, "tolerance_K": 0.5, "until_time_s": 3000}
STEPS = (CHARGE, HOLD, SETTLE, LOAD, WARM)


def protocol(*method, **safety):
    return {"record": {"time_s": 10}, "method": list(method), "safety": safety}


def finish(bench, *method):
    bench.running(protocol(*method), after=5)
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    return bench


def ends(bench):
    return [(line["step_index"], line["reason"]) for line in bench.lines("step_end")]


def lasted(bench, index):
    elapsed = [line["elapsed"] for line in bench.lines("sample") if line["step_index"] == index]
    return max(elapsed) - min(elapsed)


def test_a_voltage_ends_when_its_charge_has_passed_and_the_protocol_goes_on(bench):
    finish(bench, HOLD, CHARGE)
    assert ends(bench) == [(0, "0.1 mAh have passed")]
    charges = [line["charge"] for line in bench.lines("sample") if line["step_index"] == 0]
    assert charges[-1] == pytest.approx(0.1, abs=0.01)
    assert [len(segment.steps) for segment in bench.cycler.loads] == [1, 1]
    counts = [line["step_count"] for line in bench.lines("sample")]
    assert counts == sorted(counts)
    assert set(counts) == {1, 2}


def test_a_rest_ends_when_the_voltage_has_settled(bench):
    finish(bench, SETTLE, CHARGE)
    assert ends(bench)[0][1] == "the voltage changes by less than 0.005 V/h"
    assert 20 <= lasted(bench, 0) < 200


def test_a_step_that_the_guard_ends_follows_without_a_gap(bench):
    finish(bench, CHARGE, SETTLE, CHARGE, WARM)
    lengths = [len(segment.steps) for segment in bench.cycler.loads]
    assert lengths == [2, 1, 1]
    assert [index for index, _ in ends(bench)] == [1, 3]


def test_a_load_ends_when_its_time_is_over_within_one_look(bench):
    finish(bench, LOAD, CHARGE)
    assert lasted(bench, 0) == pytest.approx(300, abs=6)


def test_a_temperature_is_set_and_waited_for(bench):
    finish(bench, WARM, CHARGE)
    ((asked_at, temperature),) = bench.thermostat.asked
    assert (asked_at, temperature) == (pytest.approx(1_000_000, abs=30), 40.0)
    assert lasted(bench, 0) == pytest.approx(600, abs=30)
    assert bench.lines("sample")[-1]["temperature"] == 40.0


def test_a_temperature_that_is_never_known_ends_after_its_longest_time(bench):
    bench.thermostat.known = False
    finish(bench, WARM, CHARGE)
    assert lasted(bench, 0) == pytest.approx(3000, abs=6)


def test_a_temperature_is_refused_at_load_without_a_thermostat(bench):
    bench.own()
    bench.mount()
    bench.guard.thermostat = None
    bench.guard.driver.faults = lambda steps: ["the instrument cannot"]
    with pytest.raises(PreflightError) as refusal:
        bench.guard.load(Protocol.read(protocol(WARM)))
    assert len(refusal.value.faults) == 2
    assert "has no thermostat" in str(refusal.value)


def test_a_temperature_is_refused_at_load_where_it_is_only_read(bench):
    bench.own()
    bench.mount()
    bench.thermostat.fault = "the guard's file names no set-point: its temperature is only read"
    with pytest.raises(PreflightError, match="sets a temperature, which cannot be done: the guard"):
        bench.guard.load(Protocol.read(protocol(WARM)))


def test_the_time_of_a_step_is_shown_until_it_is_over(bench):
    bench.running(protocol(LOAD), after=100)
    assert bench.guard.samples.step_elapsed == pytest.approx(100, abs=6)
    assert bench.guard.samples.step_charge == pytest.approx(-0.2e-3 * 100 / 3.6 * 10, rel=0.2)
    now, course = bench.clock.time, bench.guard.course
    assert now - course.step_start == pytest.approx(100, abs=6)
    assert course.step_end - now == pytest.approx(200, abs=6)
    started = course.step_start
    bench.run(50)
    assert course.step_start == started
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    assert math.isnan(course.step_start)
    assert math.isnan(course.step_end)


def test_a_load_that_a_list_cannot_hold_goes_on_as_the_same_step(bench):
    lists = iter([True, True, False])
    bench.cycler.is_partial = lambda segment: next(lists)
    bench.running(protocol(LOAD, CHARGE), after=50)
    for _ in range(2):
        n_loads = len(bench.cycler.loads)
        bench.cycler._end()
        bench.run_until(lambda n=n_loads: len(bench.cycler.loads) > n)
        bench.run(50)
    assert bench.guard.runner.step_count == 1
    assert bench.guard.samples.step_elapsed == pytest.approx(150, abs=20)
    # It is loaded once to be looked at, and again when it is started, for the cell as it is then.
    continues = [segment.is_continuation for segment in bench.cycler.loads]
    assert continues == [False, False, True, True]
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    assert {line["step_count"] for line in bench.lines("sample")} == {1, 2}


def test_a_load_whose_cell_recovers_is_taken_up_from_the_higher_voltage(bench):
    bench.running(protocol(LOAD), after=50)
    bench.cycler._set = lambda step: None
    bench.cycler.noise = 0.2
    n_loads = len(bench.cycler.loads)
    bench.run_until(lambda: len(bench.cycler.loads) > n_loads)
    assert bench.cycler.loads[-1].is_continuation
    assert bench.guard.runner.step_count == 1
    assert bench.guard.state is GuardState.RUNNING


def test_a_hold_may_come_while_a_step_is_being_ended(bench):
    bench.running(protocol(HOLD, CHARGE), after=5)
    stop = bench.cycler.stop
    bench.cycler.stop = lambda: None
    bench.run_until(lambda: bool(bench.lines("step_end")))
    bench.guard.hold()
    bench.cycler.stop = stop
    bench.run(60)
    assert bench.guard.runner.is_hold
    assert [step.index for step in bench.guard.runner.remainder] == [1]
    bench.guard.proceed()
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    assert {line["step_index"] for line in bench.lines("sample")} == {-1, 0, 1}


def test_open_circuit_while_a_step_is_being_ended_starts_nothing(bench):
    bench.running(protocol(HOLD, CHARGE), after=5)
    bench.cycler.stop, stop = (lambda: None), bench.cycler.stop
    bench.run_until(lambda: bool(bench.lines("step_end")))
    bench.guard.open_circuit()
    bench.cycler.stop = stop
    bench.run(100)
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    assert not bench.cycler.is_running
    assert [step.index for step in bench.guard.runner.remainder] == [1]


def test_a_hold_ends_after_the_maximum_that_was_asked_for(bench):
    bench.running(protocol(CHARGE), after=20)
    bench.guard.hold(maximum=60.0)
    bench.run_until(lambda: bench.guard.state is GuardState.OPEN_CIRCUIT, most=100)
    assert "held for 60 s" in bench.lines("state")[-1]["reason"]


def test_a_charge_beyond_what_the_protocol_allows_trips(bench):
    bench.running(protocol({**CHARGE, "until_time_s": 9000}, max_capacity_mAh=0.5), after=5)
    bench.run_until(lambda: bench.guard.state is GuardState.TRIPPED)
    assert "beyond 0.5000 mAh" in bench.guard.trip["reason"]
    assert bench.guard.samples.latest.charge == pytest.approx(0.5, abs=0.01)


def test_a_temperature_beyond_the_passports_limits_trips(bench):
    bench.own()
    bench.mount(limits={"voltage_min": 2.5, "voltage_max": 3.9, "current_max": 0.01,
                        "temperature_max": 35.0})  # fmt: skip
    bench.guard.load(Protocol.read(protocol(CHARGE)))
    bench.guard.start()
    bench.thermostat.asked.append((0.0, 36.0))
    bench.run_until(lambda: bench.guard.state is GuardState.TRIPPED, most=50)
    assert "36.00 degC is outside -inf to 35 degC" in bench.guard.trip["reason"]


def test_a_limit_of_the_protocol_trips_after_its_delay(bench):
    bench.running(
        protocol({**CHARGE, "until_time_s": 9000}, max_voltage_V=3.2, delay_s=200), after=5
    )
    bench.run_until(lambda: bench.guard.state is GuardState.TRIPPED)
    beyond = [line for line in bench.lines("sample") if line["voltage"] > 3.225]
    assert beyond[-1]["elapsed"] - beyond[0]["elapsed"] == pytest.approx(200, abs=20)
    assert "outside the protocol's limits" in bench.guard.trip["reason"]


def start_again(bench):
    bench.log.close()
    bench.log = Log(bench.config.log)
    bench.guard = Guard(bench.config, bench.cycler, bench.log, bench.clock, bench.thermostat)
    restore(bench.guard, Past.read(bench.config.log), wall=bench.wall)
    bench.own()


def meddle(bench, what):
    guard = bench.guard
    try:
        if what == "restart":
            start_again(bench)
        elif what == "hold":
            guard.hold(maximum=50.0)
        elif what == "open":
            guard.open_circuit()
        else:
            guard.proceed()
    except (GuardError, PreflightError):
        return


def is_over(guard):
    """A circuit that is opened in the last moment of a protocol leaves nothing of it."""
    is_open = guard.state is GuardState.OPEN_CIRCUIT and not guard.runner.is_active
    return guard.state is GuardState.FINISHED or (is_open and not guard.runner.remainder)


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    order=st.lists(st.sampled_from(range(len(STEPS))), min_size=1, max_size=5),
    meddling=st.lists(
        st.tuples(st.sampled_from(["restart", "hold", "open", "proceed"]), st.integers(1, 400)),
        max_size=5,
    ),
)
def test_every_step_is_run_in_its_order_to_its_end_whatever_comes_between(
    bench_type, order, meddling
):
    with tempfile.TemporaryDirectory() as directory:
        bench = bench_type(Path(directory))
        charge = bench.cycler.charge
        bench.running(protocol(*(STEPS[number] for number in order)), after=5)
        for what, seconds in meddling:
            meddle(bench, what)
            bench.run(5 * max(1, seconds // 5))
        for _ in range(3000):
            if is_over(bench.guard):
                break
            if bench.guard.state is GuardState.OPEN_CIRCUIT and not bench.guard.runner.is_active:
                meddle(bench, "proceed")
            bench.run(10)
        assert is_over(bench.guard)
        samples = bench.lines("sample")
        indices = [line["step_index"] for line in samples if line["step_index"] >= 0]
        assert indices == sorted(indices)
        assert set(indices) == set(range(len(order)))
        keys = [line["key"] for line in samples if "key" in line]
        assert len(keys) == len(set(keys))
        assert bench.guard.samples.latest.charge == pytest.approx(
            bench.cycler.charge - charge, abs=0.02
        )
        bench.close()
