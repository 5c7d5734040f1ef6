"""Operando diffraction of an NMC811 coin cell: one cycle at C/2, for its lattice parameters.

c falls steeply near the top of charge, so patterns are taken on the clock and twice as often, by
charge, as the capacity fills. The beam must stand near a corner of the detector, so that 2 theta
reaches the lines. Calibrate first (``plans/calibrate.py``).
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, StepEdge, VoltageCrossing
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.patterns import described_patterns, operando_patterns
from battbeam.plans.stubs import Plan

PASSPORT = {
    "cell": "NMC811-coin-1",
    "sample_uid": "nmc811-coin-1",
    "chemistry": "NMC811",
    "active_mass": 17.67,
    "electrode_area": 1.767,
    "nominal_capacity": 3.5,
    "nominal_capacity_definition": "third C/10 discharge, 2.8 to 4.3 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.8, "voltage_max": 4.35, "current_max": 0.01},
}

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 120},
        {"step": "constant_current", "rate_C": 0.5, "until_voltage_V": 4.3},
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {"step": "constant_current", "rate_C": -0.5, "until_voltage_V": 3.0},
        {"step": "open_circuit_voltage", "until_time_s": 120},
    ],
}

#: Everything crystalline in the beam.
PHASES = ("NMC811", "Al", "Li", "steel")


def schedule(interval: float) -> Schedule:
    """The slopes first: they do not come again."""
    return Schedule(
        rules=(
            Rule(
                name="charge_slope",
                when=VoltageCrossing(level=4.1, direction="rising"),
                measure="pattern",
            ),
            Rule(
                name="discharge_slope",
                when=VoltageCrossing(level=3.6, direction="falling"),
                measure="pattern",
            ),
            Rule(name="step", when=StepEdge(), measure="pattern"),
            Rule(name="charge", when=ChargeStep(fraction=0.025), measure="pattern"),
            Rule(name="clock", when=AbsoluteClock(period=interval), measure="pattern"),
        )
    )


def experiment(exposure: float, interval: float) -> dict[str, Any]:
    """What plan and description share."""
    return {
        "passport": PASSPORT,
        "protocol": PROTOCOL,
        "schedule": schedule(interval),
        "exposure": exposure,
    }


def plan(beamline: Beamline, exposure: float = 30.0, interval: float = 300.0) -> Plan:
    """One cycle; patterns of ``exposure`` s, on the clock every ``interval`` s."""
    return (yield from operando_patterns(beamline, phases=PHASES, **experiment(exposure, interval)))


def describe(site: SiteFacts, exposure: float = 30.0, interval: float = 300.0) -> Description:
    """The same, for ``battbeam forecast``."""
    return described_patterns(site, **experiment(exposure, interval))
