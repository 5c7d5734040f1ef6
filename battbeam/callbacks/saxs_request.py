"""This file is where a run's start document says how its small-angle frames are to be reduced."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from battbeam.callbacks.frame_request import (
    FrameRequest,
    asked_of_frames,
    asked_options,
    hash_of,
)
from battbeam.errors import ReductionError
from battbeam.experiment.reductions import reductions_of
from battbeam.reduction.saxs import SaxsOptions, SaxsReducer

METHOD = "saxs"


@dataclass(frozen=True)
class SaxsRequest(FrameRequest):
    """What is asked of the reduction of one run's small-angle frames.

    Attributes:
        detector: That they are of.
        options: Of the reducer.
        saturation: From so many counts on a pixel is full; None is not known.
    """

    detector: str
    options: SaxsOptions
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
                saturation=asked.get("saturation"),
                **asked_of_frames(asked),
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
            "files": {name: hash_of(getattr(self, name)) for name in ("geometry", "mask", "dark")},
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
        mask = self.read_mask()
        return SaxsReducer(self.geometry, shape=shape, options=self.options, mask=mask)


def _options(asked: Mapping[str, Any]) -> SaxsOptions:
    given = asked_options(SaxsOptions, asked)
    if given.get("cache_directory"):
        given["cache_directory"] = Path(given["cache_directory"])
    return SaxsOptions(**given)
