import h5py
import numpy as np
import pytest

from battbeam.errors import DeviceError, PreflightError
from battbeam.plans import calibrate
from battbeam.plans.calibrate import calibrate_geometry, keep_dark, measure_dark, summed


@pytest.fixture
def frames(tmp_path):
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["/entry/data/data"] = np.arange(4 * 3 * 2, dtype=np.uint32).reshape(4, 3, 2)
    return path


def test_frames_of_a_train_are_added_up(frames):
    assert summed(frames, 1, 2).tolist() == [[18, 20], [22, 24], [26, 28]]


def test_frames_that_do_not_come_are_missed(frames, monkeypatch):
    monkeypatch.setattr(calibrate, "FRAME_TIMEOUT", 0.1)
    with pytest.raises(DeviceError, match="it holds fewer than 6 frames"):
        summed(frames, 3, 3)
    with pytest.raises(DeviceError, match=r"none.h5: no frames within 0.1 s"):
        summed(frames.with_name("none.h5"), 0, 1)


def test_a_dark_is_kept_with_the_exposure_that_it_took(frames, tmp_path):
    keep_dark(tmp_path / "new" / "dark.npz", frames, 0, 3, 2.0, 1.75e9)
    with np.load(tmp_path / "new" / "dark.npz") as kept:
        assert float(kept["exposure"]) == 6.0
        assert float(kept["time"]) == 1.75e9
        assert kept["counts"].shape == (3, 2)


def test_a_dark_is_measured_behind_the_closed_shutter(fakes, engine, documents, monkeypatch):
    kept = []
    monkeypatch.setattr(calibrate, "keep_dark", lambda *arguments: kept.append(arguments))
    fakes.beam.shutter.set(1).wait(timeout=1)
    dark = fakes.calibration / "dark.npz"
    engine(measure_dark(fakes.detector, beam=fakes.beam, exposure=2.0, dark=dark, n_frames=3))
    assert documents.events()[0]["shutter"] == 0
    assert documents.of("start")[0]["kind"] == "calibration"
    assert kept[0][0] == dark
    assert kept[0][2:5] == (0, 3, 2.0)
    assert kept[0][5] == documents.events()[0]["detector_stamp"]


def calibration(fakes, **options):
    stage, (x, y) = fakes.sample_stage, fakes.standard_position
    return calibrate_geometry(
        fakes.detector,
        beam=fakes.beam,
        positions=[(stage.x, x), (stage.y, y)],
        guess=fakes.guess,
        geometry=fakes.calibration / "detector.poni",
        readables=[stage],
        **{"standard": "LaB6", "exposure": 2.0, "energy": 22163.0, **options},
    )


def test_the_standard_is_measured_in_the_beam_and_the_verdict_written_down(
    fakes, engine, documents, monkeypatch
):
    monkeypatch.setattr(calibrate, "summed", lambda *_: np.zeros((8, 8)))
    found = {"geometry": "a.poni", "instrument": "a.json", "document": "{}"}
    monkeypatch.setattr(calibrate, "keep_geometry", lambda *_, **__: found)
    engine(calibration(fakes))
    assert documents.events()[0]["sample_stage_x"] == 12.0
    assert fakes.sample_stage.x.position == 0.0
    (verdict,) = documents.events("calibration")
    assert verdict["calibration_geometry"] == "a.poni"


def test_a_calibration_that_fails_leaves_the_beamline_safe(fakes, engine, monkeypatch):
    def nothing(*_):
        raise DeviceError("no rings")

    monkeypatch.setattr(calibrate, "summed", nothing)
    with pytest.raises(DeviceError, match="no rings"):
        engine(calibration(fakes))
    assert fakes.beam.shutter.position == 0
    assert fakes.sample_stage.x.position == 0.0


def test_a_standard_and_an_energy_that_cannot_be_are_refused_together(fakes, engine):
    with pytest.raises(PreflightError) as refused:
        engine(calibration(fakes, standard="chalk", energy=-1.0))
    told = str(refused.value)
    assert "standard 'chalk' is none of LaB6, CeO2" in told
    assert "energy must be greater than 0 eV, got -1 eV" in told


def test_a_calibration_with_missing_frames_is_refused(fakes, engine, monkeypatch):
    monkeypatch.setattr("battbeam.devices.frame_counts.LOST_AFTER", 0.02)
    fakes.detector.cam.acquire.sim_set_putter(lambda _value, **_: None)
    with pytest.raises(DeviceError, match=r"1 frame\(s\) asked, 0 arrived"):
        engine(calibration(fakes))
