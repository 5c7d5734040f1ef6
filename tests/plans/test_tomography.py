import math
import threading

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.devices import frame_flyer
from battbeam.devices.frame_writer import wait_until
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.description import SiteFacts
from battbeam.plans.fields import Fields
from battbeam.plans.imaging import label_of
from battbeam.plans.tomography import (
    continuous_tomography,
    tomogram,
    tomography,
    tomography_cost,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)


def options(fakes, **changed):
    return {
        "beam": fakes.beam,
        "clock": fakes.clock,
        "stage": fakes.sample_stage,
        "fields": Fields(flat_offset=5.0, n_darks=3, n_flats=4),
        "exposure": 0.01,
        "period": 0.02,
        "n_projections": 19,
        "n_repeats": 0,
        "energy": 25_000.0,
        **changed,
    }


def taken(fakes, **changed):
    return tomography(fakes.fly_camera, **options(fakes, **changed))


def streams(documents):
    return {doc["uid"]: doc["name"] for doc in documents.of("descriptor")}


def frames(documents):
    """Frames of each stream that the documents speak of."""
    named, found = streams(documents), {}
    for doc in documents.of("stream_datum"):
        name, n = named[doc["descriptor"]], doc["indices"]["stop"] - doc["indices"]["start"]
        found[name] = found.get(name, 0) + n
    return found


def test_a_tomogram_is_darks_flats_and_one_rotation(fakes, engine, documents):
    engine(taken(fakes))
    assert frames(documents) == {"dark": 3, "flat": 4, "primary": 19}
    assert [event["role"] for event in documents.events("trains")] == [
        "dark",
        "flat",
        "projection",
    ]
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_two_angles_are_measured_again_after_a_rotation(fakes, engine, documents):
    fly, stood = fakes.fly_camera, []
    go = fly._go

    def spied(flight, cancelled):
        stood.append((fakes.rotation_stage.position, flight.train.n_frames))
        return go(flight, cancelled)

    fly._go = spied
    engine(taken(fakes, n_repeats=2))
    assert stood[-2:] == [(90.0, 2), (0.0, 2)]
    assert frames(documents)["primary"] == 23
    assert documents.of("start")[0]["tomography"]["repeats"] == [90.0, 90.0, 0.0, 0.0]
    events = documents.events("trains")[2:]
    assert [(event["role"], event["arc"]) for event in events] == [
        ("projection", 0),
        ("projection", -1),
        ("projection", -1),
    ]
    # All lie in one file, one after the other.
    assert [event["first"] for event in events] == [0, 19, 21]
    assert [event["omega_first"] for event in events] == [0.0, 90.0, 0.0]
    assert len(documents.of("stream_resource")) == 3


def test_in_steps_they_are_two_steps_more(fakes, engine, documents):
    engine(taken(fakes, mode="step", n_projections=5, n_repeats=1))
    angles = [event["rotation_stage"] for event in documents.events()]
    assert angles == [0, 45, 90, 135, 180, 90, 0]
    assert documents.of("start")[0]["n_points"] == 7


def test_angles_that_are_repeated_were_measured_and_never_lie_opposite(fakes, engine, documents):
    engine(taken(fakes, n_projections=8, omega_stop=120.0, n_repeats=1))
    first = documents.of("start")[0]["tomography"]
    assert first["repeats"][0] == pytest.approx(4 * first["step"], abs=1e-9)
    engine(taken(fakes, n_projections=12, omega_stop=330.0, n_repeats=1, period=1.0))
    assert documents.of("start")[1]["tomography"]["repeats"] == pytest.approx([90.0, 0.0])


def test_without_repeats_it_is_told_that_motion_is_not_seen(fakes, engine, documents):
    engine(taken(fakes))
    engine(taken(fakes, n_repeats=3))
    told = [
        any("motion across the rotation axis" in each for each in start["warnings"])
        for start in documents.of("start")
    ]
    assert told == [True, False]


def test_frames_that_were_flown_have_no_events_but_a_stream(fakes, engine, documents):
    engine(taken(fakes))
    (primary,) = (d for d in documents.of("descriptor") if d["name"] == "primary")
    assert list(primary["data_keys"]) == ["camera_image"]
    assert primary["data_keys"]["camera_image"]["shape"] == [8, 8]
    assert documents.events("primary") == []
    configured = primary["configuration"]["fly_camera"]["data"]
    assert configured["camera_cam_exposure"] == 0.01
    assert configured["camera_cam_n_images"] == 19


