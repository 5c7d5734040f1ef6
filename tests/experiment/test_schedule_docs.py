"""What the documentation says of schedules is what they do."""

import json
import re
from pathlib import Path

import pytest

from battbeam.experiment import conditions as c
from battbeam.experiment.amounts import ALL_DIMENSIONS
from battbeam.experiment.conditions_of_time import Happening
from battbeam.experiment.predicates import Said
from battbeam.experiment.quantities import MANNERS, STEP_WORDS
from battbeam.experiment.schedule import Schedule

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "schedule.md").read_text()
ROWS = [
    tuple(text.replace("\\|", "|") for text in found)
    for found in re.findall(r"^\| `(.+?)` \| `(\{.+?\})` \|", PAGE, flags=re.MULTILINE)
]
STATES = PAGE[PAGE.index("## What is so") : PAGE.index("## Combinations")]


def is_state(json_text):
    return f"`{json_text}`" in STATES


@pytest.mark.parametrize(("text", "value"), ROWS)
def test_text_and_json_of_the_page_are_the_same(text, value):
    if is_state(value):
        text, value = f"when {text}", f'{{"kind": "becomes", "predicate": {value}}}'
    read = Schedule.parse(f"a: {text}, measure pattern")
    document = {"rules": [{"name": "a", "when": json.loads(value), "measure": "pattern"}]}
    assert Schedule.model_validate(document) == read
    assert read.rules[0].when.sentence() == text


def kinds(cls):
    own = cls.model_fields.get("kind")
    return {own.default} - {None} if own else set().union(*map(kinds, cls.__subclasses__()))


def test_every_condition_and_predicate_has_a_line():
    wanted = set().union(*(kinds(each) for each in Said.__subclasses__()))
    assert set(re.findall(r'"kind": "(\w+)"', "".join(value for _, value in ROWS))) == wanted
    assert kinds(Happening) <= wanted
    assert c.AbsoluteClock.model_fields["kind"].default in wanted


def test_every_unit_quantity_and_type_of_step_is_named():
    names = {unit for each in ALL_DIMENSIONS for unit in each.units}
    names |= {manner.words for manner in MANNERS.values()} | set(STEP_WORDS.values())
    assert [name for name in sorted(names) if name not in PAGE] == []


def test_the_example_is_a_schedule():
    (example,) = re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(Schedule.parse(example).rules) == 3
