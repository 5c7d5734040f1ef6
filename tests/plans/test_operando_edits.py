import json

import pytest

from battbeam.errors import PreflightError
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.edits import ScheduleFile
from battbeam.plans.gap import Earlier, due_meanwhile, earlier_from, readings_of
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando

CURRENT = str(StepType.CONSTANT_CURRENT)
ONE_C = 2.9e-3
SLOW = Rule(name="slow", when=AbsoluteClock(period=100.0), measure="pattern")
FAST = Rule(name="fast", when=AbsoluteClock(period=20.0), measure="pattern")


def nothing(md):
    yield from ()
    return "uid"


@pytest.fixture
def edit(cycling, tmp_path, monkeypatch):
    """Writes the running schedule's file when the clock passes a time."""
    monkeypatch.setattr("battbeam.plans.edits.LOOK_INTERVAL", 0.0)
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 400.0))
    cycling.potentiostat.state.sim_put("Running")
    edits = {}

    def hook(time):
        for when in [when for when in edits if time >= when]:
            (tmp_path / "schedule.txt").write_text(edits.pop(when))

    cycling.clock.hook = hook
    return edits


def run(cycling, engine, tmp_path, *rules, **options):
    engine(
        operando(
            Schedule(rules=rules),
            {"pattern": OwnRun(nothing)},
            potentiostat=cycling.potentiostat,
            beam=cycling.beam,
            clock=cycling.clock,
            schedule_file=tmp_path / "schedule.txt",
            **options,
        )
    )


def events(documents, stream):
    return [
        {key.removeprefix(f"{stream}_"): value for key, value in event.items()}
        for event in documents.events(stream)
    ]


def test_the_running_schedule_stands_in_its_file_as_text(cycling, edit, engine, tmp_path):
    run(cycling, engine, tmp_path, SLOW)
    assert (tmp_path / "schedule.txt").read_text() == Schedule(rules=(SLOW,)).text()


def test_an_edit_takes_effect_and_shifts_nothing(cycling, edit, engine, documents, tmp_path):
    edit[1250.0] = Schedule(rules=(FAST, SLOW)).text()
    run(cycling, engine, tmp_path, SLOW)
    first, second = events(documents, "schedule")
    assert (first["revision"], second["revision"]) == (0, 1)
    assert "fast" in second["changes"]
    assert second["source"].endswith("schedule.txt")
    assert second["author"]
    assert second["refused"] == ""
    assert Schedule.parse(second["text"]) == Schedule(rules=(FAST, SLOW))
    rows = events(documents, "rules")
    slow = [row["due"] for row in rows if row["rule"] == "slow"]
    assert [round(due - slow[0]) for due in slow] == [0, 100, 200, 300, 400][: len(slow)]
    fast = [row["due"] for row in rows if row["rule"] == "fast"]
    assert min(fast) >= 1250.0
    assert {round(due - slow[0]) % 20 for due in fast} == {0}


def test_a_rule_that_was_taken_out_is_not_met_any_more(cycling, edit, engine, documents, tmp_path):
    edit[1150.0] = Schedule(rules=(SLOW,)).text()
    run(cycling, engine, tmp_path, SLOW, FAST)
    fast = [row["met"] for row in events(documents, "rules") if row["rule"] == "fast"]
    assert 1130.0 < max(fast) < 1175.0


def test_an_edit_with_a_fault_is_told_and_the_schedule_before_goes_on(
    cycling, edit, engine, documents, tmp_path
):
    other = Rule(name="other", when=AbsoluteClock(period=10.0), measure="map", cell="cell7")
    edit[1100.0] = "this is no rule\n"
    edit[1200.0] = Schedule(rules=(other,)).text()
    run(cycling, engine, tmp_path, SLOW)
    _, nonsense, unknown = events(documents, "schedule")
    assert nonsense["refused"]
    for fault in ("measures 'map'", "on cell 'cell7'", "cell 'cell1' is left without a rule"):
        assert fault in unknown["refused"]
    assert [nonsense["revision"], unknown["revision"]] == [0, 0]
    assert len([row for row in events(documents, "rules") if row["rule"] == "slow"]) >= 4


def test_an_edit_that_changes_nothing_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setattr("battbeam.plans.edits.LOOK_INTERVAL", 0.0)
    running, path = Schedule(rules=(SLOW,)), tmp_path / "schedule.txt"
    file = ScheduleFile(path, lambda schedule: [])
    file.write(running)
    assert file.look(running) is None
    path.write_text(running.text() + "\n")
    assert file.look(running) is None
    path.unlink()
    assert file.look(running) is None


