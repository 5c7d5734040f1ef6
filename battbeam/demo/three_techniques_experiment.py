"""This file is where the beamline of the demo of three techniques is calibrated, as its recipe asks it to be."""

from battbeam.demo.experiment import prepare as prepare_diffraction
from battbeam.demo.xanes import COMPOUNDS, oxidation_states
from battbeam.demo.xanes_experiment import NICKEL, near_edge
from battbeam.devices.beamline import Beamline
from battbeam.plans.energy_standards import calibrate_energy
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan
from battbeam.session import Session, example_path
from battbeam.sim.scenario import Scenario

__all__ = ["example_path", "prepare"]

#: eV between points over the edge of foil and compounds.
_STEP = 1.0


def prepare(session: Session, scenario: Scenario) -> None:
    """Dark, geometry and line shape; then the Ni foil and the compounds."""
    session.run(prepare_diffraction(session.beamline))
    session.run(_energies(session.beamline, scenario))


def _energies(beamline: Beamline, scenario: Scenario) -> Plan:
    stage = beamline.sample_stage
    # No cell of the guard's is in the beam.
    station = Station.of(beamline, potentiostat=None)
    states = oxidation_states(scenario)
    for number, (name, cell) in enumerate(COMPOUNDS.items()):
        x, y = beamline.cell_positions[cell]
        yield from calibrate_energy(
            [near_edge(NICKEL, step=_STEP)],
            station,
            calibration=beamline.calibration,
            foil=number == 0,
            compound=name,
            oxidation_states={NICKEL: states[name]},
            positions=[(stage.x, x), (stage.y, y)],
        )
