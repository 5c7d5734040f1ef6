import math
import threading

import pytest
from bluesky.protocols import Collectable, Flyable, Pausable, WritesStreamAssets

from battbeam.devices import frame_flyer
from battbeam.devices.fakes import fake_beamline
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.frame_writer import wait_until
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.errors import DeviceError
from battbeam.experiment.rotation import Rotation


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)
    return fake_beamline(tmp_path)


@pytest.fixture
def fly(fakes):
    fakes.fly_camera.stage()
    yield fakes.fly_camera
    fakes.fly_camera.unstage()


def rotation(fly, n=19, stop=180.0, *, exposure=0.02, period=0.2):
    table = fly.rotation.table
    return Rotation.over(0.0, stop, n, exposure=exposure, period=period, table=table)


def flown(fly, flight):
    fly.prepare(flight).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    fly.complete().wait(timeout=5)
    return list(fly.collect_asset_docs())


def test_it_is_what_the_run_engine_flies_collects_and_pauses(fakes):
    for protocol in (Flyable, Collectable, WritesStreamAssets, Pausable):
        assert isinstance(fakes.fly_camera, protocol)


def test_an_arc_is_one_train_of_pulses_in_one_file(fakes, fly):
    documents = flown(fly, Flight("projection", rotation(fly)))
    assert [name for name, _ in documents] == ["stream_resource", "stream_datum"]
    assert documents[0][1]["data_key"] == "camera_image"
    assert documents[1][1]["indices"] == {"start": 0, "stop": 19}
    assert fly.flown.n_frames == 19
    assert fly.flown.fault == ""
    assert fakes.pulses.n_pulses.get() == 19
    assert fakes.pulses.step.get() == 10.0


def test_pulses_begin_half_an_exposures_turn_early(fakes, fly):
    flown(fly, Flight("projection", rotation(fly)))
    # 10 degree every 0.2 s for 0.02 s is 1 degree.
    assert fakes.pulses.start.get() == -0.5


def test_the_stage_turns_at_the_speed_of_the_arc_and_then_as_before(fakes, fly):
    speeds = []
    fakes.rotation_stage.velocity.subscribe(lambda value, **_: speeds.append(value), run=False)
    flown(fly, Flight("projection", rotation(fly)))
    assert speeds == [50.0, 90.0]


def test_the_camera_is_timed_by_pulses_and_for_darks_by_itself(fakes, fly):
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    assert fakes.camera.cam.trigger_mode.get() == 1
    fly.prepare(Flight("dark", FrameTrain(0.02, n_frames=5))).wait(timeout=5)
    assert fakes.camera.cam.trigger_mode.get() == 0


def test_darks_flats_and_projections_have_files_of_their_own(fakes, fly):
    files = set()
    for role in ("dark", "flat", "projection"):
        train = rotation(fly) if role == "projection" else FrameTrain(0.02, n_frames=5)
        documents = flown(fly, Flight(role, train))
        assert documents[1][1]["indices"]["start"] == 0
        files.add(fakes.camera.hdf.file_name.get())
    assert len(files) == 3


def test_the_next_arc_goes_on_in_the_same_file(fly):
    arc = rotation(fly)
    flown(fly, Flight("projection", arc))
    ((name, datum),) = flown(fly, Flight("projection", arc.reversed()))
    assert name == "stream_datum"
    assert datum["indices"] == {"start": 19, "stop": 38}
    assert fly.flown.first == 19
    assert fly.pulses.step.get() == -10.0


def test_pulses_that_the_camera_missed_make_a_train_partial(fakes, fly):
    fakes.pulses.missed.sim_put(3)
    documents = flown(fly, Flight("projection", rotation(fly)))
    assert documents[1][1]["indices"] == {"start": 0, "stop": 16}
    assert fly.flown.fault == "19 frames asked, 16 written, 3 pulses missed"
    assert fly.flown.n_missed == 3
    assert fakes.camera.cam.acquire.get() == 0


