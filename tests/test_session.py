import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from IPython.terminal.ipapp import TerminalIPythonApp
from typer.testing import CliRunner

from battbeam.cli import app
from battbeam.connection import SiteNotes
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError, PreflightError, ProcessError
from battbeam.experiment.conditions import AbsoluteClock, EndOfProtocol, StepEdge
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, mounted
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import xrd_series
from battbeam.processes import wait_for
from battbeam.reduction.xrd_references import MeasuredPattern
from battbeam.session import Session, example_path, interactive, open_session, status_text

TOP = Path(__file__).parents[1]
PASSPORT = {
    "cell": "LFP-test",
    "sample_uid": "lfp-test",
    "chemistry": "LiFePO4",
    "active_mass": 17.67,
    "electrode_area": 1.767,
    "nominal_capacity": 2.85,
    "nominal_capacity_definition": "third C/10 discharge, 2.5 to 3.8 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.5, "voltage_max": 4.1, "current_max": 0.01},
}
PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 60},
        {"step": "constant_current", "rate_C": 0.5, "until_time_s": 120},
    ],
}


@pytest.fixture
def session(connection):
    with Session(connection, is_interactive=True) as opened:
        assert opened.connection_faults == []
        yield opened


def spooled(connection, uid):
    path = connection.spool / f"{uid}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def series(beamline, **options):
    return xrd_series(
        [beamline.detector],
        beam=beamline.beam,
        clock=beamline.clock,
        readables=[beamline.potentiostat, beamline.sample_stage],
        **{"exposure": 5.0, "n_points": 3, **options},
    )


def test_an_example_file_is_found_in_the_checkout():
    assert example_path("devices/simulated.py").exists()
    with pytest.raises(DeviceError, match=r"devices/none.py is neither in"):
        example_path("devices/none.py")


def test_the_status_of_a_beamline_that_never_ran_is_told(tmp_path):
    from battbeam.connection import Connection, GuardAddress

    guards = {"cell1": GuardAddress(prefix="X:", log=tmp_path / "log.jsonl")}
    Connection(directory=tmp_path, simulated=True, guards=guards).write()
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "a.jsonl").write_text('{"line": 0, "name": "start", "doc": {}}\n')
    told = status_text(tmp_path)
    assert "cell1: no guard has written here" in told
    assert "1 in the spool, 1 open" in told
    assert f"catalogue: not running; `battbeam serve {tmp_path}` starts it" in told


def test_a_catalogue_that_serves_no_more_is_told(tmp_path):
    from battbeam.connection import Connection

    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
    Connection(directory=tmp_path, simulated=True, catalog_uri=uri).write()
    told = status_text(tmp_path)
    assert f"catalogue: {uri} does not answer (" in told
    assert f"; `battbeam serve {tmp_path}` starts it" in told


def test_a_catalogue_that_serves_is_told_by_its_address(tmp_path):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_): ...

    from battbeam.connection import Connection

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        uri = f"http://127.0.0.1:{server.server_port}/api/v1"
        Connection(directory=tmp_path, simulated=True, catalog_uri=uri).write()
        assert status_text(tmp_path).endswith(f"catalogue: {uri}")
        thread.join()


def test_what_is_paused_when_a_session_is_left_is_aborted_before_the_cells_are_given_free(
    tmp_path, monkeypatch
):
    done = []

    class Paused(Session):
        def __init__(self):
            abort = done.append
            self.RE = SimpleNamespace(state=SimpleNamespace(is_idle=False), abort=abort)

        def close(self):
            done.append("closed")

    shell = SimpleNamespace(user_ns={})
    app = SimpleNamespace(shell=shell, initialize=lambda _: None, start=shell.user_ns.clear)
    monkeypatch.setattr(TerminalIPythonApp, "instance", lambda **_: app)
    monkeypatch.setenv("BATTBEAM_DIRECTORY", "")
    interactive(tmp_path)
    assert done == []
    shell.user_ns["session"] = Paused()
    interactive(tmp_path)
    assert done == ["the session was left", "closed"]


def test_a_session_without_a_beamline_is_refused_before_there_is_a_prompt(tmp_path):
    with pytest.raises(
        ProcessError, match=r"is missing; start a simulated one with `battbeam sim --"
    ):
        CliRunner().invoke(app, ["session", str(tmp_path)], catch_exceptions=False)