def test_the_start_document_says_how_the_sample_turned(fakes, engine, documents):
    engine(taken(fakes, reduction={"ring_width": 9}))
    start = documents.of("start")[0]
    assert start["technique"] == "tomography"
    assert start["detectors"] == ["camera"]
    said = start["tomography"]
    assert (said["mode"], said["order"], said["n_projections"]) == ("fly", "ascending", 19)
    assert (said["omega_start"], said["omega_stop"], said["step"]) == (0.0, 180.0, 10.0)
    assert said["speed"] == pytest.approx(500.0)
    assert said["energy"] == 25_000.0
    assert said["pixel_size"] == fakes.fly_camera.facts.pixel_size
    assert start["reduction"] == {"method": "tomography", "ring_width": 9}
    assert start["fields"]["flat"]["at"] == ["start"]
    assert start["fields"]["flat"]["earlier"] is None


def test_a_train_says_where_its_frames_are_and_how_it_went(fakes, engine, documents):
    engine(taken(fakes, readables=[fakes.potentiostat]))
    event = documents.events("trains")[-1]
    assert (event["n_frames_asked"], event["n_frames"], event["n_missed"]) == (19, 19, 0)
    assert (event["omega_first"], event["omega_last"]) == (0.0, 180.0)
    assert (event["beam_lost"], event["fault"], event["shutter"]) == ("", "", 1)
    assert event["file"] == "/frames/one.h5"
    assert "potentiostat_voltage" in event
    assert "rotation_stage" in event
    assert documents.events("trains")[0]["shutter"] == 0


def test_flats_are_taken_with_the_sample_out_and_the_shutter_open(fakes, engine, documents):
    places = {}
    stage, fly = fakes.sample_stage, fakes.fly_camera
    go = fly._go

    def spied(flight, cancelled):
        places[flight.role] = (stage.x.position, fakes.beam.shutter.position)
        return go(flight, cancelled)

    fly._go = spied
    engine(taken(fakes))
    assert places == {"dark": (0.0, 0), "flat": (5.0, 1), "projection": (0.0, 1)}
    assert stage.x.position == 0.0


def test_flats_may_be_taken_at_both_ends(fakes, engine, documents):
    fields = Fields(flat_offset=5.0, n_darks=3, n_flats=4, at=("start", "end"))
    engine(taken(fakes, fields=fields))
    roles = [event["role"] for event in documents.events("trains")]
    assert roles == ["dark", "flat", "projection", "flat", "dark"]
    assert frames(documents)["flat"] == 8
    resources = documents.of("stream_resource")
    assert len({doc["uid"] for doc in resources}) == 5


def test_flats_that_are_young_are_not_taken_again(fakes, engine, documents):
    fields = Fields(flat_offset=5.0, n_darks=3, n_flats=4, max_age=600.0)
    engine(taken(fakes, fields=fields))
    first = documents.of("start")[0]
    fakes.clock.time += 500.0
    engine(taken(fakes, fields=fields))
    second = documents.of("start")[1]
    assert second["fields"]["flat"]["at"] == []
    earlier = second["fields"]["flat"]["earlier"]
    assert (earlier["run"], earlier["n_frames"], earlier["first"]) == (first["uid"], 4, 0)
    assert (earlier["exposure"], earlier["energy"]) == (0.01, 25_000.0)
    assert [event["role"] for event in documents.events("trains")][3:] == ["projection"]
    fakes.clock.time += 500.0
    engine(taken(fakes, fields=fields))
    assert documents.of("start")[2]["fields"]["flat"]["at"] == ["start"]


@pytest.mark.parametrize(
    ("changed", "again"),
    [({"exposure": 0.005}, {"dark", "flat"}), ({"energy": 20_000.0}, {"flat"}), ({}, set())],
)
def test_flats_of_other_light_are_taken_again(fakes, engine, documents, changed, again):
    fields = Fields(flat_offset=5.0, max_age=600.0)
    engine(taken(fakes, fields=fields))
    engine(taken(fakes, fields=fields, **changed))
    said = documents.of("start")[1]["fields"]
    assert {role for role in ("dark", "flat") if said[role]["at"]} == again


