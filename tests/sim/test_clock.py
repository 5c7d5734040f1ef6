import time
from types import SimpleNamespace

import pytest

from battbeam.errors import DeviceError
from battbeam.experiment.clock import ClockState
from battbeam.processes import wait_for
from battbeam.sim.clock import LEASE, ClockClient, SimulatedClock
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Scenario


def new_clock(rate=60.0):
    return SimulatedClock(epoch=1000.0, rate=rate, wall=0.0)


def test_the_clock_runs_at_its_rate():
    assert new_clock(rate=10.0).state.at(wall=2.5) == 1025.0


def test_a_frozen_clock_stands_and_goes_on_from_there():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    assert clock.state.at(wall=4.0) == 1060.0
    clock.thaw("detector", wall=4.0)
    assert clock.state.at(wall=5.0) == 1120.0


def test_the_clock_stands_until_the_last_freezer_is_gone():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.freeze("camera", wall=2.0)
    clock.thaw("detector", wall=3.0)
    assert clock.freezers == ("camera",)
    assert clock.state.rate == 0.0
    clock.thaw("camera", wall=4.0)
    assert clock.state.rate == 60.0


def test_the_same_token_put_twice_is_one_freezer():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.freeze("detector", wall=2.0)
    clock.thaw("detector", wall=3.0)
    assert clock.freezers == ()


def test_a_lease_ends_by_itself_and_the_clock_ran_on_from_its_end():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.expire(wall=1.0 + LEASE - 0.01)
    assert clock.state.rate == 0.0
    clock.expire(wall=1.0 + LEASE + 2.0)
    assert clock.freezers == ()
    assert clock.state.at(wall=1.0 + LEASE + 2.0) == 1060.0 + 2.0 * 60.0


def test_a_renewed_lease_lasts_from_its_renewal():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.freeze("detector", wall=4.0)
    clock.expire(wall=1.0 + LEASE + 1.0)
    assert clock.freezers == ("detector",)


def test_a_token_that_was_never_put_thaws_nothing():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.thaw("somebody else", wall=2.0)
    assert clock.state.rate == 0.0


def test_a_rate_set_while_frozen_counts_once_thawed():
    clock = new_clock()
    clock.freeze("detector", wall=1.0)
    clock.set_rate(10.0, wall=2.0)
    assert clock.state.rate == 0.0
    clock.thaw("detector", wall=3.0)
    assert clock.state.at(wall=4.0) == 1070.0


def test_a_rate_out_of_range_is_refused():
    clock = new_clock()
    for rate in (0.0, 5000.0, float("nan")):
        with pytest.raises(ValueError, match=r"rate must lie in 0.1 to 3600.0, got"):
            clock.set_rate(rate, wall=1.0)
    assert clock.rate == 60.0


def test_a_freezer_needs_a_token():
    with pytest.raises(ValueError, match="token that is not empty"):
        new_clock().freeze("", wall=1.0)


def test_a_client_says_so_when_no_clock_answers(monkeypatch):
    monkeypatch.setenv("EPICS_CA_ADDR_LIST", "127.0.0.1:1")
    monkeypatch.setenv("EPICS_CA_AUTO_ADDR_LIST", "NO")
    with pytest.raises(DeviceError, match=r"clock NOWHERE:: no answer within 0.3 s"):
        ClockClient("NOWHERE:", timeout=0.3)


class Record:
    """A PV; ``put`` is called by a write, ``bring`` is what a monitor brings."""

    def __init__(self, put=lambda token: None):
        self.put, self.told = put, []

    def write(self, value, timeout):
        self.put(value)

    def subscribe(self):
        return self

    def add_callback(self, told):
        self.told.append(told)

    def bring(self, state):
        for told in self.told:
            told(self, SimpleNamespace(data=[state.epoch, state.anchor, state.rate]))


def test_a_client_that_freezes_the_clock_shows_no_time_beyond_meanwhile(monkeypatch):
    wall, shown = [100.0], []
    monkeypatch.setattr(time, "time", lambda: wall[0])
    running = ClockState(epoch=1000.0, anchor=100.0, rate=60.0)

    class State(Record):
        def add_callback(self, told):
            super().add_callback(told)
            self.bring(running)

    def freeze(_token):
        frozen = running.changed(wall=101.0, rate=0.0)
        # Somebody asks this client the time before it is told that the clock stands.
        wall[0] = 101.03
        shown.append(client.now())
        state.bring(frozen)

    state = State()
    records = [state, Record(), Record(freeze), Record()]
    context = SimpleNamespace(get_pvs=lambda *_, **__: records)
    monkeypatch.setattr("battbeam.sim.clock.Context", lambda: context)
    client = ClockClient("CLOCK:")
    wall[0] = 100.99
    client.freeze("detector")
    assert shown == [pytest.approx(1059.4)]
    assert client.now() == pytest.approx(1060.0)


@pytest.mark.ioc
def test_clients_see_the_clock_run_freeze_and_change_its_rate(tmp_path, monkeypatch):
    scenario = Scenario(rate=60.0)
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False, with_guard=False) as running:
        for name, value in running.start().environment().items():
            monkeypatch.setenv(name, value)
        client, other = (ClockClient(scenario.clock_prefix) for _ in range(2))
        try:
            assert scenario.start <= client.now() < scenario.start + 60.0 * 60.0
            before, shown, begun = time.time(), client.now(), time.time()
            wait_for(lambda: client.now() > shown + 6.0, timeout=5.0, what="the clock to run")
            least, ran, most = time.time() - begun, client.now() - shown, time.time() - before
            # Whatever the machine did between two looks: 60 s of it are a wall second.
            assert least - 1e-5 < ran / 60.0 < most + 1e-5
            with client.frozen("test"):
                wait_for(lambda: other.rate == 0.0, timeout=5.0, what="the other client to know")
                assert other.now() == other.now()
                assert abs(other.now() - client.now()) < 1.0
            wait_for(lambda: other.rate == 60.0, timeout=5.0, what="the clock to be thawed")
            client.set_rate(10.0)
            wait_for(lambda: other.rate == 10.0, timeout=5.0, what="the new rate")
        finally:
            client.close()
            other.close()
