"""Operando XANES of an NMC811 cell at the Ni K edge: one cycle at C/2, its valence against its charge.

Sweeps up and down over the edge whenever 10 % of the capacity has passed, and at every step edge. The
cell has windows of Kapton and no steel: nothing but the electrode has an edge near that of Ni. Its
scenario is ``sim/nickel_rich_sweeps.toml``. Calibrate first (``plans/calibrate_energy.py``). The cell
is mounted if none is; the guard opens the circuit when the protocol has ended.
"""

from battbeam.devices.beamline import Beamline
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import ChargeStep, StepEdge
from battbeam.experiment.description import Description, SiteFacts, SpectrumRequest
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_spectrum import quick_xanes_cost
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.energy_standards import xanes_reduction
from battbeam.plans.operando import operando
from battbeam.plans.patterns import POLICIES
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan, mounted
from battbeam.plans.xanes import quick_xanes, spectrum

EDGE = "Ni K"

PASSPORT = {
    "cell": "NMC811-window-1",
    "sample_uid": "nmc811-window-1",
    "chemistry": "NMC811",
    "active_mass": 14.14,
    "electrode_area": 1.767,
    "nominal_capacity": 2.8,
    "nominal_capacity_definition": "third C/10 discharge, 2.8 to 4.3 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.97,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.8, "voltage_max": 4.35, "current_max": 0.01},
    "stack": [
        {"material": "Kapton", "thickness": 0.025},
        {"material": "Li", "thickness": 0.2},
        {"material": "polyethylene", "thickness": 0.025},
        {"material": "active", "thickness": 0.03},
        {"material": "carbon", "thickness": 0.004},
        {"material": "Al", "thickness": 0.01},
        {"material": "Kapton", "thickness": 0.025},
    ],
}

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {"step": "constant_current", "rate_C": 0.5, "until_voltage_V": 4.3},
        {"step": "open_circuit_voltage", "until_time_s": 300},
        {"step": "constant_current", "rate_C": -0.5, "until_voltage_V": 3.0},
        {"step": "open_circuit_voltage", "until_time_s": 300},
    ],
}


def schedule(fraction: float) -> Schedule:
    """Step edges first: they do not come again."""
    return Schedule(
        rules=(
            Rule(name="step", when=StepEdge(), measure="sweeps"),
            Rule(name="charge", when=ChargeStep(fraction=fraction), measure="sweeps"),
        )
    )


def plan(
    beamline: Beamline, duration: float = 20.0, n_sweeps: int = 2, fraction: float = 0.1
) -> Plan:
    """One cycle; ``n_sweeps`` of ``duration`` s whenever ``fraction`` of the capacity has passed."""
    guard, stage = beamline.potentiostat, beamline.sample_stage
    sweeps = spectrum(
        quick_xanes,
        EDGE,
        Station.of(beamline),
        stage=stage,
        duration=duration,
        repeats=Repeats(n_max=n_sweeps),
        reduction=xanes_reduction(beamline.calibration, [EDGE]),
    )
    yield from mounted(guard, PASSPORT)
    return (
        yield from operando(
            schedule(fraction),
            {"sweeps": sweeps},
            potentiostat=guard,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=PROTOCOL,
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts, duration: float = 20.0, n_sweeps: int = 2, fraction: float = 0.1
) -> Description:
    """The same, for ``battbeam forecast``; of the spectrum it says whether the cell lets it through."""
    # A sweep passes 400 eV.
    grid = EnergyGrid.of(EDGE, dwell=duration / 400)
    return Description(
        site=site,
        costs={"sweeps": quick_xanes_cost(site, duration, n_sweeps=n_sweeps)},
        passport=CellPassport.read(PASSPORT),
        protocol=PROTOCOL,
        schedule=schedule(fraction),
        spectra=[SpectrumRequest(grid)],
    )
