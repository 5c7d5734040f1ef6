import hashlib
import json
from pathlib import Path

import pytest
from bluesky.utils import FailedStatus

from battbeam.devices import frame_counts
from battbeam.errors import DeviceError, PreflightError
from battbeam.plans.xrd_series import xrd_series


def series(fakes, **options):
    readables = [fakes.potentiostat, fakes.sample_stage]
    return xrd_series(
        [fakes.detector],
        beam=fakes.beam,
        clock=fakes.clock,
        readables=readables,
        **{"exposure": 1.0, "n_points": 3, **options},
    )


def run_as_messages(plan):
    """Every message of a plan, each answered with nothing; no RunEngine."""
    return list(plan)


def test_as_messages_the_shutter_opens_only_around_each_exposure(fakes):
    messages = run_as_messages(series(fakes, suspend=False))
    words = [
        f"shutter {message.args[0]}" if message.obj is fakes.beam.shutter else message.command
        for message in messages
        if message.obj is fakes.beam.shutter
        or (message.command == "trigger" and message.obj is fakes.detector)
        or message.command == "save"
    ]
    assert words == ["shutter 1", "trigger", "shutter 0", "save"] * 3 + ["shutter 0"]


def test_as_messages_every_point_begins_with_a_checkpoint(fakes):
    commands = [message.command for message in run_as_messages(series(fakes, suspend=False))]
    for position, command in enumerate(commands):
        if command == "trigger":
            assert "checkpoint" in commands[max(0, position - 4) : position]


def test_as_messages_cleaning_up_comes_before_the_end_of_the_run(fakes):
    messages = run_as_messages(series(fakes, suspend=False))
    closing = [message.command for message in messages].index("close_run")
    last_shutter = max(
        position for position, m in enumerate(messages) if m.obj is fakes.beam.shutter
    )
    assert last_shutter < closing


def test_a_detector_that_is_no_list_is_refused(fakes, engine):
    alone = xrd_series(fakes.detector, beam=fakes.beam, clock=fakes.clock, exposure=1.0)
    with pytest.raises(PreflightError, match=r"got detector alone; write \[detector\]"):
        engine(alone)


def test_a_series_is_one_run_with_an_event_a_point(fakes, engine, documents):
    engine(series(fakes))
    assert [event["point"] for event in documents.events()] == [0, 1, 2]
    assert [event["detector_frame"] for event in documents.events()] == [0, 1, 2]
    assert len(documents.of("stream_resource")) == 1
    start = documents.of("start")[0]
    assert (start["technique"], start["kind"], start["n_points"]) == ("XRD", "measurement", 3)
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_events_hold_cell_beam_and_position(fakes, engine, documents):
    engine(series(fakes, n_points=1))
    wanted = {"exposure", "i0", "transmission_counts", "ring_current", "shutter", "beam_lost"}
    wanted |= {"sample_stage_x", "sample_stage_y", "potentiostat_voltage", "potentiostat_state"}
    assert wanted <= set(documents.events()[0])


def test_motors_are_put_back(fakes, engine):
    fakes.sample_stage.x.set(2.0).wait(timeout=1)
    engine(series(fakes, positions=[(fakes.sample_stage.x, 5.0)]))
    assert fakes.sample_stage.x.position == 2.0


def test_a_failure_in_the_middle_leaves_the_beamline_safe(fakes, engine, documents):
    taken = []

    def stop_when():
        taken.append(1)
        if len(taken) == 2:
            raise DeviceError("in the middle")
        return False

    with pytest.raises(DeviceError, match="in the middle"):
        engine(series(fakes, positions=[(fakes.sample_stage.x, 5.0)], stop_when=stop_when))
    assert fakes.beam.shutter.position == 0
    assert fakes.sample_stage.x.position == 0.0
    assert fakes.detector.hdf.capture.get() == 0
    assert documents.of("stop")[0]["exit_status"] == "fail"


