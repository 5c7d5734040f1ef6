"""A session is killed in the middle of an experiment: the cell, the documents, and going on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from battbeam.connection import Connection
from battbeam.processes import wait_for
from battbeam.session import Session
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Detector, Scenario
from battbeam.storage.recover import recover
from battbeam.storage.tail import documents

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

EXPERIMENT = """
import sys
from pathlib import Path
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import AbsoluteClock
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, mounted
from battbeam.session import open_session

protocol = {"record": {"time_s": 10}, "method": [
    {"step": "constant_current", "rate_C": 0.2, "until_voltage_V": 3.8}]}
rules = Schedule(rules=(Rule(name="clock", when=AbsoluteClock(period=60.0), measure="pattern"),))

def plan(b, is_joining):
    pattern = Pattern(Exposure((b.detector,), b.beam, FrameTrain(10.0), (b.potentiostat,)))
    yield from mounted(b.potentiostat, EXAMPLE)
    yield from operando(rules, {"pattern": pattern}, potentiostat=b.potentiostat, beam=b.beam,
                        clock=b.clock, protocol=None if is_joining else protocol,
                        policies=None if is_joining else {"client_loss": sys.argv[2]})

with open_session(Path(sys.argv[1])) as session:
    session.run(plan(session.beamline, is_joining=sys.argv[3] == "join"))
"""


@pytest.fixture
def running(tmp_path):
    small = Detector(n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8)
    scenario = Scenario(name="kill", prefix="KILL:", rate=60.0, detector=small)
    with SimulatedBeamline(scenario, tmp_path) as beamline:
        connection = beamline.start()
        connection.use()
        yield connection


def start(connection, policy, how="start"):
    return subprocess.Popen(
        [sys.executable, "-c", EXPERIMENT, str(connection.directory), policy, how],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **connection.environment()},
    )


def n_points(connection: Connection) -> int:
    return sum(
        line.name == "event" and "detector_frame" in line.doc["data"]
        for path in connection.spool.glob("*.jsonl")
        for line in documents(path)
    )


@pytest.mark.parametrize(
    ("policy", "state"),
    [("continue", "Running"), ("hold", "Holding"), ("open_circuit", "OpenCircuit")],
)
def test_a_killed_session_leaves_the_declared_state_and_can_be_followed(policy, state, running):
    with Session(running, owns_cell=False) as onlooker:
        potentiostat = onlooker.beamline.potentiostat
        first = start(running, policy)
        wait_for(lambda: n_points(running) >= 2, timeout=60, what="two points")
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.monotonic()
        within = potentiostat.heartbeat_timeout.get() + 0.2
        wait_for(lambda: potentiostat.owner.get() == "lapsed", timeout=within + 1, what="a lapse")
        assert time.monotonic() - killed <= within + 0.1
        wait_for(lambda: str(potentiostat.state.get()) == state, timeout=0.3, what=state)

        report = str(recover(running))
        assert "2 closed" in report, report
        for path in running.spool.glob("*.jsonl"):
            last = documents(path)[-1]
            assert last.name == "stop"
            assert last.doc["exit_status"] in ("abort", "success")

        if policy == "open_circuit":
            return
        before = n_points(running)
        second = start(running, policy, "join")
        try:
            wait_for(lambda: n_points(running) > before, timeout=60, what="a point after joining")
        finally:
            second.send_signal(signal.SIGTERM)
            second.wait(timeout=30)
