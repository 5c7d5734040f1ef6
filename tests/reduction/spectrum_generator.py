"""Absorption spectra from first principles, for the tests alone: nothing here comes from battbeam.

An edge is an arctangent of the level's width, a white line and a few wiggles; all of it convolved
with nothing, so that its position is the number that was asked for.
"""

from dataclasses import dataclass, field, replace

import numpy as np

CHANNELS = ("i0", "transmitted", "reference")


@dataclass(frozen=True)
class Edge:
    """Normalized absorption: 0 before, 1 behind.

    Attributes:
        position: Half of the step, eV.
        width: Full width of the level and the resolution, eV.
        white_line: Height of the line behind the step.
        pre_edge: Area of the peak before it, eV, and its energy.
        wiggles: Amplitude of what follows.
    """

    position: float
    width: float = 2.4
    white_line: float = 0.5
    pre_edge: float = 0.0
    pre_edge_energy: float = 0.0
    wiggles: float = 0.06

    def __call__(self, energy):
        x = energy - self.position
        step = 0.5 + np.arctan(2 * x / self.width) / np.pi
        line = self.white_line * np.exp(-(((x - 5.0) / 2.6) ** 2) / 2)
        k = np.sqrt(np.maximum(x - 8.0, 0.0) * 0.2625)
        waves = self.wiggles * np.sin(2 * 1.9 * k + 0.4) * np.exp(-0.012 * k**2)
        waves = waves * (1 - np.exp(-(k**2)))
        sigma = 1.1
        peak = np.exp(-(((energy - self.pre_edge_energy) / sigma) ** 2) / 2)
        peak = self.pre_edge * peak / (sigma * np.sqrt(2 * np.pi))
        return step + line + waves + peak


@dataclass(frozen=True)
class Foil:
    """A metal foil: two steps and a shoulder, its steepest point at ``position``."""

    position: float

    def __call__(self, energy):
        x = energy - self.position
        first = 0.5 + np.arctan(2 * x / 1.6) / np.pi
        second = 0.5 + np.arctan(2 * (x - 8.0) / 3.0) / np.pi
        shape = 0.45 * first + 0.55 * second
        return shape + 0.04 * np.sin(x / 9.0) * (1 - np.exp(-(np.maximum(x - 12, 0) / 10)))


@dataclass(frozen=True)
class Beamline:
    """Counts of a scan.

    Attributes:
        sample: Normalized shape.
        foil: Likewise; None: no foil in the beam.
        step: Edge step of the sample.
        below: Absorbance before the edge.
        photons: On I0 in each point.
        offset: True energy minus what the encoder says, eV.
        repeatability: Of the offset from scan to scan, eV.
        jitter: Of the true energy of each point, eV.
        dark: Counts/s of each channel.
        gain: Counts per photon.
    """

    sample: Edge
    foil: Foil | None = None
    step: float = 1.0
    below: float = 0.5
    photons: float = 1e6
    offset: float = 0.0
    repeatability: float = 0.0
    jitter: float = 0.0
    dark: float = 0.0
    gain: float = 1.0
    foil_step: float = 1.2
    extra: dict = field(default_factory=dict)

    def but(self, **changes):
        return replace(self, **changes)

    def absorbance(self, true):
        slow = self.below * (true / self.sample.position) ** -3
        return slow + self.step * self.sample(true)

    def expected(self, energy, rng):
        """Photons that come to each detector, and the true energies."""
        offset = self.offset + self.repeatability * rng.normal()
        true = energy + offset + self.jitter * rng.normal(size=len(energy))
        i0 = np.full(len(energy), self.photons)
        transmitted = i0 * np.exp(-self.absorbance(true))
        behind = 0.0 if self.foil is None else self.foil_step * self.foil(true) + 0.3
        return {"i0": i0, "transmitted": transmitted, "reference": transmitted * np.exp(-behind)}

    def counts(self, energy, rng):
        """What `Spectrum` takes."""
        found = {
            name: self.gain * rng.poisson(photons) + rng.poisson(self.dark, len(energy))
            for name, photons in self.expected(energy, rng).items()
        }
        return {
            "energy": np.array(energy, dtype=float),
            "exposure": np.ones(len(energy)),
            **{name: counts.astype(float) for name, counts in found.items()},
            "dark_rate": dict.fromkeys(CHANNELS, self.dark),
            "counts_per_photon": dict.fromkeys(CHANNELS, self.gain),
        }


def grid(edge, *, fine=0.5, stop=250.0):
    """A usual one: coarse, fine over the edge, coarse."""
    parts = [
        np.arange(-150, -20, 10.0),
        np.arange(-20, -10, 1.0),
        np.arange(-10, 30, fine),
        np.arange(30, 60, 1.0),
        np.arange(60, stop + 1, 5.0),
    ]
    return edge + np.concatenate(parts)
