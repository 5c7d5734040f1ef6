"""Frames are dated by the detector's clock as known when their event was written."""

import pytest

from battbeam.callbacks.raw_run import RawRun

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
