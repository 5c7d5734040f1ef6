"""This file is where the experiment of the spectra's demo is: what a visitor would write as a recipe."""

from collections.abc import Mapping
from typing import Any

from battbeam.demo.xanes import COMPOUNDS
from battbeam.devices.beamline import Beamline
from battbeam.experiment.absorption_edge import wavenumber_from_energy
from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, EndOfProtocol, StepEdge
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan, mounted
from battbeam.plans.xanes import multi_edge_xas, quick_xanes, spectrum

NICKEL, COBALT = "Ni K", "Co K"
#: s of a sweep, and of a point at the edge.
SWEEP, DWELL = 20.0, 1.0
#: Share of the nominal capacity between two pairs of sweeps.
FRACTION = 0.125
#: eV from the edge: where the steps are fine, and where they are those of a line before it.
_FINE, _BEFORE = (-5.0, 25.0), -17.0
#: To which EXAFS is measured and transformed, 1/angstrom.
K_MAX, K_RANGE = 11.2, (3.0, 11.0)
#: What is asked of the EXAFS: oxygen, and the metals of the layer; as many as the structure has.
EXAFS: Mapping[str, Any] = {
    "k_range": list(K_RANGE),
    "r_range": [1.0, 3.1],
    "step_decay": 8 / 3,
    "shells": [
        {"neighbour": "O", "number": 6, "distance": 1.95, "fixed": ["number"]},
        {
            "neighbour": "Ni",
            "number": 6,
            "distance": 2.86,
            "fixed": ["number"],
            "name": "metal",
        },
    ],
}
POLICIES = {"plan_end": "open_circuit", "failure": "open_circuit", "client_loss": "open_circuit"}


def near_edge(edge: str, *, step: float = 0.5) -> EnergyGrid:
    """Fine over the edges of foil and oxide, a few points before and behind them."""
    _, high = _FINE
    behind = (Region(high, 60.0, 4.0, DWELL), Region(60.0, 250.0, 20.0, DWELL))
    return EnergyGrid.of(edge, [*_over_the_edge(step), *behind])


def far_behind(edge: str) -> EnergyGrid:
    """The same over the edges, and on in k."""
    begin = float(wavenumber_from_energy(_FINE[1]))
    return EnergyGrid.of(
        edge, [*_over_the_edge(0.5), Region(begin, K_MAX, 0.07, DWELL, "k", k_weight=1.0)]
    )


def _over_the_edge(step: float) -> list[Region]:
    low, high = _FINE
    return [
        Region(-150.0, _BEFORE, 19.0, DWELL),
        Region(_BEFORE, low, 2.0, DWELL),
        Region(low, high, step, DWELL),
    ]


def compounds(beamline: Beamline, states: Mapping[str, float]) -> Plan:
    """The foils and the known compounds; the first scan's foil is everybody's.

    Args:
        beamline: Where they stand on the changer.
        states: Oxidation state of Ni by the compound's name.
    """
    stage = beamline.sample_stage
    # No cell of the guard's is in the beam.
    station = Station.of(beamline, potentiostat=None)
    for number, (name, cell) in enumerate(COMPOUNDS.items()):
        x, y = beamline.cell_positions[cell]
        edges = [near_edge(NICKEL)]
        if number == 0:
            edges.append(near_edge(COBALT, step=1.0))
        yield from calibrate_energy(
            edges,
            station,
            calibration=beamline.calibration,
            foil=number == 0,
            compound=name,
            oxidation_states={NICKEL: states[name]},
            positions=[(stage.x, x), (stage.y, y)],
        )


def schedule() -> Schedule:
    """A scan in each rest, which lasts until it is done, and at the end; sweeps while charge passes."""
    return Schedule(
        rules=(
            Rule(
                name="scan at start",
                when=AbsoluteClock(period=60.0, n=1),
                measure="scan",
                coupling="step_then_measure",
            ),
            Rule(
                name="scan at rest",
                when=StepEdge(step_type=StepType.REST),
                measure="scan",
                coupling="step_then_measure",
            ),
            Rule(name="scan at end", when=EndOfProtocol(), measure="last scan"),
            Rule(name="charge", when=ChargeStep(fraction=FRACTION), measure="sweeps"),
        )
    )


def experiment(
    beamline: Beamline, *, passport: Mapping[str, Any], protocol: Mapping[str, Any]
) -> Plan:
    """The cell cycles once; spectra in step with it."""
    stage, calibration, station = (
        beamline.sample_stage,
        beamline.calibration,
        Station.of(beamline),
    )
    names = list(COMPOUNDS)

    def scan(*grids: EnergyGrid) -> OwnRun:
        reduction = xanes_reduction(calibration, grids, standards=names, exafs={NICKEL: EXAFS})
        return spectrum(
            multi_edge_xas, grids, station, stage=stage, preset="xas", reduction=reduction
        )

    sweeps = spectrum(
        quick_xanes,
        NICKEL,
        station,
        stage=stage,
        duration=SWEEP,
        reduction=xanes_reduction(calibration, [NICKEL], standards=names),
    )
    yield from mounted(beamline.potentiostat, passport)
    yield from operando(
        schedule(),
        {
            "scan": scan(far_behind(NICKEL), near_edge(COBALT, step=1.0)),
            "last scan": scan(far_behind(NICKEL)),
            "sweeps": sweeps,
        },
        potentiostat=beamline.potentiostat,
        beam=beamline.beam,
        clock=beamline.clock,
        protocol=protocol,
        policies=POLICIES,
    )
