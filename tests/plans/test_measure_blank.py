import h5py
import numpy as np
import pytest

from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError, PreflightError
from battbeam.plans import measure_blank as module
from battbeam.plans.measure_blank import PatternOf, keep_pattern, measure_blank
from battbeam.plans.measure_end_members import measure_end_member
from battbeam.reduction.xrd_references import MeasuredPattern

TRAIN = FrameTrain(exposure=2.0, n_frames=3)


@pytest.fixture
def frames(tmp_path):
    """Four frames of 10, 11, 12 and 13 counts; 1000 counts before the cell, 300 behind it."""
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        levels = np.arange(10, 14, dtype=np.uint32)[:, None, None]
        file["/entry/data/data"] = np.broadcast_to(levels, (4, 3, 2))
        for name, counts in (("I0", 1000.0), ("IT", 300.0)):
            file[f"/entry/instrument/NDAttributes/{name}"] = np.full(4, counts)
    return path


def test_a_pattern_is_kept_with_its_light_and_its_noise(frames, tmp_path):
    """Twice the dark's exposure: 2 * 4 counts are taken off, with a variance of 4 * 4."""
    dark = tmp_path / "dark.npz"
    np.savez(dark, counts=np.full((3, 2), 4.0), exposure=3.0)
    what = PatternOf(tmp_path / "new" / "blank.npz", dark, transmission_reference=0.5)
    keep_pattern(what, frames, 1, TRAIN, 10.0)
    found = MeasuredPattern.read(what.path)
    assert found.counts[0, 0] == 11 + 12 + 13 - 8
    assert found.variance[0, 0] == 11 + 12 + 13 + 16
    assert found.i0 == 3000.0 - 10.0 * 6.0
    assert found.transmission == pytest.approx(0.6)
    assert np.isnan(found.lithium_content)
    assert [each.name for each in what.path.parent.iterdir()] == ["blank.npz"]


def test_without_a_reference_of_transmission_there_is_none(frames, tmp_path):
    what = PatternOf(tmp_path / "charged.npz", lithium_content=0.3, host="counter")
    keep_pattern(what, frames, 0, TRAIN, 0.0)
    found = MeasuredPattern.read(what.path)
    assert (found.transmission, found.lithium_content, found.host) == (1.0, 0.3, "counter")


def test_frames_without_beam_are_no_pattern(frames, tmp_path):
    what = PatternOf(tmp_path / "blank.npz")
    with pytest.raises(DeviceError, match="no beam was counted beside its frames"):
        keep_pattern(what, frames, 0, TRAIN, 600.0)
    with h5py.File(frames, "r+") as file:
        del file["/entry/instrument/NDAttributes/I0"]
    with pytest.raises(DeviceError, match="no beam was counted beside its frames"):
        keep_pattern(what, frames, 0, TRAIN, 0.0)
    assert not what.path.exists()


@pytest.fixture
def kept(monkeypatch):
    found = []
    monkeypatch.setattr(module, "keep_pattern", lambda *arguments: found.append(arguments))
    return found


def test_an_empty_cell_is_exposed_where_it_stands(fakes, engine, documents, kept, tmp_path):
    stage, blank = fakes.sample_stage, tmp_path / "blank.npz"
    plan = measure_blank(
        fakes.detector,
        beam=fakes.beam,
        exposure=2.0,
        blank=blank,
        n_frames=3,
        positions=[(stage.x, 5.0)],
    )
    engine(plan)
    (event,) = documents.events()
    assert event["sample_stage_x"] == 5.0
    (start,) = documents.of("start")
    assert (start["kind"], start["pattern"]) == ("calibration", str(blank))
    ((what, _, first, train, _),) = kept
    assert (what.path, first, train.n_frames) == (blank, 0, 3)
    assert fakes.beam.shutter.position == 0
    assert stage.x.position != 5.0


def test_a_cell_of_known_content_says_it(fakes, engine, documents, kept, tmp_path):
    plan = measure_end_member(
        fakes.detector,
        beam=fakes.beam,
        exposure=2.0,
        end_member=tmp_path / "charged.npz",
        lithium_content=0.04,
    )
    engine(plan)
    assert documents.of("start")[0]["lithium_content"] == 0.04
    ((what, *_),) = kept
    assert (what.lithium_content, what.host) == (0.04, "working")


def test_a_dark_that_is_not_there_is_refused_before_anything_moves(fakes, engine, tmp_path):
    missing = tmp_path / "dark.npz"
    plan = measure_blank(
        fakes.detector, beam=fakes.beam, exposure=2.0, blank=tmp_path / "b.npz", dark=missing
    )
    with pytest.raises(PreflightError, match=r"dark\.npz: the file is missing"):
        engine(plan)


def test_a_reference_or_a_content_below_nothing_is_refused_before_anything_moves(
    fakes, engine, tmp_path
):
    plan = measure_end_member(
        fakes.detector,
        beam=fakes.beam,
        exposure=2.0,
        end_member=tmp_path / "e.npz",
        lithium_content=-0.5,
        transmission_reference=-1.0,
    )
    told = (
        r"(?s)transmission_reference must be above 0.*lithium_content must not be below 0, got -0.5"
    )
    with pytest.raises(PreflightError, match=told):
        engine(plan)
    assert fakes.beam.shutter.position == 0


def test_an_exposure_of_no_length_is_refused_before_anything_moves(fakes, engine, tmp_path):
    plan = measure_blank(
        fakes.detector, beam=fakes.beam, exposure=0.0, blank=tmp_path / "b.npz", n_frames=0
    )
    with pytest.raises(PreflightError, match=r"exposure must be .*0 s(.|\n)*n_frames"):
        engine(plan)
