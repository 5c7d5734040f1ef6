"""Four LiFePO4 coin cells on the changer, each charged at its own rate, measured with one beam.

A pattern of each cell every 10 minutes and whenever 10 % of its capacity has passed; what is due at
the same time is measured one after the other, the most urgent first. Calibrate first
(``plans/calibrate.py``); start the beamline with ``sim/four_cells.toml`` or mount four cells.
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.dispatch import Parking
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

#: 1/h, of each cell.
RATES = {"cell1": 1.0, "cell2": 0.5, "cell3": 0.2, "cell4": 0.1}

PASSPORT = {
    "chemistry": "LiFePO4",
    "active_mass": 17.67,
    "electrode_area": 1.767,
    "nominal_capacity": 2.85,
    "nominal_capacity_definition": "third C/10 discharge, 2.5 to 3.8 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.5, "voltage_max": 4.1, "current_max": 0.01},
}

#: Everything crystalline in the beam.
PHASES = ("LiFePO4", "FePO4", "Al", "Li", "steel")

#: A cell that misses this many patterns in a row goes on without being measured.
PARKING = dict.fromkeys(RATES, Parking(after=5, policy="continue"))


def passport(cell: str) -> dict[str, Any]:
    """Of one of the cells, all from one batch."""
    return {**PASSPORT, "cell": f"LFP-changer-{cell}", "sample_uid": f"lfp-changer-{cell}"}


def protocol(rate: float, length: float) -> dict[str, Any]:
    """A charge of at most ``length`` s, and a short rest."""
    charge = {"step": "constant_current", "rate_C": rate, "until_voltage_V": 3.9}
    method = [
        {**charge, "until_time_s": length},
        {"step": "open_circuit_voltage", "until_time_s": 120},
    ]
    return {"record": {"time_s": 10}, "method": method}


def schedule(interval: float) -> Schedule:
    """By charge first, for every cell; then the clock."""
    by_charge = [
        Rule(name=f"charge {cell}", when=ChargeStep(fraction=0.1), measure="pattern", cell=cell)
        for cell in RATES
    ]
    by_clock = [
        Rule(
            name=f"clock {cell}", when=AbsoluteClock(period=interval), measure="pattern", cell=cell
        )
        for cell in RATES
    ]
    return Schedule(rules=(*by_charge, *by_clock))


def plan(
    beamline: Beamline, exposure: float = 20.0, interval: float = 600.0, length: float = 7200.0
) -> Plan:
    """Patterns of ``exposure`` s, on the clock every ``interval`` s, for at most ``length`` s."""
    stage = beamline.sample_stage
    pattern = Pattern(
        Exposure((beamline.detector,), beamline.beam, FrameTrain(exposure), (stage,)),
        reduction=xrd_reduction(beamline.calibration, PHASES),
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md={"energy": beamline.monochromator.position},
    )
    guards = {cell: beamline.guard_of(cell) for cell in RATES}
    for cell, guard in guards.items():
        yield from mounted(guard, passport(cell))
    return (
        yield from operando(
            schedule(interval),
            {"pattern": pattern},
            potentiostat=guards,
            beam=beamline.beam,
            clock=beamline.clock,
            stage=stage,
            cell_positions=beamline.cell_positions,
            protocols={cell: protocol(rate, length) for cell, rate in RATES.items()},
            parking=PARKING,
            policies={"plan_end": "open_circuit", "failure": "continue", "client_loss": "continue"},
        )
    )


def describe(
    site: SiteFacts, exposure: float = 20.0, interval: float = 600.0, length: float = 7200.0
) -> list[Description]:
    """The same, for ``battbeam forecast``."""
    return [
        Description(
            site=site,
            costs={"pattern": point_cost(site, exposure)},
            passport=CellPassport.read(passport(cell)),
            protocol=protocol(rate, length),
            schedule=schedule(interval),
            cell=cell,
            parking=PARKING[cell],
        )
        for cell, rate in RATES.items()
    ]
