"""This file is where a guard's log is read while it grows.

Every entry keeps the number of its line, so that a reader can ask what was known when a line was
written; the answer is the same today as on the day (see `battbeam.experiment.timeline`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import StorageError
from battbeam.experiment.guard_state import IDLE, GuardState
from battbeam.experiment.log_parts import read_block
from battbeam.units import AnyArray

#: Bytes read at once, so that memory does not grow with the length of the log.
BLOCK = 1 << 20
#: A full table gets this many times its rows, and some more.
GROWTH, SPARE_ROWS = 1.1, 64
#: Columns that need fewer bytes than a double: a week has millions of rows.
NARROW = {
    "step_index": np.int32,
    "step_count": np.int32,
    "cycle_number": np.int32,
    "is_live": np.bool_,
    "is_idle": np.bool_,
    "delay": np.float32,
    "rate": np.float32,
}
#: The same of live values, which stand in for a while: a microvolt, and a millionth of the charge.
NARROW_LIVE = dict.fromkeys(("voltage", "current", "charge"), np.float32)
#: Currents below this are none, A: ten times the offset of a good potentiostat's lowest range.
NO_CURRENT = 1e-8

_SAMPLE = (
    "line",
    "time",
    "voltage",
    "current",
    "step_index",
    "step_count",
    "cycle_number",
    "is_live",
    "charge",
)


class Table:
    """Columns of numbers that grow at the end; reading a column copies nothing."""

    def __init__(self, columns: Sequence[str], narrow: Mapping[str, type] = NARROW) -> None:
        self._columns: dict[str, AnyArray] = {
            name: np.empty(SPARE_ROWS, narrow.get(name, np.float64)) for name in columns
        }
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, *values: float) -> None:
        """One row, in the order of the columns."""
        if self._n == len(next(iter(self._columns.values()))):
            # One column after the other: a week of samples must not need room twice.
            for name, column in self._columns.items():
                room = np.empty(int(GROWTH * self._n) + SPARE_ROWS, column.dtype)
                room[: self._n] = column
                self._columns[name] = room
        for column, value in zip(self._columns.values(), values, strict=True):
            column[self._n] = value
        self._n += 1

    def __getitem__(self, column: str) -> AnyArray:
        """One column, shape (n,)."""
        return self._columns[column][: self._n]


@dataclass(frozen=True)
class Mounting:
    """A cell put into the guard's care.

    Attributes:
        line: Of the log.
        time: s since the Unix epoch, session clock.
        cell_run: Uid of the cell run, "" for a dismount.
        passport: As mounted.
        sample: Index of the first sample after it.
    """

    line: int
    time: float
    cell_run: str
    passport: Mapping[str, Any]
    sample: int


class CellLog:
    """What a guard has written so far about its cell.

    Attributes:
        samples: The record, a row a sample; ``charge`` is the guard's: passed since the cell was
            mounted, mAh; ``time`` is on the cycler's clock and never goes back.
        live: Live values seen between records: ``line``, ``time`` (cycler's clock, NaN while it
            is not known), ``session_time`` (never goes back), ``voltage``, ``current``, ``charge``
            (the integral along the live values, mAh; only differences mean anything).
        watermarks: ``line``, ``complete_to`` (session clock; never goes back), ``delay`` after which
            it was written (s of that clock), ``rate`` of that clock then; 0 where it is not said.
        comparisons: ``line``, ``device_time``, ``session_time``, ``uncertainty``.
        states: ``line``, ``time``, ``is_idle``, ``is_over`` (of the protocol).
        mountings: Mounts and dismounts.
        n_unreadable: Lines that were no entries.
        n_unknown: Samples without a number for time, current or charge; they are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = Table(_SAMPLE)
        names = ("line", "time", "session_time", "voltage", "current", "charge")
        self.live, self._live_charge = Table(names, NARROW_LIVE), 0.0
        self.watermarks = Table(("line", "complete_to", "delay", "rate"))
        self.comparisons = Table(("line", "device_time", "session_time", "uncertainty"))
        self.states = Table(("line", "time", "is_idle", "is_over"))
        self.mountings: list[Mounting] = []
        self.n_unreadable = self.n_unknown = 0
        self._offset = 0
        self._line = -1

    def refresh(self) -> int:
        """Read what was added; a line that is still being written is left for the next time.

        Returns:
            How many lines were read.

        Raises:
            StorageError: If the log is there and cannot be read, or has become shorter.
        """
        if not self.path.exists():
            return 0
        n_lines = 0
        try:
            while block := self._block():
                for line in block.splitlines():
                    self.add(line)
                    n_lines += 1
                self._offset += len(block)
        except ValueError as error:
            raise StorageError(str(error)) from error
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error}") from error
        return n_lines

    def _block(self) -> bytes:
        """Whole lines that were not read before; empty when there is none yet."""
        block = read_block(self.path, self._offset, BLOCK)
        return block[: block.rfind(b"\n") + 1]

    def add(self, line: bytes | str) -> None:
        """Take in one line; lines are numbered as they stand in the file, from 0."""
        self._line += 1
        try:
            entry = json.loads(line)
            kind = entry["kind"]
        except (ValueError, TypeError, KeyError):
            self.n_unreadable += 1
            return
        take = _KINDS.get(kind)
        if take is None:
            return
        try:
            take(self, entry)
        except (KeyError, TypeError, ValueError):
            self.n_unreadable += 1

    @property
    def complete_to(self) -> float:
        """Nothing before this can still be added, session clock; minus infinity if never said."""
        return float(self.watermarks["complete_to"][-1]) if len(self.watermarks) else -math.inf

    def line_covering(self, time: float) -> int | None:
        """The line of the first watermark that covers ``time`` (session clock), or None."""
        position = int(np.searchsorted(self.watermarks["complete_to"], time))
        return None if position == len(self.watermarks) else int(self.watermarks["line"][position])

    def lateness(self, time: float) -> float:
        """Wall s after which it was said that all is known up to ``time`` (session clock).

        0 where nobody can tell: the clock stood still, or the log is of before rates were noted.
        """
        position = int(np.searchsorted(self.watermarks["complete_to"], time))
        if position == len(self.watermarks):
            return math.inf
        rate, delay, to = (
            float(self.watermarks[name][position]) for name in ("rate", "delay", "complete_to")
        )
        late = (to - time + delay) / rate if rate > 0 else 0.0
        return late if math.isfinite(late) else 0.0

    def mounting_at(self, line: int, time: float) -> Mounting | None:
        """The cell in the guard's care at ``time``, as known at ``line``; None if there is none."""
        known = [each for each in self.mountings if each.line < line and each.time <= time]
        return known[-1] if known and known[-1].cell_run else None

    def is_over_at(self, line: int, time: float) -> bool:
        """Whether no protocol was under way at ``time`` (session clock), as known at ``line``."""
        known = int(np.searchsorted(self.states["line"], line))
        last = int(np.searchsorted(self.states["time"][:known], time, side="right")) - 1
        return last >= 0 and bool(self.states["is_over"][last])

    def _sample(self, entry: Mapping[str, Any]) -> None:
        time, current, charge = (_number(entry, name) for name in ("time", "current", "charge"))
        if not all(map(math.isfinite, (time, current, charge))):
            self.n_unknown += 1
            return
        if len(self.samples):
            time = max(time, float(self.samples["time"][-1]))
        self.samples.append(
            self._line,
            time,
            _number(entry, "voltage"),
            current,
            _count(entry, "step_index"),
            _count(entry, "step_count"),
            _count(entry, "cycle_number"),
            entry.get("source") == "live",
            charge,
        )

    def _live(self, entry: Mapping[str, Any]) -> None:
        time, current = _number(entry, "time"), _number(entry, "current")
        seen = _number(entry, "session_time")
        seen = time if math.isnan(seen) else seen
        if not (math.isfinite(seen) and math.isfinite(current)):
            return
        charge = 0.0
        if len(self.live):
            last = float(self.live["session_time"][-1])
            seen = max(seen, last)
            mean = 0.5 * (float(self.live["current"][-1]) + current)
            charge = self._live_charge + charge_from(mean, seen - last)
        self._live_charge = charge
        self.live.append(self._line, time, seen, _number(entry, "voltage"), current, charge)

    def _watermark(self, entry: Mapping[str, Any]) -> None:
        complete_to = float(entry["complete_to"])
        # Only the first mark that reaches further is ever asked for.
        if math.isfinite(complete_to) and complete_to > self.complete_to:
            delay, rate = _number(entry, "time") - complete_to, _number(entry, "rate")
            rate = 0.0 if math.isnan(rate) else rate
            self.watermarks.append(self._line, complete_to, delay, rate)

    def _comparison(self, entry: Mapping[str, Any]) -> None:
        values = [float(entry[name]) for name in ("device_time", "session_time", "uncertainty")]
        if all(map(math.isfinite, values)):
            self.comparisons.append(self._line, *values)

    def _state(self, entry: Mapping[str, Any]) -> None:
        state = entry["state"]
        # An opened circuit may interrupt a step: a rest is kept so while it is measured.
        is_over = state in IDLE and state != GuardState.OPEN_CIRCUIT
        self.states.append(self._line, _number(entry, "time"), state in IDLE, is_over)

    def _mount(self, entry: Mapping[str, Any]) -> None:
        run, passport = str(entry["cell_run"]), entry["passport"]
        if not isinstance(passport, Mapping):
            raise ValueError("a passport is an object")
        mounting = Mounting(self._line, float(entry["time"]), run, passport, len(self.samples))
        self.mountings.append(mounting)

    def _dismount(self, entry: Mapping[str, Any]) -> None:
        self.mountings.append(Mounting(self._line, float(entry["time"]), "", {}, len(self.samples)))


_KINDS = {
    "sample": CellLog._sample,
    "live": CellLog._live,
    "watermark": CellLog._watermark,
    "clock": CellLog._comparison,
    "state": CellLog._state,
    "mount": CellLog._mount,
    "dismount": CellLog._dismount,
}


def _number(entry: Mapping[str, Any], name: str) -> float:
    """A number that may be missing; NaN then."""
    value = entry.get(name)
    return math.nan if value is None else float(value)


def _count(entry: Mapping[str, Any], name: str) -> int:
    """A whole number that may be missing; -1 then."""
    value = entry.get(name)
    return -1 if value is None else int(value)


def charge_from(current: float, duration: float) -> float:
    """mAh that a current in A moves in s."""
    return current * duration / 3.6


def is_idle_edge(first: float, last: float) -> bool:
    """Whether only one of two currents in A is none."""
    return (abs(first) < NO_CURRENT) != (abs(last) < NO_CURRENT)


def edge_charge(first: float, last: float, duration: float) -> float:
    """mAh between a record and the live value after it.

    Where current flows on one side only, the cycler stopped or started between them. It records
    both moments, so none flowed here.
    """
    if is_idle_edge(first, last):
        return 0.0
    return charge_from(0.5 * (first + last), duration)
