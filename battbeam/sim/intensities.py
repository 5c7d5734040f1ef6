"""This file is where intensities before and behind the sample are served: ``I0:`` and ``IT:``."""

import numpy as np
from caproto.server import PVGroup

from battbeam.sim.records import shown
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import DARK_RATE, Shot

#: A frame number that no frame has, for the random numbers of the live counters.
_LIVE_STREAM = 0


class Intensities(PVGroup):  # type: ignore[misc]
    """Counts of the detector's last exposure, and rates now."""

    I0Counts = shown(0.0, name="I0:COUNTS", units="count")
    ItCounts = shown(0.0, name="IT:COUNTS", units="count")
    I0Rate = shown(0.0, name="I0:RATE", units="count/s")
    ItRate = shown(0.0, name="IT:RATE", units="count/s")
    I0DarkRate = shown(DARK_RATE, name="I0:DARK_RATE", units="count/s")
    ItDarkRate = shown(DARK_RATE, name="IT:DARK_RATE", units="count/s")

    def __init__(self, prefix: str, *, scenario: Scenario) -> None:
        super().__init__(prefix)
        self._beam = scenario.beam
        self._rng = np.random.default_rng([scenario.seed, _LIVE_STREAM])

    async def show(self, shot: Shot, stamp: float) -> None:
        """What an exposure has counted."""
        await self.I0Counts.write(shot.i0, timestamp=stamp)
        await self.ItCounts.write(shot.transmitted, timestamp=stamp)

    async def show_rates(self, flux: float, transmission: float, now: float) -> None:
        """What a flux (photons/s) counts in a second, at a time of the session clock, s."""
        beam, passed = self._beam, flux * transmission
        i0 = self._rng.poisson(flux * beam.i0_efficiency + DARK_RATE)
        behind = self._rng.poisson(passed * beam.transmission_efficiency + DARK_RATE)
        await self.I0Rate.write(float(i0), timestamp=now)
        await self.ItRate.write(float(behind), timestamp=now)
