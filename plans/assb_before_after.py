"""Whether 50 cycles have changed the lattice of a solid-state cell: its 003 line before and after.

A half cell of NMC811 behind windows of Kapton, at the energy of the copper line. It is brought to 3.0 V and
measured, cycled 50 times at 5C between 3.0 and 4.2 V, brought to 3.0 V again and measured again: two runs
at the same state, so that a shift of the 003 is ageing and not lithium. Layers that are farther apart by
0.2 % bring it to smaller angles by 0.04 degree.

A line also moves by 0.02 degree when the energy is 8 eV another, and by 0.009 when the cell stands 0.05 mm
nearer: both happen within 14 hours. So the aluminium of the collector, in the electrode's plane, is a
reference in both runs, and `battbeam.reduction.pair_of_runs.shift_between` takes the shift from
``two_theta_NMC811_003``, ``lattice_Al_a`` and ``displacement`` of both rows. Without a reference it gives
none, and says so.

Calibrate first (``plans/calibrate.py``), once for both runs; start the beamline with
``sim/assb_before_after.toml``.
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.experiment.conditions import EndOfProtocol, StepEdge
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.patterns import described_patterns, operando_patterns
from battbeam.plans.stubs import Plan

PASSPORT = {
    "cell": "NMC811-solid-1",
    "sample_uid": "nmc811-solid-1",
    "chemistry": "NMC811",
    "active_mass": 14.14,
    "electrode_area": 1.767,
    "nominal_capacity": 3.9,
    "nominal_capacity_definition": "all of its lithium",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "electrolyte": {"composition": "Li6PS5Cl"},
    "limits": {"voltage_min": 2.6, "voltage_max": 4.4, "current_max": 0.04},
    "stack": [
        {"material": "Kapton", "thickness": 0.025},
        {"material": "Li", "thickness": 0.1},
        {"material": "polyethylene", "thickness": 0.03},
        {"material": "active", "thickness": 0.03},
        {"material": "carbon", "thickness": 0.004},
        {"material": "Al", "thickness": 0.015},
        {"material": "Kapton", "thickness": 0.025},
    ],
}

#: Everything crystalline in the beam.
PHASES = ("NMC811", "Al", "Li")
#: Of the reduction: the cell may stand 0.3 mm elsewhere than the standard did, and the energy differ by a
#: thousandth, which aluminium's lattice shows.
OPTIONS = {"displacement": 0.3, "reference_error": 1e-3}


def protocol(n_cycles: int) -> dict[str, Any]:
    """The same voltage before and after ``n_cycles`` cycles; the only rest is for the first pattern."""
    empty = [
        {"step": "constant_current", "rate_C": -0.5, "until_voltage_V": 3.0},
        {"step": "constant_voltage", "voltage_V": 3.0, "until_time_s": 1800},
    ]
    method = [
        *empty,
        {"step": "open_circuit_voltage", "until_time_s": 3600},
        {"step": "tag", "tag": "cycle"},
        {"step": "constant_current", "rate_C": 5, "until_voltage_V": 4.2},
        {"step": "constant_current", "rate_C": -5, "until_voltage_V": 3.0},
        {"step": "loop", "loop_to": "cycle", "cycle_count": n_cycles},
        *empty,
    ]
    return {"record": {"time_s": 60}, "method": method}


#: Two rules, two runs.
SCHEDULE = Schedule(
    rules=(
        Rule(
            name="before",
            when=StepEdge(step_type=StepType.REST),
            measure="pattern",
            coupling="step_then_measure",
        ),
        Rule(name="after", when=EndOfProtocol(), measure="pattern"),
    )
)


def plan(beamline: Beamline, exposure: float = 60.0, n_cycles: int = 50) -> Plan:
    """``n_cycles`` cycles between two patterns of ``exposure`` s."""
    return (
        yield from operando_patterns(
            beamline,
            passport=PASSPORT,
            protocol=protocol(n_cycles),
            schedule=SCHEDULE,
            phases=PHASES,
            exposure=exposure,
            options=OPTIONS,
        )
    )


def describe(site: SiteFacts, exposure: float = 60.0, n_cycles: int = 50) -> Description:
    """The same, for ``battbeam forecast``."""
    return described_patterns(
        site,
        passport=PASSPORT,
        protocol=protocol(n_cycles),
        schedule=SCHEDULE,
        exposure=exposure,
    )
