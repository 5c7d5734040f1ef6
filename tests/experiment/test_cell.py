import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, FULL_EXAMPLE, CellPassport, Window
from battbeam.experiment.cell_parts import orcid_check_digit

DOCS = Path(__file__).parents[2] / "docs"


def passport(**changes):
    return CellPassport.read({**EXAMPLE, **changes})


def test_theoretical_capacity_follows_from_faraday_and_the_molar_mass():
    # 169.9 mAh/g for LiFePO4 and 275.5 mAh/g for LiNi0.8Mn0.1Co0.1O2: textbook values.
    assert passport().theoretical_capacity / 17.67e-3 == pytest.approx(169.9, abs=0.1)
    nmc = passport(chemistry="NMC811")
    assert nmc.theoretical_capacity / 17.67e-3 == pytest.approx(275.5, abs=0.2)


def test_a_chemistry_that_is_not_known_needs_its_molar_mass():
    with pytest.raises(PreflightError, match="chemistry 'LCO' is not known"):
        passport(chemistry="LCO")
    other = passport(chemistry="LCO", molar_mass=97.87)
    assert other.theoretical_capacity / 17.67e-3 == pytest.approx(273.8, abs=0.2)
    assert other.phases == ()


def test_charging_by_the_theoretical_capacity_takes_one_lithium_out():
    cell = passport()
    charge = np.array([0.0, 0.5, 1.0]) * cell.theoretical_capacity
    contents = cell.lithium_content_from_charge(charge)
    assert contents == pytest.approx([0.98, 0.48, -0.02])


def test_state_of_charge_counts_from_the_declared_reference():
    cell = passport(initial_state_of_charge=0.25)
    assert cell.state_of_charge_from_charge(2.9 / 2) == pytest.approx(0.75)
    assert cell.state_of_charge_from_charge(-2.9 / 4) == pytest.approx(0.0)


def test_c_rates_count_by_the_nominal_capacity():
    cell = passport()
    assert cell.current_from_c_rate(0.5) == pytest.approx(1.45e-3)
    assert cell.c_rate_from_current(-2.9e-3) == pytest.approx(-1.0)


def test_every_missing_field_is_named_with_an_example():
    with pytest.raises(PreflightError) as refusal:
        CellPassport.read({})
    assert len(refusal.value.faults) == len(EXAMPLE)
    assert 'chemistry is missing; for example chemistry = "LiFePO4"' in refusal.value.faults


def test_all_faults_come_at_once():
    bad = {**EXAMPLE, "active_mass": -1, "colour": "blue", "limits": {"voltage_min": 3}}
    with pytest.raises(PreflightError) as refusal:
        CellPassport.read(bad)
    faults = "\n".join(refusal.value.faults)
    assert "active_mass: Input should be greater than 0, got -1; for example" in faults
    assert "colour is not a field of a passport" in faults
    assert "limits.voltage_max is missing; for example voltage_max = 3.9" in faults


def test_a_window_upside_down_is_refused():
    limits = {"voltage_min": 4.0, "voltage_max": 3.0, "current_max": 0.01}
    with pytest.raises(PreflightError, match=r"voltage_min 4.0 V must be below voltage_max 3.0 V"):
        passport(limits=limits)


def test_a_passport_is_read_from_a_file(tmp_path):
    path = tmp_path / "passport.json"
    with pytest.raises(PreflightError, match="the file is missing"):
        CellPassport.read(path)
    path.write_text("{")
    with pytest.raises(PreflightError, match="not JSON"):
        CellPassport.read(path)
    path.write_text("[]")
    with pytest.raises(PreflightError, match="must hold an object, holds list"):
        CellPassport.read(path)
    path.write_text(json.dumps(dict(EXAMPLE)))
    assert CellPassport.read(path) == passport()


def test_a_passport_survives_json():
    cell = passport(notes={"operator": "somebody"})
    assert CellPassport.read(cell.model_dump(mode="json")) == cell


def test_two_windows_leave_what_both_allow():
    both = Window(2.0, 4.2, 0.02).within(Window(2.5, 4.5, 0.01))
    assert both == Window(2.5, 4.2, 0.01)


