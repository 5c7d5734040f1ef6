import json
import math

import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.guard_state import GuardState
from battbeam.guard.commands import VERBS, carry_out, set_soft_limit
from battbeam.guard.policy import Occasion, Policy
from battbeam.guard.publish import published

TOKEN = "a-random-token"
REST = {"record": {"time_s": 10}, "method": [{"step": "open_circuit_voltage", "until_time_s": 60}]}


def ask(bench, verb, *, token=TOKEN, **content):
    text = json.dumps({"id": "7", "token": token, **content})
    return carry_out(bench.guard, verb, text, wall=bench.wall)


def acquire(bench):
    return ask(bench, "Owner", host="h", pid=1, session="s")


def test_a_whole_session_speaks_in_commands(bench):
    assert acquire(bench).ok
    assert ask(bench, "Passport", passport=dict(EXAMPLE)).ok
    assert ask(bench, "Policies", policies={"failure": "open_circuit"}).ok
    assert ask(bench, "Settings", heartbeat_timeout=5, hold_maximum=60).ok
    assert ask(bench, "Validate", protocol=REST).ok
    assert ask(bench, "Load", protocol=REST).ok
    assert ask(bench, "Start").ok
    assert bench.guard.state is GuardState.RUNNING
    assert ask(bench, "Hold").ok
    bench.run(5)
    assert ask(bench, "Proceed").ok
    assert ask(bench, "Occasion", occasion="failure").ok
    bench.run(5)
    assert bench.guard.state is GuardState.OPEN_CIRCUIT
    assert ask(bench, "Passport", passport=None).ok
    assert ask(bench, "Owner", release=True).ok
    assert bench.guard.policies[Occasion.FAILURE] is Policy.OPEN_CIRCUIT
    assert (bench.guard.ownership.timeout, bench.guard.course.hold_maximum) == (5, 60)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "OpenCircuit"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "{}", '{"token": []}'])
def test_nonsense_is_refused_and_raises_nothing(bench, verb, text):
    result = carry_out(bench.guard, verb, text, wall=bench.wall)
    assert not result.ok
    assert result.error
    assert bench.guard.standing.last_error.startswith(f"{verb}: ")


@pytest.mark.parametrize("verb", ["Load", "Start", "Hold", "Proceed", "Reset", "Passport"])
def test_only_the_owner_commands(bench, verb):
    assert "nobody owns" in ask(bench, verb).error
    acquire(bench)
    assert "owned by session s" in ask(bench, verb, token="somebody-else").error


def test_anyone_may_open_the_circuit_and_validate(bench):
    acquire(bench)
    ask(bench, "Passport", passport=dict(EXAMPLE))
    ask(bench, "Load", protocol=REST)
    ask(bench, "Start")
    assert ask(bench, "Validate", token="", protocol=REST).ok
    assert ask(bench, "OpenCircuit", token="", reason="smoke").ok
    assert not bench.cycler.is_running
    assert bench.lines("state")[-1]["reason"] == "smoke"


@pytest.mark.parametrize(
    ("verb", "content", "error"),
    [
        ("Load", {}, "protocol is missing"),
        ("Load", {"protocol": 3}, "protocol is missing"),
        ("Passport", {}, "give it under the key 'passport'"),
        ("Passport", {"passport": 3}, "must be an object"),
        ("Passport", {"passport": {}}, "chemistry is missing"),
        ("Passport", {"passport": None}, "no cell is mounted"),
        ("Policies", {"policies": {"client_loss": "explode"}}, "unknown policy"),
        ("Occasion", {"occasion": "client_loss"}, "occasion must be one of"),
        ("Settings", {"heartbeat_timeout": 0.01}, "must lie in 0.2 to 60 s"),
        ("Settings", {"heartbeat_timeout": [1]}, "float"),
        ("Settings", {"hold_maximum": -1}, "hold_maximum must lie in"),
        ("Start", {}, "nothing is loaded"),
        ("Hold", {}, "only a running cell can be held"),
        ("Proceed", {}, "no protocol was interrupted"),
        ("Reset", {}, "there is no trip"),
    ],
)
def test_each_refusal_says_why(bench, verb, content, error):
    acquire(bench)
    result = ask(bench, verb, **content)
    assert not result.ok
    assert error in result.error


def test_the_answer_is_json_with_every_fault(bench):
    acquire(bench)
    ask(bench, "Passport", passport=dict(EXAMPLE))
    wrong = {"record": {"time_s": -1}, "method": [{"step": "magic"}]}
    answer = json.loads(ask(bench, "Load", protocol=wrong).to_json())
    assert (answer["id"], answer["verb"], answer["ok"]) == ("7", "Load", False)
    assert len(answer["faults"]) == 3


def test_a_second_cell_is_refused_while_one_is_mounted(bench):
    acquire(bench)
    ask(bench, "Passport", passport=dict(EXAMPLE))
    assert "dismount it first" in ask(bench, "Passport", passport=dict(EXAMPLE)).error


def test_a_cell_that_the_hard_limits_exclude_is_refused(bench):
    acquire(bench)
    limits = {"voltage_min": 4.5, "voltage_max": 5.0, "current_max": 0.01}
    result = ask(bench, "Passport", passport={**EXAMPLE, "limits": limits})
    assert "shares nothing with the hard limits" in result.error


def test_soft_limits_stay_inside_the_hard_ones(bench):
    assert set_soft_limit(bench.guard, "voltage_max", 4.0).ok
    assert not set_soft_limit(bench.guard, "voltage_max", 4.3).ok
    assert not set_soft_limit(bench.guard, "voltage_max", math.nan).ok
    assert bench.guard.limits.soft.voltage_max == 4.0


def test_tokens_are_neither_published_nor_written_down(bench):
    acquire(bench)
    ask(bench, "Passport", passport=dict(EXAMPLE))
    assert TOKEN not in json.dumps(published(bench.guard))
    assert TOKEN not in bench.config.log.read_text()


def test_the_expected_end_is_an_estimate_while_a_protocol_runs(bench):
    assert math.isnan(published(bench.guard)["ExpectedEnd"])
    acquire(bench)
    ask(bench, "Passport", passport=dict(EXAMPLE))
    ask(bench, "Load", protocol=REST)
    ask(bench, "Start")
    bench.run(20)
    expected = published(bench.guard)["ExpectedEnd"]
    assert expected == pytest.approx(bench.clock.time + 40, abs=2)
