"""This file is where tables of the Battery Data Format (BDF, .bdf.csv) are read.

A line of column names, preferred labels (``Voltage / V``) or machine names (``voltage_volt``), then
rows. Test time, voltage and current are required there; here the Unix time is too, because nothing
else in such a table says when it was.

Source:
    Battery Data Alliance, battery-data-format, README of 2025.
"""

import math

from battbeam.experiment.cycler_log import (
    LogRow,
    LogStyle,
    Span,
    chosen_column,
    count,
    number,
    row_key,
)
from battbeam.experiment.local_time import MILLISECONDS, LocalTime

#: Machine name, and the preferred label.
LABELS = {
    "test_time_second": "Test Time / s",
    "voltage_volt": "Voltage / V",
    "current_ampere": "Current / A",
    "unix_time_second": "Unix Time / s",
    "cycle_count": "Cycle Count / 1",
    "step_count": "Step Count / 1",
    "step_index": "Step Index / 1",
    "temperature_t1_celsius": "Surface Temperature T1 / degC",
}
REQUIRED = ("test_time_second", "voltage_volt", "current_ampere", "unix_time_second")
_NAMES = {label.lower(): name for name, label in LABELS.items()}


class BdfReader:
    """One file.

    Attributes:
        started: When its test started; None before a row was read.
        n_unreadable: Rows that were no numbers.
    """

    def __init__(self, name: str, style: LogStyle, _span: Span) -> None:
        self.started: LocalTime | None = None
        self.n_unreadable = 0
        self._name, self._style = name, style
        self._columns: dict[str, int] = {}
        self._separator = ","
        self._n_rows = 0

    def row(self, line: str) -> LogRow | None:
        """What a whole line says; None if it names columns or is no record.

        Raises:
            ValueError: If a column is missing.
        """
        text = line.rstrip("\r\n")
        if not text.strip():
            return None
        if not self._columns or "voltage" in text.lower():
            self._header(text)
            return None
        return self._record(text)

    def is_whole(self, line: str) -> bool:
        """Whether a last line without its end has every cell."""
        return bool(self._columns) and len(line.split(self._separator)) >= len(self._columns)

    def _header(self, text: str) -> None:
        self._separator = next((each for each in (";", "\t") if each in text), ",")
        names = [cell.strip().strip('"') for cell in text.split(self._separator)]
        self._columns = {_NAMES.get(name.lower(), name): k for k, name in enumerate(names)}
        style = self._style
        self._voltage = chosen_column(self._columns, style.voltage_column, ("voltage_volt",))
        self._current = chosen_column(self._columns, style.current_column, ("current_ampere",))
        missing = [name for name in REQUIRED if name not in self._columns]
        if missing:
            found, self._columns = ", ".join(names), {}
            raise ValueError(
                f"missing columns: {', '.join(f'{name} ({LABELS[name]})' for name in missing)}; "
                f"there are {found}"
            )

    def _record(self, text: str) -> LogRow | None:
        cells = text.split(self._separator)
        self._n_rows += 1
        if len(cells) < len(self._columns):
            self.n_unreadable += 1
            return None
        values = {name: cells[k] for name, k in self._columns.items()}
        time, elapsed = number(values["unix_time_second"]), number(values["test_time_second"])
        current = self._style.sign * number(values[self._current])
        if not all(map(math.isfinite, (time, elapsed, current))):
            self.n_unreadable += 1
            return None
        if self.started is None:
            self.started = LocalTime(time - elapsed, MILLISECONDS)
        return LogRow(
            time=time,
            voltage=number(values[self._voltage]),
            current=current,
            step=count(values.get("step_count", "")),
            cycle=count(values.get("cycle_count", "")),
            marker=number(values.get(self._style.marker_column, "")),
            temperature=number(values.get("temperature_t1_celsius", "")),
            key=row_key(self._name, self.started, self._n_rows),
            acquisition=f"{self.started.time:.3f}",
        )
