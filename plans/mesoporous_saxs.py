"""Pores that breathe: a mesoporous oxide at small angles through one cycle.

The peak of ordered pores stands at 2 pi over their spacing: from it follow the volume of the structure
and what stays behind between charge and discharge. The peak is looked for in ``peak_range``; take it
with some of what lies on either side. Calibrate first (``plans/calibrate_saxs.py``); its scenario is
``sim/mesoporous_saxs.toml``.
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.forecast_curve import TableCurve
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.patterns import PATTERN, POLICIES
from battbeam.plans.small_angle import saxs_reduction
from battbeam.plans.stubs import Exposure, Plan, mounted

PASSPORT = {
    "cell": "LMO-mesoporous-1",
    "sample_uid": "lmo-mesoporous-1",
    "chemistry": "LMO",
    "active_mass": 14.14,
    "molar_mass": 180.81,
    "electrode_area": 1.767,
    "nominal_capacity": 2.0,
    "nominal_capacity_definition": "third C/10 discharge, 3.4 to 4.3 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 3.2, "voltage_max": 4.4, "current_max": 0.01},
}

#: V against lithium, by the state of charge: drawn by hand after what is usual of LiMn2O4.
CURVE = TableCurve(
    (0.0, 0.03, 0.15, 0.45, 0.55, 0.85, 0.97, 1.0),
    (3.5, 3.85, 3.95, 4.03, 4.1, 4.16, 4.25, 4.4),
    "drawn by hand",
)

#: 1/angstrom, about 2 pi over a spacing of 90 to 105 angstrom.
PEAK_RANGE = (0.042, 0.095)


def protocol(rate: float) -> dict[str, Any]:
    """One charge and one discharge at ``rate`` 1/h, with rests."""
    rest = {"step": "open_circuit_voltage", "until_time_s": 60}
    return {
        "record": {"time_s": 10},
        "method": [
            rest,
            {"step": "constant_current", "rate_C": rate, "until_voltage_V": 4.3},
            rest,
            {"step": "constant_current", "rate_C": -rate, "until_voltage_V": 3.5},
            rest,
        ],
    }


def schedule(interval: float) -> Schedule:
    """On the clock."""
    return Schedule.parse(f"pattern: every {interval:g} s, measure pattern")


def plan(
    beamline: Beamline, exposure: float = 10.0, interval: float = 120.0, rate: float = 1.5
) -> Plan:
    """One cycle at ``rate`` 1/h; every ``interval`` s a small-angle frame of ``exposure`` s."""
    saxs, notes, stage = beamline.saxs, beamline.saxs_notes, beamline.sample_stage
    if saxs is None or notes is None:
        raise DeviceError("the beamline declares no small-angle detector (Beamline.saxs)")
    pattern = Pattern(
        Exposure((saxs,), beamline.beam, FrameTrain(exposure), (beamline.potentiostat, stage)),
        reduction=saxs_reduction(
            beamline.calibration,
            saturation=notes.saturation,
            model="peak",
            peak_range=list(PEAK_RANGE),
        ),
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md={"technique": "SAXS", "energy": beamline.monochromator.position},
    )
    yield from mounted(beamline.potentiostat, PASSPORT)
    return (
        yield from operando(
            schedule(interval),
            {PATTERN: pattern},
            potentiostat=beamline.potentiostat,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=protocol(rate),
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts, exposure: float = 10.0, interval: float = 120.0, rate: float = 1.5
) -> Description:
    """The same, for ``battbeam forecast``."""
    return Description(
        site=site,
        costs={PATTERN: point_cost(site, exposure)},
        passport=CellPassport.read(PASSPORT),
        protocol=protocol(rate),
        schedule=schedule(interval),
        curve=CURVE,
    )
