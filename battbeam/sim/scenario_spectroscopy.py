"""This file is where monochromator, counters, foils and furnace of a scenario are described, with
what fails of them.
"""

from pydantic import Field

from battbeam.sim.scenario_part import Part


class Glitch(Part):
    """An energy at which the crystal reflects elsewhere too, so that light is lost.

    Attributes:
        energy: True, eV.
        width: Standard deviation of its bell, eV.
        depth: Share of the light lost in its middle, 0 to 1.
        residue: Share of that loss by which the counters behind the sample lose more than I0, so
            that it does not divide out.
    """

    energy: float = Field(gt=0)
    width: float = Field(default=0.6, gt=0)
    depth: float = Field(default=0.25, ge=0, le=1)
    residue: float = Field(default=0.02, ge=0, le=1)


class Spectroscopy(Part):
    """What scans and sweeps of the photon energy are made with.

    Attributes:
        resolution: Of the monochromator, full width at half maximum, eV.
        bragg_offset: True angle of the crystal minus what its encoder says, degree.
        energy_drift: Of the true energy at the same reading, eV/h; frames do not see it.
        energy_repeatability: Standard deviation, eV, of the true energy at the same reading, drawn
            anew each time the axis turns round; frames do not see it.
        energy_jitter: Standard deviation of the true energy of each counted point, eV.
        encoder: Counts of the crystal's encoder per degree.
        encoder_period: s of the session's clock after which the encoder has a new reading.
        i0_efficiency: Of the chamber before the sample: detected photons per photon on the sample.
        transmission_efficiency: Of the chamber behind it: detected photons per photon that comes.
        reference_efficiency: Of the chamber behind the foil.
        counts_per_photon: Counts per detected photon of a chamber at a gain of 1e8 V/A.
        dark_rates: Counts/s without beam at each gain, 1e6, 1e7, 1e8 and 1e9 V/A.
        overload: Counts/s that no chamber exceeds.
        fluorescence_efficiency: Solid angle of the fluorescence detector over 4 pi, times what it
            detects.
        scatter: Photons of the fluorescence detector per photon on the sample, from all but
            fluorescence.
        dead_time: Of the fluorescence detector after each photon that it counts, s; it is not
            extended by photons that come meanwhile.
        fast_dead_time: Likewise of its fast channel, s.
        lag: s of the session's clock by which the counters of a sweep are behind the encoder.
        harmonics: Photons of three times the energy per photon on the sample.
        glitches: Where light is lost.
        foil_thickness: Of each foil on the wheel, mm.
    """

    resolution: float = Field(default=1.0, gt=0)
    bragg_offset: float = 0.0
    energy_drift: float = 0.02
    energy_repeatability: float = Field(default=0.02, ge=0)
    energy_jitter: float = Field(default=0.02, ge=0)
    encoder: float = Field(default=5e6, gt=0)
    encoder_period: float = Field(default=1e-5, gt=0)
    i0_efficiency: float = Field(default=0.02, gt=0, le=1)
    transmission_efficiency: float = Field(default=0.04, gt=0, lt=1)
    reference_efficiency: float = Field(default=0.04, gt=0, le=1)
    counts_per_photon: float = Field(default=1.0, gt=0)
    dark_rates: tuple[float, float, float, float] = (100.0, 120.0, 300.0, 2000.0)
    overload: float = Field(default=1e7, gt=0)
    fluorescence_efficiency: float = Field(default=0.002, gt=0, le=1)
    scatter: float = Field(default=1e-6, ge=0)
    dead_time: float = Field(default=1e-6, ge=0)
    fast_dead_time: float = Field(default=5e-8, ge=0)
    lag: float = Field(default=0.004, ge=0)
    harmonics: float = Field(default=1e-4, ge=0)
    glitches: tuple[Glitch, ...] = (Glitch(energy=7190.0), Glitch(energy=8431.0))
    foil_thickness: float = Field(default=0.006, gt=0)


class Furnace(Part):
    """A furnace about whatever is in the beam.

    Attributes:
        temperature: At the start, degC.
        highest: Highest set-point, degC.
        ramp: At the start, K/min.
        time_constant: With which the sample follows the furnace's programme, s.
    """

    temperature: float = 25.0
    highest: float = 600.0
    ramp: float = Field(default=5.0, gt=0)
    time_constant: float = Field(default=10.0, gt=0)
