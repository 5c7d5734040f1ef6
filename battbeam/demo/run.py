"""This file is where the demo of diffraction is put together: one cell, patterns and maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.checks import Check
from battbeam.demo.experiment import OPEN_BEAM, Seen, experiment, exposure_for, look, prepare
from battbeam.demo.options import C_RATE, NAMES, DemoOptions, hidden_truth, passport, protocol
from battbeam.demo.reading import looked, measured, truth_of
from battbeam.demo.show import Demo, show
from battbeam.demo.verdict import Measured, verdict
from battbeam.session import Session
from battbeam.storage.catalog import Catalog


@dataclass(frozen=True)
class Outcome:
    """What a demo left.

    Attributes:
        series: Patterns at one point, and their truth.
        maps: In the order of time.
        cell: The cell run along ``time``.
    """

    series: Measured
    maps: tuple[Measured, ...]
    cell: xr.Dataset

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
    scenario = hidden_truth(options)
    believed = passport(options, scenario)

    def judge(connection: Connection, outcome: Outcome) -> list[Check]:
        found = verdict(outcome.series, outcome.maps, options=options, passport=believed)
        kept = bookkeeping(connection, outcome.series.truth, outcome.n_rows, [outcome.cell])
        return found + kept

    demo = Demo(
        options=options,
        about=f"{NAMES[options.chemistry]} cell",
        scenario=scenario,
        measure=lambda session: _measure(session, options, believed),
        read=read,
        judge=judge,
        draw=lambda outcome: _draw(options, outcome),
    )
    return show(demo, console)


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


def read(connection: Connection, operando: str) -> Outcome:
    """What the catalogue holds of an experiment, each frame with its truth."""
    catalog, truth = Catalog(connection), truth_of(connection)
    runs = catalog.runs(operando=operando, kind="measurement")
    maps = [run for run in runs if run.start["plan_name"] == "xrd_map"]
    series = [run for run in runs if run.start["plan_name"] == "xrd_series"]
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    return Outcome(
        series=measured(catalog, series, truth),
        maps=tuple(Measured(catalog.reduced(run), truth) for run in maps),
        cell=catalog.table(cell_run),
    )


def _draw(options: DemoOptions, outcome: Outcome) -> Path:
    from battbeam.plots import operando_xrd

    return operando_xrd(
        results=outcome.series.rows,
        cell=outcome.cell,
        path=options.out / "operando_xrd.png",
        title=f"{NAMES[options.chemistry]} coin cell, one cycle at {C_RATE:g}C, simulated",
        truth=_truth_lines(outcome.series, options),
    )


def _truth_lines(series: Measured, options: DemoOptions) -> xr.Dataset:
    """The hidden truth along the patterns, as the picture draws it."""
    valid = series.valid
    truth = xr.Dataset({"capacity": ("time", valid.true("charge_middle"))})
    if options.chemistry == "nmc811":
        for edge in ("a", "c"):
            truth[f"lattice_NMC811_{edge}"] = ("time", valid.true("lattice", "NMC811", edge))
    elif len(options.phases) > 1:
        for phase in options.phases:
            truth[f"phase_fraction_{phase}"] = ("time", valid.true("phase_fraction", phase))
    return truth