def busy(fakes, monkeypatch, then=lambda: None):
    """A camera that was told to take 19 frames and has shown 3; ``then`` once it is asked about them."""

    def turn(position, **_):
        fakes.camera.hdf.captured.sim_put(3)
        fakes.rotation_stage.readback.sim_put(position)

    def told():
        then()
        return 19

    fakes.rotation_stage.setpoint.sim_set_putter(turn)
    monkeypatch.setattr(fakes.pulses.fired, "value_now", told)


def test_frames_that_a_busy_camera_owes_are_waited_for(fakes, fly, monkeypatch):
    busy(fakes, monkeypatch, then=lambda: fakes.camera.hdf.captured.sim_put(19))
    documents = flown(fly, Flight("projection", rotation(fly)))
    assert documents[1][1]["indices"] == {"start": 0, "stop": 19}
    assert fly.flown.fault == ""


@pytest.mark.parametrize("is_at_rest", [False, True])
def test_frames_that_never_come_are_not_waited_for_without_end(fakes, fly, monkeypatch, is_at_rest):
    # A camera at rest owes nothing: it is not waited for as long.
    monkeypatch.setattr(frame_flyer, "OWED_FOR", 1e9 if is_at_rest else 0.2)
    acquire = fakes.camera.cam.acquire
    busy(fakes, monkeypatch)
    turn = fakes.rotation_stage.setpoint._put_func

    def turned(position, **how):
        turn(position, **how)
        if is_at_rest:
            acquire.sim_put(0)

    fakes.rotation_stage.setpoint.sim_set_putter(turned)
    flown(fly, Flight("projection", rotation(fly)))
    assert fly.flown.fault == "19 frames asked, 3 written"


def test_a_train_that_broke_off_says_what_the_writer_says(fakes, fly, monkeypatch):
    busy(fakes, monkeypatch, then=lambda: fakes.camera.cam.acquire.sim_put(0))
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    fakes.camera.hdf.message.sim_put("frame lost: no space left")
    fly.complete().wait(timeout=5)
    assert fly.flown.fault == "19 frames asked, 3 written; frame lost: no space left"


def test_a_stage_that_gets_stuck_makes_a_train_partial_and_travels_as_before(fakes, fly):
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)

    def stuck(position, **_):
        fakes.rotation_stage.is_done.sim_put(0)
        fakes.rotation_stage.readback.sim_put(20.0)
        fakes.rotation_stage.is_done.sim_put(1)

    fakes.rotation_stage.setpoint.sim_set_putter(stuck)
    fly.complete().wait(timeout=5)
    assert "came to rest at 20 degree" in fly.flown.fault
    assert "19 frames asked, 0 written" in fly.flown.fault
    assert fakes.rotation_stage.velocity.get() == 90.0


class Slow:
    """A stage that moves only when it is told to."""

    def __init__(self, stage):
        self.stage, self.gone = stage, threading.Event()
        stage.setpoint.sim_set_putter(self.go)
        stage.halt.sim_set_putter(self.halt)

    def go(self, position, **_):
        self.stage.is_done.sim_put(0)
        self.gone.set()

    def halt(self, *_, **__):
        self.stage.is_done.sim_put(1)


@pytest.fixture
def paused(fakes, fly):
    """A train that was paused in the middle, with five frames taken."""
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    slow = Slow(fakes.rotation_stage)
    status = fly.complete()
    assert slow.gone.wait(timeout=5)
    fakes.camera.hdf.captured.sim_put(5)
    wait_until(lambda: fly.get_index() == 5, timeout=5, what=lambda: "frames told")
    assert [d["indices"] for n, d in fly.collect_asset_docs() if n == "stream_datum"] == [
        {"start": 0, "stop": 5}
    ]
    fly.pause()
    status.wait(timeout=5)
    fly.land()


def test_frames_are_told_of_while_they_come(paused):
    """The fixture has seen five of them in the middle of the train."""


def test_a_pause_stops_the_motion_and_closes_the_file(fakes, fly, paused):
    assert fakes.rotation_stage.is_done.get() == 1
    assert fakes.camera.hdf.capture.get() == 0
    assert fakes.camera.cam.acquire.get() == 0
    assert fakes.pulses.arm.get() == 0
    assert fakes.rotation_stage.velocity.get() == 90.0


