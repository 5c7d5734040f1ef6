import threading

import pytest

from battbeam.devices import frame_flyer
from battbeam.devices.fakes import fake_beamline
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.ring_buffer import BurstTrain


@pytest.fixture
def burst(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)
    camera = fake_beamline(tmp_path).burst_camera
    camera.stage()
    yield camera
    camera.unstage()


TRAIN = Flight("burst", BurstTrain(0.01, n_frames=30, n_before=10))


def armed(burst):
    burst.prepare(TRAIN).wait(timeout=5)
    burst.kickoff().wait(timeout=5)


def test_kickoff_lets_the_camera_run_into_the_ring_buffer(burst):
    armed(burst)
    assert burst.is_armed
    assert burst.camera.cam.acquire.get() == 1
    assert (burst.ring.n_before.get(), burst.ring.n_after.get()) == (10, 20)
    assert burst.camera.hdf.source.get() == "CB1"
    assert list(burst.collect_asset_docs()) == []


def test_complete_fires_it_and_all_frames_are_told_of(burst):
    armed(burst)
    burst.complete().wait(timeout=5)
    (_, (_, datum)) = burst.collect_asset_docs()
    assert datum["indices"] == {"start": 0, "stop": 30}
    assert burst.flown.fault == ""
    assert burst.camera.cam.acquire.get() == 0


def test_a_pause_stops_it_and_a_second_kickoff_arms_it_again(burst):
    armed(burst)
    burst.pause()
    burst.land()
    assert not burst.is_armed
    assert burst.camera.cam.acquire.get() == 0
    assert burst.camera.hdf.capture.get() == 0
    burst.kickoff().wait(timeout=5)
    burst.complete().wait(timeout=5)
    assert burst.flown.n_frames == 30


def test_a_pause_does_not_break_off_what_was_fired(burst):
    burst.ring.fire.sim_set_putter(lambda _value, **_: None)
    armed(burst)
    status = burst.complete()
    while not burst._is_fired:
        assert not status.done
    burst.pause()
    burst.camera.hdf.captured.sim_put(30)
    burst.ring.capture.sim_put(0)
    status.wait(timeout=5)
    assert burst.flown.n_frames == 30


def test_frames_that_the_camera_times_itself_pass_it_by(burst):
    burst.prepare(Flight("dark", FrameTrain(0.01, n_frames=5))).wait(timeout=5)
    burst.kickoff().wait(timeout=5)
    burst.complete().wait(timeout=5)
    assert burst.flown.n_frames == 5
    assert burst.ring.capture.get() == 0


def test_unstaging_lets_the_camera_be_written_again(burst):
    armed(burst)
    burst.unstage()
    assert burst.camera.hdf.source.get() == "CAM"
    assert burst.ring.capture.get() == 0
    burst.stage()


def test_a_burst_without_frames_after_it_is_refused(burst):
    with pytest.raises(ValueError, match="n_before must be at least 0 and below the 30 frames"):
        burst.prepare(Flight("burst", BurstTrain(0.01, n_frames=30, n_before=30)))


def test_a_camera_that_runs_on_does_not_keep_a_burst_waiting_for_frames_that_never_were(burst):
    counter, going = burst.camera.cam.counter, threading.Event()

    def run_on():
        while not going.is_set():
            counter.sim_put(counter.get() + 1)
            going.wait(0.005)

    burst.ring.n_kept.sim_put(4)
    armed(burst)
    thread = threading.Thread(target=run_on, daemon=True)
    thread.start()
    burst.complete().wait(timeout=5)
    going.set()
    thread.join()
    assert burst.flown.fault == "30 frames asked, 24 written"
