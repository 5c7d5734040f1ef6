import errno
import json
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from battbeam.errors import StorageError
from battbeam.processes import wait_for
from battbeam.storage.routes import coerced, coerced_column
from battbeam.storage.spool import Spool
from battbeam.storage.tail import documents

START = {"uid": "run", "time": 1.0}
DESCRIPTOR = {
    "uid": "stream",
    "run_start": "run",
    "name": "primary",
    "time": 1.0,
    "data_keys": {"voltage": {"dtype": "number"}, "point": {"dtype": "integer"}},
}


def event(seq_num: int = 1, **data: object) -> dict[str, object]:
    return {"descriptor": "stream", "seq_num": seq_num, "time": 2.0, "data": data, "timestamps": {}}


def spooled(directory: Path, uid: str = "run") -> list[dict]:
    return [json.loads(line) for line in (directory / f"{uid}.jsonl").read_text().splitlines()]


def test_a_document_is_a_line_of_its_runs_file_as_soon_as_it_was_handed_in(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", event(voltage=3.4))
        lines = spooled(spool_directory)
    assert [line["line"] for line in lines] == [0, 1, 2]
    assert [line["name"] for line in lines] == ["start", "descriptor", "event"]
    assert lines[2]["doc"]["data"] == {"voltage": 3.4}


def test_each_document_reaches_the_file_of_its_own_run(spool_directory):
    with Spool(spool_directory) as spool:
        for run in ("a", "b"):
            spool("start", {"uid": run, "time": 1.0})
            spool("descriptor", {**DESCRIPTOR, "uid": f"stream {run}", "run_start": run})
            spool("stream_resource", {"uid": f"file {run}", "run_start": run})
        for run in ("a", "b"):
            spool("event", {**event(), "descriptor": f"stream {run}"})
            spool(
                "event_page", {**event(), "descriptor": f"stream {run}", "data": {"point": [1.0]}}
            )
            spool("stream_datum", {"descriptor": f"stream {run}", "stream_resource": f"file {run}"})
            spool("stop", {"uid": "x", "run_start": run})
    for run in ("a", "b"):
        names = [line["name"] for line in spooled(spool_directory, run)]
        assert names == [
            "start", "descriptor", "stream_resource", "event", "event_page", "stream_datum", "stop",
        ]  # fmt: skip


def test_numbers_take_the_type_that_the_descriptor_declares(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", event(voltage=3, point=2.0))
    assert '"voltage":3.0,"point":2' in (spool_directory / "run.jsonl").read_text()
    assert coerced(np.int32(3), "number") == 3.0
    assert coerced(3.5, "integer") == 3.5
    assert coerced_column([1, 2.5], "number") == [1.0, 2.5]


def test_arrays_scalars_and_nan_survive(spool_directory):
    with Spool(spool_directory) as spool:
        spool(
            "start", {**START, "grid": np.arange(2), "n": np.int64(3), "path": Path("/x"), "s": {1}}
        )
        spool("descriptor", DESCRIPTOR)
        spool("event", event(voltage=math.nan))
    start, _, last = documents(spool_directory / "run.jsonl")
    assert start.doc == {**START, "grid": [0, 1], "n": 3, "path": "/x", "s": [1]}
    assert math.isnan(last.doc["data"]["voltage"])


def test_what_was_handed_in_is_synced_within_a_few_intervals(spool_directory):
    with Spool(spool_directory, sync_interval=0.02) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", event(voltage=3.0))
        wait_for(lambda: spool.acknowledged("run") == 3, timeout=5.0, what="the sync")


def test_the_caller_s_document_is_left_as_it_was(spool_directory):
    document = event(voltage=3)
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", document)
    assert document["data"] == {"voltage": 3}
    assert isinstance(document["data"]["voltage"], int)


def test_a_full_disk_is_reported_once_and_nothing_is_lost_when_there_is_room(
    spool_directory, monkeypatch
):
    reasons: list[str] = []
    is_full = False
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        if not is_full:
            return write(descriptor, data)
        write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("battbeam.storage.run_file.os.write", limited)
    with Spool(spool_directory, on_failure=reasons.append, sync_interval=0.02) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        is_full = True
        for number in range(3):
            spool("event", event(number + 1, voltage=3.0))
        assert spool.error is not None
        assert "cannot write a event document" in spool.error
        wait_for(lambda: len(reasons) == 1, timeout=5.0, what="the report")
        is_full = False
        wait_for(lambda: spool.error is None, timeout=5.0, what="the disk")
        spool("stop", {"uid": "x", "run_start": "run"})
    lines = spooled(spool_directory)
    assert [line["line"] for line in lines] == list(range(6))
    assert [line["doc"]["seq_num"] for line in lines if line["name"] == "event"] == [1, 2, 3]
    assert len(reasons) == 1


def test_a_document_of_no_open_run_is_reported_and_stays_reported(spool_directory):
    with Spool(spool_directory) as spool:
        spool("event", event())
        spool("start", START)
        assert spool.error == "a event document belongs to no open run: descriptor 'stream'"


def test_a_document_without_a_form_in_json_is_reported_and_the_others_are_kept(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", event(voltage={(1, 2): 3}))
        spool("event", event(voltage=3.0))
        assert "has no form in JSON" in (spool.error or "")
    assert [line["line"] for line in spooled(spool_directory)] == [0, 1, 2]


def test_too_little_room_is_refused_with_what_is_there(spool_directory):
    with (
        Spool(spool_directory, minimum_free=1e18) as spool,
        pytest.raises(StorageError, match="MB free, 1000000000000 MB wanted; make room"),
    ):
        spool.check_space()


def test_documents_from_many_threads_are_whole_lines(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        threads = [
            threading.Thread(
                target=lambda: [spool("event", event(voltage=1.0)) for _ in range(200)]
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(spool.durations) == 802
    assert [line["line"] for line in spooled(spool_directory)] == list(range(802))


def test_a_document_costs_the_run_engine_far_less_than_ten_milliseconds(spool_directory):
    pattern = np.arange(1000.0).tolist()
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        for _ in range(500):
            spool("event", event(voltage=3.0, intensity=pattern))
        assert np.percentile(spool.durations, 99) < 0.010


def test_a_run_that_is_written_again_continues_where_its_file_ends(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
        spool("event", event(1, voltage=1.0))
    with (spool_directory / "run.jsonl").open("ab") as file:
        file.write(b'{"line":3,"na')
    with Spool(spool_directory, resume=True) as spool:
        spool("start", START)
        spool("descriptor", {**DESCRIPTOR, "uid": "stream again"})
        for number in (1, 2):
            spool("event", {**event(number, voltage=1.0), "descriptor": "stream again"})
        spool("stop", {"uid": "x", "run_start": "run"})
    lines = spooled(spool_directory)
    assert [line["line"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["doc"].get("descriptor") for line in lines[2:4]] == ["stream", "stream"]
    assert (spool_directory / "run.torn").read_bytes() == b'{"line":3,"na\n'


def test_a_second_pass_that_comes_to_other_documents_is_reported(spool_directory):
    with Spool(spool_directory) as spool:
        spool("start", START)
        spool("descriptor", DESCRIPTOR)
    with Spool(spool_directory, resume=True) as spool:
        spool("start", START)
        spool("stop", {"uid": "x", "run_start": "run"})
        assert "line 1 is a descriptor, replayed it is a stop" in (spool.error or "")
