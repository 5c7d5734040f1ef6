"""Calibrate the detector: a dark, then a standard, then the geometry and the shape of a line.

Leaves ``detector.poni``, ``detector.json`` and ``dark.npz`` in the beamline's calibration
directory, where the other recipes look for them. Takes the sample stage to the standard and back.
"""

from battbeam.devices.beamline import Beamline
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.plans.calibrate import calibrate_geometry, measure_dark
from battbeam.plans.stubs import Plan


def plan(beamline: Beamline, exposure: float = 20.0, n_frames: int = 3) -> Plan:
    """Dark and geometry, each with ``n_frames`` exposures of ``exposure`` s."""
    stage, (x, y) = beamline.sample_stage, beamline.standard_position
    yield from measure_dark(
        beamline.detector,
        beam=beamline.beam,
        exposure=exposure,
        n_frames=n_frames,
        dark=beamline.calibration / "dark.npz",
    )
    yield from calibrate_geometry(
        beamline.detector,
        beam=beamline.beam,
        standard=beamline.standard,
        positions=[(stage.x, x), (stage.y, y)],
        exposure=exposure,
        n_frames=n_frames,
        energy=beamline.monochromator.position,
        guess=beamline.guess,
        geometry=beamline.calibration / "detector.poni",
        readables=[stage, beamline.monochromator],
    )


def describe(site: SiteFacts, exposure: float = 20.0, n_frames: int = 3) -> Description:
    """The same, for ``battbeam forecast``; the light falls on the standard."""
    geometry = point_cost(site, exposure, n_frames=n_frames)
    dark = Cost(geometry.duration, n_frames=n_frames, n_bytes=geometry.n_bytes)
    costs = {"dark": dark, "geometry": geometry}
    return Description(site=site, costs=costs, sequence=tuple(costs), cell="standard")
