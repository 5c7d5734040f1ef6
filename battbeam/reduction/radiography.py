"""This file is where one radiograph becomes what it transmits, and where what is new in it ends."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.fronts import Edges, edges_of
from battbeam.reduction.projections import Projections, absorbance, opaque
from battbeam.units import AnyArray

# Share of full pixels from which on a radiograph is not used; chosen here, hot pixels are fewer.
_MOST_SATURATED = 1e-3


@dataclass(frozen=True)
class RadiographyOptions:
    """How radiographs are reduced.

    Attributes:
        n_before: Radiographs at the beginning of a run that show the field before anything grew.
        saturation: Counts at which a pixel is full; None for no limit.
    """

    n_before: int = 1
    saturation: float | None = 65535.0

    @classmethod
    def read(cls, document: Mapping[str, object]) -> "RadiographyOptions":
        """From a start document's ``reduction``, whose ``method`` names the technique.

        Raises:
            ReductionError: If an option is unknown or out of range.
        """
        asked = {name: value for name, value in document.items() if name != "method"}
        known = [option.name for option in dataclasses.fields(cls)]
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise ReductionError(
                f"unknown option of radiography: {', '.join(unknown)}; known: {', '.join(known)}"
            )
        read = cls(**asked)  # type: ignore[arg-type]
        if read.n_before < 1:
            raise ReductionError(f"n_before must be at least 1, got {read.n_before}")
        return read


@dataclass(frozen=True)
class Radiograph:
    """One reduced radiograph.

    Attributes:
        valid: Whether it may be used.
        reason: Why not, "" if valid.
        absorbance: Shape (n_rows, n_columns); empty if there is none.
        transmission: Mean over the field, 1.
        opaque: Share of the pixels that saw next to no light.
        edges: Of what is new in it; NaN while there is nothing to compare with.
    """

    valid: bool
    reason: str
    absorbance: AnyArray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    transmission: float = math.nan
    opaque: float = math.nan
    edges: Edges = field(default_factory=lambda: Edges(np.full(2, np.nan), np.full(2, np.nan), 0.0))


class RadiographyReducer:
    """Reduces the radiographs of one run, one after the other.

    What is new is so against the first ones, which show the field before anything grew.
    """

    def __init__(self, options: RadiographyOptions) -> None:
        self.options = options
        self._n_before = 0
        self._before: AnyArray = np.zeros((0, 0))

    def reduce(self, projections: Projections, *, beam: float = 1.0) -> Radiograph:
        """The next radiograph; of what cannot be reduced, the reason.

        Args:
            projections: It alone, with flats and darks.
            beam: Its intensity before the sample over that of the flats; NaN is not known.
        """
        saturation, counts = self.options.saturation, projections.counts[0]
        full = 0.0 if saturation is None else float(np.mean(counts >= saturation))
        if full > _MOST_SATURATED:
            return Radiograph(
                valid=False,
                reason=f"{full:.1%} of the pixels hold {saturation:g} counts or more",
            )
        try:
            seen = absorbance(projections, np.zeros(1, dtype=np.intp))[0]
        except ReductionError as fault:
            return Radiograph(valid=False, reason=str(fault))
        dim = opaque(seen)
        if math.isfinite(beam) and beam > 0:
            seen = seen + np.float32(math.log(beam))
        return Radiograph(
            valid=True,
            reason="",
            absorbance=seen,
            transmission=float(np.exp(-seen).mean(dtype=float)),
            opaque=dim,
            edges=self._edges(seen),
        )

    def _edges(self, seen: AnyArray) -> Edges:
        if self._n_before < self.options.n_before:
            self._before = seen if self._n_before == 0 else self._before + seen
            self._n_before += 1
            return Edges(np.full(2, np.nan), np.full(2, np.nan), 0.0)
        return edges_of(seen - self._before / self._n_before)
