"""An observing guard through the wire: the same experiment gives the same rows without control."""

import math
import threading

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.nearest_neighbour import matched
from battbeam.experiment.protocol import Step, StepType
from battbeam.experiment.timeline import CellTimeline
from battbeam.processes import wait_for
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cycler, Scenario
from tests.guard.observing import Client, ForeignSoftware, Observing

pytestmark = pytest.mark.ioc

CAPACITY = EXAMPLE["nominal_capacity"]
OFFSET, DRIFT = 120.0, 50e-6
PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 20},
        {"step": "constant_current", "rate_C": 1, "until_time_s": 100, "until_voltage_V": 3.8},
        {"step": "constant_voltage", "voltage_V": 3.45, "until_time_s": 40},
        {"step": "constant_current", "rate_C": -1, "until_time_s": 80, "until_voltage_V": 2.6},
    ],
}


def read(path) -> CellLog:
    log = CellLog(path)
    log.refresh()
    return log


def test_a_guard_that_only_watches_has_every_row_of_somebody_elses_software(tmp_path, monkeypatch):
    kind, current = StepType.CONSTANT_CURRENT, CAPACITY * 1e-3
    steps = [
        Step(index=0, type=kind, current=0.0, duration=10.0),
        Step(index=1, type=kind, current=current, duration=60.0),
    ]
    scenario = Scenario(name="observed", rate=60.0)
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False, with_guard=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        with (
            Observing(connection, tmp_path, prefix="foreign") as observing,
            Client("WATCHED:") as watching,
        ):
            assert int(watching.pvs["Controls"].read().data[0]) == 0
            watching.say("Hold", until=("LastError", "observed only"))
            software = ForeignSoftware(tmp_path)
            software.run(steps, record_interval=5.0, timeout=60)
            files = list((tmp_path / "sim" / "eclab").glob("foreign*.csv"))
            lines = [line for file in files for line in file.read_text().splitlines()]
            n_rows = sum(line[0].isdigit() for line in lines)
            wait_for(lambda: n_records(read(observing.log)) == n_rows, timeout=20, what="its rows")
            software.close()
    samples = read(observing.log).samples
    rows = {name: samples[name][samples["is_live"] == 0] for name in ("current", "charge")}
    assert n_rows > 14
    assert rows["current"][-1] == pytest.approx(current, rel=1e-3)
    assert rows["charge"][-1] == pytest.approx(CAPACITY * 60 / 3600, rel=1e-3)


def n_records(log):
    """Rows of the software's own log, live values left out."""
    return int((log.samples["is_live"] == 0).sum())


@pytest.mark.acceptance
def test_a_guard_that_only_watches_gives_the_rows_of_the_guard_in_control(tmp_path, monkeypatch):
    cycler = Cycler(clock_offset=OFFSET, clock_drift=DRIFT)
    scenario = Scenario(name="observed", rate=30.0, cycler=cycler)
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        with (
            Observing(connection, tmp_path, prefix="cell1") as observing,
            Client("WATCHED:") as watching,
            Client("SIM:CELL1:") as controlling,
        ):
            assert int(watching.pvs["Controls"].read().data[0]) == 0
            assert int(controlling.pvs["Controls"].read().data[0]) == 1
            controlling.say("Load", until=("State", "Loaded"), protocol=PROTOCOL)
            controlling.say("Start", until=("State", "Running"))
            wait_for(lambda: watching.text("State") == "Running", timeout=20, what="rows")
            wait_for(lambda: "Finished" in controlling.text("State"), timeout=60, what="end")
            known = read(connection.guards["cell1"].log).complete_to
            wait_for(lambda: read(observing.log).complete_to > known, timeout=20, what="its mark")
    control, watched = read(connection.guards["cell1"].log), read(observing.log)
    assert n_records(watched) == n_records(control)
    start, end = control.samples["time"][0] - OFFSET, control.samples["time"][-1] - OFFSET
    compare(CellTimeline(control), CellTimeline(watched), start, min(end, known))


def compare(control: CellTimeline, watched: CellTimeline, start: float, end: float) -> None:
    """State of charge and voltage within what the watching guard knew of the log's clock then."""
    errors = []
    for middle in np.linspace(start + 15.0, end - 15.0, 40):
        for length in (2.0, 20.0):
            exposure = (middle - length / 2, middle + length / 2)
            one, other = control.at(*exposure), watched.at(*exposure)
            assert not other.fault
            state, seen = one.middle, other.middle
            blur = 3 * other.clock.uncertainty(middle)
            allowed = 2e-4 + 2 * blur / 3600
            errors.append((blur, abs(state.state_of_charge - seen.state_of_charge)))
            assert seen.state_of_charge == pytest.approx(state.state_of_charge, abs=allowed)
            assert other.smear == pytest.approx(one.smear, abs=allowed)
            # Live values of a busy machine may be some of the cell's seconds apart.
            volts, amperes = ranges(control, middle, length + 2 * blur + 20.0 * other.is_live)
            assert seen.voltage == pytest.approx(state.voltage, abs=0.003 + volts)
            assert other.voltage == pytest.approx(one.voltage, abs=0.003 + volts)
            assert seen.current == pytest.approx(state.current, abs=5e-5 + amperes)
    tied = [error for blur, error in errors if blur < 1.0]
    print(f"{len(tied)} of {len(errors)} rows after a marker, error {max(tied):.1e}")
    assert len(tied) > 0.5 * len(errors)
    assert max(tied) < 2e-4


