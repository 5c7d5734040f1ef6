"""This file is where it is read what the demo of three techniques left: maps, spectra and tomograms, each beside
the hidden truth of its own frames and counts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from battbeam.connection import Connection
from battbeam.demo.reading import on_session_clock, truth_of
from battbeam.demo.verdict import Measured
from battbeam.demo.xanes_outcome import Spectra, spectra_of, truth_lines
from battbeam.reduction.thickness import LayerMap, layer_map
from battbeam.storage.catalog import Catalog
from battbeam.units import AnyArray, FloatArray

TECHNIQUES = ("XRD", "XANES", "tomography")
#: s by which a frame may begin before its tomogram by the camera's clock, and end behind it.
_CLOCK = 0.5
#: mm to either side of the axis within which layers are measured.
_WITHIN = 0.1
#: A layer begins and ends where it is half as dense as its middle.
_HALF = 0.5
_COULOMB_PER_MAH = 3.6


@dataclass(frozen=True)
class MeasuredTomogram:
    """One reduced tomogram of a stack of layers.

    Attributes:
        row: Its columns.
        seen: Mean of its slices, 1/mm, axes (z, x): layers stand upright.
        lines: The truth of its projections, in the order of time.
        thickness: Of the cathode, mm.
        begin: Where the cathode begins, from the rotation axis along the beam at omega 0, mm.
    """

    row: Mapping[str, Any]
    seen: xr.DataArray
    lines: tuple[Mapping[str, Any], ...]
    thickness: float
    begin: float

    def true_size(self, name: str, layer: int) -> float:
        """``begin`` or ``thickness`` of a layer in the middle of the tomogram, mm."""
        return float(self.lines[len(self.lines) // 2]["sizes"][name][layer])

    def true_charge(self, electrode_area: float) -> float:
        """That had passed in the middle of it, mAh."""
        times = [(line["exposure_start"] + line["exposure_end"]) / 2 for line in self.lines]
        areal = [line["areal_charge"] for line in self.lines]
        middle = (float(self.row["time_start"]) + float(self.row["time_end"])) / 2
        return float(np.interp(middle, times, areal)) * electrode_area / _COULOMB_PER_MAH

    @property
    def true_axis(self) -> float:
        """Mean column of the rotation axis, from 0."""
        return float(np.mean([line["axis"] for line in self.lines]))


@dataclass(frozen=True)
class ThreeOutcome:
    """What the demo left.

    Attributes:
        maps: In the order of time.
        spectra: Of the cell.
        tomograms: In the order of time.
        order: Techniques of the experiment's runs in the order in which they began.
        energies: True energies of all frames of maps and tomograms, eV.
        cell: The cell run along the session's clock.
    """

    maps: tuple[Measured, ...]
    spectra: Spectra
    tomograms: tuple[MeasuredTomogram, ...]
    order: tuple[str, ...]
    energies: FloatArray
    cell: xr.Dataset

    def of_tomograms(self, name: str) -> FloatArray:
        """A column of the tomograms."""
        return np.array([each.row[name] for each in self.tomograms], dtype=float)


def read(connection: Connection, operando: str) -> ThreeOutcome:
    """What the catalogue holds of the experiment, each row with its truth."""
    catalog, truth = Catalog(connection), truth_of(connection)
    path = connection.directory / "sim" / "truth.jsonl"
    lines = _frame_lines(path)
    runs = catalog.runs(operando=operando, kind="measurement")
    of = {name: [run for run in runs if run.start["technique"] == name] for name in TECHNIQUES}
    maps = [Measured(catalog.reduced(run), truth) for run in of["XRD"]]
    # Calibrations came before.
    since = min((float(each.rows["time_start"].min()) for each in maps), default=0.0) - _CLOCK
    spectra = [catalog.reduced(run) for run in of["XANES"]]
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    return ThreeOutcome(
        maps=tuple(maps),
        spectra=spectra_of(spectra, truth_lines(path)),
        tomograms=tuple(_tomogram(catalog.volume(run), lines) for run in of["tomography"]),
        order=tuple(run.start["technique"] for run in runs),
        energies=np.array(
            [line["energy"] for line in lines if float(line["exposure_start"]) > since], dtype=float
        ),
        cell=on_session_clock(catalog, cell_run),
    )


def _frame_lines(path: Path) -> list[Mapping[str, Any]]:
    """The truth of every frame of either camera, in the order of time."""
    lines = map(json.loads, path.read_text().splitlines())
    frames = (line for line in lines if "exposure_start" in line)
    return sorted(frames, key=lambda line: float(line["exposure_start"]))


def _tomogram(volume: xr.DataArray, lines: Iterable[Mapping[str, Any]]) -> MeasuredTomogram:
    row = volume.attrs
    first, last = float(row["time_start"]) - _CLOCK, float(row["time_end"]) + _CLOCK
    own = [
        line
        for line in lines
        if "axis" in line and line["exposure_start"] >= first and line["exposure_end"] <= last
    ]
    near = volume.sel(x=slice(-_WITHIN, _WITHIN))
    found = cathode(near.to_numpy(), float(row["voxel_size"]))
    face = float(volume["z"][0]) - float(row["voxel_size"]) / 2
    return MeasuredTomogram(
        row=row,
        seen=volume.mean("row", keep_attrs=True),
        lines=tuple(own),
        thickness=found.mean,
        begin=float(np.nanmean(found.start)) + face,
    )


def cathode(volume: AnyArray, voxel_size: float) -> LayerMap:
    """The layer that absorbs most, between its half heights.

    Args:
        volume: 1/mm, axes (row, z, x).
        voxel_size: mm.

    Raises:
        ReductionError: If there is none.
    """
    profile = np.asarray(volume, dtype=float).mean(axis=(0, 2))
    inside = float(np.median(profile[profile > _HALF * profile.max()]))
    return layer_map(volume, low=_HALF * inside, axis=1, voxel_size=voxel_size)


def charges_of(maps: Sequence[Measured]) -> FloatArray:
    """That had truly passed in the middle of each pattern, mAh."""
    return np.concatenate([each.true("charge_middle") for each in maps])
