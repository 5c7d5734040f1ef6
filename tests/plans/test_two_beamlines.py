"""Row D4: one protocol file, one schedule, one recipe; two beamlines that share no PV name."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from battbeam.callbacks.live_xrd import reduce_run
from battbeam.demo.replay import rows_of
from battbeam.demo.truth import Truth
from battbeam.experiment.cell import EXAMPLE
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cycler, Detector, Scenario
from battbeam.storage.tail import documents

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RATE, CAPACITY = 60.0, EXAMPLE["nominal_capacity"]
#: Wall s by which the same rule may be served at another time on a busy machine; and 1, at 1C.
JITTER = 0.5
SHARE = JITTER * RATE / 3600
PROTOCOL = """\
record: {time_s: 5}
safety: {max_voltage_V: 4.0, min_voltage_V: 2.6}
method:
  - {step: open_circuit_voltage, until_time_s: 60}
  - {step: constant_current, rate_C: 1, until_time_s: 792, until_voltage_V: 3.9}
  - {step: open_circuit_voltage, until_time_s: 120}
  - {step: constant_current, rate_C: -0.5, until_time_s: 540}
"""
SCHEDULE = """\
charge: each time 5 % of the capacity has passed, measure pattern
relaxed: at the end of each rest, 30 s before, measure pattern (step then measure)
"""
#: Energy, distance, clocks and chance are the beamline's; the cell is the same.
HERE = {"prefix": "SIM:", "seed": 1, "detector": {"distance": 130.0}, "cycler": {}}
THERE = {
    "prefix": "XPD:28-ID:",
    "seed": 2,
    "detector": {"distance": 136.0, "clock_offset": 4.0},
    "cycler": {"clock_offset": -7.5, "clock_drift": -40e-6},
}
SESSION = """
import json, sys
from pathlib import Path
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.schedule import Schedule
from battbeam.plans.patterns import operando_patterns
from battbeam.session import example_path, open_session

directory, files = Path(sys.argv[1]), Path(sys.argv[2])
passport = CellPassport.read(files / "cell.yaml").model_dump(mode="json")
protocol = Protocol.read(files / "protocol.yaml").document
impossible = {"step": "impedance_spectroscopy", "amplitude_V": 0.01,
              "start_frequency_Hz": 5e6, "end_frequency_Hz": 1}

def experiment(protocol):
    return operando_patterns(
        b, passport=passport, protocol=protocol, schedule=Schedule.read(files / "schedule.txt"),
        phases=("LiFePO4", "FePO4", "Al", "Li", "steel"), exposure=20.0)

with open_session(directory) as session:
    b = session.beamline
    session.run_recipe(example_path("plans/calibrate.py"), n_frames=1)
    try:
        session.run(experiment({**protocol, "method": [*protocol["method"], impossible]}))
        refused = ""
    except PreflightError as error:
        refused = str(error)
    state = str(b.potentiostat.state.get())
    uids = session.run(experiment(protocol))
    names = sorted(walk.item.pvname for device in b.devices.values()
                   for walk in device.walk_signals() if hasattr(walk.item, "pvname"))
    print("FOUND" + json.dumps(
        {"uids": uids, "refused": refused, "state": state, "names": names}))
"""


def scenario(name, *, prefix, seed, detector, cycler):
    pixels = {"n_rows": 256, "n_columns": 256, "pixel_size": 0.344}
    middle = {"centre_row": 125.65, "centre_column": 131.35}
    return Scenario(
        name=name,
        prefix=prefix,
        seed=seed,
        rate=RATE,
        detector=Detector(**pixels, **middle, **detector),
        cycler=Cycler(**cycler),
    )


def sessions_at(connections, files):
    """What sessions, processes of their own at the same time, have to tell."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SESSION, str(connection.directory), str(files)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | connection.environment(),
        )
        for connection in connections
    ]
    try:
        told = [session.communicate(timeout=150) for session in running]
    finally:
        for session in running:
            session.kill()
            session.wait()
    for session, (_, said) in zip(running, told, strict=True):
        assert session.returncode == 0, said
    return [json.loads(out.rpartition("FOUND")[2]) for out, _ in told]