def test_after_a_pause_the_train_is_taken_again_into_a_new_file(fakes, fly, paused):
    before = fakes.camera.hdf.file_name.get()
    fakes.rotation_stage.readback.sim_put(0.0)

    def arrive(position, **_):
        fakes.rotation_stage.readback.sim_put(position)
        fakes.camera.hdf.captured.sim_put(19 if position > 180 else 0)

    fakes.rotation_stage.setpoint.sim_set_putter(arrive)
    fly.resume()
    fly.kickoff().wait(timeout=5)
    fly.complete().wait(timeout=5)
    documents = list(fly.collect_asset_docs())
    assert [name for name, _ in documents] == ["stream_resource", "stream_datum"]
    assert documents[1][1]["indices"] == {"start": 0, "stop": 19}
    assert fakes.camera.hdf.file_name.get() != before
    assert fly.flown.fault == ""


def test_a_pause_between_kickoff_and_complete_disarms(fakes, fly):
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    assert fakes.pulses.arm.get() == 1
    fly.pause()
    fly.land()
    assert fakes.pulses.arm.get() == 0
    assert fakes.camera.cam.acquire.get() == 0
    assert fakes.camera.hdf.capture.get() == 0


def test_a_second_kickoff_begins_again(fly):
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    fly.complete().wait(timeout=5)
    assert fly.flown.n_frames == 19


def test_unstaging_leaves_camera_stage_and_pulses_as_they_were(fakes):
    fly, camera = fakes.fly_camera, fakes.camera.cam
    signals = (camera.exposure, camera.period, camera.n_images, camera.image_mode)
    signals += (camera.trigger_mode, fakes.rotation_stage.velocity, fakes.pulses.arm)
    before = [signal.get() for signal in signals]
    fly.stage()
    flown(fly, Flight("projection", rotation(fly)))
    fly.unstage()
    assert [signal.get() for signal in signals] == before
    assert fakes.camera.hdf.capture.get() == 0


def test_a_server_that_restarted_makes_a_train_partial(fakes, fly):
    fly.prepare(Flight("dark", FrameTrain(0.02, n_frames=5))).wait(timeout=5)
    fly.kickoff().wait(timeout=5)
    fakes.camera.boot_id.sim_put("boot 2")
    fly.complete().wait(timeout=5)
    assert fly.flown.fault == "camera: its server restarted during the train"


def test_a_stage_that_cannot_reach_the_start_fails_the_kickoff(fakes, fly):
    fakes.rotation_stage.low_limit.sim_put(0.0)
    fly.prepare(Flight("projection", rotation(fly))).wait(timeout=5)
    with pytest.raises(ValueError, match="outside its limits"):
        fly.kickoff().wait(timeout=5)


def test_too_fast_an_arc_is_not_prepared(fly):
    with pytest.raises(ValueError, match="too fast"):
        fly.prepare(Flight("projection", rotation(fly, exposure=0.3, period=0.2)))


def test_without_pulses_nothing_is_flown(fakes):
    fly = FlyCamera(
        name="fly", camera=fakes.camera, rotation=fakes.rotation_stage, clock=fakes.clock
    )
    assert fly.flight_faults(Flight("dark", FrameTrain(0.1))) == []
    (fault,) = fly.flight_faults(Flight("projection", rotation(fly)))
    assert fault == "fly: no pulses are declared; measure in steps"


def test_it_must_be_prepared_before_it_is_kicked_off(fly):
    with pytest.raises(DeviceError, match="fly_camera: nothing to fly; prepare it first"):
        fly.kickoff()
    with pytest.raises(DeviceError, match="fly_camera: not kicked off"):
        fly.complete()


def test_a_stage_without_an_encoder_is_known_to_have_none(fakes):
    fakes.rotation_stage.encoder_step.sim_put(0.0)
    assert fakes.rotation_stage.table.counts_per_degree == 0.0
    fakes.rotation_stage.encoder_step.sim_put(-1e-4)
    assert math.isclose(fakes.rotation_stage.table.counts_per_degree, 1e4)
