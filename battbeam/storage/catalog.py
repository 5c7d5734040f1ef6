"""This file is where runs and reduced results are read back from the catalogue.

``raw`` and ``reduced_runs`` are catalogues of databroker: everything that it can do works on them.
`Catalog.reduced` gives one experiment's results as arrays along the cell's own clock.
"""

from pathlib import Path
from typing import Any

import httpx
import xarray as xr

from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.experiment.control_spot import ControlSpot
from battbeam.experiment.reductions import method_of_reduced, reductions_of
from battbeam.experiment.sentinel import Damage
from battbeam.storage.beam_damage import damage_of_cell
from battbeam.storage.datasets import (
    last_of_each_point,
    reduced_dataset,
    stream_dataset,
    volume_array,
)
from battbeam.storage.server import RAW, REDUCED, catalog_key


class Catalog:
    """What was measured and what came of it.

    Args:
        connection: Whose catalogue, or the directory of one.

    Raises:
        StorageError: If no catalogue answers.
    """

    def __init__(self, connection: Connection | Path) -> None:
        if not isinstance(connection, Connection):
            connection = Connection.read(Path(connection))
        self.connection = connection
        self._client = _client(connection)

    @property
    def raw(self) -> Any:
        """Measurements, experiments and cell runs: a databroker catalogue."""
        return self._client[RAW]

    @property
    def reduced_runs(self) -> Any:
        """Reductions, one run each: a databroker catalogue."""
        return self._client[REDUCED]

    def runs(
        self,
        *,
        cell: str | None = None,
        technique: str | None = None,
        kind: str | None = None,
        operando: str | None = None,
    ) -> list[Any]:
        """Runs that match everything given, in the order in which they began, oldest first.

        Args:
            cell: Its name in the passport.
            technique: ``XRD``, ...
            kind: ``measurement``, ``operando``, ``calibration`` or ``cell``.
            operando: Uid of the experiment that they belong to.
        """
        # As they came into the catalogue: of runs that waited in the spool, in the order of uids.
        came = self._matching(cell, technique, kind, operando).values()
        return sorted(came, key=lambda run: float(run.start["time"]))

    def last(
        self, *, cell: str | None = None, technique: str | None = None, kind: str | None = None
    ) -> Any:
        """The run that began last of those that match everything given.

        Raises:
            StorageError: If there is none.
        """
        found = self.runs(cell=cell, technique=technique, kind=kind)
        if not found:
            raise StorageError(
                f"no run in the catalogue with cell={cell!r}, technique={technique!r}, "
                f"kind={kind!r}"
            )
        return found[-1]

    def run(self, uid: str) -> Any:
        """The run of a uid, or of its first characters (at least 5).

        Raises:
            StorageError: If there is none, or more than one.
        """
        for runs in (self.raw, self.reduced_runs):
            try:
                return runs[uid]
            except KeyError:
                continue
            except ValueError as error:
                raise StorageError(f"uid {uid!r}: {error}") from error
        raise StorageError(f"no run with the uid {uid!r} in the catalogue")

    def reductions(self, run: Any, method: str | None = None) -> list[Any]:
        """Every reduction of a raw run, oldest first.

        Args:
            run: The raw run, or its uid.
            method: Those by one method, as ``saxs``; None is all.
        """
        from tiled.queries import Eq

        found = self.reduced_runs.search(Eq("start.analysis_of", _uid(run)))
        return [each for each in found.values() if method in (None, method_of_reduced(each.start))]

    def reduced(self, run: Any, method: str | None = None) -> xr.Dataset:
        """The latest reduction of a run, along the cell's own clock.

        Args:
            run: A raw run or its reduction, or the uid of either.
            method: Of a run that asks for several; by default that of its ``reduction``.

        Returns:
            One row a frame along ``time``, with times, voltages, state of charge, smear, validity
            and position as coordinates; patterns along ``two_theta`` (and ``q``) besides. ``attrs`` hold the
            provenance. Of a point taken twice the last frames are given.

        Raises:
            StorageError: If the run was not reduced.
        """
        reduction = self.run(run) if isinstance(run, str) else run
        if "analysis_of" not in reduction.start:
            wanted = method or next(iter(reductions_of(reduction.start)), None)
            found = self.reductions(reduction, wanted)
            if not found:
                by = f" by {method}" if method else ""
                raise StorageError(f"run {_uid(reduction)} has no reduction{by} in the catalogue")
            reduction = found[-1]
        return reduced_dataset(reduction)

    def volume(self, run: Any, number: int = 0) -> xr.DataArray:
        """One volume of a tomogram's latest reduction, 1/mm, over ``row``, ``z`` and ``x`` in mm.

        Args:
            run: A raw run or its reduction, or the uid of either.
            number: Which, of several in one run.

        Returns:
            With the row's columns (times, state of charge, ...) in ``attrs``.

        Raises:
            StorageError: If there is none.
        """
        rows = self.reduced(run)
        node = self.run(rows.attrs["uid"]).base["primary"].base
        if "volume" not in node or not 0 <= number < rows.sizes["time"]:
            raise StorageError(f"run {rows.attrs['uid']} has no volume {number}")
        return volume_array(node, number, rows.isel(time=number))

    def beam_damage(self, runs: Any, spots: ControlSpot | None = None) -> Damage:
        """Whether the beam damages a cell's measured spot, by the latest reductions.

        Args:
            runs: Runs of one cell, or their uids; or the uid of an operando experiment on one cell.
            spots: The measured and the control spot; by default as the runs' start documents say.

        Raises:
            StorageError: If runs are of several cells, not reduced, or say nothing of a control spot.
        """
        if isinstance(runs, str):
            runs = [run for run in self.runs(operando=runs) if run.start.get("reduction")]
        return damage_of_cell([self.reduced(run) for run in runs], spots)

    def table(self, run: Any, stream: str = "primary") -> xr.Dataset:
        """One stream of a run without its frames; of a point taken twice the last row.

        Args:
            run: A run or its uid.
            stream: Its name.
        """
        found = self.run(run) if isinstance(run, str) else run
        return last_of_each_point(stream_dataset(found, stream))

    def n_rows(self, uid: str, stream: str = "primary") -> int:
        """Rows that one stream of a raw run has so far; 0 where it is not there yet."""
        runs = self.raw
        if uid not in runs or stream not in runs[uid].base:
            return 0
        parts = runs[uid].base[stream].base
        return len(parts["internal"].read(["seq_num"])) if "internal" in parts else 0

    def _matching(
        self, cell: str | None, technique: str | None, kind: str | None, operando: str | None
    ) -> Any:
        from tiled.queries import Eq

        found = self.raw
        for key, value in {
            "start.cell.cell": cell,
            "start.technique": technique,
            "start.kind": kind,
            "start.operando.uid": operando,
        }.items():
            if value is not None:
                found = found.search(Eq(key, value))
        return found


def _client(connection: Connection) -> Any:
    from tiled.client import from_uri

    if not connection.catalog_uri:
        raise StorageError(
            f"{connection.directory} has no catalogue running; battbeam serve starts it"
        )
    try:
        return from_uri(connection.catalog_uri, api_key=catalog_key(connection))
    except httpx.HTTPError as error:
        raise StorageError(
            f"the catalogue at {connection.catalog_uri} does not answer ({error}); "
            f"start it with `battbeam serve {connection.directory}`"
        ) from error


def _uid(run: Any) -> str:
    return run if isinstance(run, str) else str(run.start["uid"])
