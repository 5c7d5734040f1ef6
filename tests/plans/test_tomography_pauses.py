"""A tomogram is paused wherever it may be: frames of every train count once, those of the whole one."""

import itertools
from collections import Counter

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.callbacks.tomogram import ImagingRun
from battbeam.devices import frame_flyer
from battbeam.devices.frame_writer import wait_until
from battbeam.experiment.rotation import Rotation
from battbeam.plans import imaging
from battbeam.plans.fields import Fields
from battbeam.plans.tomography import continuous_tomography, tomography


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)
    monkeypatch.setattr(imaging, "FLUSH_PERIOD", 0.05)


@pytest.fixture
def files(fakes):
    """Every file has a name of its own, as on a camera's server."""
    hdf, numbers = fakes.camera.hdf, itertools.count()
    capture = hdf.capture._put_func

    def opened(value, **kwargs):
        if value:
            hdf.full_name.sim_put(f"/frames/{next(numbers)}.h5")
        capture(value, **kwargs)

    hdf.capture.sim_set_putter(opened)


def repeats(fakes):
    """Trains: dark, flat, rotation, and two angles again."""
    options = {"n_projections": 7, "n_repeats": 3}
    return tomography(fakes.fly_camera, **common(fakes), **options)


def arcs(fakes):
    """Trains: dark, flat, three rotations, flat, dark."""
    fields = Fields(flat_offset=5.0, n_darks=3, n_flats=4, at=("start", "end"))
    options = {**common(fakes), "fields": fields, "n_per_arc": 6, "n_arcs": 3}
    return continuous_tomography(fakes.fly_camera, **options)


def common(fakes):
    return {
        "beam": fakes.beam,
        "clock": fakes.clock,
        "stage": fakes.sample_stage,
        "fields": Fields(flat_offset=5.0, n_darks=3, n_flats=4),
        "exposure": 0.01,
        "period": 0.02,
    }


class Hanging:
    """Trains that have some frames and no end."""

    def __init__(self, fakes):
        self._fly, self._hdf = fakes.fly_camera, fakes.camera.hdf
        self._rotation, self._acquire = fakes.rotation_stage, fakes.camera.cam.acquire
        self._usual = (self._rotation.setpoint._put_func, self._acquire._put_func)

    def begin(self):
        """From now on nothing ends."""
        rotation, acquire = self._rotation, self._acquire
        turn, expose = self._usual

        def turns(position, **kwargs):
            train = self._fly._flight.train
            if isinstance(train, Rotation) and position == train.end:
                rotation.is_done.sim_put(0)
            else:
                turn(position, **kwargs)

        def exposes(value, **kwargs):
            if value and not isinstance(self._fly._flight.train, Rotation):
                acquire.sim_put(1)
            else:
                expose(value, **kwargs)

        rotation.setpoint.sim_set_putter(turns)
        rotation.halt.sim_set_putter(lambda _value, **__: rotation.is_done.sim_put(1))
        acquire.sim_set_putter(exposes)

    def have(self, n):
        """So many frames came of it."""
        self._hdf.captured.sim_put(self._fly._first + n)
        wait_until(lambda: self._fly.n_frames == n, timeout=5, what=lambda: "frames seen")

    def end(self):
        """Trains end again as they do."""
        turn, expose = self._usual
        self._rotation.setpoint.sim_set_putter(turn)
        self._acquire.sim_set_putter(expose)


def paused_in(plan, fakes, train, n):
    """Pause when ``n`` frames of a train have come and were told of; trains count from 0."""
    hanging, counts = Hanging(fakes), Counter()

    def once_more(msg):
        counts[msg.command] += 1
        if msg.command == "kickoff" and counts["kickoff"] == train + 1:
            hanging.begin()
        if msg.command == "collect" and counts["kickoff"] == train + 1 and not counts["paused"]:
            counts["paused"] += 1
            hanging.have(n)
            return None, paused()
        return None, None

    def paused():
        hanging.end()
        yield from bps.pause()

    return bpp.plan_mutator(plan, once_more)


def paused_after(plan, is_there):
    """Pause after the first message of which that is true."""
    left = [1]

    def once(msg):
        if left and is_there(msg):
            left.clear()
            return None, bps.pause()
        return None, None

    return bpp.plan_mutator(plan, once)


def resumed(engine, plan):
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    engine.resume()


def imaging_run(documents):
    run = ImagingRun(documents.of("start")[0])
    for name, doc in documents:
        if name not in ("start", "stop"):
            run.take(name, doc)
    return run


