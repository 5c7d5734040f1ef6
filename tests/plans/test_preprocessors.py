import asyncio
import math
import threading

import bluesky.plan_stubs as bps
import pytest
from bluesky.utils import RequestAbort, RequestStop

from battbeam.plans.preprocessors import (
    BeamSuspender,
    run,
    shutter_closed_after,
    suspended_without_beam,
    why,
)


class FakeLoop:
    """Runs at once what it is given."""

    def __init__(self):
        self.later = []

    def call_soon_threadsafe(self, callback):
        callback()

    def call_later(self, _delay, callback):
        self.later.append(callback)


class FakeState:
    is_running = True


class FakeEngine:
    def __init__(self, resumable=True):
        self.loop, self.state, self.resumable = FakeLoop(), FakeState(), resumable
        self.suspensions = []

    def request_suspend(self, wait, *, justification):
        self.suspensions.append((wait, justification))


@pytest.fixture
def suspender(fakes):
    made, engine = BeamSuspender(fakes.beam), FakeEngine()
    made.install(engine)
    return made, engine


@pytest.mark.parametrize("current", [math.nan, 0.0])
def test_not_a_number_and_no_current_suspend(fakes, suspender, current):
    fakes.beam.ring_current.sim_put(current)
    assert len(suspender[1].suspensions) == 1


def test_a_lost_connection_suspends(fakes, suspender):
    made, engine = suspender
    made._connection(connected=False)
    assert engine.suspensions[0][1] == "no beam: ring current not known"


def test_not_a_number_does_not_release_what_a_loss_has_suspended(fakes, suspender):
    made, _ = suspender
    fakes.beam.ring_current.sim_put(0.0)
    released = made._released
    fakes.beam.ring_current.sim_put(math.nan)
    assert not released.is_set()
    fakes.beam.ring_current.sim_put(100.0)
    assert released.is_set()


def test_one_loss_is_one_suspension(fakes, suspender):
    for current in (0.0, 1.0, math.nan):
        fakes.beam.ring_current.sim_put(current)
    assert len(suspender[1].suspensions) == 1


def test_a_plan_that_cannot_be_resumed_yet_is_suspended_later(fakes):
    made, engine = BeamSuspender(fakes.beam), FakeEngine(resumable=False)
    made.install(engine)
    fakes.beam.ring_current.sim_put(0.0)
    assert engine.suspensions == []
    engine.resumable = True
    engine.loop.later.pop()()
    assert len(engine.suspensions) == 1


def test_removed_it_lets_go(fakes, suspender):
    made, engine = suspender
    fakes.beam.ring_current.sim_put(0.0)
    released = made._released
    made.remove()
    assert released.is_set()
    fakes.beam.ring_current.sim_put(0.0)
    assert len(engine.suspensions) == 1


def test_a_plan_waits_to_start_until_there_is_beam(fakes):
    fakes.beam.ring_current.sim_put(0.0)
    made = BeamSuspender(fakes.beam)
    made.install(FakeEngine())
    (wait,), reason = made.get_futures()
    assert reason == "ring current 0 mA, below 5 mA"
    made.reason = ""
    asyncio.run(wait())


def test_a_plan_is_suspended_for_real_and_goes_on(fakes, engine, documents):
    passed = []

    def plan():
        yield from bps.install_suspender(made)
        for turn in range(20):
            yield from bps.checkpoint()
            yield from bps.sleep(0.02)
            if turn == 5 and not passed:
                fakes.beam.ring_current.sim_put(0.0)
                threading.Timer(0.2, fakes.beam.ring_current.sim_put, [100.0]).start()
            passed.append(turn)
        yield from bps.remove_suspender(made)

    made = BeamSuspender(fakes.beam)
    engine(plan())
    assert passed[-1] == 19


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        (RequestAbort, "abort", "aborted by RE.abort(), or with its session"),
        (RequestStop, "success", "ended before its end by RE.stop()"),
    ],
)
def test_an_end_that_was_asked_for_is_told_in_the_stop_document(asked, status, reason):
    def body(_uid):
        yield from bps.null()

    plan = run(body, {})
    message = plan.send(None)
    assert message.command == "open_run"
    plan.send("uid")
    closing = plan.throw(asked())
    assert (closing.kwargs["exit_status"], closing.kwargs["reason"]) == (status, reason)


def test_the_shutter_is_closed_when_the_plan_is_thrown_at(fakes):
    plan = shutter_closed_after(bps.null(), fakes.beam)
    plan.send(None)
    message = plan.throw(ValueError("in the middle"))
    assert (message.command, message.obj, message.args) == ("set", fakes.beam.shutter, (0,))


def test_an_error_speaks_in_the_words_of_its_cause():
    error = RuntimeError("wrapped")
    error.__cause__ = ValueError("the cause")
    assert why(error) == "the cause"
    assert why(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("suspend", "wanted"),
    [(True, ["install_suspender", "null", "remove_suspender"]), (False, ["null"])],
)
def test_a_plan_is_suspended_without_beam_if_that_is_asked_for(fakes, suspend, wanted):
    plan = suspended_without_beam(bps.null(), fakes.beam, suspend=suspend)
    assert [message.command for message in plan] == wanted
