import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from caproto import AlarmSeverity, AlarmStatus, CaprotoTimeoutError

from battbeam.channel_access import Context
from battbeam.processes import wait_for
from battbeam.sim.clock import ClockClient
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Scenario

pytestmark = pytest.mark.ioc
CHANNEL = "SIM:ECLAB:C1:"
TIMEOUT = 10.0


class Client:
    """Puts and gets by PV name, and keeps every update of those it monitors."""

    def __init__(self):
        self._context = Context()
        self._pvs = {}
        self._kept = []

    def pv(self, name):
        if name not in self._pvs:
            (pv,) = self._context.get_pvs(name if ":ECLAB:" in name else CHANNEL + name)
            pv.wait_for_connection(timeout=TIMEOUT)
            self._pvs[name] = pv
        return self._pvs[name]

    def put(self, name, value, *, timeout=TIMEOUT):
        self.pv(name).write(value, timeout=timeout)

    def read(self, name):
        return self.pv(name).read(data_type="time", timeout=TIMEOUT)

    def get(self, name):
        data = self.read(name).data
        return data[0] if len(data) == 1 else data

    def text(self, name):
        data = self.read(name).data
        return (bytes(data) if isinstance(data, np.ndarray) else b"".join(data)).decode()

    def monitor(self, name):
        updates = []

        def keep(_subscription, response):
            updates.append((response.metadata.timestamp, response.data[0]))

        subscription = self.pv(name).subscribe(data_type="time")
        subscription.add_callback(keep)
        self._kept.append((subscription, keep))
        return updates

    def wait(self, name, wanted, *, timeout=TIMEOUT):
        wait_for(lambda: self.get(name) == wanted, timeout=timeout, what=f"{name} to be {wanted}")

    def close(self):
        self._context.disconnect()


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[SimulatedBeamline]:
    scenario = Scenario(rate=600.0, cells=(Cell(), Cell(chemistry="nmc811")))
    directory = tmp_path_factory.mktemp("cycler")
    with SimulatedBeamline(scenario, directory, with_beamline=False, with_guard=False) as beamline:
        beamline.start()
        yield beamline


@pytest.fixture
def client(running, monkeypatch) -> Iterator[Client]:
    for name, value in running.connection.environment().items():
        monkeypatch.setenv(name, value)
    client = Client()
    yield client
    with contextlib.suppress(CaprotoTimeoutError):
        client.put("STOP", 1)
    client.close()


def load_charge(client, *, until=4.0, current=1.5e-3):
    client.put("T:CPLIMIT:0:ISTEP:SP", [current])
    client.put("T:CPLIMIT:0:DURSTEP:SP", [40_000.0])
    client.put("T:CPLIMIT:0:STEPN:SP", 0)
    client.put("T:CPLIMIT:0:TEST1CONF:SP", [5])
    client.put("T:CPLIMIT:0:TEST1VAL:SP", [until])
    client.put("LOADTECH:SP", "cplimit")


def rows_of(path):
    lines = [line for line in Path(path).read_text().splitlines() if not line.startswith("#")]
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


def test_a_stopped_channel_shows_its_open_circuit_and_keeps_refreshing(client):
    updates = client.monitor("EWE")
    wait_for(lambda: len(updates) > 5, timeout=TIMEOUT, what="the live voltage to be refreshed")
    assert client.get("STATE") == 0
    assert client.get("I") == 0.0
    assert updates[-1][0] > updates[1][0]


def test_a_technique_list_runs_and_live_values_carry_the_sessions_time(client, running):
    load_charge(client)
    assert client.text("LOADTECH") == "cplimit"
    assert client.get("NUMTECH") == 1
    times, voltages = client.monitor("TIME"), client.monitor("EWE")
    client.put("START", 1)
    assert client.get("STATE") == 1
    assert client.get("START") == 0
    wait_for(lambda: len(times) > 20, timeout=TIMEOUT, what="live values")
    clock = ClockClient("SIM:CLOCK:")
    stamp, elapsed = times[-1]
    assert stamp <= clock.now()
    clock.close()
    assert elapsed <= 600 * TIMEOUT
    settings = running.scenario.cycler
    start = running.scenario.start
    own = stamp + settings.clock_offset + settings.clock_drift * (stamp - start)
    assert client.get("STARTED") + elapsed == pytest.approx(own, abs=1e-4)
    assert client.get("I") == pytest.approx(1.5e-3)
    assert {stamp for stamp, _ in times} & {stamp for stamp, _ in voltages}
    client.put("STOP", 1)
    assert (client.get("STATE"), client.get("I")) == (0, 0.0)


def test_the_data_file_is_ahead_of_the_live_values(client):
    load_charge(client)
    client.put("START", 1)
    wait_for(lambda: client.get("TIME") > 100.0, timeout=TIMEOUT, what="some records")
    for _ in range(20):
        elapsed = client.get("TIME")
        last = rows_of(client.text("FILENAME"))[-1]
        assert float(last["Time"]) > elapsed - 10.0 - 1e-6
    client.put("STOP", 1)
    rows = rows_of(client.text("FILENAME"))
    assert [int(row["Sequence"]) for row in rows] == list(range(1, len(rows) + 1))
    assert elapsed - 1e-5 <= float(rows[-1]["Time"]) <= client.get("TIME") + 1e-5
    gaps = np.diff([float(row["Time"]) for row in rows])
    assert gaps[:-1] == pytest.approx(np.full(len(gaps) - 1, 10.0), abs=1e-5)
    assert client.text("FILENAME").startswith(client.text("FILEPREFIX"))


