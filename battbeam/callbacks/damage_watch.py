"""This file is where exposed and control spots are compared while their frames are reduced."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from battbeam.experiment.control_spot import ControlSpot

_log = logging.getLogger(__name__)


@dataclass
class _Cell:
    """What is known of one cell's two spots."""

    sample_uid: str
    name: str
    spots: ControlSpot
    rows: dict[str, list[float]] = field(default_factory=dict)
    has_new_control: bool = False
    is_told: bool = False


class DamageWatch:
    """Takes the documents of reduced runs, and says once a cell when its two spots part.

    Runs whose start document holds a ``sentinel`` (see `ControlSpot`) are watched, all runs of one
    sample together. A row costs little; the comparison is made after each control.

    Args:
        path: Each alarm is a line of JSON here: ``sample_uid``, ``time`` (of the control that raised
            it) and ``sentence``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._of_run: dict[str, _Cell] = {}
        self._of_descriptor: dict[str, _Cell] = {}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of a reduced run."""
        if name == "start" and doc.get("sentinel"):
            self._start(doc)
        elif name == "descriptor" and doc["run_start"] in self._of_run:
            self._of_descriptor[doc["uid"]] = self._of_run[doc["run_start"]]
        elif name == "event" and doc["descriptor"] in self._of_descriptor:
            self._row(self._of_descriptor[doc["descriptor"]], doc["time"], doc["data"])

    def _start(self, doc: Mapping[str, Any]) -> None:
        try:
            spots = ControlSpot.model_validate(doc["sentinel"])
        except ValidationError as fault:
            _log.warning("run %s: its sentinel is not understood: %s", doc["analysis_of"], fault)
            return
        cell = doc.get("cell") or {}
        uid = str(cell.get("sample_uid", ""))
        name = str(cell.get("cell") or uid or "a cell without passport")
        watched = _Cell(uid, name, spots)
        self._of_run[doc["uid"]] = self._cells.setdefault((uid, spots.model_dump_json()), watched)

    def _row(self, cell: _Cell, time: float, data: Mapping[str, Any]) -> None:
        row = {"time": time, **data}
        spots = cell.spots
        wanted = (*spots.columns, "valid")
        if cell.is_told or row.get("valid") != 1 or any(name not in row for name in wanted):
            return
        for name in wanted:
            cell.rows.setdefault(name, []).append(float(row[name]))
        which = spots.which((float(row["spot_x"]), float(row["spot_y"])))
        # A control is compared with the exposures before and after it.
        if which == "control":
            cell.has_new_control = True
        elif which == "exposed" and cell.has_new_control:
            cell.has_new_control = False
            self._compare(cell)

    def _compare(self, cell: _Cell) -> None:
        try:
            damage = cell.spots.verdict(cell.rows)
        except ValueError as fault:
            _log.warning("%s: exposed and control spot are not compared: %s", cell.name, fault)
            return
        if not damage.is_found:
            return
        cell.is_told = True
        sentence = cell.spots.said(cell.name, damage)
        line = {"sample_uid": cell.sample_uid, "time": damage.time, "sentence": sentence}
        # Reduced rows come again when this process is started again.
        if line not in alarms(self._path):
            _log.warning(sentence)
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def alarms(path: Path) -> list[dict[str, Any]]:
    """Every alarm that was written down, oldest first; a line that was cut is left out."""
    found = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(dict(json.loads(text)))
        except json.JSONDecodeError:
            continue
    return found
