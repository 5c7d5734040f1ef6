"""This file is where text of EC-Lab (.mpt) is read.

``EC-Lab ASCII FILE``, ``Nb header lines : n``, settings, the names of the columns on line n, then
rows, all separated by tabs. ``Acquisition started on :`` is local time; techniques that were linked
share it, and ``time/s`` runs on from it through their files.
"""

import math
from collections.abc import Mapping

from battbeam.experiment.cycler_log import (
    LogRow,
    LogStyle,
    Span,
    chosen_column,
    count,
    number,
    row_key,
    scale,
)
from battbeam.experiment.local_time import LocalTime, local_time
from battbeam.experiment.protocol import StepType

MAGIC = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
VOLTAGES = ("Ewe/V", "<Ewe>/V", "Ecell/V", "<Ecell>/V", "Ewe/mV", "Ecell/mV")
CURRENTS = ("I/mA", "<I>/mA", "I/A", "<I>/A", "I/µA", "<I>/µA")
#: Techniques in which no current flows, and whose files have no column for it.
OPEN_CIRCUIT = "Open Circuit Voltage"
#: Bits 0 and 1 of ``mode``, as EC-Lab's manual gives them.
MODES = {1: StepType.CONSTANT_CURRENT, 2: StepType.CONSTANT_VOLTAGE, 3: StepType.REST}
_STARTED = "Acquisition started on"


class MptReader:
    """One file.

    Attributes:
        started: When its acquisition started; None before that was read.
        n_unreadable: Rows that were no numbers.
    """

    def __init__(self, name: str, style: LogStyle, span: Span) -> None:
        self.started: LocalTime | None = None
        self.n_unreadable = 0
        self._name, self._style, self._span = name, style, span
        self._n_rows = 0
        self._begin()

    def _begin(self) -> None:
        self._n_lines = self._n_header = 0
        self._is_rest = False
        self._columns: dict[str, int] = {}

    def row(self, line: str) -> LogRow | None:
        """What a whole line says; None if it belongs to the header or is no record.

        Raises:
            ValueError: If the header cannot be used.
        """
        text = line.rstrip("\r\n")
        if text.strip() in MAGIC:
            self._begin()
        self._n_lines += 1
        if self._columns:
            return self._record(text)
        self._header(text)
        return None

    def is_whole(self, line: str) -> bool:
        """Whether a last line without its end has every cell."""
        return bool(self._columns) and len(line.split("\t")) >= len(self._columns)

    def _header(self, text: str) -> None:
        if self._n_lines == 1 and text.strip() not in MAGIC:
            raise ValueError(
                f"first line must be {MAGIC[0]!r}, got {text[:60]!r}: no text of EC-Lab"
            )
        key, _, value = text.partition(":")
        if key.strip() == "Nb header lines":
            self._n_header = count(value)
        elif key.strip() == _STARTED:
            self._start(value.strip())
        elif text.strip() == OPEN_CIRCUIT:
            self._is_rest = True
        if self._n_header and self._n_lines >= self._n_header:
            self._columns = {name.strip(): k for k, name in enumerate(text.split("\t")) if name}
            self._choose()

    def _start(self, value: str) -> None:
        style, span = self._style, self._span
        self.started = local_time(
            value,
            zone=style.zone,
            order=style.order,
            not_before=span.not_before,
            not_after=span.not_after,
        )

    def _choose(self) -> None:
        """Find the columns that are needed."""
        style, columns = self._style, self._columns
        self._voltage = chosen_column(columns, style.voltage_column, VOLTAGES)
        # Files of techniques without the column that was asked for are no reason to stop.
        asked = style.current_column if style.current_column in columns else ""
        self._current = chosen_column(columns, asked, CURRENTS)
        missing = [name for name in ("time/s",) if name not in columns]
        missing += [] if self._voltage else [f"voltage ({', '.join(VOLTAGES[:2])} ...)"]
        missing += (
            [] if self._current or self._is_rest else [f"current ({', '.join(CURRENTS[:2])} ...)"]
        )
        missing += [] if self.started else [f"the line '{_STARTED} :'"]
        if missing:
            self._columns = {}
            raise ValueError(
                f"missing: {'; '.join(missing)}; export the text again with date, time, voltage and "
                "current"
            )

    def _record(self, text: str) -> LogRow | None:
        cells = text.split("\t")
        if not text.strip():
            return None
        self._n_rows += 1
        if len(cells) < len(self._columns):
            self.n_unreadable += 1
            return None
        values = {name: cells[k] for name, k in self._columns.items()}
        time = self._time(values["time/s"])
        voltage = number(values[self._voltage]) * scale(self._voltage)
        current = 0.0
        if self._current:
            current = self._style.sign * number(values[self._current]) * scale(self._current)
        if not (math.isfinite(time) and math.isfinite(current)):
            self.n_unreadable += 1
            return None
        return LogRow(
            time=time,
            voltage=voltage,
            current=current,
            step=count(values.get("Ns", "")),
            cycle=count(values.get("cycle number", "")),
            mode=self._mode(values),
            marker=number(values.get(self._style.marker_column, "")),
            temperature=number(values.get("Temperature/°C", "")),
            key=row_key(self._name, self.started, self._n_rows),
            acquisition=f"{self.started.time:.3f}" if self.started else "",
        )

    def _mode(self, values: Mapping[str, str]) -> StepType | None:
        if self._is_rest:
            return StepType.REST
        return MODES.get(count(values.get("mode", "")) & 3) if "mode" in values else None

    def _time(self, text: str) -> float:
        """Of a row; EC-Lab writes s since the start, or on demand the date."""
        elapsed = number(text)
        if self.started is None:
            return math.nan
        if ":" not in text:
            return self.started.time + elapsed
        zone, order, after = self._style.zone, self._style.order, self.started.time
        return local_time(text, zone=zone, order=order, not_before=after).time
