"""This file is where an edge is compared with a known one, and its error put together from all that
moves it.
"""

from dataclasses import dataclass, replace

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.edge_fit import KnownCurve, ShiftFit, fit_shift
from battbeam.reduction.edge_place import half_height
from battbeam.reduction.energy_calibration import Calibration
from battbeam.reduction.measured_spectrum import MeasuredSpectrum
from battbeam.reduction.valence import ValenceLine
from battbeam.reduction.xanes_result import Standard, XanesOptions
from battbeam.units import FloatArray

# Where the edge of a first spectrum is looked for, eV relative to the edge energy.
_EDGE_REACH = (-20.0, 40.0)
# Absorbance error of a standard that says none, for weights alone.
_EXACT = 1e-6


@dataclass(frozen=True)
class Edge:
    """Position of an edge.

    Attributes:
        position: eV.
        error: Of it, one standard deviation.
        shared_error: The part that all spectra compared with the same curves share.
        residual: Reduced chi squared; NaN without a fit.
    """

    position: float
    error: float
    shared_error: float
    residual: float = np.nan


class EdgeComparison:
    """Compares the edges of a run with that of the first standard, or of the first spectrum.

    Args:
        options: See `XanesOptions`.
        edge_energy: eV.

    Raises:
        ReductionError: If a standard has no edge, or one of another shape altogether.
    """

    def __init__(self, options: XanesOptions, edge_energy: float) -> None:
        self._options, self._edge_energy = options, edge_energy
        self._known: KnownCurve | None = None
        self._middle = edge_energy
        self.line: ValenceLine | None = None
        if options.standards:
            self._adopt(self._placed(options.standards[0]))
            self.line = self._valence_line()

    @property
    def standard(self) -> Standard | None:
        """The curve that edges are compared with, as far as there is one."""
        return None if self._known is None else self._known.standard

    def edge(
        self,
        measured: MeasuredSpectrum,
        calibration: Calibration,
        energy: FloatArray,
        normalized: Absorbance,
    ) -> Edge:
        """Of one spectrum; a first one without a standard becomes the standard.

        Args:
            measured: Its curves.
            calibration: Of its energies.
            energy: Calibrated, eV, shape (n,).
            normalized: Its normalized absorbance.
        """
        if self._known is None:
            return self._first(measured, calibration, energy, normalized)
        fit = self._compared(self._known, energy, measured.signal, self._options.energy_jitter)
        own, shared = _variances(measured, calibration, fit)
        shared += self._known.standard.edge_position_error**2 + fit.known_variance
        error, shared_error = float(np.sqrt(own + shared)), float(np.sqrt(shared))
        return Edge(self._middle + fit.shift, error, shared_error, fit.residual)

    def _compared(
        self, known: KnownCurve, energy: FloatArray, curve: Absorbance, jitter: float
    ) -> ShiftFit:
        low, high = self._options.edge_range
        window = (self._middle + low, self._middle + high)
        return fit_shift(energy, curve, known, window=window, jitter=jitter)

    def _adopt(self, standard: Standard) -> None:
        self._known = KnownCurve(standard)
        self._middle = standard.edge_position or self._edge_energy

    def _first(
        self,
        measured: MeasuredSpectrum,
        calibration: Calibration,
        energy: FloatArray,
        normalized: Absorbance,
    ) -> Edge:
        good = measured.good
        standard = Standard(
            name="first spectrum",
            energy=energy[good],
            absorbance=normalized.values[good],
            absorbance_error=normalized.errors[good],
        )
        try:
            placed = self._placed(standard, jitter=self._options.energy_jitter)
        except ReductionError:
            return Edge(np.nan, np.nan, np.nan)
        error = float(np.hypot(placed.edge_position_error, calibration.error))
        self._adopt(replace(placed, edge_position_error=error))
        return Edge(self._middle, error, error)

    def _placed(self, standard: Standard, *, jitter: float = 0.0) -> Standard:
        """With an edge position: half height, if it says none itself."""
        if standard.edge_position is not None:
            return standard
        low, high = _EDGE_REACH
        between = (self._edge_energy + low, self._edge_energy + high)
        curve = _curve_of(standard)
        moved = np.gradient(curve.values, standard.energy) * jitter
        curve = Absorbance(curve.values, np.hypot(curve.errors, moved))
        place = half_height(standard.energy, curve, between=between)
        if not np.isfinite(place.energy):
            raise ReductionError(f"standard {standard.name} does not pass half height at the edge")
        return replace(standard, edge_position=place.energy, edge_position_error=place.error)

    def _valence_line(self) -> ValenceLine | None:
        """Through all standards of known valence, each placed as a spectrum is: by its shift."""
        known = {s.name: s for s in self._options.standards if s.oxidation_state is not None}
        if len(known) < 2 or self._known is None:
            return None
        positions, errors = [], []
        for name, standard in known.items():
            fit = self._compared(self._known, standard.energy, _curve_of(standard), 0.0)
            if not np.isfinite(fit.shift):
                raise ReductionError(f"standard {name} cannot be compared: {fit.reason}")
            is_first = name == self._known.standard.name
            # Differences to the first count: its own error moves all of them alike.
            error = 0.0 if is_first else float(np.hypot(fit.error, standard.edge_position_error))
            positions.append(self._middle + fit.shift)
            errors.append(error)
        states = [float(s.oxidation_state or 0.0) for s in known.values()]
        return ValenceLine.through(positions, states, edge_position_errors=errors)


def _curve_of(standard: Standard) -> Absorbance:
    errors = standard.absorbance_error
    if errors is None:
        errors = np.full(len(standard.energy), _EXACT)
    return Absorbance(standard.absorbance, errors)


def _variances(
    measured: MeasuredSpectrum, calibration: Calibration, fit: ShiftFit
) -> tuple[float, float]:
    """Of a spectrum's edge, eV squared: its own, and what the foil shares with all others.

    Sample and foil see the same photons between them and the same energies: noise of these moves
    both, and counts once.
    """
    foil = calibration.fit
    if foil is None:
        return fit.error**2 - fit.known_variance + calibration.error**2, 0.0
    own = float(np.sum(fit.pull**2 * fit.variance + foil.pull**2 * foil.variance))
    if measured.options.signal == "transmission":
        # More light behind the sample: less absorbance of it, more of the foil.
        between = np.nan_to_num(measured.behind.relative_variance)
        own += 2 * float(np.sum(fit.pull * foil.pull * between))
    own += foil.jitter**2 * float(np.sum((fit.lever - foil.lever) ** 2))
    own += max(fit.jitter**2 - foil.jitter**2, 0.0) * float(np.sum(fit.lever**2))
    return own, calibration.shared_error**2
