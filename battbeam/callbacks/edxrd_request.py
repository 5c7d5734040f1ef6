"""This file is where a run's start document says how its energy-dispersive spectra are to be reduced."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.experiment.reductions import reductions_of
from battbeam.reduction.edxrd_calibration import EdxrdCalibration
from battbeam.reduction.energy_dispersive import EdxrdReducer
from battbeam.reduction.stages import STAGES, Line
from battbeam.units import FloatArray

METHOD = "edxrd"


@dataclass(frozen=True)
class EdxrdRequest:
    """What is asked of the reduction of one run.

    Attributes:
        calibration: Of the channels.
        flux: (energy in eV, photons times what is detected, relative) of the white beam, ascending;
            empty: the same at all energies.
        lines: Of phases beside graphite.
        stages: Whether graphite and its stages are fitted.
        places: Of the layers along ``axis``, the first one first; empty where the run is no sweep.
        axis: Key of the position across the layers.
    """

    calibration: EdxrdCalibration
    flux: tuple[tuple[float, float], ...]
    lines: tuple[Line, ...]
    stages: bool
    places: tuple[float, ...]
    axis: str

    @classmethod
    def of_start(cls, start: Mapping[str, Any]) -> "EdxrdRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing or malformed.
        """
        asked = reductions_of(start)[METHOD]
        if not asked.get("calibration"):
            raise ReductionError(
                f"run {start['uid']}: `reduction` names no calibration; run calibrate_edxrd first"
            )
        try:
            return cls(
                calibration=EdxrdCalibration.read(Path(asked["calibration"])),
                flux=tuple((float(e), float(n)) for e, n in asked.get("flux") or ()),
                lines=tuple(Line(**line) for line in asked.get("lines") or ()),
                stages=bool(asked.get("stages", True)),
                **_layers(start.get("map") or {}),
            )
        except (TypeError, ValueError) as fault:
            raise ReductionError(
                f"run {start['uid']}: `reduction` is malformed: {fault}"
            ) from fault

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides on the result, JSON-ready."""
        return {
            "calibration": asdict(self.calibration),
            "flux": [list(each) for each in self.flux],
            "lines": [asdict(line) for line in self.lines],
            "stages": self.stages,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of every line whose spacing is looked for."""
        fitted = STAGES if self.stages else ()
        return tuple(line.name for line in (*self.lines, *fitted))

    def reducer(self) -> EdxrdReducer:
        """What reduces spectra so.

        Raises:
            ReductionError: If a line is none of its phase.
        """
        return EdxrdReducer(
            self.calibration,
            lines=self.lines,
            stages=self.stages,
            flux=self._flux_at if self.flux else None,
        )

    def _flux_at(self, energy: float) -> float:
        known, values = np.array(self.flux).T
        return float(np.exp(np.interp(energy, known, np.log(values))))

    def layer(self, place: float) -> int:
        """Number of the layer next to a place; -1 where there are none, or the place is not known."""
        if not self.places or not np.isfinite(place):
            return -1
        return int(np.argmin(np.abs(_array(self.places) - place)))


def _layers(said: Mapping[str, Any]) -> dict[str, Any]:
    """Places along the one axis of a sweep, as its start document has them."""
    axes, shape, extents = (said.get(name) or [] for name in ("axes", "shape", "extents"))
    if len(axes) != 1:
        return {"places": (), "axis": ""}
    first, last = (float(each) for each in extents[0])
    places = np.linspace(first, last, int(shape[0]))
    return {"places": tuple(float(each) for each in places), "axis": str(axes[0])}


def _array(values: Sequence[float]) -> FloatArray:
    return np.asarray(values, dtype=float)
