import math
import re
from pathlib import Path

import pytest

from battbeam.devices.fakes import ManualClock, fake_beamline
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import (
    BeamNotes,
    ClockNotes,
    GapNotes,
    ParkingNotes,
    RuleNotes,
    ScheduleNotes,
)
from battbeam.errors import DeviceError, GuardError, PreflightError
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import (
    AbsoluteClock,
    ChargeStep,
    EndOfProtocol,
    StepEdge,
    VoltageCrossing,
)
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure
from battbeam.plans.xrd_map import xrd_map

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [{"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.8}],
}


class CyclingClock(ManualClock):
    """Each look at it is two seconds later, and the cell has gone on meanwhile."""

    def __init__(self, potentiostat, *, end=1200.0, step_at=1100.0):
        super().__init__(rate=1000.0)
        self.potentiostat, self.end, self.step_at = potentiostat, end, step_at
        self.hook = lambda time: None

    def now(self):
        self.time += 2.0
        cell = self.potentiostat
        if cell.state.get() == "Running":
            cell.voltage.sim_put(3.0 + (self.time - 1000.0) / 250.0)
            cell.charge.sim_put((self.time - 1000.0) / 100.0)
            cell.step_count.sim_put(1 if self.time < self.step_at else 2)
            cell.step_type.sim_put("constant_current")
            if self.time > self.end:
                cell.state.sim_put("Finished")
        self.hook(self.time)
        return self.time


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    for module in ("following", "couplings", "stubs"):
        monkeypatch.setattr(f"battbeam.plans.{module}.SLICE", 0.004)
    made = fake_beamline(tmp_path, passport=EXAMPLE)
    object.__setattr__(made, "clock", CyclingClock(made.potentiostat))
    made.potentiostat.acquire({"session": "s"}).wait(timeout=1)
    return made


def pattern(fakes, **options):
    how = Exposure((fakes.detector,), fakes.beam, FrameTrain(1.0), (fakes.potentiostat,))
    return Pattern(how, **options)


def mapped(fakes):
    stage = fakes.sample_stage

    def plan(md):
        return xrd_map(
            [fakes.detector],
            *(stage.x, -1, 1, 2),
            beam=fakes.beam,
            clock=fakes.clock,
            exposure=1.0,
            suspend=False,
            md=md,
        )

    return OwnRun(plan, (stage.x,))


def experiment(fakes, *rules, measurements=None, **options):
    return operando(
        Schedule(rules=rules),
        measurements or {"pattern": pattern(fakes), "map": mapped(fakes)},
        potentiostat=fakes.potentiostat,
        beam=fakes.beam,
        clock=fakes.clock,
        **{"protocol": PROTOCOL, **options},
    )


def rule(name, when, measure="pattern"):
    return Rule(name=name, when=when, measure=measure)


def runs(documents):
    """Start documents by plan name."""
    found = {}
    for start in documents.of("start"):
        found.setdefault(start["plan_name"], []).append(start)
    return found


def test_patterns_of_a_rule_are_events_of_one_series_run(fakes, engine, documents):
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    (series,) = runs(documents)["xrd_series"]
    (outer,) = runs(documents)["operando"]
    assert series["operando"] == {"uid": outer["uid"], "index": 0, "rule": "clock"}
    served = [event for event in documents.events("rules") if not event["rules_missed"]]
    assert [event["rules_point"] for event in served] == list(range(len(served)))
    assert {event["rules_run"] for event in served} == {series["uid"]}
    assert len(documents.events()) == len(served) >= 3


def test_every_stop_comes_and_the_outer_run_is_the_last(fakes, engine, documents):
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    stops = documents.of("stop")
    assert [stop["exit_status"] for stop in stops] == ["success", "success"]
    assert stops[-1]["run_start"] == runs(documents)["operando"][0]["uid"]


def test_a_map_is_a_run_of_its_own_between_the_patterns(fakes, engine, documents):
    engine(
        experiment(
            fakes,
            rule("top", EndOfProtocol(), "map"),
            rule("slope", VoltageCrossing(level=3.3, direction="rising")),
            rule("clock", AbsoluteClock(period=50.0)),
        )
    )
    (mapping,) = runs(documents)["xrd_map"]
    assert mapping["operando"]["rule"] == "top"
    assert mapping["cell"]["cell"] == EXAMPLE["cell"]
    assert len(runs(documents)["xrd_series"]) == 2
    top = next(e for e in documents.events("rules") if e["rules_rule"] == "top")
    assert (top["rules_run"], top["rules_point"]) == (mapping["uid"], -1)


def test_crossing_charge_and_step_are_due_when_the_cell_says_so(fakes, engine, documents):
    engine(
        experiment(
            fakes,
            rule("slope", VoltageCrossing(level=3.3, direction="rising")),
            rule("charge", ChargeStep(step=0.5)),
            rule("step", StepEdge()),
        )
    )
    due = {}
    for event in documents.events("rules"):
        due.setdefault(event["rules_rule"], []).append(event["rules_due"])
    assert due["slope"] == [pytest.approx(1075.0, abs=3)]
    assert due["step"][-1] == pytest.approx(1100.0, abs=12)
    assert len(due["charge"]) >= 3


def test_a_measurement_that_fails_is_contained_and_written_down(fakes, engine, documents):
    def broken(md):
        yield from mapped(fakes).plan(md)
        raise DeviceError("the stage is stuck")

    measurements = {"pattern": pattern(fakes), "map": OwnRun(broken)}
    engine(
        experiment(
            fakes,
            rule("slope", VoltageCrossing(level=3.2, direction="rising"), "map"),
            rule("clock", AbsoluteClock(period=50.0)),
            measurements=measurements,
        )
    )
    failed = next(e for e in documents.events("rules") if e["rules_rule"] == "slope")
    assert failed["rules_error"] == "the stage is stuck"
    assert documents.of("stop")[-1]["exit_status"] == "success"
    assert len(documents.events("rules")) > 3


def test_what_a_measurement_would_refuse_is_told_before_the_cell_begins(fakes, engine, documents):
    def far(md):
        stage = fakes.sample_stage
        how = {"beam": fakes.beam, "clock": fakes.clock, "exposure": -1.0, "md": md}
        return xrd_map([fakes.detector], *(stage.x, -1, 500, 2), **how)

    asked = {"map": OwnRun(far, may_be_asked=True)}
    with pytest.raises(PreflightError) as refused:
        engine(
            experiment(fakes, rule("slope", VoltageCrossing(level=3.2), "map"), measurements=asked)
        )
    assert [fault.partition(": ")[0] for fault in refused.value.faults] == ["measurement 'map'"] * 2
    assert documents.of("start") == []


def test_a_failure_inside_a_map_closes_that_run_alone(fakes, engine, documents):
    def drive(wanted, **_):
        if wanted:
            raise DeviceError("the drive is gone")
        fakes.sample_stage.x.readback.sim_put(wanted)

    fakes.sample_stage.x.setpoint.sim_set_putter(drive)
    engine(experiment(fakes, rule("slope", VoltageCrossing(level=3.2), "map")))
    by_run = {stop["run_start"]: stop for stop in documents.of("stop")}
    assert by_run[runs(documents)["xrd_map"][0]["uid"]]["exit_status"] == "fail"
    assert by_run[runs(documents)["operando"][0]["uid"]]["exit_status"] == "success"


def occasions(fakes):
    told = []
    answer = fakes.potentiostat.occasion_command._put_func

    def put(text, **more):
        told.append(text)
        answer(text, **more)

    fakes.potentiostat.occasion_command.sim_set_putter(put)
    return told


def test_the_guard_is_told_of_the_end(fakes, engine):
    told = occasions(fakes)
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    assert '"plan_end"' in told[-1]


def test_a_cell_that_trips_fails_the_experiment_and_leaves_the_beamline_safe(
    fakes, engine, documents
):
    told = occasions(fakes)

    def trip(time):
        if time > 1060:
            fakes.potentiostat.trip_reason.sim_put("voltage above 3.2 V")
            fakes.potentiostat.state.sim_put("Tripped")

    fakes.clock.hook = trip
    fakes.sample_stage.x.set(1.0).wait(timeout=1)
    measurements = {"pattern": pattern(fakes, positions=((fakes.sample_stage.x, 3.0),))}
    plan = experiment(fakes, rule("clock", AbsoluteClock(period=20.0)), measurements=measurements)
    with pytest.raises(GuardError, match="the cell is Tripped before its protocol ended: voltage"):
        engine(plan)
    assert '"failure"' in told[-1]
    assert fakes.beam.shutter.position == 0
    assert fakes.sample_stage.x.position == 1.0
    assert fakes.detector.hdf.capture.get() == 0
    assert documents.of("stop")[-1]["exit_status"] == "fail"


def test_while_there_is_no_beam_slots_are_missed_with_the_reason(fakes, engine, documents):
    def dump(time):
        fakes.beam.ring_current.sim_put(math.nan if 1060 < time < 1140 else 100.0)

    fakes.clock.hook = dump
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=20.0))))
    missed = [e for e in documents.events("rules") if e["rules_missed"]]
    assert missed
    assert all("no beam: ring current not known" in e["rules_missed"] for e in missed)
    beam = documents.events("beam")
    assert [event["beam_event"] for event in beam][:3] == ["up", "lost", "back"]
    assert beam[2]["beam_length"] == pytest.approx(80.0, abs=15)


