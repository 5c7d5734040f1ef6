import json
import math

import bluesky.plan_stubs as bps
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, EndOfProtocol, StepEdge
from battbeam.experiment.cost import Cost
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern, cost_of
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure

REST, CURRENT = str(StepType.REST), str(StepType.CONSTANT_CURRENT)
VOLTAGE = str(StepType.CONSTANT_VOLTAGE)
PROTOCOL = {
    "record": {"time_s": 10},
    "method": [{"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.8}],
}
#: 1C of the example cell, A.
ONE_C = 2.9e-3


def pattern(beamline, exposure=1.0):
    how = Exposure((beamline.detector,), beamline.beam, FrameTrain(exposure))
    return Pattern(how)


def experiment(beamline, *rules, measurements=None, **options):
    return operando(
        Schedule(rules=rules),
        measurements or {"pattern": pattern(beamline)},
        potentiostat=beamline.potentiostat,
        beam=beamline.beam,
        clock=beamline.clock,
        **{"protocol": PROTOCOL, **options},
    )


def rows(documents, rule=None):
    found = [
        {key.removeprefix("rules_"): value for key, value in event.items()}
        for event in documents.events("rules")
    ]
    return [row for row in found if rule in (None, row["rule"])]


@pytest.fixture
def verbs(cycling):
    """What the guard is told, in order."""
    told = []
    for verb in ("hold", "proceed", "open_circuit"):
        signal = getattr(cycling.potentiostat, f"{verb}_command")
        answer = signal._put_func

        def put(text, verb=verb, answer=answer, **more):
            told.append((verb, json.loads(text)))
            answer(text, **more)

        signal.sim_set_putter(put)
    return told


def held(**options):
    return Rule(
        name="held",
        when=AbsoluteClock(period=100.0, n=2),
        measure="pattern",
        coupling="hold_potential",
        **options,
    )


def test_a_cell_is_held_while_it_is_measured_and_proceeds_afterwards(
    cycling, verbs, engine, documents
):
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0))
    shutter = []
    cycling.beam.shutter.status.subscribe(
        lambda value, **_: shutter.append((value, cycling.potentiostat.state.get())), run=False
    )
    engine(experiment(cycling, held(hold_maximum=30.0)))
    assert [verb for verb, _ in verbs] == ["hold", "proceed"] * 2
    assert {state for value, state in shutter if value == 1} == {"Holding"}
    for row in rows(documents, "held"):
        assert (row["coupling"], row["error"], row["missed"]) == ("hold_potential", "", "")
        assert row["kept_from"] <= row["start"] < row["kept_to"]
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_what_keeping_a_cell_does_to_the_guards_steps_is_no_edge_of_the_protocol(
    cycling, engine, documents
):
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0), (REST, 0.0, 60.0))
    engine(experiment(cycling, held(), Rule(name="edge", when=StepEdge(), measure="pattern")))
    edges = [row for row in rows(documents, "edge") if not row["missed"]]
    assert len(rows(documents, "held")) == 2
    assert [row["due"] > 1300.0 for row in edges] == [True]


def test_a_cell_proceeds_when_its_measurement_fails(cycling, verbs, engine, documents):
    def broken(md):
        yield from ()
        raise DeviceError("the stage is stuck")

    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0))
    engine(experiment(cycling, held(), measurements={"pattern": OwnRun(broken)}))
    assert [verb for verb, _ in verbs] == ["hold", "proceed"] * 2
    assert rows(documents, "held")[0]["error"] == "the stage is stuck"
    assert not math.isnan(rows(documents, "held")[0]["kept_to"])


def pausing(md):
    yield from bps.checkpoint()
    yield from bps.pause()
    return "uid"


def test_a_cell_proceeds_when_the_experiment_is_aborted_in_the_middle(cycling, verbs, engine):
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0))
    with pytest.raises(RunEngineInterrupted):
        engine(experiment(cycling, held(), measurements={"pattern": OwnRun(pausing)}))
    assert [verb for verb, _ in verbs] == ["hold"]
    engine.abort()
    assert [verb for verb, _ in verbs] == ["hold", "proceed"]


def test_a_pause_and_a_resume_neither_hold_twice_nor_forget_to_proceed(
    cycling, verbs, engine, documents
):
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0))
    rule = held().model_copy(update={"when": AbsoluteClock(period=100.0, n=1)})
    with pytest.raises(RunEngineInterrupted):
        engine(experiment(cycling, rule, measurements={"pattern": OwnRun(pausing)}))
    engine.resume()
    assert [verb for verb, _ in verbs] == ["hold", "proceed"]
    assert rows(documents, "held")[0]["error"] == ""
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_a_circuit_that_somebody_else_opened_is_not_closed_again(cycling, verbs, engine, documents):
    def opened(md):
        cycling.potentiostat.open_circuit("panic").wait(timeout=1)
        yield from ()
        return ""

    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 300.0))
    with pytest.raises(Exception, match="the cell is OpenCircuit before its protocol ended"):
        engine(experiment(cycling, held(), measurements={"pattern": OwnRun(opened)}))
    assert [verb for verb, _ in verbs] == ["hold", "open_circuit"]
    assert "the circuit was opened meanwhile; not proceeded" in rows(documents, "held")[0]["remark"]


