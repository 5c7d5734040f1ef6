"""This file is where photons become counts: ionization chambers behind current amplifiers, and a
fluorescence detector with dead time. No clock, no records.

Noise is that of the detected photons and of the dark counts: an amplifier only scales. The
fluorescence detector is not paralysable: each photon that it counts blinds it for the dead time,
photons that come meanwhile do not. At n photons/s it counts n / (1 + n dead_time).

What it does not imitate: that dead time makes counts more regular than Poisson's, pulses that pile up
into a false energy, an amplifier's rise time, and one photon spectrum for another: all photons of the
fluorescence detector count alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.sim.scenario import Glitch, Spectroscopy
from battbeam.units import FloatArray

#: V/A that an amplifier can be set to, as its record spells them.
GAINS = ("1e6", "1e7", "1e8", "1e9")
#: V/A at which `Spectroscopy.counts_per_photon` holds.
REFERENCE_GAIN = 1e8
#: Ionization chambers: before the sample, behind it, behind the foil.
CHAMBERS = ("I0", "IT", "IR")


@dataclass(frozen=True)
class Photons:
    """What is expected to come to the sample and to pass it; shape (n_gates,) each.

    Attributes:
        incident: Photons on the sample, harmonics among them.
        behind_sample: Photons behind it.
        behind_foil: Share of those that the foil lets through, times them.
        fluorescence: Photons that the fluorescence detector would count if it had no dead time.
    """

    incident: FloatArray
    behind_sample: FloatArray
    behind_foil: FloatArray
    fluorescence: FloatArray


@dataclass(frozen=True)
class Counts:
    """What is counted in each gate; shape (n_gates,) each.

    Attributes:
        i0: Before the sample.
        transmitted: Behind it.
        reference: Behind the foil.
        fluorescence: Output of the fluorescence detector.
        fluorescence_input: Of its fast channel.
        overloaded: Chambers that were overloaded in any gate.
    """

    i0: FloatArray
    transmitted: FloatArray
    reference: FloatArray
    fluorescence: FloatArray
    fluorescence_input: FloatArray
    overloaded: tuple[str, ...]


def live_share(*, rate: FloatArray | float, dead_time: float) -> FloatArray:
    """Share of the photons that a detector counts which is not paralysable.

    Args:
        rate: Photons/s that come.
        dead_time: After each that is counted, s.

    Returns:
        Shape of ``rate``.

    Source:
        Knoll, Radiation Detection and Measurement: m = n / (1 + n tau).

    >>> float(live_share(rate=1e6, dead_time=1e-6))
    0.5
    """
    return np.asarray(1 / (1 + np.asarray(rate) * dead_time))


def glitch_shares(energy: FloatArray, glitches: Sequence[Glitch]) -> tuple[FloatArray, FloatArray]:
    """What glitches leave of the light at true energies, eV.

    Returns:
        The share on I0, and what the counters behind the sample see of that share; shape of
        ``energy`` each.
    """
    lost, further = np.zeros_like(energy), np.zeros_like(energy)
    for glitch in glitches:
        dip = glitch.depth * np.exp(-(((energy - glitch.energy) / glitch.width) ** 2) / 2)
        lost += dip
        further += glitch.residue * dip
    return np.clip(1 - lost, 0.0, 1.0), np.clip(1 - further, 0.0, 1.0)


class CounterModel:
    """The counters of a scenario."""

    def __init__(self, settings: Spectroscopy) -> None:
        self.settings = settings

    def counts_per_photon(self, gain: int) -> float:
        """Counts per detected photon of a chamber at the gain of that index in `GAINS`."""
        return self.settings.counts_per_photon * float(GAINS[gain]) / REFERENCE_GAIN

    def count(
        self,
        photons: Photons,
        *,
        duration: FloatArray | float,
        gains: tuple[int, int, int],
        rng: np.random.Generator,
    ) -> Counts:
        """What is counted of the photons that are expected.

        Args:
            photons: In each gate.
            duration: Of each gate, s, greater than 0.
            gains: Index in `GAINS` of each of the `CHAMBERS`.
            rng: Where chance comes from.
        """
        settings = self.settings
        behind_first = photons.behind_foil * (1 - settings.transmission_efficiency)
        detected = (
            photons.incident * settings.i0_efficiency,
            photons.behind_sample * settings.transmission_efficiency,
            behind_first * settings.reference_efficiency,
        )
        counted = [
            self._chamber(of_chamber, duration, gain, rng)
            for of_chamber, gain in zip(detected, gains, strict=True)
        ]
        most = settings.overload * np.asarray(duration)
        overloaded = tuple(
            name for name, counts in zip(CHAMBERS, counted, strict=True) if np.any(counts >= most)
        )
        i0, transmitted, reference = (np.minimum(counts, most) for counts in counted)
        came = rng.poisson(photons.fluorescence)
        rate = photons.fluorescence / np.asarray(duration)
        output, fast = (
            rng.binomial(came, live_share(rate=rate, dead_time=dead_time)).astype(float)
            for dead_time in (settings.dead_time, settings.fast_dead_time)
        )
        return Counts(i0, transmitted, reference, output, fast, overloaded)

    def _chamber(
        self,
        detected: FloatArray,
        duration: FloatArray | float,
        gain: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        dark = rng.poisson(self.settings.dark_rates[gain] * np.asarray(duration), len(detected))
        exact = rng.poisson(detected) * self.counts_per_photon(gain) + dark
        # The counter begins somewhere between two of its pulses.
        return np.asarray(np.floor(exact + rng.random(len(detected))))
