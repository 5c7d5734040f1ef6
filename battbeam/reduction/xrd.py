"""This file is where a diffraction frame becomes phase fractions and lattice parameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from battbeam.reduction.xrd_result import (
    Dark,
    PhaseResult,
    ScatteringPhase,
    XrdOptions,
    XrdResult,
)
from battbeam.units import AnyArray, FloatArray

__all__ = ["Dark", "PhaseResult", "ScatteringPhase", "XrdOptions", "XrdReducer", "XrdResult"]


class XrdReducer:
    """Reduces frames of one geometry; made once, used for every frame."""

    def __init__(
        self,
        geometry: Path,
        instrument: Path,
        phases: Sequence[ScatteringPhase],
        *,
        shape: tuple[int, int],
        options: XrdOptions | None = None,
        mask: AnyArray | None = None,
    ) -> None: ...

    @property
    def two_theta(self) -> FloatArray:
        """Of the bins, degree, shape (n_bins,)."""
        raise NotImplementedError

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What a stored result has to say about how it was made; JSON-ready."""
        raise NotImplementedError

    def reduce(
        self,
        frame: AnyArray,
        *,
        monitor: float,
        transmission: float | None,
        exposure: float | None = None,
        dark: Dark | None = None,
    ) -> XrdResult:
        """Phase fractions, amounts and lattice parameters of one frame.

        Args:
            frame: Counts, shape (n_rows, n_columns).
            monitor: Counts of I0 during the exposure.
            transmission: Of the cell, 0 to 1 (counts behind over counts before, over the same without cell);
                None or NaN: not measured, no correction.
            exposure: s; needed with a dark.
            dark: Frames without beam.
        """
        raise NotImplementedError
