"""This file is where the row of a reduced small-angle frame is defined, column by column."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    array_key,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.frame_columns import FRAME_COLUMNS, frame_values
from battbeam.callbacks.xrd_row import FrameContext
from battbeam.experiment.timeline import CellDuring
from battbeam.reduction.saxs import SaxsResult
from battbeam.units import FloatArray

#: Each with its error; names are those of a `SaxsResult`. Intensity has no unit: see there.
_MEASURED = {
    "guinier_radius": "angstrom",
    "radius": "angstrom",
    "radius_width": "1",
    "volume_fraction": "1",
    "surface": "1/angstrom^4",
    "porod_constant": "1/angstrom^4",
    "background": "1",
    "invariant": "1/angstrom^3",
    "peak_q": "1/angstrom",
    "spacing": "angstrom",
    "peak_area": "1/angstrom",
}
_BESIDES = {
    "energy": (NUMBER, "eV"),
    "residual": (NUMBER, "1"),
    "counts": (NUMBER, "count"),
    "n_saturated": (INTEGER, ""),
}
#: One value a bin.
PATTERNS = ("q", "intensity", "intensity_error")


class SmallAngleSchema:
    """The columns of one run's reduced rows.

    Args:
        n_bins: Of a pattern.
        positions: Names and units of the motors whose positions are kept.
    """

    def __init__(self, *, n_bins: int, positions: Mapping[str, str]) -> None:
        self._n_bins, self._positions = n_bins, dict(positions)

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """For the descriptor."""
        measured = {
            column: (NUMBER, unit)
            for name, unit in _MEASURED.items()
            for column in (name, f"{name}_error")
        }
        positions = {name: (NUMBER, unit) for name, unit in self._positions.items()}
        scalars = {**FRAME_COLUMNS, **positions, **CELL_COLUMNS, **measured, **_BESIDES}
        units = {"q": "1/angstrom", "intensity": "1", "intensity_error": "1"}
        patterns = {
            name: array_key([self._n_bins], units[name], ["two_theta"]) for name in PATTERNS
        }
        return scalar_keys(scalars) | patterns

    def row(
        self,
        context: FrameContext,
        cell: CellDuring,
        result: SaxsResult | None,
        *,
        transmission: float,
        energy: float,
        pixels: FloatArray | None,
        n_saturated: int,
        faults: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The values of one row.

        Args:
            context: Of the frame.
            cell: During its exposure.
            result: What the frame says; None if it was not reduced.
            transmission: Of the cell, NaN if not measured.
            energy: Of the photons, eV.
            pixels: Of the frame; None where it is missing.
            n_saturated: Pixels that were full.
            faults: Why it may not be used, besides.
        """
        invalid = result is not None and not result.valid
        said = result.reason if result is not None and invalid else ""
        values = frame_values(
            context,
            self._positions,
            transmission=transmission,
            faults=[*context.faults, *faults, cell.fault, said],
            is_reduced=result is not None,
        )
        values |= cell_values(cell, cell.middle)
        for name in _MEASURED:
            found = None if result is None else getattr(result, name)
            values[name] = math.nan if found is None else float(found.value)
            values[f"{name}_error"] = math.nan if found is None else float(found.error)
        values |= {
            "energy": energy,
            "residual": math.nan if result is None else float(result.residual),
            "counts": math.nan if pixels is None else float(pixels.sum()),
            "n_saturated": n_saturated,
        }
        for name in PATTERNS:
            pattern = np.full(self._n_bins, np.nan) if result is None else getattr(result, name)
            values[name] = np.asarray(pattern, dtype=float).tolist()
        return values
