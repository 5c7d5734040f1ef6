"""Couplings and several cells of an operando experiment, with guards and a cycler behind them."""

import json
import math

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import AbsoluteClock, EndOfRest, StepEdge
from battbeam.experiment.cost import Cost
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.stubs import mounted, wait_until
from battbeam.session import Session
from battbeam.storage.tail import documents

pytestmark = pytest.mark.ioc


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
