import json
import xml.etree.ElementTree as ET

import pytest
from aurora_unicycler import CyclingProtocol

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.protocol_export import ExportFormat, export_protocol
from battbeam.experiment.protocol_faults import parsed_steps
from battbeam.experiment.protocol_plain import RAMP_STAIRS, plain_method

PASSPORT = CellPassport.read(EXAMPLE)
REST = {"step": "open_circuit_voltage", "until_time_s": 60}
CHARGE = {"step": "constant_current", "rate_C": "C/2", "until_voltage_V": 3.8}
HOLD = {"step": "constant_voltage", "voltage_V": 3.8, "until_rate_C": 0.05}
DISCHARGE = {"step": "constant_current", "rate_C": "D/2", "until_voltage_V": 2.6}
LOW_HOLD = {"step": "constant_voltage", "voltage_V": 2.6, "until_current_mA": 0.1}
CYCLE = {"step": "tag", "tag": "cycle"}
AGAIN = {"step": "loop", "loop_to": "cycle", "cycle_count": 3}
GITT = {
    "step": "gitt",
    "rate_C": "C/20",
    "pulse_charge_fraction": 0.05,
    "rest_time_s": 3600,
    "count": 4,
}
RAMP = {"step": "current_ramp", "start_rate_C": 0, "end_rate_C": 1, "until_time_s": 100}
SCAN = {
    "step": "voltage_scan",
    "start_voltage_V": 3.0,
    "end_voltage_V": 3.2,
    "scan_rate_mV_per_s": 1,
}
SPECTRUM = {
    "step": "impedance_spectroscopy",
    "amplitude_V": 0.01,
    "start_frequency_Hz": 1e4,
    "end_frequency_Hz": 0.1,
}
WARM = {"step": "temperature", "temperature_degC": 35}
RESISTANCE = {"step": "constant_resistance", "resistance_ohm": 1000, "until_voltage_V": 2.6}
PLAIN = [CYCLE, REST, CHARGE, HOLD, DISCHARGE, LOW_HOLD, AGAIN]
#: Beside rest, current, voltage and loops.
TAKES = {
    ExportFormat.BIOLOGIC: [SCAN, SPECTRUM],
    ExportFormat.NEWARE: [SCAN],
    ExportFormat.TOMATO: [],
    ExportFormat.PYBAMM: [],
    ExportFormat.BATTINFO: [SCAN, SPECTRUM],
}


def protocol(*method, **header):
    return Protocol.read({"record": {"time_s": 10}, "method": list(method), **header})


def exported(format, *method, **header):
    return export_protocol(protocol(*method, **header), PASSPORT, format=format)


def strings(*method, **header):
    return json.loads(exported("pybamm", *method, **header).text)


@pytest.mark.parametrize("format", ExportFormat)
def test_every_format_says_the_same_steps(format):
    text = exported(format, *PLAIN).text
    if format is ExportFormat.BIOLOGIC:
        rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
        assert rows["ctrl_type"] == ["Rest", "CC", "CV", "CC", "CV", "Loop"]
        assert rows["ctrl1_val"][:4] == ["1.450", "3.800", "-1.450", "2.600"]
    elif format is ExportFormat.NEWARE:
        steps = ET.fromstring(text).find(".//Step_Info")
        kinds = [step.get("Step_Type") for step in steps]
        assert kinds == ["4", "1", "3", "2", "19", "5", "6"]
        currents = [float(each.get("Value")) for each in steps.iter("Curr")]
        assert currents == pytest.approx([1.45, 1.45, 1.45, 1.45])
    elif format is ExportFormat.TOMATO:
        method = json.loads(text)["method"]
        assert [step.get("current") for step in method] == [
            None,
            1.45e-3,
            None,
            -1.45e-3,
            None,
            None,
        ]
        assert method[2]["limit_current_min"] == "0.05C"
        assert float(method[4]["limit_current_max"].rstrip("D")) == pytest.approx(0.1 / 2.9)
        assert (method[5]["goto"], method[5]["n_gotos"]) == (0, 2)
    elif format is ExportFormat.PYBAMM:
        once = [
            "Rest for 60.0 seconds",
            "Charge at 1.45 mA until 3.8 V",
            "Hold at 3.8 V until 0.145 mA",
            "Discharge at 1.45 mA until 2.6 V",
            "Hold at 2.6 V until 0.1 mA",
        ]
        assert json.loads(text) == once * 3
    else:
        assert "IterativeWorkflow" in text
        for kind in ("ConstantCurrentCharging", "ConstantCurrentDischarging", "VoltageHold"):
            assert text.count(f'"{kind}"') >= 1


def test_a_plain_protocol_is_exported_as_unicycler_itself_would():
    document = {"record": {"time_s": 10}, "method": PLAIN, "sample": {"capacity_mAh": 2.9}}
    document = json.loads(json.dumps(document))
    theirs = CyclingProtocol.from_dict(document, sample_name=PASSPORT.cell)
    assert exported("biologic", *PLAIN).text == theirs.to_biologic_mps()


@pytest.mark.parametrize("format", ExportFormat)
def test_what_a_format_lacks_is_refused_step_by_step_and_the_rest_is_written(format):
    further = [SCAN, SPECTRUM, WARM, RESISTANCE]
    slow_rest = {**REST, "until_voltage_rate_mV_per_h": 1}
    with pytest.raises(PreflightError, match=f"export of the protocol to {format}") as refusal:
        exported(format, *PLAIN, *further, slow_rest)
    kinds = [fault.split("(")[1].split(")")[0] for fault in refusal.value.faults]
    lacking = [
        step["step"]
        for step in further
        if step not in TAKES[format] and step["step"] != "voltage_scan"
    ]
    assert kinds == [*lacking, "open_circuit_voltage"]
    assert exported(format, *PLAIN, *TAKES[format]).text