def test_without_a_file_there_is_nothing_to_look_at():
    running = Schedule(rules=(SLOW,))
    file = ScheduleFile(None, lambda schedule: [])
    file.write(running)
    assert file.look(running) is None


def test_what_was_due_in_a_gap_is_known_from_the_clock():
    earlier = Earlier("uid", start=1000.0, end=1250.0, schedule=Schedule(rules=(SLOW, FAST)))
    due = due_meanwhile(earlier, 1321.0)
    assert [(each.rule, each.due) for each in due] == [
        ("fast", 1260.0),
        ("fast", 1280.0),
        ("slow", 1300.0),
        ("fast", 1300.0),
        ("fast", 1320.0),
    ]
    assert [each.index for each in due if each.rule == "slow"] == [3]


def test_what_was_due_in_a_gap_is_known_from_what_the_guard_wrote_down(readings):
    rule = Rule(name="charge", when=ChargeStep(step=1.0, reference=0.0), measure="pattern")
    schedule = Schedule(rules=(rule,))
    earlier = Earlier("uid", 1000.0, 1250.0, schedule, readings={"cell1": readings})
    due = due_meanwhile(earlier, 1400.0)
    assert [round(each.due) for each in due] == [1300, 1400]
    assert [each.index for each in due] == [2, 3]


@pytest.fixture
def readings():
    """1 mAh in 100 s, a reading every 10 s."""
    from battbeam.experiment.watchers import CellReading

    return [
        CellReading(time=float(time), charge=(time - 1000) / 100.0)
        for time in range(1000, 1500, 10)
    ]


def test_a_resumed_experiment_writes_its_gap_and_keeps_its_slots(
    cycling, edit, engine, documents, tmp_path
):
    earlier = Earlier("earlier", start=550.0, end=830.0, schedule=Schedule(rules=(SLOW,)))
    run(cycling, engine, tmp_path, SLOW, resumes=earlier)
    (gap,) = events(documents, "gap")
    assert (gap["resumes"], gap["start"]) == ("earlier", 830.0)
    assert gap["length"] == pytest.approx(gap["end"] - 830.0)
    assert [each["due"] for each in json.loads(gap["due"])] == [850.0, 950.0]
    assert gap["n_due"] == 2
    rows = events(documents, "rules")
    assert {(row["due"] - 550.0) % 100.0 for row in rows} == {0.0}
    assert min(row["due"] for row in rows if not row["missed"]) >= 950.0
    outer = next(d for d in documents.of("start") if d["plan_name"] == "operando")
    assert outer["resumes"] == "earlier"


def test_a_condition_that_needs_a_passport_is_refused_without_one(cycling, engine, tmp_path):
    cycling.potentiostat.passport.sim_put("")
    cycling.potentiostat.state.sim_put("Running")
    rule = Rule(name="charge", when=ChargeStep(fraction=0.05), measure="pattern")
    with pytest.raises(PreflightError, match=r"rule 'charge': .*passport"):
        run(cycling, engine, tmp_path, rule)


def test_what_a_run_left_behind_is_enough_to_resume_it(cycling, edit, engine, documents, tmp_path):
    edit[1250.0] = Schedule(rules=(FAST, SLOW)).text()
    run(cycling, engine, tmp_path, SLOW)
    broken_off = [each for each in documents if each[0] != "stop"]
    earlier = earlier_from(broken_off)
    first, second = events(documents, "schedule")
    assert (earlier.start, first["revision"]) == (first["start"], 0)
    assert earlier.schedule == Schedule.model_validate_json(second["json"])
    last = max(row["met"] for row in events(documents, "rules"))
    assert last <= earlier.end <= cycling.clock.time
    assert earlier.passports["cell1"].cell == "LFP-007"
    with pytest.raises(ValueError, match="no operando run, nothing to resume"):
        earlier_from([("start", {"uid": "map", "kind": "measurement"})])


def test_a_guards_log_is_read_as_rules_would_have_read_the_cell():
    lines = [
        '{"kind": "state", "time": 990.0, "state": "Running"}',
        '{"kind": "live", "time": 1.0, "session_time": 995.0, "charge": 0.1}',
        '{"kind": "live", "time": 11.0, "session_time": 1005.0, "charge": 0.2, "voltage": 3.4, '
        '"step_count": 3, "step_type": "constant_current", "current": null}',
        '{"kind": "state", "time": 1010.0, "state": "Finished"}',
        '{"kind": "live", "time": 11.0, "sess',
    ]
    live, state = readings_of(lines, 1000.0)
    assert (live.time, live.charge, live.state) == (1005.0, 0.2, "Running")
    assert (live.step_count, live.step_type) == (3, "constant_current")
    assert live.current != live.current
    assert (state.time, state.state) == (1010.0, "Finished")
