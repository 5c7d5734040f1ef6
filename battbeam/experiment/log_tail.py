"""This file is where the logs of a cycler in one directory are followed while they grow.

Every row is handed out once: a last line without its end waits, a file that was written anew is
read again and what is known of it passed over, a next file goes on where the one before ended.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from battbeam.experiment.bdf import BdfReader
from battbeam.experiment.cycler_log import (
    LogReader,
    LogRow,
    LogStyle,
    Span,
    decoded,
    key_parts,
)
from battbeam.experiment.mpt import MptReader

#: By the name of the format.
READERS: Mapping[str, Callable[[str, LogStyle, Span], LogReader]] = {
    "mpt": MptReader,
    "bdf": BdfReader,
}
#: Files that are still looked at; older ones do not grow any more.
MOST_OPEN = 8
#: Bytes read at once.
BLOCK = 1 << 20
#: Two starts within this are one, s, and this part of what has elapsed: a table that rotates says
#: its start anew, and its two clocks part a little.
SAME_START, SAME_RATE = 2.0, 1e-4


@dataclass
class _File:
    path: Path
    reader: LogReader
    offset: int = 0
    rest: bytes = b""
    has_rows: bool = False
    rows: list[LogRow] = field(default_factory=list)

    @property
    def order(self) -> tuple[float, list[tuple[int, str]]]:
        started = self.reader.started
        return started.time if started else float("inf"), natural(self.path.name)


class LogTail:
    """Follows the logs of one channel.

    Attributes:
        faults: Why a file cannot be read, by name.
        positions: Rows handed out or passed over, by file and start.
        n_late: Rows that were older than one handed out before; they are left out.
    """

    def __init__(
        self,
        directory: Path,
        pattern: str,
        *,
        form: str,
        style: LogStyle,
        positions: Mapping[str, int] | None = None,
    ) -> None:
        """Files of a directory.

        Args:
            directory: Where the software writes.
            pattern: Of the names of this channel's files, as a shell has it.
            form: ``mpt`` or ``bdf``.
            style: What the files do not say of themselves.
            positions: Rows that are known from before.
        """
        self.faults: dict[str, str] = {}
        self.positions = dict(positions or {})
        self.n_late = 0
        self._directory, self._pattern = directory, pattern
        self._make, self._style = READERS[form], style
        self._seen: set[str] = set()
        self._files: list[_File] = []
        self._newest: LogRow | None = None

    @property
    def n_unreadable(self) -> int:
        """Rows that were no numbers, of the files still looked at."""
        return sum(file.reader.n_unreadable for file in self._files)

    @property
    def start_uncertainty(self) -> float:
        """How coarsely the start of the newest file was written down, s; 0 before any."""
        started = [file.reader.started for file in self._files if file.reader.started]
        return started[-1].uncertainty if started else 0.0

    def read(self, now: float) -> list[LogRow]:
        """Rows that are new, in order.

        Args:
            now: Session clock, s since the Unix epoch.

        Raises:
            OSError: If the directory cannot be read.
        """
        self._find(now)
        for file in self._files:
            self._grow(file, now)
        self._files.sort(key=lambda file: file.order)
        found: list[LogRow] = []
        for number, file in enumerate(self._files):
            if any(later.has_rows for later in self._files[number + 1 :]):
                self._finish(file)
            found += self._accepted(file)
        for file in self._files[:-MOST_OPEN]:
            self._finish(file)
            found += self._accepted(file)
        del self._files[:-MOST_OPEN]
        return found

    def _find(self, now: float) -> None:
        if not self._directory.is_dir():
            raise FileNotFoundError(f"no directory {self._directory}")
        names = {path.name for path in self._directory.glob(self._pattern)} - self._seen
        for name in sorted(names, key=natural):
            self._seen.add(name)
            self._files.append(_File(self._directory / name, self._reader(name, now)))

    def _reader(self, name: str, now: float) -> LogReader:
        before = self._newest.time if self._newest else float("-inf")
        return self._make(name, self._style, Span(not_before=before, not_after=now))

    def _grow(self, file: _File, now: float) -> None:
        """Read the whole lines that were added."""
        if file.path.name in self.faults:
            return
        try:
            if file.path.stat().st_size < file.offset + len(file.rest):
                file.reader, file.offset, file.rest = self._reader(file.path.name, now), 0, b""
            with file.path.open("rb") as stream:
                stream.seek(file.offset + len(file.rest))
                while block := stream.read(BLOCK):
                    *lines, rest = (file.rest + block).split(b"\n")
                    for line in lines:
                        file.offset += len(line) + 1
                        self._line(file, line)
                    file.rest = rest
        except OSError:
            # A share that is away for a moment: the offset stays, so nothing is lost or doubled.
            return
        except ValueError as fault:
            self.faults[file.path.name] = f"{file.path}: {fault}"

    def _finish(self, file: _File) -> None:
        """The next file has begun: a last line without its end will not get one."""
        if file.rest and file.reader.is_whole(decoded(file.rest)):
            rest, file.rest = file.rest, b""
            file.offset += len(rest)
            self._line(file, rest)

    def _line(self, file: _File, line: bytes) -> None:
        row = file.reader.row(decoded(line))
        if row is None:
            return
        file.has_rows = True
        name, number = key_parts(row.key)
        if number > self.positions.get(name, 0):
            self.positions[name] = number
            file.rows.append(row)

    def _accepted(self, file: _File) -> list[LogRow]:
        """The new rows of a file, as far as they ascend."""
        rows, file.rows = file.rows, []
        accepted = []
        for row in rows:
            if self._newest is not None and row.time < self._newest.time:
                self.n_late += 1
                continue
            self._newest = row if self._newest is None else _joined(row, self._newest)
            accepted.append(self._newest)
        return accepted


def _joined(row: LogRow, before: LogRow) -> LogRow:
    """A row of the acquisition before it, where both say nearly the same start."""
    start, known = float(row.acquisition), float(before.acquisition)
    if start != known and abs(start - known) < SAME_START + SAME_RATE * (before.time - known):
        return replace(row, acquisition=before.acquisition)
    return row


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names with numbers as people do.

    >>> sorted(["cell_10.mpt", "cell_9.mpt"], key=natural)
    ['cell_9.mpt', 'cell_10.mpt']
    """
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
