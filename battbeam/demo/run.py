"""This file is where the demo runs: the simulated beamline, the experiment, the catalogue, the verdict."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from battbeam.connection import FILE_NAME, Connection
from battbeam.demo import report
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.checks import Check, all_passed
from battbeam.demo.experiment import OPEN_BEAM, Seen, experiment, exposure_for, look, prepare
from battbeam.demo.options import C_RATE, NAMES, DemoOptions, hidden_truth, passport, protocol
from battbeam.demo.truth import Truth
from battbeam.demo.verdict import Measured, verdict
from battbeam.errors import PreflightError, StorageError
from battbeam.serve import Services
from battbeam.session import Session, open_session
from battbeam.sim.run import SimulatedBeamline
from battbeam.storage.catalog import Catalog
from battbeam.storage.tail import documents

#: Wall seconds that the catalogue may take to have everything after the last frame.
PUBLISH_TIMEOUT = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a demo left.

    Attributes:
        series: Patterns at one point, and their truth.
        maps: In the order of time.
        cell: The cell run along ``time``.
        operando: Uid of the experiment.
    """

    series: Measured
    maps: tuple[Measured, ...]
    cell: xr.Dataset
    operando: str

    @property
    def n_rows(self) -> int:
        """Reduced, of all runs."""
        return sum(len(part) for part in (self.series, *self.maps))


def run_demo(options: DemoOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    screen = console or Console(stderr=True)
    began = time.monotonic()
    prepare_directory(options.out)
    scenario = hidden_truth(options)
    believed = passport(options, scenario)
    screen.print(
        f"[bold]battbeam demo[/]: {NAMES[options.chemistry]} cell, seed {options.seed}, "
        f"{options.speed:g}x; output in {options.out}"
    )
    with SimulatedBeamline(scenario, options.out) as simulated:
        connection = simulated.start()
        with Services(connection) as services, open_session(options.out) as session:
            screen.print(f"beamline and catalogue serve after {time.monotonic() - began:.0f} s")
            with report.progress(session.beamline, screen):
                operando = _measure(session, options, believed)
            screen.print("waiting for the catalogue")
            services.wait_published(timeout=PUBLISH_TIMEOUT)
            outcome = read(connection, operando)
    found = verdict(outcome.series, outcome.maps, options=options, passport=believed)
    found += bookkeeping(connection, outcome.series.truth, outcome.n_rows, [outcome.cell])
    _leave(options, outcome, found, screen, time.monotonic() - began)
    return all_passed(found)


def prepare_directory(out: Path) -> None:
    """An empty directory; an older demo's is emptied, anything else is left alone.

    Raises:
        PreflightError: If there is something else in it.
    """
    if out.exists() and any(out.iterdir()) and not (out / FILE_NAME).exists():
        raise PreflightError(
            "battbeam demo", [f"--out {out} holds something else; name a new or empty directory"]
        )
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)


def _measure(session: Session, options: DemoOptions, believed: dict[str, Any]) -> str:
    """Calibrate, look, and follow the cell; the uid of the experiment."""
    beamline = session.beamline
    session.run(prepare(beamline))
    (free,) = session.run(look(beamline, OPEN_BEAM))
    (probe,) = session.run(look(beamline, 0.0))
    before, behind, _ = looked(session.connection, free)
    *_, counts = looked(session.connection, probe)
    seen = Seen(transmission_reference=behind / before, exposure=exposure_for(counts))
    plan = experiment(beamline, options, seen, passport=believed, protocol=protocol(options))
    return session.run(plan)[0]


def looked(connection: Connection, uid: str) -> tuple[float, float, float]:
    """Counts before and behind the cell and on the detector, of a look."""
    from battbeam.callbacks.frames import FrameFile

    frame = counts = None
    for line in documents(connection.spool / f"{uid}.jsonl"):
        if line.name == "stream_resource":
            frame = FrameFile.of_resource(line.doc)
        elif line.name == "event" and "i0" in line.doc["data"]:
            data = line.doc["data"]
            counts = (
                float(data["i0"]),
                float(data["transmission_counts"]),
                int(data["detector_frame"]),
            )
    pixels = None if frame is None or counts is None else frame.frame(counts[2])
    if frame is None or counts is None or pixels is None:
        raise StorageError(f"run {uid} has no frame")
    frame.close()
    return counts[0], counts[1], float(np.sum(pixels))


def read(connection: Connection, operando: str) -> Outcome:
    """What the catalogue holds of an experiment, each frame with its truth."""
    catalog, truth = Catalog(connection), Truth(connection.directory / "sim" / "truth.jsonl")
    runs = catalog.runs(operando=operando, kind="measurement")
    maps = [run for run in runs if run.start["plan_name"] == "xrd_map"]
    series = [run for run in runs if run.start["plan_name"] == "xrd_series"]
    rows = xr.concat(
        [catalog.reduced(run) for run in series], dim="time", combine_attrs="drop_conflicts"
    )
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    return Outcome(
        series=Measured(rows.sortby("time"), truth),
        maps=tuple(Measured(catalog.reduced(run), truth) for run in maps),
        cell=catalog.table(cell_run),
        operando=operando,
    )


def _leave(
    options: DemoOptions, outcome: Outcome, found: list[Check], screen: Console, seconds: float
) -> None:
    """The table, ``result.json``, the picture, and where to look further."""
    from battbeam.plots import operando_xrd

    result = {
        "checks": [check.as_json() for check in found],
        "passed": all_passed(found),
        "seconds": round(seconds, 1),
        "options": {key: str(value) for key, value in vars(options).items()},
        "operando": outcome.operando,
    }
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    picture = operando_xrd(
        results=outcome.series.rows,
        cell=outcome.cell,
        path=options.out / "operando_xrd.png",
        title=f"{NAMES[options.chemistry]} coin cell, one cycle at {C_RATE:g}C, simulated",
        truth=report.truth_lines(outcome.series, options),
    )
    report.table(found, screen)
    report.closing(options.out, outcome.operando, picture, seconds, all_passed(found), screen)
