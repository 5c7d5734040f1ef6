import threading

import pytest

from battbeam.errors import StorageError
from battbeam.storage.run_file import spool_line
from battbeam.storage.tail import LineTail, SpoolReader, documents, run_files, tail


def line(number: int, name: str = "event") -> bytes:
    return spool_line(number, name, {"n": number}, 0.0)


def test_half_a_line_is_never_handed_out(tmp_path):
    path = tmp_path / "run.jsonl"
    text = line(0, "start") + line(1)
    reader = SpoolReader(tmp_path)
    seen = []
    for end in range(len(text) + 1):
        path.write_bytes(text[:end])
        seen.extend(reader.poll())
    assert [found.line for found in seen] == [0, 1]
    assert seen[0].uid == "run"


def test_reading_goes_on_after_the_line_that_was_seen_last(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(0, "start") + line(1) + line(2))
    (tmp_path / "b.jsonl").write_bytes(line(0, "start"))
    found = SpoolReader(tmp_path, after={"a": 1}).poll()
    assert [(one.uid, one.line) for one in found] == [("a", 2), ("b", 0)]


def test_a_run_that_is_stopped_is_not_read_again(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(0, "start") + line(1, "stop"))
    reader = SpoolReader(tmp_path)
    assert len(reader.poll()) == 2
    path.unlink()
    assert reader.poll() == []


def test_a_damaged_line_is_skipped(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(0, "start") + b'{"line":1,"na' + line(1) + line(2))
    assert [found.line for found in documents(path)] == [0, 2]


def test_long_lines_and_long_files_are_read_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    long = spool_line(0, "start", {"text": "x" * 3_000_000}, 0.0)
    path.write_bytes(long + b"".join(line(number) for number in range(1, 40_000)))
    assert [found.line for found in documents(path)] == list(range(40_000))


def test_following_ends_once_it_is_told_to_and_everything_was_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(0, "start") + line(1))
    stop = threading.Event()
    stop.set()
    assert [found.line for found in tail(tmp_path, stop=stop)] == [0, 1]


def test_following_waits_for_what_is_not_there_yet(tmp_path):
    stop = threading.Event()
    directory = tmp_path / "later"

    def write() -> None:
        directory.mkdir()
        (directory / "a.jsonl").write_bytes(line(0, "start") + line(1, "stop"))

    threading.Timer(0.05, write).start()
    found = tail(directory, stop=stop, interval=0.01)
    assert next(found).name == "start"
    stop.set()
    assert [one.name for one in found] == ["stop"]


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        LineTail(tmp_path / "nowhere").read()
    assert run_files(tmp_path / "nowhere") == []
