import pytest

from battbeam.experiment.guard_state import GuardState
from battbeam.guard.core import Guard
from battbeam.guard.log import Log, read_lines
from battbeam.guard.ownership import Owner
from battbeam.guard.policy import Occasion, Policy
from battbeam.guard.restore import Past, restore

CHARGE = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 60},
        {"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.6},
        {"step": "open_circuit_voltage", "until_time_s": 60},
        {"step": "constant_current", "rate_C": -1, "until_voltage_V": 3.2},
    ],
}


def start_again(bench):
    """The guard was killed: another one on the same log and the same cycler."""
    bench.log.close()
    bench.log = Log(bench.config.log)
    bench.guard = Guard(bench.config, bench.cycler, bench.log, bench.clock, bench.thermostat)
    restore(bench.guard, Past.read(bench.config.log), wall=bench.wall)
    return bench.guard


def own_again(bench):
    bench.guard.acquire(Owner("host", 1, "session", "a-random-token"), wall=bench.wall)


def test_an_empty_log_is_the_past_of_a_new_guard(bench, tmp_path):
    assert Past.read(tmp_path / "none.jsonl").is_empty
    bench.mount()
    past = Past.read(bench.config.log)
    assert past.passport["cell"] == "LFP-007"


def test_a_running_protocol_goes_on_and_no_sample_is_lost_or_doubled(bench):
    bench.running(CHARGE, after=300)
    before = bench.guard
    bench.cycler.advance(200)
    guard = start_again(bench)
    own_again(bench)
    assert guard.state is GuardState.RUNNING
    assert guard.cell_run == before.cell_run
    bench.run_until(lambda: bench.guard.state is GuardState.FINISHED)
    samples = bench.lines("sample")
    assert len({line["key"] for line in samples}) == len(samples)
    assert [line["sequence"] for line in samples] == list(range(1, len(samples) + 1))
    assert samples[-1]["charge"] == pytest.approx(bench.cycler.charge - 0.2, abs=1e-6)
    counts = [line["step_count"] for line in samples]
    assert counts == sorted(counts)
    assert [line["n"] for line in read_lines(bench.config.log)] == list(range(bench.log.n))


def test_an_owner_that_does_not_come_back_is_lost(bench):
    bench.running(CHARGE, after=300)
    bench.guard.policies[Occasion.CLIENT_LOSS] = Policy.OPEN_CIRCUIT
    bench.guard.change(policies={"client_loss": "open_circuit"})
    guard = start_again(bench)
    bench.tick(11.9)
    assert guard.state is GuardState.RUNNING
    bench.tick(0.2)
    assert guard.state is GuardState.OPEN_CIRCUIT
    assert not bench.cycler.is_running


def test_a_segment_that_ended_meanwhile_is_followed_by_the_next(bench):
    bench.running(CHARGE, after=60)
    bench.cycler.advance(4000)
    assert not bench.cycler.is_running
    guard = start_again(bench)
    own_again(bench)
    bench.run(20)
    assert guard.state is GuardState.RUNNING
    assert bench.cycler.is_running
    assert len(bench.lines("segment")) == 2


def test_a_trip_stays_latched(bench):
    bench.running(CHARGE, after=300)
    bench.guard.limits.set_soft("voltage_max", 3.0)
    bench.run(20)
    guard = start_again(bench)
    bench.run(10)
    assert guard.state is GuardState.TRIPPED
    assert "voltage" in guard.trip["reason"]
    assert guard.standing.shown_state is GuardState.TRIPPED


def test_a_circuit_that_was_to_be_opened_is_opened(bench):
    bench.running(CHARGE, after=300)
    bench.guard.writer.state("OpenCircuit", "killed", None, 2, kept="OpenCircuit")
    guard = start_again(bench)
    bench.run(50)
    assert guard.state is GuardState.OPEN_CIRCUIT
    assert not bench.cycler.is_running
    own_again(bench)
    guard.proceed()
    bench.run(20)
    assert bench.cycler.is_running


def test_a_hold_that_was_not_begun_yet_begins(bench):
    bench.running(CHARGE, after=300)
    bench.guard.writer.state("Holding", "killed", None, 2, kept="Holding")
    guard = start_again(bench)
    own_again(bench)
    bench.run(50)
    assert guard.state is GuardState.HOLDING
    assert bench.cycler.segment.steps[0].index == -1


def test_what_was_only_loaded_has_to_be_loaded_again(bench):
    bench.own()
    bench.mount()
    from battbeam.experiment.protocol import Protocol

    bench.guard.load(Protocol.read(CHARGE))
    assert start_again(bench).state is GuardState.OPEN_CIRCUIT


def test_settings_and_soft_limits_are_kept(bench):
    bench.mount()
    bench.guard.change(heartbeat_timeout=7.0, hold_maximum=50.0)
    bench.guard.change(soft=[2.8, 3.5, 0.004])
    guard = start_again(bench)
    assert (guard.ownership.timeout, guard.course.hold_maximum) == (7.0, 50.0)
    assert guard.limits.soft.voltage_max == 3.5