def test_a_shutter_that_fails_open_is_told_to_close(fakes, engine):
    fakes.beam.shutter.command.sim_set_putter(lambda _wanted, **_: None)
    fakes.beam.shutter.status.sim_put(0)
    puts = []

    def put(wanted, **_):
        puts.append(wanted)
        if wanted == 0:
            fakes.beam.shutter.status.sim_put(0)

    fakes.beam.shutter.command.sim_set_putter(put)
    fakes.beam.shutter.set = lambda wanted: type(fakes.beam.shutter).set(
        fakes.beam.shutter, wanted, timeout=0.1
    )
    with pytest.raises(FailedStatus):
        engine(series(fakes))
    assert puts[-1] == 0


def test_a_point_with_missing_frames_is_taken_again_into_a_new_file(
    fakes, engine, documents, monkeypatch
):
    monkeypatch.setattr(frame_counts, "LOST_AFTER", 0.05)
    cam, hdf, trains = fakes.detector.cam, fakes.detector.hdf, []

    def acquire(value, **_):
        if value:
            trains.append(1)
            n = 0 if len(trains) == 2 else 1
            cam.counter.sim_put(cam.counter.get() + n)
            hdf.captured.sim_put(hdf.captured.get() + n)

    cam.acquire.sim_set_putter(acquire)
    engine(series(fakes))
    assert len(trains) == 4
    assert [event["point"] for event in documents.events()] == [0, 1, 2]
    assert [event["fault"] for event in documents.events()] == ["", "", ""]
    assert len(documents.of("stream_resource")) == 2


def test_a_point_that_stays_incomplete_says_why_and_refers_to_no_frame(
    fakes, engine, documents, monkeypatch
):
    monkeypatch.setattr(frame_counts, "LOST_AFTER", 0.02)
    fakes.detector.cam.acquire.sim_set_putter(lambda _value, **_: None)
    engine(series(fakes, n_points=1))
    event = documents.events()[0]
    assert "1 frame(s) asked, 0 read out" in event["fault"]
    assert (event["detector_frame"], event["detector_n_frames"]) == (-1, 0)
    assert documents.of("stream_datum") == []


def test_a_beam_that_went_away_during_the_exposure_is_marked(fakes, engine, documents):
    cam, hdf = fakes.detector.cam, fakes.detector.hdf

    def acquire(value, **_):
        if value:
            fakes.beam.ring_current.sim_put(0.0)
            fakes.beam.ring_current.sim_put(100.0)
            cam.counter.sim_put(cam.counter.get() + 1)
            hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    engine(series(fakes, n_points=1, suspend=False))
    assert documents.events()[0]["beam_lost"] == "ring current 0 mA, below 5 mA"


def test_a_slot_that_has_passed_is_left_out_and_no_other_is_shifted(fakes, engine, documents):
    cam, hdf, trains = fakes.detector.cam, fakes.detector.hdf, []

    def acquire(value, **_):
        if value:
            trains.append(1)
            fakes.clock.time += 25.0 if len(trains) == 1 else 10.0
            cam.counter.sim_put(cam.counter.get() + 1)
            hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    engine(series(fakes, n_points=5, interval=10.0))
    assert [event["point"] for event in documents.events()] == [0, 2, 3, 4]


def test_every_fault_is_told_at_once_and_nothing_moves(fakes, engine, documents):
    plan = series(
        fakes,
        exposure=-1.0,
        n_points=0,
        positions=[(fakes.sample_stage.x, 99.0)],
        reduction={"phases": [{"phase": "unobtainium"}]},
    )
    with pytest.raises(PreflightError) as refused:
        engine(plan)
    told = str(refused.value)
    for fault in (
        "exposure must be greater than 0 s, got -1 s",
        "n_points must be above 0, got 0",
        "99 mm is outside its limits",
        "reduction names no geometry",
        "phase 'unobtainium' is not known",
    ):
        assert fault in told
    assert documents == []
    assert fakes.sample_stage.x.position == 0.0


def test_a_series_that_is_reduced_says_by_which_calibration(fakes, engine, documents, reduction):
    instrument = {"calibrant": "LaB6", "time": 1.7e9, "energy": 22163.0}
    Path(reduction["instrument"]).write_text(json.dumps(instrument))
    engine(series(fakes, reduction=reduction))
    said = documents.of("start")[0]["calibration"]
    content = Path(reduction["geometry"]).read_bytes()
    assert said["geometry"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (said["calibrant"], said["time"]) == ("LaB6", 1.7e9)
    assert set(said) == {"geometry", "instrument", "calibrant", "time", "energy"}
