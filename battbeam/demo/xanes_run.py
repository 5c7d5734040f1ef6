"""This file is where the demo of spectra is put together: an NMC811 cell, its nickel followed."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import samples_kept
from battbeam.demo.checks import Check
from battbeam.demo.show import Demo, show
from battbeam.demo.xanes import (
    C_RATE,
    XanesDemoOptions,
    hidden_truth,
    oxidation_states,
    passport,
    protocol,
)
from battbeam.demo.xanes_experiment import COBALT, NICKEL, compounds, experiment
from battbeam.demo.xanes_outcome import XanesOutcome, read
from battbeam.demo.xanes_verdict import judged
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.plots_spectra import SpectraPicture, operando_xanes
from battbeam.session import Session


def run_xanes_demo(options: XanesDemoOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario = hidden_truth(options)
    believed, states = passport(options, scenario), oxidation_states(scenario)

    def judge(connection: Connection, outcome: XanesOutcome) -> list[Check]:
        found = judged(outcome, believed, scenario.spectroscopy.lag)
        return found + samples_kept(connection, [outcome.cell])

    demo = Demo(
        options=options,
        about="NMC811 cell at the Ni edge",
        scenario=scenario,
        measure=lambda session: _measure(session, believed, states),
        read=read,
        judge=judge,
        draw=lambda outcome: _draw(options.out, outcome),
    )
    return show(demo, console)


def _measure(session: Session, believed: dict[str, Any], states: dict[str, float]) -> str:
    """Foils and compounds, then the cell; the uid of the experiment."""
    session.run(compounds(session.beamline, states))
    plan = experiment(session.beamline, passport=believed, protocol=protocol())
    return session.run(plan)[0]


def _draw(out: Path, outcome: XanesOutcome) -> Path:
    nickel = outcome.measured.where(valid=1, edge=NICKEL)
    cobalt = outcome.measured.where(valid=1, edge=COBALT)
    first = min(nickel.spectra, key=lambda each: float(each.row["edge_position"]))
    foil = AbsorptionEdge.of(NICKEL).energy
    return operando_xanes(
        SpectraPicture(
            swept=[each.row for each in nickel.swept.spectra],
            stepped=[each.row for each in nickel.stepped.spectra],
            others=[each.row for each in cobalt.spectra],
            cell=outcome.cell,
            r=outcome.r,
            truth={
                "capacity": np.array([each.true_charge()[1] for each in nickel.spectra]),
                "edge": nickel.true("edge_position") - float(first.true_edge["edge_position"]),
                "time": nickel.of("time"),
                "energy_shift": np.array([each.true_shift(foil) for each in nickel.spectra]),
            },
        ),
        path=out / "operando_xanes.png",
        title=f"Nickel in an NMC811 cell, one cycle at {C_RATE:g}C, simulated",
    )
