"""This file is where the white beam and the energy-dispersive detector of a scenario are described."""

from pydantic import Field

from battbeam.sim.scenario_part import Part


class EnergyDispersive(Part):
    """A white beam along the layers of a cell that stands edge-on, and a detector at one angle.

    Attributes:
        two_theta: True angle of the detector, degree.
        angle_offset: What the detector's record says of it minus the truth, degree.
        slope: True eV a channel.
        offset: True energy of the middle of channel 0, eV.
        slope_offset: What the record says of the slope minus the truth, as a share.
        noise: Full width at half maximum of a line without the next, eV.
        fano: By what the square of that width grows with energy, eV.
        dead_time: Of the analyser after each photon that it counts, s; it is not extended by photons
            that come meanwhile.
        gauge_height: Of the beam, across the layers, mm.
        width: Of the beam, along the layers, mm.
        gauge_length: Of the volume that the slits let the detector see, along the beam, mm.
        path: Of the rays in the cell, along its layers, in and out, mm.
        flux: Photons per s in the beam at 100 mA, before the filter.
        temperature: The beam falls with energy as exp(-E / temperature), eV.
        filter: Aluminium in the beam, mm.
        solid_angle: Of the detector, sr.
        stray: Photons from all but the gauge, smooth in energy, per photon of the beam.
        fluorescence: Share of the photons that the K shells in the gauge give off that are counted.
    """

    two_theta: float = Field(default=5.0, gt=0, lt=30)
    angle_offset: float = 0.02
    slope: float = Field(default=30.0, gt=0)
    offset: float = 60.0
    slope_offset: float = Field(default=0.002, gt=-0.1, lt=0.1)
    noise: float = Field(default=250.0, gt=0)
    fano: float = Field(default=1.64, ge=0)
    dead_time: float = Field(default=2e-6, ge=0)
    gauge_height: float = Field(default=0.02, gt=0)
    width: float = Field(default=1.0, gt=0)
    gauge_length: float = Field(default=2.0, gt=0)
    path: float = Field(default=3.0, gt=0)
    flux: float = Field(default=1e13, gt=0)
    temperature: float = Field(default=15e3, gt=0)
    filter: float = Field(default=3.0, ge=0)
    solid_angle: float = Field(default=1e-6, gt=0)
    stray: float = Field(default=1e-11, ge=0)
    fluorescence: float = Field(default=1e-8, ge=0)
