import math
from dataclasses import replace

import pytest

from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import Protocol, StepType
from battbeam.guard.ownership import Owner
from battbeam.guard.policy import Occasion, Policy

CHARGE = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 60},
        {"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.6},
        {"step": "constant_voltage", "voltage_V": 3.6, "until_rate_C": 0.05},
        {"step": "constant_current", "rate_C": -1, "until_voltage_V": 3.2},
    ],
}


def test_no_current_flows_without_a_passport(bench):
    bench.own()
    with pytest.raises(GuardError, match="without a passport no current flows"):
        bench.guard.load(Protocol.read(CHARGE))
    assert bench.cycler.loads == []


def test_a_protocol_runs_to_its_end_with_every_sample_once(bench):
    bench.running(CHARGE)
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    samples = bench.lines("sample")
    keys = [line["key"] for line in samples]
    assert len(keys) == len(set(keys))
    assert [line["sequence"] for line in samples] == list(range(1, len(samples) + 1))
    assert {line["source"] for line in samples} == {"file"}
    assert [segment.steps[0].type for segment in bench.cycler.loads] == [
        StepType.REST,
        StepType.CONSTANT_CURRENT,
    ]
    assert samples[-1]["charge"] == pytest.approx(bench.cycler.charge - 0.2, abs=0.002)


def test_charge_is_the_integral_of_a_constant_current(bench):
    method = [{"step": "constant_current", "rate_C": 0.5, "until_time_s": 720}]
    bench.running({"record": {"time_s": 10}, "method": method})
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    last = bench.lines("sample")[-1]
    assert last["charge"] == pytest.approx(2.9 * 0.1, rel=1e-9)
    assert last["state_of_charge"] == pytest.approx(0.1, rel=1e-9)


def test_step_count_never_repeats_and_cycles_are_counted(bench):
    step = {"step": "constant_current", "until_time_s": 20}
    method = [
        {"step": "tag", "tag": "start"},
        {**step, "rate_C": 0.1},
        {**step, "rate_C": -0.1},
        {"step": "loop", "loop_to": "start", "cycle_count": 3},
    ]
    bench.running({"record": {"time_s": 10}, "method": method}, after=5)
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    bench.guard.load(Protocol.read(CHARGE))
    bench.guard.start()
    bench.run(20)
    counts = [line["step_count"] for line in bench.lines("sample")]
    assert counts == sorted(counts)
    assert set(counts) == set(range(1, 8))
    cycles = {line["step_count"]: line["cycle_number"] for line in bench.lines("sample")}
    assert [cycles[count] for count in range(1, 7)] == [1, 1, 2, 2, 3, 3]


def test_a_voltage_beyond_the_soft_limit_trips_to_open_circuit_and_stays(bench):
    bench.running(CHARGE)
    bench.guard.limits.set_soft("voltage_max", 3.2)
    bench.run_until(lambda: bench.guard.state is GuardState.TRIPPED)
    assert not bench.cycler.is_running
    trip = bench.lines("trip")[-1]
    assert "voltage 3.2" in trip["reason"]
    assert trip["current"] == pytest.approx(2.9e-3)
    bench.run(100)
    assert bench.guard.state is GuardState.TRIPPED
    with pytest.raises(GuardError, match="the trip stays: voltage"):
        bench.guard.reset()
    bench.guard.limits.set_soft("voltage_max", 4.0)
    bench.guard.reset()
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    with pytest.raises(GuardError, match="no protocol was interrupted"):
        bench.guard.proceed()


def test_load_is_refused_while_tripped(bench):
    bench.running(CHARGE)
    bench.guard.limits.set_soft("voltage_max", 3.1)
    bench.run_until(lambda: bench.guard.state is GuardState.TRIPPED)
    bench.run(10)
    with pytest.raises(GuardError, match=r"tripped .*reset the trip first"):
        bench.guard.load(Protocol.read(CHARGE))


def test_readings_that_are_no_numbers_trip_a_running_cell(bench):
    bench.running(CHARGE)
    bench.cycler.noise = math.nan
    bench.run(20)
    assert bench.guard.state is GuardState.TRIPPED
    assert "no numbers" in bench.guard.trip["reason"]


def test_load_is_refused_while_running_and_names_every_fault_of_a_protocol(bench):
    bench.running(CHARGE)
    with pytest.raises(GuardError, match="no protocol can be loaded while the cell is Running"):
        bench.guard.load(Protocol.read(CHARGE))
    bench.guard.open_circuit()
    bench.run(10)
    bad = {"record": {"time_s": 10}, "method": [{**CHARGE["method"][1], "until_voltage_V": 4.5}]}
    bad["method"].append({"step": "constant_current", "rate_C": 10, "until_time_s": 10})
    with pytest.raises(PreflightError, match="outside the cell's window") as refusal:
        bench.guard.load(Protocol.read(bad))
    assert len(refusal.value.faults) == 2


