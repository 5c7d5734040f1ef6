import json
import math

import pytest

from battbeam.devices.fakes import fake, ready_potentiostat
from battbeam.devices.guard_commands import SilentGuardError
from battbeam.devices.potentiostat import Potentiostat
from battbeam.errors import GuardError
from battbeam.processes import wait_for


@pytest.fixture
def potentiostat():
    return ready_potentiostat(fake(Potentiostat, name="potentiostat"))


def refuse(potentiostat, attribute, **answer):
    def put(text, **_):
        command = json.loads(text)
        potentiostat.result.sim_put(json.dumps({"id": command["id"], "ok": False, **answer}))

    getattr(potentiostat, attribute).sim_set_putter(put)


def test_a_verb_succeeds_when_the_guard_says_so(potentiostat):
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    potentiostat.load({"method": []}).wait(timeout=1)
    assert potentiostat.is_owned


def test_a_refusal_carries_the_words_of_the_guard(potentiostat):
    refuse(potentiostat, "load_command", verb="Load", error="protocol", faults=["4.9 V", "9 A"])
    with pytest.raises(GuardError, match=r"Load: protocol\n  - 4.9 V\n  - 9 A"):
        potentiostat.load({"method": []}).wait(timeout=1)


def test_the_answer_to_another_command_is_not_taken_for_ones_own(potentiostat):
    potentiostat.start_command.sim_set_putter(lambda _text, **_: None)
    status = potentiostat.start()
    potentiostat.result.sim_put(json.dumps({"id": "somebody's", "ok": True}))
    assert not status.done
    status.finish()


def test_a_silent_guard_is_named(potentiostat):
    potentiostat.hold_command.sim_set_putter(lambda _text, **_: None)
    status = potentiostat._command(potentiostat.hold_command, "hold", {}, timeout=0.1)
    with pytest.raises(GuardError, match=r"potentiostat \(X:\): hold: no answer within 0.1 s"):
        status.wait(timeout=1)


def test_every_command_carries_the_token_that_was_made(potentiostat):
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    sent = []
    potentiostat.start_command.sim_set_putter(lambda text, **_: sent.append(json.loads(text)))
    potentiostat.start().finish()
    assert len(sent[0]["token"]) == 32
    potentiostat.beat(3)
    assert potentiostat.heartbeat.get() == f"{sent[0]['token']} 3"


def test_without_ownership_the_heart_does_not_beat(potentiostat):
    potentiostat.beat(1)
    assert potentiostat.heartbeat.get() == ""


def test_the_runengine_finds_nothing_to_move_and_nothing_of_ours_to_stop():
    assert not hasattr(Potentiostat, "set")
    for reserved in ("pause", "resume", "stop"):
        assert reserved not in vars(Potentiostat)


def test_a_guard_that_is_not_heard_knows_nothing_of_the_cell(potentiostat):
    potentiostat.voltage.sim_put(3.7)
    assert potentiostat.cell_reading(5.0).voltage == 3.7
    potentiostat.result._metadata["connected"] = False
    assert math.isnan(potentiostat.cell_reading(5.0).voltage)


def test_a_reading_of_the_cell_holds_all_that_rules_may_ask_for(potentiostat):
    potentiostat.voltage_working.sim_put(3.8)
    potentiostat.voltage_counter.sim_put(0.1)
    potentiostat.step_start.sim_put(2.0)
    potentiostat.step_end.sim_put(math.inf)
    potentiostat.cycle_number.sim_put(3)
    potentiostat.temperature.sim_put(30.0)
    reading = potentiostat.cell_reading(5.0)
    assert (reading.voltage_working, reading.voltage_counter) == (3.8, 0.1)
    assert (reading.step_remaining, reading.cycle_number) == (math.inf, 3)
    assert (reading.temperature, reading.step_elapsed) == (30.0, 3.0)


