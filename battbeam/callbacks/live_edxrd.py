"""This file is where energy-dispersive spectra are reduced while their run goes on, or afterwards."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    STRING,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.edxrd_request import METHOD, EdxrdRequest
from battbeam.callbacks.event_values import as_number
from battbeam.callbacks.live_run import Document, LiveRun
from battbeam.errors import ReductionError
from battbeam.reduction.energy_dispersive import EdxrdResult

_POINT_COLUMNS = {
    "point": (INTEGER, ""),
    "raw_seq_num": (INTEGER, ""),
    "layer": (INTEGER, ""),
    "sample_stage_x": (NUMBER, "mm"),
    "sample_stage_y": (NUMBER, "mm"),
    "sample_stage_z": (NUMBER, "mm"),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "exposure": (NUMBER, "s"),
    "live_time": (NUMBER, "s"),
    "ring_current": (NUMBER, "mA"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
    "flags": (STRING, ""),
}
#: Of a result; what ends in ``_error`` is one standard deviation.
_VALUES = {
    "lithium_content_counter": "1",
    "lithium_content_counter_error": "1",
    "dead_time": "1",
    "energy_scale": "eV",
    "residual": "1",
    "counts": "count",
}


def edxrd_columns(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Type and unit of every column of a row, with these lines."""
    columns = {**_POINT_COLUMNS, **CELL_COLUMNS}
    for name in names:
        for column, unit in ((f"d_{name}", "angstrom"), (f"area_{name}", "count/s")):
            columns |= {column: (NUMBER, unit), f"{column}_error": (NUMBER, unit)}
    return columns | {name: (NUMBER, unit) for name, unit in _VALUES.items()}


class LiveEdxrd(LiveRun[Document]):
    """Reduces the spectra of one run and publishes a reduced run, a row a spectrum.

    Args:
        publish: Takes the documents of the reduced run.
        cell_logs: Of the guards.
    """

    method: ClassVar[str] = METHOD
    noun: ClassVar[str] = "spectrum"

    def _open(self, start: Document) -> Mapping[str, Any]:
        self._key, self._descriptor = "", ""
        self._request = EdxrdRequest.of_start(start)
        self._reducer = self._request.reducer()
        return self._request.parameters

    def _take(self, name: str, doc: Document) -> Sequence[Document]:
        if name == "descriptor" and doc.get("name") == "primary":
            keys = [key for key in doc["data_keys"] if key.endswith("_spectrum")]
            if keys:
                self._key, self._descriptor = keys[0].removesuffix("_spectrum"), doc["uid"]
        is_spectrum = name == "event" and doc["descriptor"] == self._descriptor
        return [doc] if is_spectrum else ()

    def _time_end(self, item: Document) -> float:
        return as_number(item["data"].get(f"{self._key}_stamp"))

    def _named(self, item: Document) -> str:
        return f"event {item['seq_num']}"

    def _reduce(self, item: Document) -> None:
        if not self._run.is_described:
            self._run.describe(scalar_keys(edxrd_columns(self._request.names)), {})
        data, end = item["data"], self._time_end(item)
        real, live = (as_number(data.get(f"{self._key}_{name}_time")) for name in ("real", "live"))
        start, faults = end - real, _point_faults(data, end)
        cell = self._cell.during(start, end)
        faults += [cell.fault] if cell.fault else []
        result = None
        if math.isfinite(end):
            try:
                counts = np.asarray(data[f"{self._key}_spectrum"], dtype=float)
                result = self._reducer.reduce(counts, real_time=real, live_time=live)
            except ReductionError as fault:
                faults.append(str(fault))
        if result is not None and not result.valid:
            faults.append(result.reason)
        place = as_number(data.get(self._request.axis))
        row: dict[str, Any] = {
            "point": int(data.get("point", item["seq_num"] - 1)),
            "raw_seq_num": int(item["seq_num"]),
            "layer": self._request.layer(place),
            **{name: as_number(data.get(name)) for name in _STAGE},
            "time_start": start,
            "time_end": end,
            "exposure": real,
            "live_time": live,
            "ring_current": as_number(data.get("ring_current")),
            "valid": int(not faults),
            "invalid_reason": "; ".join(faults),
            "flags": "" if result is None else "; ".join(result.flags),
            **cell_values(cell),
            **_result_values(result, self._request.names),
        }
        self._run.add((start + end) / 2 if math.isfinite(end) else float(item["time"]), row)


_STAGE = tuple(name for name in _POINT_COLUMNS if name.startswith("sample_stage"))


def _point_faults(data: Mapping[str, Any], end: float) -> list[str]:
    """Why a spectrum may not be used, as the plan has it."""
    found = [str(data[name]) for name in ("beam_lost", "fault") if data.get(name)]
    if data.get("shutter") == 0:
        found.append("shutter closed")
    if math.isnan(end) and not found:
        found.append("spectrum missing")
    return found


def _result_values(result: EdxrdResult | None, names: Sequence[str]) -> dict[str, float]:
    values = {}
    unknown = (math.nan, math.nan)
    for name in names:
        for column, found in (
            (f"d_{name}", unknown if result is None else result.d.get(name, unknown)),
            (f"area_{name}", unknown if result is None else result.area.get(name, unknown)),
        ):
            values[column], values[f"{column}_error"] = float(found[0]), float(found[1])
    for name in _VALUES:
        values[name] = math.nan if result is None else float(getattr(result, name))
    return values