def test_in_steps_every_projection_is_an_event_with_its_angle(fakes, engine, documents):
    engine(taken(fakes, mode="step", n_projections=5))
    assert [event["rotation_stage"] for event in documents.events()] == [0, 45, 90, 135, 180]
    assert [event["camera_frame"] for event in documents.events()] == [0, 1, 2, 3, 4]
    assert frames(documents) == {"dark": 3, "flat": 4, "primary": 5}
    assert documents.of("start")[0]["tomography"]["speed"] == 0.0
    shapes = {
        doc["name"]: doc["data_keys"]["camera_image"]["shape"]
        for doc in documents.of("descriptor")
        if "camera_image" in doc["data_keys"]
    }
    assert shapes == {"dark": [8, 8], "flat": [8, 8], "primary": [8, 8]}


def test_steps_and_turns_measure_the_same_angles(fakes, engine, documents):
    # 0.01 degree of exposure's turn and a step that is no whole count.
    fakes.rotation_stage.encoder_step.sim_put(0.07)
    engine(taken(fakes, n_projections=8))
    engine(taken(fakes, n_projections=8, mode="step"))
    flown = documents.events("trains")[2]
    steps = [event["rotation_stage"] for event in documents.events()]
    assert steps[0] == pytest.approx(flown["omega_first"])
    # Whole counts from angle to angle add up to half a count a step at the most.
    assert abs(steps[-1] - flown["omega_last"]) <= 0.5 * 0.07 * 8


def test_everything_is_put_back(fakes, engine):
    fakes.rotation_stage.set(12.0)
    fakes.sample_stage.x.set(1.5)
    cam = fakes.camera.cam
    before = [signal.get() for signal in (cam.exposure, cam.n_images, cam.trigger_mode)]
    engine(taken(fakes, position=(2.0, -1.0)))
    assert fakes.rotation_stage.position == 12.0
    assert fakes.rotation_stage.velocity.get() == 90.0
    assert (fakes.sample_stage.x.position, fakes.sample_stage.y.position) == (1.5, 0.0)
    assert [signal.get() for signal in (cam.exposure, cam.n_images, cam.trigger_mode)] == before
    assert fakes.beam.shutter.position == 0


def turns_for_ever(fakes):
    """Let the stage never come to the end of a half turn unless it is stopped.

    Returns:
        Where it was sent, and how fast.
    """
    stage, sent = fakes.rotation_stage, []

    def go(position, **_):
        sent.append((position, stage.velocity.get()))
        stage.is_done.sim_put(0)
        if position < 180.0:
            stage.readback.sim_put(position)
            stage.is_done.sim_put(1)

    stage.setpoint.sim_set_putter(go)
    stage.halt.sim_set_putter(lambda _value, **__: stage.is_done.sim_put(1))
    return sent


@pytest.mark.parametrize("where", ["dark", "flat", "projection"])
def test_a_failure_in_the_middle_puts_everything_back(fakes, engine, documents, where):
    fakes.rotation_stage.set(12.0)
    sent = turns_for_ever(fakes)
    fly, cam = fakes.fly_camera, fakes.camera.cam
    before = [signal.get() for signal in (cam.exposure, cam.n_images, cam.trigger_mode)]
    collect, seen = fly.collect_asset_docs, []

    def unforeseen(index=None):
        if fly._flight.role == where:
            seen.append((fakes.rotation_stage.velocity.get(), fakes.pulses.arm.get()))
            raise KeyError("nobody foresaw this")
        return collect(index)

    fly.collect_asset_docs = unforeseen
    with pytest.raises(KeyError, match="nobody foresaw this"):
        engine(taken(fakes))
    assert seen[0] == ((500.0, 1) if where == "projection" else (90.0, 0))
    # It travels back as it travels, not as slowly as it was turning.
    assert sent[-1] == (12.0, 90.0)
    assert fakes.rotation_stage.position == 12.0
    assert fakes.rotation_stage.velocity.get() == 90.0
    assert fakes.sample_stage.x.position == 0.0
    assert fakes.beam.shutter.position == 0
    assert fakes.pulses.arm.get() == 0
    assert [signal.get() for signal in (cam.exposure, cam.n_images, cam.trigger_mode)] == before
    assert fakes.camera.hdf.capture.get() == 0
    assert documents.of("stop")[0]["exit_status"] == "fail"


