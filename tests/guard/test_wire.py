"""The guard as a process, on the simulated cycler, over Channel Access."""

import csv
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.experiment.cell import EXAMPLE
from battbeam.guard.config import EclabConfig, GuardConfig, HardLimits, ThermostatConfig
from battbeam.guard.log import read_lines
from battbeam.processes import Supervisor, free_port, server_environment, wait_for
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Scenario
from battbeam.sim.scenario_cell import Cell as HiddenCell
from battbeam.sim.scenario_cell import CounterElectrode, ReferenceElectrode

pytestmark = pytest.mark.ioc

RATE = 300.0
PREFIX = "SIM:CELL1:"
HARD = HardLimits(voltage_min=2.0, voltage_max=4.2, current_max=0.05)

REST = {"step": "open_circuit_voltage", "until_time_s": 60}
CHARGE = {"step": "constant_current", "rate_C": 2, "until_time_s": 500, "until_voltage_V": 3.8}
HOLD = {"step": "constant_voltage", "voltage_V": 3.55, "until_time_s": 200}
DISCHARGE = {"step": "constant_current", "rate_C": -2, "until_time_s": 400, "until_voltage_V": 2.6}
LONG = {"step": "constant_current", "rate_C": 0.05, "until_time_s": 36_000}

SESSION = """
import json, os, sys, time
from battbeam.channel_access import Context
owner, beat = Context().get_pvs("SIM:CELL1:Owner", "SIM:CELL1:Heartbeat")
owner.wait_for_connection(timeout=10), beat.wait_for_connection(timeout=10)
token = {"id": "own", "token": "killed-session", "host": "here", "pid": os.getpid(), "session": "s"}
owner.write(list(json.dumps(token).encode()), timeout=10)
print("beating", flush=True)
for count in range(100_000):
    beat.write(list(f"killed-session {count}".encode()), timeout=10)
    time.sleep(0.1)
"""


