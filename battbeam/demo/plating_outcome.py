"""This file is where it is read what the plating demo left: maps, each beside the hidden truth of its frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from battbeam.connection import Connection
from battbeam.demo.reading import on_session_clock, truth_of
from battbeam.demo.verdict import Measured
from battbeam.errors import ReductionError
from battbeam.reduction.cell_maps import CellMaps
from battbeam.reduction.inventory import capacity_of
from battbeam.reduction.maps import Map
from battbeam.sim.history import HiddenState, History, history_path
from battbeam.storage.catalog import Catalog
from battbeam.units import FloatArray

#: Times at which the hidden cell is drawn.
_N_TRUE = 600


@dataclass(frozen=True)
class PlatingOutcome:
    """What the demo left.

    Attributes:
        maps: In the order of time.
        cell: The cell run along the session's clock.
        hidden: The hidden cell in the middle of each map.
        course: The hidden cell from the first map to the last.
    """

    maps: tuple[Measured, ...]
    cell: xr.Dataset
    hidden: HiddenState
    course: HiddenState

    @property
    def n_rows(self) -> int:
        """Reduced, of all maps."""
        return sum(len(each) for each in self.maps)

    def whole(self, area: float, working_capacity: float) -> CellMaps | None:
        """What the maps say together; None if they are none.

        Args:
            area: Of the electrode, cm2.
            working_capacity: mAh that change x by 1.
        """
        try:
            return CellMaps.of(
                [named(each.rows) for each in self.maps],
                area=area,
                working_capacity=working_capacity,
            )
        except ReductionError:
            return None

    def true_metal(self, number: int) -> Map:
        """Lithium metal that truly was at each pixel of a map, mAh/cm2."""
        return self.true_map(number, "areal_moles", "Li", scale=capacity_of(1.0))

    def true_map(self, number: int, *keys: str, scale: float = 1.0) -> Map:
        """Of a map's frames, by the truth's keys."""
        measured = self.maps[number]
        found = {"true": scale * measured.true(*keys), "true_error": np.zeros(len(measured))}
        return Map.of(
            named(measured.rows.assign({name: ("time", each) for name, each in found.items()})),
            "true",
        )


def named(rows: xr.Dataset) -> Mapping[str, Any]:
    """Columns of one value a row, positions among them."""
    return {
        str(name): each.to_numpy()
        for name, each in rows.variables.items()
        if each.dims == ("time",)
    }


def all_of(maps: tuple[Measured, ...], column: str, *keys: str) -> tuple[FloatArray, ...]:
    """A column of the valid rows of all maps, its error, and the truth."""
    valid = [each.valid for each in maps]
    found = (
        [each.of(column) for each in valid],
        [each.of(f"{column}_error") for each in valid],
        [each.true(*keys) for each in valid],
    )
    return tuple(np.concatenate(part) if part else np.empty(0) for part in found)


def read(connection: Connection, operando: str) -> PlatingOutcome:
    """What the catalogue holds of the experiment, each row with its truth."""
    catalog, truth = Catalog(connection), truth_of(connection)
    runs = catalog.runs(operando=operando, kind="measurement")
    maps = tuple(Measured(catalog.reduced(run), truth) for run in runs)
    cell_run = catalog.run(operando).start["guard"]["cell_run"]
    times = np.array([float(each.rows["time_start"].mean()) for each in maps])
    history = History(history_path(connection.directory, 1))
    return PlatingOutcome(
        maps=maps,
        cell=on_session_clock(catalog, cell_run),
        hidden=history.at(times),
        course=history.at(np.linspace(times[0], times[-1], _N_TRUE)),
    )
