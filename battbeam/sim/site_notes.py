"""This file is where it stands what the staff of the simulated beamline know without a measurement."""

import numpy as np

from battbeam.connection import (
    BeamLight,
    CameraCalibration,
    CounterCalibration,
    FluxCalibration,
    SiteNotes,
    SmallAngleNotes,
    WhiteBeamCalibration,
)
from battbeam.sim.beam import REFERENCE_CURRENT
from battbeam.sim.counters import REFERENCE_GAIN
from battbeam.sim.energy_dispersive import WhiteBeam
from battbeam.sim.imaging import ImagingModel
from battbeam.sim.scenario import Scenario, Spectroscopy

#: Wall s that a point takes beside its exposure: Channel Access, drawing and writing a frame.
POINT_OVERHEAD = 0.4
#: The same of a point of a spectrum, which draws and writes nothing.
COUNT_OVERHEAD = 0.1
#: Wall s beside an exposure that the shutter may be open: 0.01 to 0.22 of them were used by 32
#: openings on two cores with ten processes at work. Its keeper closes the shutter after 80 %.
SHUTTER_OVERHEAD = 0.75
#: The same where frames are drawn while the clock runs on, with what is drawn but once.
DRAWING_OVERHEAD = 3.0
#: Wall s from one cell to another: detectors staged for another run.
CELL_CHANGE = 0.6
#: At which the white beam was measured, eV.
_WHITE_ENERGIES = tuple(np.arange(20e3, 81e3, 2e3).tolist())
#: From, to and step of what its photons are counted over, eV: all but a thousandth.
_WHITE_RANGE = (4e3, 140e3, 200.0)
#: Marks of the ruler with which the staff measured the detector's distance, mm.
_RULER = 2
#: Those of the tape for the small-angle detector's.
_LONG_RULER = 50


def site_notes(scenario: Scenario) -> SiteNotes:
    """What the staff of the simulated beamline know without a measurement: a ruler, a logbook."""
    detector, beam = scenario.detector, scenario.beam
    return SiteNotes(
        standard=scenario.standard,
        standard_position=scenario.standard_position,
        cell_positions={
            f"cell{number}": place for number, place in enumerate(scenario.positions, start=1)
        },
        # Stamps are on the session's clock, the delay is wall time.
        readout_delay=detector.readout_delay * scenario.rate,
        distance=float(_RULER * round(detector.distance / _RULER)),
        centre=(float(round(detector.centre_row)), float(round(detector.centre_column))),
        pixel_size=detector.pixel_size,
        flux=FluxCalibration(
            photons_per_count=1 / beam.i0_efficiency,
            photons_per_milliampere=beam.flux / REFERENCE_CURRENT,
            ring_current_max=beam.ring_current,
            beam_size=(beam.size_x, beam.size_y),
            energy=beam.energy,
        ),
        counters=_counter_notes(scenario.spectroscopy),
        camera=_camera_notes(scenario),
        small_angle=_small_angle_notes(scenario),
        white_beam=_white_notes(scenario),
        top_up_length=beam.top_up_length,
        ring_lifetime=beam.lifetime if beam.top_up_interval is None else None,
        frame_shape=(detector.n_rows, detector.n_columns),
        saturation=float(detector.saturation),
        point_overhead=POINT_OVERHEAD * scenario.rate,
        count_overhead=COUNT_OVERHEAD * scenario.rate,
        shutter_overhead=SHUTTER_OVERHEAD if detector.compute_freezes_clock else DRAWING_OVERHEAD,
        cell_change=CELL_CHANGE * scenario.rate,
        mass_spectrometer=scenario.mass_spectrometer is not None,
    )


def _small_angle_notes(scenario: Scenario) -> SmallAngleNotes | None:
    settings = scenario.small_angle
    if settings is None:
        return None
    return SmallAngleNotes(
        distance=float(_LONG_RULER * round(settings.distance / _LONG_RULER)),
        centre=(float(round(settings.centre_row)), float(round(settings.centre_column))),
        pixel_size=settings.pixel_size,
        beam_stop=settings.beam_stop,
        standard_position=settings.standard_position,
        frame_shape=(settings.n_rows, settings.n_columns),
        saturation=float(settings.saturation),
        readout_delay=settings.readout_delay * scenario.rate,
    )


def _camera_notes(scenario: Scenario) -> CameraCalibration:
    imaging, beam = scenario.imaging, scenario.beam
    model = ImagingModel(scenario)
    brightest = float((model.beam(0.0) * model.response(0.0)).max())
    full = imaging.photon_rate * beam.ring_current / REFERENCE_CURRENT
    return CameraCalibration(
        pixel_size=imaging.pixel_size,
        n_rows=imaging.n_rows,
        n_columns=imaging.n_columns,
        saturation=float(imaging.saturation),
        flat_rate=float(f"{brightest * full * imaging.gain:.2g}"),
        readout_time=imaging.readout,
        readout_delay=imaging.readout_delay * scenario.rate,
        distance=imaging.distance,
        counts_per_degree=imaging.encoder,
    )


def _white_notes(scenario: Scenario) -> WhiteBeamCalibration:
    """What the staff have measured of the white beam, to three digits."""
    white = WhiteBeam(scenario.energy_dispersive)
    knots = np.arange(*_WHITE_RANGE)
    photons = white.flux(knots)
    energy, (strongest,) = np.array(_WHITE_ENERGIES), white.flux(np.array(_WHITE_ENERGIES[:1]))
    return WhiteBeamCalibration(
        resolution=float(f"{white.full_width(np.array(40e3)):.2g}"),
        flux=[
            (float(at), float(f"{flux / strongest:.3g}"))
            for at, flux in zip(energy, white.flux(energy), strict=True)
        ],
        light=BeamLight(
            photons_per_milliampere=float(
                f"{np.trapezoid(photons, knots) / REFERENCE_CURRENT:.3g}"
            ),
            ring_current_max=scenario.beam.ring_current,
            beam_size=(scenario.energy_dispersive.width, scenario.energy_dispersive.gauge_height),
            energy=float(f"{np.average(knots, weights=photons):.3g}"),
        ),
    )


def _counter_notes(settings: Spectroscopy) -> CounterCalibration:
    """What the staff know of the chambers and of the fluorescence detector."""
    chambers = dict.fromkeys(("i0", "it", "ir"), settings.counts_per_photon)
    passed = 1 - settings.transmission_efficiency
    return CounterCalibration(
        counts_per_photon={**chambers, "if": 1.0},
        reference_gain=REFERENCE_GAIN,
        shares={
            "i0": settings.i0_efficiency,
            "it": settings.transmission_efficiency,
            "ir": float(f"{passed * settings.reference_efficiency:.4g}"),
        },
        overload=settings.overload,
    )
