"""Operando diffraction of a LiFePO4 coin cell: one cycle at 1C, a pattern every 5 minutes.

Besides, a pattern whenever 5 % of the capacity has passed, one on each slope, and one at every step
edge. Calibrate first (``plans/calibrate.py``). The cell is mounted if none is; the guard opens the
circuit when the protocol has ended.
"""

from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, StepEdge, VoltageCrossing
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_series import xrd_reduction

PASSPORT = {
    "cell": "LFP-coin-1",
    "sample_uid": "lfp-coin-1",
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

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 120},
        {"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.9},
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {"step": "constant_current", "rate_C": -1, "until_voltage_V": 2.6},
        {"step": "open_circuit_voltage", "until_time_s": 120},
    ],
}

#: Everything crystalline in the beam.
PHASES = ("LiFePO4", "FePO4", "Al", "Li", "steel")


def schedule(interval: float) -> Schedule:
    """The slopes first: they do not come again."""
    return Schedule(
        rules=(
            Rule(
                name="charge_slope",
                when=VoltageCrossing(level=3.6, direction="rising"),
                measure="pattern",
            ),
            Rule(
                name="discharge_slope",
                when=VoltageCrossing(level=3.2, direction="falling"),
                measure="pattern",
            ),
            Rule(name="step", when=StepEdge(), measure="pattern"),
            Rule(name="charge", when=ChargeStep(fraction=0.05), measure="pattern"),
            Rule(name="clock", when=AbsoluteClock(period=interval), measure="pattern"),
        )
    )


def plan(beamline: Beamline, exposure: float = 30.0, interval: float = 300.0) -> Plan:
    """One cycle; patterns of ``exposure`` s, on the clock every ``interval`` s."""
    readables = (beamline.potentiostat, beamline.sample_stage)
    pattern = Pattern(
        Exposure((beamline.detector,), beamline.beam, FrameTrain(exposure), readables),
        reduction=xrd_reduction(beamline.calibration, PHASES),
        positions=((beamline.sample_stage.x, 0.0), (beamline.sample_stage.y, 0.0)),
        md={"energy": beamline.monochromator.position},
    )
    yield from mounted(beamline.potentiostat, PASSPORT)
    yield from operando(
        schedule(interval),
        {"pattern": pattern},
        potentiostat=beamline.potentiostat,
        beam=beamline.beam,
        clock=beamline.clock,
        protocol=PROTOCOL,
        policies={"plan_end": "open_circuit", "failure": "hold", "client_loss": "hold"},
    )
