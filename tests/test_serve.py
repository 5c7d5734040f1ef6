import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from battbeam.connection import Connection
from battbeam.errors import ProcessError
from battbeam.experiment.reductions import method_of_reduced
from battbeam.processes import wait_for
from battbeam.serve import Reduction, Services
from battbeam.storage.catalog import Catalog
from battbeam.storage.progress import closed_reductions, unreduced
from battbeam.storage.spool import Spool
from battbeam.storage.tail import documents


@pytest.fixture
def connection(tmp_path):
    return Connection(directory=tmp_path, simulated=True)


def spool_measurement(connection, uid, *, close=True, **metadata):
    """A run that asks for the reduction of frames, but not how."""
    asked = {"method": "xrd", "phases": [{"phase": "LiFePO4"}]}
    with Spool(connection.spool) as spool:
        spool("start", {"uid": uid, "time": 1.0, "reduction": asked, **metadata})
        if close:
            stop = {
                "uid": f"stop of {uid}",
                "run_start": uid,
                "time": 2.0,
                "exit_status": "success",
            }
            spool("stop", stop)


def reduced(connection):
    return [documents(path) for path in sorted(connection.reduced_spool.glob("*.jsonl"))]


def test_a_run_that_cannot_be_reduced_says_so_and_the_others_go_on(connection):
    for uid in ("a", "b"):
        spool_measurement(connection, uid)
    spool_measurement(connection, "c", reduction=None)
    reduction = Reduction(connection)
    while reduction.step():
        pass
    found = reduced(connection)
    assert {lines[0].doc["analysis_of"] for lines in found} == {"a", "b"}
    assert [lines[-1].doc["exit_status"] for lines in found] == ["fail", "fail"]
    assert "asks for no reduction of diffraction" in found[0][-1].doc["reason"]


def test_every_reduction_that_a_run_asks_for_is_made_and_one_that_is_closed_is_left_alone(
    connection,
):
    spool_measurement(connection, "a", reductions={"xanes": {}})
    reduction = Reduction(connection)
    while reduction.step():
        pass
    found = {method_of_reduced(lines[0].doc): lines for lines in reduced(connection)}
    assert set(found) == {"xrd", "xanes"}
    assert {lines[-1].doc["run_start"] for lines in found.values()} == {
        lines[0].doc["uid"] for lines in found.values()
    }
    assert closed_reductions(connection) == {"a"}
    lost = connection.reduced_spool / f"{found['xanes'][0].doc['uid']}.jsonl"
    lost.unlink()
    assert (closed_reductions(connection), unreduced(connection)) == (set(), {"a"})
    kept = connection.reduced_spool / f"{found['xrd'][0].doc['uid']}.jsonl"
    before = kept.stat().st_mtime_ns
    again = Reduction(connection)
    while again.step():
        pass
    assert closed_reductions(connection) == {"a"}
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()


def test_a_reducer_that_starts_again_continues_what_it_had_begun(connection):
    spool_measurement(connection, "a", close=False)
    first = Reduction(connection)
    first.step()
    ((start,),) = reduced(connection)
    with (connection.spool / "a.jsonl").open("ab") as file:
        stop = b'{"uid":"s","run_start":"a","time":2.0,"exit_status":"success"}'
        file.write(b'{"line":1,"name":"stop","doc":' + stop + b',"wall":2.0}\n')
    for _ in range(2):
        again = Reduction(connection)
        while again.step():
            pass
        ((begin, end),) = reduced(connection)
        assert (begin.doc, end.name) == (start.doc, "stop")


def test_a_run_with_damaged_documents_does_not_stop_the_reducer(connection):
    spool_measurement(connection, "a", close=False)
    with (connection.spool / "a.jsonl").open("ab") as file:
        file.write(b'{"line":1,"name":"descriptor","doc":{},"wall":2.0}\n')
    spool_measurement(connection, "b")
    reduction = Reduction(connection)
    while reduction.step():
        pass
    assert "b" in {lines[0].doc["analysis_of"] for lines in reduced(connection)}


def test_the_reducer_stops_when_it_is_told_to(connection):
    stop = threading.Event()
    stop.set()
    Reduction(connection).run(stop)


def test_a_directory_without_a_beamline_is_refused(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "battbeam.serve", "publisher", "--directory", str(tmp_path)],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "no beamline at" in ended.stderr


@pytest.mark.acceptance
def test_what_dies_is_started_again_and_nothing_is_left_behind(connection):
    with Services(connection) as services:
        with pytest.raises(ProcessError, match="is served already"):
            Services(Connection.read(connection.directory)).start()
        pids = {role: services.pid(role) for role in ("tiled", "publisher", "reducer")}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(services.restarts) == 3, timeout=30, what="the restarts")
        spool_measurement(connection, "0" * 8 + "-0000-4000-8000-" + "0" * 12)
        services.wait_published(timeout=60)
        assert len(Catalog(connection).reduced_runs) == 1
        pids |= {f"new {role}": services.pid(role) for role in pids}
        port = int(connection.catalog_uri.split(":")[2].split("/")[0])
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