def test_the_schedule_and_the_clocks_are_written_down(fakes, engine, documents):
    fakes.potentiostat.sample_time.sim_put(1003.0)
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    (revision,) = documents.events("schedule")
    assert revision["schedule_revision"] == 0
    assert '"start":1' in revision["schedule_json"].replace(" ", "")
    assert documents.events("clocks")[0]["clocks_device_time"] == 1003.0


class ComparedClock:
    """Of a detector that is 45 s behind; a comparison every half minute."""

    def __init__(self, clock):
        self.clock = clock

    def comparison(self):
        session = self.clock.time - self.clock.time % 30.0
        return session - 45.0, session, 0.004

    def read(self):
        return {}

    describe = read


def test_the_clocks_of_detectors_are_compared_too(fakes, engine, documents):
    fakes.potentiostat.sample_time.sim_put(1003.0)
    fakes.detector.clock_watch = ComparedClock(fakes.clock)
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    compared = [e for e in documents.events("clocks") if e["clocks_device"] == "detector"]
    assert len(compared) >= 3
    offsets = [e["clocks_device_time"] - e["clocks_session_time"] for e in compared]
    assert offsets == pytest.approx([-45.0] * len(compared))
    assert {e["clocks_uncertainty"] for e in compared} == {0.004}
    assert {e["clocks_cell"] for e in compared} == {""}
    times = [e["clocks_session_time"] for e in compared]
    assert times == sorted(set(times))
    assert {e["clocks_device"] for e in documents.events("clocks")} == {"cycler", "detector"}


