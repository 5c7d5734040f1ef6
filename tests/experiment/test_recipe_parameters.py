from typing import Literal, Optional

import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError

from battbeam.experiment.recipe_parameters import parameter_faults, sentences_of


def plan(
    beamline: object,
    exposure: float = 1.0,
    n_points: int = 3,
    name: str = "a",
    lag: bool = True,
    reference: float | None = None,
    old: Optional[float] = None,  # noqa: UP045
    host: Literal["working", "counter"] = "working",
    edges: tuple[str, ...] = (),
    free=None,
) -> None: ...


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"exposure": "20 s"}, "exposure must be a finite number, got '20 s'"),
        ({"exposure": float("nan")}, "exposure must be a finite number, got nan"),
        ({"exposure": float("inf")}, "exposure must be a finite number, got inf"),
        ({"exposure": True}, "exposure must be a finite number, got True"),
        ({"exposure": None}, "exposure must be a finite number, got None"),
        ({"exposure": [1.0]}, "exposure must be a finite number, got [1.0]"),
        ({"n_points": 2.5}, "n_points must be a whole number, got 2.5"),
        ({"n_points": False}, "n_points must be a whole number, got False"),
        ({"name": 3}, "name must be a text, got 3"),
        ({"lag": "no"}, "lag must be True or False, got 'no'"),
        ({"reference": "x"}, "reference must be a finite number or None, got 'x'"),
        ({"old": "x"}, "old must be a finite number or None, got 'x'"),
        ({"host": "anode"}, "host must be one of 'working', 'counter', got 'anode'"),
        ({"beamline": 1}, "it has no parameter beamline; it has exposure, n_points, name, lag,"),
    ],
)
def test_a_value_that_a_recipe_cannot_take_is_told_with_what_it_takes(given, fault):
    (found,) = parameter_faults(plan, given)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"exposure": 1, "n_points": 5},
        {"exposure": np.float32(1.0), "n_points": np.int64(5)},
        {"lag": False, "host": "counter", "name": ""},
        {"reference": None, "old": 2.0},
        {"edges": "Ni K", "free": object()},
    ],
)
def test_what_a_recipe_takes_is_left_alone(given):
    assert parameter_faults(plan, given) == []


def test_every_fault_is_told_at_once():
    assert len(parameter_faults(plan, {"exposure": "x", "n_points": 2.5, "width": 1})) == 3


def test_a_recipe_without_parameters_says_so():
    assert parameter_faults(lambda beamline: None, {"x": 1}) == [
        "it has no parameter x; it has none"
    ]


def test_what_a_recipe_refuses_itself_is_a_sentence():
    class Clock(BaseModel):
        period: float = Field(gt=0)

    with pytest.raises(ValidationError) as refused:
        Clock(period=-3.0)
    assert sentences_of(refused.value) == ["period: Input should be greater than 0, got -3.0"]
    assert sentences_of(ValueError("exposure is too long")) == ["exposure is too long"]
