"""A protocol is written once: a guard runs it, five formats have it, and PyBaMM runs the same."""

import json
from collections import Counter

import numpy as np
import pytest

from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.protocol import Protocol, StepType
from battbeam.experiment.protocol_export import ExportFormat, export_protocol
from battbeam.processes import wait_for
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Scenario
from tests.experiment.round_trip import passport_of, run_here, run_in_pybamm
from tests.guard.observing import Client
from tests.own import own_prefix

RATE = 200.0
PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {
            "step": "gitt",
            "rate_C": "C/2",
            "pulse_charge_fraction": 0.1,
            "rest_time_s": 450,
            "count": 3,
        },
        {"step": "current_ramp", "start_rate_C": 0, "end_rate_C": 1, "until_time_s": 300},
        {"step": "tag", "tag": "cycle"},
        {"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.7},
        {"step": "constant_voltage", "voltage_V": 3.7, "until_rate_C": "C/10"},
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {
            "step": "constant_current",
            "rate_C": -1,
            "until_time_s": 1500,
            "until_voltage_V": 2.8,
        },
        {"step": "loop", "loop_to": "cycle", "cycle_count": 2},
    ],
}
#: How a sentence of PyBaMM begins, by what the step controls.
WORDS = {
    StepType.REST: ("Rest",),
    StepType.CONSTANT_CURRENT: ("Charge", "Discharge"),
    StepType.CURRENT_RAMP: ("Charge", "Discharge"),
    StepType.CONSTANT_VOLTAGE: ("Hold",),
}


def run_through_the_guard(directory, truth, passport, protocol, monkeypatch):
    """The guard's log of it."""
    scenario = Scenario(name="round trip", prefix=own_prefix(), rate=RATE, cells=(truth,))
    with SimulatedBeamline(scenario, directory, with_beamline=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        with Client(scenario.guard_prefix(1), passport) as client:
            client.say("Load", until=("State", "Loaded"), protocol=protocol)
            client.say("Start", until=("State", "Running"))
            wait_for(
                lambda: "Finished" in client.text("State"),
                timeout=200,
                what="its end",
                interval=0.5,
            )
    return connection.guards["cell1"].log


def steps_of(path):
    """Of a guard's log: place in the method, s and mAh of each step, in their order."""
    log = CellLog(path)
    log.refresh()
    samples = log.samples
    counts, begins = np.unique(samples["step_count"], return_index=True)
    ends = np.append(begins[1:], len(samples)) - 1
    assert np.array_equal(counts, np.arange(counts[0], counts[0] + len(counts)))
    starts = np.append(begins[0], ends[:-1])
    places = samples["step_index"][ends]
    seconds = samples["time"][ends] - samples["time"][starts]
    return places, seconds, samples["charge"][ends] - samples["charge"][starts]


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_file_runs_through_the_guard_in_five_formats_and_in_pybamm(tmp_path, monkeypatch):
    pytest.importorskip("pybamm", reason="pip install battbeam[pybamm]; ./run acceptance does")
    truth = Cell(voltage_noise=0.0)
    document, passport = passport_of(truth)
    file = tmp_path / "protocol.json"
    file.write_text(json.dumps(PROTOCOL))
    written = json.loads(file.read_text())
    protocol = Protocol.read(written)
    compiled = protocol.compile(passport).steps
    log = run_through_the_guard(tmp_path, truth, document, written, monkeypatch)

    exports = [export_protocol(protocol, passport, format=format) for format in ExportFormat]
    assert len(exports) == 5
    assert all(export.text and "staircase" in export.remarks[0] for export in exports)
    for export in exports:
        print(f"{len(export.text)} characters, {len(export.remarks)} remarks")

    places, seconds, charges = steps_of(log)
    assert list(places) == [step.index for step in compiled]
    sentences, there = run_in_pybamm(protocol, passport, truth)
    kinds = [step.type for step in compiled]
    for kind, sentence, (_, charge) in zip(kinds, sentences, there, strict=True):
        assert sentence.startswith(WORDS[kind]), sentence
        assert (charge < 0) == sentence.startswith("Discharge"), sentence
    assert Counter(kinds)[StepType.CONSTANT_CURRENT] == 7

    here = run_here(truth, compiled)
    for name, (other_seconds, others) in (("PyBaMM", there.T), ("the cell alone", here.T)):
        passing = np.abs(others) > 1e-3
        off = np.abs(charges[passing] / others[passing] - 1)
        late = np.abs(seconds - other_seconds)
        # Between two lists of the cycler the circuit is open for some tenths of a second of the wall.
        print(f"{name}: charge off by {100 * off.max():.3f} % at most, time by {late.max():.1f} s")
        assert off.max() < 0.02
        assert np.abs(charges[~passing]).max() < 1e-3
        rests = np.array([kind is StepType.REST for kind in kinds])
        # A row of the log is at most 10 s away from where a step really began.
        assert late[rests].max() < 10.0
