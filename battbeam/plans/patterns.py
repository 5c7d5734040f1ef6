"""This file is where the simplest experiment is: one cell, its protocol, and patterns at one spot
whenever a rule says so. As a plan, and as a description that says what it will cost.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

#: What the guard does unless a recipe says otherwise: a cell is left at rest, or where it was.
POLICIES: Mapping[str, str] = {
    "plan_end": "open_circuit",
    "failure": "hold",
    "client_loss": "hold",
}
#: What the rules of such a schedule measure.
PATTERN = "pattern"


def operando_patterns(
    beamline: Beamline,
    *,
    passport: Mapping[str, Any],
    protocol: Mapping[str, Any],
    schedule: Schedule,
    phases: Sequence[str],
    exposure: float,
    policies: Mapping[str, str] = POLICIES,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """Run the protocol and take a ``pattern`` of ``exposure`` s in the cell's middle when one is due.

    Parameters
    ----------
    beamline : Beamline
        Calibrated.
    passport : dict
        Of the cell; it is mounted if none is.
    protocol : dict
        That the cell follows.
    schedule : Schedule
        Its rules measure ``pattern``.
    phases : list of str
        Everything crystalline in the beam.
    exposure : float
        Of a pattern, s.
    policies : dict, optional
        What the guard does on ``plan_end``, ``failure`` and ``client_loss``.
    options : dict, optional
        Of the reduction, see `xrd_reduction`.

    Returns
    -------
    str
        The uid of the operando run.
    """
    stage = beamline.sample_stage
    pattern = Pattern(
        Exposure(
            (beamline.detector,),
            beamline.beam,
            FrameTrain(exposure),
            (beamline.potentiostat, stage),
        ),
        reduction=xrd_reduction(beamline.calibration, phases, options=options),
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md={"energy": beamline.monochromator.position},
    )
    yield from mounted(beamline.potentiostat, passport)
    return (
        yield from operando(
            schedule,
            {PATTERN: pattern},
            potentiostat=beamline.potentiostat,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=protocol,
            policies=policies,
        )
    )


def described_patterns(
    site: SiteFacts,
    *,
    passport: Mapping[str, Any],
    protocol: Mapping[str, Any],
    schedule: Schedule,
    exposure: float,
) -> Description:
    """The same experiment, for a forecast.

    Raises:
        PreflightError: If the passport is none.
    """
    return Description(
        site=site,
        costs={PATTERN: point_cost(site, exposure)},
        passport=CellPassport.read(passport),
        protocol=protocol,
        schedule=schedule,
    )
