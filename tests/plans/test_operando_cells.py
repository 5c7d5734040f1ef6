import json
import math

import pytest

from battbeam.devices.fakes import fake, ready_potentiostat
from battbeam.devices.frames import FrameTrain
from battbeam.devices.potentiostat import Potentiostat
from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, EndOfProtocol
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.dispatch import Parking
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure

REST, CURRENT = str(StepType.REST), str(StepType.CONSTANT_CURRENT)
ONE_C = 2.9e-3
NAMES = ("cell1", "cell2", "cell3", "cell4")
PLACES = {name: (3.0 * number, 1.0) for number, name in enumerate(NAMES)}


@pytest.fixture
def four(cycling):
    """Four fake cells at rates from C/20 to 1C; the third is the shortest."""
    several = {"cell1": cycling.potentiostat}
    for name in NAMES[1:]:
        made = ready_potentiostat(
            fake(Potentiostat, name=f"potentiostat_{name}"),
            {**EXAMPLE, "cell": name, "sample_uid": name},
        )
        made.acquire({"session": "s"}).wait(timeout=1)
        made.identity.sim_put(name)
        several[name] = made
    for name, rate, length in zip(NAMES, (0.05, 0.2, 0.5, 1.0), (400, 400, 200, 400), strict=True):
        several[name].state.sim_put("Running")
        cycling.clock.cycle(several[name], (CURRENT, rate * ONE_C, float(length)))
    object.__setattr__(cycling, "potentiostats", several)
    for axis in (cycling.sample_stage.x, cycling.sample_stage.y):
        # Fake motors take no time.
        axis.velocity.sim_put(1e9)
    return cycling


def every(period, cells=NAMES, measure="pattern", **options):
    return [
        Rule(
            name=f"clock {cell}",
            when=AbsoluteClock(period=period),
            measure=measure,
            cell=cell,
            **options,
        )
        for cell in cells
    ]


def measured(seconds, seen=None):
    """A measurement of its own that lasts ``seconds`` and notes what it was told."""

    def make(clock):
        def plan(md):
            if seen is not None:
                seen.append(md)
            end = clock.time + seconds
            while clock.time < end:
                clock.now()
            yield from ()
            return "uid"

        return OwnRun(plan, cost=Cost(duration=seconds, spots=(Spot(0, 0, seconds),)))

    return make


def experiment(four, rules, measurements=None, **options):
    how = Exposure((four.detector,), four.beam, FrameTrain(1.0), (four.potentiostat,))
    return operando(
        Schedule(rules=tuple(rules)),
        measurements or {"pattern": Pattern(how, positions=((four.sample_stage.x, 0.5),))},
        potentiostat=four.potentiostats,
        beam=four.beam,
        clock=four.clock,
        stage=four.sample_stage,
        cell_positions=PLACES,
        **options,
    )


def rows(documents, **wanted):
    found = [
        {key.removeprefix("rules_"): value for key, value in event.items()}
        for event in documents.events("rules")
    ]
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def test_four_cells_are_measured_each_in_its_own_run_at_its_own_place(four, engine, documents):
    there = []
    four.beam.shutter.status.subscribe(
        lambda value, **_: there.append((four.sample_stage.x.position, value)), run=False
    )
    engine(experiment(four, every(100.0)))
    starts = [start for start in documents.of("start") if start["plan_name"] == "xrd_series"]
    assert sorted(start["cell"]["cell"] for start in starts) == ["LFP-007", *NAMES[1:]]
    for start in starts:
        name = start["guard"]["name"] or "cell1"
        assert start["operando"]["rule"] == f"clock {name}"
        assert tuple(start["cell_position"]) == PLACES[name]
    assert {x for x, value in there if value == 1} == {x + 0.5 for x, _ in PLACES.values()}
    assert four.sample_stage.x.position == 0.0
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_readings_in_the_events_are_those_of_the_cell_that_is_measured(four, engine, documents):
    engine(experiment(four, every(100.0)))
    keys = [
        sorted(key for key in descriptor["data_keys"] if key.endswith("_voltage"))
        for descriptor in documents.of("descriptor")
        if descriptor["name"] == "primary"
    ]
    assert sorted(keys) == [
        ["potentiostat_cell2_voltage"],
        ["potentiostat_cell3_voltage"],
        ["potentiostat_cell4_voltage"],
        ["potentiostat_voltage"],
    ]


def test_every_cell_is_served_and_its_lateness_is_written_down(four, engine, documents):
    engine(experiment(four, every(100.0), {"pattern": measured(10.0)(four.clock)}))
    for name in NAMES:
        served = rows(documents, cell=name, missed="")
        assert len(served) >= 2
        assert all(0 <= row["lateness"] < 60.0 for row in served)


def test_a_cell_is_told_where_it_is(four, engine):
    seen = []
    engine(experiment(four, every(200.0), {"pattern": measured(1.0, seen)(four.clock)}))
    assert {(md["guard"]["name"] or "cell1", tuple(md["cell_position"])) for md in seen} == set(
        PLACES.items()
    )