def test_a_list_ends_by_itself_and_the_files_hold_every_step(client, tmp_path):
    client.put("FILEPREFIX:SP", str(tmp_path / "mine"))
    for instance, duration in ((0, 95.0), (1, 30.0)):
        client.put(f"T:OCV:{instance}:RTT:SP", duration)
    client.put("T:CA:0:VSTEP:SP", [3.3, 3.4])
    client.put("T:CA:0:DURSTEP:SP", [60.0, 60.0])
    client.put("T:CA:0:STEPN:SP", 1)
    client.put("T:LOOP:0:NLOOP:SP", 1)
    client.put("T:LOOP:0:PROT:SP", 1)
    client.put("LOADTECH:SP", "ocv,ca,loop,ocv")
    client.put("START", 1)
    client.wait("STATE", 0)
    files = sorted(tmp_path.iterdir(), key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    assert [path.stem.split("_", 3)[3].rsplit("_", 1)[0] for path in files] == [
        "T0_OCV",
        "T1_CA",
        "T1_CA",
        "T3_OCV",
    ]
    rows = [row for path in files for row in rows_of(path)]
    assert [int(row["Sequence"]) for row in rows] == list(range(1, len(rows) + 1))
    assert float(rows[-1]["Time"]) == pytest.approx(95 + 2 * 120 + 30, abs=1e-4)
    assert {(row["Technique"], row["Step"], row["Loop"]) for row in rows} == {
        ("0", "0", "0"),
        ("1", "0", "0"),
        ("1", "1", "0"),
        ("1", "0", "1"),
        ("1", "1", "1"),
        ("3", "0", "1"),
    }


def test_a_refused_list_sets_the_alarm_and_changes_nothing(client):
    load_charge(client)
    client.put("LOADTECH:SP", "geis")
    metadata = client.read("LOADTECH:SP").metadata
    assert metadata.severity == AlarmSeverity.INVALID_ALARM
    assert metadata.status == AlarmStatus.WRITE
    assert client.text("LOADTECH") == "cplimit"
    client.put("LOADTECH:SP", "cplimit")
    assert client.read("LOADTECH:SP").metadata.severity == AlarmSeverity.NO_ALARM


def test_after_a_stop_the_list_has_to_be_loaded_again(client):
    load_charge(client)
    client.put("STOP", 1)
    client.put("START", 1)
    assert client.get("STATE") == 0
    assert client.read("START").metadata.severity == AlarmSeverity.INVALID_ALARM
    load_charge(client)
    client.put("START", 1)
    assert client.get("STATE") == 1


def test_bad_puts_leave_the_cycler_serving(client):
    with pytest.raises(CaprotoTimeoutError):
        client.put("T:CPLIMIT:0:ISTEP:SP", [1.0] * 500, timeout=0.5)
    with pytest.raises(CaprotoTimeoutError):
        client.put("EWE", 2.0, timeout=0.5)
    client.put("FILEPREFIX:SP", b"/nowhere/at/all")
    load_charge(client)
    client.put("START", 1)
    wait_for(lambda: client.get("TIME") > 30.0, timeout=TIMEOUT, what="the channel to run")
    client.put("STOP", 1)
    assert client.get("STATE") == 0


def test_without_savedata_no_file_is_written(client, tmp_path):
    client.put("FILEPREFIX:SP", str(tmp_path / "none"))
    client.put("SAVEDATA:SP", 0)
    load_charge(client)
    client.put("START", 1)
    wait_for(lambda: client.get("TIME") > 30.0, timeout=TIMEOUT, what="the channel to run")
    client.put("STOP", 1)
    client.put("SAVEDATA:SP", 1)
    assert list(tmp_path.iterdir()) == []


def test_channels_are_independent(client):
    second = "SIM:ECLAB:C2:"
    load_charge(client)
    client.put("START", 1)
    assert client.get(second + "STATE") == 0
    assert client.get(second + "EWE") == pytest.approx(3.45, abs=0.1)
    assert client.get("SIM:ECLAB:NUMCHANNELS") == 2


def test_the_history_covers_the_present_running_or_idle(client, running):
    history = History(history_path(running.directory, 1))
    clock = ClockClient("SIM:CLOCK:")
    history.wait(clock.now(), timeout=TIMEOUT)
    load_charge(client)
    client.put("START", 1)
    began = float(client.read("STATE").metadata.timestamp)
    with clock.frozen("history"):
        now = clock.now()
        history.wait(now, timeout=TIMEOUT)
        state = history.at(np.array([began, now]))
    clock.close()
    passed = 1.5e-3 * (now - began) / 3.6
    assert np.diff(state.charge) == pytest.approx([passed], rel=1e-5)