@pytest.mark.parametrize(("charge", "fault"), [(-4.0, "is outside"), (-11.0, "polarity is wrong")])
def test_load_is_refused_at_a_wrong_open_circuit_voltage(bench, charge, fault):
    bench.own()
    bench.mount()
    bench.cycler.charge = charge
    bench.run(5)
    with pytest.raises(PreflightError, match=fault):
        bench.guard.load(Protocol.read(CHARGE))


def test_hold_keeps_the_mean_of_the_last_three_voltages_and_ends_in_open_circuit(bench):
    bench.running(CHARGE, after=400)
    recent = bench.guard.samples.recent_voltage
    bench.guard.hold()
    assert bench.guard.state is GuardState.HOLDING
    bench.run(5)
    (step,) = bench.cycler.segment.steps
    assert step.voltage == pytest.approx(recent, abs=0.002)
    assert step.duration == 600
    bench.run(700)
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    assert "longest allowed" in bench.lines("state")[-1]["reason"]


def test_proceed_runs_what_is_left_of_the_interrupted_step_and_the_rest(bench):
    method = [
        {"step": "constant_current", "rate_C": 0.1, "until_time_s": 100},
        *CHARGE["method"],
        {"step": "open_circuit_voltage", "until_time_s": 30},
    ]
    bench.running({"record": {"time_s": 10}, "method": method}, after=40)
    bench.guard.hold()
    bench.run(50)
    bench.guard.proceed()
    bench.run(5)
    first = bench.cycler.segment.steps[0]
    assert (first.index, first.duration) == (0, pytest.approx(60.0, abs=6))
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    indices = [line["step_index"] for line in bench.lines("sample") if line["step_index"] >= 0]
    assert list(dict.fromkeys(indices)) == list(range(6))


def test_proceed_goes_on_after_an_open_circuit_too(bench):
    bench.running(CHARGE, after=300)
    bench.guard.open_circuit("a look at the cell")
    bench.run(60)
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    assert bench.cycler.current == 0
    bench.guard.proceed()
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)


def test_open_circuit_needs_no_owner_and_stops_at_once(bench):
    bench.running(CHARGE)
    bench.guard.release(TOKEN)
    bench.guard.open_circuit()
    assert not bench.cycler.is_running


TOKEN = "a-random-token"


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("occasion", [each for each in Occasion if each != Occasion.CLIENT_LOSS])
def test_every_policy_is_carried_out_on_every_occasion(bench, occasion, policy):
    bench.running(CHARGE, after=300)
    bench.guard.policies[occasion] = policy
    bench.guard.carry_out(occasion)
    bench.run(10)
    expected = {
        Policy.CONTINUE: (GuardState.RUNNING, True),
        Policy.HOLD: (GuardState.HOLDING, True),
        Policy.OPEN_CIRCUIT: (GuardState.OPEN_CIRCUIT, False),
    }[policy]
    assert (bench.guard.state, bench.cycler.is_running) == expected
    assert bench.lines("policy")[-1]["occasion"] == occasion


@pytest.mark.parametrize("policy", list(Policy))
def test_a_lost_client_is_noticed_within_its_time_out_and_the_policy_carried_out(bench, policy):
    bench.running(CHARGE, after=300)
    bench.guard.policies[Occasion.CLIENT_LOSS] = policy
    lost = bench.wall
    bench.beat()
    while bench.wall < lost + 1.95:
        bench.tick(0.05)
        assert bench.guard.state is GuardState.RUNNING
    while bench.wall < lost + 2.1:
        bench.tick(0.05)
    assert bench.guard.ownership.state == "lapsed"
    expected = {
        Policy.CONTINUE: GuardState.RUNNING,
        Policy.HOLD: GuardState.HOLDING,
        Policy.OPEN_CIRCUIT: GuardState.OPEN_CIRCUIT,
    }[policy]
    assert bench.guard.state is expected


def test_a_heartbeat_whose_count_stands_still_is_none(bench):
    bench.running(CHARGE)
    lost = bench.wall
    bench.beat()
    while bench.wall < lost + 2.2:
        bench.guard.ownership.beat(f"{TOKEN} {bench.count}", wall=bench.wall)
        bench.tick(0.05)
    assert bench.guard.ownership.state == "lapsed"


