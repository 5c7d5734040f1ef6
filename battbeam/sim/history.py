"""This file is where the hidden state of a simulated cell is kept over time, for those who need it.

The cycler appends a line a model step, idle too; a detector waits until the history covers its
exposure. Only the simulation, its tests and the demo's table of truth read it.
"""

import json
import math
import time as wall
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from battbeam.errors import ProcessError
from battbeam.sim.cell import HalfCell
from battbeam.units import FloatArray

#: Of every line, and of some cells' lines only, with what they are where a line has none.
_ALWAYS = ("time", "lithium_content", "voltage", "current", "charge", "side_charge", "cycles")
_SOMETIMES: Mapping[str, float] = {
    "counter_content": math.nan,
    "counter_lag": 0.0,
    "plated": 0.0,
    "dead": 0.0,
    "displacement": 0.0,
}
_FIELDS = (*_ALWAYS, *_SOMETIMES)
_COULOMB_PER_MAH = 3.6
#: s by which a time may lie beyond the last line and still count as covered: rounding of the file.
_TOLERANCE = 1e-5
#: Lines of a block, and how many blocks of the past are kept besides the one that grows.
_BLOCK, _KEPT_BLOCKS = 1024, 8
#: Bytes.
_READ_AT_ONCE = 1 << 20


def history_path(directory: Path, channel: int) -> Path:
    """Where the history of the cell on a channel is."""
    return directory / "sim" / f"history_C{channel}.jsonl"


@dataclass(frozen=True)
class HiddenState:
    """The cell at given times; each of shape (n_times,).

    Attributes:
        time: s since the Unix epoch, on the session's clock.
        lithium_content: Mean over the connected material.
        voltage: V, without noise.
        current: A.
        charge: mAh passed since the start of the simulation, > 0 on charge.
        side_charge: mAh of it lost to the side reaction.
        cycles: Equivalent full cycles so far.
        counter_content: y in LiyC6, mean over a graphite counter electrode; NaN for lithium.
        counter_lag: y at its grains' surfaces minus their mean.
        plated: mAh of lithium metal on it that stripping takes back.
        dead: mAh of lithium metal on it without contact, besides.
        displacement: Of the cell along the beam since the start, mm downstream.
    """

    time: FloatArray
    lithium_content: FloatArray
    voltage: FloatArray
    current: FloatArray
    charge: FloatArray
    side_charge: FloatArray
    cycles: FloatArray
    counter_content: FloatArray
    counter_lag: FloatArray
    plated: FloatArray
    dead: FloatArray
    displacement: FloatArray

    @property
    def metal(self) -> FloatArray:
        """mAh of lithium metal that diffracts, in contact or not."""
        return self.plated + self.dead


