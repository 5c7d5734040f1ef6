import os
import signal
import socket
import subprocess
import sys

import pytest

from battbeam.connection import Connection
from battbeam.storage.recover import recover
from battbeam.storage.spool import Spool
from battbeam.storage.tail import documents

NO_PROCESS = 2**22 + 1  # Above the largest number that Linux gives.


@pytest.fixture
def connection(tmp_path):
    return Connection(directory=tmp_path, simulated=True)


def spool_run(connection, uid="run", *, close=False, n_events=2, **session):
    with Spool(connection.spool) as spool:
        start = {"uid": uid, "time": 5.0, "plan_name": "operando"}
        spool("start", {**start, "session": session} if session else start)
        keys = {"x": {"dtype": "number"}}
        spool(
            "descriptor",
            {"uid": "d", "run_start": uid, "name": "primary", "time": 6.0, "data_keys": keys},
        )
        for number in range(n_events):
            data = {"descriptor": "d", "seq_num": number + 1, "time": 7.0 + number}
            spool("event", {**data, "data": {"x": 1.0}, "timestamps": {"x": 7.0}})
        if close:
            spool("stop", {"uid": "s", "run_start": uid, "time": 9.0, "exit_status": "success"})
    return connection.spool / f"{uid}.jsonl"


def test_a_run_whose_session_is_gone_is_closed_with_the_reason(connection):
    path = spool_run(connection, pid=NO_PROCESS, host=socket.gethostname())
    report = recover(connection)
    (closed,) = report.closed
    stop = documents(path)[-1]
    assert stop.name == "stop"
    assert stop.line == 4
    assert stop.doc["exit_status"] == "abort"
    assert stop.doc["time"] == 8.0
    assert stop.doc["num_events"] == {"primary": 2}
    assert f"its session, process {NO_PROCESS}, ended without closing it" in stop.doc["reason"]
    assert closed.n_events == 2
    assert "run the recipe again with resumes='run'" in str(report)


def test_a_second_recovery_changes_nothing(connection):
    path = spool_run(connection, pid=NO_PROCESS, host=socket.gethostname())
    recover(connection)
    before = path.read_bytes()
    report = recover(connection)
    assert path.read_bytes() == before
    assert report.closed == ()
    assert report.n_complete == 1


def test_half_a_line_is_set_aside_before_the_run_is_closed(connection):
    path = spool_run(connection)
    with path.open("ab") as file:
        file.write(b'{"line":4,"name":"eve')
    (closed,) = recover(connection).closed
    assert closed.n_torn == 21
    assert [line.line for line in documents(path)] == [0, 1, 2, 3, 4]
    assert path.with_suffix(".torn").read_bytes() == b'{"line":4,"name":"eve\n'


def test_a_run_of_a_live_session_is_not_touched(connection):
    path = spool_run(connection, pid=os.getpid(), host=socket.gethostname())
    before = path.read_bytes()
    (state,) = recover(connection).runs
    assert state.state == "live"
    assert path.read_bytes() == before


def test_a_number_that_another_process_has_now_is_no_live_session(connection):
    path = spool_run(connection, pid=os.getpid(), host=socket.gethostname())
    # The run is older than this process.
    path.write_bytes(path.read_bytes().replace(b'"wall":', b'"wall":-1'))
    (state,) = recover(connection).runs
    assert "the number is another process's now" in state.reason


def test_a_run_of_another_computer_is_left_to_it(connection):
    spool_run(connection, pid=1, host="elsewhere")
    (state,) = recover(connection).runs
    assert (state.state, state.reason) == (
        "elsewhere",
        "its session runs on elsewhere: recover there",
    )


def test_a_file_in_which_nothing_arrived_is_named(connection):
    connection.spool.mkdir()
    (connection.spool / "run.jsonl").touch()
    (state,) = recover(connection).runs
    assert state.state == "empty"


def test_complete_runs_are_counted_only(connection):
    spool_run(connection, close=True)
    report = recover(connection)
    assert (report.n_complete, report.runs) == (1, ())
    assert str(report) == "1 runs complete, 0 closed"


SESSION = """
import os, socket, sys, time
from pathlib import Path
from battbeam.storage.spool import Spool
spool = Spool(Path(sys.argv[1]))
session = {"pid": os.getpid(), "host": socket.gethostname()}
spool("start", {"uid": "run", "time": 5.0, "session": session})
spool("descriptor", {"uid": "d", "run_start": "run", "name": "primary", "time": 6.0,
                     "data_keys": {"x": {"dtype": "number"}}})
number = 0
while True:
    number += 1
    spool("event", {"descriptor": "d", "seq_num": number, "time": 7.0, "data": {"x": 1.0},
                    "timestamps": {"x": 7.0}})
    if number == 50:
        spool.sync()
        print(spool.acknowledged("run"), flush=True)
    time.sleep(0.001)
"""


def test_a_session_killed_in_the_middle_loses_nothing_that_was_acknowledged(connection):
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(connection.spool)], stdout=subprocess.PIPE
    )
    acknowledged = int(session.stdout.readline())
    assert [state.state for state in recover(connection).runs] == ["live"]
    session.send_signal(signal.SIGKILL)
    session.wait()
    session.stdout.close()
    (closed,) = recover(connection).closed
    lines = documents(connection.spool / "run.jsonl")
    assert len(lines) > acknowledged >= 52
    assert [line.line for line in lines] == list(range(len(lines)))
    assert f"process {session.pid}, ended" in closed.reason
    assert lines[-1].name == "stop"
