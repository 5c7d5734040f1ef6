import json
import math

import pytest
from aurora_unicycler import CyclingProtocol

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport, Window
from battbeam.experiment.protocol import Protocol, Step, StepType, expected_duration

PASSPORT = CellPassport.read(EXAMPLE)
TAG = {"step": "tag", "tag": "start"}
REST = {"step": "open_circuit_voltage", "until_time_s": 60}
CHARGE = {"step": "constant_current", "rate_C": "C/2", "until_voltage_V": 3.8}
HOLD = {"step": "constant_voltage", "voltage_V": 3.8, "until_rate_C": 0.05}
DISCHARGE = {"step": "constant_current", "rate_C": "D/2", "until_voltage_V": 2.6}


def protocol(*method, **header):
    return Protocol.read({"record": {"time_s": 10}, "method": list(method), **header})


def faults(*method, **header):
    return protocol(*method, **header).faults(PASSPORT)


def steps(*method):
    return protocol(*method).compile(PASSPORT).steps


def loop(to, count):
    return {"step": "loop", "loop_to": to, "cycle_count": count}


def test_c_rates_become_amperes_and_positive_charges():
    charge, hold, discharge = steps(CHARGE, HOLD, DISCHARGE)
    assert charge.current == pytest.approx(1.45e-3)
    assert discharge.current == pytest.approx(-1.45e-3)
    assert hold.until_current == pytest.approx(0.145e-3)
    assert (charge.direction, hold.direction, discharge.direction) == (1, 1, -1)


def test_a_rate_counts_before_a_current_as_in_unicycler():
    (step,) = steps({**CHARGE, "current_mA": 9.0})
    assert step.current == pytest.approx(1.45e-3)
    (step,) = steps({"step": "constant_current", "current_mA": -2.0, "until_time_s": 10})
    assert step.current == pytest.approx(-2e-3)


def test_loops_nest_and_count_all_passes():
    method = [TAG, REST, {"step": "tag", "tag": "inner"}, CHARGE, DISCHARGE]
    run = steps(*method, loop("inner", 2), loop("start", 3))
    assert [step.index for step in run] == [1, 3, 4, 3, 4] * 3


def test_loops_go_to_step_numbers_too():
    assert [step.index for step in steps(REST, CHARGE, DISCHARGE, loop(2, 2))] == [0, 1, 2, 1, 2]


def test_a_cycle_begins_with_the_first_currents_sign():
    run = steps(TAG, CHARGE, HOLD, DISCHARGE, REST, loop("start", 3))
    assert [step.cycle_number for step in run] == [1] * 4 + [2] * 4 + [3] * 4


def test_a_protocol_that_fits_has_no_faults():
    assert faults(TAG, REST, CHARGE, HOLD, DISCHARGE, loop("start", 3)) == []


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ({**CHARGE, "until_voltage_V": 4.5}, "until_voltage_V 4.5 V is outside the cell's window"),
        ({**HOLD, "voltage_V": 1.0}, "voltage_V 1 V is outside the cell's window, 2.5 to 3.9 V"),
        ({**CHARGE, "rate_C": 10}, "current 29 mA is beyond the largest allowed, 10 mA"),
        ({"step": "constant_current", "rate_C": 1}, "needs an end: until_time_s, until_voltage_V"),
        ({"step": "constant_voltage", "voltage_V": 3.5}, "needs an end: until_time_s, until_rate"),
        ({"step": "constant_current", "until_time_s": 1}, "rate_C or current_mA must be set"),
        ({**REST, "until_time_s": -5}, "greater than 0"),
        ({**CHARGE, "until_time_s": -5}, "until_time_s must be positive, got -5.0 s"),
        ({**REST, "until_time_s": math.inf}, "until_time_s must be finite, got inf"),
        ({**REST, "colour": 1}, "colour: Extra inputs are not permitted"),
        ({"step": "magic"}, "unknown step type 'magic'"),
        ({**CHARGE, "rate_C": "C/0"}, "division by zero"),
        ({**CHARGE, "rate_C": {}}, "constant_current"),
        ({}, "needs a 'step' type"),
        (loop("nowhere", 2), "there is no tag 'nowhere'"),
        (loop(7, 2), "goes nowhere"),
    ],
)
def test_a_wrong_step_is_named(step, fault):
    found = faults(REST, step)
    assert len(found) == 1
    assert fault in found[0]
    assert found[0].startswith("step 1")


def test_every_fault_is_found_at_once():
    wrong = [{**CHARGE, "rate_C": 50, "until_voltage_V": 5}, {"step": "magic"}, loop("x", 2)]
    assert len(faults(*wrong, record={"time_s": -1})) == 5


