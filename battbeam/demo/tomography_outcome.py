"""This file is where it is read what the tomograms' demo left: every volume beside the hidden truth of its own
projections.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from battbeam.connection import Connection
from battbeam.demo.reading import on_session_clock
from battbeam.errors import ReductionError
from battbeam.reduction.particle_series import ParticlesAt, follow_particles
from battbeam.storage.catalog import Catalog
from battbeam.storage.tail import documents
from battbeam.units import AnyArray, FloatArray

#: s by which a frame may begin before its tomogram by the camera's clock, and end behind it.
_CLOCK = 0.5
_COULOMB_PER_MAH = 3.6

Line = Mapping[str, Any]


@dataclass(frozen=True)
class MeasuredTomogram:
    """One reduced tomogram.

    Attributes:
        row: Its columns.
        volume: 1/mm, axes (row, z, x).
        lines: The truth of its projections, in the order of time.
        n_previews: That came while it was taken.
        electrode_area: Of the cell, cm2, as it is.
    """

    row: Mapping[str, Any]
    volume: AnyArray
    lines: tuple[Line, ...]
    n_previews: int
    electrode_area: float

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Of what was in the beam, in the middle of it, mm and mm3."""
        sizes: Mapping[str, Any] = self.lines[len(self.lines) // 2]["sizes"]
        return sizes

    @property
    def true_axis(self) -> float:
        """Mean column of the rotation axis, from 0."""
        return float(np.mean([line["axis"] for line in self.lines]))

    def true_charge(self) -> tuple[float, float, float]:
        """That had passed at its start, middle and end, mAh."""
        times = [(line["exposure_start"] + line["exposure_end"]) / 2 for line in self.lines]
        charges = [
            line["areal_charge"] * self.electrode_area / _COULOMB_PER_MAH for line in self.lines
        ]
        middle = (float(self.row["time_start"]) + float(self.row["time_end"])) / 2
        return charges[0], float(np.interp(middle, times, charges)), charges[-1]

    def true_particles(self, centres: FloatArray) -> list[int]:
        """Which hidden particle each recovered one is: the nearest.

        Args:
            centres: (row, z, x) of each in voxels, shape (n, 3).
        """
        # The rotation axis and the middle of the field are where the truth has its origin.
        voxel = float(self.row["voxel_size"])
        middle = (np.array(self.volume.shape) - 1) / 2
        found = (np.asarray(centres) - middle) * voxel
        hidden = np.array([(y, z, x) for x, y, z in self.sizes["centre"]])
        away = np.linalg.norm(found[:, None] - hidden[None], axis=-1)
        return [int(number) for number in away.argmin(axis=1)]


@dataclass(frozen=True)
class TomographyOutcome:
    """What a demo left.

    Attributes:
        tomograms: Valid ones, in the order of time.
        particles: Of each, followed from the first.
        n_asked: Runs that took a tomogram.
        n_reduced: Of those.
        n_flown: Frames in the documents of all runs: darks, flats, projections.
        n_true: Frames that the camera took.
        cell: The cell run along the session's clock.
    """

    tomograms: tuple[MeasuredTomogram, ...]
    particles: tuple[ParticlesAt, ...]
    n_asked: int
    n_reduced: int
    n_flown: int
    n_true: int
    cell: xr.Dataset

    def of(self, name: str) -> FloatArray:
        """A column of all tomograms."""
        return np.array([each.row[name] for each in self.tomograms], dtype=float)

    def sizes(self, name: str) -> FloatArray:
        """A hidden size of all tomograms."""
        return np.array([each.sizes[name] for each in self.tomograms], dtype=float)


def read(connection: Connection, operando: str, electrode_area: float) -> TomographyOutcome:
    """What the catalogue holds of the experiment, each tomogram with its truth.

    Args:
        connection: Of the beamline, which still serves.
        operando: Uid of the experiment.
        electrode_area: Of the cell, cm2, as it is.

    Raises:
        ReductionError: If no tomogram is valid, there are no particles in a volume, or one is lost.
    """
    catalog = Catalog(connection)
    lines = camera_lines(connection.directory / "sim" / "truth.jsonl")
    runs = catalog.runs(operando=operando, kind="measurement", technique="tomography")
    reduced = [
        each for run in runs if (each := _tomogram(catalog, run, lines, electrode_area)) is not None
    ]
    tomograms = sorted((each for each in reduced if each.row["valid"]), key=_time)
    if not tomograms:
        reasons = [str(each.row["invalid_reason"]) for each in reduced]
        raise ReductionError(f"none of {len(runs)} tomograms is valid: {'; '.join(reasons[:1])}")
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    voxel_size = float(tomograms[0].row["voxel_size"])
    return TomographyOutcome(
        tomograms=tuple(tomograms),
        particles=follow_particles((each.volume for each in tomograms), voxel_size=voxel_size),
        n_asked=len(runs),
        n_reduced=len(reduced),
        n_flown=sum(_n_flown(connection, run.start["uid"]) for run in runs),
        n_true=len(lines),
        cell=on_session_clock(catalog, cell_run),
    )


def _time(tomogram: MeasuredTomogram) -> float:
    return float(tomogram.row["time_start"])


def _tomogram(
    catalog: Catalog, run: Any, lines: Sequence[Line], electrode_area: float
) -> MeasuredTomogram | None:
    reductions = catalog.reductions(run)
    if not reductions:
        return None
    volume = catalog.volume(reductions[-1])
    row = volume.attrs
    reduction = reductions[-1]
    has_previews = "preview" in list(reduction.base)
    n_previews = catalog.table(reduction, "preview").sizes["time"] if has_previews else 0
    return MeasuredTomogram(
        row, volume.to_numpy(), lines_during(lines, row), n_previews, electrode_area
    )


def camera_lines(path: Path) -> list[Line]:
    """The truth of every frame of the imaging camera, in the order of time."""
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return sorted(
        (line for line in lines if line.get("camera") == "imaging camera"),
        key=lambda line: float(line["exposure_start"]),
    )


def lines_during(lines: Sequence[Line], row: Mapping[str, Any]) -> tuple[Line, ...]:
    """Of the frames of a reduced tomogram, those that saw a cell."""
    start, end = float(row["time_start"]) - _CLOCK, float(row["time_end"]) + _CLOCK
    return tuple(
        line
        for line in lines
        if line["in_beam"] == "cell"
        and line["exposure_start"] >= start
        and line["exposure_end"] <= end
    )


def _n_flown(connection: Connection, uid: str) -> int:
    """Frames that the trains of a run took."""
    return sum(
        int(line.doc["data"].get("n_frames", 0))
        for line in documents(connection.spool / f"{uid}.jsonl")
        if line.name == "event" and "train" in line.doc["data"]
    )
