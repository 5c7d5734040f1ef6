"""A detector whose exposures are started by another one's."""

import threading

import pytest
from ophyd.status import Status

from battbeam.devices import detector as detector_module
from battbeam.devices.camera import EXTERNAL, INTERNAL
from battbeam.devices.detector import AreaDetector
from battbeam.devices.fakes import fake, fake_beamline, ready_detector
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError
from battbeam.plans.stubs import Exposure, exposed, prepared

TRAIN = FrameTrain(exposure=2.0)


def detector(tmp_path, name, **more):
    made = fake(AreaDetector, name=name, directory=tmp_path, boot_id_pv="X:BOOT", **more)
    return ready_detector(made)


def takes_one_when_it_is_told_to(made, begins):
    """Armed until ``begins`` is set, then a frame."""
    acquire, cam, hdf = made.cam.acquire, made.cam, made.hdf

    def expose():
        begins.wait(timeout=5)
        cam.counter.sim_put(cam.counter.get() + 1)
        hdf.captured.sim_put(hdf.captured.get() + 1)
        acquire.sim_put(0)

    def put(value, **_):
        acquire.sim_put(value)
        if value:
            threading.Thread(target=expose, daemon=True).start()

    acquire.sim_set_putter(put)


@pytest.fixture
def pair(tmp_path):
    leader = detector(tmp_path, "detector")
    return leader, detector(tmp_path, "saxs", follows=leader)


def test_while_both_are_staged_it_waits_for_pulses_and_else_times_itself(pair):
    leader, follower = pair
    follower.stage()
    follower.prepare(TRAIN).wait(timeout=1)
    assert follower.cam.trigger_mode.get() == INTERNAL
    follower.unstage()
    for each in (leader, follower):
        each.stage()
    follower.prepare(TRAIN).wait(timeout=1)
    leader.prepare(TRAIN).wait(timeout=1)
    assert (leader.cam.trigger_mode.get(), follower.cam.trigger_mode.get()) == (INTERNAL, EXTERNAL)
    for each in (follower, leader):
        each.unstage()
    assert follower.cam.trigger_mode.get() == INTERNAL


def test_it_is_armed_when_its_trigger_returns_and_done_when_the_other_has_exposed(pair):
    leader, follower = pair
    begins = threading.Event()
    takes_one_when_it_is_told_to(follower, begins)
    for each in (leader, follower):
        each.stage()
    follower.prepare(TRAIN).wait(timeout=1)
    status = follower.trigger()
    assert follower.cam.acquire.get() == 1
    assert not status.done
    begins.set()
    status.wait(timeout=5)
    assert follower.n_frames.get() == 1


def test_one_that_does_not_arm_fails(pair, monkeypatch):
    monkeypatch.setattr(detector_module, "ARM_TIMEOUT", 0.05)
    leader, follower = pair
    follower.cam.acquire.sim_set_putter(lambda _value, **_: None)
    for each in (leader, follower):
        each.stage()
    follower.prepare(TRAIN).wait(timeout=1)
    with pytest.raises(DeviceError, match=r"saxs: not armed within 0\.05 s"):
        follower.trigger().wait(timeout=5)


def test_plans_trigger_what_follows_before_what_is_followed(tmp_path):
    held = fake_beamline(tmp_path)
    saxs = detector(tmp_path, "saxs", follows=held.detector)
    how = Exposure((held.detector, saxs), held.beam, TRAIN)

    def plan():
        yield from prepared(how.detectors, TRAIN)
        yield from exposed(how)

    triggered, answer = [], None
    messages = plan()
    try:
        while True:
            message = messages.send(answer)
            answer = None
            if message.command == "trigger":
                triggered.append(message.obj.name)
                answer = Status()
    except StopIteration:
        pass
    assert triggered == ["saxs", "beam", "detector"]


def test_without_a_detector_that_follows_the_order_is_as_it_was_given(tmp_path):
    held = fake_beamline(tmp_path)
    how = Exposure((held.detector, held.camera), held.beam, TRAIN)
    names = [message.obj.name for message in list(exposed(how)) if message.command == "trigger"]
    assert names == ["beam", "detector", "camera"]
