"""Frames are dated by the detector's clock as known when their event was written."""

import numpy as np
import pytest

from battbeam.callbacks.raw_run import RawRun
from battbeam.sim.frame_file import DATASET, FLOAT_ATTRIBUTES, FrameFile

START, OFFSET, DRIFT = 1_750_000_000.0, 120.0, 50e-6


def run(comparisons=()):
    raw = RawRun({"uid": "run", "clocks": {"detector": list(comparisons)}})
    image = {"external": "STREAM:", "shape": [4, 4]}
    configuration = {"detector": {"data": {"detector_readout_delay": 0.5}}}
    raw.descriptor(
        {"uid": "d", "data_keys": {"detector_image": image}, "configuration": configuration}
    )
    return raw


def device(session):
    return session + OFFSET + DRIFT * (session - START)


def event(number, end, *, comparison=None):
    data = {"exposure": 10.0, "detector_stamp": device(end + 0.5), "detector_frame": -1}
    if comparison is not None:
        names = ("device_time", "session_time", "uncertainty")
        data |= {f"detector_clock_{k}": v for k, v in zip(names, comparison, strict=True)}
    return {"descriptor": "d", "seq_num": number, "data": data, "timestamps": {}, "time": 0.0}


def test_a_comparison_in_each_event_dates_its_frame():
    raw = run()
    for number in range(1, 30):
        end = START + 100.0 * number
        (frame,) = raw.frames(event(number, end, comparison=(device(end), end, 0.01)))
        assert raw.time_end(frame) == pytest.approx(end, abs=0.01)
        assert raw.context(frame, minimum_i0=0.0).time_start == pytest.approx(end - 10.0, abs=0.01)


def test_what_comes_later_does_not_date_a_frame_anew():
    raw = run()
    (frame,) = raw.frames(event(1, START, comparison=(device(START), START, 0.01)))
    before = raw.time_end(frame)
    raw.frames(event(2, START + 50.0, comparison=(device(START) + 51.0, START + 50.0, 0.01)))
    assert raw.time_end(frame) == before


def test_without_comparisons_the_two_clocks_are_one():
    raw = run()
    nothing = (float("nan"),) * 3
    (frame,) = raw.frames(event(1, START, comparison=nothing))
    assert raw.time_end(frame) == pytest.approx(device(START + 0.5) - 0.5)


def test_a_detector_whose_clock_jumps_gives_no_valid_frame():
    raw = run()
    for number in range(1, 10):
        end = START + 100.0 * number
        jump = 40.0 if number > 5 else 0.0
        comparison = (device(end) + jump, end, 0.01)
        (frame,) = raw.frames(event(number, end, comparison=comparison))
    faults = raw.context(frame, minimum_i0=0.0).faults
    assert any("detector's clock jumps" in fault for fault in faults)


#: A row of a map along x, -0.2 to 0.2 mm in steps of 0.1, exposed over 0.04 mm, back; wherever the
#: stage was when its event was read.
X, WAY, EXPOSURE = [0.2, 0.1, 0.0, -0.1, -0.2], -0.04, 0.5


def flown(tmp_path, off=0.0):
    """A map of which the second row has been flown; its stage was ``off`` mm beside its points."""
    file = FrameFile(tmp_path / "a.h5", shape=(4, 4))
    for number, x in enumerate(X):
        begin = x + off - WAY / 2
        known = {"SampleX": begin, "SampleXEnd": begin + WAY, "SampleY": 1.0, "SampleYEnd": 1.0}
        known |= {"NDArrayTimeStamp": START - 631_152_000.0 + number, "I0": 1e4 + number}
        known |= {"Shutter": 1.0, "RingCurrent": 100.0, "IT": 5e3, "NDArrayUniqueId": number}
        file.add(np.zeros((4, 4), np.uint32), dict.fromkeys(FLOAT_ATTRIBUTES, 0.0) | known)
    file.close()
    axes = ["sample_stage_y", "sample_stage_x"]
    raw = RawRun({"uid": "run", "exposure": EXPOSURE, "motors": axes, "map": {"axes": axes}})
    image = {"external": "STREAM:", "shape": [4, 4]}
    described = {"detector": {"data": {"detector_readout_delay": 0.0}}}
    raw.descriptor({"uid": "d", "data_keys": {"detector_image": image}, "configuration": described})
    dark = {"beam": {"data": {"beam_i0_dark_rate": 5.0, "beam_minimum_ring_current": 10.0}}}
    raw.descriptor({"uid": "t", "name": "trains", "data_keys": {}, "configuration": dark})
    where = {"uri": f"file://localhost{tmp_path}/a.h5", "mimetype": "application/x-hdf5"}
    resource = {"uid": "r", "data_key": "detector_image", "parameters": {"dataset": DATASET}}
    raw.stream_resource(resource | where)
    span = {"indices": {"start": 0, "stop": 5}, "seq_nums": {"start": 6, "stop": 11}}
    assert len(raw.stream_datum({"stream_resource": "r", "descriptor": "d"} | span)) == 5
    return raw, {
        "descriptor": "t",
        "seq_num": 2,
        "time": 0.0,
        "timestamps": {},
        "data": {
            "train": 1,
            "role": "map",
            "row": 1,
            "file": str(tmp_path / "a.h5"),
            "first": 0,
            "n_frames": 5,
            "n_frames_asked": 5,
            "position_first": 0.2,
            "position_last": -0.2,
            "exposure": EXPOSURE,
            "i0": 3.0,
            "ring_current": 100.0,
            "sample_stage_x": -0.3,
            "sample_stage_y": 1.0,
        },
    }


def test_frames_of_a_flown_row_have_place_time_and_i0_of_their_own(tmp_path):
    raw, told = flown(tmp_path)
    frames = raw.frames(told)
    found = [raw.context(frame, minimum_i0=0.0) for frame in frames]
    assert [each.faults for each in found] == [()] * 5
    assert [each.point for each in found] == [5, 6, 7, 8, 9]
    assert [each.seq_num for each in found] == [6, 7, 8, 9, 10]
    places = [each.positions["sample_stage_x"] for each in found]
    assert places == pytest.approx(X)
    assert {each.positions["sample_stage_y"] for each in found} == {1.0}
    assert [each.time_end - START for each in found] == pytest.approx(range(5))
    assert [each.i0 for each in found] == [1e4 + number for number in range(5)]
    # Told again, as behind a pause, they are no second time.
    assert raw.frames(told) == []


def test_a_flown_frame_beside_its_point_is_not_used(tmp_path):
    raw, told = flown(tmp_path, off=0.03)
    found = [raw.context(frame, minimum_i0=0.0) for frame in raw.frames(told)]
    assert [each.point for each in found] == [5, 6, 7, 8, 9]
    assert {each.faults for each in found} == {("stage moved: sample_stage_x by 0.030 mm",)}


def test_a_flown_frame_without_beam_is_told_by_its_own_i0(tmp_path):
    raw, told = flown(tmp_path)
    found = [raw.context(frame, minimum_i0=10_002.5) for frame in raw.frames(told)]
    assert [bool(each.faults) for each in found] == [True, True, True, False, False]
    assert "no beam: I0 1e+04 counts" in found[0].faults[0]
