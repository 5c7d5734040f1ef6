"""This file is where continuous sweeps become spectra: each count goes to where the axis was when its
photons came.

The counters lag behind the encoder: a sample that ends at time t holds what the axis saw a lag
before. An upward sweep is thereby too high in energy and a downward one too low, and the lag that
brings a pair together is the counters'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.absorbance import (
    Absorbance,
    absorbance_from_transmission,
    photons_from_counts,
)
from battbeam.reduction.edge_fit import KnownCurve, fit_shift
from battbeam.reduction.spectrum import CHANNELS, Spectrum
from battbeam.reduction.xanes_result import Standard
from battbeam.units import AnyArray, FloatArray

# Rounds in which a pair is brought together, and a change of the lag that ends them, s.
_ROUNDS, _SMALL_CHANGE = 12, 1e-6
# How far apart the sweeps of a pair may be, eV.
_REACH = 20.0


@dataclass(frozen=True)
class Sweep:
    """One sweep, in the order of time.

    Attributes:
        time: End of each sample's gate, s, ascending, shape (n,).
        spectrum: Energies by the encoder, mean of each gate, and counts, in the same order.
    """

    time: FloatArray
    spectrum: Spectrum

    def __post_init__(self) -> None:
        if np.shape(self.time) != np.shape(self.spectrum.energy):
            raise ReductionError(
                f"a sweep of {len(self.spectrum)} samples has {np.size(self.time)} times"
            )
        if not np.all(np.diff(self.time) > 0):
            raise ReductionError("times of a sweep must ascend")

    @property
    def is_up(self) -> bool:
        """Whether the energy rises."""
        return bool(self.spectrum.energy[-1] > self.spectrum.energy[0])

    def corrected(self, lag: float) -> Spectrum:
        """The spectrum with each count at the energy that its gate had a lag before, ascending.

        Args:
            lag: s; > 0: counters are behind the encoder.
        """
        energy = _straight(self.time - lag, self.time, self.spectrum.energy)
        return replace(self.spectrum, energy=energy).ascending()


def _straight(at: FloatArray, time: FloatArray, values: FloatArray) -> FloatArray:
    """Linear between the samples, and on beyond the ends as the axis moved there."""
    inside = np.interp(at, time, values)
    first = values[0] + (at - time[0]) * (values[1] - values[0]) / (time[1] - time[0])
    last = values[-1] + (at - time[-1]) * (values[-1] - values[-2]) / (time[-1] - time[-2])
    return np.asarray(np.where(at < time[0], first, np.where(at > time[-1], last, inside)))


def merge(spectra: Sequence[Spectrum]) -> Spectrum:
    """All points of several spectra of one edge, ascending; repeats of a point are added up.

    Points are the same if their energies are. Dark rates and gains are those of the first.

    Raises:
        ReductionError: If there is none, or they differ in channels, darks or gains.
    """
    if not spectra:
        raise ReductionError("there is no spectrum to merge")
    first = spectra[0]
    for each in spectra[1:]:
        if each.channels.keys() != first.channels.keys():
            raise ReductionError("spectra of different channels cannot be merged")
        if (each.dark_rate, each.counts_per_photon) != (first.dark_rate, first.counts_per_photon):
            raise ReductionError("spectra with different darks or gains cannot be merged")
    energy = np.concatenate([each.energy for each in spectra])
    levels, index = np.unique(energy, return_inverse=True)
    return _summed(spectra, index, len(levels), levels)


def rebin(spectra: Spectrum | Sequence[Spectrum], edges: FloatArray) -> Spectrum:
    """Counts of one or several spectra, added up between energies.

    The energy of a bin is the mean of those of its points, weighted with their exposures, so that
    uneven filling moves nothing. A bin without a point has NaN and its middle.

    Args:
        spectra: Of one edge.
        edges: Of the bins, eV, ascending, shape (n_bins + 1,).
    """
    chosen = [spectra] if isinstance(spectra, Spectrum) else list(spectra)
    energy = np.concatenate([each.energy for each in chosen])
    index = np.searchsorted(edges, energy, side="right") - 1
    index[(energy < edges[0]) | (energy >= edges[-1]) | ~np.isfinite(energy)] = -1
    return _summed(chosen, index, len(edges) - 1, (edges[1:] + edges[:-1]) / 2)


def _summed(spectra: Sequence[Spectrum], index: AnyArray, n: int, levels: FloatArray) -> Spectrum:
    """Points added up by index; those with a negative one are left out."""
    used = index >= 0

    def added(name: str) -> FloatArray:
        values = np.concatenate([getattr(each, name) for each in spectra])
        return np.asarray(np.bincount(index[used], weights=values[used], minlength=n), float)

    exposure = added("exposure")
    empty = exposure <= 0
    energies = np.concatenate([each.energy * each.exposure for each in spectra])[used]
    weighted = np.bincount(index[used], weights=energies, minlength=n)
    energy = np.where(empty, levels, weighted / np.where(empty, 1, exposure))
    channels: dict[str, Any] = {
        name: np.where(empty, np.nan, added(name))
        for name in CHANNELS
        if getattr(spectra[0], name) is not None
    }
    return replace(spectra[0], energy=energy, exposure=exposure, **channels)


@dataclass(frozen=True)
class LagCalibration:
    """How far the counters are behind the encoder.

    Attributes:
        lag: s.
        error: Of it, one standard deviation.
        n_pairs: Of sweeps.
        scatter: Chi squared of the pairs about their mean, over its degrees of freedom; NaN of one.
    """

    lag: float
    error: float
    n_pairs: int
    scatter: float

    @classmethod
    def of(
        cls,
        pairs: Sequence[tuple[Sweep, Sweep]],
        *,
        window: tuple[float, float],
        bin_width: float = 0.5,
        repeatability: float = 0.0,
    ) -> "LagCalibration":
        """From sweeps up and down over one edge.

        Sample and foil both have a say, each by its error: a cell should not change much in between.

        Args:
            pairs: An upward and a downward sweep each.
            window: About the edge, eV.
            bin_width: eV, to which sweeps are rebinned.
            repeatability: eV, standard deviation of the energy from one sweep to the next.

        Raises:
            ReductionError: If there is no pair, a pair does not go both ways, or has no edge.
        """
        if not pairs:
            raise ReductionError("a lag needs a sweep up and a sweep down")
        found = [_pair_lag(*pair, window, bin_width, repeatability) for pair in pairs]
        lags, errors = np.array(found).T
        weight = 1 / errors**2
        lag, error = float(weight @ lags / weight.sum()), float(weight.sum() ** -0.5)
        if len(pairs) == 1:
            return cls(lag, error, 1, float("nan"))
        scatter = float(weight @ (lags - lag) ** 2) / (len(pairs) - 1)
        return cls(lag, error * float(np.sqrt(max(scatter, 1.0))), len(pairs), scatter)


def _pair_lag(
    up: Sweep,
    down: Sweep,
    window: tuple[float, float],
    bin_width: float,
    repeatability: float,
) -> tuple[float, float]:
    if not up.is_up or down.is_up:
        raise ReductionError("a pair of sweeps is one up and one down, in this order")
    closing = _speed(up, window) + _speed(down, window)
    lag, error = 0.0, 0.0
    for _ in range(_ROUNDS):
        shift, error = _shift_between(up.corrected(lag), down.corrected(lag), window, bin_width)
        change = -shift / closing
        lag += change
        if abs(change) < _SMALL_CHANGE:
            break
    return lag, float(np.hypot(error, np.sqrt(2) * repeatability)) / closing


def _speed(sweep: Sweep, window: tuple[float, float]) -> float:
    """Of the energy about the edge, eV/s."""
    speed = np.abs(np.gradient(sweep.spectrum.energy, sweep.time))
    inside = (sweep.spectrum.energy >= window[0]) & (sweep.spectrum.energy <= window[1])
    if inside.sum() < 2:
        raise ReductionError(f"a sweep does not cross {window[0]:g} to {window[1]:g} eV")
    return float(speed[inside].mean())


def _shift_between(
    up: Spectrum, down: Spectrum, window: tuple[float, float], bin_width: float
) -> tuple[float, float]:
    """How far the downward spectrum lies above the upward one, and its error, eV."""
    low, high = max(up.energy[0], down.energy[0]), min(up.energy[-1], down.energy[-1])
    edges = np.arange(low, high + bin_width / 2, bin_width)
    fits = []
    for curves in zip(*(_curves(rebin(each, edges)) for each in (up, down)), strict=True):
        (known_energy, known), (energy, curve) = curves
        good = np.isfinite(known.values) & np.isfinite(known.errors)
        if good.sum() < 8:
            continue
        standard = Standard("up", known_energy[good], known.values[good], known.errors[good])
        fit = fit_shift(energy, curve, KnownCurve(standard), window=window, search=_REACH)
        if np.isfinite(fit.shift) and fit.scale > 5 * fit.scale_error:
            fits.append((fit.shift, fit.error))
    if not fits:
        raise ReductionError(f"sweeps show no edge in {window[0]:g} to {window[1]:g} eV")
    shifts, errors = np.array(fits).T
    weight = 1 / errors**2
    return float(weight @ shifts / weight.sum()), float(weight.sum() ** -0.5)


def _curves(spectrum: Spectrum) -> list[tuple[FloatArray, Absorbance]]:
    """Sample, and foil if there is a detector behind it."""
    before = photons_from_counts(spectrum, "i0")
    behind = photons_from_counts(spectrum, "transmitted")
    found = [(spectrum.energy, absorbance_from_transmission(before, behind))]
    if spectrum.reference is not None:
        foil = photons_from_counts(spectrum, "reference")
        found.append((spectrum.energy, absorbance_from_transmission(behind, foil)))
    return found