def test_a_hold_may_have_a_maximum(potentiostat):
    sent = []
    potentiostat.hold_command.sim_set_putter(lambda text, **_: sent.append(json.loads(text)))
    for status in (potentiostat.hold(), potentiostat.hold(maximum=30.0)):
        status.finish()
    assert [command.get("maximum") for command in sent] == [None, 30.0]


def test_a_guard_that_was_started_again_is_asked_for_the_cell_again(potentiostat):
    potentiostat.boot_id.sim_put("first")
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    sent = []
    potentiostat.owner_command.sim_set_putter(lambda text, **_: sent.append(json.loads(text)))
    potentiostat.beat(1)
    assert sent == []
    potentiostat.boot_id.sim_put("second")
    potentiostat.beat(2)
    potentiostat.beat(3)
    assert [command["session"] for command in sent] == ["s"]
    assert potentiostat.heartbeat.get() == f"{sent[0]['token']} 3"
    answer = {"id": sent[0]["id"], "verb": "Owner", "ok": False, "error": "owned by another"}
    potentiostat.result.sim_put(json.dumps(answer))
    wait_for(lambda: not potentiostat.is_owned, timeout=5, what="the refusal to be taken")


def test_a_guard_that_took_its_session_for_lost_is_asked_again(potentiostat, monkeypatch):
    logged = []
    monkeypatch.setattr(
        "battbeam.devices.potentiostat._log.warning", lambda *words: logged.append(words[-1])
    )
    potentiostat.policies.sim_put(json.dumps({"client_loss": "hold"}))
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    sent = []

    def answer(text, **_):
        command = json.loads(text)
        sent.append(command)
        potentiostat.result.sim_put(json.dumps({"id": command["id"], "ok": True}))

    potentiostat.owner_command.sim_set_putter(answer)
    potentiostat.owner.sim_put("owned")
    potentiostat.beat(1)
    assert sent == []
    potentiostat.owner.sim_put("lapsed")
    assert potentiostat.has_lapsed
    potentiostat.beat(2)
    wait_for(lambda: potentiostat.losses, timeout=5, what="the answer to be taken")
    potentiostat.beat(3)
    assert [command["session"] for command in sent] == ["s"]
    assert potentiostat.heartbeat.get() == f"{sent[0]['token']} 3"
    (told,) = potentiostat.losses
    assert "no beat of this session for too long and carried out its policy" in told
    assert "client_loss (hold); this session owns the cell again" in told
    assert logged == [told]


def test_a_cell_that_another_session_took_meanwhile_stays_its(potentiostat):
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    refuse(potentiostat, "owner_command", verb="Owner", error="owned by another")
    potentiostat.owner.sim_put("lapsed")
    potentiostat.beat(1)
    wait_for(lambda: not potentiostat.is_owned, timeout=5, what="the refusal to be taken")
    potentiostat.beat(2)
    assert potentiostat.losses == []


def test_a_guard_that_does_not_answer_is_asked_again(potentiostat):
    potentiostat.acquire({"session": "s"}).wait(timeout=1)
    sent = []
    potentiostat.owner_command.sim_set_putter(lambda text, **_: sent.append(text))
    potentiostat.owner.sim_put("lapsed")
    potentiostat.beat(1)
    potentiostat._asked_again.fail(SilentGuardError("no answer"))
    wait_for(lambda: potentiostat._asked_again.done, timeout=5, what="its end")
    potentiostat.beat(2)
    assert len(sent) == 2
    assert potentiostat.is_owned
    potentiostat._asked_again.finish()


def test_a_disconnected_reading_is_not_a_number(potentiostat):
    potentiostat.voltage._metadata["connected"] = False
    assert math.isnan(potentiostat.read()["potentiostat_voltage"]["value"])


def test_voltage_current_and_charge_are_hinted():
    made = ready_potentiostat(fake(Potentiostat, name="potentiostat"))
    assert made.hints["fields"][:3] == [
        "potentiostat_voltage",
        "potentiostat_current",
        "potentiostat_charge",
    ]
