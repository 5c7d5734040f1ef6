import json
import math
from itertools import pairwise

import pytest
from aurora_unicycler import CyclingProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import Protocol, Step, StepType, expected_duration
from battbeam.experiment.protocol_compile import frequencies
from battbeam.experiment.protocol_presets import PRESETS
from battbeam.experiment.protocol_steps import PRIMITIVES, c_rate_from_text

PASSPORT = CellPassport.read(EXAMPLE)
REST = {"step": "open_circuit_voltage", "until_time_s": 60}
RESISTANCE = {"step": "constant_resistance", "resistance_ohm": 1000, "until_voltage_V": 2.6}
RAMP = {"step": "current_ramp", "start_rate_C": 0, "end_current_mA": 2.0, "until_time_s": 100}
SCAN = {
    "step": "voltage_scan",
    "start_voltage_V": 3.0,
    "end_voltage_V": 3.8,
    "scan_rate_mV_per_s": 0.5,
}
SPECTRUM = {
    "step": "impedance_spectroscopy",
    "amplitude_V": 0.01,
    "start_frequency_Hz": 1e4,
    "end_frequency_Hz": 0.1,
    "points_per_decade": 5,
}
WARM = {"step": "temperature", "temperature_degC": 35}
GITT = {"step": "gitt", "rate_C": "C/20", "pulse_time_s": 1800, "rest_time_s": 7200, "count": 20}
PITT = {
    "step": "pitt",
    "start_voltage_V": 3.3,
    "end_voltage_V": 3.35,
    "voltage_step_mV": 20,
    "until_time_s": 3600,
    "until_rate_C": 0.01,
}
PULSES = {
    "step": "current_pulse",
    "rate_C": 1,
    "pulse_time_s": 10,
    "rest_time_s": 40,
    "count": 3,
}
WINDOW = {"max_voltage_V": 3.8, "min_voltage_V": 2.6}
FORMATION = {"step": "formation", **WINDOW, "hold_until_rate_C": "C/50", "rest_time_s": 600}
RATE_TEST = {"step": "rate_test", **WINDOW, "rates_C": ["C/5", 1, 2], "charge_rate_C": "C/5"}
VOLTAMMETRY = {
    "step": "cyclic_voltammetry",
    "start_voltage_V": 3.2,
    "first_vertex_V": 3.8,
    "second_vertex_V": 2.6,
    "scan_rate_mV_per_s": 0.1,
    "cycles": 2,
}
EVERYTHING = [RESISTANCE, RAMP, SCAN, SPECTRUM, WARM, GITT, PITT, PULSES, FORMATION, RATE_TEST]


def protocol(*method, **header):
    return Protocol.read({"record": {"time_s": 10}, "method": list(method), **header})


def faults(*method, **header):
    return protocol(*method, **header).faults(PASSPORT)


def steps(*method):
    return protocol(*method).compile(PASSPORT).steps


def test_every_step_type_compiles_from_one_protocol():
    run = steps(*EVERYTHING, VOLTAMMETRY)
    assert {step.type for step in run} == set(StepType)
    for step in run:
        assert Step.from_document(json.loads(json.dumps(step.to_document()))) == step


def test_the_names_of_plain_steps_are_those_of_what_runs():
    assert set(PRIMITIVES) == set(StepType)


def test_a_resistance_discharges():
    (step,) = steps(RESISTANCE)
    assert (step.resistance, step.until_voltage, step.direction) == (1000, 2.6, -1)


def test_a_ramp_goes_from_one_current_to_the_other():
    (step,) = steps(RAMP)
    assert (step.current, step.current_end) == (0, pytest.approx(2e-3))
    assert (step.duration, step.direction) == (100, 1)
    (through,) = steps({**RAMP, "start_rate_C": "D/2"})
    assert through.direction == 0


def test_a_scan_takes_as_long_as_its_rate_says():
    (step,) = steps(SCAN)
    assert (step.voltage, step.voltage_end, step.scan_rate) == (3.0, 3.8, 5e-4)
    assert step.duration == pytest.approx(1600)


def test_a_spectrum_knows_its_frequencies():
    (step,) = steps(SPECTRUM)
    found = frequencies(step)
    assert len(found) == 26
    assert (found[0], found[-1]) == (1e4, 0.1)
    ratios = [high / low for high, low in pairwise(found)]
    assert ratios == pytest.approx([10**0.2] * 25)


