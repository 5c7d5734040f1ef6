"""This file is where the reduction of an absorption spectrum says what it was asked and what it
found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray


@dataclass(frozen=True)
class Standard:
    """A spectrum that others are compared with: a compound of known valence, or a metal foil.

    Attributes:
        name: Of it.
        energy: eV, calibrated, ascending, shape (n,).
        absorbance: On any scale, shape (n,); normalized where it is part of a combination.
        absorbance_error: Of it, shape (n,); None: exact.
        edge_position: eV; None: where it first passes half its step.
        edge_position_error: Of it; shared by all that is compared with it.
        oxidation_state: Of the absorbing element; None: not known.
    """

    name: str
    energy: FloatArray
    absorbance: FloatArray
    absorbance_error: FloatArray | None = None
    edge_position: float | None = None
    edge_position_error: float = 0.0
    oxidation_state: float | None = None

    def __post_init__(self) -> None:
        if np.shape(self.energy) != np.shape(self.absorbance) or len(self.energy) < 4:
            raise ReductionError(
                f"standard {self.name} needs four energies or more and as many absorbances, got"
                f" {np.shape(self.energy)} and {np.shape(self.absorbance)}"
            )
        if not np.all(np.diff(self.energy) > 0):
            raise ReductionError(f"the energies of standard {self.name} must ascend")

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Standard":
        """From a start document or a file; lists become arrays.

        Raises:
            ReductionError: If a name is missing or not known.
        """
        values = _known(cls, document)
        for name in ("energy", "absorbance", "absorbance_error"):
            if values.get(name) is not None:
                values[name] = np.asarray(values[name], dtype=float)
        try:
            return cls(**values)
        except TypeError as error:
            raise ReductionError(f"a standard is incomplete: {error}") from error

    def document(self) -> dict[str, Any]:
        """JSON-ready, as `read` takes it."""
        return {
            each.name: value.tolist() if isinstance(value, np.ndarray) else value
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
        }


@dataclass(frozen=True)
class XanesOptions:
    """How a spectrum is reduced. The defaults are meant to be right for a K edge of a 3d metal.

    Ranges are (from, to) in eV relative to the edge energy.

    Attributes:
        signal: What the absorbance is from.
        edge_energy: E0 of the normalization, eV; None: as tabulated for the element.
        pre_range: Of the line before the edge; None: xraylarch's default.
        post_range: Of the polynomial behind it; None: xraylarch's default.
        post_degree: Of that polynomial; None: xraylarch's default for the range.
        edge_range: Over which the edge is compared with a standard's, relative to the edge position
            of that.
        foil_range: Likewise of the foil, relative to the tabulated edge.
        pre_edge_range: Where the peak before the edge may have its middle.
        foil: A stored curve of the foil; None: that of the first scan, set on the tabulated edge.
        standards: Spectra of known compounds. The edge is compared with the first, the oxidation
            state comes from all that have one.
        combination: Whether the spectrum is also fitted as a mixture of the standards.
        energy_repeatability: eV; how well two scans agree in energy without a foil.
        energy_jitter: Energy noise of each point, eV; a curve that scatters by more than that gets a
            larger error.
        dead_time: Of the fluorescence detector, s; None: output counts are brought to the fast
            channel's.
        self_absorption: Of the sample that fluoresces, as `SelfAbsorption.read` takes it; None:
            fluorescence is taken for the absorbance of a thin sample.
        most_absorbance: From which on a sample is too thick to be believed; what the counters say,
            right up to a constant where their efficiencies are not known.
        most_edge_step: Likewise of the edge step, which knows no such constant.
        saturation: Counts/s of an ionization chamber from which on a point is left out; None for
            no limit.
        least_photons: A point with fewer in any detector is left out.
    """

    signal: Literal["transmission", "fluorescence"] = "transmission"
    edge_energy: float | None = None
    pre_range: tuple[float, float] | None = None
    post_range: tuple[float, float] | None = None
    post_degree: int | None = None
    edge_range: tuple[float, float] = (-12.0, 12.0)
    foil_range: tuple[float, float] = (-15.0, 25.0)
    pre_edge_range: tuple[float, float] = (-3.0, 6.0)
    foil: Standard | None = None
    standards: tuple[Standard, ...] = ()
    combination: bool = False
    energy_repeatability: float = 0.02
    energy_jitter: float = 0.02
    dead_time: float | None = None
    self_absorption: Mapping[str, Any] | None = None
    most_absorbance: float = 4.0
    most_edge_step: float = 3.0
    saturation: float | None = None
    least_photons: float = 100.0

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "XanesOptions":
        """From what a start document says under ``reduction``; "method" is passed over.

        Raises:
            ReductionError: If an option is not known.
        """
        values = _known(cls, {k: v for k, v in document.items() if k != "method"})
        for name in ("pre_range", "post_range", "edge_range", "foil_range", "pre_edge_range"):
            if values.get(name) is not None:
                low, high = values[name]
                values[name] = (float(low), float(high))
        if values.get("foil") is not None:
            values["foil"] = Standard.read(values["foil"])
        values["standards"] = tuple(Standard.read(each) for each in values.get("standards", ()))
        return cls(**values)

    def document(self) -> dict[str, Any]:
        """JSON-ready, as `read` takes it."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        foil = None if self.foil is None else self.foil.document()
        return plain | {"foil": foil, "standards": [each.document() for each in self.standards]}