def test_a_clock_that_nobody_could_compare_has_no_row(fakes, engine, documents):
    fakes.detector.clock_watch = ComparedClock(fakes.clock)
    fakes.detector.clock_watch.comparison = lambda: (math.nan, math.nan, math.nan)
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))
    assert all(e["clocks_device"] == "cycler" for e in documents.events("clocks"))


def test_it_joins_a_cell_that_cycles_already(fakes, engine, documents):
    fakes.potentiostat.state.sim_put("Running")
    plan = experiment(
        fakes, rule("clock", AbsoluteClock(period=50.0)), protocol=None, resumes="earlier"
    )
    engine(plan)
    outer = runs(documents)["operando"][0]
    assert (outer["joined"], outer["resumes"]) == (True, "earlier")
    assert documents.events()


@pytest.mark.parametrize("state", ["OpenCircuit", "Finished"])
def test_it_joins_a_cell_at_rest_that_somebody_else_will_start(fakes, engine, documents, state):
    cell = fakes.potentiostat
    cell.controls.sim_put(0)
    cell.state.sim_put(state)
    cell.step_count.sim_put(1)

    def started(time):
        if 1100 <= time < 1104:
            cell.state.sim_put("Running")

    fakes.clock.hook = started
    rules = (rule("clock", AbsoluteClock(period=50.0)), rule("end", EndOfProtocol()))
    engine(experiment(fakes, *rules, protocol=None))
    served = [event for event in documents.events("rules") if not event["rules_missed"]]
    clocks = [event["rules_due"] for event in served if event["rules_rule"] == "clock"]
    assert min(clocks) < 1100 < max(clocks)
    (end,) = [event["rules_due"] for event in served if event["rules_rule"] == "end"]
    assert end > fakes.clock.end