def test_pulses_alternate_with_rests_or_with_another_current():
    run = steps(PULSES)
    assert [step.type for step in run] == [StepType.CONSTANT_CURRENT, StepType.REST] * 3
    assert [step.duration for step in run] == [10, 40] * 3
    run = steps({**PULSES, "base_rate_C": "D/4"})
    assert [step.current for step in run] == pytest.approx([2.9e-3, -0.725e-3] * 3)


def test_gitt_relaxes_after_every_pulse():
    run = steps({**GITT, "until_voltage_rate_mV_per_h": 2})
    assert len(run) == 40
    assert run[0].current == pytest.approx(0.145e-3)
    assert (run[1].duration, run[1].until_voltage_rate) == (7200, 2e-3)
    assert {step.index for step in run} == {0}
    by_charge = {k: v for k, v in GITT.items() if k != "pulse_time_s"}
    (first, *_) = steps({**by_charge, "pulse_charge_fraction": 0.05})
    assert (first.until_charge, first.duration) == (pytest.approx(0.145), None)


def test_pitt_is_a_staircase_with_both_ends():
    run = steps(PITT)
    assert [step.voltage for step in run] == [3.3, 3.32, 3.34, 3.35]
    assert [step.direction for step in run] == [0, 1, 1, 1]
    down = steps({**PITT, "start_voltage_V": 3.35, "end_voltage_V": 3.3, "rest_time_s": 60})
    assert [step.voltage for step in down[::2]] == [3.35, 3.33, 3.31, 3.3]
    assert [step.direction for step in down[::2]] == [0, -1, -1, -1]
    assert down[0].until_current == pytest.approx(29e-6)


