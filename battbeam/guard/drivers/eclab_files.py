"""This file is where the data files of EPICS-ECLab are read while they grow.

One CSV file a technique: lines that begin with ``#`` (a simulation's; ``# Started:`` is START by
the cycler's own clock), a line of column names, then a line a record. The IOC writes ``AbsTime,
Time,Loop,Ewe,I,Cycle`` (no ``I`` in OCV); ``Technique`` and ``Step`` are used where they are there.
Without them the technique is in the file's name, and the step is told from the set values, or of a
scan from the time. A PEIS has two files: records, and (``_1``) a line a frequency: ``Freq``, ``Mod
Ewe`` and ``Mod I`` in V and A, ``Phase Zwe`` in rad. ``Ece`` is used where it is there.
"""

import cmath
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from battbeam.experiment.protocol import StepType
from battbeam.guard.driver import Impedance, Record
from battbeam.guard.drivers.eclab_listing import Listing, Technique

_NAME = re.compile(r"_T(?P<technique>\d+)_[A-Z]+_(?P<number>\d+)(?:_[01])?\.csv$")


@dataclass
class _File:
    path: Path
    technique: int
    number: int
    offset: int = 0
    rows: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    started: float = math.nan
    step: int = 0
    first: float = math.nan
    is_done: bool = False


class SegmentFiles:
    """The records of one segment, in order, each once.

    Attributes:
        started: START by the cycler's clock, s since the Unix epoch; NaN until a record was read.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        listing: Listing,
        keys: Collection[str] = (),
    ) -> None:
        """Files whose names begin with ``prefix``; records in ``keys`` are passed over."""
        self._directory = directory
        self._prefix = prefix
        self._listing = listing
        self._known = frozenset(keys)
        self._files: list[_File] = []
        self.started = math.nan

    def find(self) -> None:
        """Look for files that are new."""
        seen = {file.path.name for file in self._files}
        for path in self._directory.glob(f"{self._prefix}*.csv"):
            found = _NAME.search(path.name)
            if found and path.name not in seen:
                self._files.append(_File(path, int(found["technique"]), int(found["number"])))
        self._files.sort(key=lambda file: file.number)

    @property
    def is_empty(self) -> bool:
        """Whether no file was found yet."""
        return not self._files

    def read(self) -> list[Record | Impedance]:
        """Records and impedances that are new."""
        records: list[Record | Impedance] = []
        newest = max((file.number for file in self._files if file.rows), default=-1)
        for file in self._files:
            if file.is_done:
                continue
            lines = self._lines(file)
            # A technique whose successor has written a record writes nothing more.
            file.is_done = not lines and file.number < newest
            for line in lines:
                record = self._record(file, line)
                if record is not None and record.key not in self._known:
                    records.append(record)
        return records

    def _lines(self, file: _File) -> list[str]:
        """Whole lines not read before."""
        with file.path.open("rb") as stream:
            stream.seek(file.offset)
            block = stream.read()
        end = block.rfind(b"\n") + 1
        file.offset += end
        return block[:end].decode(errors="replace").splitlines()

    def _record(self, file: _File, line: str) -> Record | Impedance | None:
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            if key.strip() == "Started":
                file.started = float(value)
            return None
        cells = line.split(",")
        if not file.columns:
            file.columns = {name.strip().lower(): number for number, name in enumerate(cells)}
            return None
        file.rows += 1
        values = {
            name: cells[number] for name, number in file.columns.items() if number < len(cells)
        }
        elapsed = _number(values.get("time"))
        if math.isnan(elapsed):
            return None
        counter = _number(values.get("ece", "0"))
        voltage, current = _number(values.get("ewe")) - counter, _number(values.get("i", "0"))
        if math.isnan(file.started):
            file.started = _started(values.get("abstime", ""), elapsed)
        if math.isnan(file.first):
            file.first = elapsed
        self.started = file.started
        step = self._step(file, values, elapsed, voltage=voltage, current=current)
        time, key = file.started + elapsed, f"{file.path.name}:{file.rows}"
        if "freq" in values:
            return _impedance(values, time=time, elapsed=elapsed, step=step, key=key)
        return Record(time, elapsed, voltage, current, step, key, voltage_counter=counter)

    def _step(
        self,
        file: _File,
        values: dict[str, str],
        elapsed: float,
        *,
        voltage: float,
        current: float,
    ) -> int:
        """Position of a record's step in the segment."""
        index = int(_number(values.get("technique", str(file.technique))))
        held = self._listing.techniques
        technique = held[min(index, len(held) - 1)]
        if "step" in values:
            file.step = int(_number(values["step"]))
        elif technique.name == "CV":
            file.step = way_of_scan(technique, elapsed - file.first)
        else:
            file.step = likeliest_step(technique, file.step, voltage=voltage, current=current)
        loop = _number(values.get("loop", "0"))
        return self._listing.position(index, file.step, 0 if math.isnan(loop) else int(loop))


def likeliest_step(technique: Technique, at_least: int, *, voltage: float, current: float) -> int:
    """The step of a technique, none before ``at_least``, whose set value is nearest to a record."""

    def distance(position: int) -> float:
        step = technique.steps[position]
        if step.type is StepType.CONSTANT_VOLTAGE:
            return abs(voltage - (step.voltage or 0.0))
        return abs(current - (step.current or 0.0))

    near = range(at_least, min(at_least + 2, len(technique.steps)))
    return min(near, key=distance, default=at_least)


def way_of_scan(technique: Technique, elapsed: float) -> int:
    """On which way from vertex to vertex a scan is, so many s after its start."""
    end = 0.0
    for way, step in enumerate(technique.steps):
        if step.voltage is None or step.voltage_end is None or not step.scan_rate:
            return way
        end += abs(step.voltage_end - step.voltage) / step.scan_rate
        if elapsed < end:
            return way
    return len(technique.steps) - 1


def _impedance(
    values: dict[str, str], *, time: float, elapsed: float, step: int, key: str
) -> Impedance | None:
    """One line of a spectrum; none if it holds no numbers."""
    names = ("freq", "mod ewe", "mod i", "phase zwe")
    frequency, voltage, current, phase = (_number(values.get(name)) for name in names)
    if not math.isfinite(frequency + voltage + current + phase) or current <= 0:
        return None
    found = cmath.rect(voltage / current, phase)
    return Impedance(time, elapsed, frequency, found.real, found.imag, step, key)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _started(abs_time: str, elapsed: float) -> float:
    """START from the IOC host's time of a record; NaN if it cannot be read. Taken as UTC."""
    try:
        return datetime.fromisoformat(abs_time).replace(tzinfo=UTC).timestamp() - elapsed
    except ValueError:
        return math.nan
