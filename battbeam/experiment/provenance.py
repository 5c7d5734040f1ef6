"""This file is where it is written down with what a result was made: programs, files, clocks."""

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

#: Programs that a run names with their versions; all others are in the hash.
PROGRAMS = (
    "battbeam",
    "bluesky",
    "ophyd",
    "caproto",
    "numpy",
    "scipy",
    "pyFAI",
    "tiled",
    "aurora-unicycler",
)
#: Files that a reduction names.
CALIBRATION_FILES = ("geometry", "instrument", "mask", "dark", "flat")


def versions(programs: Iterable[str] = PROGRAMS) -> dict[str, str]:
    """The installed version of each program."""

    def found(program: str) -> str:
        try:
            return version(program)
        except PackageNotFoundError:
            return "not installed"

    return {program: found(program) for program in programs}


@functools.cache
def installed_sha256() -> str:
    """SHA-256 over every installed package and its version.

    The same as that of ``name==version`` lines, names in lower case with ``-``, sorted, each with a
    line feed: two environments with one hash hold the same packages.
    """
    lines = {
        f"{name.lower().replace('_', '-')}=={each.version}\n"
        for each in distributions()
        if (name := each.metadata["Name"])
    }
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def time_zone() -> dict[str, Any]:
    """The machine's time zone now: its name, and s that its clocks are ahead of UTC."""
    local = time.localtime()
    return {"name": local.tm_zone, "utc_offset": local.tm_gmtoff}


def file_record(path: Path) -> dict[str, Any]:
    """Name and SHA-256 of a file's content; without a hash, the reason."""
    try:
        status = path.stat()
        digest = _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        return {"file": str(path), "sha256": "", "reason": error.strerror or str(error)}
    return {"file": str(path), "sha256": digest}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _changed: int, _size: int) -> str:
    return file_sha256(path)


def calibration_record(reduction: Mapping[str, Any]) -> dict[str, Any]:
    """The calibration that a reduction names: each file's hash, the calibrant and its date.

    Args:
        reduction: As a run's start document has it; files that it does not name are left out.
    """
    named = {name: reduction.get(name) for name in CALIBRATION_FILES}
    found: dict[str, Any] = {name: file_record(Path(path)) for name, path in named.items() if path}
    if named["instrument"]:
        found |= _standard(Path(named["instrument"]))
    return found


def curve_record(reduction: Mapping[str, Any]) -> dict[str, Any]:
    """The stored curves that a reduction of spectra names, each file with its hash.

    Args:
        reduction: As a run's start document has it; curves that stand in it whole are left out.
    """
    parts = {"": reduction, **(reduction.get("edges") or {})}
    files = [
        path
        for part in parts.values()
        for path in (part.get("foil"), *(part.get("standards") or ()))
        if isinstance(path, str)
    ]
    return {Path(path).stem: file_record(Path(path)) for path in dict.fromkeys(files)}


def _standard(instrument: Path) -> dict[str, Any]:
    """Calibrant, time (s since the epoch) and energy (eV) that a calibration wrote beside it."""
    try:
        said = json.loads(instrument.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {name: said[name] for name in ("calibrant", "time", "energy") if name in said}