def test_a_joined_cell_that_stops_cycling_is_lost(fakes, engine, documents):
    fakes.potentiostat.controls.sim_put(0)
    fakes.potentiostat.state.sim_put("Running")

    def stopped(time):
        if time > 1100:
            fakes.potentiostat.state.sim_put("OpenCircuit")

    fakes.clock.hook = stopped
    with pytest.raises(GuardError, match="is OpenCircuit before its protocol ended"):
        engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0)), protocol=None))


def test_a_guard_that_took_the_session_for_lost_is_told_of_in_the_next_row(
    fakes, engine, documents
):
    def lapsed(time):
        if 1099 < time < 1101:
            fakes.potentiostat.losses.append("guard potentiostat heard no beat")

    fakes.potentiostat.losses.append("of another experiment")
    fakes.clock.hook = lapsed
    engine(experiment(fakes, rule("clock", AbsoluteClock(period=20.0))))
    rows = documents.events("rules")
    (told,) = [row for row in rows if "heard no beat" in row["rules_remark"]]
    assert 1100 <= told["rules_due"] <= 1120
    assert all("another experiment" not in row["rules_remark"] for row in rows)


def test_a_cell_whose_circuit_a_guard_opened_for_a_lost_session_says_so(fakes, engine):
    def lapsed(time):
        if time > 1100:
            fakes.potentiostat.owner.sim_put("lapsed")
            fakes.potentiostat.state.sim_put("OpenCircuit")

    fakes.clock.hook = lapsed
    with pytest.raises(GuardError, match="heard no beat of this session for too long"):
        engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0))))


def refusal(fakes, engine, documents, **options):
    with pytest.raises(PreflightError) as refused:
        engine(experiment(fakes, rule("clock", AbsoluteClock(period=50.0)), **options))
    assert documents == []
    return str(refused.value)


def test_a_cell_without_a_passport_is_refused(fakes, engine, documents):
    fakes.potentiostat.passport.sim_put("")
    told = refusal(fakes, engine, documents)
    assert "no cell passport is mounted; without one no current flows" in told


def test_a_second_session_on_a_cell_in_use_is_refused(fakes, engine, documents):
    fakes.potentiostat.forget()
    fakes.potentiostat.owner_command.sim_put('{"pid": 7, "host": "elsewhere"}')
    told = refusal(fakes, engine, documents)
    assert 'owned by {"pid": 7, "host": "elsewhere"}, not by this session' in told


def test_a_protocol_outside_the_window_is_refused(fakes, engine, documents):
    method = [{"step": "constant_current", "rate_C": 1, "until_voltage_V": 4.9}]
    told = refusal(fakes, engine, documents, protocol={**PROTOCOL, "method": method})
    assert "4.9" in told


def test_all_faults_of_an_experiment_come_in_one_message(fakes, engine, documents):
    bad = pattern(fakes, reduction={}, positions=((fakes.sample_stage.x, 99.0),))
    fakes.potentiostat.state.sim_put("Tripped")
    told = refusal(fakes, engine, documents, measurements={"patern": bad})
    for fault in (
        "rule 'clock' measures 'pattern', which is none of patern",
        "99 mm is outside its limits",
        "reduction names no geometry",
        "tripped",
    ):
        assert fault in told


def test_joining_needs_something_to_join(fakes, engine, documents):
    told = refusal(fakes, engine, documents, protocol=None)
    assert "nothing to join, the cell is OpenCircuit; give a protocol to start" in told


def test_a_running_cell_is_not_started_again(fakes, engine, documents):
    fakes.potentiostat.state.sim_put("Running")
    assert "the cell is Running; join it without a protocol" in refusal(fakes, engine, documents)


def test_every_key_of_an_operando_run_is_explained():
    text = (Path(__file__).parents[2] / "docs" / "reference" / "operando.md").read_text()
    explained = set(re.findall(r"`([a-z_0-9]+)`", text))
    for kind in (RuleNotes, ScheduleNotes, BeamNotes, ClockNotes, ParkingNotes, GapNotes):
        assert set(kind("", name="notes").component_names) <= explained, kind.__name__