@pytest.mark.ioc
def test_a_series_reaches_the_spool_with_every_frame_that_was_asked(session, connection):
    (uid,) = session.run(series(session.beamline))
    lines = spooled(connection, uid)
    events = [line["doc"]["data"] for line in lines if line["name"] == "event"]
    assert [event["point"] for event in events] == [0, 1, 2]
    assert all(event["detector_n_frames"] == 1 and not event["fault"] for event in events)
    assert all(event["shutter"] == 1 and event["i0"] > 1e5 for event in events)
    start = lines[0]["doc"]
    assert start["session"]["uid"] == session.uid
    assert start["simulated"] is True
    assert start["versions"]["battbeam"] != "not installed"
    assert len(start["installed_sha256"]) == 64
    assert set(start["time_zone"]) == {"name", "utc_offset"}
    flux = SiteNotes.read(connection.directory).flux
    assert start["flux_calibration"]["beam_size"] == list(flux.beam_size)
    assert lines[-1]["doc"]["exit_status"] == "success"
    resource = next(line["doc"] for line in lines if line["name"] == "stream_resource")
    assert Path(resource["uri"].removeprefix("file://localhost")).exists()
    assert session.beamline.beam.shutter.position == 0


@pytest.mark.ioc
def test_stamps_lie_on_the_clock_of_the_session(session, connection):
    begin = session.beamline.clock.now()
    (uid,) = session.run(series(session.beamline))
    end = session.beamline.clock.now()
    lines = spooled(connection, uid)
    stamps = [line["doc"]["data"]["detector_stamp"] for line in lines if line["name"] == "event"]
    assert begin < stamps[0] < stamps[1] < stamps[2] < end


@pytest.mark.ioc
def test_a_map_of_trains_has_an_event_a_point(session, connection):
    beamline = session.beamline
    stage = beamline.sample_stage
    plan = xrd_map(
        [beamline.detector],
        *(stage.y, -0.5, 0.5, 2, stage.x, -0.5, 0.5, 2),
        beam=beamline.beam,
        clock=beamline.clock,
        exposure=2.0,
        frames_per_point=2,
        readables=[stage],
    )
    (uid,) = session.run(plan)
    events = [line["doc"]["data"] for line in spooled(connection, uid) if line["name"] == "event"]
    assert [event["detector_frame"] for event in events] == [0, 2, 4, 6]
    assert [event["sample_stage_x"] for event in events] == [-0.5, 0.5, 0.5, -0.5]
    assert stage.x.position == 0.0


@pytest.mark.ioc
def test_a_pause_takes_the_point_again_into_a_new_file(session, connection, capsys):
    engine = session.RE
    first = threading.Event()

    def pause_after_the_first(_name, _document):
        if not first.is_set():
            first.set()
            threading.Timer(0.15, engine.request_pause).start()

    engine.subscribe(pause_after_the_first, "event")
    with pytest.raises(RunEngineInterrupted):
        session.run(series(session.beamline, exposure=20.0, n_points=4))
    assert session.beamline.beam.shutter.position == 0
    told = capsys.readouterr().out
    assert "Paused. Meanwhile the cell is Unmounted" in told
    assert "policy on a pause is 'continue'" in told
    (uid,) = engine.resume()
    lines = spooled(connection, uid)
    events = [line["doc"]["data"] for line in lines if line["name"] == "event"]
    assert [event["point"] for event in events] == [0, 1, 2, 3]
    assert sum(line["name"] == "stream_resource" for line in lines) == 2
    assert lines[-1]["doc"]["exit_status"] == "success"


@pytest.mark.ioc
def test_a_beam_dump_suspends_and_the_point_is_taken_when_it_is_back(session, connection):
    from ophyd import EpicsSignal

    fault = EpicsSignal(f"{connection.beamline}RING:FAULT", name="fault")
    fault.wait_for_connection(timeout=5)

    def dump_after_the_first(_name, document):
        if document["seq_num"] == 1:
            threading.Timer(0.1, fault.put, ["NaN"]).start()
            threading.Timer(1.0, fault.put, ["None"]).start()

    session.RE.subscribe(dump_after_the_first, "event")
    (uid,) = session.run(series(session.beamline, exposure=20.0, n_points=3))
    events = [line["doc"]["data"] for line in spooled(connection, uid) if line["name"] == "event"]
    last = {event["point"]: event for event in events}
    assert sorted(last) == [0, 1, 2]
    assert all(event["beam_lost"] == "" for event in last.values())


