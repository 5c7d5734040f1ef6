"""This file is where it is said what a guard asks of any make of cycler."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from battbeam.experiment.cell import Window
from battbeam.experiment.protocol import Step


@dataclass(frozen=True)
class Segment:
    """Steps that the instrument runs alone, from one start to one stop.

    Attributes:
        name: Unique for ever; the instrument's data files are found by it.
        steps: In the order in which they run.
        record_interval: s of cell time between records.
        record_voltage: V of change that makes a record too, or none.
        record_current: A of change that makes a record too, or none.
        window: Limits that the instrument shall keep by itself where it can.
        voltage: Of the cell when the segment was put on the instrument, V; a constant resistance
            starts from it. None if it is not known.
        is_continuation: Whether its first step is the one that the segment before ran, taken up
            again.
    """

    name: str
    steps: tuple[Step, ...]
    record_interval: float
    window: Window
    record_voltage: float | None = None
    record_current: float | None = None
    voltage: float | None = None
    is_continuation: bool = False

    def to_document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "steps": [step.to_document() for step in self.steps],
            "record_interval": self.record_interval,
            "record_voltage": self.record_voltage,
            "record_current": self.record_current,
            "window": [self.window.voltage_min, self.window.voltage_max, self.window.current_max],
            "voltage": self.voltage,
            "is_continuation": self.is_continuation,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Segment":
        """The segment that `to_document` wrote."""
        return cls(
            name=document["name"],
            steps=tuple(Step.from_document(step) for step in document["steps"]),
            record_interval=document["record_interval"],
            record_voltage=document["record_voltage"],
            record_current=document["record_current"],
            window=Window(*document["window"]),
            voltage=document.get("voltage"),
            is_continuation=document.get("is_continuation", False),
        )


@dataclass(frozen=True)
class Record:
    """One record of the instrument, lossless.

    Attributes:
        time: On the cycler's clock, s since the Unix epoch.
        elapsed: s since the segment was started.
        voltage: Working against counter electrode, V.
        current: A.
        step: In the segment, from 0.
        key: Unique within the segment: data file and row.
        voltage_counter: Counter against reference electrode, V; NaN if it is not measured.
        temperature: degC; NaN if the instrument does not measure it.
    """

    time: float
    elapsed: float
    voltage: float
    current: float
    step: int
    key: str
    voltage_counter: float = math.nan
    temperature: float = math.nan


@dataclass(frozen=True)
class Impedance:
    """The cell's impedance at one frequency, as the instrument recorded it.

    Attributes:
        time: On the cycler's clock, s since the Unix epoch.
        elapsed: s since the segment was started.
        frequency: Hz.
        real: ohm.
        imaginary: ohm; negative where the cell is capacitive.
        step: In the segment, from 0.
        key: Unique within the segment: data file and row.
    """

    time: float
    elapsed: float
    frequency: float
    real: float
    imaginary: float
    step: int
    key: str


@dataclass(frozen=True)
class Live:
    """One refresh of the instrument's live values.

    Attributes:
        session_time: When it was read, on the session's clock.
        time: The same on the cycler's clock, s since the Unix epoch; NaN while nothing was ever
            started.
        elapsed: s since the segment was started; NaN when nothing runs.
        voltage: Working against counter electrode, V.
        current: A.
        voltage_counter: Counter against reference electrode, V; NaN if it is not measured.
        temperature: degC; NaN if the instrument does not measure it.
    """

    session_time: float
    time: float
    elapsed: float
    voltage: float
    current: float
    voltage_counter: float = math.nan
    temperature: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """The cycler's clock against the session's, at one moment.

    Attributes:
        device_time: s since the Unix epoch.
        session_time: s since the Unix epoch.
        uncertainty: s.
    """

    device_time: float
    session_time: float
    uncertainty: float


@dataclass(frozen=True)
class Readings:
    """What is new since the last poll.

    Attributes:
        is_reachable: Whether the cycler answers.
        is_running: Whether current may flow, as the cycler says.
        has_ended: The segment started last is over and all its records have been handed over. Stays
            true.
        records: New ones, in order.
        lives: New ones, in order.
        comparison: The newest, if there is one.
        impedances: New ones, in order.
    """

    is_reachable: bool
    is_running: bool = False
    has_ended: bool = False
    records: tuple[Record, ...] = ()
    lives: tuple[Live, ...] = ()
    comparison: Comparison | None = None
    impedances: tuple[Impedance, ...] = ()


class Driver(Protocol):
    """One channel of a cycler. A method that cannot do what it is asked raises `GuardError`."""

    #: What people call the channel.
    name: str
    #: Whether records come from data files; if not, live values are all there is.
    has_records: bool

    def faults(self, steps: Sequence[Step]) -> list[str]:
        """Every reason why this instrument cannot run these steps, one sentence each."""
        ...

    def lengths(self, steps: Sequence[Step]) -> list[int]:
        """Into how many steps each the instrument's lists divide these steps, in order."""
        ...

    def is_partial(self, segment: Segment) -> bool:
        """Whether a segment of one step ends before its step does, for want of room in the
        instrument's lists, and is to be followed by another.
        """
        ...

    def load(self, segment: Segment) -> None:
        """Put a segment on the stopped instrument."""
        ...

    def start(self) -> None:
        """Start what was loaded; returns at once."""
        ...

    def stop(self) -> None:
        """Open the circuit; returns at once."""
        ...

    def attach(self, segment: Segment, keys: Collection[str]) -> None:
        """Read on in a segment that an earlier guard started; records in ``keys`` are known."""
        ...

    def poll(self) -> Readings:
        """What is new; never waits."""
        ...

    def close(self) -> None:
        """Let go of the instrument, as it is."""
        ...
