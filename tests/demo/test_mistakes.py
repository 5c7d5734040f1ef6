"""Mistakes show: one recorded demo is reduced again with each, and a check of that name fails."""

import numpy as np
import pytest

from battbeam.callbacks.xrd_request import Choices
from battbeam.demo.checks import all_passed
from battbeam.demo.replay import geometry_entry, replayed_verdict, shifted_geometry
from battbeam.units import HC

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RESIDUAL = "residual: mean reduced chi squared"


@pytest.fixture(scope="session")
def geometry(recorded):
    return recorded.out / "calibration" / "detector.poni"


def ten_electron_volts_off(geometry, tmp_path):
    wavelength = geometry_entry(geometry, "Wavelength")
    energy = HC / (wavelength * 1e10)
    wrong = HC / (energy + 10.0) * 1e-10
    return shifted_geometry(geometry, tmp_path / "wrong.poni", Wavelength=wrong)


def two_pixels_off(geometry, tmp_path):
    moved = geometry_entry(geometry, "Poni1") + 2 * 0.172e-3
    return shifted_geometry(geometry, tmp_path / "wrong.poni", Poni1=moved)


PHASES_WITHOUT_ALUMINIUM = [{"phase": name} for name in ("LiFePO4", "FePO4", "Li", "steel")]

#: mistake: (what is done, the check that fails, by how many sigma of its own it is off at least).
MISTAKES = {
    "10 eV in the .poni": (
        lambda g, t: {"overrides": {"geometry": str(ten_electron_volts_off(g, t))}},
        "LiFePO4 311, two theta (degree)",
        5.0,
    ),
    "beam centre off by two pixels": (
        lambda g, t: {"overrides": {"geometry": str(two_pixels_off(g, t))}},
        RESIDUAL,
        100.0,
    ),
    "weight fraction taken for moles": (
        lambda g, t: {"overrides": {"options": {"fraction_by": "weight"}}},
        "FePO4 fraction, mean error",
        20.0,
    ),
    "polarization ignored": (
        lambda g, t: {"overrides": {"options": {"polarization": None}}},
        RESIDUAL,
        20.0,
    ),
    "I0 not normalised": (
        lambda g, t: {"normalise": False},
        "active moles, relative to their mean",
        5.0,
    ),
    "state of charge taken at the start": (
        lambda g, t: {"state_of_charge_at": "start"},
        "state of charge at mid-exposure",
        5.0,
    ),
    "one phase missing": (
        lambda g, t: {"overrides": {"phases": PHASES_WITHOUT_ALUMINIUM}},
        RESIDUAL,
        100.0,
    ),
}


def test_without_a_mistake_the_recorded_demo_passes_again(recorded):
    found = replayed_verdict(recorded)
    assert all_passed(found), [check for check in found if not check.passed]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_fails_the_check_of_its_name(
    mistake, recorded, geometry, tmp_path, record_property
):
    change, name, sigmas = MISTAKES[mistake]
    found = replayed_verdict(recorded, Choices(**change(geometry, tmp_path)))
    check = next(check for check in found if check.name == name)
    record_property("sigmas", check.deviation)
    print(f"{mistake}: {name} moves by {check.deviation:.1f} sigma")
    assert not check.passed, check
    assert not all_passed(found)
    assert np.abs(check.deviation) > sigmas
