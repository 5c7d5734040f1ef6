"""This file is where the simulated cycler's data are written as another group's software would.

EC-Lab's text: tabs, milliamperes, one file a technique that was entered, its start in local time
without zone. An analog input may show a marker: wherever its level changes, two rows more are
written, as a cycler does that records by change. Rows in between are linear.

What is not imitated: settings in the header, columns that nobody reads.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

COLUMNS = (
    "mode",
    "error",
    "time/s",
    "Ewe/V",
    "I/mA",
    "Ns",
    "cycle number",
    "Analog IN 1/V",
)
_TITLES = {
    "OCV": ("Open Circuit Voltage", 3),
    "CALIMIT": ("Chronoamperometry / Chronocoulometry", 2),
    "CPLIMIT": ("Chronopotentiometry", 1),
}
#: V that the analog input shows while the marker is high.
HIGH = 4.8
#: s by which the two rows at a level's change lie apart.
BESIDE = 0.002


def ec_lab_date(time: float, *, zone: ZoneInfo, milliseconds: bool = True) -> str:
    """A time as EC-Lab writes it.

    >>> ec_lab_date(1745139316.521, zone=ZoneInfo("Europe/Berlin"))
    '04/20/2025 10:55:16.521'
    """
    stamp = datetime.fromtimestamp(round(time, 3), zone)
    text = stamp.strftime("%m/%d/%Y %H:%M:%S")
    return f"{text}.{stamp.microsecond // 1000:03d}" if milliseconds else text


@dataclass
class _Copy:
    source: Path
    target: Path
    offset: int = 0
    head: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    before: tuple[float, float, float] | None = None


class ForeignLog:
    """Writes the data files of one channel anew, as they grow.

    Attributes:
        pulses: Start and end of the marker on the cycler's clock, s since the Unix epoch; more may
            be added until the cycler has come there.
    """

    def __init__(
        self,
        source: Path,
        prefix: str,
        target: Path,
        *,
        zone: ZoneInfo,
        milliseconds: bool = True,
        decimal_comma: bool = False,
    ) -> None:
        """A writer.

        Args:
            source: Directory of the cycler's data files.
            prefix: With which the names of this channel's files begin.
            target: Directory to write to; made when missing.
            zone: Of the computer on which the software runs.
            milliseconds: Whether dates have them.
            decimal_comma: Whether numbers have a comma.
        """
        self.pulses: list[tuple[float, float]] = []
        self._source, self._prefix, self._target = source, prefix, target
        self._zone, self._milliseconds, self._comma = zone, milliseconds, decimal_comma
        self._copies: dict[str, _Copy] = {}
        target.mkdir(parents=True, exist_ok=True)

    def copy(self) -> int:
        """Write what was added since the last time; how many rows."""
        for path in sorted(self._source.glob(f"{self._prefix}*.csv"), key=_number):
            if path.name not in self._copies:
                name = f"foreign_{len(self._copies) + 1:02d}_C01.mpt"
                self._copies[path.name] = _Copy(path, self._target / name)
        return sum(self._copy(each) for each in self._copies.values())

    def _copy(self, copy: _Copy) -> int:
        with copy.source.open("rb") as stream:
            stream.seek(copy.offset)
            block = stream.read()
        end = block.rfind(b"\n") + 1
        copy.offset += end
        rows: list[str] = []
        for line in block[:end].decode().splitlines():
            if line.startswith("#"):
                key, _, value = line[1:].partition(":")
                copy.head[key.strip()] = value.strip()
            elif not copy.columns:
                copy.columns = line.split(",")
                self._begin(copy)
            else:
                rows += self._rows(copy, dict(zip(copy.columns, line.split(","), strict=False)))
        with copy.target.open("ab") as file:
            file.write("".join(rows).encode("latin-1"))
        return len(rows)

    def _begin(self, copy: _Copy) -> None:
        title, _ = _TITLES.get(copy.head["Technique"], (copy.head["Technique"], 0))
        date = ec_lab_date(
            float(copy.head["Started"]), zone=self._zone, milliseconds=self._milliseconds
        )
        lines = ["EC-Lab ASCII FILE", "Nb header lines : 8", "", title, ""]
        lines += [f"Acquisition started on : {date}", "", "\t".join(COLUMNS) + "\t"]
        copy.target.write_bytes("".join(f"{line}\r\n" for line in lines).encode("latin-1"))

    def _rows(self, copy: _Copy, values: Mapping[str, str]) -> list[str]:
        now = tuple(float(values.get(name) or 0.0) for name in ("Time", "Ewe", "I"))
        started, (elapsed, voltage, current) = float(copy.head["Started"]), now
        moments = [elapsed]
        if copy.before is not None:
            changes = [edge - started for pulse in self.pulses for edge in pulse]
            inside = [each for each in changes if copy.before[0] < each < elapsed]
            moments = sorted([*(m + d for m in inside for d in (-BESIDE / 2, BESIDE / 2)), elapsed])
        rows = []
        for moment in moments:
            part = _part(copy.before, moment, elapsed)
            first = copy.before or (elapsed, voltage, current)
            volts = first[1] + part * (voltage - first[1])
            amperes = first[2] + part * (current - first[2])
            rows.append(self._row(copy, values, (moment, volts, amperes), started + moment))
        copy.before = (elapsed, voltage, current)
        return rows

    def _row(self, copy: _Copy, values: Mapping[str, str], at: Sequence[float], time: float) -> str:
        elapsed, voltage, current = at
        level = HIGH if any(low <= time < high for low, high in self.pulses) else 0.01
        mode = _TITLES.get(copy.head["Technique"], ("", 0))[1]
        cells = [
            str(mode),
            "0",
            f"{elapsed:.9E}",
            f"{voltage:.7E}",
            f"{1e3 * current:.9E}",
            values.get("Step", "0"),
            f"{float(values.get('Cycle', 0)):.5E}",
            f"{level:.5E}",
        ]
        text = "\t".join(cells) + "\r\n"
        return text.replace(".", ",") if self._comma else text


def _part(before: tuple[float, float, float] | None, moment: float, elapsed: float) -> float:
    if before is None or not elapsed > before[0]:
        return 1.0
    return min(max((moment - before[0]) / (elapsed - before[0]), 0.0), 1.0)


def _number(path: Path) -> float:
    """Files are numbered in the order in which they were opened."""
    last = path.stem.rsplit("_", 1)[-1]
    return float(last) if last.isdigit() else math.inf
