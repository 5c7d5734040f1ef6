"""This file is where the log of a cycler is read line by line, whatever software writes it.

A reader takes whole lines in order and gives a row each; it keeps what the header said. `MptReader`
(EC-Lab) and `BdfReader` (Battery Data Format) are the readers there are. Positive current charges.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from battbeam.experiment.local_time import DateOrder, LocalTime
from battbeam.experiment.protocol import StepType

#: What a column's unit has to be multiplied by to be V or A.
SCALES = {
    "V": 1.0,
    "mV": 1e-3,
    "A": 1.0,
    "mA": 1e-3,
    "uA": 1e-6,
    "µA": 1e-6,
    "μA": 1e-6,
    "nA": 1e-9,
    "volt": 1.0,
    "ampere": 1.0,
}


@dataclass(frozen=True)
class LogRow:
    """One record of a cycler.

    Attributes:
        time: On the cycler's clock, s since the Unix epoch.
        voltage: V.
        current: A, > 0 charges.
        step: As the software counts them; -1 where it does not.
        cycle: As the software counts them; -1 where it does not.
        mode: What was controlled; None where it is not said.
        marker: Of the marker's column, in its unit; NaN without one.
        temperature: degC; NaN where it was not measured.
        key: File and row; unique for ever.
        acquisition: Of rows between which the software did not open the circuit.
    """

    time: float
    voltage: float
    current: float
    step: int = -1
    cycle: int = -1
    mode: StepType | None = None
    marker: float = math.nan
    temperature: float = math.nan
    key: str = ""
    acquisition: str = ""


@dataclass(frozen=True)
class LogStyle:
    """What a log does not say of itself.

    Attributes:
        zone: Of the computer that wrote it.
        order: Of the parts of a date; None where no date of it can be misread.
        sign: -1 where its positive current discharges.
        voltage_column: Name, where it is none of the usual ones.
        current_column: Name, likewise.
        marker_column: Name of the column that shows the marker; empty for none.
    """

    zone: ZoneInfo
    order: DateOrder | None = None
    sign: int = 1
    voltage_column: str = ""
    current_column: str = ""
    marker_column: str = ""


@dataclass
class Span:
    """Within what a file's date must lie: after the file before it, not after now; s."""

    not_before: float = -math.inf
    not_after: float = math.inf


class LogReader(Protocol):
    """Reads one file."""

    #: When its acquisition started; None before that was read.
    started: LocalTime | None
    #: Rows that were no numbers.
    n_unreadable: int

    def row(self, line: str) -> LogRow | None:
        """What a whole line says; None if it is no record.

        Raises:
            ValueError: If the header cannot be used: nothing of the file can be dated or read.
        """
        ...

    def is_whole(self, line: str) -> bool:
        """Whether a last line without its end has every cell."""
        ...


def number(text: str) -> float:
    """A number with a decimal point or comma; NaN if it is none.

    >>> number("1,25E-003")
    0.00125
    """
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


def count(text: str) -> int:
    """A whole number written in any way; -1 if it is none.

    >>> count("3.000E+000")
    3
    """
    value = number(text)
    return int(value) if math.isfinite(value) else -1


def decoded(line: bytes) -> str:
    """A line of text in UTF-8, or as Windows of the West writes it."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def row_key(name: str, started: LocalTime | None, row: int) -> str:
    """A key unique for ever: file, when its acquisition started, row from 1."""
    return f"{name}@{started.time if started else 0:.0f}:{row}"


def key_parts(key: str) -> tuple[str, int]:
    """The file of a key, with its start, and the row.

    >>> key_parts("cell_C01.mpt@1750000000:17")
    ('cell_C01.mpt@1750000000', 17)
    """
    file, _, row = key.rpartition(":")
    return file, int(row)


def chosen_column(columns: Mapping[str, int], asked: str, usual: Sequence[str]) -> str:
    """The name of a column that was asked for, or the first usual one that is there; else empty.

    Raises:
        ValueError: If the one that was asked for is not there.
    """
    if asked and asked not in columns:
        raise ValueError(f"no column {asked!r}; there are {', '.join(map(repr, columns))}")
    return asked or next((name for name in usual if name in columns), "")


def scale(column: str) -> float:
    """What the values of a column named ``<I>/mA`` have to be multiplied by.

    Raises:
        ValueError: If its unit is not known.
    """
    unit = column.rsplit("/", 1)[-1].strip()
    if unit not in SCALES:
        raise ValueError(f"unit of column {column!r} is not known: one of {', '.join(SCALES)}")
    return SCALES[unit]
