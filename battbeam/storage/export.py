"""This file is where reduced results are written for programs of others.

Of diffraction patterns there is one format, ``xy``: a text file a pattern, three columns, header lines
that begin with ``#``.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from battbeam.errors import StorageError
from battbeam.units import FloatArray

#: What is said of each pattern besides its phases, where it is known: column and unit.
_SAID = {
    "exposure": "s",
    "temperature": "degC",
    "voltage": "V",
    "state_of_charge": "1",
    "sample_stage_x": "mm",
    "sample_stage_y": "mm",
    "residual": "1",
    "n_saturated": "pixels",
}
#: Columns that a pattern needs.
_PATTERN = ("intensity", "intensity_error")


class PatternFormat(StrEnum):
    """How patterns are written."""

    XY = "xy"


def export_patterns(rows: xr.Dataset, directory: Path) -> list[Path]:
    """Write the patterns of a reduced run's valid rows, one .xy a row.

    Three columns: two theta in degree, intensity and its standard deviation. The intensity is what
    was counted over solid angle and polarization, background included, so that the errors of bins are
    those of counting and independent of each other. Bins without a pixel are left out. A file is named
    by the first 8 characters of the reduction's uid and the row's number in ``rows``.

    Args:
        rows: As `battbeam.storage.catalog.Catalog.reduced` gives them.
        directory: Where to write; made if it is missing.

    Returns:
        The files, in the order of the rows.

    Raises:
        StorageError: If there are no patterns, no wavelength or no valid row, a valid row is empty, or a
            file is there already; then nothing is written.
    """
    uid = str(rows.attrs.get("uid", ""))
    run = f"reduced run {uid or 'without uid'}"
    if not uid:
        raise StorageError(f"{run}: rows to export are those that Catalog.reduced gives")
    if any("two_theta" not in rows[name].dims for name in _PATTERN if name in rows) or not all(
        name in rows for name in ("two_theta", *_PATTERN, "valid")
    ):
        raise StorageError(f"{run} has no diffraction patterns; only those are written as xy")
    wavelength = _wavelength(rows, run)
    texts = {
        directory / f"{uid[:8]}_{number:04d}.xy": _text(rows.isel(time=number), number, wavelength)
        for number in np.flatnonzero(rows["valid"].to_numpy() == 1).tolist()
    }
    if not texts:
        raise StorageError(f"{run} has no valid row among {rows.sizes['time']}; {_reasons(rows)}")
    _write(texts, directory)
    return list(texts)


def _write(texts: Mapping[Path, str], directory: Path) -> None:
    there = [path.name for path in texts if path.exists()]
    if there:
        raise StorageError(
            f"{directory} holds {there[0]} already ({len(there)} of {len(texts)} files), nothing was"
            " written; give another directory"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("x") as file:
                file.write(text)
    except OSError as fault:
        raise StorageError(f"patterns cannot be written into {directory}: {fault}") from fault


def _wavelength(rows: xr.Dataset, run: str) -> float:
    """Angstrom, by the two axes that the reduction gave its patterns: lambda q = 4 pi sin(theta)."""
    if "q" not in rows.coords or rows["q"].dims != ("two_theta",):
        raise StorageError(
            f"{run} was reduced without a photon energy: its wavelength is not known"
        )
    theta = np.radians(rows["two_theta"].to_numpy()[-1]) / 2
    wavelength = 4 * np.pi * np.sin(theta) / float(rows["q"][-1])
    if not np.isfinite(wavelength) or wavelength <= 0:
        raise StorageError(f"{run}: a wavelength of {wavelength} angstrom is none")
    return float(wavelength)


def _reasons(rows: xr.Dataset) -> str:
    if "invalid_reason" not in rows or rows.sizes["time"] == 0:
        return "there is nothing to write"
    return f"the first is not because: {rows['invalid_reason'].to_numpy()[0]}"


def _text(row: xr.Dataset, number: int, wavelength: float) -> str:
    columns = [row[name].to_numpy().astype(float) for name in ("two_theta", *_PATTERN)]
    seen = np.all(np.isfinite(columns), axis=0) & (columns[2] > 0)
    if not seen.any():
        raise StorageError(
            f"row {number} of reduced run {row.attrs['uid']} is valid and has no bin with an error"
        )
    header = "".join(f"# {line}\n" for line in _header(row, number, wavelength))
    return header + _table([column[seen] for column in columns])


def _header(row: xr.Dataset, number: int, wavelength: float) -> Iterator[str]:
    about: Mapping[str, Any] = row.attrs
    phases = [str(each["phase"]) for each in about.get("parameters", {}).get("phases", ())]
    yield f"battbeam {about.get('version', '')}".rstrip()
    yield f"uid: {about['uid']}"
    yield f"analysis_of: {about.get('analysis_of', '')}"
    yield f"row: {number}"
    yield f"time: {float(row['time']):.6f} s"
    yield f"wavelength: {wavelength:.8f} angstrom"
    yield f"phases: {' '.join(phases)}"
    for phase in phases:
        for edge in "abc":
            name = f"lattice_{phase}_{edge}"
            if name in row and np.isfinite(float(row[name])):
                value, error = float(row[name]), float(row[f"{name}_error"])
                yield f"{name}: {value:.6f} +- {error:.6f} angstrom"
    for name, unit in _SAID.items():
        if name in row and np.isfinite(float(row[name])):
            yield f"{name}: {float(row[name]):.8g} {unit}"
    yield "intensity: counts over solid angle and polarization, background included"
    yield "columns: two_theta (degree), intensity, intensity_error"


def _table(columns: Sequence[FloatArray]) -> str:
    return "".join(
        f"{angle:.6f} {value:.8g} {error:.6g}\n"
        for angle, value, error in zip(*(each.tolist() for each in columns), strict=True)
    )
