import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from battbeam.callbacks.flown_rows import FlownRow, FlownRows


@dataclass(frozen=True)
class Frame:
    path: Path
    index: int


def event(**changes):
    told = {
        "train": 1,
        "row": 1,
        "file": "/frames/a.h5",
        "first": 11,
        "n_frames": 11,
        "n_frames_asked": 11,
        "position_first": 1.0,
        "position_last": -1.0,
        "spot_x": 0.1,
    }
    return {**told, **changes}


def frames(path="/frames/a.h5", begin=11, n=11):
    return [Frame(Path(path), begin + k) for k in range(n)]


def test_points_are_counted_in_the_order_in_which_they_are_flown():
    row = FlownRow.of_event(event(), "sample_stage_x")
    told = [row.told(event(), 11 + k, 1.0 - 0.2 * k) for k in range(11)]
    assert [each["point"] for each in told] == list(range(11, 22))
    assert told[3]["sample_stage_x"] == pytest.approx(0.4)


def test_a_missed_pulse_moves_no_frame_to_another_point():
    row = FlownRow.of_event(event(n_frames=10), "sample_stage_x")
    # The third did not come: the fourth is the third in the file.
    assert row.told(event(), 13, 0.4 + 1e-4)["point"] == 14


def test_frames_of_a_file_that_does_not_say_where_are_counted():
    row = FlownRow.of_event(event(), "sample_stage_x")
    assert row.told(event(), 13, math.nan)["point"] == 13


def test_each_frame_has_its_own_spot():
    row = FlownRow.of_event(event(), "sample_stage_x")
    spots = [row.told(event(), 11 + k, 1.0 - 0.2 * k)["spot_x"] for k in (0, 5, 10)]
    # The middle of the row's light, and half a row to either side.
    assert spots == pytest.approx([1.1, 0.1, -0.9])


def test_what_a_pause_broke_off_belongs_to_no_row():
    rows = FlownRows()
    rows.add(frames("/frames/a.h5", 0, 4))
    rows.add(frames("/frames/b.h5", 0, 11))
    told = event(file="/frames/b.h5", first=0)
    assert rows.of_train(told) == frames("/frames/b.h5", 0, 11)
    # Told again behind a pause, it counts once.
    rows.add(frames("/frames/b.h5", 0, 11))
    assert rows.of_train(told) == []


def test_a_partial_train_has_the_frames_that_came():
    rows = FlownRows()
    rows.add(frames(n=9))
    assert rows.of_train(event(n_frames=9)) == frames(n=9)
