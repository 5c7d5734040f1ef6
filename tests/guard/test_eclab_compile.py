from dataclasses import replace

import pytest

from battbeam.experiment.cell import Window
from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.driver import Segment
from battbeam.guard.drivers import eclab_compile as compiled
from battbeam.guard.drivers import eclab_listing as listed

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
    found = listed.techniques([REST, CHARGE, DISCHARGE, HOLD, REST])
    assert [technique.name for technique in found] == ["OCV", "CPLIMIT", "CALIMIT", "OCV"]
    assert [technique.first for technique in found] == [0, 1, 3, 4]
    assert [technique.instance for technique in found] == [0, 0, 0, 1]
    assert compiled.technique_names(segment(REST, CHARGE, HOLD)) == "ocv,cplimit,calimit"


def test_a_list_that_is_full_ends_the_segment():
    assert listed.lengths([CHARGE, HOLD, DISCHARGE]) == [2, 1]
    assert listed.lengths([REST, CHARGE, REST, DISCHARGE, REST]) == [3, 2]
    assert listed.lengths([replace(CHARGE, current=1e-3 * n) for n in range(1, 31)]) == [20, 10]
    assert listed.lengths([]) == []


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


LOAD = Step(5, StepType.CONSTANT_RESISTANCE, resistance=1000.0, until_voltage=3.3, direction=-1)
RAMP = Step(6, StepType.CURRENT_RAMP, current=0.0, current_end=2e-3, duration=600.0, direction=1)
UP = Step(7, StepType.VOLTAGE_SCAN, voltage=3.0, voltage_end=3.6, scan_rate=1e-4)
DOWN = Step(8, StepType.VOLTAGE_SCAN, voltage=3.6, voltage_end=3.2, scan_rate=2e-4)
SPECTRUM = Step(
    9,
    StepType.IMPEDANCE,
    amplitude=0.01,
    frequency_start=1e4,
    frequency_end=1.0,
    points_per_decade=5,
    measures_per_point=3,
)


def test_a_load_is_a_ladder_of_currents_from_the_present_voltage():
    values = compiled.parameters(replace(segment(LOAD), voltage=3.4))
    currents, edges = values["CPLIMIT:0:ISTEP"], values["CPLIMIT:0:TEST1VAL"]
    assert len(currents) == len(edges) == values["CPLIMIT:0:STEPN"] + 1 < 20
    assert currents[0] == pytest.approx(-3.4e-3, rel=5e-3)
    assert currents == sorted(currents)
    assert edges[-1] == 3.3
    assert set(values["CPLIMIT:0:TEST1CONF"]) == {BELOW}
    assert set(values["CPLIMIT:0:EXITCOND"]) == {0}
    assert set(values["CPLIMIT:0:DURSTEP"]) == {compiled.BACKSTOP}
    assert not compiled.is_partial(replace(segment(LOAD), voltage=3.4))


def test_a_load_with_a_long_way_to_go_takes_several_lists():
    far = replace(segment(replace(LOAD, until_voltage=None)), voltage=3.4)
    assert len(compiled.parameters(far)["CPLIMIT:0:ISTEP"]) == 20
    assert compiled.is_partial(far)


def test_a_ramp_fills_a_technique_and_stops_at_the_windows_edge_or_its_own_voltage():
    assert [technique.name for technique in listed.techniques([CHARGE, RAMP])] == ["CPLIMIT"]
    values = compiled.parameters(segment(RAMP))
    assert values["CPLIMIT:0:DURSTEP"] == [30.0] * 20
    assert sum(values["CPLIMIT:0:ISTEP"]) * 30.0 == pytest.approx(0.6)
    assert set(values["CPLIMIT:0:TEST1CONF"]) == {ABOVE}
    assert set(values["CPLIMIT:0:EXITCOND"]) == {2}
    ends = compiled.parameters(segment(replace(RAMP, until_voltage=3.7)))
    assert set(ends["CPLIMIT:0:TEST1VAL"]) == {3.7}
    assert set(ends["CPLIMIT:0:EXITCOND"]) == {1}


def test_scans_that_join_are_ways_of_one_technique():
    (technique,) = listed.techniques([UP, DOWN])
    values = compiled.parameters(segment(UP, DOWN))
    assert technique.name == "CV"
    assert values["CV:0:VSTEP"] == [3.0, 3.6, 3.2, 3.2, 3.2]
    assert values["CV:0:SCANRATE"] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.2])
    assert (values["CV:0:VSINIT"], values["CV:0:SNUM"]) == ([0] * 5, 2)
    assert values["CV:0:REDE"] == pytest.approx(2e-3)
    assert len(listed.techniques([UP, UP])[0].steps) == 1


def test_a_spectrum_is_about_the_voltage_at_its_start_and_never_follows_a_current():
    values = compiled.parameters(segment(REST, SPECTRUM))
    assert (values["PEIS:0:VSINIT"], values["PEIS:0:IVSTEP"]) == (1, 0.0)
    assert (values["PEIS:0:INIFREQ"], values["PEIS:0:FINFREQ"]) == (1e4, 1.0)
    assert (values["PEIS:0:NFREQ"], values["PEIS:0:NAVRG"], values["PEIS:0:SWEEP"]) == (21, 3, 0)
    assert listed.lengths([REST, SPECTRUM]) == [2]
    assert listed.lengths([CHARGE, SPECTRUM]) == [1, 1]


def test_a_block_that_is_repeated_is_repeated_by_the_instrument():
    pulses = [replace(step, cycle_number=n) for n in range(1, 51) for step in (BLIND, REST)]
    assert listed.lengths([*pulses, CHARGE]) == [100, 1]
    values = compiled.parameters(segment(*pulses))
    assert compiled.technique_names(segment(*pulses)) == "cplimit,ocv,loop"
    assert (values["LOOP:0:NLOOP"], values["LOOP:0:PROT"]) == (49, 0)
    held = listed.listing(pulses)
    assert [held.position(technique=k % 2, number=0, loop=k // 2) for k in range(100)] == list(
        range(100)
    )


def test_blocks_that_differ_are_not_repeated():
    changing = [step for n in range(1, 4) for step in (replace(BLIND, current=-1e-3 * n), REST)]
    assert listed.lengths(changing) == [2, 2, 2]
    assert listed.listing([REST] * 600).n_blocks == listed.MOST_LISTED


def test_what_the_instrument_cannot_do_is_said_all_at_once():
    bad = [
        replace(SPECTRUM, amplitude=None),
        replace(SPECTRUM, frequency_start=1e9),
        replace(UP, scan_rate=None),
        replace(RAMP, duration=None),
        replace(LOAD, resistance=0.0),
    ]
    found = compiled.faults([REST, *bad, *bad])
    assert len(found) == 5
    for part in ("amplitude in V", "outside the instrument", "scan_rate", "ramp takes", "ohm"):
        assert any(part in fault for fault in found), part
