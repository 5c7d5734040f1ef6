import json
import math

import pytest

from battbeam.errors import StorageError
from battbeam.experiment.cell_log import CellLog

SAMPLE = {
    "kind": "sample",
    "source": "file",
    "time": 1.0,
    "sequence": 1,
    "voltage": 3.4,
    "current": 1e-3,
    "charge": 0.5,
    "state_of_charge": 0.1,
    "step_index": 0,
    "step_type": "constant_current",
    "step_count": 1,
    "cycle_number": 1,
}
MOUNT = {"kind": "mount", "time": 0.0, "cell_run": "run", "passport": {}}


def line(**entry) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    log = CellLog(tmp_path / "log.jsonl")
    assert log.refresh() == 0
    assert log.complete_to == -math.inf
    assert log.line_covering(0.0) is None


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    whole, torn = line(**SAMPLE), line(**{**SAMPLE, "time": 2.0})
    path.write_bytes(whole + torn[:20])
    log = CellLog(path)
    assert (log.refresh(), len(log.samples)) == (1, 1)
    with path.open("ab") as file:
        file.write(torn[20:])
    assert (log.refresh(), len(log.samples)) == (1, 2)
    assert list(log.samples["time"]) == [1.0, 2.0]


def test_reading_in_pieces_gives_the_same_as_reading_at_once(tmp_path):
    path, grown = tmp_path / "log.jsonl", tmp_path / "grown.jsonl"
    lines = [line(**{**SAMPLE, "time": float(k), "charge": 0.1 * k}) for k in range(200)]
    path.write_bytes(b"".join(lines))
    whole, piecewise = CellLog(path), CellLog(grown)
    whole.refresh()
    content, at = path.read_bytes(), 0
    for step in (1, 50, 333, 4096, 10_000_000):
        with grown.open("ab") as file:
            file.write(content[at : at + step])
        at += step
        piecewise.refresh()
    for column in ("line", "time", "charge"):
        assert list(whole.samples[column]) == list(piecewise.samples[column])


def test_what_is_no_entry_is_counted_and_keeps_its_line_number(tmp_path):
    path = tmp_path / "log.jsonl"
    nonsense = b"not json\n" + line(**{**SAMPLE, "time": "late"}) + b"[1, 2]\n" + line(kind="boot")
    path.write_bytes(nonsense + line(**SAMPLE))
    log = CellLog(path)
    assert log.refresh() == 5
    assert log.n_unreadable == 3
    assert list(log.samples["line"]) == [4]


def test_a_sample_without_numbers_is_left_out_and_counted(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line(**{**SAMPLE, "current": None}) + line(**{**SAMPLE, "voltage": None}))
    log = CellLog(path)
    log.refresh()
    assert (log.n_unknown, len(log.samples)) == (1, 1)
    assert math.isnan(log.samples["voltage"][0])


def test_the_first_watermark_that_covers_a_time_is_found_and_none_goes_back(tmp_path):
    path = tmp_path / "log.jsonl"
    marks = [10.0, 20.0, 15.0, 30.0]
    path.write_bytes(b"".join(line(kind="watermark", time=t, complete_to=t) for t in marks))
    log = CellLog(path)
    log.refresh()
    assert [log.line_covering(t) for t in (5.0, 10.0, 10.1, 20.0, 25.0, 30.1)] == [
        0,
        0,
        1,
        1,
        3,
        None,
    ]


def test_a_cell_is_in_care_from_its_mounting_to_its_dismounting(tmp_path):
    path = tmp_path / "log.jsonl"
    second = {**MOUNT, "time": 50.0, "cell_run": "second"}
    entries = [MOUNT, SAMPLE, {"kind": "dismount", "time": 40.0}, second]
    path.write_bytes(b"".join(line(**entry) for entry in entries))
    log = CellLog(path)
    log.refresh()
    assert log.mounting_at(99, 30.0).cell_run == "run"
    assert log.mounting_at(99, 45.0) is None
    assert (log.mounting_at(99, 60.0).cell_run, log.mounting_at(99, 60.0).sample) == ("second", 1)
    assert log.mounting_at(3, 60.0) is None


def test_a_log_that_became_shorter_is_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line(**SAMPLE) * 2)
    log = CellLog(path)
    log.refresh()
    path.write_bytes(line(**SAMPLE))
    with pytest.raises(StorageError, match="became shorter"):
        log.refresh()


def test_how_late_the_log_was_complete_is_told_in_wall_seconds(tmp_path):
    path = tmp_path / "log.jsonl"
    marks = [(100.0, 40.0, 60.0), (4000.0, 90.0, 60.0), (4001.0, 95.0, 0.0), (4002.0, 99.0, None)]
    entries = [{"time": t, "complete_to": to, "rate": rate} for t, to, rate in marks]
    path.write_bytes(b"".join(line(kind="watermark", **entry) for entry in entries))
    log = CellLog(path)
    log.refresh()
    assert log.lateness(40.0) == pytest.approx(1.0)
    assert log.lateness(41.0) == pytest.approx(3959.0 / 60.0)
    assert [log.lateness(t) for t in (93.0, 97.0, 100.0)] == [0.0, 0.0, math.inf]
