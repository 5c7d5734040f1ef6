import json

import numpy as np
import pytest

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport, Window


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
