import pytest

from battbeam.devices import frame_counts, frames_in_files
from battbeam.devices.detector import AreaDetector
from battbeam.devices.fakes import fake, ready_detector
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError


@pytest.fixture
def detector(tmp_path):
    made = fake(AreaDetector, name="detector", directory=tmp_path, boot_id_pv="X:BOOT")
    return ready_detector(made)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(frame_counts, "LOST_AFTER", 0.05)


def exposed(detector, n_frames=1):
    detector.stage()
    detector.prepare(FrameTrain(exposure=2.0, n_frames=n_frames)).wait(timeout=1)
    status = detector.trigger()
    status.wait(timeout=2)
    return list(detector.collect_asset_docs())


def test_a_single_exposure_is_one_index_of_one_file(detector):
    (first, resource), (second, datum) = exposed(detector)
    assert (first, second) == ("stream_resource", "stream_datum")
    assert resource["uri"] == "file://localhost/frames/one.h5"
    assert resource["data_key"] == "detector_image"
    assert datum["indices"] == {"start": 0, "stop": 1}
    assert detector.read()["detector_frame"]["value"] == 0


def test_a_train_is_one_event_of_many_frames(detector):
    exposed(detector, n_frames=4)
    assert detector.describe()["detector_image"]["shape"] == [4, 8, 8]
    assert detector.read()["detector_n_frames"]["value"] == 4
    detector.trigger().wait(timeout=2)
    assert detector.read()["detector_frame"]["value"] == 4
    assert [name for name, _ in detector.collect_asset_docs()] == ["stream_datum"]


def test_documents_of_a_train_are_told_once(detector):
    exposed(detector)
    assert list(detector.collect_asset_docs()) == []


def test_stamps_count_from_1970(detector):
    exposed(detector)
    assert detector.read()["detector_stamp"]["value"] == 631_152_000 + 500.0


def test_a_frame_that_is_missing_fails_the_train(detector, quick):
    detector.cam.acquire.sim_set_putter(
        lambda _value, **_: detector.cam.counter.sim_put(detector.cam.counter.get() + 1)
    )
    detector.stage()
    detector.prepare(FrameTrain(exposure=2.0, n_frames=3))
    with pytest.raises(DeviceError, match=r"3 frame\(s\) asked, 1 read out, 0 written"):
        detector.trigger().wait(timeout=2)
    assert detector.read()["detector_n_frames"]["value"] == 0
    assert list(detector.collect_asset_docs()) == []


def test_a_frame_too_many_fails_the_train(detector):
    def acquire(_value, **_):
        detector.cam.counter.sim_put(detector.cam.counter.get() + 2)
        detector.hdf.captured.sim_put(detector.hdf.captured.get() + 2)

    detector.cam.acquire.sim_set_putter(acquire)
    detector.stage()
    detector.prepare(FrameTrain(exposure=2.0))
    with pytest.raises(DeviceError, match=r"1 frame\(s\) asked, 2 read out"):
        detector.trigger().wait(timeout=2)


def test_a_server_that_restarted_fails_the_train(detector):
    detector.stage()
    detector.prepare(FrameTrain(exposure=2.0))
    detector.boot_id.sim_put("boot 2")
    with pytest.raises(DeviceError, match="its server restarted during the exposure"):
        detector.trigger().wait(timeout=2)


def test_unstage_leaves_the_hardware_as_stage_found_it(detector):
    before = {
        signal.name: signal.get()
        for signal in (detector.cam.exposure, detector.cam.period, detector.cam.n_images)
    }
    exposed(detector, n_frames=4)
    detector.unstage()
    after = {
        signal.name: signal.get()
        for signal in (detector.cam.exposure, detector.cam.period, detector.cam.n_images)
    }
    assert after == before
    assert detector.hdf.capture.get() == 0


def test_each_staging_has_a_file_of_its_own(detector):
    exposed(detector)
    first = detector.hdf.file_name.get()
    detector.unstage()
    documents = exposed(detector)
    assert detector.hdf.file_name.get() != first
    assert documents[0][0] == "stream_resource"
    assert documents[1][1]["indices"]["start"] == 0


def test_after_a_pause_the_point_goes_into_a_new_file(detector):
    exposed(detector)
    detector.pause()
    detector.resume()
    detector.trigger().wait(timeout=2)
    assert [name for name, _ in detector.collect_asset_docs()] == [
        "stream_resource",
        "stream_datum",
    ]


def test_a_pause_breaks_off_what_is_exposing(detector):
    detector.cam.acquire.sim_set_putter(lambda _value, **_: None)
    detector.stage()
    detector.prepare(FrameTrain(exposure=2.0))
    status = detector.trigger()
    detector.pause()
    status.wait(timeout=2)
    assert list(detector.collect_asset_docs()) == []


@pytest.mark.parametrize(
    ("train", "fault"),
    [
        ({"exposure": -1.0}, "exposure must be greater than 0 s, got -1 s"),
        ({"exposure": float("nan")}, "exposure must be greater than 0 s, got nan s"),
        ({"exposure": 1.0, "n_frames": 0}, "n_frames must be at least 1, got 0"),
        ({"exposure": 2.0, "period": 1.0}, "period must be 0 or at least the exposure of 2 s"),
    ],
)
def test_a_train_that_cannot_be_is_refused(train, fault):
    with pytest.raises(ValueError, match=fault):
        FrameTrain(**train)


def test_an_exposure_beyond_the_detector_is_refused(detector):
    assert detector.train_faults(exposure=1e5) == [
        "detector: exposure 100000 s is outside 0.001 to 3600 s"
    ]


def test_it_must_be_staged_before_it_exposes(detector):
    with pytest.raises(DeviceError, match="no file is open; stage it first"):
        detector.trigger()


def test_a_camera_that_exposes_already_is_not_staged(detector):
    detector.cam.acquire.sim_put(1)
    with pytest.raises(DeviceError, match="already exposing"):
        detector.stage()


def test_a_full_disk_is_refused_before_a_run(detector, monkeypatch):
    monkeypatch.setattr(frames_in_files, "MINIMUM_FREE", 1e21)
    with pytest.raises(DeviceError, match="MB are wanted before a run; make room"):
        detector.stage()


def test_a_server_that_cannot_see_the_directory_says_so(detector):
    detector.hdf.path_exists.sim_put(0)
    with pytest.raises(DeviceError, match="the server finds no directory"):
        detector.stage()
