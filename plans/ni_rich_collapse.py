"""How c of nickel-rich cathodes collapses near the end of charge, against that of one with less nickel.

Two half cells stand on the changer, ``cell1`` of NMC622 and ``cell2`` of an oxide with 90 % nickel. Each
follows the same protocol to the same upper voltage: 1.5C to 4.0 V, C/2 to 4.3 V, and ten minutes at 4.3 V.
A pattern is taken every 200 s, and above 4.1 V, where c falls by a hundredth of an angstrom in a minute,
every 40 s: too often to go to and fro between two cells, so queue the recipe once for each.

What comes of it: ``lattice_NMC90_c`` and ``fatigued_fraction_NMC90`` in the rows, with their errors.
Grains that have stopped at a quarter of their lithium show beside the others once the two 003 lines
stand a width apart; before that the fraction is NaN and c the mean of both. The cells move by up to a
tenth of a millimetre as they charge, which alone would change c by 0.011 angstrom: the aluminium of the
collector, in the electrode's plane, tells how far (``displacement``). `battbeam.reduction.coexisting`
and `battbeam.reduction.transitions.collapse` make the depth and the voltage of the collapse of the rows:
compare cells at the same upper voltage only.

Calibrate first (``plans/calibrate.py``); start the beamline with ``sim/ni_rich.toml`` or mount two cells.
"""

from typing import Any, Literal

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.forecast_curve import TableCurve
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

#: Active material of each cell.
MATERIALS = {"cell1": "NMC622", "cell2": "NMC90"}
#: Everything else that is crystalline in the beam.
INERT = ("Al", "Li", "steel")
#: Lithium content at which fatigued grains stop, and how well that is known.
FATIGUED = (0.25, 0.02)
#: mm: how far a cell may move along the beam; aluminium on the electrode tells.
MOVES = 0.1

PASSPORT = {
    "active_mass": 17.67,
    "electrode_area": 1.767,
    "nominal_capacity": 4.8,
    "nominal_capacity_definition": "all of its lithium",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.8, "voltage_max": 4.35, "current_max": 0.02},
}

#: What is thought of the voltage of each, V at states of charge: for the forecast alone.
STATES = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
VOLTAGES = {
    "NMC622": (3.5, 3.7, 3.82, 4.07, 4.25, 4.42, 4.63, 4.9),
    "NMC90": (3.45, 3.6, 3.73, 3.92, 4.06, 4.17, 4.24, 4.5),
}

#: Of both cells. Compositions are compared at the same upper voltage, here 4.3 V.
PROTOCOL = {
    "record": {"time_s": 5},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 120},
        {"step": "constant_current", "rate_C": 1.5, "until_voltage_V": 4.0},
        {"step": "constant_current", "rate_C": 0.5, "until_voltage_V": 4.3},
        {"step": "constant_voltage", "voltage_V": 4.3, "until_time_s": 600},
    ],
}

#: Five times denser where c collapses.
RULE = "collapse: every 40 s while voltage > 4.1 V, else every 200 s, measure pattern of {}"
POLICIES = {"plan_end": "open_circuit", "failure": "open_circuit", "client_loss": "open_circuit"}


def passport(cell: str) -> dict[str, Any]:
    """Of one of the two."""
    name = MATERIALS[cell]
    return {**PASSPORT, "chemistry": name, "cell": f"{name}-coin", "sample_uid": f"{name}-coin"}


def plan(
    beamline: Beamline, cell: Literal["cell1", "cell2"] = "cell2", exposure: float = 8.0
) -> Plan:
    """One charge of one of the cells; patterns of ``exposure`` s."""
    stage, guard = beamline.sample_stage, beamline.guard_of(cell)
    pattern = Pattern(
        Exposure((beamline.detector,), beamline.beam, FrameTrain(exposure), (guard, stage)),
        reduction=xrd_reduction(
            beamline.calibration,
            (MATERIALS[cell], *INERT),
            options={"fatigued_lithium_content": FATIGUED, "displacement": MOVES},
        ),
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md={"energy": beamline.monochromator.position},
    )
    yield from mounted(guard, passport(cell))
    return (
        yield from operando(
            Schedule.parse(RULE.format(cell)),
            {"pattern": pattern},
            potentiostat={cell: guard},
            beam=beamline.beam,
            clock=beamline.clock,
            stage=stage,
            cell_positions=beamline.cell_positions,
            protocols={cell: PROTOCOL},
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts, cell: Literal["cell1", "cell2"] = "cell2", exposure: float = 8.0
) -> Description:
    """The same, for ``battbeam forecast``."""
    return Description(
        site=site,
        costs={"pattern": point_cost(site, exposure)},
        passport=CellPassport.read(passport(cell)),
        protocol=PROTOCOL,
        schedule=Schedule.parse(RULE.format(cell)),
        cell=cell,
        curve=TableCurve(STATES, VOLTAGES[MATERIALS[cell]]),
    )
