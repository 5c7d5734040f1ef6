import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.errors import PreflightError
from battbeam.experiment.conditions import AbsoluteClock, AtMost, Cadence, While
from battbeam.experiment.schedule import Rule, Schedule
from tests.experiment.schedules import conditions, schedules

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def rule(text: str) -> Rule:
    return Schedule.parse(text).rules[0]


def faults_of(text: str) -> tuple[str, ...]:
    try:
        Schedule.parse(text)
    except PreflightError as error:
        return error.faults
    return ()


@EXAMPLES
@given(schedules)
def test_what_a_schedule_says_in_text_or_json_is_read_back_as_the_same_schedule(schedule):
    assert Schedule.parse(schedule.text()) == schedule
    assert Schedule.parse(schedule.text()).text() == schedule.text()
    assert Schedule.model_validate(json.loads(schedule.model_dump_json())) == schedule


@EXAMPLES
@given(st.text(max_size=60), conditions)
def test_any_text_is_read_or_refused_with_its_place(noise, condition):
    said = condition.sentence()
    cut = len(noise) * 7 % (len(said) + 1)
    line = f"a: {said[:cut]}{noise}{said[cut:]}, measure pattern"
    assert all(fault.startswith("line ") for fault in faults_of(line))


def test_units_become_those_that_values_are_kept_in():
    assert rule("a: every 0.5 h, measure p").when == AbsoluteClock(period=1800.0)
    assert rule("a: when the voltage falls through 100 mV, measure p").when.level == 0.1
    assert rule("a: when dV/dt settles below 3 mV/h over 5 min, measure p").when.below == 0.003
    assert rule("a: at 25 mAh/cm2, measure p").when.levels == (90.0,)
    assert rule("a: when the current > 5 mA, measure p").when.predicate.value == 0.005


def test_comments_and_empty_lines_are_nothing():
    text = "# all of it\n\n  \na: every 40 s, measure p # each\n"
    assert Schedule.parse(text).text() == "a: every 40 s, measure p (free running)\n"


def test_rates_in_windows_are_one_condition_and_a_while_is_another():
    assert isinstance(rule("a: every 40 s while voltage > 4.1 V, measure p").when, While)
    said = "a: every 40 s while voltage > 4.1 V, every 80 s while current > 0 A, else every 200 s"
    found = rule(f"{said}, measure p").when
    assert isinstance(found, Cadence)
    assert [rate.period for rate in found.rates] == [40.0, 80.0]
    assert found.otherwise == 200.0


def test_at_most_so_often_is_not_at_most_so_late():
    found = rule("a: every 40 s, at most 3 s late, at most 3 times, measure p").when
    assert found == AtMost(condition=AbsoluteClock(period=40.0, grace=3.0), n=3)


def test_and_binds_more_than_or():
    found = rule(
        "a: when voltage > 4 V or not current > 0 A and step is rest, measure p"
    ).when.predicate
    assert [each.kind for each in found.predicates] == ["compare", "and"]
    assert found.predicates[1].predicates[0].kind == "not"


