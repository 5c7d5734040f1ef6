"""This file is where a run's start document says how its small-angle frames are to be reduced."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.experiment.reductions import reductions_of
from battbeam.reduction.saxs import SaxsOptions, SaxsReducer
from battbeam.reduction.xrd_result import Dark
from battbeam.units import AnyArray

METHOD = "saxs"


@dataclass(frozen=True)
class SaxsRequest:
    """What is asked of the reduction of one run's small-angle frames.

    Attributes:
        detector: That they are of.
        geometry: The .poni file.
        options: Of the reducer.
        mask: Pixels to leave out (.npy, not 0 is left out), or none.
        dark: Frames without beam (.npz), or none.
        transmission_reference: Counts behind over before without a cell; None: no correction.
        minimum_i0: Fewer counts than this in a frame are no beam.
        saturation: From so many counts on a pixel is full; None is not known.
    """

    detector: str
    geometry: Path
    options: SaxsOptions
    mask: Path | None = None
    dark: Path | None = None
    transmission_reference: float | None = None
    minimum_i0: float = 0.0
    saturation: float | None = None

    @classmethod
    def of_start(cls, start: Mapping[str, Any]) -> "SaxsRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing or malformed.
        """
        asked = reductions_of(start).get(METHOD, {})
        if not asked.get("geometry"):
            raise ReductionError(
                f"run {start['uid']}: small-angle frames need a `geometry`; calibrate with "
                f"calibrate_saxs first"
            )
        try:
            return cls(
                detector=str(asked.get("detector", METHOD)),
                geometry=Path(asked["geometry"]),
                options=_options(asked.get("options") or {}),
                mask=Path(asked["mask"]) if asked.get("mask") else None,
                dark=Path(asked["dark"]) if asked.get("dark") else None,
                transmission_reference=asked.get("transmission_reference"),
                minimum_i0=float(asked.get("minimum_i0") or 0.0),
                saturation=asked.get("saturation"),
            )
        except (TypeError, ValueError) as fault:
            raise ReductionError(
                f"run {start['uid']}: `reduction` is malformed: {fault}"
            ) from fault

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides on the result, JSON-ready; files by the hash of what they hold."""
        options = asdict(self.options)
        del options["cache_directory"]
        given = {
            "method": METHOD,
            "detector": self.detector,
            "files": {name: _sha256(getattr(self, name)) for name in ("geometry", "mask", "dark")},
            "options": options,
            "transmission_reference": self.transmission_reference,
            "minimum_i0": self.minimum_i0,
            "saturation": self.saturation,
        }
        plain: dict[str, Any] = json.loads(json.dumps(given))
        return plain

    def reducer(self, shape: tuple[int, int]) -> SaxsReducer:
        """What reduces frames of a shape so.

        Raises:
            ReductionError: If a file cannot be read.
        """
        return SaxsReducer(self.geometry, shape=shape, options=self.options, mask=self._mask())

    def _mask(self) -> AnyArray | None:
        if self.mask is None:
            return None
        try:
            return np.asarray(np.asarray(np.load(self.mask)) != 0)
        except (OSError, ValueError) as fault:
            raise ReductionError(f"mask {self.mask} cannot be read: {fault}") from fault

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
                return Dark(counts=counts, exposure=float(stored["exposure"]))
        except (OSError, KeyError, ValueError) as fault:
            raise ReductionError(f"dark {self.dark} cannot be read: {fault}") from fault


def _options(asked: Mapping[str, Any]) -> SaxsOptions:
    known = {each.name for each in fields(SaxsOptions)}
    if unknown := sorted(set(asked) - known):
        raise ValueError(f"options {', '.join(unknown)} are not known; there are {sorted(known)}")
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in asked.items()
    }
    if given.get("cache_directory"):
        given["cache_directory"] = Path(given["cache_directory"])
    return SaxsOptions(**given)


def _sha256(path: Path | None) -> str:
    if path is None:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
