"""This file is where the demo of the schedule runs: two cells, one beam, the verdict."""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from caproto.threading.client import Context
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo import report
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.checks import Check, all_passed
from battbeam.demo.experiment import OPEN_BEAM, look, prepare
from battbeam.demo.run import PUBLISH_TIMEOUT, looked, prepare_directory
from battbeam.demo.truth import Truth
from battbeam.demo.two_cells import ScheduleOptions, hidden_truth, passports, protocols
from battbeam.demo.two_cells_experiment import (
    EXPOSURE,
    SURVEY_FRAMES,
    experiment,
    happenings,
)
from battbeam.demo.two_cells_verdict import TwoCells, judged
from battbeam.demo.verdict import Measured
from battbeam.experiment.clock_relation import clock_relation
from battbeam.plots import CellTrace, operando_cells
from battbeam.serve import Services
from battbeam.session import Session, open_session
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
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
    screen = console or Console(stderr=True)
    began = time.monotonic()
    prepare_directory(options.out)
    scenario = hidden_truth(options)
    believed = passports(scenario)
    screen.print(
        f"[bold]battbeam demo schedule[/]: two cells, one beam, seed {options.seed}, "
        f"{options.speed:g}x; output in {options.out}"
    )
    with SimulatedBeamline(scenario, options.out) as simulated:
        connection = simulated.start()
        with Services(connection) as services, open_session(options.out) as session:
            screen.print(f"beamline and catalogue serve after {time.monotonic() - began:.0f} s")
            with report.progress(session.beamline, screen):
                operando = _measure(session, believed)
            screen.print("waiting for the catalogue")
            services.wait_published(timeout=PUBLISH_TIMEOUT)
            outcome, n_rows = read(connection, operando)
    found = judged(outcome, believed, rate=options.speed)
    truth = outcome.measured["cell1"].truth
    found += bookkeeping(connection, truth, n_rows, list(outcome.cells.values()))
    _leave(options, outcome, found, screen, time.monotonic() - began)
    return all_passed(found)


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


def read(connection: Connection, operando: str) -> tuple[TwoCells, int]:
    """What the catalogue holds of the experiment, each frame with its truth; and all its rows."""
    catalog, truth = Catalog(connection), Truth(connection.directory / "sim" / "truth.jsonl")
    start = catalog.run(operando).start
    measured, cells, histories, n_rows = {}, {}, {}, 0
    for number, (name, cell) in enumerate(start["cells"].items(), start=1):
        runs = catalog.runs(operando=operando, kind="measurement", cell=cell["cell"]["cell"])
        rows = xr.concat(
            [catalog.reduced(run) for run in runs], dim="time", combine_attrs="drop_conflicts"
        )
        n_rows += int(rows.sizes["time"])
        measured[name] = Measured(rows.sortby("time"), truth)
        cells[name] = _on_session_clock(catalog, cell["guard"]["cell_run"])
        histories[name] = History(history_path(connection.directory, number))
    outcome = TwoCells(
        rules=_notes(catalog, operando, "rules"),
        revisions=_notes(catalog, operando, "schedule"),
        measured=measured,
        histories=histories,
        cells=cells,
        operando=operando,
    )
    return outcome, n_rows


def _on_session_clock(catalog: Catalog, cell_run: str) -> xr.Dataset:
    """A cell run along the session's clock: its samples are dated by the cycler's own."""
    samples, clock = catalog.table(cell_run), catalog.table(cell_run, "clock")
    columns = ("device_time", "session_time", "uncertainty")
    relation = clock_relation(**{name: clock[name].to_numpy().astype(float) for name in columns})
    times = samples["time"].to_numpy().astype(float)
    seen = [relation.session_time(float(time)) for time in times]
    return samples.assign_coords(time=("time", np.array(seen)))


def _notes(catalog: Catalog, operando: str, stream: str) -> xr.Dataset:
    """A stream of notes, its columns without the stream's name before them."""
    table = catalog.table(operando, stream)
    names = {str(name): str(name).removeprefix(f"{stream}_") for name in table.data_vars}
    return table.rename({old: new for old, new in names.items() if new not in (old, "time")})


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


def _leave(
    options: ScheduleOptions,
    outcome: TwoCells,
    found: list[Check],
    screen: Console,
    seconds: float,
) -> None:
    """The table, ``result.json``, the picture, and where to look further."""
    result = {
        "checks": [check.as_json() for check in found],
        "passed": all_passed(found),
        "seconds": round(seconds, 1),
        "options": {key: str(value) for key, value in vars(options).items()},
        "operando": outcome.operando,
    }
    (options.out / "result.json").write_text(json.dumps(result, indent=2, default=float) + "\n")
    edits = outcome.revisions["schedule_time"].to_numpy().astype(float)[1:]
    picture = operando_cells(
        [_trace(outcome, name) for name in _RULES],
        path=options.out / "operando_cells.png",
        title="Two cells, one beam: every measurement where the cell was, simulated",
        revisions=[float(edit) for edit in edits],
    )
    report.table(found, screen)
    report.closing(options.out, outcome.operando, picture, seconds, all_passed(found), screen)
