"""Lithium that plates on graphite: maps of a pouch cell after every fast charge and every discharge.

What a visitor gets of each map: how much lithium metal there is at each of 121 points (mAh/cm2),
how full graphite is there (y in LiyC6, by its stages), and the lithium content of the cathode, all
from one diffraction frame a point. `battbeam.reduction.cell_maps` makes of the maps what the whole
cell holds: the growth of the metal, how much of it stripping takes back, and the inventory of
lithium against the charge.

The first map is of the fresh cell, in a rest before the first charge; then one in the rest after
each charge and each discharge. A rest lasts until its map is there. Lithium scatters little: 0.04
mAh/cm2 is told from 2 s with 5e10 photons/s, and half of that error takes four times the light.
Make the map so large that spots of metal do not reach its edge: what lies outside counts as the
edge does. The cell is a pouch in Kapton film, for a laminate's aluminium would add its lines to
those of the collector; the passport's layers ``counter`` and ``plated`` say where graphite and the
metal on it lie, and bring their phases along.

Calibrate first (``plans/calibrate.py``), with ``exposure=10.0, n_frames=6``: the sum over a map shows
what a short look at the standard leaves uncertain of the lines' wings. The scenario is
``sim/pouch_plating.toml``. The cell is mounted if none is. The stage is moved to ``OPEN_BEAM`` for
one short frame, so that amounts are corrected for what the cell absorbs.
"""

from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beamline import Beamline
from battbeam.devices.fly_detector import FlyDetector
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.patterns import POLICIES
from battbeam.plans.stubs import Plan, mounted
from battbeam.plans.xrd_fly_map import xrd_fly_map, xrd_fly_map_cost
from battbeam.plans.xrd_series import xrd_reduction, xrd_series

PASSPORT = {
    "cell": "NMC811-graphite-pouch-1",
    "sample_uid": "nmc811-graphite-pouch-1",
    "chemistry": "NMC811",
    "active_mass": 35.34,
    "electrode_area": 1.7671,
    "nominal_capacity": 6.2,
    "nominal_capacity_definition": "first C/10 discharge, 2.8 to 4.2 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.96,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.7, "voltage_max": 4.3, "current_max": 0.03},
    "counter_electrode": {
        "material": "graphite",
        "capacity": 7.2,
        "initial_lithium_content": 0.06,
    },
    "stack": [
        {"material": "Kapton", "thickness": 0.1, "depth": -0.2545},
        {"material": "Cu", "thickness": 0.01, "depth": -0.1995},
        {"material": "counter", "thickness": 0.114, "depth": -0.1375},
        {"material": "plated", "thickness": 0.002, "depth": -0.0805},
        {"material": "polyethylene", "thickness": 0.025, "depth": -0.068},
        {"material": "active", "thickness": 0.111, "depth": 0.0},
        {"material": "Al", "thickness": 0.02, "depth": 0.0655},
        {"material": "Kapton", "thickness": 0.1, "depth": 0.1255},
    ],
}

#: Everything crystalline in the beam besides graphite and the metal on it.
PHASES = ("NMC811", "Al", "Cu")
#: 1/h, of charge and discharge.
RATE = 2.0
#: ohm, of the whole cell, as its impedance says: for the forecast.
RESISTANCE = 2.0
#: s of a rest beside its map.
REST = 60.0
#: Position of the stage with nothing in the beam, mm, and s of the frame there.
OPEN_BEAM, LOOK = -12.0, 2.0
#: mm: how far a pouch may move along the beam as it breathes; aluminium on the electrode tells.
MOVES = 0.1
#: Half a map's width and height, mm.
HALF_WIDTH = 5.0


def protocol(n_cycles: int) -> dict[str, Any]:
    """A rest, then charge, rest, discharge, rest for each cycle."""
    rest = {"step": "open_circuit_voltage", "until_time_s": REST}
    method: list[dict[str, Any]] = [rest]
    for _ in range(n_cycles):
        for rate, voltage in ((RATE, 4.2), (-RATE, 2.8)):
            step = {"step": "constant_current", "rate_C": rate, "until_voltage_V": voltage}
            method += [step, rest]
    return {"record": {"time_s": 10}, "method": method}


def schedule() -> Schedule:
    """A map in every rest, which lasts until it is there."""
    when = "any of (every 24 h, 1 times; when a rest step begins)"
    return Schedule.parse(f"plating: {when}, measure map (step then measure)")


def fly_detector_of(beamline: Beamline) -> FlyDetector:
    """What times the detector by the stage's encoder.

    Raises:
        PreflightError: If nothing does.
    """
    if beamline.fly_detector is None:
        raise PreflightError("pouch_plating_maps", ["this beamline declares no fly_detector"])
    return beamline.fly_detector


def look(beamline: Beamline) -> Plan:
    """Counts behind over before, without a cell."""
    stage, beam = beamline.sample_stage, beamline.beam
    yield from xrd_series(
        [beamline.detector],
        beam=beam,
        clock=beamline.clock,
        exposure=LOOK,
        readables=[stage],
        positions=[(stage.x, OPEN_BEAM), (stage.y, 0.0)],
        md={"kind": "calibration", "plan_name": "look"},
    )
    before = yield from bps.rd(beam.i0)
    behind = yield from bps.rd(beam.transmission_counts)
    return behind / before


def square(
    beamline: Beamline, exposure: float, n_points: int, transmission_reference: float
) -> OwnRun:
    """One map about the middle of the cell, flown row by row."""
    stage, side = beamline.sample_stage, (-HALF_WIDTH, HALF_WIDTH, n_points)
    fly_detector = fly_detector_of(beamline)
    reduction = xrd_reduction(
        beamline.calibration,
        PHASES,
        transmission_reference=transmission_reference,
        options={"displacement": MOVES},
    )

    def measured(said: Mapping[str, Any]) -> Plan:
        return xrd_fly_map(
            fly_detector,
            *(stage.y, *side),
            *(stage.x, *side),
            beam=beamline.beam,
            clock=beamline.clock,
            exposure=exposure,
            readables=[beamline.potentiostat, stage],
            reduction=reduction,
            suspend=False,
            md={**said, "energy": beamline.monochromator.position},
        )

    return OwnRun(measured, motors=(stage.x, stage.y), may_be_asked=True)


def plan(beamline: Beamline, exposure: float = 2.0, n_points: int = 11, n_cycles: int = 6) -> Plan:
    """``n_cycles`` fast cycles; maps of ``n_points`` a side, ``exposure`` s a point."""
    guard = beamline.potentiostat
    fly_detector_of(beamline)  # Refused before anything moves.
    yield from mounted(guard, PASSPORT)
    reference = yield from look(beamline)
    return (
        yield from operando(
            schedule(),
            {"map": square(beamline, exposure, n_points, reference)},
            potentiostat=guard,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=protocol(n_cycles),
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts, exposure: float = 2.0, n_points: int = 11, n_cycles: int = 6
) -> Description:
    """The same, for ``battbeam forecast``."""
    side = (-HALF_WIDTH, HALF_WIDTH, n_points)
    return Description(
        site=site,
        costs={"map": xrd_fly_map_cost(site, "y", *side, "x", *side, exposure=exposure)},
        passport=CellPassport.read(PASSPORT),
        protocol=protocol(n_cycles),
        schedule=schedule(),
        resistance=RESISTANCE,
    )
