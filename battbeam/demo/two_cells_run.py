"""This file is where the demo of the schedule is put together: two cells, one beam."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from battbeam.channel_access import Context
from battbeam.connection import Connection
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.checks import Check
from battbeam.demo.experiment import OPEN_BEAM, look, prepare
from battbeam.demo.reading import looked, measured, notes, on_session_clock, truth_of
from battbeam.demo.show import Demo, show
from battbeam.demo.two_cells import ScheduleOptions, hidden_truth, passports, protocols
from battbeam.demo.two_cells_experiment import (
    EXPOSURE,
    SURVEY_FRAMES,
    experiment,
    happenings,
)
from battbeam.demo.two_cells_verdict import TwoCells, judged
from battbeam.plots import CellTrace, operando_cells
from battbeam.session import Session
from battbeam.sim.history import History, history_path
from battbeam.storage.catalog import Catalog

#: Of the simulated ring's fault: its place among the choices.
_NONE, _DOWN = 0, 2
_TITLES = {"cell1": "cell1: LiFePO4, GITT", "cell2": "cell2: NMC811, 1C charge, C/2 discharge"}
_RULES = {"cell1": ("relaxed",), "cell2": ("top of charge", "survey", "discharge")}


def run_schedule_demo(options: ScheduleOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario = hidden_truth(options)
    believed = passports(scenario)

    def judge(connection: Connection, outcome: TwoCells) -> list[Check]:
        found = judged(outcome, believed, rate=options.speed)
        truth = outcome.measured["cell1"].truth
        cells = list(outcome.cells.values())
        return found + bookkeeping(connection, truth, outcome.n_rows, cells)

    demo = Demo(
        options=options,
        about="two cells, one beam",
        scenario=scenario,
        measure=lambda session: _measure(session, believed),
        read=read,
        judge=judge,
        draw=lambda outcome: _draw(options.out, outcome),
    )
    return show(demo, console)


def _measure(session: Session, believed: dict[str, dict[str, Any]]) -> str:
    """Calibrate, look at the open beam, and follow the cells; the uid of the experiment."""
    beamline, directory = session.beamline, session.connection.directory
    session.run(prepare(beamline))
    (free,) = session.run(look(beamline, OPEN_BEAM))
    before, behind, _ = looked(session.connection, free)
    schedule_file = directory / "schedule.txt"
    plan = experiment(
        beamline,
        behind / before,
        passports=believed,
        protocols=protocols(),
        schedule_file=schedule_file,
    )
    with happenings(beamline, schedule_file, _loss_of_beam(session.connection)):
        return session.run(plan)[0]


def _loss_of_beam(connection: Connection) -> Callable[[bool], None]:
    """Takes the simulated ring's beam away, and gives it back."""
    (fault,) = Context(timeout=5).get_pvs(f"{connection.beamline}RING:FAULT")

    def lose(is_lost: bool) -> None:
        fault.wait_for_connection(timeout=10)
        fault.write([_DOWN if is_lost else _NONE], wait=True, timeout=10)

    return lose


def read(connection: Connection, operando: str) -> TwoCells:
    """What the catalogue holds of the experiment, each frame with its truth."""
    catalog, truth = Catalog(connection), truth_of(connection)
    parts, cells, histories = {}, {}, {}
    for number, (name, cell) in enumerate(catalog.run(operando).start["cells"].items(), start=1):
        runs = catalog.runs(operando=operando, kind="measurement", cell=cell["cell"]["cell"])
        parts[name] = measured(catalog, runs, truth)
        cells[name] = on_session_clock(catalog, cell["guard"]["cell_run"])
        histories[name] = History(history_path(connection.directory, number))
    return TwoCells(
        rules=notes(catalog, operando, "rules"),
        revisions=notes(catalog, operando, "schedule"),
        measured=parts,
        histories=histories,
        cells=cells,
    )


def _trace(outcome: TwoCells, name: str) -> CellTrace:
    lengths = {"survey": EXPOSURE * SURVEY_FRAMES}
    measured = {rule: outcome.spans(rule, lengths.get(rule, EXPOSURE)) for rule in _RULES[name]}
    missed = []
    for rule in _RULES[name]:
        rows = outcome.of(rule, missed=True)
        for due, reason in zip(rows["due"].to_numpy(), rows["missed"].to_numpy(), strict=True):
            missed.append((float(due), _why(reason)))
    return CellTrace(_TITLES[name], outcome.cells[name], measured, missed)


def _why(missed: str) -> str:
    """In two words."""
    if "smear" in missed:
        return "refused: smear"
    return "missed: no beam" if "no beam" in missed else "missed: beamline busy"


def _draw(out: Path, outcome: TwoCells) -> Path:
    edits = outcome.revisions["schedule_time"].to_numpy().astype(float)[1:]
    return operando_cells(
        [_trace(outcome, name) for name in _RULES],
        path=out / "operando_cells.png",
        title="Two cells, one beam: every measurement where the cell was, simulated",
        revisions=[float(edit) for edit in edits],
    )
