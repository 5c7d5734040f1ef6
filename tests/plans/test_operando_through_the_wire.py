"""Couplings and several cells of an operando experiment, with guards and a cycler behind them."""

import json
import math

import numpy as np
import pytest

from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import AbsoluteClock, EndOfRest, StepEdge
from battbeam.experiment.cost import Cost
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, mounted, wait_until
from battbeam.session import Session
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = pytest.mark.ioc

#: s of session clock, at 10 times: four cells take 12 wall s, on a busy machine more.
LATEST = 280.0
SMALL = Detector(n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8)


def rows(session, uid):
    return [
        {key.removeprefix("rules_"): value for key, value in line.doc["data"].items()}
        for line in documents(session.connection.spool / f"{uid}.jsonl")
        if line.name == "event" and "rules_rule" in line.doc["data"]
    ]


def nothing():
    yield from ()
    return ""


def samples(log, begin, end):
    """(time, current) of every sample and live value of a guard's log."""
    found = []
    for text in log.read_text().splitlines():
        line = json.loads(text)
        if line.get("kind") in ("sample", "live") and begin <= line.get("time", 0) <= end:
            found.append((line["time"], line["current"]))
    return found


def test_a_cell_is_held_or_kept_at_rest_while_it_is_measured_and_its_pulses_wait(connection):
    with Session(connection) as session:
        b = session.beamline

        def slow(md):
            yield from wait_until(b.clock, b.clock.now() + 60.0)
            return ""

        rules = (
            Rule(
                name="relaxed",
                when=EndOfRest(lead=40.0),
                measure="slow",
                coupling="step_then_measure",
            ),
            Rule(
                name="held",
                when=AbsoluteClock(period=1e6, n=1),
                measure="slow",
                coupling="hold_potential",
                hold_maximum=600.0,
            ),
            Rule(name="edge", when=StepEdge(), measure="quick"),
        )
        quick = OwnRun(lambda md: nothing(), cost=Cost(duration=0.0))
        method = [
            {"step": "constant_current", "rate_C": 0.5, "until_time_s": 150},
            {"step": "open_circuit_voltage", "until_time_s": 120},
            {"step": "constant_current", "rate_C": -0.5, "until_time_s": 30},
        ]

        def plan():
            yield from mounted(b.potentiostat, EXAMPLE)
            yield from operando(
                Schedule(rules=rules),
                {"slow": OwnRun(slow, cost=Cost(duration=60.0)), "quick": quick},
                potentiostat=b.potentiostat,
                beam=b.beam,
                clock=b.clock,
                protocol={"record": {"time_s": 5}, "method": method},
                policies={"plan_end": "open_circuit"},
            )

        uids = session.run(plan())
        found = rows(session, uids[0])
        b.potentiostat.dismount().wait(timeout=10)
        log = connection.guards["cell1"].log
    (held,) = [row for row in found if row["rule"] == "held"]
    (relaxed,) = [row for row in found if row["rule"] == "relaxed"]
    edges = [row for row in found if row["rule"] == "edge" and not row["missed"]]
    assert not any(row["error"] or row["remark"] or row["missed"] for row in (held, relaxed))
    assert all(row["kept_to"] > row["start"] + 59.0 for row in (held, relaxed))
    # What keeping does to the guard's own steps is no edge of the protocol.
    assert len(edges) == 2
    current = np.array([i for _, i in samples(log, held["start"] + 5.0, held["start"] + 55.0)])
    assert np.abs(current).max() < 1.4e-3
    current = np.array([i for _, i in samples(log, relaxed["due"], relaxed["kept_to"])])
    assert np.abs(current).max() < 1e-6
    pulse = min(t for t, i in samples(log, relaxed["due"], math.inf) if i < -1e-3)
    assert pulse > relaxed["kept_to"]


@pytest.mark.acceptance
def test_four_cells_at_different_rates_are_served_from_one_beamline(tmp_path):
    rates = {"cell1": 0.2, "cell2": 0.5, "cell3": 1.0, "cell4": 2.0}
    scenario = Scenario(
        name="four", prefix=own_prefix(), rate=10.0, detector=SMALL, cells=(Cell(),) * 4
    )
    with SimulatedBeamline(scenario, tmp_path) as running, Session(running.start()) as session:
        b = session.beamline
        assert not session.refusal
        stage = b.sample_stage
        how = Exposure((b.detector,), b.beam, FrameTrain(10.0), (b.potentiostat, stage))
        pattern = Pattern(how, positions=((stage.x, 0.5), (stage.y, 0.0)))
        rules = tuple(
            Rule(
                name=f"clock {cell}",
                when=AbsoluteClock(period=300.0, n=2, grace=LATEST),
                measure="pattern",
                cell=cell,
            )
            for cell in rates
        )

        def plan():
            for cell, guard in b.potentiostats.items():
                yield from mounted(guard, {**EXAMPLE, "cell": cell, "sample_uid": f"uid {cell}"})
            yield from operando(
                Schedule(rules=rules),
                {"pattern": pattern},
                potentiostat=b.potentiostats,
                beam=b.beam,
                clock=b.clock,
                stage=stage,
                cell_positions=b.cell_positions,
                protocols={cell: steady(rate) for cell, rate in rates.items()},
                policies={"plan_end": "open_circuit"},
            )

        uids = session.run(plan())
        found = rows(session, uids[0])
        starts = [documents(session.connection.spool / f"{uid}.jsonl")[0].doc for uid in uids[1:]]
        states = {cell: guard.state.get() for cell, guard in b.potentiostats.items()}
        assert "cell3 is Finished" in session.paused_text()
        places = b.cell_positions
    assert {start["guard"]["name"]: start["cell"]["cell"] for start in starts} == {
        cell: cell for cell in rates
    }
    for cell in rates:
        served = [row for row in found if row["cell"] == cell and not row["missed"]]
        assert len(served) == 2
        assert not any(row["error"] for row in served)
        assert all(0 <= row["lateness"] < LATEST for row in served)
    truth = [
        json.loads(line) for line in (tmp_path / "sim" / "truth.jsonl").read_text().splitlines()
    ]
    assert states == dict.fromkeys(rates, "Finished")
    assert {tuple(start["cell_position"]) for start in starts} == set(places.values())
    numbers = [line["cell"] for line in truth]
    assert {number: numbers.count(number) for number in set(numbers)} == {1: 2, 2: 2, 3: 2, 4: 2}


def steady(rate):
    method = [{"step": "constant_current", "rate_C": rate, "until_time_s": 600}]
    return {"record": {"time_s": 10}, "method": method}
