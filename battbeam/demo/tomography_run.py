"""This file is where the demo of tomograms is put together: tin oxide takes up lithium, swells and cracks."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import samples_kept
from battbeam.demo.checks import Check
from battbeam.demo.show import Demo, show
from battbeam.demo.tomography import RECIPE, TomographyDemoOptions, hidden_truth
from battbeam.demo.tomography_outcome import TomographyOutcome, read
from battbeam.demo.tomography_verdict import judged
from battbeam.plots_particles import TomogramsPicture
from battbeam.plots_tomography import operando_tomography
from battbeam.session import Session, example_path
from battbeam.sim.phantom import PhantomState, inside_of
from battbeam.sim.scenario import Scenario
from battbeam.units import FloatArray

#: States at which the hidden truth is drawn.
_N_TRUE = 200


def run_tomography_demo(options: TomographyDemoOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario, recipe = hidden_truth(options), example_path(RECIPE)
    (cell,) = scenario.cells

    def judge(connection: Connection, outcome: TomographyOutcome) -> list[Check]:
        found = judged(outcome, believed(recipe), cell.chemistry)
        return found + samples_kept(connection, [outcome.cell])

    demo = Demo(
        options=options,
        about="tin oxide takes up lithium",
        scenario=scenario,
        measure=lambda session: _measure(session, recipe),
        read=lambda connection, operando: read(connection, operando, cell.electrode_area),
        judge=judge,
        draw=lambda outcome: _draw(options.out, scenario, outcome),
    )
    return show(demo, console)


def believed(recipe: Path) -> dict[str, Any]:
    """The passport that a recipe gives its cell."""
    passport: dict[str, Any] = runpy.run_path(str(recipe))["PASSPORT"]
    return passport


def _measure(session: Session, recipe: Path) -> str:
    """The recipe, as it is; the uid of the experiment."""
    return session.run_recipe(recipe)[0]


def _draw(out: Path, scenario: Scenario, outcome: TomographyOutcome) -> Path:
    return operando_tomography(
        TomogramsPicture(
            volumes=[each.volume for each in outcome.tomograms],
            rows=[each.row for each in outcome.tomograms],
            particles=outcome.particles,
            cell=outcome.cell,
            truth=_truth_lines(scenario, outcome),
        ),
        path=out / "operando_tomography.png",
        title="Particles of tin oxide take up lithium: shells grow, cores go, shells crack; C/2, simulated",
    )


def _truth_lines(scenario: Scenario, outcome: TomographyOutcome) -> dict[str, FloatArray]:
    """The hidden truth from the first tomogram to the last, as the picture draws it."""
    (cell,) = scenario.cells
    middles = [each.lines[len(each.lines) // 2] for each in outcome.tomograms]
    seen = np.array([line["lithium_content"] for line in middles])
    contents = np.linspace(seen.min(), seen.max(), _N_TRUE)
    states = [PhantomState.of(cell, lithium_content=float(content)) for content in contents]
    sizes = [inside_of(scenario, state).sizes for state in states]
    factor = np.array([size["volume_factor"] for size in sizes])
    return {
        "charge": np.interp(contents, seen, -outcome.of("capacity")),
        "factor": factor / factor[0],
        # What has reacted is the same share of every particle.
        "core_radius": np.cbrt([1 - size["reacted"] for size in sizes]),
        "crack_volume": np.array([size["crack_volume"] for size in sizes]),
    }
