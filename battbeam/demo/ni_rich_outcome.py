"""This file is where it is gathered what the demo of nickel-rich cathodes left, each cell for itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from battbeam.connection import Connection
from battbeam.demo.ni_rich import OXIDES
from battbeam.demo.reading import measured, notes, on_session_clock, truth_of
from battbeam.demo.verdict import Measured
from battbeam.reduction.coexisting import Coexisting, coexisting
from battbeam.reduction.transitions import Collapse, collapse
from battbeam.sim.history import History, history_path
from battbeam.storage.catalog import Catalog
from battbeam.units import AnyArray, FloatArray

#: V up to where c is followed: both cells are compared there, and both have rows beyond.
COMPARED = 4.29
# Share of its current from which on a row is of the slow charge; the protocol's step is the third.
_OF_THE_CURRENT = 0.97


@dataclass(frozen=True)
class Charge:
    """One cell's charge.

    Attributes:
        name: Of the cell, as the recipe has it.
        oxide: Its active material.
        start: Start document of its experiment.
        measured: Reduced rows in the order of time, each with its truth.
        rules: Every time that its rule was met.
        cell: The cell run, on the session's clock.
        history: The hidden cell.
        current: Of the slow charge, A.
    """

    name: str
    oxide: str
    start: Mapping[str, Any]
    measured: Measured
    rules: xr.Dataset
    cell: xr.Dataset
    history: History
    current: float

    def of(self, column: str) -> FloatArray:
        """A column of the valid rows, in which ``{}`` stands for the oxide."""
        return self.measured.valid.of(column.format(self.oxide))

    def true(self, *keys: str) -> FloatArray:
        """The truth of the valid rows, likewise."""
        return self.measured.valid.true(*(key.format(self.oxide) for key in keys))

    @property
    def is_slow(self) -> AnyArray:
        """Rows of the slow charge: before it more current flows, and less while the voltage is held."""
        return np.abs(self.of("current") / self.current - 1) < 1 - _OF_THE_CURRENT

    @property
    def grains(self) -> Coexisting:
        """Grains that stopped, and c of the others."""
        return coexisting(
            self.of("lattice_{}_c"),
            self.of("lattice_{}_c_error"),
            fraction=self.of("fatigued_fraction_{}"),
            fraction_error=self.of("fatigued_fraction_{}_error"),
            stopped=self.of("lattice_{}_c_fatigued"),
            stopped_error=self.of("lattice_{}_c_fatigued_error"),
        )

    @property
    def collapse(self) -> Collapse:
        """Of c of the grains that went on, on the slow charge."""
        slow, grains = self.is_slow, self.grains
        return collapse(
            self.of("voltage")[slow],
            grains.edge[slow],
            grains.edge_error[slow],
            upper_voltage=COMPARED,
        )

    @property
    def expected_edge(self) -> FloatArray:
        """c that each row should have, angstrom: of the grains that went on where it tells both apart,
        else the mean.
        """
        others = self.true("lattice", "{}", "c")
        stopped = np.nan_to_num(self.true("fatigued", "lattice", "{}", "c"))
        share = np.nan_to_num(self.true("fatigued", "phase_fraction", "{}"))
        told = np.isfinite(self.of("fatigued_fraction_{}"))
        return np.where(told, others, (1 - share) * others + share * stopped)


def read(connection: Connection, recipe: Mapping[str, Any]) -> tuple[Charge, ...]:
    """What the catalogue holds of both experiments, each frame with its truth.

    Args:
        connection: Of the beamline, which still serves.
        recipe: Names of the recipe.
    """
    catalog, truth = Catalog(connection), truth_of(connection)
    nominal = float(recipe["PASSPORT"]["nominal_capacity"])
    rate = float(recipe["PROTOCOL"]["method"][-2]["rate_C"])
    charges = []
    for run in catalog.runs(kind="operando"):
        start = run.start
        ((name, told),) = start["cells"].items()
        number = list(OXIDES).index(name) + 1
        runs = catalog.runs(operando=start["uid"], kind="measurement")
        charges.append(
            Charge(
                name=name,
                oxide=OXIDES[name][0],
                start=start,
                measured=measured(catalog, runs, truth),
                rules=notes(catalog, start["uid"], "rules"),
                cell=on_session_clock(catalog, told["guard"]["cell_run"]),
                history=History(history_path(connection.directory, number)),
                current=1e-3 * nominal * rate,
            )
        )
    return tuple(charges)
