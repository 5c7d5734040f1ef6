"""A LiFePO4 half cell at 1C, measured often at one spot and rarely at a control spot beside it.

Where the two part, the beam has damaged the cell: `battbeam status` and the catalogue say so.
Calibrate first (``plans/calibrate.py``); ``sim/beam_damage.toml`` is a cell that suffers.
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import AbsoluteClock
from battbeam.experiment.control_spot import ControlSpot
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

PASSPORT = {
    "cell": "LFP-damage",
    "sample_uid": "lfp-damage-1",
    "chemistry": "LiFePO4",
    "phases": ["LiFePO4", "FePO4"],
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

#: Two spots of like electrode, apart by several beams. The rate is a tenth of the material after
#: 1e12 photons per mm2, which is what ``battbeam forecast`` says of the measured spot.
SPOTS = ControlSpot(exposed=(-1.5, 1.0), control=(-1.5, 2.0), rate_of_interest=1e-13)


def protocol(length: float) -> dict[str, Any]:
    """Charge and discharge at 1C, ``length`` s each."""
    charge = {"step": "constant_current", "until_time_s": length}
    method = [
        {**charge, "rate_C": 1, "until_voltage_V": 3.9},
        {**charge, "rate_C": -1, "until_voltage_V": 2.6},
    ]
    return {"record": {"time_s": 10}, "method": method}


def schedule(interval: float, control_interval: float) -> Schedule:
    """The control first: it comes seldom."""
    return Schedule(
        rules=(
            Rule(name="control", when=AbsoluteClock(period=control_interval), measure="control"),
            Rule(name="exposed", when=AbsoluteClock(period=interval), measure="exposed"),
        )
    )


def plan(
    beamline: Beamline,
    exposure: float = 20.0,
    interval: float = 100.0,
    control_interval: float = 450.0,
    length: float = 1800.0,
) -> Plan:
    """Patterns of ``exposure`` s every ``interval`` s, of the control every ``control_interval`` s."""
    stage, guard = beamline.sample_stage, beamline.potentiostat
    how = Exposure((beamline.detector,), beamline.beam, FrameTrain(exposure), (guard, stage))
    patterns = {
        name: Pattern(
            how,
            reduction=xrd_reduction(beamline.calibration, PHASES),
            positions=((stage.x, x), (stage.y, y)),
            md={"energy": beamline.monochromator.position},
            sentinel=SPOTS,
        )
        for name, (x, y) in (("exposed", SPOTS.exposed), ("control", SPOTS.control))
    }
    yield from mounted(guard, PASSPORT)
    return (
        yield from operando(
            schedule(interval, control_interval),
            patterns,
            potentiostat=guard,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=protocol(length),
            policies={"plan_end": "open_circuit", "failure": "hold", "client_loss": "hold"},
        )
    )


def describe(
    site: SiteFacts,
    exposure: float = 20.0,
    interval: float = 100.0,
    control_interval: float = 450.0,
    length: float = 1800.0,
) -> Description:
    """The same, for ``battbeam forecast``."""
    spots = {"exposed": SPOTS.exposed, "control": SPOTS.control}
    return Description(
        site=site,
        costs={name: point_cost(site, exposure, spot=spot) for name, spot in spots.items()},
        passport=CellPassport.read(PASSPORT),
        protocol=protocol(length),
        schedule=schedule(interval, control_interval),
    )