def test_gitt_is_written_exactly():
    assert strings(GITT) == ["Charge at 0.145 mA for 1 hour", "Rest for 3600.0 seconds"] * 4
    assert exported("neware", GITT).remarks == ()


def test_presets_are_written_as_loops_where_there_are_loops():
    rows = {
        line[:20].strip(): line[20:].split()
        for line in exported("biologic", GITT, PLAIN[2]).text.splitlines()
    }
    assert rows["ctrl_type"] == ["CC", "Rest", "Loop", "CC"]


def test_a_ramp_becomes_a_staircase_of_the_same_charge_and_says_so():
    result = exported("pybamm", RAMP)
    found = json.loads(result.text)
    assert len(found) == RAMP_STAIRS
    currents = [float(text.split()[2]) for text in found]
    assert sum(currents) * 5 == pytest.approx(2.9 / 2 * 100)
    assert (
        "step 0 (current_ramp): written as a staircase of 20 currents of 5 s" in result.remarks[0]
    )
    with pytest.raises(PreflightError, match="there is no ramp"):
        export_protocol(protocol(RAMP), PASSPORT, format="pybamm", approximate=False)
    through = strings({**RAMP, "start_rate_C": -1})
    assert [text.split()[0] for text in through] == ["Discharge"] * 10 + ["Charge"] * 10


def test_a_scan_becomes_a_staircase_where_there_is_none():
    result = exported("pybamm", SCAN)
    found = json.loads(result.text)
    assert found[0] == "Hold at 3.0025 V for 5.0 seconds"
    assert len(found) == 40
    assert "differs by up to 2.5 mV" in result.remarks[0]
    assert exported("neware", SCAN).remarks == ()


def test_numbered_loops_survive_what_presets_become():
    method = [REST, GITT, CHARGE, {"step": "loop", "loop_to": 2, "cycle_count": 2}]
    gitt = ["Charge at 0.145 mA for 1 hour", "Rest for 3600.0 seconds"] * 4
    assert strings(*method) == [
        "Rest for 60.0 seconds",
        *[*gitt, "Charge at 1.45 mA until 3.8 V"] * 2,
    ]


def test_charge_that_ends_a_constant_current_becomes_its_time():
    assert strings({**CHARGE, "until_charge_mAh": 0.29}) == [
        "Charge at 1.45 mA for 12 minutes or until 3.8 V"
    ]
    with pytest.raises(PreflightError, match="cannot end by charge: give a time instead"):
        exported("neware", {**HOLD, "until_charge_mAh": 0.29})
    with pytest.raises(PreflightError, match="the rate of change of the current"):
        exported("neware", {**HOLD, "until_current_rate_mA_per_h": 0.29})


def test_what_a_format_has_no_place_for_is_said():
    safety = {"max_voltage_V": 3.9, "max_capacity_mAh": 4, "delay_s": 5}
    assert "safety.max_voltage_V is not written: set it on the instrument" in (
        exported("pybamm", CHARGE, safety=safety).remarks
    )
    remarks = exported("biologic", CHARGE, safety=safety).remarks
    assert "safety.max_capacity_mAh is not written: set it on the instrument" in remarks
    assert "safety.delay_s 5 s becomes 1 s, the longest there is" in remarks
    assert exported("neware", CHARGE, safety=safety).remarks == ()
    fine = {**HOLD, "until_rate_C": None, "until_current_mA": 0.0014}
    assert "until_current_mA 0.0014 is rounded to 0.001" in exported("biologic", fine).remarks[0]
    assert "I_range 10 mA" in exported("tomato", CHARGE).remarks[0]
    slow = {**CHARGE, "rate_C": "C/50"}
    assert "PyBaMM ends a step after 24 h" in exported("pybamm", slow).remarks[-1]


def test_what_cannot_run_is_not_written():
    with pytest.raises(PreflightError, match="current 29 mA is beyond"):
        exported("neware", {**CHARGE, "rate_C": 10})
    with pytest.raises(ValueError, match="'arbin' is not a valid ExportFormat"):
        exported("arbin", CHARGE)


def test_what_unicycler_refuses_is_refused():
    # EC-Lab has no current range above 1 A.
    limits = {**EXAMPLE["limits"], "current_max": 10.0}
    strong = CellPassport.read({**EXAMPLE, "limits": limits})
    ampere = protocol({**CHARGE, "rate_C": None, "current_mA": 5000})
    with pytest.raises(PreflightError, match="I range not supported for 5000"):
        export_protocol(ampere, strong, format="biologic")


def test_a_plain_method_runs_as_the_one_it_was_made_of():
    method = [CYCLE, GITT, CHARGE, HOLD, DISCHARGE, AGAIN]
    plain = plain_method(
        parsed_steps(protocol(*method).document)[0],
        PASSPORT,
        further_steps=frozenset(),
        approximate=False,
    )
    ours = protocol(*method).compile(PASSPORT).steps
    theirs = protocol(*plain.steps).compile(PASSPORT).steps
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.type is other.type
        assert (mine.current or 0) == pytest.approx(other.current or 0)
        assert (mine.voltage, mine.until_voltage) == (other.voltage, other.until_voltage)
