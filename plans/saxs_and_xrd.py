"""Grains and phases at once: LiFePO4 in one exposure at wide and at small angles while it cycles.

Both detectors expose together, started by one pulse: diffraction says how much of each phase there is,
small angles how large the grains are. Each event holds a frame of either, and each has a reduced run of
its own; rows of one event have the same ``raw_seq_num``. Calibrate first (``plans/calibrate.py``,
``plans/calibrate_saxs.py``); its scenario is ``sim/saxs_and_xrd.toml``.
"""

from dataclasses import replace
from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.patterns import PATTERN, POLICIES
from battbeam.plans.small_angle import also_reduced, saxs_reduction
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

PASSPORT = {
    "cell": "LFP-window-1",
    "sample_uid": "lfp-window-1",
    "chemistry": "LiFePO4",
    "active_mass": 14.14,
    "electrode_area": 1.767,
    "nominal_capacity": 2.3,
    "nominal_capacity_definition": "third C/10 discharge, 2.5 to 3.8 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.3, "voltage_max": 4.0, "current_max": 0.01},
    "stack": [
        {"material": "Kapton", "thickness": 0.025, "depth": -0.4},
        {"material": "Li", "thickness": 0.2, "depth": -0.2},
        {"material": "polyethylene", "thickness": 0.025, "depth": -0.05},
        {"material": "active", "thickness": 0.03, "depth": 0.0},
        {"material": "carbon", "thickness": 0.004, "depth": 0.0},
        {"material": "Al", "thickness": 0.01, "depth": 0.03},
        {"material": "Kapton", "thickness": 0.025, "depth": 0.1},
    ],
}

#: Everything crystalline in the beam.
PHASES = ("LiFePO4", "FePO4", "Al", "Li")
#: Bytes of a small-angle frame.
SAXS_BYTES = 4 * 256 * 256


def protocol(rate: float) -> dict[str, Any]:
    """One charge and one discharge at ``rate`` 1/h, with rests."""
    rest = {"step": "open_circuit_voltage", "until_time_s": 60}
    return {
        "record": {"time_s": 10},
        "method": [
            rest,
            {"step": "constant_current", "rate_C": rate, "until_voltage_V": 3.9},
            rest,
            {"step": "constant_current", "rate_C": -rate, "until_voltage_V": 2.5},
            rest,
        ],
    }


def schedule(interval: float) -> Schedule:
    """On the clock."""
    return Schedule.parse(f"pattern: every {interval:g} s, measure pattern")


def both(beamline: Beamline, exposure: float) -> Pattern:
    """A frame of either detector, and how each is reduced.

    Raises:
        DeviceError: If the beamline declares no small-angle detector.
    """
    saxs, notes, stage = beamline.saxs, beamline.saxs_notes, beamline.sample_stage
    if saxs is None or notes is None:
        raise DeviceError("the beamline declares no small-angle detector (Beamline.saxs)")
    small = saxs_reduction(beamline.calibration, saturation=notes.saturation, surface=True)
    return Pattern(
        Exposure(
            (beamline.detector, saxs),
            beamline.beam,
            FrameTrain(exposure),
            (beamline.potentiostat, stage),
        ),
        reduction=xrd_reduction(beamline.calibration, PHASES),
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md={
            "technique": "XRD+SAXS",
            "energy": beamline.monochromator.position,
            **also_reduced(small),
        },
    )


def plan(
    beamline: Beamline, exposure: float = 20.0, interval: float = 240.0, rate: float = 1.0
) -> Plan:
    """One cycle at ``rate`` 1/h; every ``interval`` s both detectors expose ``exposure`` s."""
    pattern = both(beamline, exposure)
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
    site: SiteFacts, exposure: float = 20.0, interval: float = 240.0, rate: float = 1.0
) -> Description:
    """The same, for ``battbeam forecast``; a point has a frame of either detector."""
    one = point_cost(site, exposure)
    return Description(
        site=site,
        costs={PATTERN: replace(one, n_frames=2, n_bytes=one.n_bytes + SAXS_BYTES)},
        passport=CellPassport.read(PASSPORT),
        protocol=protocol(rate),
        schedule=schedule(interval),
    )
