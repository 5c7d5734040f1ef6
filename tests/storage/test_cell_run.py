import json
import math
from uuid import UUID

import pytest
from event_model import DocumentNames, schema_validators

from battbeam.errors import StorageError
from battbeam.storage.cell_run import CellRun, CellRunTail, Mounts

UID = str(UUID(int=7))
PASSPORT = {"cell": "C42", "chemistry": "LFP"}


def entries(uid=UID):
    return [
        {"n": 0, "kind": "boot", "time": 0.0},
        {"n": 1, "kind": "sample", "time": 0.5, "sequence": 1, "voltage": 1.0},
        {"n": 2, "kind": "mount", "time": 1.0, "cell_run": uid, "passport": PASSPORT},
        {"n": 3, "kind": "clock", "time": 1.5, "device_time": 2.0, "session_time": 1.5,
         "uncertainty": 0.1},
        {"n": 4, "kind": "sample", "source": "file", "time": 12.25, "sequence": 1, "voltage": 3.4,
         "current": 0.001, "charge": 0.5, "state_of_charge": None, "step_index": 0,
         "step_type": "constant_current", "step_count": 1, "cycle_number": 0},
        {"n": 5, "kind": "live", "time": 12.5, "voltage": 3.4},
        {"n": 6, "kind": "watermark", "time": 13.0, "complete_to": 12.25},
        {"n": 7, "kind": "trip", "time": 14.0, "reason": "voltage"},
        {"n": 10, "kind": "impedance", "time": 14.5, "frequency": 10.0, "impedance_real": 12.0,
         "impedance_imaginary": -3.0, "step_index": 1, "step_count": 2, "cycle_number": 1},
        {"n": 8, "kind": "dismount", "time": 20.0},
        {"n": 9, "kind": "sample", "time": 30.0, "sequence": 2, "voltage": 3.4},
    ]  # fmt: skip


def documents(found=None):
    run = CellRun("log.jsonl")
    return [named for entry in found or entries() for named in run.documents(entry)]


def write(path, found):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in found))


def test_every_sample_between_mount_and_dismount_is_one_event_at_the_instruments_time():
    found = documents()
    streams = {doc["uid"]: doc["name"] for name, doc in found if name == "descriptor"}
    samples = [d for n, d in found if n == "event" and streams[d["descriptor"]] == "primary"]
    assert [sample["time"] for sample in samples] == [12.25]
    assert samples[0]["data"]["voltage"] == 3.4
    assert samples[0]["data"]["log_line"] == 4


def test_a_spectrum_is_one_event_a_frequency():
    found = documents()
    streams = {doc["uid"]: doc["name"] for name, doc in found if name == "descriptor"}
    points = [d for n, d in found if n == "event" and streams[d["descriptor"]] == "impedance"]
    assert [(d["time"], d["data"]["frequency"]) for d in points] == [(14.5, 10.0)]
    assert points[0]["data"]["impedance_imaginary"] == -3.0


def test_what_else_happened_to_the_cell_is_kept_as_the_guard_wrote_it():
    found = documents()
    streams = {doc["uid"]: doc["name"] for name, doc in found if name == "descriptor"}
    notes = [d["data"] for n, d in found if n == "event" and streams[d["descriptor"]] == "guard"]
    assert [note["kind"] for note in notes] == ["trip", "dismount"]
    assert json.loads(notes[0]["text"])["reason"] == "voltage"


def test_the_run_has_the_guards_uid_and_ends_with_the_dismount():
    found = documents()
    assert found[0][1]["uid"] == UID
    assert found[0][1]["cell"] == PASSPORT
    name, stop = found[-1]
    assert name == "stop"
    assert (stop["exit_status"], stop["time"]) == ("success", 20.0)
    assert stop["num_events"] == {"primary": 1, "impedance": 1, "guard": 2, "clock": 1}


def test_the_same_log_gives_the_same_documents():
    assert documents() == documents()


def test_the_documents_follow_the_event_model():
    for name, doc in documents():
        schema_validators[DocumentNames[name]].validate(doc)


def test_a_guard_that_starts_again_goes_on_with_the_run():
    again = entries()
    again.insert(5, {**again[2], "n": 50})
    assert [name for name, _ in documents(again)].count("start") == 1


def test_another_mount_without_a_dismount_closes_the_run_as_aborted():
    found = documents(
        [*entries()[:5], {**entries()[2], "cell_run": str(UUID(int=8)), "time": 15.0}]
    )
    assert found[-1][1]["exit_status"] == "abort"
    assert "another cell was mounted" in found[-1][1]["reason"]


def test_the_log_is_followed_while_it_grows(tmp_path):
    log = tmp_path / "log.jsonl"
    mounts = Mounts(log)
    assert list(mounts.read()) == []
    write(log, entries()[:4])
    ((uid, offset),) = mounts.read()
    assert uid == UID
    cell = CellRunTail(log, offset)
    assert [name for name, _ in cell.read()] == ["start", *["descriptor"] * 4, "event"]
    write(log, entries())
    assert [name for name, _ in cell.read()] == [*["event"] * 4, "stop"]
    assert cell.is_complete
    assert list(mounts.read()) == []


def test_a_line_that_lacks_what_it_needs_is_named():
    with pytest.raises(StorageError, match="line 2, a 'mount'"):
        documents([{"n": 2, "kind": "mount", "cell_run": UID, "time": math.nan}])