def test_a_loop_over_nothing_goes_nowhere():
    assert "goes nowhere" in faults(REST, TAG, loop("start", 2))[0]
    assert "stands 2 times" in faults(TAG, TAG, REST)[0]


def test_loops_that_cross_are_refused():
    inner = {"step": "tag", "tag": "inner"}
    method = [TAG, REST, inner, CHARGE, loop("start", 2), DISCHARGE, loop("inner", 2)]
    (found,) = faults(*method)
    assert found.startswith("step 6 (loop): crosses the loop of step 4")
    assert faults(TAG, REST, inner, CHARGE, loop("inner", 2), loop("start", 2)) == []


def test_a_protocol_without_a_step_does_nothing():
    assert "does anything" in faults(TAG)[0]
    assert "method is missing" in Protocol.read({"record": {"time_s": 1}}).faults(PASSPORT)[0]


def test_too_long_a_protocol_is_a_slip():
    assert "more than 10000" in faults(TAG, CHARGE, DISCHARGE, loop("start", 10_000_000))[0]


def test_a_capacity_of_its_own_is_questioned():
    assert "by which C-rates count" in faults(CHARGE, sample={"capacity_mAh": 3.5})[0]
    assert faults(CHARGE, sample={"capacity_mAh": 2.9}) == []


def test_a_protocols_own_safety_narrows_the_window_and_bounds_the_charge():
    safety = {"max_voltage_V": 3.85, "max_current_mA": 5, "max_capacity_mAh": 2, "delay_s": 5}
    compiled = protocol(CHARGE, safety=safety).compile(PASSPORT)
    assert compiled.window == Window(2.5, 3.85, 0.005)
    assert (compiled.charge_max, compiled.delay) == (2, 5)
    bare = protocol(CHARGE).compile(PASSPORT)
    assert (bare.charge_max, bare.delay) == (None, 0)


def test_the_smaller_limit_of_charge_counts():
    limits = {**EXAMPLE["limits"], "charge_max": 1.5}
    bounded = CellPassport.read({**EXAMPLE, "limits": limits})
    assert protocol(CHARGE).compile(bounded).charge_max == 1.5
    assert protocol(CHARGE, safety={"max_capacity_mAh": 2}).compile(bounded).charge_max == 1.5
    assert protocol(CHARGE, safety={"max_capacity_mAh": 1}).compile(bounded).charge_max == 1


def test_a_protocol_that_breaks_its_own_safety_is_refused():
    assert "2.5 to 3.7 V" in faults(CHARGE, safety={"max_voltage_V": 3.7})[0]
    own = {"min_current_mA": -1, "max_current_mA": 5}
    (found,) = faults(CHARGE, DISCHARGE, safety=own)
    assert "current -1.45 mA is outside the protocol's own safety, -1 to 5 mA" in found
    assert (
        "safety.max_voltage_V must be finite"
        in faults(CHARGE, safety={"max_voltage_V": math.nan})[0]
    )


def test_a_window_from_outside_counts_too():
    assert "2.5 to 3.7 V" in protocol(CHARGE).faults(PASSPORT, Window(2.0, 3.7, 1.0))[0]


def test_compiling_refuses_what_has_faults():
    with pytest.raises(PreflightError, match="protocol: 1 fault"):
        protocol({**CHARGE, "rate_C": 10}).compile(PASSPORT)


def test_protocols_are_read_from_files_and_from_unicycler(tmp_path):
    path = tmp_path / "protocol.json"
    with pytest.raises(PreflightError, match="the file is missing"):
        Protocol.read(path)
    path.write_text("nonsense")
    with pytest.raises(PreflightError, match="not JSON"):
        Protocol.read(path)
    path.write_text("3")
    with pytest.raises(PreflightError, match="must hold an object"):
        Protocol.read(path)
    path.write_text(json.dumps(dict(protocol(CHARGE).document)))
    model = CyclingProtocol.from_json(path)
    assert Protocol.read(path).compile(PASSPORT) == Protocol.read(model).compile(PASSPORT)


def test_expected_duration_fills_and_empties_the_cell():
    run = steps(REST, CHARGE, DISCHARGE)
    seconds = expected_duration(run, passport=PASSPORT, state_of_charge=0.0)
    assert seconds == pytest.approx(60 + 7200 + 7200)
    assert expected_duration(run[1:2], passport=PASSPORT, state_of_charge=0.5) == 3600


def test_a_step_survives_being_written_down():
    for step in steps(REST, CHARGE, HOLD, DISCHARGE):
        assert Step.from_document(json.loads(json.dumps(step.to_document()))) == step
    assert steps(REST)[0].type is StepType.REST
