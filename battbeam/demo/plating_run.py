"""This file is where the plating demo is put together: a pouch is charged fast, and lithium is looked for."""

import runpy
from pathlib import Path

import numpy as np
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import samples_kept
from battbeam.demo.checks import Check
from battbeam.demo.plating import N_CYCLES, RECIPE, PlatingDemoOptions, hidden_truth
from battbeam.demo.plating_outcome import PlatingOutcome, read
from battbeam.demo.plating_verdict import judged
from battbeam.demo.show import Demo, show
from battbeam.errors import ReductionError
from battbeam.experiment.cell import CellPassport
from battbeam.plots_maps import PlatingPicture, plating_maps
from battbeam.reduction.cell_maps import CellMaps
from battbeam.session import Session, example_path

#: s of a frame of the standard, and of the dark, and how many: as the recipe says.
_STANDARD, _N_STANDARD = 10.0, 6
#: Points of a map.
_N_POINTS = 121


def run_plating_demo(options: PlatingDemoOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario = hidden_truth(options)
    passport = believed(example_path(RECIPE))
    (cell,) = scenario.cells

    def judge(connection: Connection, outcome: PlatingOutcome) -> list[Check]:
        found = judged(
            outcome,
            cell,
            whole=together(outcome, passport),
            n_maps=2 * N_CYCLES + 1,
            n_points=_N_POINTS,
        )
        return found + samples_kept(connection, [outcome.cell])

    demo = Demo(
        options=options,
        about="NMC811 against graphite, charged fast: lithium plates",
        scenario=scenario,
        measure=_measure,
        read=read,
        judge=judge,
        draw=lambda outcome: draw(options.out, outcome, passport),
    )
    return show(demo, console)


def believed(recipe: Path) -> CellPassport:
    """The passport that a recipe gives its cell."""
    return CellPassport.read(runpy.run_path(str(recipe))["PASSPORT"])


def together(outcome: PlatingOutcome, passport: CellPassport) -> CellMaps | None:
    """What the maps say together, with what the passport says."""
    return outcome.whole(passport.electrode_area, passport.theoretical_capacity)


def _measure(session: Session) -> str:
    """Calibrate, then the recipe; the uid of the experiment."""
    calibrate = example_path("plans/calibrate.py")
    session.run_recipe(calibrate, exposure=_STANDARD, n_frames=_N_STANDARD)
    # The recipe looks at the open beam first.
    _, operando, *_ = session.run_recipe(example_path(RECIPE), n_cycles=N_CYCLES)
    return operando


def draw(out: Path, outcome: PlatingOutcome, passport: CellPassport) -> Path:
    """The picture; its path.

    Raises:
        ReductionError: If there are no maps.
    """
    whole = together(outcome, passport)
    if whole is None:
        raise ReductionError("no maps to draw")
    try:
        growth = whole.growth()
    except ReductionError:
        growth = None
    times = np.array([float(each.rows["time_start"].mean()) for each in outcome.maps])
    return plating_maps(
        PlatingPicture(
            maps=whole,
            times=times,
            inventory=whole.inventory(cell_capacity=float(np.ptp(whole.charge))),
            growth=growth,
            cell_time=outcome.cell["time"].to_numpy(),
            cell_voltage=outcome.cell["voltage"].to_numpy(),
            truth={"time": outcome.course.time, "metal": outcome.course.metal},
        ),
        path=out / "plating_maps.png",
        title="Lithium plates on graphite in a pouch that is charged fast: maps by diffraction, simulated",
    )
