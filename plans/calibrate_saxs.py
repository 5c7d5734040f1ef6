"""Calibrate the small-angle detector: a dark, then silver behenate, then the geometry.

Leaves ``saxs.poni``, ``saxs_mask.npy`` (the shadow of the beam stop) and ``saxs_dark.npz`` in the
beamline's calibration directory, where the other recipes look for them. Takes the sample stage to the
standard and back; its first ring must lie on the detector.
"""

from battbeam.devices.beamline import Beamline
from battbeam.errors import DeviceError
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.plans.calibrate import measure_dark
from battbeam.plans.small_angle import calibrate_saxs
from battbeam.plans.stubs import Plan


def plan(beamline: Beamline, exposure: float = 20.0, n_frames: int = 2) -> Plan:
    """Dark and geometry, each with ``n_frames`` exposures of ``exposure`` s."""
    saxs, notes = beamline.saxs, beamline.saxs_notes
    if saxs is None or notes is None:
        raise DeviceError("the beamline declares no small-angle detector (Beamline.saxs)")
    stage, (x, y) = beamline.sample_stage, notes.standard_position
    yield from measure_dark(
        saxs,
        beam=beamline.beam,
        exposure=exposure,
        n_frames=n_frames,
        dark=beamline.calibration / "saxs_dark.npz",
    )
    yield from calibrate_saxs(
        saxs,
        beam=beamline.beam,
        notes=notes,
        positions=[(stage.x, x), (stage.y, y)],
        exposure=exposure,
        n_frames=n_frames,
        energy=beamline.monochromator.position,
        calibration=beamline.calibration,
        readables=[stage, beamline.monochromator],
    )


def describe(site: SiteFacts, exposure: float = 20.0, n_frames: int = 2) -> Description:
    """The same, for ``battbeam forecast``; the light falls on the standard."""
    geometry = point_cost(site, exposure, n_frames=n_frames)
    dark = Cost(geometry.duration, n_frames=n_frames, n_bytes=geometry.n_bytes)
    costs = {"dark": dark, "geometry": geometry}
    return Description(site=site, costs=costs, sequence=tuple(costs), cell="standard")