FAULTS = [
    ("a: every 40, measure p", 12, r"read ',', wanted the unit of a time \(s, ms, min, h, d\)"),
    ("a: whenever, measure p", 4, "read 'whenever', wanted a condition"),
    ("a: every 40 s measure p", 15, "read 'measure', wanted ', measure'"),
    ("when a step begins, measure p", 1, "read 'when', wanted a name and ':'"),
    ("a: when the voltage rises through 3 mA, measure p", 37, r"the unit of a voltage \(V, mV\)"),
    ("a: at 9, 84 s, measure p", 13, r"a charge per area \(C/cm2, mAh/cm2\)"),
    ("a: every -40 s, measure p", 4, "period: Input should be greater than 0, got -40.0"),
    ("a: every 40 s, measure p (holding)", 27, "read 'holding', wanted one of free running"),
    ("a: every 40 s, measure", 23, "read the end of the line, wanted the name of a measurement"),
    ("a: every 40 s, measure p q", 26, "read 'q', wanted the end of the rule"),
    ("a: every 40 s from 2026-11-22T10:00, measure p", 20, "a date and time with its zone"),
    ("a: every 40 s from 2026-13-22T10:00Z, measure p", 20, "a date that exists"),
    ("a: every 40 s from 5 s after 1980, measure p", 30, "wanted '1970'"),
    ("a: every 40 s from noon, measure p", 20, "a date and time with its zone"),
    ("a: any of (every 40 s), measure p", 4, "at least 2 items"),
    ("a: any of (every 40 s, measure p", 22, "';' and another condition, or '\\)'"),
    ("a: when voltage is 4 V, measure p", 17, "'>', '<' or 'between'"),
    ("a: when the pressure > 4 V, measure p", 13, "something that is so for a while"),
    ("a: when a nap step begins, measure p", 11, "a type of step"),
    ("a: when a step ends, measure p", 16, "'begins'"),
    ("a: when the current rises through 3 A, measure p", 4, "this does not pass levels"),
    ("a: when the current rises faster than 3 A, measure p", 4, "only voltage and temperature"),
    ("a: when the voltage rises to 3 V, measure p", 27, "'through' and a level, or 'faster than'"),
    ("a: at the end of the day, measure p", 18, "'each' or 'the protocol'"),
    ("a: at the end of each step, measure p", 23, "'rest', 'constant voltage' or 'relaxation'"),
    ("a: every 4 s, 2 times while step is rest, else every 9 s, measure p", 4, "several rates"),
    ("a: when cycle is some, measure p", 18, "the number of a cycle, a whole number"),
    ("a: each time 5 % has passed, measure p", 18, "'of the capacity'"),
    ("a: at some C/cm2, measure p", 7, "wanted a level"),
    ("a: when dV/dt settles over 3 s, measure p", 15, "'settles below'"),
    ("a: when $, measure p", 9, "which no rule contains"),
    ("a  b: every 4 s, measure p", 1, "quote it, or use letters"),
    ('"a" every 4 s, measure p', 4, "wanted ':' behind the name"),
    ('"\\a": every 4 s, measure p', 1, "not a quoted name"),
    ("a: " + "(" * 40 + "every 4 s" + ")" * 40 + ", measure p", 25, "more than 20 brackets"),
    ("a: when " + "not " * 40 + "step is rest, measure p", 93, "more than 20 brackets"),
]


@pytest.mark.parametrize(("line", "column", "said"), FAULTS)
def test_a_fault_says_where_and_what_was_wanted(line, column, said):
    with pytest.raises(PreflightError, match=said) as caught:
        Schedule.parse(line)
    (fault,) = caught.value.faults
    assert fault.startswith(f"line 1, column {column}:"), fault


def test_all_faulty_lines_are_said_at_once():
    text = "\n".join(["a: every 40 s, measure p", "b: nonsense", "a: every 4 s, measure p", "c"])
    with pytest.raises(PreflightError, match="the name 'a' is that of line 1 already") as caught:
        Schedule.parse(text)
    assert [fault.split(",")[0] for fault in caught.value.faults] == ["line 2", "line 3", "line 4"]


def test_no_rule_is_a_fault():
    with pytest.raises(PreflightError, match="no rule in the text"):
        Schedule.parse("# nothing yet\n")


def test_files_hold_text_or_values(tmp_path):
    schedule = Schedule.parse("a: every 40 s, measure p\nb: when a step begins, measure q\n")
    contents = {
        "s.txt": schedule.text(),
        "s.json": schedule.model_dump_json(),
        "lines.json": json.dumps(schedule.text().splitlines()),
        "s.yaml": yaml.safe_dump(schedule.model_dump(mode="json")),
        "text.yaml": "|\n" + "".join(f"  {line}\n" for line in schedule.text().splitlines()),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        assert Schedule.read(tmp_path / name) == schedule, name


def test_a_file_that_holds_no_schedule_says_so(tmp_path):
    with pytest.raises(PreflightError, match="No such file"):
        Schedule.read(tmp_path / "none.txt")
    (tmp_path / "s.txt").write_bytes(b"a: \xff")
    with pytest.raises(PreflightError, match="cannot be read"):
        Schedule.read(tmp_path / "s.txt")
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(PreflightError, match="not JSON"):
        Schedule.read(tmp_path / "s.json")
    (tmp_path / "s.yaml").write_text("rules: [{name: a, measure: p, when: {kind: nap}}]")
    with pytest.raises(PreflightError, match=r"rules.0.when.*'nap'"):
        Schedule.read(tmp_path / "s.yaml")