def paused_once(fakes, engine, *, after):
    """Let a rotation hang with some frames taken, and pause there; turns to its end afterwards."""
    turn, fly = fakes.rotation_stage.setpoint._put_func, fakes.fly_camera
    collect, told = fly.collect_asset_docs, []
    turns_for_ever(fakes)

    def collected(index=None):
        yield from collect(index)
        if fly._flight.role == "projection" and not told:
            fakes.camera.hdf.captured.sim_put(fly._first + after)
            wait_until(lambda: fly.n_frames == after, timeout=5, what=lambda: "frames seen")
            told.extend(collect(index))
            yield from told
            fakes.rotation_stage.setpoint.sim_set_putter(turn)
            # Not here: this is the RunEngine's own thread.
            threading.Thread(target=engine.request_pause, daemon=True).start()

    fly.collect_asset_docs = collected
    return told


def test_a_pause_takes_the_rotation_again_into_a_new_file(fakes, engine, documents):
    told = paused_once(fakes, engine, after=7)
    with pytest.raises(RunEngineInterrupted):
        engine(taken(fakes))
    assert [doc["indices"]["stop"] for name, doc in told if name == "stream_datum"] == [7]
    assert fakes.beam.shutter.position == 0
    fakes.fly_camera.land()
    assert fakes.rotation_stage.velocity.get() == 90.0
    assert fakes.camera.hdf.capture.get() == 0
    engine.resume()
    primary = [
        doc
        for doc in documents.of("stream_datum")
        if streams(documents)[doc["descriptor"]] == "primary"
    ]
    assert [doc["indices"] for doc in primary] == [
        {"start": 0, "stop": 7},
        {"start": 0, "stop": 19},
    ]
    # The second file's frames have the numbers of the first one's: the last of a number counts.
    assert [doc["seq_nums"] for doc in primary] == [
        {"start": 1, "stop": 8},
        {"start": 1, "stop": 20},
    ]
    (event,) = (each for each in documents.events("trains") if each["role"] == "projection")
    assert (event["n_frames"], event["first"], event["fault"]) == (19, 0, "")
    assert documents.of("stop")[0]["exit_status"] == "success"
    assert fakes.beam.shutter.position == 0


def test_a_paused_tomogram_that_is_aborted_leaves_everything_safe(fakes, engine, documents):
    fakes.rotation_stage.set(12.0)
    paused_once(fakes, engine, after=7)
    with pytest.raises(RunEngineInterrupted):
        engine(taken(fakes))
    engine.abort()
    assert fakes.rotation_stage.position == 12.0
    assert fakes.rotation_stage.velocity.get() == 90.0
    assert fakes.camera.cam.trigger_mode.get() == 0
    assert fakes.beam.shutter.position == 0
    assert documents.of("stop")[0]["exit_status"] == "abort"


def test_frames_are_told_of_while_the_stage_turns(fakes, engine, documents):
    turn, fly = fakes.rotation_stage.setpoint._put_func, fakes.fly_camera
    collect, seen = fly.collect_asset_docs, []
    turns_for_ever(fakes)

    def collected(index=None):
        if fly._flight.role == "projection":
            if len(seen) < 3:
                fakes.camera.hdf.captured.sim_put(3 * len(seen))
                wait_until(lambda: fly.n_frames == 3 * len(seen), timeout=5, what=lambda: "frames")
                seen.append(fakes.rotation_stage.is_done.get())
            else:
                fakes.rotation_stage.setpoint.sim_set_putter(turn)
                fakes.camera.hdf.captured.sim_put(19)
                fakes.rotation_stage.readback.sim_put(fly._flight.train.end)
                fakes.rotation_stage.is_done.sim_put(1)
        return collect(index)

    fly.collect_asset_docs = collected
    engine(taken(fakes))
    assert seen == [0, 0, 0]
    primary = [
        doc["indices"]
        for doc in documents.of("stream_datum")
        if streams(documents)[doc["descriptor"]] == "primary"
    ]
    assert primary[:2] == [{"start": 0, "stop": 3}, {"start": 3, "stop": 6}]
    assert primary[-1]["stop"] == 19


