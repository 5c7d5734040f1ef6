"""This file is where the hidden state of a simulated cell is kept over time, for those who need it.

The cycler appends a line a model step, idle too; a detector waits until the history covers its
exposure. Only the simulation, its tests and the demo's table of truth read it.
"""

import json
import math
import time as wall
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from battbeam.errors import ProcessError
from battbeam.sim.cell import HalfCell
from battbeam.units import FloatArray

_FIELDS = ("time", "lithium_content", "voltage", "current", "charge", "side_charge")
_COULOMB_PER_MAH = 3.6
#: s by which a time may lie beyond the last line and still count as covered: rounding of the file.
_TOLERANCE = 1e-5


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
    """

    time: FloatArray
    lithium_content: FloatArray
    voltage: FloatArray
    current: FloatArray
    charge: FloatArray
    side_charge: FloatArray


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
            f'"side_charge": {cell.side_charge / _COULOMB_PER_MAH:.9f}}}\n'
        )

    def flush(self) -> None:
        """Show readers what was added."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class History:
    """Reads a history while it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._rest = b""
        self._rows: list[tuple[float, ...]] = []
        self._array: FloatArray = np.empty((0, len(_FIELDS)))

    @property
    def newest(self) -> float:
        """Time of the last line that was read, s since the Unix epoch; -infinity before any."""
        return self._rows[-1][0] if self._rows else -math.inf

    def covers(self, time: float) -> bool:
        """Whether the history has come to ``time``."""
        if not self._rows or self._rows[-1][0] < time - _TOLERANCE:
            self._read()
        return bool(self._rows) and self._rows[-1][0] >= time - _TOLERANCE

    def wait(self, time: float, *, timeout: float = 10.0) -> None:
        """Wait until the history covers ``time``.

        Raises:
            ProcessError: If it does not within ``timeout`` wall s: the cycler has stopped.
        """
        deadline = wall.monotonic() + timeout
        while not self.covers(time):
            if wall.monotonic() > deadline:
                last = f"{self._rows[-1][0]:.3f}" if self._rows else "nothing"
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
        rows = self._as_array()
        if (
            len(rows) == 0
            or wanted.min() < rows[0, 0] - _TOLERANCE
            or wanted.max() > rows[-1, 0] + _TOLERANCE
        ):
            span = f"{rows[0, 0]:.3f} to {rows[-1, 0]:.3f}" if len(rows) else "nothing"
            raise ValueError(
                f"times {wanted.min():.3f} to {wanted.max():.3f} lie outside the history: {span}"
            )
        # Searched by hand, because np.interp is not defined where two lines have one time.
        right = np.clip(np.searchsorted(rows[:, 0], wanted, side="right"), 1, len(rows) - 1)
        left = right - 1
        width = rows[right, 0] - rows[left, 0]
        part = np.divide(wanted - rows[left, 0], width, out=np.ones_like(wanted), where=width > 0)
        part = np.clip(part, 0.0, 1.0)[:, None]
        values = rows[left] + part * (rows[right] - rows[left])
        return HiddenState(wanted, *(values[:, column] for column in range(1, len(_FIELDS))))

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._position)
            text = file.read()
        self._position += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            row = json.loads(line)
            self._rows.append(tuple(float(row[name]) for name in _FIELDS))

    def _as_array(self) -> FloatArray:
        n_known = len(self._array)
        if n_known < len(self._rows):
            self._array = np.vstack([self._array, np.array(self._rows[n_known:])])
        return self._array
