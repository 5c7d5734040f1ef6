"""This file is where rows of a heated cathode, and gas beside them, become transitions and peaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.gas import Capillary, GasPeak, peak_temperature
from battbeam.reduction.transitions import Transition, transition
from battbeam.units import FloatArray

# m/z of oxygen and of carbon dioxide.
OXYGEN, CARBON_DIOXIDE = 32, 44
# A peak is looked for so many widths about the middle of its transition.
_ABOUT = 3.5
# Standard deviation of the weights with which a signal is looked over for its top, in periods.
_PERIODS = 6.0


@dataclass(frozen=True)
class HeatedCathode:
    """When a cathode turned.

    Attributes:
        spinel: From the layered phase.
        rock_salt: From spinel.
    """

    spinel: Transition
    rock_salt: Transition

    @property
    def onset(self) -> float:
        """Where 5 % are no longer layered, degC."""
        return self.spinel.onset


@dataclass(frozen=True)
class GasOfHeating:
    """Where each gas leaves fastest at each transition.

    Attributes:
        peaks: By m/z, then by ``spinel`` and ``rock_salt``; what cannot be had is left out.
        faults: Why not, one sentence each.
    """

    peaks: Mapping[int, Mapping[str, GasPeak]]
    faults: tuple[str, ...] = field(default=())


def heated_cathode(
    *,
    time: FloatArray,
    temperature: FloatArray,
    layered: FloatArray,
    layered_error: FloatArray,
    rock_salt: FloatArray,
    rock_salt_error: FloatArray,
) -> HeatedCathode:
    """Transitions from the phase fractions of rows, in any order; NaN is left out.

    Spinel comes and goes: where it begins the layered phase says, where it ends rock salt.

    Args:
        time: Of the rows, s, shape (n,).
        temperature: Of the sample, degC, shape (n,).
        layered: Fraction of the metal that is layered, shape (n,).
        layered_error: One standard deviation of each, shape (n,).
        rock_salt: Fraction that is rock salt, shape (n,).
        rock_salt_error: Of each, shape (n,).

    Raises:
        ReductionError: If half of a transition was not reached.
    """
    known = np.isfinite(temperature) & np.isfinite(time)
    order = np.flatnonzero(known)[np.argsort(np.asarray(time)[known], kind="stable")]
    highest = np.maximum.accumulate(np.asarray(temperature, dtype=float)[order])
    return HeatedCathode(
        spinel=transition(highest, layered[order], layered_error[order], levels=(1.0, 0.0)),
        rock_salt=transition(highest, rock_salt[order], rock_salt_error[order], levels=(0.0, 1.0)),
    )


def gas_of_heating(
    *,
    time: FloatArray,
    currents: FloatArray,
    masses: FloatArray,
    furnace_time: FloatArray,
    temperature: FloatArray,
    cathode: HeatedCathode,
    capillary: Capillary,
    of: tuple[int, ...] = (OXYGEN, CARBON_DIOXIDE),
) -> GasOfHeating:
    """At which temperatures gases leave fastest, freed from the lag of the capillary.

    Args:
        time: Of the spectrometer's cycles, s, ascending, session clock, shape (n,).
        currents: Ion currents, A, shape (n, n_masses).
        masses: m/z, shape (n_masses,).
        furnace_time: When the temperature was read, s, ascending, same clock, shape (m,).
        temperature: Of the sample, degC, shape (m,).
        cathode: About whose transitions it is looked.
        capillary: See `battbeam.reduction.gas.capillary`.
        of: m/z that are looked for.
    """
    period = float(np.median(np.diff(time)))
    peaks: dict[int, dict[str, GasPeak]] = {}
    faults = []
    for mass in of:
        if mass not in masses:
            faults.append(f"mass {mass} was not recorded")
            continue
        signal = currents[:, list(masses).index(mass)]
        error = np.full(len(signal), _noise(signal))
        for name in ("spinel", "rock_salt"):
            law: Transition = getattr(cathode, name)
            reach = _ABOUT * law.width
            try:
                peaks.setdefault(mass, {})[name] = peak_temperature(
                    time,
                    signal,
                    error,
                    capillary=capillary,
                    furnace_time=furnace_time,
                    temperature=temperature,
                    between=(law.half - reach, law.half + reach),
                    width=_PERIODS * period,
                )
            except ReductionError as fault:
                faults.append(f"mass {mass} at {name}: {fault}")
    return GasOfHeating(peaks, tuple(faults))


def _noise(signal: FloatArray) -> float:
    """Standard deviation of a sample, from second differences: slopes cancel.

    Source:
        Of y(k-1) - 2 y(k) + y(k+1) the variance is 6 times that of y.
    """
    second = signal[:-2] - 2 * signal[1:-1] + signal[2:]
    return float(np.median(np.abs(second)) / 0.6745 / np.sqrt(6))
