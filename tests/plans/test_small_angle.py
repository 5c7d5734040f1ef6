"""Calibration of a small-angle detector, and what is asked of its frames."""

import json

import numpy as np
import pytest

from battbeam.connection import SmallAngleNotes
from battbeam.devices.fakes import fake_beamline
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.reductions import reductions_of
from battbeam.plans.preflight import reduction_faults
from battbeam.plans.small_angle import (
    also_reduced,
    beam_stop_mask,
    calibrate_saxs,
    keep_small_angle,
    saxs_reduction,
)
from battbeam.plans.spectrum_station import Station
from battbeam.sim.scenario_small_angle import SmallAngle
from battbeam.sim.small_angle import SmallAngleModel

NOTES = SmallAngleNotes(
    distance=3000.0,
    centre=(124.0, 133.0),
    pixel_size=0.344,
    beam_stop=3.0,
    standard_position=(12.0, 6.0),
)
ENERGY = 22163.0


@pytest.fixture(scope="module")
def ring():
    image = SmallAngleModel(SmallAngle(distance=2974.0)).image(None, ENERGY, is_standard=True)
    return np.random.default_rng(1).poisson(5e9 * image).astype(float)


def test_the_ring_of_behenate_gives_geometry_and_the_shadow_of_the_stop(ring, tmp_path):
    found = keep_small_angle(ring, notes=NOTES, energy=ENERGY, calibration=tmp_path / "made")
    told = json.loads(found["document"])
    # A ruler was 26 mm off: a thousandth is left.
    assert told["distance"] == pytest.approx(2974.0, rel=1e-3)
    assert told["centre"] == pytest.approx([125.3, 131.7], abs=0.1)
    mask = np.load(tmp_path / "made" / "saxs_mask.npy")
    # All that the stop hides is left out, and little else.
    assert mask[ring == 0].all()
    assert 1 < mask.sum() / (ring == 0).sum() < 2.5
    assert reduction_faults(saxs_reduction(tmp_path / "made")) == []


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"model": "cubes"}, "model must be one of spheres, peak, none, got 'cubes'"),
        ({"modl": "peak"}, "option modl is not known; there are model, surface"),
        ({"q_range": [0.3, 0.1]}, r"q_range must be two values that ascend.*got \[0.3, 0.1\]"),
        ({"model": "peak"}, "model 'peak' needs a peak_range"),
    ],
)
def test_options_that_are_none_are_refused_when_they_are_asked_for(tmp_path, options, fault):
    with pytest.raises(PreflightError, match=fault):
        saxs_reduction(tmp_path, **options)


def test_a_standard_that_is_not_there_is_said(tmp_path):
    flat = np.random.default_rng(1).poisson(30.0, size=(256, 256)).astype(float)
    with pytest.raises(DeviceError, match="small-angle detector: the ring is seen in 0 of 48"):
        keep_small_angle(flat, notes=NOTES, energy=ENERGY, calibration=tmp_path)


def test_a_beam_stop_is_round_about_the_beam():
    mask = beam_stop_mask((40, 60), (20.0, 30.0), NOTES)
    assert mask.sum() == pytest.approx(np.pi * (1.5 / 0.344 + 1.5) ** 2, rel=0.05)
    assert (mask[20, 30], mask[0, 0]) == (True, False)


def test_a_reduction_beside_another_has_its_files_in_the_start_document(tmp_path):
    (tmp_path / "saxs_dark.npz").write_bytes(b"dark")
    asked = saxs_reduction(tmp_path, surface=True, saturation=1e5)
    said = also_reduced(asked)
    assert reductions_of({"reduction": {"method": "xrd"}, **said}) == {
        "xrd": {"method": "xrd"},
        "saxs": asked,
    }
    assert asked["dark"] == str(tmp_path / "saxs_dark.npz")
    assert said["calibrations"]["saxs"]["dark"]["sha256"]


def test_without_calibration_nothing_moves(tmp_path):
    assert "run calibrate_geometry first" in reduction_faults(saxs_reduction(tmp_path))[0]
    held = fake_beamline(tmp_path)
    plan = calibrate_saxs(
        held.camera,
        beam=held.beam,
        notes=NOTES,
        positions=[(held.sample_stage.x, 12.0)],
        exposure=-1.0,
        energy=0.0,
        calibration=tmp_path,
    )
    with pytest.raises(PreflightError, match="energy must be greater than 0 eV") as refused:
        next(plan)
    assert "exposure must be greater than 0 s" in str(refused.value)


def test_detectors_of_a_station_are_among_its_devices(tmp_path):
    held = fake_beamline(tmp_path)
    station = Station(None, held.monochromator, held.beam, held.clock, detectors=(held.camera,))
    assert held.camera in station.devices