def test_a_beam_dump_in_a_rotation_flags_it_and_loses_no_frame(fakes, engine, documents):
    turn = fakes.rotation_stage.setpoint._put_func

    def dumped(position, **kwargs):
        if position > 180.0:
            fakes.beam.ring_current.sim_put(0.0)
            fakes.beam.ring_current.sim_put(100.0)
        turn(position, **kwargs)

    fakes.rotation_stage.setpoint.sim_set_putter(dumped)
    engine(taken(fakes))
    event = documents.events("trains")[-1]
    assert event["beam_lost"] == "ring current 0 mA, below 5 mA"
    assert event["n_frames"] == 19
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_missed_pulses_flag_a_rotation_and_keep_the_others(fakes, engine, documents):
    fakes.pulses.missed.sim_put(4)
    engine(taken(fakes))
    event = documents.events("trains")[-1]
    assert (event["n_frames"], event["n_missed"]) == (15, 4)
    assert event["fault"] == "19 frames asked, 15 written, 4 pulses missed"
    assert frames(documents)["primary"] == 15
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_a_stage_that_does_not_reach_its_start_flags_the_rotation(fakes, engine, documents):
    stage = fakes.rotation_stage

    def stuck(position, **_):
        stage.is_done.sim_put(0)
        stage.readback.sim_put(0.0 if position == 0.0 else -0.5)
        stage.is_done.sim_put(1)

    stage.setpoint.sim_set_putter(stuck)
    engine(taken(fakes))
    event = documents.events("trains")[-1]
    assert "came to rest at -0.5 degree" in event["fault"]
    assert event["n_frames"] == 0
    assert "primary" not in frames(documents)


def test_flats_without_beam_are_taken_again_into_a_new_file(fakes, engine, documents):
    acquire, trains = fakes.camera.cam.acquire._put_func, []

    def dumped(value, **kwargs):
        trains.append(value)
        if trains.count(1) == 2:
            fakes.beam.ring_current.sim_put(0.0)
            fakes.beam.ring_current.sim_put(100.0)
        acquire(value, **kwargs)

    fakes.camera.cam.acquire.sim_set_putter(dumped)
    engine(taken(fakes))
    flats = [event for event in documents.events("trains") if event["role"] == "flat"]
    assert [bool(event["beam_lost"]) for event in flats] == [True, False]
    assert len(documents.of("stream_resource")) == 4


def test_flats_behind_a_shutter_that_somebody_closed_are_taken_again(fakes, engine, documents):
    acquire, trains = fakes.camera.cam.acquire._put_func, []

    def darkened(value, **kwargs):
        trains.append(value)
        if trains.count(1) == 2:
            fakes.beam.shutter.status.sim_put(0)
        acquire(value, **kwargs)

    fakes.camera.cam.acquire.sim_set_putter(darkened)
    engine(taken(fakes))
    trains = [(event["role"], event["shutter"]) for event in documents.events("trains")]
    # Darks, behind the closed shutter, are taken once.
    assert trains == [("dark", 0), ("flat", 0), ("flat", 1), ("projection", 1)]


def test_flats_that_never_come_end_the_run(fakes, engine, documents):
    acquire = fakes.camera.cam.acquire._put_func

    def lossy(value, **kwargs):
        acquire(value, **kwargs)
        if value and fakes.sample_stage.x.position == 5.0:
            fakes.camera.hdf.captured.sim_put(2)

    fakes.camera.cam.acquire.sim_set_putter(lossy)
    with pytest.raises(DeviceError, match="no whole flat: 4 frames asked, 2 written"):
        engine(taken(fakes))
    assert fakes.sample_stage.x.position == 0.0


REFUSED = [
    ({"fields": Fields()}, "no flat position: give flat_offset"),
    ({"fields": Fields(flat_offset=5.0, n_darks=0)}, "without darks counts are no measure"),
    ({"fields": Fields(flat_offset=5.0, n_flats=0)}, "without flats nothing is transmitted"),
    ({"fields": Fields(flat_offset=5.0, at=())}, "taken at start, end or both"),
    ({"fields": Fields(flat_offset=5.0, max_age=0.0)}, "max_age must be greater than 0 s"),
    ({"fields": Fields(flat_offset=25.0)}, "flats: sample_stage_x: 25 mm is outside its limits"),
    ({"position": (0.0, 30.0)}, "sample_stage_y: 30 mm is outside its limits"),
    ({"omega_stop": 359.0}, "rotation_stage: .* degree is outside its limits"),
    ({"omega_stop": 400.0, "mode": "step"}, "rotation_stage: 400 degree is outside its limits"),
    ({"period": 0.005}, "too fast: a pulse comes every 0.005 s"),
    ({"exposure": 0.0}, "exposure must be greater than 0 s"),
    ({"n_projections": 1}, "n_projections must be at least 2, got 1"),
    ({"n_repeats": -1}, "n_repeats must be at least 0, got -1"),
    ({"omega_stop": 0.0}, "omega must go from one angle to another"),
    ({"n_projections": 200_000}, "too few for steps of whole counts"),
    ({"reduction": {"method": "xrd"}}, "reduction must have the method 'tomography', got 'xrd'"),
]


