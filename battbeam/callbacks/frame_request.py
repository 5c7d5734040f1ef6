"""This file is where what every request for the reduction of frames has in common is: its files, and
the check of its options.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from battbeam.errors import ReductionError
from battbeam.experiment.provenance import file_sha256
from battbeam.reduction.xrd_result import Dark
from battbeam.units import AnyArray

# What numpy says of a file that is cut short, empty, or of another kind.
_SPOILED = (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile)


@dataclass(frozen=True, kw_only=True)
class FrameRequest:
    """What is asked of the reduction of one run's frames, by whatever method.

    Attributes:
        geometry: The .poni file.
        dark: Frames without beam (.npz: ``counts``, their sum, ``exposure``, its s, and ``time``, when,
            s since the epoch), or none.
        mask: Pixels to leave out (.npy, not 0 is left out), or none.
        transmission_reference: Counts behind over before without a cell; None: no correction.
        minimum_i0: Fewer counts than this in a frame are no beam.
    """

    geometry: Path
    dark: Path | None = None
    mask: Path | None = None
    transmission_reference: float | None = None
    minimum_i0: float = 0.0

    def read_dark(self) -> Dark | None:
        """The frames without beam, or None.

        Raises:
            ReductionError: If the file cannot be read.
        """
        if self.dark is None:
            return None
        try:
            with np.load(self.dark) as stored:
                counts = np.asarray(stored["counts"], dtype=float)
                time = float(stored["time"]) if "time" in stored else math.nan
                return Dark(counts=counts, exposure=float(stored["exposure"]), time=time)
        except _SPOILED as fault:
            raise ReductionError(f"dark {self.dark} cannot be read: {fault}") from fault

    def read_mask(self) -> AnyArray | None:
        """Pixels to leave out, or None.

        Raises:
            ReductionError: If the file cannot be read.
        """
        if self.mask is None:
            return None
        try:
            left_out: AnyArray = np.asarray(np.load(self.mask)) != 0
            return left_out
        except _SPOILED as fault:
            raise ReductionError(f"mask {self.mask} cannot be read: {fault}") from fault


def asked_of_frames(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `FrameRequest` beside the geometry, from a start document's ``reduction``."""
    return {
        "dark": path_of(asked.get("dark")),
        "mask": path_of(asked.get("mask")),
        "transmission_reference": asked.get("transmission_reference"),
        "minimum_i0": float(asked.get("minimum_i0") or 0.0),
    }


def asked_options(kind: type, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass of options, from JSON.

    Raises:
        ValueError: If one is not known.
    """
    known = {each.name for each in fields(kind)}
    if unknown := sorted(set(asked) - known):
        raise ValueError(f"options {', '.join(unknown)} are not known; there are {sorted(known)}")
    return {name: tuple(v) if isinstance(v, list) else v for name, v in asked.items()}


def path_of(given: str | None) -> Path | None:
    """A path that may be left out."""
    return Path(given) if given else None


def hash_of(path: Path | None) -> str:
    """SHA-256 of a file's content; empty of none, ``missing`` of one that is not there."""
    if path is None:
        return ""
    return file_sha256(path) if path.is_file() else "missing"