@given(
    start=st.integers(2500, 3900),
    span=st.integers(-1000, 1000).filter(bool),
    height=st.integers(1, 400),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_stair_of_a_pitt_is_higher_than_asked(start, span, height):
    end = start + span
    step = {**PITT, "start_voltage_V": start / 1e3, "end_voltage_V": end / 1e3}
    document = {**step, "voltage_step_mV": height}
    voltages = PRESETS["pitt"].model_validate(document).voltages()
    assert (voltages[0], voltages[-1]) == (start / 1e3, end / 1e3)
    stairs = [abs(after - before) for before, after in pairwise(voltages)]
    assert all(0 < stair <= height * 1e-3 + 1e-9 for stair in stairs)
    assert len(stairs) == math.ceil(abs(span) / height)


def test_formation_charges_holds_rests_and_discharges():
    run = steps(FORMATION)
    kinds = [StepType.CONSTANT_CURRENT, StepType.CONSTANT_VOLTAGE, StepType.REST]
    assert [step.type for step in run] == [*kinds, kinds[0], kinds[2]] * 2
    assert [step.cycle_number for step in run] == [1] * 5 + [2] * 5
    assert run[0].current == pytest.approx(0.29e-3)


def test_a_rate_test_discharges_at_every_rate():
    run = steps(RATE_TEST)
    down = [step.current for step in run if step.current < 0]
    assert down == pytest.approx([-0.58e-3] * 3 + [-2.9e-3] * 3 + [-5.8e-3] * 3)
    assert [step.current for step in run if step.current > 0] == pytest.approx([0.58e-3] * 9)
    assert run[-1].cycle_number == 9


def test_a_voltammogram_is_scans_that_join():
    run = steps(VOLTAMMETRY)
    assert [(step.voltage, step.voltage_end) for step in run] == [
        (3.2, 3.8),
        (3.8, 2.6),
        (2.6, 3.2),
    ] * 2
    assert [step.cycle_number for step in run] == [1, 1, 2, 2, 2, 3]


def test_further_endings_reach_the_steps():
    current = {"step": "constant_current", "rate_C": 1}
    (step,) = steps({**current, "until_charge_fraction": 0.1})
    assert step.until_charge == pytest.approx(0.29)
    (step,) = steps({**current, "until_charge_mAh": 0.2})
    assert step.until_charge == 0.2
    (step,) = steps({**current, "until_voltage_rate_mV_per_h": 5})
    assert step.until_voltage_rate == 5e-3
    (step,) = steps(
        {"step": "constant_voltage", "voltage_V": 3.5, "until_current_rate_mA_per_h": 0.1}
    )
    assert step.until_current_rate == 1e-4
    (step,) = steps({**SCAN, "until_charge_mAh": 0.5})
    assert step.until_charge == 0.5


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ({**RESISTANCE, "resistance_ohm": 100}, "would draw up to 39 mA"),
        ({**RESISTANCE, "resistance_ohm": -1}, "resistance_ohm: Input should be greater than 0"),
        ({"step": "constant_resistance", "resistance_ohm": 1e3}, "needs an end: until_time_s"),
        ({**RAMP, "end_current_mA": 11}, "current 11 mA is beyond the largest allowed, 10 mA"),
        ({**RAMP, "end_rate_C": 1}, "give either end_rate_C or end_current_mA"),
        ({**RAMP, "end_current_mA": 0}, "start and end are the same"),
        ({**RAMP, "start_rate_C": -1, "until_voltage_V": 3}, "of a ramp through zero"),
        ({**SCAN, "end_voltage_V": 4.1}, "end_voltage_V 4.1 V is outside the cell's window"),
        ({**SCAN, "end_voltage_V": 0}, "end_voltage_V 0 V is outside the cell's window"),
        ({**SCAN, "end_voltage_V": 3.0}, "Start and end voltage must be different"),
        ({**SPECTRUM, "amplitude_V": -0.01}, "amplitude_V must lie in 0 to 0.7 V, got -0.01 V"),
        (
            {**SPECTRUM, "amplitude_V": None, "amplitude_mA": 0.1},
            "galvanostatic spectra cannot be run",
        ),
        ({**SPECTRUM, "drift_correction": True}, "drift_correction cannot be run"),
        ({**WARM, "temperature_degC": 500}, "less than or equal to 200"),
        ({**GITT, "pulse_charge_fraction": 0.1}, "give either pulse_time_s or pulse_charge"),
        ({**GITT, "count": 2000}, "2000 pulses pass 145 mAh, the cell's nominal capacity is 2.9"),
        ({**GITT, "rate_C": 5, "pulse_time_s": 9}, "current 14.5 mA is beyond the largest allowed"),
        ({**GITT, "rate_C": 0}, "rate_C or current_mA must be set"),
        ({**PITT, "voltage_step_mV": 0.02}, "must be 1 to 1000 stairs"),
        ({**PITT, "end_voltage_V": 4.0}, "end_voltage_V 4 V is outside the cell's window"),
        ({**FORMATION, "min_voltage_V": 3.9}, "min_voltage_V must be below max_voltage_V"),
        ({**FORMATION, "max_voltage_V": 4.0}, "max_voltage_V 4 V is outside the cell's window"),
        ({**RATE_TEST, "rates_C": [1, 8]}, "current -23.2 mA is beyond the largest allowed"),
        ({**RATE_TEST, "rates_C": []}, "rates_C must hold at least one rate"),
        ({**RATE_TEST, "rates_C": ["C/0"]}, "a C-rate cannot be divided by zero"),
        ({**RATE_TEST, "charge_rate_C": "fast"}, "a C-rate is a number or text such as C/10"),
        ({**VOLTAMMETRY, "second_vertex_V": 3.8}, "the two vertices must differ"),
        (
            {
                "step": "constant_current",
                "rate_C": 1,
                "until_charge_mAh": 1,
                "until_charge_fraction": 1,
            },
            "give until_charge_mAh or until_charge_fraction, not both",
        ),
    ],
)
def test_a_wrong_step_is_named(step, fault):
    found = faults(REST, step)
    assert len(found) == 1
    assert fault in found[0]
    assert found[0].startswith("step 1")


def test_a_temperature_stays_within_the_cells_limits():
    limits = {**EXAMPLE["limits"], "temperature_max": 30.0}
    passport = CellPassport.read({**EXAMPLE, "limits": limits})
    (found,) = protocol(WARM).faults(passport)
    assert "temperature_degC 35 is outside the cell's limits, none to 30 degC" in found


def test_presets_unroll_within_the_limit_of_steps():
    loop = {"step": "loop", "loop_to": 1, "cycle_count": 1000}
    assert "more than 10000 steps" in faults(PITT, GITT, loop)[0]


