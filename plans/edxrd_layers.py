"""Lithium in five layers of graphite, at C/20 and at 1C: energy-dispersive diffraction of a pouch.

The cell stands edge-on in the white beam, and the stage takes layer after layer into it, from the copper
to the separator. At C/20 all layers hold the same; at 1C those at the separator run ahead. A sweep is
made whenever 2 % of the charge has passed and at each step of the protocol, holds at constant voltage
among them: what a sweep takes must be less than what the cell takes for 2 %, 72 s at 1C, or the run warns.

Before: put the middle of the first and of the last layer into ``ENDS`` (mm from the middle of the cathode,
as the passport's stack has them), and calibrate (``plans/calibrate_edxrd.py``). Afterwards each row says
which layer it is of, d of every stage, and lithium per six carbon with its error; ``battbeam.plots_layers``
draws layers against time.
"""

from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import ChargeStep, StepEdge
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.edxrd_layers import edxrd_layers_cost, layer_sweep
from battbeam.plans.operando import operando
from battbeam.plans.patterns import POLICIES
from battbeam.plans.stubs import Plan, mounted

PASSPORT = {
    "cell": "Gr-NMC811-pouch-1",
    "sample_uid": "gr-nmc811-pouch-1",
    "chemistry": "NMC811",
    "active_mass": 21.2,
    "electrode_area": 1.767,
    "nominal_capacity": 3.5,
    "nominal_capacity_definition": "third C/10 discharge, 2.8 to 4.2 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.9,
    "counter_electrode": {
        "material": "graphite",
        "capacity": 4.4,
        "initial_lithium_content": 0.05,
    },
    "electrolyte": {"composition": "1.2 M LiPF6 in EC:EMC 3:7 by weight"},
    "limits": {"voltage_min": 2.5, "voltage_max": 4.3, "current_max": 0.01},
    "stack": [
        {"material": "Kapton", "thickness": 0.1},
        {"material": "Cu", "thickness": 0.010},
        {"material": "counter", "thickness": 0.114},
        {"material": "polyethylene", "thickness": 0.025},
        {"material": "active", "thickness": 0.111},
        {"material": "Al", "thickness": 0.020},
        {"material": "Kapton", "thickness": 0.1},
    ],
}

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "constant_current", "rate_C": 0.05, "until_voltage_V": 4.2},
        {"step": "constant_voltage", "voltage_V": 4.2, "until_time_s": 1800},
        {"step": "constant_current", "rate_C": -0.05, "until_voltage_V": 2.8},
        {"step": "constant_current", "rate_C": 1.0, "until_voltage_V": 4.2},
        {"step": "constant_voltage", "voltage_V": 4.2, "until_time_s": 1800},
        {"step": "constant_current", "rate_C": -1.0, "until_voltage_V": 2.8},
    ],
}

#: Middle of the first and of the last fifth of the graphite, mm: copper to separator.
ENDS = (-0.1831, -0.0919)
#: The cathode's layers, seen where the gauge reaches into it.
CATHODE = {"name": "NMC811", "phase": "NMC811", "hkl": "003", "spacing": 4.78, "spread": 0.05}
#: Fastest of the protocol, 1/h.
C_RATE = 1.0

SCHEDULE = Schedule(
    rules=(
        Rule(name="step", when=StepEdge(), measure="layers"),
        Rule(name="charge", when=ChargeStep(fraction=0.02), measure="layers"),
    )
)


def plan(beamline: Beamline, exposure: float = 10.0, n_layers: int = 5) -> Plan:
    """Both cycles; ``exposure`` s in each of ``n_layers`` layers."""
    sweep = layer_sweep(
        beamline,
        ends=ENDS,
        n_layers=n_layers,
        exposure=exposure,
        c_rate=C_RATE,
        lines=[CATHODE],
    )
    yield from mounted(beamline.potentiostat, PASSPORT)
    return (
        yield from operando(
            SCHEDULE,
            {"layers": sweep},
            potentiostat=beamline.potentiostat,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=PROTOCOL,
            policies=POLICIES,
        )
    )


def describe(site: SiteFacts, exposure: float = 10.0, n_layers: int = 5) -> Description:
    """The same, for ``battbeam forecast``."""
    costs: dict[str, Any] = {
        "layers": edxrd_layers_cost(site, exposure=exposure, n_layers=n_layers)
    }
    return Description(
        site=site,
        costs=costs,
        passport=CellPassport.read(PASSPORT),
        protocol=PROTOCOL,
        schedule=SCHEDULE,
    )
