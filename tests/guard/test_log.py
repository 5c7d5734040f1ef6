import json
import math
import os

import pytest

from battbeam.errors import GuardError
from battbeam.guard.log import Log, mend, read_lines


def write(path, n):
    log = Log(path)
    for _ in range(n):
        log.write("sample", time=1.0, voltage=3.0)
    log.close()


def test_lines_are_numbered_without_gaps_over_restarts(tmp_path):
    path = tmp_path / "a" / "log.jsonl"
    write(path, 3)
    write(path, 2)
    assert [line["n"] for line in read_lines(path)] == [0, 1, 2, 3, 4]


def test_a_line_is_there_before_it_is_synced(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.write("boot", time=1.0)
    assert [line["kind"] for line in read_lines(log.path)] == ["boot"]
    log.close()


def test_numbers_that_json_cannot_say_become_null(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.write("live", time=1.0, voltage=math.nan, nested={"list": [math.inf, 1.0]})
    log.close()
    (line,) = read_lines(log.path)
    assert line["voltage"] is None
    assert line["nested"] == {"list": [None, 1.0]}


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_cut_off_and_kept_aside(tmp_path, cut):
    path = tmp_path / "log.jsonl"
    write(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    write(path, 1)
    assert [line["n"] for line in read_lines(path)] == [0, 1, 2]
    (aside,) = tmp_path.glob("log.torn-*")
    assert whole.endswith(aside.read_bytes() + whole[len(whole) - cut :])


def test_a_log_of_one_torn_line_becomes_an_empty_one(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 0, "ki')
    write(path, 1)
    assert [line["n"] for line in read_lines(path)] == [0]


def test_a_line_longer_than_a_block_is_found(tmp_path):
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.write("mount", time=1.0, passport="x" * 200_000)
    log.write("mount", time=1.0, passport="y" * 200_000)
    log.close()
    assert mend(path) is None
    write(path, 1)
    assert [line["n"] for line in read_lines(path)] == [0, 1, 2]


def test_damage_in_the_middle_is_not_passed_over(tmp_path):
    path = tmp_path / "log.jsonl"
    line = json.dumps({"n": 0, "kind": "boot"})
    path.write_text(f"{line}\n{{broken\n{line}\n")
    with pytest.raises(GuardError, match="line 1 is damaged"):
        list(read_lines(path))


def test_a_full_disk_keeps_the_lines_until_there_is_room(tmp_path, monkeypatch):
    log = Log(tmp_path / "log.jsonl")
    real, room = os.write, [7, 5]

    def full(descriptor, lines):
        if not room:
            raise OSError(28, "No space left on device")
        return real(descriptor, lines[: room.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        log.write("sample", time=1.0)
        log.write("sample", time=2.0)
        assert "cannot be written" in log.fault
    log.write("sample", time=3.0)
    assert log.fault == ""
    log.close()
    assert [line["n"] for line in read_lines(log.path)] == [0, 1, 2]


def test_a_log_that_is_not_there_has_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "none.jsonl")) == []
