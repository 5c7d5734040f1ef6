import pytest

from battbeam.experiment.cell import Window
from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.driver import Segment
from battbeam.guard.drivers import eclab_compile as compiled

WINDOW = Window(2.5, 4.2, 0.01)
REST = Step(0, StepType.REST, duration=60.0)
CHARGE = Step(1, StepType.CONSTANT_CURRENT, current=2e-3, until_voltage=4.0, direction=1)
DISCHARGE = Step(
    2, StepType.CONSTANT_CURRENT, current=-2e-3, until_voltage=3.0, duration=7200.0, direction=-1
)
BLIND = Step(3, StepType.CONSTANT_CURRENT, current=-2e-3, duration=100.0, direction=-1)
HOLD = Step(4, StepType.CONSTANT_VOLTAGE, voltage=4.0, until_current=1e-4, direction=1)

ABOVE, BELOW = 0b101, 0b001
CURRENT_ABOVE, CURRENT_BELOW = 0b1100101, 0b1100001
AND = 0b10


def segment(*steps):
    return Segment(name="abc", steps=steps, record_interval=10.0, window=WINDOW)


def test_steps_of_one_kind_share_a_technique():
    found = compiled.techniques([REST, CHARGE, DISCHARGE, HOLD, REST])
    assert [technique.name for technique in found] == ["OCV", "CPLIMIT", "CALIMIT", "OCV"]
    assert [technique.first for technique in found] == [0, 1, 3, 4]
    assert [technique.instance for technique in found] == [0, 0, 0, 1]
    assert compiled.technique_names(segment(REST, CHARGE, HOLD)) == "ocv,cplimit,calimit"


def test_a_list_that_is_full_ends_the_segment():
    assert compiled.lengths([CHARGE, HOLD, DISCHARGE]) == [2, 1]
    assert compiled.lengths([REST, CHARGE, REST, CHARGE, REST]) == [3, 2]
    assert sum(compiled.lengths([REST, CHARGE, DISCHARGE, HOLD] * 25)) == 100
    assert compiled.lengths([CHARGE, DISCHARGE] * 15) == [20, 10]
    assert compiled.lengths([]) == []


def test_lists_name_at_most_what_a_string_of_40_characters_holds():
    names = compiled.technique_names(segment(REST, CHARGE, HOLD, REST))
    assert len(names) < 40


def test_a_current_ends_at_its_voltage_in_its_own_direction():
    values = compiled.parameters(segment(CHARGE, DISCHARGE))
    assert values["CPLIMIT:0:ISTEP"] == [2e-3, -2e-3]
    assert values["CPLIMIT:0:TEST1CONF"] == [ABOVE, BELOW]
    assert values["CPLIMIT:0:TEST1VAL"] == [4.0, 3.0]
    assert values["CPLIMIT:0:EXITCOND"] == [0, 0]
    assert values["CPLIMIT:0:DURSTEP"] == [compiled.NO_DURATION, 7200.0]
    assert values["CPLIMIT:0:STEPN"] == 1
    assert values["CPLIMIT:0:TEST2CONF"] == [0, 0]


def test_a_current_without_a_voltage_stops_the_instrument_at_the_windows_edge():
    values = compiled.parameters(segment(BLIND))
    assert values["CPLIMIT:0:TEST1CONF"] == [BELOW]
    assert values["CPLIMIT:0:TEST1VAL"] == [2.5]
    assert values["CPLIMIT:0:EXITCOND"] == [2]


@pytest.mark.parametrize(
    ("direction", "tests"),
    [
        (1, [(CURRENT_BELOW, 1e-4)]),
        (-1, [(CURRENT_ABOVE, -1e-4)]),
        (0, [(CURRENT_BELOW | AND, 1e-4), (CURRENT_ABOVE | AND, -1e-4)]),
    ],
)
def test_a_voltage_ends_when_its_current_has_faded(direction, tests):
    step = Step(4, StepType.CONSTANT_VOLTAGE, voltage=4.0, until_current=1e-4, direction=direction)
    values = compiled.parameters(segment(step))
    found = [
        (values[f"CALIMIT:0:TEST{n}CONF"][0], values[f"CALIMIT:0:TEST{n}VAL"][0]) for n in (1, 2, 3)
    ]
    assert [test for test in found if test[0]] == tests


def test_a_hold_stops_at_the_largest_current_allowed():
    hold = Step(-1, StepType.CONSTANT_VOLTAGE, voltage=3.4, duration=600.0)
    values = compiled.parameters(segment(hold))
    assert values["CALIMIT:0:VSTEP"] == [3.4]
    assert values["CALIMIT:0:TEST1VAL"] == [0.01]
    assert values["CALIMIT:0:TEST2VAL"] == [-0.01]
    assert values["CALIMIT:0:EXITCOND"] == [2]


def test_the_smallest_range_that_holds_the_current_is_taken():
    assert compiled.parameters(segment(CHARGE))["CPLIMIT:0:IRANGE"] == 8
    assert compiled.parameters(segment(HOLD))["CALIMIT:0:IRANGE"] == 8
    tiny = Step(0, StepType.CONSTANT_CURRENT, current=5e-6, duration=10.0)
    assert compiled.parameters(segment(tiny))["CPLIMIT:0:IRANGE"] == 5
    huge = Step(0, StepType.CONSTANT_CURRENT, current=5.0, duration=10.0)
    assert compiled.parameters(segment(huge))["CPLIMIT:0:IRANGE"] == 10


def test_recording_by_change_is_off_unless_asked_for():
    values = compiled.parameters(segment(REST, CHARGE, HOLD))
    assert (values["OCV:0:RTT"], values["OCV:0:REDT"]) == (60.0, 10.0)
    assert values["CPLIMIT:0:REDE"] == values["CALIMIT:0:REDI"] == 100.0
