"""This file is where a scan's energies are set right by the foil that was measured in it."""

from dataclasses import dataclass

import numpy as np

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.edge_fit import KnownCurve, ShiftFit, fit_shift
from battbeam.reduction.edge_place import steepest_point
from battbeam.reduction.xanes_result import Standard
from battbeam.units import FloatArray

# How far from its tabulated energy the edge of a foil is looked for, and how far it may be, eV.
_REACH, _FARTHEST = 40.0, 15.0
# A foil's step has to stand out of its noise by this much, and to be this large: a thin oxide skin or
# a scattered foil of another element is no reference (chosen; foils in use have steps of 1).
_SIGNIFICANT, _LEAST_STEP = 10.0, 0.05


@dataclass(frozen=True)
class Calibration:
    """What has to be added to a scan's energies.

    Attributes:
        shift: eV, to be added.
        error: Of it, one standard deviation.
        shared_error: The part of it that all scans compared with the same curve share, eV.
        flag: What is wrong with it, "" if it comes from the scan's own foil.
        fit: Of the foil; None where it was not compared with a curve.
    """

    shift: float
    error: float
    shared_error: float
    flag: str = ""
    fit: ShiftFit | None = None


class EnergyCalibration:
    """Calibrates the scans of a run in their order.

    Args:
        edge_energy: Of the foil as tabulated, eV.
        window: Over which the foil is compared, eV relative to its edge.
        foil: A stored curve; None: the first foil that is seen is set with its steepest point on the
            tabulated edge, and is the curve for those that follow.
        repeatability: eV; how well two scans agree without a foil.
        jitter: Energy noise of each point, eV.
    """

    def __init__(
        self,
        edge_energy: float,
        *,
        window: tuple[float, float],
        foil: Standard | None = None,
        repeatability: float,
        jitter: float = 0.0,
    ) -> None:
        self._edge_energy, self._window = edge_energy, window
        self._repeatability, self._jitter = repeatability, jitter
        self._known = None if foil is None else KnownCurve(foil)
        self._last: Calibration | None = None

    @property
    def foil(self) -> Standard | None:
        """The curve that foils are compared with, as far as there is one."""
        return None if self._known is None else self._known.standard

    def calibrate(self, energy: FloatArray, foil: Absorbance | None) -> Calibration:
        """One scan.

        Args:
            energy: eV by the encoder, ascending, shape (n,).
            foil: Absorbance of the foil; None if there was no detector behind it.
        """
        if foil is None:
            return self._without("no detector behind a foil")
        missing = self._missing(energy, foil)
        if missing:
            return self._without(missing)
        known = self._known
        found = self._first(energy, foil) if known is None else self._against(known, energy, foil)
        if not np.isfinite(found.shift):
            return self._without(found.flag)
        self._last = found
        return found

    def _without(self, why: str) -> Calibration:
        """The last shift that a foil gave, as far as the monochromator keeps it."""
        if self._last is None:
            return Calibration(
                0.0,
                self._repeatability,
                0.0,
                f"no foil ({why}): energies are the encoder's, an offset is not in the error",
            )
        error = float(np.hypot(self._last.error, self._repeatability))
        flag = f"no foil ({why}): shift of the last scan with a foil"
        return Calibration(self._last.shift, error, self._last.shared_error, flag)

    def _missing(self, energy: FloatArray, foil: Absorbance) -> str:
        """Why this is no curve of a foil, "" if it is one."""
        relative = energy - self._edge_energy
        good = np.isfinite(foil.values) & np.isfinite(foil.errors)
        below = good & (relative > -60) & (relative < -10)
        above = good & (relative > 10) & (relative < 60)
        if min(below.sum(), above.sum()) < 2:
            return "too few points about its edge"
        step = float(foil.values[above].mean() - foil.values[below].mean())
        noise = float(
            np.hypot(
                *(np.sqrt((foil.errors[part] ** 2).mean() / part.sum()) for part in (below, above))
            )
        )
        if step < max(_SIGNIFICANT * noise, _LEAST_STEP):
            return f"its edge step is {step:.3f}"
        return ""

    def _first(self, energy: FloatArray, foil: Absorbance) -> Calibration:
        limits = (self._edge_energy - _REACH, self._edge_energy + _REACH)
        steep = np.gradient(foil.values, energy) * self._jitter
        noisy = Absorbance(foil.values, np.hypot(foil.errors, np.nan_to_num(steep)))
        place = steepest_point(energy, noisy, between=limits)
        if not abs(place.energy - self._edge_energy) <= _FARTHEST:
            return Calibration(np.nan, np.nan, np.nan, "its edge is not where it should be")
        shift = self._edge_energy - place.energy
        good = np.isfinite(foil.values) & np.isfinite(foil.errors)
        self._known = KnownCurve(
            Standard(
                name="first foil",
                energy=energy[good] + shift,
                absorbance=foil.values[good],
                absorbance_error=foil.errors[good],
                edge_position=self._edge_energy,
                edge_position_error=place.error,
            )
        )
        return Calibration(shift, place.error, place.error)

    def _against(self, known: KnownCurve, energy: FloatArray, foil: Absorbance) -> Calibration:
        low, high = self._window
        fit = fit_shift(
            energy,
            foil,
            known,
            window=(self._edge_energy + low, self._edge_energy + high),
            start=0.0 if self._last is None else -self._last.shift,
            jitter=self._jitter,
        )
        if not np.isfinite(fit.shift):
            return Calibration(np.nan, np.nan, np.nan, fit.reason)
        anchor = known.standard.edge_position_error
        shared = float(np.hypot(anchor, np.sqrt(fit.known_variance)))
        return Calibration(-fit.shift, float(np.hypot(fit.error, anchor)), shared, fit=fit)