def test_a_second_session_is_refused_and_told_who_owns_the_cell(bench):
    bench.own()
    with pytest.raises(GuardError, match="owned by session session \\(process 1 on host\\)"):
        bench.guard.acquire(Owner("other", 2, "another", "another-token"), wall=bench.wall)
    bench.guard.release(TOKEN)
    bench.guard.acquire(Owner("other", 2, "another", "another-token"), wall=bench.wall)


def test_a_cycler_that_is_lost_is_shown_and_its_records_come_later(bench):
    bench.running(CHARGE, after=300)
    bench.cycler.lost = True
    bench.run(200)
    assert bench.guard.standing.shown_state is GuardState.UNREACHABLE
    n_before = len(bench.lines("sample"))
    bench.cycler.lost = False
    bench.run(5)
    assert bench.guard.standing.shown_state is GuardState.RUNNING
    assert len(bench.lines("sample")) >= n_before + 20
    keys = [line["key"] for line in bench.lines("sample")]
    assert len(keys) == len(set(keys))


def test_a_circuit_that_could_not_be_opened_is_opened_when_the_cycler_answers_again(bench):
    bench.running(CHARGE, after=300)
    bench.cycler.lost = True
    with pytest.raises(GuardError, match="does not answer"):
        bench.guard.open_circuit()
    bench.run(20)
    assert bench.cycler.is_running
    bench.cycler.lost = False
    bench.run(50)
    assert not bench.cycler.is_running


def test_a_cycler_started_by_another_hand_is_stopped(bench):
    bench.running(CHARGE)
    bench.guard.open_circuit()
    bench.run(10)
    bench.cycler.segment = bench.cycler.loads[0]
    bench.cycler.start()
    bench.cycler.has_ended = False
    bench.run(50)
    assert not bench.cycler.is_running
    assert any("without being started" in line["text"] for line in bench.lines("error"))


def test_a_cycler_that_stops_by_itself_is_reported_and_the_rest_is_kept(bench):
    bench.running(CHARGE, after=300)
    bench.cycler._record()
    bench.cycler._end()
    bench.run(10)
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    assert "in the middle of a segment" in bench.guard.standing.last_error
    bench.guard.proceed()
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)


def test_live_values_become_samples_where_no_record_can_be_read(bench):
    bench.cycler._record = lambda: None
    method = [{"step": "constant_current", "rate_C": 0.5, "until_time_s": 720}]
    bench.running({"record": {"time_s": 10}, "method": method})
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    samples = bench.lines("sample")
    assert {line["source"] for line in samples} == {"live"}
    assert samples[-1]["charge"] == pytest.approx(0.29, abs=0.005)


def test_watermarks_come_every_half_second_and_never_pass_what_is_known(bench):
    bench.running(CHARGE, after=1000)
    marks = bench.lines("watermark")
    values = [line["complete_to"] for line in marks]
    assert values == sorted(values)
    assert all(line["complete_to"] <= line["time"] for line in marks)
    assert bench.clock.time - values[-1] <= 60
    bench.guard.open_circuit()
    bench.run(200)
    assert bench.lines("watermark")[-1]["complete_to"] >= bench.clock.time - 51


def test_the_clocks_are_compared_at_the_start_and_every_few_seconds(bench):
    bench.running(CHARGE, after=1000)
    assumed, first, *more = bench.lines("clock")
    assert assumed["uncertainty"] == 60
    assert first["device_time"] - first["session_time"] == pytest.approx(3.2)
    assert 2 <= len(more) <= 4


def test_dismounting_ends_the_cell_run_and_a_new_one_counts_from_nothing(bench):
    bench.running(CHARGE)
    with pytest.raises(GuardError, match="cannot be dismounted while the cell is Running"):
        bench.guard.dismount()
    bench.guard.open_circuit()
    bench.run(10)
    first = bench.guard.standing.cell_run
    bench.guard.dismount()
    assert bench.lines("watermark")[-1]["complete_to"] == bench.clock.time
    assert bench.guard.standing.shown_state is GuardState.UNMOUNTED
    bench.mount(cell="another")
    assert bench.guard.standing.cell_run != first
    assert bench.guard.samples.latest.charge == 0


def test_what_is_left_of_a_step_is_its_duration_less_what_has_passed(bench):
    step = replace(bench_step(), duration=100.0)
    assert step.after(40.0).duration == 60.0
    assert step.after(100.0) is None
    assert replace(step, duration=None).after(1e6).duration is None


def bench_step():
    from battbeam.experiment.protocol import Step

    return Step(0, StepType.CONSTANT_CURRENT, current=1e-3, direction=1)
