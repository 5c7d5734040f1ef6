"""What calibrates energies is measured with its foil, and runs are told of what was kept."""

import hashlib

import numpy as np
import pytest

from battbeam.devices.fake_spectroscopy import with_spectroscopy
from battbeam.devices.fakes import fake_beamline
from battbeam.errors import PreflightError
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import xanes
from battbeam.reduction.stored_curves import StoredCurves
from battbeam.reduction.xanes import Standard

GRID = EnergyGrid.of("Ni K", [Region(-20, 20, 10, 1.0)])
CURVE = Standard("x", np.arange(5.0), np.arange(5.0))


@pytest.fixture
def bench(tmp_path):
    return with_spectroscopy(fake_beamline(tmp_path))


@pytest.fixture
def station(bench):
    return Station.of(bench, potentiostat=None)


@pytest.fixture
def stored(tmp_path):
    found = StoredCurves(tmp_path)
    found.write(found.foil("Ni K"), CURVE)
    for name in ("NiO", "LiNiO2"):
        found.write(found.compound(name, "Ni K"), CURVE)
    return found


def test_a_calibration_says_what_is_to_be_kept_and_where(station, engine, documents, tmp_path):
    states = {"Ni K": 3.0}
    engine(
        calibrate_energy(
            [GRID], station, calibration=tmp_path, compound="LiNiO2", oxidation_states=states
        )
    )
    (start,) = documents.of("start")
    assert start["kind"] == "calibration"
    assert start["keeps"] == {
        "foil": True,
        "compound": "LiNiO2",
        "oxidation_states": states,
        "directory": str(tmp_path),
    }
    assert start["foil"] == {"Ni K": "Ni"}
    assert start["reduction"] == {"method": "xanes", "signal": "transmission"}


def test_a_compound_is_put_on_the_energies_of_the_foil_that_was_kept(
    station, engine, documents, stored
):
    engine(
        calibrate_energy(
            [GRID], station, calibration=stored.directory, foil=False, compound="NiOOH"
        )
    )
    (start,) = documents.of("start")
    assert start["reduction"]["edges"] == {"Ni K": {"foil": str(stored.foil("Ni K"))}}


def test_a_run_names_the_files_that_it_is_compared_with_by_their_content(
    station, engine, documents, stored
):
    engine(xanes(GRID, station, reduction=xanes_reduction(stored.directory, [GRID])))
    (start,) = documents.of("start")
    assert set(start["calibration"]) == {
        "foil_Ni_K",
        "standard_NiO_Ni_K",
        "standard_LiNiO2_Ni_K",
    }
    content = stored.foil("Ni K").read_bytes()
    assert start["calibration"]["foil_Ni_K"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_calibration_without_its_foil_is_refused(bench, engine):
    station = Station.of(bench, foil=None)
    with pytest.raises(PreflightError, match="no reference foil of this element is in the beam"):
        engine(calibrate_energy([GRID], station, calibration=bench.calibration))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"foil": False}, "neither the foil nor a compound is to be kept"),
        ({"oxidation_states": {"Co K": 3.0}}, "oxidation state at Co K, which is not measured"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(station, engine, tmp_path, options, told):
    with pytest.raises(PreflightError, match=told):
        engine(calibrate_energy([GRID], station, calibration=tmp_path, **options))


def test_a_reduction_names_what_was_kept_for_its_edges(stored):
    found = xanes_reduction(stored.directory, [GRID, "Co K"], exafs={"Ni K": {"k_range": [3, 10]}})
    assert found["edges"]["Ni K"] == {
        "foil": str(stored.foil("Ni K")),
        "standards": [str(stored.compound(name, "Ni K")) for name in ("LiNiO2", "NiO")],
        "exafs": {"k_range": [3, 10]},
    }
    assert found["edges"]["Co K"] == {}


def test_standards_are_named_in_the_order_that_was_asked_for(stored):
    asked = ["NiO", "LiNiO2"]
    found = xanes_reduction(
        stored.directory, ["Ni K"], standards=asked, combination=True, lag=0.004
    )
    paths = [str(stored.compound(name, "Ni K")) for name in asked]
    assert found["edges"]["Ni K"]["standards"] == paths
    assert found["edges"]["Ni K"]["combination"] is True
    assert found["lag"] == 0.004


def test_a_standard_that_was_not_measured_is_refused_with_what_to_do(stored):
    with pytest.raises(PreflightError, match=r"standard NiOOH is not in .* for Ni K: measure it"):
        xanes_reduction(stored.directory, ["Ni K"], standards=["NiO", "NiOOH"])