@dataclass(frozen=True)
class XanesResult:
    """One reduced spectrum; points ascend in energy, errors are one standard deviation.

    Attributes:
        valid: Whether the numbers may be used.
        reason: Why not, "" if valid.
        flags: What makes the numbers worse than they look, one sentence each; they are valid, and
            their errors say so.
        energy: eV, calibrated where there is a foil, shape (n,).
        absorbance: -ln of the transmission, or fluorescence over I0; NaN where a point is left out.
        absorbance_error: From counting.
        normalized_absorbance: 0 before the edge, 1 behind it; self-absorption undone where it was
            asked for.
        normalized_absorbance_error: Of it, that of the edge step not included.
        reference_absorbance: Of the foil.
        reference_absorbance_error: From counting.
        flagged: Points left out: glitches, saturated, too few counts, shape (n,), bool.
        energy_shift: What was added to the encoder's energies, eV.
        energy_shift_error: Of it; without a foil that of the monochromator.
        edge_position: By a fit of the shift against the first standard, or against the first
            spectrum without one, eV.
        edge_position_error: Counting and calibration.
        edge_position_shared_error: The part of it that all spectra compared with the same curves
            share, and that differences between them do not have, eV.
        edge_step: Of the absorbance at the edge energy.
        edge_step_error: From counting.
        pre_edge_area: Of the peak before the edge in the normalized absorbance, eV.
        pre_edge_area_error: From counting.
        oxidation_state: Along the line through the standards; NaN with fewer than two.
        oxidation_state_error: Of it, with that of the edge and of the line.
        fractions: Of each standard in the mixture, sum 1; empty where not asked for.
        fractions_error: Of them.
        residual: Reduced chi squared of the edge's fit; NaN without.
        n_flagged: Number of points left out.
        counts: Photons counted behind the sample, mean of the points in use.
    """

    valid: bool
    reason: str
    energy: FloatArray
    absorbance: FloatArray
    absorbance_error: FloatArray
    normalized_absorbance: FloatArray
    normalized_absorbance_error: FloatArray
    reference_absorbance: FloatArray
    reference_absorbance_error: FloatArray
    flagged: AnyArray
    flags: tuple[str, ...] = ()
    energy_shift: float = np.nan
    energy_shift_error: float = np.nan
    edge_position: float = np.nan
    edge_position_error: float = np.nan
    edge_position_shared_error: float = np.nan
    edge_step: float = np.nan
    edge_step_error: float = np.nan
    pre_edge_area: float = np.nan
    pre_edge_area_error: float = np.nan
    oxidation_state: float = np.nan
    oxidation_state_error: float = np.nan
    fractions: Mapping[str, float] = field(default_factory=dict)
    fractions_error: Mapping[str, float] = field(default_factory=dict)
    residual: float = np.nan
    n_flagged: int = 0
    counts: float = 0.0


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    known = {each.name for each in fields(kind)}
    unknown = sorted(set(document) - known)
    if unknown:
        raise ReductionError(
            f"{kind.__name__} knows no {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    return dict(document)
