"""This file is where a guard that watches and is started again finds out how far it had come."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from battbeam.experiment.cycler_log import key_parts
from battbeam.guard.driver import Comparison
from battbeam.guard.drivers.log_clock import MOST
from battbeam.guard.log import read_lines
from battbeam.guard.writer import UNSEEN_CLOCK


@dataclass
class ObservedPast:
    """What the log says of an observed cell, up to its last line.

    Attributes:
        positions: Rows of the foreign log that are known, by file.
        comparisons: The newest ones.
        acquisition: That was read last; empty since the cell was mounted.
        base: Its time zero, on the log's clock.
        mounted_at: Session clock; NaN without a cell.
        trip: Latched; empty if there is none.
    """

    positions: dict[str, int] = field(default_factory=dict)
    comparisons: deque[Comparison] = field(default_factory=lambda: deque(maxlen=MOST))
    acquisition: str = ""
    base: float = math.nan
    mounted_at: float = math.nan
    trip: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "ObservedPast":
        """The past in a log; empty if there is no log."""
        past = cls()
        for line in read_lines(path):
            past._take(line)
        return past

    def _take(self, line: Mapping[str, Any]) -> None:
        kind = line["kind"]
        if kind == "observed":
            self.positions.update(line["positions"])
        elif kind == "sample" and "key" in line:
            file, number = key_parts(line["key"])
            self.positions[file] = max(self.positions.get(file, 0), number)
        elif kind == "clock" and line["uncertainty"] < UNSEEN_CLOCK:
            names = ("device_time", "session_time", "uncertainty")
            self.comparisons.append(Comparison(*(line[name] for name in names)))
        elif kind == "acquisition":
            self.acquisition, self.base = line["acquisition"], line["base"]
        elif kind in ("mount", "dismount"):
            self.acquisition, self.base, self.trip = "", math.nan, {}
            self.mounted_at = line["time"] if kind == "mount" else math.nan
        elif kind == "trip":
            self.trip = {name: line[name] for name in ("reason", "time", "voltage", "current")}