def test_what_is_left_of_a_ramp_and_of_a_scan_begins_where_it_was():
    (ramp,) = steps(RAMP)
    left = ramp.after(25.0)
    assert (left.current, left.current_end) == (pytest.approx(0.5e-3), pytest.approx(2e-3))
    assert left.duration == 75
    (scan,) = steps({**SCAN, "start_voltage_V": 3.8, "end_voltage_V": 3.0})
    left = scan.after(400.0)
    assert left.voltage == pytest.approx(3.6)
    assert left.duration == pytest.approx(1200)
    assert scan.after(1600.0) is None
    assert ramp.after(100.0) is None


def test_charge_that_has_passed_is_not_asked_for_again():
    (step,) = steps({"step": "constant_current", "rate_C": -1, "until_charge_mAh": 0.5})
    assert step.after(100.0, -0.2).until_charge == pytest.approx(0.3)
    assert step.after(100.0, 0.5) is None


def test_expected_durations_of_all_types():
    def seconds(step, state_of_charge=0.5):
        return expected_duration(steps(step), passport=PASSPORT, state_of_charge=state_of_charge)

    assert seconds(RAMP) == 100
    assert seconds(SCAN) == pytest.approx(1600)
    assert seconds(PULSES) == 150
    assert seconds(GITT) == 20 * 9000
    assert seconds({"step": "constant_current", "rate_C": 1, "until_charge_fraction": 0.1}) == (
        pytest.approx(360)
    )
    # Half of 2.9 mAh through 1 kohm at 3.2 V.
    assert seconds(RESISTANCE) == pytest.approx(1.45 / 3.2 * 3600)
    # The lowest decades take nearly all of it: sum of 2 / f.
    assert seconds(SPECTRUM) == pytest.approx(2 * 10 / (1 - 10**-0.2), rel=1e-3)
    assert 0 < seconds(WARM) <= 7200


@pytest.mark.parametrize("value", ["C/10", "D/2", "1/5", "2C", "0.3", 0.3, "-C/4", " C / 3 ", "3D"])
def test_c_rates_are_read_as_unicycler_reads_them(value):
    model = CyclingProtocol.from_dict(
        {
            "record": {"time_s": 1},
            "sample": {"capacity_mAh": 1},
            "method": [{"step": "constant_current", "rate_C": 1, "until_time_s": 1}],
        }
    )
    kind = type(model.method[0])
    if value in ("2C", "-C/4", "3D"):
        assert c_rate_from_text(value) == {"2C": 2.0, "-C/4": -0.25, "3D": -3.0}[value]
        return
    assert c_rate_from_text(value) in (
        kind(rate_C=value, until_time_s=1).rate_C,
        pytest.approx(kind(rate_C=value, until_time_s=1).rate_C),
        value,
    )


def test_a_protocol_is_read_from_yaml(tmp_path):
    path = tmp_path / "protocol.yaml"
    path.write_text(
        """
# What a visitor writes.
record: {time_s: 10}
method:
  - {step: tag, tag: start}
  - {step: constant_current, rate_C: C/2, until_voltage_V: 3.8}
  - {step: constant_current, rate_C: D/2, until_charge_mAh: 1e-1}
  - {step: loop, loop_to: start, cycle_count: 2}
"""
    )
    run = Protocol.read(path).compile(PASSPORT).steps
    assert [step.index for step in run] == [1, 2, 1, 2]
    assert run[1].until_charge == 0.1


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("p.yaml", "method: [", "not YAML"),
        ("p.yml", "record: 1\nrecord: 2", "'record' stands twice in one object"),
        ("p.yml", "!!python/object/apply:os.getcwd []", "not YAML"),
        ("p.json", '{"record": 1, "record": 2}', "'record' stands twice in one object"),
        ("p.yaml", "- 1", "must hold an object, holds list"),
        ("p.json", "\udcff", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_a_protocol_says_why(tmp_path, name, text, fault):
    path = tmp_path / name
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PreflightError, match=fault):
        Protocol.read(path)


def test_yaml_may_refer_to_what_stands_above(tmp_path):
    path = tmp_path / "protocol.yaml"
    path.write_text(
        "record: {time_s: 1}\n"
        "method:\n"
        "  - &rest {step: open_circuit_voltage, until_time_s: 60}\n"
        "  - {<<: *rest, until_time_s: 120}\n"
    )
    assert [step.duration for step in Protocol.read(path).compile(PASSPORT).steps] == [60, 120]
