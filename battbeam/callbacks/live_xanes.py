"""This file is where absorption spectra are reduced while their run goes on, or afterwards."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    STRING,
    array_key,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.exafs_columns import ExafsColumns
from battbeam.callbacks.live_run import Document, LiveRun
from battbeam.callbacks.spectrum_events import Axis, Scan, spectrum_of, sweep_of
from battbeam.callbacks.sweep_lag import Sweeps
from battbeam.callbacks.xanes_request import XanesRequest
from battbeam.errors import ReductionError
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.reduction.exafs_reducer import ExafsResult, exafs_of
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.sweeps import rebin
from battbeam.reduction.xanes import XanesReducer, XanesResult

_SCAN_COLUMNS = {
    "spectrum": (INTEGER, ""),
    "repeat": (INTEGER, ""),
    "edge": (STRING, ""),
    "n_points": (INTEGER, ""),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "direction": (INTEGER, ""),
    "lag": (NUMBER, "s"),
    "lag_error": (NUMBER, "s"),
    "temperature": (NUMBER, "degC"),
    "fluence": (NUMBER, "1/mm2"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
    "flags": (STRING, ""),
}
#: Each with its error beside it.
_VALUES = {
    "energy_shift": "eV",
    "edge_position": "eV",
    "edge_step": "1",
    "pre_edge_area": "eV",
    "oxidation_state": "1",
}
_SINGLE = {
    "edge_position_shared_error": (NUMBER, "eV"),
    "residual": (NUMBER, "1"),
    "n_flagged": (INTEGER, ""),
    "counts": (NUMBER, "count"),
}
#: Arrays of a row, padded with NaN to the longest grid of the run.
ARRAYS = {
    "energy": "eV",
    "absorbance": "1",
    "absorbance_error": "1",
    "normalized_absorbance": "1",
    "normalized_absorbance_error": "1",
    "reference_absorbance": "1",
}


class LiveXanes(LiveRun[Scan]):
    """Reduces the spectra of one run and publishes a reduced run, a row a spectrum.

    Args:
        publish: Takes the documents of the reduced run.
        cell_logs: Of the guards.
    """

    method: ClassVar[str] = "xanes"
    noun: ClassVar[str] = "spectrum"

    # Documents in.

    def _open(self, start: Document) -> Mapping[str, Any]:
        self._scans: dict[int, Scan] = {}
        self._darks: dict[int, Mapping[str, Any]] = {}
        self._streams: dict[str, str] = {}
        self._axis, self._sweeps = Axis(math.nan, 0.0), Sweeps(None)
        self._request = XanesRequest.of_start(start)
        self._grid_lengths = _grid_lengths(start)
        repeatability = [each.energy_repeatability for each in self._request.options.values()]
        self._sweeps = Sweeps(self._request.lag, max(repeatability, default=0.0))
        self._reducers: dict[str, XanesReducer] = {}
        for name, (element, edge) in self._request.edges.items():
            self._reducers[name] = XanesReducer(self._request.options[name], element, edge)
        return self._request.parameters

    def _take(self, name: str, doc: Document) -> Sequence[Scan]:
        if name == "descriptor":
            self._descriptor(doc)
        elif name == "event":
            return self._event(self._streams.get(doc["descriptor"], ""), doc["data"])
        return ()

    def _descriptor(self, doc: Document) -> None:
        self._streams[doc["uid"]] = doc["name"]
        if doc["name"] == "primary":
            configuration: dict[str, Any] = {}
            for each in doc["configuration"].values():
                configuration |= each["data"]
            self._axis = Axis.of_configuration(configuration)

    def _event(self, stream: str, data: Mapping[str, Any]) -> Sequence[Scan]:
        if stream == "dark":
            self._darks[int(data["dark"])] = data
        elif stream == "primary":
            scan = self._scan(data)
            scan.points[int(data["point"])] = data
            scan.dark = self._darks.get(int(data.get("dark", -1)), {})
        elif stream == "spectra":
            scan = self._scan(data)
            del self._scans[scan.number]
            scan.end = data
            return self._sweeps.released(scan, self._axis) if scan.is_sweep else [scan]
        return ()

    def _scan(self, data: Mapping[str, Any]) -> Scan:
        number = int(data["spectrum"])
        new = Scan(number, str(data["edge"]), int(data.get("repeat", 0)))
        return self._scans.setdefault(number, new)

    def _rest(self) -> Sequence[Scan]:
        return [*self._sweeps.rest(), *(self._scans[number] for number in sorted(self._scans))]

    def _time_end(self, item: Scan) -> float:
        return item.span()[1]

    def _named(self, item: Scan) -> str:
        return f"spectrum {item.number}"

    # One call of the reduction.

    def _reduce(self, item: Scan) -> None:
        result, faults = None, []
        if not item.end:
            faults.append(f"broken off after {len(item.points)} points")
        else:
            try:
                result = self._result(item)
            except ReductionError as fault:
                faults.append(str(fault))
        if not self._run.is_described:
            self._describe(item)
        start, end = item.span()
        cell = self._cell.during(start, end)
        faults += [cell.fault] if cell.fault else []
        if result is not None and not result.valid:
            faults.append(result.reason)
        exafs, no_exafs = self._exafs_of(item, result)
        flags = [*item.faults, *(result.flags if result is not None else ())]
        flags += [each for each in (no_exafs, self._sweeps.fault if item.is_sweep else "") if each]
        directions = [int(point.get("sweep_direction", 0)) for point in item.points.values()]
        row: dict[str, Any] = {
            "spectrum": item.number,
            "repeat": item.repeat,
            "edge": item.edge,
            "n_points": len(item.points),
            "time_start": start,
            "time_end": end,
            "direction": directions[0] if directions else 0,
            "lag": self._sweeps.lag if item.is_sweep else math.nan,
            "lag_error": self._sweeps.lag_error if item.is_sweep else math.nan,
            "temperature": _mean(item, "furnace"),
            "fluence": float(item.end.get("fluence", math.nan)),
            "valid": int(not faults),
            "invalid_reason": "; ".join(faults),
            "flags": "; ".join(flags),
            **cell_values(cell),
            **_result_values(result, self._standards),
            **{name: self._padded(result, name) for name in ARRAYS},
            **self._exafs.values(exafs),
        }
        self._run.add((start + end) / 2 if math.isfinite(end) else self._raw_time, row)

    def _result(self, item: Scan) -> XanesResult:
        spectrum = self._spectrum(item)
        if item.is_sweep:
            spectrum = rebin(spectrum, self._request.bins[item.edge])
        return self._reducers[item.edge].reduce(spectrum)

    def _spectrum(self, item: Scan) -> Spectrum:
        """Its counts, those of a sweep where the axis was when their photons came.

        Raises:
            ReductionError: If they may not be used.
        """
        if item.is_sweep:
            return sweep_of(item, self._axis).corrected(self._sweeps.lag)
        return spectrum_of(item, self._axis)

    def _exafs_of(self, item: Scan, result: XanesResult | None) -> tuple[ExafsResult | None, str]:
        """EXAFS, or why there is none; neither where it was not asked for."""
        request = self._request.exafs.get(item.edge)
        if request is None or result is None:
            return None, ""
        try:
            return exafs_of(result, request), ""
        except ReductionError as fault:
            return None, str(fault)

    def _describe(self, item: Scan) -> None:
        options = self._request.options.values()
        self._standards = sorted(
            {each.name for one in options if one.combination for each in one.standards}
        )
        bins = [len(edges) - 1 for edges in self._request.bins.values()]
        self._length = max([len(item.points), *self._grid_lengths, *bins])
        values = {}
        for name, unit in _VALUES.items():
            values[name] = values[f"{name}_error"] = (NUMBER, unit)
        for name in self._standards:
            values[f"fraction_{name}"] = values[f"fraction_{name}_error"] = (NUMBER, "1")
        keys = scalar_keys({**_SCAN_COLUMNS, **CELL_COLUMNS, **values, **_SINGLE})
        keys |= {
            name: array_key([self._length], unit, ["energy_index"]) for name, unit in ARRAYS.items()
        }
        self._exafs = ExafsColumns(self._request.exafs)
        self._run.describe(keys | self._exafs.keys(), self._exafs.axes())

    def _padded(self, result: XanesResult | None, name: str) -> list[float]:
        found = np.full(self._length, np.nan)
        if result is not None:
            values = np.asarray(getattr(result, name), dtype=float)[: self._length]
            found[: len(values)] = values
        return found.tolist()


def _grid_lengths(start: Document) -> list[int]:
    """Points of each grid of a run whose energies are stepped."""
    if start.get("mode") == "sweep":
        return []
    return [len(EnergyGrid.read(grid).energies) for grid in (start.get("grids") or {}).values()]


def _mean(scan: Scan, name: str) -> float:
    """Of a reading over the points; NaN where there is none."""
    found = [float(point[name]) for point in scan.points.values() if name in point]
    return float(np.mean(found)) if found else math.nan


def _result_values(result: XanesResult | None, standards: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _VALUES:
        for column in (name, f"{name}_error"):
            values[column] = math.nan if result is None else float(getattr(result, column))
    for name in standards:
        found = {} if result is None else result.fractions
        errors = {} if result is None else result.fractions_error
        values[f"fraction_{name}"] = float(found.get(name, math.nan))
        values[f"fraction_{name}_error"] = float(errors.get(name, math.nan))
    for name in ("edge_position_shared_error", "residual"):
        values[name] = math.nan if result is None else float(getattr(result, name))
    values["n_flagged"] = -1 if result is None else int(result.n_flagged)
    values["counts"] = math.nan if result is None else float(result.counts)
    return values
