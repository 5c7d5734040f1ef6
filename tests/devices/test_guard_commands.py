import json

import pytest
from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices import guard_commands
from battbeam.devices.fakes import fake
from battbeam.devices.guard_commands import GuardCommands, SilentGuardError
from battbeam.devices.signals import Readback, Setting
from battbeam.errors import GuardError


class Guarded(Device):
    """The least that a guard's client needs."""

    verb = Cpt(Setting, "Verb", dtype="string")
    result = Cpt(Readback, "CommandResult", dtype="string")


@pytest.fixture
def guard():
    made = fake(Guarded, name="guard")
    made.verb.sim_put("")
    made.result.sim_put("")
    return made


@pytest.fixture
def commands(guard):
    return GuardCommands(guard)


def answer(guard, **said):
    guard.result.sim_put(json.dumps({"id": json.loads(guard.verb.get())["id"], **said}))


def test_each_command_ends_with_its_own_answer_whatever_the_order(guard, commands):
    first = commands.send(guard.verb, "hold", {}, timeout=5)
    earlier = json.loads(guard.verb.get())["id"]
    second = commands.send(guard.verb, "proceed", {}, timeout=5)
    answer(guard, ok=False, verb="Proceed", error="nothing to proceed with")
    with pytest.raises(GuardError, match="Proceed: nothing to proceed with"):
        second.wait(timeout=1)
    assert not first.done
    guard.result.sim_put(json.dumps({"id": earlier, "ok": True}))
    first.wait(timeout=1)


def test_an_answer_whose_monitor_was_lost_is_looked_for(guard, commands, monkeypatch):
    monkeypatch.setattr(guard_commands, "LOOK_AFTER", 0.02)
    guard.result.unsubscribe_all()
    status = commands.send(guard.verb, "hold", {}, timeout=5)
    answer(guard, ok=True)
    status.wait(timeout=2)


def test_a_fault_is_told_once(guard, commands):
    status = commands.send(guard.verb, "load", {}, timeout=5)
    answer(guard, ok=False, verb="Load", error="too high: 4.9 V", faults=["4.9 V", "9 A"])
    with pytest.raises(GuardError, match=r"Load: too high: 4.9 V\n  - 9 A$") as refused:
        status.wait(timeout=1)
    assert refused.value.faults == ("4.9 V", "9 A")


def test_a_guard_that_is_not_connected_is_not_asked(guard, commands):
    guard.result._metadata["connected"] = False
    with pytest.raises(GuardError, match=r"guard guard \(X:\): not connected; is it running"):
        commands.send(guard.verb, "hold", {}, timeout=5).wait(timeout=1)
    assert guard.verb.get() == ""


def test_silence_is_an_error_of_its_own(guard, commands):
    with pytest.raises(SilentGuardError, match=r"hold: no answer within 0.05 s"):
        commands.send(guard.verb, "hold", {}, timeout=0.05).wait(timeout=1)


def test_what_is_no_answer_is_ignored(guard, commands):
    status = commands.send(guard.verb, "hold", {}, timeout=5)
    guard.result.sim_put("not JSON")
    assert not status.done
    status.finish()