class Cell:
    """A simulated cell with its guard, and a client of both."""

    def __init__(self, directory, **settings):
        scenario = Scenario(name="guard", rate=RATE, **settings)
        self.directory = directory
        self.sim = SimulatedBeamline(scenario, directory, with_beamline=False, with_guard=False)
        self.connection = self.sim.start()
        self.port = free_port()
        self.connection.ca_addresses.append(f"127.0.0.1:{self.port}")
        # Another cell's client in this process must find its own guard again.
        self.environment = {name: os.environ.get(name) for name in self.connection.environment()}
        self.connection.use()
        self.log = directory / "guard" / "log.jsonl"
        data = directory / "sim" / "eclab"
        config = GuardConfig(
            prefix=PREFIX,
            log=self.log,
            clock="SIM:CLOCK:",
            simulated=True,
            hard_limits=HARD,
            heartbeat_timeout=1.0,
            thermostat=ThermostatConfig(
                readback="SIM:ECLAB:TEMP1:RBV", setpoint="SIM:ECLAB:TEMP1:SP"
            ),
            driver=EclabConfig(
                prefix="SIM:ECLAB:", file_prefix=str(data / "cell1"), data_directory=data
            ),
        )
        self.config = directory / "guard" / "guard.json"
        self.config.parent.mkdir()
        self.config.write_text(config.model_dump_json())
        self.supervisor = Supervisor(directory / "log")
        self.context = None
        self.start_guard()
        self._beating = threading.Event()
        self._count = 0
        threading.Thread(target=self._beat, daemon=True).start()

    def start_guard(self):
        environment = server_environment(self.port) | self.connection.environment()
        self.guard = self.supervisor.start(
            "guard", ["battbeam.guard", "--config", str(self.config)], environment=environment
        )
        self.supervisor.wait_ready([self.guard])
        if self.context is not None:
            self.context.disconnect()
        self.context = Context(timeout=10)
        self.pvs = {}

    def kill_guard(self):
        self.guard.process.kill()
        self.guard.process.wait()
        self.supervisor.children.clear()

    def pv(self, name):
        if name not in self.pvs:
            (self.pvs[name],) = self.context.get_pvs(name)
            self.pvs[name].wait_for_connection(timeout=10)
        return self.pvs[name]

    def text(self, suffix):
        return bytes(self.pv(PREFIX + suffix).read(timeout=10).data).split(b"\0")[0].decode()

    def number(self, suffix):
        return float(self.pv(PREFIX + suffix).read(timeout=10).data[0])

    def command(self, verb, **content):
        document = {"id": verb, "token": "the-token-of-tests", **content}
        self.pv(PREFIX + verb).write(list(json.dumps(document).encode()), timeout=30)
        return json.loads(self.text("CommandResult"))

    def done(self, verb, **content):
        answer = self.command(verb, **content)
        assert answer["ok"], answer
        return answer

    def acquire(self):
        self.done("Owner", host="here", pid=os.getpid(), session="tests")
        self._beating.set()

    def release(self):
        self._beating.clear()
        self.done("Owner", release=True)

    def _beat(self):
        while True:
            self._beating.wait()
            self._count += 1
            text = f"the-token-of-tests {self._count}"
            pv = self.pvs.get(PREFIX + "Heartbeat")
            if pv is not None and pv.connected:
                pv.write(list(text.encode()), wait=False)
            time.sleep(0.1)

    def run(self, *method):
        self.pv(PREFIX + "Heartbeat")
        self.acquire()
        if self.text("State") == "Tripped":
            self.pv(PREFIX + "SoftVoltageMax").write([HARD.voltage_max], timeout=10)
            self.pv(PREFIX + "SoftVoltageMin").write([HARD.voltage_min], timeout=10)
            self.done("Reset")
        if not self.text("CellRun"):
            self.done("Passport", passport=dict(EXAMPLE))
        self.done("Load", protocol={"record": {"time_s": 10}, "method": list(method)})
        self.done("Start")

    def wait_state(self, state, timeout=30):
        wait_for(lambda: self.text("State") == state, timeout=timeout, what=f"state {state}")

    def cycler_state(self):
        return int(self.pv("SIM:ECLAB:C1:STATE").read(timeout=10).data[0])

    def lines(self, kind, *, after=0):
        lines = [line for line in read_lines(self.log) if line["n"] >= after]
        return [line for line in lines if line["kind"] == kind]

    def next_line(self):
        return sum(1 for _ in read_lines(self.log))

    def names(self, after):
        """Of the segments run since a line of the log."""
        return [line["segment"]["name"] for line in self.lines("segment", after=after)]

    def samples(self, after):
        """Of the segments run since a line of the log."""
        names, lines = self.names(after), self.lines("sample", after=after)
        return [line for line in lines if any(name in line.get("key", "") for name in names)]

    def rows(self, after):
        """Records in the cycler's files of the segments run since a line of the log."""
        names = self.names(after)
        found = []
        for name in names:
            for path in (self.directory / "sim" / "eclab").glob(f"cell1_{name}*.csv"):
                text = [line for line in path.read_text().splitlines() if line[0] != "#"]
                found += list(csv.DictReader(text))
        return found

    def close(self):
        self._beating.clear()
        self.context.disconnect()
        self.supervisor.stop()
        self.sim.stop()
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    made = Cell(tmp_path_factory.mktemp("guard"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def at_rest(request):
    yield
    cell = request.getfixturevalue("cell")
    cell.done("OpenCircuit")
    cell.wait_state("OpenCircuit") if cell.text("State") != "Tripped" else None
    if cell.text("OwnerState") == "owned":
        cell.command("Owner", release=True)
    cell._beating.clear()


def test_a_protocol_runs_from_start_to_end_and_every_sample_is_there_once(cell):
    first = cell.next_line()
    cell.run(REST, CHARGE, HOLD, DISCHARGE)
    cell.wait_state("Finished")
    rows, samples = cell.rows(first), cell.samples(first)
    assert len(samples) == len(rows) > 100
    assert len({line["key"] for line in samples}) == len(samples)
    times = [line["time"] for line in samples]
    assert times == sorted(times)
    assert [line["step_index"] for line in samples] == sorted(
        line["step_index"] for line in samples
    )
    assert largest_charge_error(cell, samples) < 0.001 * EXAMPLE["nominal_capacity"]


def largest_charge_error(cell, samples):
    """Against the hidden truth, mAh; from the first sample on."""
    history = [json.loads(line) for line in (cell.directory / "sim/history_C1.jsonl").open()]
    cycler = Scenario().cycler
    device = np.array([line["time"] for line in samples])
    start = Scenario().start
    session = start + (device - cycler.clock_offset - start) / (1 + cycler.clock_drift)
    truth = np.interp(session, [h["time"] for h in history], [h["charge"] for h in history])
    charge = np.array([line["charge"] for line in samples])
    return float(np.abs(charge - charge[0] - (truth - truth[0])).max())


def test_a_hold_and_what_is_left_go_over_the_wire(cell):
    first = cell.next_line()
    cell.run(CHARGE, DISCHARGE)
    wait_for(lambda: cell.number("StepCount") > 0, timeout=10, what="a step")
    cell.done("Hold")
    wait_for(lambda: cell.number("StepIndex") == -1, timeout=10, what="the hold")
    cell.done("Proceed")
    cell.wait_state("Finished")
    samples, rows = cell.samples(first), cell.rows(first)
    assert len(samples) == len(rows)
    assert largest_charge_error(cell, samples) < 0.001 * EXAMPLE["nominal_capacity"]


EVERY_STEP = (
    {"step": "temperature", "temperature_degC": 27.0, "tolerance_K": 0.2, "until_time_s": 3000},
    {"step": "constant_current", "rate_C": 2, "until_time_s": 200},
    {"step": "current_ramp", "start_current_mA": 0, "end_current_mA": 4, "until_time_s": 200},
    {"step": "constant_resistance", "resistance_ohm": 800, "until_time_s": 150},
    {"step": "voltage_scan", "start_voltage_V": 3.4, "end_voltage_V": 3.5, "scan_rate_mV_per_s": 1},
    {"step": "open_circuit_voltage", "until_time_s": 3000, "until_voltage_rate_mV_per_h": 50},
    {
        "step": "impedance_spectroscopy",
        "amplitude_V": 0.005,
        "start_frequency_Hz": 1000,
        "end_frequency_Hz": 0.1,
        "points_per_decade": 3,
        "measures_per_point": 1,
    },
    # The cell is shared: it is left as empty as it was found.
    {"step": "constant_current", "rate_C": -2, "until_time_s": 600, "until_voltage_V": 2.6},
)


def test_every_step_type_runs_over_the_wire_and_its_charge_is_the_hidden_one(cell):
    first = cell.next_line()
    cell.run(*EVERY_STEP)
    cell.wait_state("Finished", timeout=60)
    samples = cell.samples(first)
    steps = [line["step_index"] for line in samples]
    assert steps == sorted(steps)
    assert set(steps) == set(range(len(EVERY_STEP)))
    assert largest_charge_error(cell, samples) < 0.001 * EXAMPLE["nominal_capacity"]
    by_step = {n: [line for line in samples if line["step_index"] == n] for n in set(steps)}
    assert by_step[0][-1]["temperature"] == pytest.approx(27.0, abs=0.3)
    assert by_step[0][-1]["elapsed"] < 1000
    passed = [(by_step[n][-1]["charge"] - by_step[n - 1][-1]["charge"]) * 3.6 for n in (1, 2)]
    assert passed == pytest.approx([2 * 2.9e-3 * 200, 4e-3 / 2 * 200], rel=1e-3)
    load = [line for line in by_step[3] if line["elapsed"] > 1.0]
    deviations = [abs(-line["current"] * 800 / line["voltage"] - 1) for line in load]
    assert max(deviations) < 0.005
    # The guard ends it: a look and a put, 0.1 s of wall time, are 30 s here.
    assert 150 <= load[-1]["elapsed"] + 0.5 < 150 + 0.1 * RATE
    assert by_step[4][-1]["voltage"] == pytest.approx(3.5, abs=1e-3)
    assert by_step[4][-1]["elapsed"] - by_step[4][0]["elapsed"] == pytest.approx(100, abs=0.1)
    assert by_step[5][-1]["elapsed"] < 2900
    spectrum = cell.lines("impedance", after=first)
    frequencies = [line["frequency"] for line in spectrum]
    assert frequencies == pytest.approx(np.geomspace(1000, 0.1, 13), rel=1e-4)
    assert all(line["impedance_imaginary"] < 0 for line in spectrum)
    assert {line["step_index"] for line in spectrum} == {6}


REST_120 = {"step": "open_circuit_voltage", "until_time_s": 120}
PULSE = {"step": "constant_current", "rate_C": 2, "until_time_s": 40}
TAG = {"step": "tag", "tag": "start"}
BACK = {"step": "loop", "loop_to": "start", "cycle_count": 12}
RATES = {
    "C/20": ({"step": "constant_current", "rate_C": "C/20", "until_charge_mAh": 0.2},),
    "1C": ({"step": "constant_current", "rate_C": 1, "until_charge_fraction": 0.3}, REST_120),
    "pulses": (TAG, PULSE, {**REST_120, "until_time_s": 20}, BACK),
    "GITT": (
        TAG,
        {"step": "constant_current", "rate_C": 0.5, "until_time_s": 300},
        {**REST_120, "until_time_s": 3000, "until_voltage_rate_mV_per_h": 20},
        {**BACK, "cycle_count": 4},
    ),
    "loops": (
        TAG,
        {"step": "constant_current", "rate_C": 2, "until_time_s": 200, "until_voltage_V": 3.8},
        {"step": "constant_current", "rate_C": -2, "until_time_s": 200, "until_voltage_V": 2.6},
        {**BACK, "cycle_count": 8},
    ),
}


@pytest.mark.acceptance
@pytest.mark.parametrize("name", RATES)
def test_charge_and_transitions_agree_with_the_hidden_history(cell, name):
    empty(cell)
    first = cell.next_line()
    cell.run(*RATES[name])
    cell.wait_state("Finished", timeout=200)
    samples = cell.samples(first)
    passed = sum(abs(b["charge"] - a["charge"]) for a, b in itertools.pairwise(samples))
    assert largest_charge_error(cell, samples) < 1e-3 * passed
    times, currents = hidden_currents(cell, samples)
    switches = times[1:][np.abs(np.diff(currents)) > 1e-4]
    counts = [line["step_count"] for line in samples]
    edges = [
        line["time"]
        for before, line in itertools.pairwise(samples)
        if before["step_count"] != line["step_count"]
    ]
    for edge in edges:
        assert np.abs(switches - edge).min() < 1.0
    assert sorted(set(counts)) == list(range(counts[0], counts[-1] + 1))
    n_loops = next((step["cycle_count"] for step in RATES[name] if step["step"] == "loop"), 1)
    n_steps = sum(step["step"] not in ("loop", "tag") for step in RATES[name])
    assert counts[-1] - counts[0] + 1 == n_steps * n_loops
    if name == "loops":
        assert samples[-1]["cycle_number"] == 8


@pytest.mark.acceptance
def test_a_load_discharges_a_cell_to_its_end_as_one_step_over_several_lists(cell):
    """The constant load of a primary cell, scaled: the cell's own resistance is 5 % of it."""
    empty(cell)
    first = cell.next_line()
    charge = {"step": "constant_current", "rate_C": 2, "until_time_s": 300, "until_voltage_V": 3.8}
    load = {"step": "constant_resistance", "resistance_ohm": 450, "until_voltage_V": 2.6}
    cell.run(charge, load)
    cell.wait_state("Finished", timeout=100)
    samples = cell.samples(first)
    assert largest_charge_error(cell, samples) < 1e-3 * 2 * 2.9e-3 * 300 / 3.6
    loaded = [line for line in samples if line["step_index"] == 1]
    assert len(cell.names(first)) > 2
    assert {line["step_count"] for line in loaded} == {samples[0]["step_count"] + 1}
    under = [line for line in loaded if line["current"] < 0 and line["elapsed"] > 1.0]
    deviations = [abs(-line["current"] * 450 / line["voltage"] - 1) for line in under]
    assert max(deviations) < 0.005
    assert loaded[-1]["voltage"] == pytest.approx(2.6, abs=2e-3)


def empty(cell):
    """The cell is shared: begin with it discharged."""
    cell.run(
        {"step": "constant_current", "rate_C": -2, "until_time_s": 3600, "until_voltage_V": 2.6}
    )
    cell.wait_state("Finished", timeout=60)


def hidden_currents(cell, samples):
    """Times on the cycler's clock, and currents, while these samples were taken."""
    rows = [json.loads(line) for line in (cell.directory / "sim/history_C1.jsonl").open()]
    cycler, start = Scenario().cycler, Scenario().start
    session = np.array([row["time"] for row in rows])
    device = session + cycler.clock_offset + cycler.clock_drift * (session - start)
    inside = (device > samples[0]["time"] - 60) & (device < samples[-1]["time"] + 60)
    return device[inside], np.array([row["current"] for row in rows])[inside]


@pytest.mark.acceptance
def test_both_electrodes_are_read_against_the_third_and_their_difference_is_the_voltage(tmp_path):
    reference = ReferenceElectrode(place=0.3, offset=0.02, drift=0.05)
    truth = HiddenCell(counter=CounterElectrode(material="graphite"), reference=reference)
    cell = Cell(tmp_path, cells=(truth,))
    try:
        cell.pv(PREFIX + "Heartbeat")
        cell.acquire()
        limits = {"voltage_min": 2.0, "voltage_max": 3.9, "current_max": 0.01}
        third = {"n_electrodes": 3, "reference_electrode": {"material": "Li", "potential": 0.0}}
        cell.done("Passport", passport={**EXAMPLE, **third, "limits": limits})
        charge = {"step": "constant_current", "rate_C": 1, "until_time_s": 600}
        method = [charge, {**REST_120, "until_time_s": 300}]
        cell.done("Load", protocol={"record": {"time_s": 10}, "method": method})
        cell.done("Start")
        start, end = cell.number("StepStart"), cell.number("StepEnd")
        wait_for(lambda: cell.number("SampleTime") > start + 100, timeout=20, what="some time")
        assert cell.number("StepStart") == pytest.approx(start, abs=10)
        assert cell.number("StepEnd") == pytest.approx(end, abs=10)
        numbers = [cell.number(f"Voltage{name}") for name in ("Working", "Counter")]
        assert all(math.isfinite(number) for number in numbers)
        cell.wait_state("Finished")
        samples = cell.lines("sample")
        both = [line["voltage_working"] - line["voltage_counter"] for line in samples]
        assert both == pytest.approx([line["voltage"] for line in samples], abs=1e-3)
        counters = np.array([line["voltage_counter"] for line in samples])
        hours = (samples[-1]["time"] - samples[0]["time"]) / 3600
        # The iR drop between reference and counter electrode falls away with the current.
        steps = [line["step_index"] for line in samples]
        jump = counters[steps.index(1)] - counters[steps.index(1) - 1]
        assert jump == pytest.approx(2.9e-3 * 12.01 * 0.7, abs=2e-3)
        assert hours * 0.05 > 5e-3
    finally:
        cell.close()


def killed_session_leaves(cell, policy, state):
    """s from the kill until the cell is in its declared state; the cycler then obeys."""
    cell.run(LONG)
    cell.done("Policies", policies={"client_loss": policy})
    cell.release()
    session = subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE)
    assert session.stdout.readline() == b"beating\n"
    cell.pv(PREFIX + "State")
    killed = time.monotonic()
    os.kill(session.pid, signal.SIGKILL)
    session.wait()
    session.stdout.close()
    wait_for(lambda: cell.text("State") == state, timeout=5, what=state, interval=0.005)
    took = time.monotonic() - killed
    running = state != "OpenCircuit"
    wait_for(lambda: bool(cell.cycler_state()) == running, timeout=2, what="the cycler to obey")
    return took


@pytest.mark.parametrize(
    ("policy", "state"), [("open_circuit", "OpenCircuit"), ("hold", "Holding")]
)
def test_a_killed_session_leaves_the_cell_in_its_declared_state(cell, policy, state):
    assert killed_session_leaves(cell, policy, state) < 1.0 + 0.2


def test_a_guard_that_was_kept_from_running_hears_the_beats_that_waited(cell):
    cell.run(LONG)
    first = cell.next_line()
    os.kill(cell.guard.pid, signal.SIGSTOP)
    # Three times as long as an owner may be silent.
    time.sleep(3.0)
    os.kill(cell.guard.pid, signal.SIGCONT)
    wait_for(lambda: len(cell.lines("watermark", after=first)) > 4, timeout=10, what="watermarks")
    assert cell.lines("owner", after=first) == []
    assert (cell.text("OwnerState"), cell.text("State")) == ("owned", "Running")


@pytest.mark.acceptance
def test_ten_of_ten_killed_sessions_leave_the_cell_in_its_declared_state(cell):
    took = [killed_session_leaves(cell, "open_circuit", "OpenCircuit") for _ in range(10)]
    assert max(took) < 1.0 + 0.2


def test_a_guard_that_was_killed_takes_up_its_cell_again_and_no_sample_is_lost(cell):
    first = cell.next_line()
    cell.run(CHARGE, HOLD, DISCHARGE)
    wait_for(lambda: cell.number("Charge") > 0.1, timeout=10, what="charge")
    cell_run, boot_id = cell.text("CellRun"), cell.text("BootId")
    cell.kill_guard()
    cell.start_guard()
    cell.pv(PREFIX + "Heartbeat")
    cell.acquire()
    assert cell.text("CellRun") == cell_run
    assert cell.text("BootId") != boot_id
    cell.wait_state("Finished")
    samples, rows = cell.samples(first), cell.rows(first)
    assert len(samples) == len(rows)
    assert len({line["key"] for line in samples}) == len(samples)
    numbers = [line["sequence"] for line in samples]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [line["n"] for line in read_lines(cell.log)] == list(range(cell.next_line()))
    assert largest_charge_error(cell, samples) < 0.001 * EXAMPLE["nominal_capacity"]


def test_a_cycler_that_does_not_answer_is_shown_and_nothing_is_lost(cell):
    first = cell.next_line()
    cell.run(LONG)
    cycler = cell.sim.child("cycler").pid
    os.kill(cycler, signal.SIGSTOP)
    try:
        cell.wait_state("Unreachable")
    finally:
        os.kill(cycler, signal.SIGCONT)
    cell.wait_state("Running")
    cell.done("OpenCircuit")
    wait_for(
        lambda: len(cell.samples(first)) == len(cell.rows(first)),
        timeout=10,
        what="every record",
        interval=0.2,
    )
    assert largest_charge_error(cell, cell.samples(first)) < 0.001 * EXAMPLE["nominal_capacity"]


def random_puts(cell, n):
    """Nonsense and near-sense, put to every PV that takes something."""
    rng = random.Random(1)
    limits = ["HardVoltageMax", "HardCurrentMax", "SoftVoltageMax", "SoftVoltageMin"]
    verbs = ["Load", "Start", "Hold", "Proceed", "Reset", "Passport", "Owner", "Policies"]
    verbs += ["Occasion", "Settings", "Validate", "Heartbeat"]
    for _ in range(n):
        if rng.random() < 0.5:
            value = rng.choice([float("nan"), float("inf"), -1e9, rng.uniform(-10, 10)])
            cell.pv(PREFIX + rng.choice(limits)).write([value], wait=False)
        else:
            step = {"step": "constant_current", "rate_C": rng.uniform(-50, 50)}
            protocol = {"record": {"time_s": 1}, "method": [{**step, "until_time_s": 100}]}
            texts = ["", "{", "[]", "null", '{"id": 1}', json.dumps({"protocol": protocol})]
            owned = {"token": "the-token-of-tests", "protocol": protocol, "policies": 3}
            texts += [json.dumps({**owned, "heartbeat_timeout": rng.uniform(-1, 1e9)})]
            verb = rng.choice(verbs)
            cell.pv(PREFIX + verb).write(list(rng.choice(texts).encode()) or [0], wait=False)


def no_put_escapes(cell, n):
    cell.run(LONG)
    random_puts(cell, n)
    rest = {"record": {"time_s": 1}, "method": [REST]}
    wait_for(
        lambda: cell.command("Validate", protocol=rest)["verb"] == "Validate",
        timeout=60,
        what="the puts to be answered",
    )
    assert cell.number("HardVoltageMax") == HARD.voltage_max
    assert cell.number("HardCurrentMax") == HARD.current_max
    assert HARD.voltage_min <= cell.number("SoftVoltageMin") < cell.number("SoftVoltageMax")
    assert cell.number("SoftVoltageMax") <= HARD.voltage_max
    assert cell.guard.is_alive
    currents = [abs(line["current"]) for line in cell.lines("sample")]
    assert max(currents) <= EXAMPLE["limits"]["current_max"]


def test_no_put_escapes_the_limits(cell):
    no_put_escapes(cell, 300)


@pytest.mark.acceptance
def test_ten_thousand_puts_do_not_escape_the_limits(cell):
    no_put_escapes(cell, 10_000)


def test_a_second_session_is_refused_over_the_wire(cell):
    cell.pv(PREFIX + "Heartbeat")
    cell.acquire()
    second = {"token": "another-token", "host": "there", "pid": 2, "session": "second"}
    answer = cell.command("Owner", **second)
    assert not answer["ok"]
    assert f"owned by session tests (process {os.getpid()} on here)" in answer["error"]
    assert "owned by" in cell.text("LastError")