def judge(documents, whole):
    """Frames that a reduction uses are those which the events of trains name, each once.

    ``whole`` are the frames that the plan asks for of each role.
    """
    assert documents.of("stop")[0]["exit_status"] == "success"
    named = {"dark": [], "flat": [], "projection": []}
    for event in {event["train"]: event for event in documents.events("trains")}.values():
        assert event["fault"] == ""
        frames = range(event["first"], event["first"] + event["n_frames"])
        named[event["role"]] += [(event["file"], k) for k in frames]
    assert {role: len(frames) for role, frames in named.items()} == whole
    run = imaging_run(documents)
    for role, stream in (("dark", "dark"), ("flat", "flat"), ("projection", "primary")):
        used = run.frames(stream)
        assert [where(frame) for frame in used] == named[role]
        # Numbers ascend from 1, without a hole.
        assert [frame.event["seq_num"] for frame in used] == list(range(1, len(used) + 1))
    assert [where(frame) for arc in run.arcs for frame in arc] == named["projection"]


def where(frame):
    return str(frame.file.path), frame.index


#: Frames that are asked for of each role.
OF_REPEATS = {"dark": 3, "flat": 4, "projection": 7 + 2 * 3}
OF_ARCS = {"dark": 6, "flat": 8, "projection": 3 * 6}


@pytest.mark.parametrize("train", [1, 2, 4])
def test_a_train_that_is_paused_is_taken_again_and_counts_once(
    fakes, files, engine, documents, train
):
    resumed(engine, paused_in(repeats(fakes), fakes, train, 2))
    judge(documents, OF_REPEATS)
    assert len(documents.of("stream_resource")) == 4


@pytest.mark.parametrize("train", [3, 5, 6])
def test_so_is_an_arc_and_a_flat_at_the_end(fakes, files, engine, documents, train):
    resumed(engine, paused_in(arcs(fakes), fakes, train, 2))
    judge(documents, OF_ARCS)


def test_documents_of_a_stream_go_back_to_the_number_of_the_train(fakes, files, engine, documents):
    resumed(engine, paused_in(arcs(fakes), fakes, 3, 2))
    names = {doc["uid"]: doc["name"] for doc in documents.of("descriptor")}
    told = [
        tuple(doc[key][end] for key in ("indices", "seq_nums") for end in ("start", "stop"))
        for doc in documents.of("stream_datum")
        if names[doc["descriptor"]] == "primary"
    ]
    # Two frames of the second arc, and then all of it, first in a new file.
    assert told == [(0, 6, 1, 7), (6, 8, 7, 9), (0, 6, 7, 13), (6, 12, 13, 19)]


def test_of_a_train_that_comes_back_shorter_nothing_is_left_of_the_longer_one(
    fakes, files, engine, documents
):
    def lossy(msg):
        if msg.command == "pause":
            fakes.pulses.missed.sim_put(4)
        return msg

    resumed(engine, bpp.msg_mutator(paused_in(arcs(fakes), fakes, 4, 5), lossy))
    last = documents.events("trains")[4]
    assert (last["n_frames"], last["n_missed"]) == (2, 4)
    used = imaging_run(documents).frames("primary")
    assert len(used) == 6 + 6 + 2
    assert {str(frame.file.path) for frame in used[12:]} == {last["file"]}


def test_a_pause_after_the_last_look_waits_for_the_train_that_is_taken_again(
    fakes, files, engine, documents
):
    fly, flown = fakes.fly_camera, []
    go = fly._go

    def slower(flight, cancelled):
        flown.append(flight.role)
        if flown.count("projection") == 2:
            # Longer than all looks of the first time.
            cancelled.wait(10 * imaging.FLUSH_PERIOD)
        return go(flight, cancelled)

    fly._go = slower

    def is_last(msg):
        return msg.command == "collect" and flown.count("projection") == 1

    resumed(engine, paused_after(repeats(fakes), is_last))
    judge(documents, OF_REPEATS)
    assert all(
        event["shutter"] == (event["role"] != "dark") for event in documents.events("trains")
    )


def test_a_train_whose_event_is_told_twice_counts_once(fakes, files, engine, documents):
    saved = []

    def is_third(msg):
        saved.extend(["save"] if msg.command == "save" else [])
        return len(saved) == 3

    resumed(engine, paused_after(repeats(fakes), is_third))
    assert [event["train"] for event in documents.events("trains")] == [0, 1, 2, 2, 3, 4]
    judge(documents, OF_REPEATS)
