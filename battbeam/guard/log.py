"""This file is where a guard writes down everything that happened to its cell: one JSON line each,
append-only.

A line is written at once and synced by a thread of its own every 100 ms. Lines are numbered without
gaps.
"""

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from battbeam.errors import GuardError
from battbeam.experiment.log_parts import part, parts

#: Wall s between syncs; what a power cut can take.
SYNC_INTERVAL = 0.1
#: Bytes after which a log goes on in another file: about two days of a cell under current.
PART_SIZE = 256 << 20


class Log:
    """Writes one guard's log.

    Attributes:
        path: Of its first part.
        n: Number of the next line.
        fault: Why lines are not on disk yet; empty when they are.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._number = max(len(parts(path)) - 1, 0)
        mend(part(path, self._number))
        self.n = _last_number(path) + 1
        self.fault = ""
        self._file = part(path, self._number).open("ab", buffering=0)
        self._pending = bytearray()
        self._dirty = threading.Event()
        self._is_open = True
        self._flusher = threading.Thread(target=self._sync_for_ever, name="log-sync", daemon=True)
        self._flusher.start()

    def write(self, kind: str, *, time: float, **fields: Any) -> int:
        """Append one line and return its number.

        A full disk keeps no guard from protecting its cell: lines wait in memory until they can be
        written, and `fault` says so.
        """
        line = {"n": self.n, "kind": kind, "time": time, **fields}
        self._pending += json.dumps(_finite(line), allow_nan=False).encode() + b"\n"
        self.n += 1
        self._write_pending()
        self._dirty.set()
        return self.n - 1

    def _write_pending(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._file.fileno(), self._pending)]
            self.fault = ""
            if self._file.tell() >= PART_SIZE:
                self._begin_part()
        except OSError as error:
            self.fault = f"{self.path} cannot be written: {error}; lines wait in memory"

    def _begin_part(self) -> None:
        """Go on in another file; a reader counts bytes through both."""
        full = self._file
        os.fsync(full.fileno())
        self._file = part(self.path, self._number + 1).open("ab", buffering=0)
        self._number += 1
        full.close()

    def close(self) -> None:
        """Sync and close."""
        self._is_open = False
        self._dirty.set()
        self._flusher.join()
        self._file.close()

    def _sync_for_ever(self) -> None:
        pause = threading.Event()
        while self._is_open:
            self._dirty.wait()
            self._dirty.clear()
            # Another part may have begun just now; the full one was synced then.
            with contextlib.suppress(OSError, ValueError):
                os.fsync(self._file.fileno())
            pause.wait(SYNC_INTERVAL if self._is_open else 0)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log, in order.

    Raises:
        GuardError: If a line before the last is no JSON object: the file was damaged.
    """
    for each in parts(path):
        with each.open("rb") as file:
            for number, raw in enumerate(file):
                if not raw.endswith(b"\n"):
                    return
                try:
                    yield json.loads(raw)
                except ValueError as error:
                    raise GuardError(f"{each}: line {number} is damaged: {error}") from error


def mend(path: Path) -> Path | None:
    """Cut a torn last line off a log and keep it aside; returns where, None if none was torn."""
    if not path.exists():
        return None
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file, size)
        file.seek(start)
        tail = file.read()
        if not tail or (tail.endswith(b"\n") and _is_object(tail)):
            return None
        aside = path.with_suffix(f".torn-{start}")
        aside.write_bytes(tail)
        file.truncate(start)
        os.fsync(file.fileno())
    return aside


def _start_of_last_line(file: BinaryIO, size: int) -> int:
    """Offset of the last line, whether or not it is closed by a newline."""
    block, position, kept = 65536, size, b""
    while position > 0:
        step = min(block, position)
        position -= step
        file.seek(position)
        kept = file.read(step) + kept
        found = kept.rfind(b"\n", 0, len(kept) - 1)
        if found >= 0:
            return position + found + 1
    return 0


def _is_object(raw: bytes) -> bool:
    with contextlib.suppress(ValueError):
        return isinstance(json.loads(raw), dict)
    return False


def _last_number(path: Path) -> int:
    """Of the last line of the last part that has one; -1 if there is none."""
    for each in reversed(parts(path)):
        with each.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(_start_of_last_line(file, size))
                number: int = json.loads(file.read())["n"]
                return number
    return -1


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