def test_a_cell_that_trips_is_given_up_and_the_others_go_on(four, engine, documents):
    def trip(time):
        cell = four.potentiostats["cell2"]
        if time > 1150 and cell.state.get() == "Running":
            cell.trip_reason.sim_put("voltage above 4 V")
            cell.state.sim_put("Tripped")

    four.clock.hook = trip
    engine(experiment(four, every(50.0)))
    ended = [row for row in rows(documents, cell="cell2") if row["missed"]]
    assert "the cell is Tripped before its protocol ended: voltage above 4 V" in ended[-1]["missed"]
    assert max(row["met"] for row in rows(documents, cell="cell2")) < 1250
    assert max(row["met"] for row in rows(documents, cell="cell4", missed="")) > 1300
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_when_all_cells_are_lost_the_experiment_fails_and_names_them(four, engine):
    def trip(time):
        for cell in four.potentiostats.values():
            if time > 1100:
                cell.state.sim_put("Tripped")

    four.clock.hook = trip
    with pytest.raises(
        GuardError, match=r"potentiostat: .*potentiostat_cell4: the cell is Tripped"
    ):
        engine(experiment(four, every(50.0)))


def test_all_guards_are_told_of_the_end(four, engine):
    told = []
    for name, cell in four.potentiostats.items():
        answer = cell.occasion_command._put_func

        def put(text, name=name, answer=answer, **more):
            told.append((name, json.loads(text)["occasion"]))
            answer(text, **more)

        cell.occasion_command.sim_set_putter(put)
    engine(experiment(four, every(100.0)))
    assert sorted(told) == [(name, "plan_end") for name in NAMES]


def test_a_cell_that_cannot_be_served_in_time_is_parked_as_declared(four, engine, documents):
    engine(
        experiment(
            four,
            [*every(30.0, NAMES[:3]), *every(400.0, NAMES[3:])],
            {"pattern": measured(29.0)(four.clock)},
            parking=dict.fromkeys(NAMES, Parking(after=2, policy="open_circuit")),
        )
    )
    (first, *_) = documents.events("parking")
    parked = first["parking_cell"]
    assert first["parking_policy"] == "open_circuit"
    assert "missed while other cells were served" in first["parking_reason"]
    assert four.potentiostats[parked].state.get() == "OpenCircuit"
    assert rows(documents, cell=parked)[-1]["missed"].startswith("parked (open circuit)")
    assert documents.of("stop")[-1]["exit_status"] == "success"


def test_a_protocol_is_loaded_on_every_cell_before_any_starts(four, engine):
    told = []
    for name, cell in four.potentiostats.items():
        cell.state.sim_put("OpenCircuit")
        for verb in ("load", "start"):
            signal = getattr(cell, f"{verb}_command")

            def put(text, name=name, verb=verb, answer=signal._put_func, **more):
                told.append((verb, name))
                answer(text, **more)

            signal.sim_set_putter(put)
    protocol = {
        "record": {"time_s": 10},
        "method": [{"step": "constant_current", "rate_C": 0.5, "until_voltage_V": 3.8}],
    }
    engine(experiment(four, every(100.0), protocols=dict.fromkeys(NAMES, protocol)))
    assert told == [("load", name) for name in NAMES] + [("start", name) for name in NAMES]


def test_faults_of_several_cells_come_at_once(four, engine, documents):
    four.potentiostats["cell3"].passport.sim_put("")
    rules = [*every(100.0, NAMES[:3]), *every(100.0, ["cell9"])]
    with pytest.raises(PreflightError) as refused:
        engine(
            operando(
                Schedule(rules=tuple(rules)),
                {"pattern": measured(1.0)(four.clock)},
                potentiostat=four.potentiostats,
                beam=four.beam,
                clock=four.clock,
                cell_positions={"cell1": (99.0, 0.0)},
            )
        )
    told = str(refused.value)
    for fault in (
        "rule 'clock cell9' is on cell 'cell9', which is none of cell1, cell2, cell3, cell4",
        "potentiostat_cell3: no cell passport is mounted",
        "cells have places on the sample stage: give the stage too",
    ):
        assert fault in told
    assert documents == []


def test_a_place_that_the_stage_does_not_reach_is_refused(four, engine):
    far = {**PLACES, "cell2": (19.8, 0.0)}
    how = Exposure((four.detector,), four.beam, FrameTrain(1.0))
    plan = operando(
        Schedule(rules=tuple(every(100.0))),
        {"pattern": Pattern(how, positions=((four.sample_stage.x, 0.5),))},
        potentiostat=four.potentiostats,
        beam=four.beam,
        clock=four.clock,
        stage=four.sample_stage,
        cell_positions=far,
    )
    with pytest.raises(PreflightError, match=r"cell 'cell2'.*20.3 mm is outside its limits"):
        engine(plan)


def test_rules_of_a_cell_that_has_ended_are_over_and_its_end_is_measured(four, engine, documents):
    rules = [*every(50.0), Rule(name="end", when=EndOfProtocol(), measure="pattern", cell="cell3")]
    engine(experiment(four, rules))
    (end,) = rows(documents, rule="end")
    assert end["start"] == pytest.approx(1210.0, abs=25.0)
    assert max(row["due"] for row in rows(documents, cell="cell3")) < 1260.0
    assert not math.isnan(end["start"])


def test_charge_of_one_cell_is_not_that_of_another(four, engine, documents):
    rules = [
        Rule(name=name, when=ChargeStep(step=0.05), measure="pattern", cell=name) for name in NAMES
    ]
    engine(experiment(four, rules))
    n = {name: len(rows(documents, rule=name)) for name in NAMES}
    assert n["cell1"] == 0
    assert 0 < n["cell2"] < n["cell4"]
