import math

import pytest
from pydantic import ValidationError

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.conditions import (
    AbsoluteClock,
    AnyOf,
    ArealChargeLevels,
    Cadence,
    ChargeStep,
    StateOfChargeLevels,
    StepEdge,
    While,
)
from battbeam.experiment.predicates import Between, Compare, CycleIs, Said, StepIs
from battbeam.experiment.protocol import StepType
from battbeam.experiment.quantities import MANNERS, Quantity, reader
from battbeam.experiment.schedule import Agenda, Due, Rule, Schedule
from battbeam.experiment.slope import Slope
from battbeam.experiment.truth import truth
from battbeam.experiment.watchers import watcher

PASSPORT = CellPassport.read(EXAMPLE)
HIGH = Compare(quantity="voltage", relation=">", value=4.1)


def test_faults_of_values_are_said():
    with pytest.raises(ValidationError, match="the lower value first"):
        Between(quantity="voltage", low=4.0, high=3.0)
    with pytest.raises(ValidationError, match="cycles must ascend, got 5 to 3"):
        CycleIs(first=5, last=3)
    with pytest.raises(ValidationError, match="and only one"):
        ChargeStep(step=1.0, areal=2.0)
    with pytest.raises(ValidationError, match="Input should be"):
        StepEdge(step_type="nap")
    with pytest.raises(ValidationError, match="finite"):
        Compare(quantity="voltage", relation=">", value=math.nan)


def test_a_type_of_step_is_known_by_its_words_and_as_the_guard_names_it():
    for step_type in StepType:
        assert StepIs(step_type=str(step_type)).step_type is step_type
    assert StepIs(step_type="rest") == StepIs(step_type=StepType.REST)
    assert StepEdge(step_type="constant_voltage").step_type is StepType.CONSTANT_VOLTAGE


def test_every_open_clock_inside_a_condition_is_anchored():
    clock, cadence = (
        AbsoluteClock(period=40.0),
        Cadence(rates=[{"period": 4.0, "during": HIGH}], otherwise=9.0),
    )
    inner = AnyOf(conditions=(clock, While(condition=cadence, predicate=HIGH), StepEdge()))
    anchored = inner.anchored(77.0)
    assert anchored.conditions[0].start == 77.0
    assert anchored.conditions[1].condition.start == 77.0
    assert anchored.anchored(99.0) == anchored


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (ArealChargeLevels(levels=(9,)), "electrode_area"),
        (StateOfChargeLevels(levels=(0.2,)), "nominal_capacity"),
        (ChargeStep(areal=9), "electrode_area"),
        (
            While(
                condition=StepEdge(),
                predicate=Compare(quantity="state_of_charge", relation=">", value=0.2),
            ),
            "nominal_capacity",
        ),
    ],
)
def test_what_speaks_of_the_cell_needs_its_passport(condition, field):
    with pytest.raises(ValueError, match=rf"{field} .* is needed, got None; mount a passport"):
        watcher(condition, None)
    assert watcher(condition, PASSPORT).update(CellReading(time=0.0, charge=1.0)) == []


def test_quantities_are_those_of_the_reading_in_their_units():
    reading = CellReading(
        time=0.0,
        voltage=-0.5,
        current=-2e-3,
        charge=1.45,
        temperature=31.0,
        voltage_working=3.4,
        voltage_counter=0.1,
    )
    found = {each.value: reader(each, PASSPORT, what="test")(reading) for each in Quantity}
    assert found == pytest.approx(
        {
            "voltage": -0.5,
            "voltage_working": 3.4,
            "voltage_counter": 0.1,
            "voltage_magnitude": 0.5,
            "current": -2e-3,
            "current_magnitude": 2e-3,
            "charge": 1.45,
            "areal_charge": 1.45 * 3.6 / 1.767,
            "state_of_charge": 0.5,
            "temperature": 31.0,
        }
    )
    assert set(MANNERS) == set(Quantity)
    assert all(
        math.isnan(reader(each, PASSPORT, what="test")(CellReading(time=0.0))) for each in Quantity
    )


def test_what_has_no_watcher_says_so():
    with pytest.raises(TypeError, match="no watcher for Said"):
        watcher(Said(), None)
    with pytest.raises(TypeError, match="no truth for Said"):
        truth(Said(), None)
    with pytest.raises(NotImplementedError):
        str(Said())


def test_what_does_not_wait_cannot_be_handed_out():
    agenda = Agenda(Schedule(rules=(Rule(name="a", when=StepEdge(), measure="p"),)).evaluator())
    with pytest.raises(ValueError, match="rule 'a', index 0: it does not wait to be served"):
        agenda.hand_out(Due(rule="a", index=0, measure="p", due=0.0, met=0.0))


def test_absurd_readings_do_not_exhaust_memory():
    rules = (
        Rule(name="charge", when=ChargeStep(step=0.1), measure="p"),
        Rule(name="step", when=StepEdge(), measure="p"),
    )
    watched = Schedule(rules=rules).evaluator()
    watched.update(CellReading(time=0.0, charge=0.0, step_count=1))
    dues = watched.update(CellReading(time=1.0, charge=1e12, step_count=10**9))
    assert len(dues) < 2100
    assert "more before it" in dues[0].remark
    assert [due.rule for due in dues if not due.missed] == ["charge", "step"]


def test_a_slope_needs_a_window_full_of_readings():
    slope = Slope(100.0)
    for k in range(70):
        slope.add(1.79e9 + k, 3.0 + 0.01 * k)
    assert not slope.is_full
    for k in range(70, 130):
        slope.add(1.79e9 + k, 3.0 + 0.01 * k)
    assert slope.is_full
    assert slope.rate().size == pytest.approx(0.01)
    assert slope.rate().error == pytest.approx(0.0, abs=1e-9)
    # The window that ends with the last complete part: 24 s to 124 s.
    assert slope.middle == pytest.approx(1.79e9 + 74, abs=6.0)
