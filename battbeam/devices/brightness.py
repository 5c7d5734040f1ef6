"""This file is where it is said how bright the beam is on the sample: at most, before an exposure, and
as I0 has counted it, after.
"""

import math

from battbeam.connection import BeamLight, FluxCalibration
from battbeam.devices.beam import Beam
from battbeam.devices.monochromator import Monochromator

#: The calibration may be wrong, and the filling uneven, by so much: what can come is more.
FLUX_MARGIN = 1.05


class Brightness:
    """The light of a calibrated beam on the sample.

    Args:
        beam: Ring, absorber and counters.
        monochromator: eV; None of a white beam.
        flux: Calibration of the beam; only a `FluxCalibration` knows what I0 counts.
    """

    def __init__(self, beam: Beam, monochromator: Monochromator | None, flux: BeamLight) -> None:
        self._beam, self._monochromator, self._flux = beam, monochromator, flux
        # What was measured over what was calculated, if that was ever larger.
        self._ratio = 1.0

    @property
    def transmissions(self) -> tuple[float, ...]:
        """That the absorber can be set to, 1; empty without one."""
        return () if self._beam.attenuator is None else self._beam.attenuator.transmissions

    @property
    def transmission(self) -> float:
        """Of the absorber, 1."""
        if self._beam.attenuator is None:
            return 1.0
        through = float(self._beam.attenuator.position)
        return through if 0 < through <= 1 else 1.0

    @property
    def energy(self) -> float:
        """Of the photons, eV."""
        if self._monochromator is None:
            return self._flux.energy
        energy = float(self._monochromator.energy.value_now())
        return energy if energy > 0 else self._flux.energy

    def most(self) -> float:
        """Photons per s of session clock that can come at most."""
        ring = float(self._beam.ring_current.value_now())
        # NaN compares false: then the fullest ring counts.
        ring = ring if ring > self._flux.ring_current_max else self._flux.ring_current_max
        rate = self._flux.photons_per_milliampere * ring * self.transmission
        return FLUX_MARGIN * self._ratio * rate

    def came(self, *, most: float, open_time: float, counted: float) -> float:
        """Photons that came while the shutter was open.

        A beam that was brighter than it can be at most is expected to be so from then on.

        Args:
            most: Photons per s that could come.
            open_time: s that the shutter was open.
            counted: s of the exposure that I0 holds the counts of; 0 if it was not gated.
        """
        if not counted > 0 or not isinstance(self._flux, FluxCalibration):
            return most * open_time
        dark = float(self._beam.i0_dark_rate.value_now()) * counted
        in_gate = (float(self._beam.i0.value_now()) - dark) * self._flux.photons_per_count
        rate = in_gate / counted
        if not (math.isfinite(rate) and rate >= 0):
            return most * open_time
        if self._beam.lost_since_trigger():
            return in_gate + most * max(open_time - counted, 0.0)
        self._ratio = max(self._ratio, rate / most * self._ratio * FLUX_MARGIN)
        return rate * open_time