def stepwise(**options):
    return Rule(
        name="relaxed",
        when=AbsoluteClock(period=100.0, start=1100.0, n=3),
        measure="pattern",
        coupling="step_then_measure",
        **options,
    )


def test_a_rest_is_kept_until_the_measurement_is_done_and_a_current_is_not(
    cycling, verbs, engine, documents
):
    cycling.clock.cycle(
        cycling.potentiostat, (REST, 0.0, 110.0), (CURRENT, ONE_C, 110.0), (VOLTAGE, 1e-4, 120.0)
    )
    engine(experiment(cycling, stepwise()))
    assert [verb for verb, _ in verbs] == ["open_circuit", "proceed", "hold", "proceed"]
    rest, current, voltage = rows(documents, "relaxed")
    assert not rest["missed"]
    assert rest["kept_to"] > rest["start"]
    assert "under way is constant_current: the rule needs a lead" in current["missed"]
    assert math.isnan(current["start"])
    assert not voltage["missed"]


def test_the_next_pulse_does_not_start_before_the_measurement_is_done(cycling, engine):
    seen = []

    def slow(md):
        for _ in range(30):
            cycling.clock.now()
            seen.append(cycling.potentiostat.step_type.get())
        yield from ()
        return ""

    cycling.clock.cycle(cycling.potentiostat, (REST, 0.0, 110.0), (CURRENT, ONE_C, 50.0))
    engine(experiment(cycling, stepwise(), measurements={"pattern": OwnRun(slow)}))
    assert seen[:30] == [REST] * 30


def budget(**options):
    return Rule(
        name="budget",
        when=ChargeStep(step=0.05),
        measure="spectrum",
        smear_max=0.02,
        **options,
    )


def spectrum(duration):
    def plan(md):
        yield from ()
        return "uid"

    return {"spectrum": OwnRun(plan, cost=Cost(duration=duration))}


def test_ten_minutes_at_1c_with_two_percent_smear_are_refused_saying_what_would_fit(
    cycling, engine, documents
):
    with pytest.raises(PreflightError) as refused:
        engine(experiment(cycling, budget(), measurements=spectrum(600.0)))
    told = str(refused.value)
    assert "smear 0.167 predicted (600 s at 1 1/h), budget 0.02" in told
    assert "at most 72 s at this rate" in told
    assert "a rate of at most 0.12 1/h for 600 s" in told
    assert "coupling hold_potential" in told
    assert documents == []


def test_a_measurement_that_would_smear_is_refused_when_it_is_due_and_its_reason_is_kept(
    cycling, engine, documents
):
    """Joined: nothing is known of the protocol beforehand."""
    cycling.clock.cycle(
        cycling.potentiostat, (CURRENT, ONE_C, 200.0), (CURRENT, ONE_C / 20, 3000.0)
    )
    cycling.clock.pace = 2.0
    cycling.potentiostat.state.sim_put("Running")
    engine(experiment(cycling, budget(), measurements=spectrum(600.0), protocol=None))
    fast, *slow = rows(documents, "budget")
    assert "smear 0.167 predicted" in fast["missed"]
    assert fast["smear_predicted"] == pytest.approx(1 / 6, abs=1e-3)
    assert [row["run"] for row in slow if not row["missed"]]
    assert all(row["smear_predicted"] < 0.02 for row in slow if not row["missed"])


def test_a_step_that_comes_during_the_measurement_counts(cycling, engine, documents):
    method = [
        {"step": "constant_current", "rate_C": 0.05, "until_time_s": 150},
        {"step": "constant_current", "rate_C": 1, "until_time_s": 300},
        {"step": "open_circuit_voltage", "until_time_s": 100},
    ]
    cycling.clock.cycle(
        cycling.potentiostat,
        (CURRENT, ONE_C / 20, 150.0),
        (CURRENT, ONE_C, 300.0),
        (REST, 0.0, 100.0),
    )
    clock = Rule(
        name="budget",
        when=AbsoluteClock(period=1000.0, start=1005.0),
        measure="spectrum",
        smear_max=0.02,
    )
    engine(
        experiment(
            cycling,
            clock,
            measurements=spectrum(300.0),
            protocol={**PROTOCOL, "method": method},
        )
    )
    (row,) = rows(documents, "budget")
    assert "smear 0.0833 predicted (300 s at 1 1/h)" in row["missed"]


def test_rules_on_rests_and_ends_are_not_refused_beforehand(cycling, engine):
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 20.0))
    end = Rule(name="end", when=EndOfProtocol(), measure="spectrum", smear_max=0.02)
    engine(experiment(cycling, end, measurements=spectrum(600.0)))


def test_a_pattern_lasts_longer_than_it_smears_by_what_a_point_takes_at_this_beamline(cycling):
    cycling.beam.point_overhead = 24.0
    how = Exposure((cycling.detector,), cycling.beam, FrameTrain(10.0, n_frames=2))
    cost = cost_of(Pattern(how))
    assert (cost.duration, cost.smeared, cost.exposure) == (44.0, 20.0, 20.0)
    assert Cost(duration=44.0).smeared == 44.0


def test_a_measurement_longer_than_the_hold_may_last_is_refused(cycling, engine, documents):
    with pytest.raises(PreflightError, match=r"may be kept for 30 s, 'spectrum' takes 600 s"):
        engine(
            experiment(
                cycling,
                budget(coupling="hold_potential", hold_maximum=30.0),
                measurements=spectrum(600.0),
            )
        )