class HistoryWriter:
    """Appends model steps of one cell."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w")

    def add(self, time: float, cell: HalfCell) -> None:
        """The cell as it is at ``time``."""
        self._file.write(
            f'{{"time": {time:.6f}, "lithium_content": {cell.lithium_content:.10f}, '
            f'"voltage": {cell.voltage:.7f}, "current": {cell.current:.9g}, '
            f'"charge": {cell.charge / _COULOMB_PER_MAH:.9f}, '
            f'"side_charge": {cell.side_charge / _COULOMB_PER_MAH:.9f}, '
            f'"cycles": {cell.cycles:.8f}{_besides(cell)}}}\n'
        )

    def flush(self) -> None:
        """Show readers what was added."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class History:
    """Reads a history while it grows; of what lies back it keeps an index and a few blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._rest = b""
        # Each whole block's first time and place in the file; then the lines of the one that grows.
        self._block_times: list[float] = []
        self._block_places: list[int] = []
        self._tail: list[tuple[float, ...]] = []
        self._tail_place = self._line_place = 0
        self._cached: OrderedDict[int, FloatArray] = OrderedDict()

    @property
    def newest(self) -> float:
        """Time of the last line that was read, s since the Unix epoch; -infinity before any."""
        return self._tail[-1][0] if self._tail else -math.inf

    @property
    def oldest(self) -> float:
        """Time of the first line that was read; infinity before any."""
        if self._block_times:
            return self._block_times[0]
        return self._tail[0][0] if self._tail else math.inf

    def covers(self, time: float) -> bool:
        """Whether the history has come to ``time``."""
        if self.newest < time - _TOLERANCE:
            self._read()
        return self.newest >= time - _TOLERANCE

    def wait(self, time: float, *, timeout: float = 10.0) -> None:
        """Wait until the history covers ``time``.

        Raises:
            ProcessError: If it does not within ``timeout`` wall s: the cycler has stopped.
        """
        deadline = wall.monotonic() + timeout
        while not self.covers(time):
            if wall.monotonic() > deadline:
                last = f"{self.newest:.3f}" if self._tail else "nothing"
                raise ProcessError(
                    f"{self.path.name}: waited {timeout} s for {time:.3f}, it ends at {last}"
                )
            wall.sleep(0.004)

    def at(self, times: FloatArray) -> HiddenState:
        """The cell at each time, linear between model steps; where the current jumps, the state
        after the jump.

        Raises:
            ValueError: If a time lies before the first line or beyond the last.
        """
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        self.covers(float(wanted.max()))
        if wanted.min() < self.oldest - _TOLERANCE or wanted.max() > self.newest + _TOLERANCE:
            span = f"{self.oldest:.3f} to {self.newest:.3f}" if self._tail else "nothing"
            raise ValueError(
                f"times {wanted.min():.3f} to {wanted.max():.3f} lie outside the history: {span}"
            )
        starts = np.array([*self._block_times, self._tail[0][0]])
        blocks = np.maximum(np.searchsorted(starts, wanted, side="right") - 1, 0)
        values = np.empty((len(wanted), len(_FIELDS)))
        for block in np.unique(blocks):
            here = blocks == block
            values[here] = _between(self._block(int(block)), wanted[here])
        return HiddenState(wanted, *(values[:, column] for column in range(1, len(_FIELDS))))

    def _block(self, index: int) -> FloatArray:
        """The lines of a block and the first of the next."""
        if index == len(self._block_times):
            return np.array(self._tail)
        if index not in self._cached:
            self._cached[index] = self._read_block(index)
            while len(self._cached) > _KEPT_BLOCKS:
                self._cached.popitem(last=False)
        self._cached.move_to_end(index)
        return self._cached[index]

    def _read_block(self, index: int) -> FloatArray:
        with self.path.open("rb") as file:
            file.seek(self._block_places[index])
            return np.array([_row(file.readline()) for _ in range(_BLOCK + 1)])

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._position)
            while text := file.read(_READ_AT_ONCE):
                self._position += len(text)
                *lines, self._rest = (self._rest + text).split(b"\n")
                self._add(lines)

    def _add(self, lines: list[bytes]) -> None:
        for line in lines:
            # One line more than a block: the last stands for the beginning of the next.
            if len(self._tail) == _BLOCK:
                self._block_times.append(self._tail[0][0])
                self._block_places.append(self._tail_place)
                self._tail_place = self._line_place
                self._tail = []
            self._line_place += len(line) + 1
            self._tail.append(_row(line))


def _besides(cell: HalfCell) -> str:
    """What only some cells have, as a line goes on."""
    values: dict[str, float] = {}
    if cell.truth.counter.material == "graphite":
        values |= {
            "counter_content": cell.counter_lithium_content,
            "counter_lag": cell.counter_lag,
        }
    if cell.truth.plating is not None:
        values |= {
            "plated": cell.metal.plated / _COULOMB_PER_MAH,
            "dead": cell.metal.dead / _COULOMB_PER_MAH,
        }
    if cell.truth.motion is not None:
        values["displacement"] = cell.displacement
    return "".join(f', "{name}": {value:.10g}' for name, value in values.items())


def _row(line: bytes) -> tuple[float, ...]:
    row = json.loads(line)
    always = [float(row[name]) for name in _ALWAYS]
    return (*always, *(float(row.get(name, usual)) for name, usual in _SOMETIMES.items()))


def _between(rows: FloatArray, wanted: FloatArray) -> FloatArray:
    """Rows at the wanted times, linear between lines; searched by hand, because np.interp is not
    defined where two lines have one time.
    """
    right = np.clip(np.searchsorted(rows[:, 0], wanted, side="right"), 1, len(rows) - 1)
    left = right - 1
    width = rows[right, 0] - rows[left, 0]
    part = np.divide(wanted - rows[left, 0], width, out=np.ones_like(wanted), where=width > 0)
    part = np.clip(part, 0.0, 1.0)[:, None]
    return np.asarray(rows[left] + part * (rows[right] - rows[left]))
