"""This file is where one run's spool file is written: whole lines, appended, synced when asked."""

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Document = Mapping[str, Any]


def spool_line(line: int, name: str, doc: Document, wall: float) -> bytes:
    """One document as a line of the spool; NaN and infinities are kept.

    >>> spool_line(3, "stop", {"exit_status": "success", "n": np.int64(2)}, 1.5)
    b'{"line":3,"name":"stop","doc":{"exit_status":"success","n":2},"wall":1.5}\\n'
    """
    record = {"line": line, "name": name, "doc": doc, "wall": wall}
    return json.dumps(record, default=_plain, separators=(",", ":")).encode() + b"\n"


def _plain(value: object) -> object:
    """What JSON can hold of a value that it does not know: of last resort its text."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


class RunFile:
    """One run's file.

    Attributes:
        n_written: Lines handed to the operating system.
        n_synced: Lines known to be on the disk.

    Args:
        path: ``<uid>.jsonl``.
        n_written: Lines that the file holds already; 0 for a file that must not exist yet.
    """

    def __init__(self, path: Path, *, n_written: int = 0) -> None:
        self.path = path
        self.n_written = n_written
        self.n_synced = n_written
        self._has_stop = False
        is_new = os.O_EXCL if n_written == 0 else 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | is_new, 0o644)
        self._size = os.fstat(self._fd).st_size
        self._is_listed = n_written > 0
        self._sync_lock = threading.Lock()

    @property
    def is_finished(self) -> bool:
        """Whether the stop document is on the disk."""
        return self._has_stop and self.n_synced == self.n_written

    def write(self, name: str, doc: Document, wall: float) -> None:
        """Append one document, or nothing of it.

        Raises:
            OSError: If the disk refuses.
        """
        line = spool_line(self.n_written, name, doc, wall)
        try:
            written = os.write(self._fd, line)
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)
        self.n_written += 1
        self._has_stop = self._has_stop or name == "stop"

    def sync(self) -> None:
        """Bring every line to the disk, and the file's name into its directory.

        Raises:
            OSError: If the disk refuses.
        """
        with self._sync_lock:
            n_written = self.n_written
            if n_written == self.n_synced or self._fd < 0:
                return
            os.fsync(self._fd)
            if not self._is_listed:
                _sync_directory(self.path.parent)
                self._is_listed = True
            self.n_synced = n_written

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._sync_lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