def test_the_full_example_is_a_passport_and_has_every_field():
    full = CellPassport.read(FULL_EXAMPLE)
    assert set(FULL_EXAMPLE) == set(CellPassport.model_fields)
    assert CellPassport.read(json.loads(full.model_dump_json())) == full
    assert full.balance == pytest.approx(3.4 / 2.9)
    assert full.active_loading == pytest.approx(10.0)


def test_layers_touch_where_no_depth_is_said_and_lie_where_it_is():
    thick = {"Li": 0.2, "polyethylene": 0.025, "active": 0.03, "carbon": 0.004, "Al": 0.01}
    bare = [{"material": name, "thickness": t} for name, t in thick.items()]
    touching = passport(stack=bare)
    # Middle to middle: half of either, and whatever lies between.
    expected = [
        -(0.1 + 0.025 + 0.015),
        -(0.0125 + 0.015),
        0.0,
        0.015 + 0.002,
        0.015 + 0.004 + 0.005,
    ]
    assert [layer.depth for layer in touching.stack] == pytest.approx(expected)
    assert CellPassport.read(json.loads(touching.model_dump_json())) == touching
    said = [dict(layer) for layer in bare]
    said[-1]["depth"] = 0.03
    assert [layer.depth for layer in passport(stack=said).stack] == [0, 0, 0, 0, 0.03]
    assert passport(stack=bare[:2]).stack[0].depth == 0


def test_the_published_schema_is_that_of_the_model():
    published = json.loads((DOCS / "reference" / "cell_passport.schema.json").read_text())
    assert published == CellPassport.model_json_schema()
    jsonschema.validate(dict(FULL_EXAMPLE), published)
    jsonschema.validate({**EXAMPLE, "counter_electrode": "Li"}, published)
    with pytest.raises(jsonschema.ValidationError, match="'electrolyte' is a required"):
        jsonschema.validate({k: v for k, v in EXAMPLE.items() if k != "electrolyte"}, published)
    described = published["properties"] | published["$defs"]["Electrolyte"]["properties"]
    assert all(field.get("description") for field in described.values())


@pytest.mark.parametrize(
    "field", ["electrode_area", "active_mass", "nominal_capacity", "electrolyte"]
)
def test_without_these_no_current_flows(field):
    document = {key: value for key, value in EXAMPLE.items() if key != field}
    with pytest.raises(PreflightError, match=rf"{field} is missing; for example {field} = "):
        CellPassport.read(document)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"loading": 12.0}, "loading 12 mg/cm2 is not active_mass over electrode_area, 10 mg/cm2"),
        (
            {"nominal_capacity": 2900.0},
            "is more than active_mass 17.67 mg of LiFePO4 can have, 3.00",
        ),
        (
            {"formulation": {"LiFePO4": 90, "PVDF": 5}},
            "formulation: must sum to 100 wt %, sums to 95",
        ),
        ({"formulation": {"a": 110, "b": -10}}, "formulation.b: Input should be greater than 0"),
        ({"counter_electrode": "graphite"}, "a graphite counter electrode has one of its own"),
        ({"n_electrodes": 3}, "reference_electrode goes with n_electrodes = 3"),
        ({"reference_electrode": {"material": "Li"}}, "reference_electrode goes with n_electrodes"),
        ({"stack_pressure": -1}, "stack_pressure: Input should be greater than or equal to 0"),
        ({"electrolyte": {"composition": "x", "volume": 0}}, "electrolyte.volume: Input should be"),
        ({"electrolyte": {"composition": "not recorded"}}, "electrolyte.composition must say what"),
        (
            {"xray_windows": [{"material": "Be"}]},
            "xray_windows.0.thickness is missing; for example",
        ),
        ({"embargo_until": "next year"}, "embargo_until: Input should be a valid date"),
        ({"people": [{"name": "A"}]}, 'people.0.orcid is missing; for example orcid = "0000-0002'),
        ({"people": [{"name": "A", "orcid": "12"}]}, "an ORCID has the form 0000-0002-1825-0097"),
        (
            {"people": [{"name": "A", "orcid": "0000-0002-1825-0079"}]},
            "the last character of ORCID 0000-0002-1825-0079 must be 0: a digit is mistyped",
        ),
        (
            {"limits": {**EXAMPLE["limits"], "temperature_min": 50, "temperature_max": 45}},
            "temperature_min 50.0 degC must be below temperature_max 45.0 degC",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, fault):
    with pytest.raises(PreflightError) as refusal:
        passport(**changes)
    assert len(refusal.value.faults) == 1
    assert fault in refusal.value.faults[0]


