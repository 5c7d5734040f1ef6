"""This file is where it is read what the spectra's demo left: every spectrum beside the hidden truth of its
own counts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from battbeam.connection import Connection
from battbeam.demo.reading import on_session_clock
from battbeam.storage.catalog import Catalog
from battbeam.storage.tail import documents
from battbeam.units import FloatArray

#: s by which a count may begin before its spectrum, and end behind it: rounding of stamps.
_ROUNDING = 1e-3
#: eV about the foil's edge over which the monochromator's error is taken.
_ABOUT = 20.0

Row = Mapping[str, Any]
Line = Mapping[str, Any]


@dataclass(frozen=True)
class MeasuredSpectrum:
    """One reduced spectrum.

    Attributes:
        row: Its columns.
        lines: The truth of its counts, or of its sweep, in the order of time.
    """

    row: Row
    lines: tuple[Line, ...]

    @property
    def is_sweep(self) -> bool:
        """Whether it was swept, not stepped."""
        return int(self.row["direction"]) != 0

    @property
    def true_edge(self) -> Line:
        """The count at the edge itself; of a sweep all of it."""
        if self.is_sweep:
            return self.lines[0]
        return min(self.lines, key=lambda line: abs(line["energy"] - line["edge_position"]))

    def true_distance(self, neighbour: str) -> float:
        """Of the nearest such neighbours, mean over the counts, angstrom."""
        found = [
            next(shell["distance"] for shell in line["shells"] if shell["neighbour"] == neighbour)
            for line in self.lines
        ]
        return float(np.mean(found))

    def true_shift(self, foil_energy: float) -> float:
        """What the encoder's energies lack about the foil's edge, eV; the counters' lag not counted."""
        if self.is_sweep:
            (line,) = self.lines
            energy, read = np.array(line["energy"]), np.array(line["nominal_energy"])
            gate = (line["end"] - line["start"]) / len(read)
            missing = energy - read + np.gradient(read, gate) * line["lag"]
        else:
            energy = np.array([line["energy"] for line in self.lines])
            missing = energy - np.array([line["nominal_energy"] for line in self.lines])
        return float(missing[np.abs(energy - foil_energy) < _ABOUT].mean())

    def true_charge(self) -> tuple[float, float, float]:
        """That had passed at its start, middle and end, mAh."""
        middle = (float(self.row["time_start"]) + float(self.row["time_end"])) / 2
        times = [time for line in self.lines for time in (line["start"], line["end"])]
        charges = [c for line in self.lines for c in (line["charge_start"], line["charge_end"])]
        # A sweep has one line, which knows its middle; a scan many, with its middle in one of them.
        own = self.lines[0]["charge_middle"] if self.is_sweep else np.interp(middle, times, charges)
        return float(charges[0]), float(own), float(charges[-1])


class Spectra:
    """Some spectra, in the order of time."""

    def __init__(self, spectra: Iterable[MeasuredSpectrum]) -> None:
        self.spectra = sorted(spectra, key=lambda each: float(each.row["time_start"]))

    def __len__(self) -> int:
        return len(self.spectra)

    def where(self, **wanted: Any) -> "Spectra":
        """Those that have these values in their rows."""
        return Spectra(
            each
            for each in self.spectra
            if all(each.row[name] == value for name, value in wanted.items())
        )

    @property
    def swept(self) -> "Spectra":
        """Those that were swept."""
        return Spectra(each for each in self.spectra if each.is_sweep)

    @property
    def stepped(self) -> "Spectra":
        """Those that were stepped."""
        return Spectra(each for each in self.spectra if not each.is_sweep)

    def of(self, name: str) -> FloatArray:
        """A column."""
        return np.array([each.row[name] for each in self.spectra], dtype=float)

    def true(self, name: str) -> FloatArray:
        """What the absorbing element was like at the edge."""
        return np.array([each.true_edge[name] for each in self.spectra], dtype=float)


@dataclass(frozen=True)
class XanesOutcome:
    """What the demo left.

    Attributes:
        measured: Spectra of the cell, invalid ones included.
        compounds: Spectra of the calibration.
        n_ended: Spectra that the runs of the experiment say have ended.
        n_counted: Points and darks in the documents of all runs.
        n_true: Counts and sweeps that the simulation made.
        cell: The cell run along the session's clock.
        chi: chi(R) magnitudes of the stepped Ni spectra, in their order, over ``r``.
        r: angstrom.
    """

    measured: Spectra
    compounds: Spectra
    n_ended: int
    n_counted: int
    n_true: int
    cell: xr.Dataset
    r: FloatArray


def read(connection: Connection, operando: str) -> XanesOutcome:
    """What the catalogue holds of the experiment, each spectrum with its truth."""
    catalog = Catalog(connection)
    lines = truth_lines(connection.directory / "sim" / "truth.jsonl")
    runs = catalog.runs(operando=operando, kind="measurement")
    calibrations = catalog.runs(kind="calibration")
    datasets = [catalog.reduced(run) for run in runs]
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    ends = [_events(connection, run.start["uid"], "spectra") for run in runs]
    counts = [
        _events(connection, run.start["uid"], stream)
        for run in (*runs, *calibrations)
        for stream in ("dark", "primary")
    ]
    axes = [each["r"].to_numpy() for each in datasets if "r" in each]
    return XanesOutcome(
        measured=spectra_of(datasets, lines),
        compounds=spectra_of([catalog.reduced(run) for run in calibrations], lines),
        n_ended=sum(ends),
        n_counted=sum(counts),
        n_true=len(lines),
        cell=on_session_clock(catalog, cell_run),
        r=np.asarray(axes[0], dtype=float) if axes else np.empty(0),
    )


def truth_lines(path: Path) -> list[Line]:
    """Of every count and sweep, in the order of time."""
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return sorted(
        (line for line in lines if "count" in line or "sweep" in line),
        key=lambda line: float(line["start"]),
    )


def spectra_of(datasets: Sequence[xr.Dataset], lines: Sequence[Line]) -> Spectra:
    """The rows of reduced runs, each with the lines of its time."""
    found = []
    for dataset in datasets:
        columns = {str(name): dataset[name] for name in (*dataset.data_vars, *dataset.coords)}
        along = {
            name: values.to_numpy() for name, values in columns.items() if "time" in values.dims
        }
        for index in range(dataset.sizes["time"]):
            row = {name: values[index] for name, values in along.items()}
            first = float(row["time_start"]) - _ROUNDING
            last = float(row["time_end"]) + _ROUNDING
            own = tuple(line for line in lines if line["start"] >= first and line["end"] <= last)
            found.append(MeasuredSpectrum(row, own))
    return Spectra(found)


def _events(connection: Connection, uid: str, stream: str) -> int:
    """How many events a stream of a run has in the spool."""
    found = documents(connection.spool / f"{uid}.jsonl")
    own = {d.doc["uid"] for d in found if d.name == "descriptor" and d.doc["name"] == stream}
    return sum(d.name == "event" and d.doc["descriptor"] in own for d in found)
