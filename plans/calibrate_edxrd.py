"""Calibrate the energy-dispersive detector: one spectrum of ceria in the white beam.

Leaves ``edxrd.json`` in the beamline's calibration directory, where ``plans/edxrd_layers.py`` looks for
it: which spacing a channel shows. Do it again whenever the detector or its slits were moved.
"""

from battbeam.devices.beamline import Beamline
from battbeam.experiment.description import Description, SiteFacts
from battbeam.plans.calibrate_edxrd import calibrate_edxrd
from battbeam.plans.edxrd_layers import edxrd_layers_cost, instruments_of
from battbeam.plans.stubs import Plan


def plan(beamline: Beamline, exposure: float = 60.0) -> Plan:
    """A spectrum of ``exposure`` s of the standard that stands beside the cells."""
    mca, white, stage = instruments_of(beamline)
    x, y = beamline.standard_position
    yield from calibrate_edxrd(
        mca,
        beam=white,
        standard=beamline.standard,
        positions=[(stage.x, x), (stage.y, y)],
        exposure=exposure,
        calibration=beamline.calibration / "edxrd.json",
        readables=[stage],
    )


def describe(site: SiteFacts, exposure: float = 60.0) -> Description:
    """The same, for ``battbeam forecast``; the light falls on the standard."""
    costs = {"standard": edxrd_layers_cost(site, exposure=exposure, n_layers=1)}
    return Description(site=site, costs=costs, sequence=tuple(costs), cell="standard")