@pytest.mark.ioc
def test_the_session_owns_the_cell_and_a_second_one_is_refused(session, connection):
    guard = session.beamline.potentiostat
    wait_for(lambda: session.heartbeat.count > 5, timeout=10, what="six beats")
    assert guard.owner.get() == "owned"
    with Session(connection) as second:
        assert "the cell is owned by session" in second.refusal
        how = Exposure((second.beamline.detector,), second.beamline.beam, FrameTrain(5.0))
        plan = operando(
            Schedule(rules=(Rule(name="step", when=StepEdge(), measure="p"),)),
            {"p": Pattern(how)},
            potentiostat=second.beamline.potentiostat,
            beam=second.beamline.beam,
            clock=second.beamline.clock,
            protocol=PROTOCOL,
        )
        with pytest.raises(PreflightError, match="the cell is owned by"):
            second.run(plan)
    assert guard.owner.get() == "owned"


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_session_that_was_silent_for_too_long_takes_its_cell_back(session, monkeypatch):
    guard = session.beamline.potentiostat
    session.run(mounted(guard, PASSPORT))
    charge = {"step": "constant_current", "rate_C": 0.05, "until_time_s": 36_000}
    guard.load({"record": {"time_s": 10}, "method": [charge]}).wait(timeout=60)
    guard.start().wait(timeout=60)
    monkeypatch.setattr("battbeam.devices.heartbeat.SILENCE", -1.0)
    wait_for(lambda: guard.owner.get() == "lapsed", timeout=20, what="the guard to give it up")
    wait_for(lambda: guard.state.get() == GuardState.HOLDING, timeout=20, what="its policy")
    monkeypatch.setattr("battbeam.devices.heartbeat.SILENCE", 5.0)
    wait_for(lambda: guard.losses, timeout=20, what="the session to notice")
    assert "(hold); this session owns the cell again" in guard.losses[0]
    wait_for(lambda: guard.owner.get() == "owned", timeout=20, what="the guard to say so")
    # The same token commands; the cell has waited for that.
    assert guard.state.get() == GuardState.HOLDING
    guard.proceed().wait(timeout=60)
    wait_for(lambda: guard.state.get() == GuardState.RUNNING, timeout=20, what="what is left")
    guard.open_circuit("the test is over").wait(timeout=20)


@pytest.mark.ioc
def test_an_operando_experiment_follows_the_cell(session, connection):
    beamline = session.beamline
    stage = beamline.sample_stage
    how = Exposure(
        (beamline.detector,), beamline.beam, FrameTrain(5.0), (beamline.potentiostat, stage)
    )

    def mapped(md):
        return xrd_map(
            [beamline.detector],
            *(stage.x, -0.5, 0.5, 2),
            beam=beamline.beam,
            clock=beamline.clock,
            exposure=2.0,
            readables=[stage],
            suspend=False,
            md=md,
        )

    rules = (
        Rule(name="step", when=StepEdge(), measure="pattern"),
        Rule(name="top", when=EndOfProtocol(), measure="map"),
        Rule(name="clock", when=AbsoluteClock(period=40.0), measure="pattern"),
    )

    def plan():
        yield from mounted(beamline.potentiostat, PASSPORT)
        yield from operando(
            Schedule(rules=rules),
            {"pattern": Pattern(how), "map": OwnRun(mapped, (stage.x,))},
            potentiostat=beamline.potentiostat,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=PROTOCOL,
            policies={"plan_end": "open_circuit"},
        )

    uids = session.run(plan())
    outer = spooled(connection, uids[0])
    rows = [
        line["doc"]["data"]
        for line in outer
        if line["name"] == "event" and "rules_rule" in line["doc"]["data"]
    ]
    assert {row["rules_rule"] for row in rows} == {"step", "top", "clock"}
    assert not any(row["rules_error"] for row in rows)
    assert outer[0]["doc"]["cell"]["cell"] == "LFP-test"
    assert outer[0]["doc"]["guard"]["cell_run"]
    assert [spooled(connection, uid)[-1]["doc"]["exit_status"] for uid in uids] == [
        "success"
    ] * len(uids)
    assert beamline.potentiostat.state.get() == GuardState.FINISHED
    beamline.potentiostat.dismount().wait(timeout=10)


