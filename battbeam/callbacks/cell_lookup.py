"""This file is where a run that is reduced asks where its cell was."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from battbeam.errors import StorageError
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.timeline import CellDuring, CellTimeline, unknown_cell

#: Wall s after the end of an exposure within which the cell's log must have covered it, as the log
#: itself says: so the answer is the same when the run is reduced again.
LOG_DEADLINE = 30.0
NO_CELL_LOG = "no cell log"

_log = logging.getLogger(__name__)


class CellLookup:
    """The cell of one run, from the log of its guard.

    Args:
        start: The run's start document.
        cell_logs: Of the guards, by path.
    """

    def __init__(self, start: Mapping[str, Any], cell_logs: Callable[[Path], CellLog]) -> None:
        self._uid, self._no_cell = start["uid"], ""
        self._file: CellLog | None = None
        self._timeline: CellTimeline | None = None
        guard = start.get("guard") or {}
        if not guard or start.get("kind") == "calibration":
            return
        if not guard.get("log"):
            self._no_cell = NO_CELL_LOG
            return
        self._file = cell_logs(Path(guard["log"]))
        self._timeline = CellTimeline(self._file)

    def refresh(self) -> None:
        """Read what the guard has written since."""
        if self._file is None:
            return
        try:
            self._file.refresh()
        except StorageError as fault:
            _log.warning("run %s: %s", self._uid, fault)

    def covers(self, time: float) -> bool:
        """Whether the log is complete up to ``time`` (session clock), or will never say."""
        return self._timeline is None or math.isnan(time) or self._timeline.covers(time)

    def during(self, start: float, end: float) -> CellDuring:
        """The cell during an exposure; with a fault where nothing of it may be used."""
        if self._timeline is None:
            return unknown_cell(start, end, self._no_cell)
        if math.isnan(end):
            return unknown_cell(start, end, "time of the exposure not known")
        if self._timeline.lateness(end) > LOG_DEADLINE:
            return unknown_cell(start, end, NO_CELL_LOG)
        return self._timeline.at(start, end)
