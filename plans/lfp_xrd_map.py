"""A diffraction map of a LiFePO4 coin cell as it is now: what is charged, and what is dead.

Calibrate first (``plans/calibrate.py``). The cell goes on with whatever it does; at rest the map is
of one state. The sample stage is put back at the end.
"""

from battbeam.devices.beamline import Beamline
from battbeam.experiment.description import Description, SiteFacts
from battbeam.plans.operando import identity
from battbeam.plans.stubs import Plan
from battbeam.plans.xrd_map import xrd_map, xrd_map_cost
from battbeam.plans.xrd_series import xrd_reduction

#: Everything crystalline in the beam.
PHASES = ("LiFePO4", "FePO4", "Al", "Li", "steel")


def plan(
    beamline: Beamline, exposure: float = 20.0, half_width: float = 1.2, n_points: int = 5
) -> Plan:
    """A square of ``n_points`` by ``n_points`` about the middle, within ``half_width`` mm."""
    stage = beamline.sample_stage
    yield from xrd_map(
        [beamline.detector],
        *(stage.y, -half_width, half_width, n_points),
        *(stage.x, -half_width, half_width, n_points),
        beam=beamline.beam,
        clock=beamline.clock,
        exposure=exposure,
        readables=[beamline.potentiostat, stage],
        reduction=xrd_reduction(beamline.calibration, PHASES),
        md={**identity(beamline.potentiostat), "energy": beamline.monochromator.position},
    )


def describe(
    site: SiteFacts, exposure: float = 20.0, half_width: float = 1.2, n_points: int = 5
) -> Description:
    """The same, for ``battbeam forecast``."""
    side = (-half_width, half_width, n_points)
    cost = xrd_map_cost(site, "y", *side, "x", *side, exposure=exposure)
    return Description(site=site, costs={"map": cost}, sequence=("map",))