@pytest.mark.parametrize(("changed", "fault"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_moves(fakes, engine, documents, changed, fault):
    with pytest.raises(PreflightError, match=fault):
        engine(taken(fakes, **changed))
    assert documents == []


def test_an_exposure_that_would_saturate_is_refused(fakes, engine, documents):
    fakes.fly_camera.facts = CameraFacts(flat_rate=1e7, saturation=65535.0)
    with pytest.raises(PreflightError, match=r"saturates: 1e\+05 counts in the open beam"):
        engine(taken(fakes))
    fakes.beam.attenuator.transmission.sim_put(0.1)
    engine(taken(fakes))
    assert frames(documents)["primary"] == 19


def test_a_stage_without_an_encoder_can_still_go_in_steps(fakes, engine, documents):
    fakes.rotation_stage.encoder_step.sim_put(0.0)
    with pytest.raises(PreflightError, match="counts per degree are not known"):
        engine(taken(fakes))
    engine(taken(fakes, mode="step", n_projections=3))
    assert [event["rotation_stage"] for event in documents.events()] == [0, 90, 180]


def test_too_few_projections_and_too_long_an_exposure_are_told(fakes, engine, documents, caplog):
    engine(taken(fakes))
    said = documents.of("start")[0]["warnings"]
    assert any("19 projections resolve a circle of 12 pixels" in warning for warning in said)
    assert any("the field's edge moves by 11.2 pixels" in warning for warning in said)
    assert "19 projections resolve" in caplog.text


def test_a_label_counts_the_measurements_of_its_rule(fakes, engine, documents):
    md = {"operando": {"uid": "x", "index": 7, "rule": "r"}}
    engine(taken(fakes, label="CR2-{:03d}", md=md))
    assert documents.of("start")[0]["label"] == "CR2-007"
    assert label_of("before", {}) == "before"


def test_a_rule_of_a_schedule_measures_at_its_cells_place(fakes, engine, documents):
    measured = options(fakes)
    own = tomogram(fakes.fly_camera, spot=(0.0, 0.5), label="T{}", **measured)
    engine(own.plan({"cell_position": [3.0, 1.0], "operando": {"index": 2}}))
    event = documents.events("trains")[-1]
    assert (event["sample_stage_x"], event["sample_stage_y"]) == (3.0, 1.5)
    assert documents.of("start")[0]["label"] == "T2"
    assert set(own.motors) == {
        fakes.rotation_stage,
        fakes.sample_stage.x,
        fakes.sample_stage.y,
    }


def continued(fakes, **changed):
    wanted = options(fakes, n_per_arc=6, n_arcs=4, **changed)
    del wanted["n_projections"], wanted["n_repeats"]
    return continuous_tomography(fakes.fly_camera, **wanted)


def test_a_continuous_tomogram_turns_to_and_fro_in_one_file(fakes, engine, documents):
    engine(continued(fakes))
    arcs = [event for event in documents.events("trains") if event["role"] == "projection"]
    assert [event["arc"] for event in arcs] == [0, 1, 2, 3]
    assert [event["first"] for event in arcs] == [0, 6, 12, 18]
    ways = [math.copysign(1, event["omega_last"] - event["omega_first"]) for event in arcs]
    assert ways == [1, -1, 1, -1]
    assert frames(documents)["primary"] == 24
    assert len(documents.of("stream_resource")) == 3
    said = documents.of("start")[0]["tomography"]
    assert (said["order"], said["n_arcs"], said["n_per_arc"]) == ("golden_arcs", 4, 6)


def test_arcs_lie_between_each_other(fakes, engine, documents):
    engine(continued(fakes))
    arcs = [event for event in documents.events("trains") if event["role"] == "projection"]
    lowest = sorted(min(event["omega_first"], event["omega_last"]) for event in arcs)
    gaps = np.diff([*lowest, lowest[0] + 30.0])
    assert gaps.min() > 30.0 / 8
    assert gaps.max() < 30.0 / 2


def test_a_continuous_tomogram_in_steps_goes_by_golden_angles(fakes, engine, documents):
    engine(continued(fakes, mode="step"))
    angles = [event["rotation_stage"] for event in documents.events()]
    assert len(angles) == 24
    golden = 180 * (math.sqrt(5) - 1) / 2
    steps = np.diff(angles) % 180
    np.testing.assert_allclose(steps, golden, atol=2e-3)


def test_a_continuous_tomogram_ends_when_it_is_told_to(fakes, engine, documents):
    asked = []

    def enough():
        asked.append(1)
        return len(asked) > 2

    wanted = options(fakes, n_per_arc=6, stop_when=enough)
    del wanted["n_projections"], wanted["n_repeats"]
    engine(continuous_tomography(fakes.fly_camera, **wanted))
    arcs = [event for event in documents.events("trains") if event["role"] == "projection"]
    assert len(arcs) == 2
    assert documents.of("start")[0]["tomography"]["n_projections"] is None


def test_flats_grow_old_between_two_arcs(fakes, engine, documents):
    told = fakes.clock.now

    def now():
        fakes.clock.time += 20.0
        return told()

    fakes.clock.now = now
    fields = Fields(flat_offset=5.0, n_darks=3, n_flats=4, max_age=150.0)
    engine(continued(fakes, fields=fields))
    roles = [event["role"] for event in documents.events("trains")]
    assert roles[:3] == ["dark", "flat", "projection"]
    assert roles.count("flat") >= 2
    assert roles[-1] == "projection"


def test_an_arc_beyond_the_limits_is_refused(fakes, engine):
    with pytest.raises(PreflightError, match="outside its limits"):
        engine(continued(fakes, omega_start=-360.0, omega_stop=-180.0))


SITE = SiteFacts(camera=CameraFacts(n_rows=10, n_columns=20, readout_time=0.01))


def test_the_cost_of_a_turn_is_its_frames_and_its_light():
    cost = tomography_cost(SITE, exposure=0.09, n_projections=181)
    assert cost.n_frames == 181
    assert cost.n_bytes == 181 * 10 * 20 * 4
    # 180 periods of 0.1 s and a hundredth, and one exposure.
    assert cost.span == pytest.approx(180 * 0.101 + 0.09)
    # The shutter is open while the stage speeds up and slows down: not much more.
    assert cost.span < cost.exposure < cost.span + 1.0
    assert cost.exposure < cost.duration < cost.exposure + 10.0


def test_repeats_cost_their_frames_two_moves_and_light():
    bare, more = (tomography_cost(SITE, exposure=0.09, n_repeats=n) for n in (0, 3))
    assert more.n_frames - bare.n_frames == 6
    assert more.exposure - bare.exposure == pytest.approx(6 * 0.1)
    assert more.duration - bare.duration == pytest.approx(6 * 0.1 + 2 * SITE.overhead, abs=2.0)


def test_darks_and_flats_cost_time_but_no_light_on_the_sample():
    fields = Fields(flat_offset=5.0, n_darks=20, n_flats=30, at=("start", "end"))
    bare = tomography_cost(SITE, exposure=0.09)
    whole = tomography_cost(SITE, exposure=0.09, fields=fields)
    assert whole.n_frames - bare.n_frames == 100
    assert whole.exposure == bare.exposure
    assert whole.duration - bare.duration == pytest.approx(100 * 0.1 + 4 * SITE.overhead)


def test_steps_cost_more_time_and_less_light():
    turn = tomography_cost(SITE, exposure=0.09)
    steps = tomography_cost(SITE, exposure=0.09, mode="step")
    assert steps.exposure == pytest.approx(181 * 0.09)
    assert steps.exposure < turn.exposure
    assert steps.duration > turn.duration


def test_as_many_arcs_cost_as_many_times_the_light():
    one = tomography_cost(SITE, exposure=0.09, n_projections=60)
    ten = tomography_cost(SITE, exposure=0.09, n_projections=60, n_arcs=10)
    assert ten.n_frames == 600
    assert ten.exposure == pytest.approx(10 * one.exposure, rel=0.02)
