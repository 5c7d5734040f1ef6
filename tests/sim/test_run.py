import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from battbeam.connection import Connection
from battbeam.errors import ProcessError
from battbeam.processes import wait_for
from battbeam.sim.run import HARD_LIMITS, SimulatedBeamline
from battbeam.sim.scenario import Cell, Scenario

pytestmark = pytest.mark.ioc


def small(directory, **more):
    return SimulatedBeamline(Scenario(**more), directory, with_beamline=False, with_guard=False)


def is_running(pid):
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ports_are_free(connection):
    import socket

    for address in connection.ca_addresses:
        port = int(address.rsplit(":", 1)[1])
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
    return True


def test_a_beamline_starts_says_where_it_is_and_leaves_nothing_running(tmp_path):
    with small(tmp_path) as beamline:
        connection = beamline.start()
        assert beamline.start() is connection
        assert Connection.read(tmp_path) == connection
        assert connection.clock == "SIM:CLOCK:"
        pids = [child.pid for child in beamline.children]
        assert [child.name for child in beamline.children] == ["clock", "cycler"]
        assert beamline.child("cycler").pid == pids[1]
        with pytest.raises(ProcessError, match="no process 'guard_cell1' of this beamline"):
            beamline.child("guard_cell1")
    assert not any(is_running(pid) for pid in pids)
    assert ports_are_free(connection)


def test_a_second_beamline_in_the_same_directory_is_refused(tmp_path):
    with small(tmp_path) as beamline:
        beamline.start()
        with pytest.raises(ProcessError, match="already; end it or name another"):
            small(tmp_path).start()
        assert all(child.is_alive for child in beamline.children)
    with small(tmp_path) as again:
        again.start()


def test_a_process_that_dies_at_once_is_reported_and_the_others_are_ended(tmp_path):
    beamline = small(tmp_path)
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "eclab").write_text("in the way of the directory")
    with pytest.raises(ProcessError, match="cycler ended with status"):
        beamline.start()
    assert beamline.children == ()


def test_nothing_is_left_when_the_process_that_started_it_is_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from battbeam.sim.run import SimulatedBeamline\n"
        "from battbeam.sim.scenario import Scenario\n"
        "b = SimulatedBeamline(Scenario(), Path(sys.argv[1]), with_beamline=False,"
        " with_guard=False)\n"
        "b.start(); print(*(c.pid for c in b.children), flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    connection = Connection.read(tmp_path)
    assert len(pids) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not any(is_running(pid) for pid in pids), timeout=5.0, what="the end of all")
    assert ports_are_free(connection)


def test_each_cell_has_a_guard_with_the_limits_of_its_chemistry(tmp_path):
    scenario = Scenario(cells=(Cell(), Cell(chemistry="nmc811")))
    beamline = SimulatedBeamline(scenario, tmp_path)
    beamline._with_guard = True
    guards = beamline._guards()
    assert [address.prefix for address in guards.values()] == ["SIM:CELL1:", "SIM:CELL2:"]
    path = beamline._write_guard_config(2, "cell2", guards["cell2"])
    assert path == tmp_path / "guard" / "cell2" / "guard.json"
    config = json.loads(path.read_text())
    assert tuple(config["hard_limits"].values()) == HARD_LIMITS["nmc811"]
    assert config["driver"]["prefix"] == "SIM:ECLAB:"
    assert config["driver"]["channel"] == 2
    assert config["clock"] == "SIM:CLOCK:"
    assert Path(config["driver"]["data_directory"]) == tmp_path / "sim" / "eclab"