def test_contradictions_come_at_once():
    with pytest.raises(PreflightError) as refusal:
        passport(loading=1.0, nominal_capacity=50.0, n_electrodes=3)
    assert len(refusal.value.faults) == 3


@pytest.mark.parametrize(
    "orcid", ["0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X"]
)
def test_orcids_that_are_known_to_be_right_are_taken(orcid):
    # The three that ORCID's own documentation uses.
    person = {"name": "A", "orcid": f"https://orcid.org/{orcid}"}
    assert passport(people=[person]).people[0].orcid == orcid


@given(st.integers(0, 14), st.integers(0, 9), st.integers(0, 10**15 - 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_one_mistyped_digit_of_an_orcid_is_always_found(place, digit, number):
    digits = f"{number:015d}"
    typed = digits[:place] + str(digit) + digits[place + 1 :]
    same = orcid_check_digit(typed) == orcid_check_digit(digits)
    assert same == (typed == digits)


def test_phases_follow_from_the_chemistry_unless_they_are_given():
    assert passport().phases == ("LiFePO4", "FePO4")
    own = passport(chemistry="LCO", molar_mass=97.87, phases=["O3", "O1"])
    assert (own.phases, own.known_phases) == (("O3", "O1"), ())


@pytest.mark.parametrize("chemistry", ["NMC622", "NMC811", "NMC90", "NCA", "HEC"])
def test_layered_oxides_are_known_with_their_molar_mass(chemistry):
    known = CellPassport.read({**EXAMPLE, "chemistry": chemistry})
    assert known.known_phases == (chemistry,)
    # LiMO2 of Ni, Co and Mn: 96 to 98 g/mol, so 275 to 279 mAh/g.
    assert known.theoretical_capacity / known.active_mass == pytest.approx(0.277, abs=0.003)


def test_layers_of_graphite_are_of_a_cell_with_graphite():
    stack = [
        {"material": name, "thickness": 0.1, "depth": z}
        for name, z in (("counter", -0.2), ("plated", -0.1), ("active", 0.0))
    ]
    graphite = {"material": "graphite", "capacity": 3.4}
    full = CellPassport.read({**EXAMPLE, "stack": stack, "counter_electrode": graphite})
    assert full.known_counter_phases == ("graphite", "LiC18", "LiC12", "LiC6")
    assert CellPassport.read(EXAMPLE).known_counter_phases == ()
    with pytest.raises(PreflightError) as refused:
        CellPassport.read({**EXAMPLE, "stack": stack})
    assert (
        str(refused.value).count("is of a cell with graphite, and counter_electrode is 'Li'") == 2
    )


def test_a_counter_electrodes_material_alone_is_enough_for_lithium():
    assert passport(counter_electrode="Li").counter_electrode.material == "Li"
    assert passport().balance is None


def test_a_passport_out_of_an_old_log_is_read_but_not_mounted():
    old = {key: value for key, value in EXAMPLE.items() if key != "electrolyte"}
    old |= {"counter_electrode": "Li", "n_electrodes": 3}
    logged = CellPassport.logged(old)
    assert logged.state_of_charge_from_charge(2.9) == pytest.approx(1.0)
    assert logged.electrolyte.composition == "not recorded"
    with pytest.raises(PreflightError, match=r"electrolyte\.composition must say what"):
        CellPassport.read(logged.model_dump(mode="json"))
    with pytest.raises(PreflightError, match="logged cell passport"):
        CellPassport.logged({"cell": "x"})


def test_a_passport_is_read_from_yaml(tmp_path):
    path = tmp_path / "passport.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(dict(FULL_EXAMPLE)))))
    assert CellPassport.read(path) == CellPassport.read(FULL_EXAMPLE)
