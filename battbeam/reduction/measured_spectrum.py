"""This file is where the counts of a spectrum become its curves, and where it is judged whether there
was light enough.
"""

from dataclasses import dataclass, replace

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.absorbance import (
    Absorbance,
    Photons,
    absorbance_from_fluorescence,
    absorbance_from_transmission,
    find_glitches,
    live_fluorescence,
    photons_from_counts,
)
from battbeam.reduction.spectrum import Channel, Spectrum
from battbeam.reduction.xanes_result import XanesOptions
from battbeam.units import AnyArray, FloatArray

# Fewer points than this are no spectrum.
_LEAST_POINTS = 15
# Share of saturated points from which on a spectrum is not used.
_MOST_SATURATED = 0.05
# How far behind the edge energy the depth of a sample is judged, eV.
_BEHIND = 10.0
_CHAMBERS: tuple[Channel, ...] = ("i0", "transmitted")


@dataclass(frozen=True)
class MeasuredSpectrum:
    """One spectrum's curves; points ascend by the encoder's energy.

    Attributes:
        spectrum: The counts.
        options: How they were read.
        signal: Absorbance of the sample, NaN where a point is left out.
        foil: Of the foil; None without a detector behind it.
        behind: Photons behind the sample.
        flagged: Points left out, shape (n,).
        saturated: Those of them that were too bright, shape (n,).
    """

    spectrum: Spectrum
    options: XanesOptions
    signal: Absorbance
    foil: Absorbance | None
    behind: Photons
    flagged: AnyArray
    saturated: AnyArray

    @classmethod
    def of(cls, spectrum: Spectrum, options: XanesOptions) -> "MeasuredSpectrum":
        """From counts in any order of energy.

        Raises:
            ReductionError: If the channel that the options ask for is not there.
        """
        ordered = spectrum.ascending()
        before = photons_from_counts(ordered, "i0")
        behind = photons_from_counts(ordered, "transmitted")
        flagged = ~np.isfinite(ordered.energy)
        if options.signal == "fluorescence":
            if ordered.fluorescence is None:
                raise ReductionError("fluorescence is asked for, but the spectrum has none")
            source, doubtful = live_fluorescence(ordered, dead_time=options.dead_time)
            signal = absorbance_from_fluorescence(before, source)
            flagged |= doubtful
        else:
            source = behind
            signal = absorbance_from_transmission(before, behind)
        for each in (before, source):
            flagged |= ~(each.detected >= options.least_photons)
        saturated = _saturated(ordered, options.saturation)
        flagged |= saturated
        incident = replace(before, number=before.number / ordered.exposure)
        flagged |= find_glitches(ordered.energy, _without(signal, flagged), incident)
        foil = _foil(ordered, incident, behind, options)
        return cls(ordered, options, _without(signal, flagged), foil, behind, flagged, saturated)

    @property
    def good(self) -> AnyArray:
        """Points in use, shape (n,)."""
        return ~self.flagged

    @property
    def counts(self) -> float:
        """Photons counted behind the sample, mean of the points in use."""
        photons = self.behind.detected[self.good]
        return float(np.nanmean(photons)) if np.isfinite(photons).any() else 0.0

    def doubts(self, energy: FloatArray, edge_energy: float) -> str:
        """Why nothing can be had from it, "" if something can.

        Args:
            energy: Calibrated, eV, shape (n,).
            edge_energy: eV.
        """
        reasons = []
        if self.good.sum() < _LEAST_POINTS:
            reasons.append(f"{self.good.sum()} points can be used, {_LEAST_POINTS} are needed")
        if self.saturated.mean() > _MOST_SATURATED:
            reasons.append(f"{100 * self.saturated.mean():.0f} % of points saturated")
        if self.options.signal == "transmission":
            reasons += self._too_thick(energy > edge_energy + _BEHIND)
        return "; ".join(reasons)

    def _too_thick(self, above: AnyArray) -> list[str]:
        """Too little light behind the sample, above the edge."""
        if not above.any():
            return ["no point behind the edge"]
        reasons, most = [], self.options.most_absorbance
        # Also of points that have too few photons to be used.
        before = photons_from_counts(self.spectrum, "i0").number[above]
        values = np.log(before / self.behind.number[above])
        deepest = float(np.nanmedian(values)) if np.isfinite(values).any() else np.inf
        if deepest > most:
            reasons.append(
                f"too thick: absorbance {deepest:.2f} behind the edge, {most:g} can be used"
            )
        spectrum = self.spectrum
        dark = spectrum.dark_rate.get("transmitted", 0.0) * spectrum.exposure[above]
        net = np.nan_to_num(spectrum.transmitted[above] - dark)
        if np.median(net) < np.median(dark):
            reasons.append("too thick: transmitted counts are less than those of the dark")
        return reasons


def _foil(
    spectrum: Spectrum, incident: Photons, behind: Photons, options: XanesOptions
) -> Absorbance | None:
    if spectrum.reference is None or not np.isfinite(spectrum.reference).any():
        return None
    last = photons_from_counts(spectrum, "reference")
    foil = absorbance_from_transmission(behind, last)
    few = ~(np.fmin(behind.detected, last.detected) >= options.least_photons)
    foil = _without(foil, few)
    return _without(foil, find_glitches(spectrum.energy, foil, incident))


def _saturated(spectrum: Spectrum, limit: float | None) -> AnyArray:
    hot = np.zeros(len(spectrum), dtype=bool)
    if limit is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            for name in _CHAMBERS:
                hot |= spectrum.channels[name] / spectrum.exposure >= limit
    return hot


def _without(curve: Absorbance, points: AnyArray) -> Absorbance:
    """The same curve with NaN at some points."""
    return Absorbance(
        np.where(points, np.nan, curve.values), np.where(points, np.nan, curve.errors)
    )