def ranges(control: CellTimeline, middle: float, length: float) -> tuple[float, float]:
    """By how much voltage and current change around a time."""
    around = control.at(middle - length / 2 - 1.0, middle + length / 2 + 1.0)
    states = (around.start, around.middle, around.end)
    found = [np.ptp([s.voltage for s in states]), np.ptp([s.current for s in states])]
    # Before the first record nobody knows: then nothing is asked either.
    volts, amperes = (1.0 if math.isnan(each) else float(each) for each in found)
    return volts, amperes


@pytest.mark.acceptance
@pytest.mark.parametrize("milliseconds", [True, False])
def test_somebody_elses_software_cycles_and_the_state_of_charge_is_the_hidden_one(
    tmp_path, monkeypatch, milliseconds
):
    """An hour at 10x; beside it the nearest row of the log, as groups match it afterwards today."""
    cycler = Cycler(clock_offset=OFFSET, clock_drift=DRIFT, clock_jitter=0.05, live_interval=0.2)
    scenario = Scenario(name="foreign", rate=10.0, cycler=cycler)
    steps = [Step(index=0, type=StepType.CONSTANT_CURRENT, current=0.0, duration=120.0)]
    for number in range(8):
        sign = 1.0 if number < 4 else -1.0
        for current, duration in ((sign * CAPACITY * 1e-3, 400.0), (0.0, 20.0)):
            kind = StepType.CONSTANT_CURRENT
            steps.append(Step(index=len(steps), type=kind, current=current, duration=duration))
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False, with_guard=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        with (
            Observing(
                connection, tmp_path, prefix="foreign", end_after=100.0, milliseconds=milliseconds
            ) as observing,
            Client("WATCHED:") as watching,
        ):
            software = ForeignSoftware(tmp_path)
            running = threading.Thread(
                target=software.run,
                args=(steps,),
                kwargs={"record_interval": 10.0, "timeout": 600},
                daemon=True,
            )
            running.start()
            running.join()
            software.close()
            wait_for(lambda: "Finished" in watching.text("State"), timeout=60, what="the end")
    log, history = read(observing.log), History(history_path(tmp_path, 1))
    errors, naive, relation = against_truth(log, history)
    print(
        f"clock error {relation:.3f} s; state of charge: timeline {errors:.1e},"
        f" nearest row {naive:.1e}, expected {OFFSET / 3600:.1e}"
    )
    # A date in whole seconds misnames every row by the same part of one; the relation takes it off.
    assert not milliseconds or relation < 0.2
    assert errors < 1e-3
    assert naive == pytest.approx(OFFSET / 3600, rel=0.2)


@pytest.mark.acceptance
def test_a_clock_two_minutes_off_that_drifts_and_jitters_is_recovered_in_an_hour(
    tmp_path, monkeypatch
):
    """At 10x, with a guard in control."""
    cycler = Cycler(clock_offset=OFFSET, clock_drift=DRIFT, clock_jitter=0.1)
    scenario = Scenario(name="clocks", rate=10.0, cycler=cycler)
    rest = {"step": "open_circuit_voltage", "until_time_s": 150}
    charge = {"step": "constant_current", "rate_C": 1, "until_time_s": 1650, "until_voltage_V": 3.8}
    discharge = {**charge, "rate_C": -1, "until_voltage_V": 2.6}
    protocol = {"record": {"time_s": 10}, "method": [rest, charge, rest, discharge]}
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        with Client("SIM:CELL1:") as controlling:
            controlling.say("Load", until=("State", "Loaded"), protocol=protocol)
            controlling.say("Start", until=("State", "Running"))
            wait_for(
                lambda: "Finished" in controlling.text("State"),
                timeout=900,
                what="its end",
                interval=1.0,
            )
    log, history = read(connection.guards["cell1"].log), History(history_path(tmp_path, 1))
    errors, naive, relation = against_truth(log, history)
    print(
        f"clock error {relation:.3f} s; state of charge: timeline {errors:.1e},"
        f" nearest row {naive:.1e}, expected {OFFSET / 3600:.1e}"
    )
    assert relation < 0.05
    assert errors < 1e-3
    assert naive == pytest.approx(OFFSET / 3600, rel=0.2)


def against_truth(log: CellLog, history: History) -> tuple[float, float, float]:
    """Largest errors: state of charge by the timeline, by the nearest row; the clock's, s."""
    timeline, (mounting,) = CellTimeline(log), [m for m in log.mountings if m.cell_run]
    mounted = history.at(np.array([mounting.time])).charge[0]
    samples, last = log.samples, len(log.samples) - 1
    clock = timeline.clock_at(10**9)
    begin = clock.session_time(float(samples["time"][0]))
    end = clock.session_time(float(samples["time"][last]))
    errors, naive = [0.0], [0.0]
    for middle in np.linspace(begin + 130.0, end - 130.0, 200):
        truth = (history.at(np.array([middle])).charge[0] - mounted) / CAPACITY
        found = timeline.at(middle - 5.0, middle + 5.0).middle.state_of_charge
        errors.append(abs(found - truth))
        row = matched(samples["time"], np.array([middle]))[0]
        naive.append(abs(samples["charge"][row] / CAPACITY - truth))
    session = scenario_session(begin, end)
    truth_clock = session + OFFSET + DRIFT * (session - 1_750_000_000.0)
    error = max(
        abs(clock.device_time(t) - true) for t, true in zip(session, truth_clock, strict=True)
    )
    return max(errors), max(naive), float(error)


def scenario_session(begin: float, end: float) -> np.ndarray:
    return np.linspace(begin, end, 20)