def test_a_recipe_is_told_what_it_takes(tmp_path):
    recipe = tmp_path / "map.py"
    recipe.write_text(
        "def plan(beamline, exposure=1.0, n_points=3):\n    return [beamline, exposure]"
    )
    ran = []
    session = SimpleNamespace(beamline="b", run=lambda plan, **md: ran.append((plan, md)))
    with pytest.raises(PreflightError, match="no parameter expsure; it has exposure, n_points"):
        Session.run_recipe(session, recipe, expsure=2.0)
    with pytest.raises(PreflightError, match="no parameter beamline; it has"):
        Session.run_recipe(session, recipe, beamline="another")
    typed = tmp_path / "typed.py"
    typed.write_text("def plan(beamline, exposure: float = 1.0):\n    return [beamline]")
    with pytest.raises(PreflightError, match="exposure must be a finite number, got '1 s'"):
        Session.run_recipe(session, typed, exposure="1 s")
    assert ran == []
    Session.run_recipe(session, str(recipe), exposure=2.0)
    assert ran == [(["b", 2.0], {"recipe": "map.py"})]


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_recipe_runs_by_its_path(session):
    with pytest.raises(PreflightError, match=r"recipe .*none.py: 1 fault"):
        session.run_recipe(Path("none.py"))
    uids = session.run_recipe(example_path("plans/calibrate.py"), exposure=20.0, n_frames=1)
    assert len(uids) == 2
    assert (session.beamline.calibration / "detector.poni").exists()
    assert (session.beamline.calibration / "dark.npz").exists()


@pytest.mark.ioc
@pytest.mark.acceptance
def test_the_recipes_of_commissioning_run_and_say_what_they_found(session, capsys):
    calibration = session.beamline.calibration
    session.run_recipe(example_path("plans/calibrate.py"), exposure=20.0, n_frames=1)
    short = {"exposure": 5.0, "n_frames": 2}
    session.run_recipe(example_path("plans/measure_blank.py"), **short)
    end_members = example_path("plans/measure_end_members.py")
    session.run_recipe(end_members, name="fresh", lithium_content=0.98, **short)
    blank = MeasuredPattern.read(calibration / "blank.npz")
    fresh = MeasuredPattern.read(calibration / "fresh.npz")
    assert (fresh.lithium_content, fresh.host) == (0.98, "working")
    # The same cell in the same light, twice: what differs is noise.
    pulls = (fresh.counts - blank.counts) / np.sqrt(fresh.variance + blank.variance)
    lit = fresh.variance > 50
    assert lit.sum() > 1000
    assert abs(np.mean(pulls[lit])) < 1
    session.run_recipe(example_path("plans/align_cell.py"))
    found = dict(
        line.split(": ") for line in capsys.readouterr().out.splitlines() if "edge to" in line
    )
    for axis in "xy":
        off, _, error, *_ = found[f"{axis} of the middle"].split()
        assert abs(float(off)) < min(0.02, 4 * float(error)), found


ENDLESS = """
from pathlib import Path
from types import SimpleNamespace
import sys
from battbeam.session import open_session
from battbeam.plans.xrd_series import xrd_series
with open_session(Path(sys.argv[1])) as session:
    b = session.beamline
    print("running", flush=True)
    session.run(xrd_series([b.detector], beam=b.beam, clock=b.clock, exposure=60.0, n_points=None,
                           readables=[b.potentiostat]))
"""


@pytest.mark.ioc
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGINT,
        # Handled by the same lines as SIGTERM.
        pytest.param(signal.SIGHUP, marks=pytest.mark.acceptance),
    ],
)
def test_a_session_that_is_told_to_end_cleans_up(number, connection):
    before = set(connection.spool.glob("*.jsonl"))
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(connection.directory)],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:

        def has_event():
            new = set(connection.spool.glob("*.jsonl")) - before
            return any('"name":"event"' in path.read_text() for path in new)

        wait_for(has_event, timeout=40, what="a first event")
        child.send_signal(number)
        if number == signal.SIGINT:
            # Twice: once waits for a checkpoint, which comes a wall second later, twice pauses at once.
            time.sleep(0.2)
            child.send_signal(number)
        assert child.wait(timeout=20) != 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    (run,) = set(connection.spool.glob("*.jsonl")) - before
    stop = json.loads(run.read_text().splitlines()[-1])
    assert stop["name"] == "stop"
    assert stop["doc"]["exit_status"] == "abort"
    with open_session(connection.directory) as session:
        assert session.refusal == ""
        assert session.beamline.beam.shutter.position == 0
        assert session.beamline.detector.hdf.capture.get() == 0
