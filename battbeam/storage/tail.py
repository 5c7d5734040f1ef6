"""This file is where spool files are read while they grow: whole lines, in order, each once."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.errors import StorageError
from battbeam.experiment.log_parts import read_block

#: Wall seconds between two looks at a directory; far below what a person notices.
POLL_INTERVAL = 0.05
#: Bytes read at once, so that memory does not grow with the length of a file.
BLOCK = 1 << 20

_log = logging.getLogger(__name__)


class LineTail:
    """The complete lines of one growing file, or of a log in parts, each once.

    Attributes:
        offset: Byte at which the next line starts.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset

    def read(self) -> list[tuple[int, bytes]]:
        """The lines that were completed since the last call, at most about a megabyte.

        Returns:
            Byte offset of each line and the line without its newline. A last line that is still
            being written is left for the next call.

        Raises:
            StorageError: If the file cannot be read.
        """
        try:
            block = read_block(self.path, self.offset, BLOCK)
        except ValueError:
            block = b""
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error}") from error
        lines: list[tuple[int, bytes]] = []
        for line in block[: block.rfind(b"\n") + 1].splitlines(keepends=True):
            lines.append((self.offset, line[:-1]))
            self.offset += len(line)
        return lines


@dataclass(frozen=True)
class SpoolLine:
    """One document as it stands in the spool.

    Attributes:
        uid: Of the run.
        line: Its number in the run's file, from 0.
        name: ``start``, ``descriptor``, ``event``, ...
        doc: The document.
        wall: s since the Unix epoch, on the wall, when it was written.
    """

    uid: str
    line: int
    name: str
    doc: dict[str, Any]
    wall: float


class RunTail:
    """The documents of one run's spool file, each once, as they appear.

    Attributes:
        next_line: Number of the document that is read next.
        is_complete: Whether the stop document has been read.
    """

    def __init__(self, path: Path, *, next_line: int = 0) -> None:
        self.path = path
        self.uid = path.stem
        self.next_line = next_line
        self.is_complete = False
        self._lines = LineTail(path)

    def read(self) -> list[SpoolLine]:
        """The documents that are new since the last call; empty when there is none.

        A complete line that is no document (half a line that a crash left, with another one behind
        it) is skipped and logged once.
        """
        documents = []
        for offset, text in self._lines.read():
            line = self._parsed(offset, text)
            if line is None or line.line < self.next_line:
                continue
            self.next_line = line.line + 1
            self.is_complete = self.is_complete or line.name == "stop"
            documents.append(line)
        return documents

    def _parsed(self, offset: int, text: bytes) -> SpoolLine | None:
        try:
            record = json.loads(text)
            return SpoolLine(
                uid=self.uid,
                line=int(record["line"]),
                name=str(record["name"]),
                doc=record["doc"],
                wall=float(record["wall"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("%s: no document at byte %d, skipped: %s", self.path, offset, error)
            return None


class SpoolReader:
    """The documents of every run in a spool directory, each once, as they appear.

    Args:
        directory: With one ``<uid>.jsonl`` a run; it may not exist yet.
        after: Number of the last line that was already seen, by run uid.
    """

    def __init__(self, directory: Path, *, after: Mapping[str, int] | None = None) -> None:
        self.directory = directory
        self._after = dict(after or {})
        self._open: dict[str, RunTail] = {}
        self._complete: set[str] = set()

    def forget(self, uid: str) -> None:
        """Do not read the run any more."""
        self._open.pop(uid, None)
        self._complete.add(uid)

    def poll(self) -> list[SpoolLine]:
        """The documents that are new since the last call, run by run in order of file name."""
        self._discover()
        lines: list[SpoolLine] = []
        for uid, run in list(self._open.items()):
            lines.extend(run.read())
            if run.is_complete:
                self.forget(uid)
        return lines

    def _discover(self) -> None:
        for path in run_files(self.directory):
            uid = path.stem
            if uid not in self._open and uid not in self._complete:
                self._open[uid] = RunTail(path, next_line=self._after.get(uid, -1) + 1)


def run_files(directory: Path) -> list[Path]:
    """The spool files in a directory, in order of name; none where it does not exist."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    return [directory / name for name in names if name.endswith(".jsonl")]


def tail(
    directory: Path,
    *,
    after: Mapping[str, int] | None = None,
    stop: threading.Event | None = None,
    interval: float = POLL_INTERVAL,
) -> Iterator[SpoolLine]:
    """Every document of a spool directory as it appears, for ever or until ``stop`` is set.

    Args:
        directory: With one ``<uid>.jsonl`` a run.
        after: Number of the last line that was already seen, by run uid.
        stop: Once it is set, what is on disk is still handed out, then the iteration ends.
        interval: Wall seconds between two looks.
    """
    reader = SpoolReader(directory, after=after)
    while True:
        is_last = stop is not None and stop.is_set()
        lines = reader.poll()
        yield from lines
        if lines:
            continue
        if is_last:
            return
        if stop is None:
            time.sleep(interval)
        else:
            stop.wait(interval)


def documents(path: Path) -> list[SpoolLine]:
    """Every document that one spool file holds now."""
    run = RunTail(path)
    found: list[SpoolLine] = []
    while lines := run.read():
        found.extend(lines)
    return found
