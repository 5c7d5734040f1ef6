"""This file is where the counts of a scan through an absorption edge become an edge position and a
valence.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import xraydb

from battbeam.errors import ReductionError
from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.edge_comparison import EdgeComparison
from battbeam.reduction.edge_fit import KnownCurve
from battbeam.reduction.energy_calibration import Calibration, EnergyCalibration
from battbeam.reduction.measured_spectrum import MeasuredSpectrum
from battbeam.reduction.normalization import NormalizationOperator, Normalized
from battbeam.reduction.self_absorption import SelfAbsorption
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.sweeps import LagCalibration, Sweep, merge, rebin
from battbeam.reduction.unmixing import LinearCombination
from battbeam.reduction.valence import pre_edge_area
from battbeam.reduction.xanes_result import Standard, XanesOptions, XanesResult
from battbeam.units import FloatArray

__all__ = [
    "LagCalibration",
    "Spectrum",
    "Standard",
    "Sweep",
    "XanesOptions",
    "XanesReducer",
    "XanesResult",
    "merge",
    "rebin",
]

# An edge step has to stand out of its noise by this much, and to be this large (chosen: a step of
# 0.01 needs 10^6 photons a point to be worth anything).
_SIGNIFICANT, _LEAST_STEP = 5.0, 0.01


class XanesReducer:
    """Reduces spectra of one edge; made once a run, used for every spectrum in their order.

    Without stored curves the first spectrum that can be used sets the foil's and the edge's: it is
    measured against nothing but itself, and all others against it.

    Args:
        options: See `XanesOptions`.
        element: Absorbing, as "Ni".
        edge: As "K".

    Raises:
        ReductionError: If the edge is not known, standards cannot be compared, or self-absorption is
            not one of this edge's fluorescence.
    """

    def __init__(self, options: XanesOptions, element: str, edge: str) -> None:
        self.options, self.element, self.edge = options, element, edge
        self.tabulated_energy = _tabulated_energy(element, edge)
        self.edge_energy = options.edge_energy or self.tabulated_energy
        self._calibration = EnergyCalibration(
            self.tabulated_energy,
            window=options.foil_range,
            foil=options.foil,
            repeatability=options.energy_repeatability,
            jitter=options.energy_jitter,
        )
        self._comparison = EdgeComparison(options, self.edge_energy)
        self._self_absorption = self._asked_self_absorption()

    def _asked_self_absorption(self) -> SelfAbsorption | None:
        asked = self.options.self_absorption
        if asked is None:
            return None
        if self.options.signal != "fluorescence":
            raise ReductionError("self-absorption is undone in fluorescence, the signal is another")
        return SelfAbsorption.read(
            asked, element=self.element, edge=self.edge, edge_energy=self.tabulated_energy
        )

    @property
    def foil(self) -> Standard | None:
        """The foil's curve that scans are compared with; stored, it serves the next run as well."""
        return self._calibration.foil

    @property
    def standard(self) -> Standard | None:
        """The curve that edges are compared with; likewise."""
        return self._comparison.standard

    @property
    def provenance(self) -> dict[str, Any]:
        """What a stored result has to say about how it was made; JSON-ready."""
        return {
            "method": "shift of the edge against a known curve, calibrated by the foil",
            "element": self.element,
            "edge": self.edge,
            "edge_energy": self.edge_energy,
            "tabulated_energy": self.tabulated_energy,
            "options": self.options.document(),
        }

    def reduce(self, spectrum: Spectrum) -> XanesResult:
        """One spectrum, calibrated, normalized and compared with the standards.

        What cannot be trusted is NaN, and the result says why.

        Raises:
            ReductionError: If the channel that the options ask for is not there.
        """
        measured = MeasuredSpectrum.of(spectrum, self.options)
        calibration = self._calibration.calibrate(measured.spectrum.energy, measured.foil)
        energy = measured.spectrum.energy + calibration.shift
        result = _curves_only(measured, calibration, energy)
        reason = measured.doubts(energy, self.edge_energy)
        if reason:
            return replace(result, reason=reason)
        try:
            normalized = self._normalized(measured, energy)
        except ReductionError as error:
            return replace(result, reason=str(error))
        step, noise = normalized.step, normalized.step_error
        # Fluorescence has a scale of its own.
        least = _LEAST_STEP if self.options.signal == "transmission" else 0.0
        if step < max(least, _SIGNIFICANT * noise):
            return replace(result, reason=f"no edge: its step is {step:.4f} +- {noise:.4f}")
        most = self.options.most_edge_step
        if self.options.signal == "transmission" and step > most:
            reason = f"too thick: edge step {step:.2f}, {most:g} can be used"
            return replace(result, reason=reason)
        return self._compared(result, measured, calibration, normalized)

    def _normalized(self, measured: MeasuredSpectrum, energy: FloatArray) -> Normalized:
        """Of the points that can be used."""
        good = measured.good
        operator = NormalizationOperator(
            energy[good],
            edge_energy=self.edge_energy,
            pre=self.options.pre_range,
            post=self.options.post_range,
            degree=self.options.post_degree,
        )
        return operator.normalize(measured.signal.values[good], measured.signal.errors[good])

    def _compared(
        self,
        result: XanesResult,
        measured: MeasuredSpectrum,
        calibration: Calibration,
        normalized: Normalized,
    ) -> XanesResult:
        energy = result.energy
        curve = Absorbance(np.full(len(energy), np.nan), np.full(len(energy), np.nan))
        curve.values[measured.good] = normalized.values
        curve.errors[measured.good] = normalized.errors
        if self._self_absorption is not None:
            # The edge is that of the curve as it would be without: flattened ones lie lower.
            curve = self._self_absorption.undone(curve)
            measured = replace(measured, signal=curve)
        edge = self._comparison.edge(measured, calibration, energy, curve)
        is_found = bool(np.isfinite(edge.position))
        values: dict[str, Any] = {
            "valid": is_found,
            "reason": "" if is_found else "no edge where it should be",
            "normalized_absorbance": curve.values,
            "normalized_absorbance_error": curve.errors,
            "edge_position": edge.position,
            "edge_position_error": edge.error if is_found else np.nan,
            "edge_position_shared_error": edge.shared_error if is_found else np.nan,
            "edge_step": normalized.step,
            "edge_step_error": normalized.step_error,
            "residual": edge.residual,
        }
        if is_found:
            values |= self._chemistry(energy, curve, edge.position, edge.error)
        return replace(result, **values)

    def _chemistry(
        self, energy: FloatArray, curve: Absorbance, position: float, error: float
    ) -> dict[str, Any]:
        """What the edge says about the absorbing element."""
        low, high = self.options.pre_edge_range
        between = (self.edge_energy + low, self.edge_energy + high)
        area, area_error = pre_edge_area(energy, curve, between=between, edge_position=position)
        values: dict[str, Any] = {"pre_edge_area": area, "pre_edge_area_error": area_error}
        if self._comparison.line is not None:
            state, state_error = self._comparison.line.at(position, error)
            values |= {"oxidation_state": state, "oxidation_state_error": state_error}
        if self.options.combination and self.options.standards:
            values |= self._mixture(energy, curve)
        return values

    def _mixture(self, energy: FloatArray, curve: Absorbance) -> dict[str, Any]:
        """Shares of the standards, over the energies that all of them cover."""
        standards = self.options.standards
        low = max(each.energy[0] for each in standards)
        high = min(each.energy[-1] for each in standards)
        used = np.isfinite(curve.values) & (energy >= low) & (energy <= high)
        references = np.stack([KnownCurve(each).values(energy[used]) for each in standards])
        fit = LinearCombination(references, errors=curve.errors[used], closed=True)
        mixture = fit.fit(curve.values[used])
        names = [each.name for each in standards]
        return {
            "fractions": dict(zip(names, mixture.amounts[0].tolist(), strict=True)),
            "fractions_error": dict(zip(names, mixture.errors.tolist(), strict=True)),
        }


def _curves_only(
    measured: MeasuredSpectrum, calibration: Calibration, energy: FloatArray
) -> XanesResult:
    """What is known before anything is made of it."""
    nothing = np.full(len(energy), np.nan)
    foil = measured.foil or Absorbance(nothing, nothing)
    return XanesResult(
        valid=False,
        reason="",
        energy=energy,
        absorbance=measured.signal.values,
        absorbance_error=measured.signal.errors,
        normalized_absorbance=nothing,
        normalized_absorbance_error=nothing,
        reference_absorbance=foil.values,
        reference_absorbance_error=foil.errors,
        flagged=measured.flagged,
        flags=(calibration.flag,) if calibration.flag else (),
        energy_shift=calibration.shift,
        energy_shift_error=calibration.error,
        n_flagged=int(measured.flagged.sum()),
        counts=measured.counts,
    )


def _tabulated_energy(element: str, edge: str) -> float:
    """eV, from Elam's tables through xraydb."""
    try:
        found = xraydb.xray_edge(element, edge)
    except ValueError as error:
        raise ReductionError(f"there is no element {element!r}") from error
    if found is None:
        raise ReductionError(f"{element} has no edge {edge!r}")
    return float(found.energy)