class Told:
    """What one beamline recorded of the experiment, by rule; and the truth behind it."""

    def __init__(self, connection, found):
        self.names, self.refused, self.state = found["names"], found["refused"], found["state"]
        self.rows, self.truth = {}, {}
        truth = Truth(connection.directory / "sim" / "truth.jsonl")
        for uid in found["uids"]:
            lines = [(each.name, each.doc) for each in documents(connection.spool / f"{uid}.jsonl")]
            start = lines[0][1]
            if start.get("kind") == "operando":
                self.protocol, self.schedule = start["protocol"], start["schedule"]
                self.guard = start["guard"]["prefix"]
                continue
            rows = rows_of(reduce_run(lines))
            assert rows["valid"].to_numpy().all(), rows["invalid_reason"].to_numpy()
            rule = start["operando"]["rule"]
            frames = zip(rows["frame_file"].to_numpy(), rows["frame_index"].to_numpy(), strict=True)
            frames = [(str(file), int(index)) for file, index in frames]
            self.rows[rule] = rows
            self.truth[rule] = truth.column(frames, "phase_fraction", "FePO4")
        log = connection.guards["cell1"].log.read_text().splitlines()
        samples = [line for line in map(json.loads, log) if line["kind"] == "sample"]
        self.steps = {each["step_index"]: each["charge"] for each in samples}

    def column(self, rule, name):
        return self.rows[rule][name].to_numpy()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same files on two beamlines that are there at the same time, each session seeing both."""
    files = tmp_path_factory.mktemp("files")
    (files / "protocol.yaml").write_text(PROTOCOL)
    (files / "schedule.txt").write_text(SCHEDULE)
    (files / "cell.yaml").write_text(yaml.safe_dump(dict(EXAMPLE)))
    directories = [tmp_path_factory.mktemp(name) for name in ("here", "there")]
    with (
        SimulatedBeamline(scenario("here", **HERE), directories[0]) as here,
        SimulatedBeamline(scenario("there", **THERE), directories[1]) as there,
    ):
        connections = [beamline.start() for beamline in (here, there)]
        addresses = [each for connection in connections for each in connection.ca_addresses]
        seen = [each.model_copy(update={"ca_addresses": addresses}) for each in connections]
        for connection in seen:
            connection.write()
        told = sessions_at(seen, files)
    return [Told(connection, each) for connection, each in zip(seen, told, strict=True)]


def test_the_two_beamlines_share_no_name(both):
    here, there = both
    assert len(here.names) == len(there.names) > 100
    assert all(name.startswith("SIM:") for name in here.names)
    assert all(name.startswith("XPD:28-ID:") for name in there.names)
    assert (here.guard, there.guard) == ("SIM:CELL1:", "XPD:28-ID:CELL1:")
    assert here.protocol == there.protocol == yaml.safe_load(PROTOCOL)
    assert here.schedule == there.schedule


def test_every_step_passes_the_same_charge(both):
    here, there = both
    assert set(here.steps) == set(there.steps) == {0, 1, 2, 3}
    for step, charge in here.steps.items():
        # A fiftieth of a percent of the capacity: one sample of the cycler's at 1C.
        assert charge == pytest.approx(there.steps[step], abs=2e-4 * CAPACITY)
    assert here.steps[1] == pytest.approx(0.22 * CAPACITY, abs=2e-3 * CAPACITY)


@pytest.mark.parametrize("rule", ["charge", "relaxed"])
def test_the_same_rules_are_met_at_the_same_state_of_the_cell(both, rule):
    here, there = (each.rows[rule] for each in both)
    assert here.sizes["time"] == there.sizes["time"] == {"charge": 5, "relaxed": 2}[rule]
    charges = [each.column(rule, "state_of_charge") for each in both]
    np.testing.assert_allclose(*charges, atol=SHARE)
    np.testing.assert_allclose(*(each.column(rule, "voltage") for each in both), atol=5e-3)


@pytest.mark.parametrize("rule", ["charge", "relaxed"])
def test_both_recover_the_same_phase_fractions_and_those_are_the_truth(both, rule):
    fractions = [each.column(rule, "phase_fraction_FePO4") for each in both]
    # The local state of charge is up to 1.1 of the mean one.
    np.testing.assert_allclose(*fractions, atol=0.01 + 1.1 * SHARE)
    for each, fraction in zip(both, fractions, strict=True):
        np.testing.assert_allclose(fraction, each.truth[rule], atol=0.01)


def test_what_the_instrument_cannot_do_is_refused_at_both_before_anything_moves(both):
    for each in both:
        assert (
            "step 4 (impedance_spectroscopy): frequency 5000000.0 Hz is outside the instrument"
            in each.refused
        )
        assert "nothing was moved" in each.refused
        assert each.state == "OpenCircuit"
