"""This file is where the crystal's angle becomes a photon energy: the one that its encoder says, and
the true one.

The true energy differs by a constant error of the angle and of the energy, which everything sees,
and by what only spectra resolve: a drift, an error that stays until the axis turns round, and one of
each point.
"""

import math
from dataclasses import dataclass

import numpy as np

from battbeam.sim.scenario import Scenario
from battbeam.units import HC, FloatArray

#: Of the Si(111) planes, angstrom.
D_SPACING = 3.13560
#: Tells the random numbers of the axis from those of frames and counts.
_STREAM = 3
_SECONDS_PER_HOUR = 3600.0


def energy_at(angle: FloatArray | float) -> FloatArray:
    """Photon energy, eV, reflected at an angle of the crystal, degree; same shape."""
    return np.asarray(HC / (2 * D_SPACING * np.sin(np.radians(angle))))


def angle_at(energy: float) -> float:
    """Angle of the crystal, degree, that reflects an energy, eV.

    Raises:
        ValueError: If no angle does.
    """
    if not energy > HC / (2 * D_SPACING):
        raise ValueError(
            f"{energy:g} eV is reflected at no angle, the least is {HC / (2 * D_SPACING):.1f} eV"
        )
    return math.degrees(math.asin(HC / (2 * D_SPACING * energy)))


@dataclass(frozen=True)
class Monochromator:
    """The crystal of a scenario."""

    scenario: Scenario

    def energy(self, angle: FloatArray | float) -> FloatArray:
        """True energy, eV, at an angle that the encoder says, degree, without what only spectra
        see.
        """
        offset = self.scenario.spectroscopy.bragg_offset
        return energy_at(np.asarray(angle) + offset) + self.scenario.beam.energy_offset

    def energy_in_scan(
        self, angle: FloatArray | float, *, time: FloatArray | float, n_turns: int
    ) -> FloatArray:
        """True energy, eV, as a spectrum sees it, but for the jitter of its points.

        Args:
            angle: That the encoder says, degree.
            time: s since the Unix epoch, session clock.
            n_turns: How often the axis turned round so far.
        """
        settings = self.scenario.spectroscopy
        hours = (np.asarray(time) - self.scenario.start) / _SECONDS_PER_HOUR
        rng = np.random.default_rng([self.scenario.seed, _STREAM, n_turns])
        stays = settings.energy_repeatability * float(rng.standard_normal())
        return self.energy(angle) + settings.energy_drift * hours + stays
