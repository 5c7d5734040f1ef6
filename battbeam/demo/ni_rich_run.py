"""This file is where the demo of nickel-rich cathodes is put together: two charges, one recipe."""

import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.checks import Check
from battbeam.demo.experiment import prepare
from battbeam.demo.ni_rich import OXIDES, RECIPE, NiRichOptions, hidden_truth
from battbeam.demo.ni_rich_outcome import Charge, read
from battbeam.demo.ni_rich_verdict import judged
from battbeam.demo.reading import truth_of
from battbeam.demo.show import Demo, show
from battbeam.plots_ni_rich import ChargePicture, nickel_rich_charges
from battbeam.session import Session, example_path


def run_ni_rich_demo(options: NiRichOptions, console: Console | None = None) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario = hidden_truth(options)
    recipe = runpy.run_path(str(example_path(RECIPE)))

    def judge(connection: Connection, charges: tuple[Charge, ...]) -> list[Check]:
        upper = float(recipe["PROTOCOL"]["method"][-1]["voltage_V"])
        found = judged(charges, scenario.cells, scenario.detector, upper)
        n_rows = sum(len(charge.measured) for charge in charges)
        cells = [charge.cell for charge in charges]
        return found + bookkeeping(connection, truth_of(connection), n_rows, cells)

    demo = Demo(
        options=options,
        about="two oxides charged to one voltage",
        scenario=scenario,
        measure=lambda session: _measure(session, recipe),
        read=lambda connection, _: read(connection, recipe),
        judge=judge,
        draw=lambda charges: _draw(options.out, charges),
    )
    return show(demo, console)


def _measure(session: Session, recipe: Mapping[str, Any]) -> str:
    """Calibrate, then the recipe once for each cell; the uid of the last experiment."""
    session.run(prepare(session.beamline))
    for cell in OXIDES:
        (uid, *_) = session.run(recipe["plan"](session.beamline, cell))
    return str(uid)


def _draw(out: Path, charges: Sequence[Charge]) -> Path:
    return nickel_rich_charges(
        [_picture(charge) for charge in charges],
        path=out / "ni_rich.png",
        title="Two layered oxides charged to 4.3 V: c collapses where nickel is rich, simulated",
    )


def _picture(charge: Charge) -> ChargePicture:
    return ChargePicture(
        name=charge.oxide,
        rows=charge.measured.valid.rows,
        grains=charge.grains,
        collapse=charge.collapse,
        cell=charge.cell,
        truth={
            "voltage": charge.true("voltage_middle"),
            "c": charge.true("lattice", "{}", "c"),
            "displacement": charge.true("displacement"),
            "fatigued": charge.true("fatigued", "phase_fraction", "{}"),
        },
    )
