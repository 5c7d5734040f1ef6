import math
import re

import pytest

from battbeam.sim.parameters import N_INSTANCES, TECHNIQUES
from battbeam.sim.technique import Exit, LimitTest, Step
from battbeam.sim.techniques import technique_list

ABOVE, BELOW, AND, CURRENT = 4, 0, 2, 96


def parameters(**put):
    """Every parameter at its default but those put, as ``CPLIMIT_0_ISTEP=[...]``."""
    values = {
        (technique, instance, name): (
            [parameter.default] if parameter.kind.endswith("s") else parameter.default
        )
        for technique, known in TECHNIQUES.items()
        for instance in range(N_INSTANCES[technique])
        for name, parameter in known.items()
    }
    for key, value in put.items():
        technique, instance, name = key.split("_")
        values[technique, int(instance), name] = value
    return values


def one_step(technique="CPLIMIT", **more):
    value = "ISTEP" if technique.startswith("CP") else "VSTEP"
    put = {f"{technique}_0_{value}": [1e-3], f"{technique}_0_DURSTEP": [100.0]}
    put |= {f"{technique}_0_STEPN": 0} | {f"{technique}_0_{key}": v for key, v in more.items()}
    return parameters(**put)


def test_names_and_sizes_are_those_of_the_database_of_eclab():
    assert {name: 2 if name == "OCV" else 1 for name in TECHNIQUES} == N_INSTANCES
    assert set(TECHNIQUES) == {"OCV", "CP", "CA", "CPLIMIT", "CALIMIT", "CV", "PEIS", "LOOP"}
    assert {name: TECHNIQUES["CPLIMIT"][name].n_most for name in ("ISTEP", "TEST3CONF")} == {
        "ISTEP": 20,
        "TEST3CONF": 20,
    }
    assert TECHNIQUES["CA"]["VSTEP"].n_most == TECHNIQUES["CP"]["DURSTEP"].n_most == 100
    assert set(TECHNIQUES["OCV"]) == {
        "RTT",
        "REDT",
        "REDE",
        "TB",
        "IRANGE",
        "ERANGE",
        "BW",
        "XCTR",
    }
    assert set(TECHNIQUES["LOOP"]) == {"NLOOP", "PROT"}


def test_each_instance_of_a_technique_has_parameters_of_its_own():
    first, second = technique_list("ocv,OCV", parameters(OCV_0_RTT=10.0, OCV_1_RTT=20.0))
    assert first.steps[0].duration == 10.0
    assert second.steps[0].duration == 20.0
    assert first.steps[0].control == "rest"


def test_names_may_be_separated_by_commas_semicolons_and_spaces():
    names = [technique.name for technique in technique_list("ocv; ca cp", _complete())]
    assert names == ["OCV", "CA", "CP"]


def _complete():
    return parameters(CA_0_STEPN=0, CP_0_STEPN=0)


def test_steps_take_their_values_in_order():
    [technique] = technique_list(
        "cplimit",
        parameters(
            CPLIMIT_0_ISTEP=[1e-3, -2e-3],
            CPLIMIT_0_DURSTEP=[10.0, 20.0],
            CPLIMIT_0_VSINIT=[0, 1],
            CPLIMIT_0_EXITCOND=[0, 2],
            CPLIMIT_0_NCYCLES=3,
            CPLIMIT_0_REDT=5.0,
        ),
    )
    assert [step.value for step in technique.steps] == [1e-3, -2e-3]
    assert [step.duration for step in technique.steps] == [10.0, 20.0]
    assert [step.is_relative for step in technique.steps] == [False, True]
    assert [step.exit for step in technique.steps] == [Exit.NEXT_STEP, Exit.STOP]
    assert (technique.n_repeats, technique.record_interval) == (3, 5.0)
    assert technique.record_voltage == math.inf


def test_a_test_is_read_from_its_bits():
    [technique] = technique_list(
        "calimit",
        one_step(
            "CALIMIT",
            TEST1CONF=[1 + ABOVE + AND],
            TEST1VAL=[4.2],
            TEST2CONF=[1 + BELOW + CURRENT],
            TEST2VAL=[1e-4],
        ),
    )
    assert technique.steps[0].tests == (
        LimitTest("voltage", is_above=True, value=4.2, joins_by_and=True),
        LimitTest("current", is_above=False, value=1e-4, joins_by_and=False),
    )


def test_a_test_behind_an_inactive_one_does_not_count():
    [technique] = technique_list("cplimit", one_step(TEST2CONF=[1], TEST2VAL=[3.0]))
    assert technique.steps[0].tests == ()


@pytest.mark.parametrize(
    ("joins_by_and", "voltage", "current", "ended"),
    [
        (False, 4.3, 1.0, True),
        (False, 4.1, 0.0, True),
        (False, 4.1, 1.0, False),
        (True, 4.3, 1.0, False),
        (True, 4.3, 0.0, True),
    ],
)
def test_tests_join_by_or_and_by_and(joins_by_and, voltage, current, ended):
    tests = (
        LimitTest("voltage", is_above=True, value=4.2, joins_by_and=joins_by_and),
        LimitTest("current", is_above=False, value=0.5, joins_by_and=False),
    )
    step = Step("current", 1.0, is_relative=False, duration=1.0, tests=tests)
    assert step.is_ended(voltage=voltage, current=current) is ended


def test_current_is_tested_with_its_sign():
    test = LimitTest("current", is_above=True, value=-1e-4, joins_by_and=False)
    assert test.holds(voltage=3.0, current=-5e-5)
    assert not test.holds(voltage=3.0, current=-5e-4)


@pytest.mark.parametrize(
    ("text", "put", "message"),
    [
        ("", {}, "the list of techniques is empty"),
        ("geis", {}, "unknown technique 'GEIS'; known: OCV"),
        ("ocv,ocv,ocv", {}, "OCV stands more than 2 time(s)"),
        ("cplimit", {"CPLIMIT_0_ISTEP": [1e-3]}, "ISTEP holds 1 value(s) for 2 steps"),
        ("cplimit", {"CPLIMIT_0_STEPN": 20}, "at most 20 steps, got STEPN 20"),
        ("ca", {"CA_0_STEPN": -1}, "STEPN must be a whole number from 0 up, got -1"),
        (
            "ca",
            {"CA_0_STEPN": 0, "CA_0_VSTEP": [math.nan]},
            "CA: VSTEP must be finite, got [nan]",
        ),
        ("ca", {"CA_0_STEPN": 0, "CA_0_DURSTEP": [-1.0]}, "DURSTEP must not be negative"),
        ("ocv", {"OCV_0_RTT": -1.0}, "RTT must be a number from 0 up, got -1.0"),
        (
            "cplimit",
            {"CPLIMIT_0_STEPN": 0, "CPLIMIT_0_EXITCOND": [7]},
            "EXITCOND must be 0, 1 or 2",
        ),
        (
            "cplimit",
            {"CPLIMIT_0_STEPN": 0, "CPLIMIT_0_TEST1CONF": [33]},
            "TEST1CONF 33 of step 0: variable 1; only 0 (voltage) and 3 (current)",
        ),
        ("loop", {}, "LOOP at index 0 must go back to an earlier index, got 0"),
        ("ocv,loop", {"LOOP_0_PROT": 1}, "must go back to an earlier index, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(text, put, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        technique_list(text, parameters(**put))
