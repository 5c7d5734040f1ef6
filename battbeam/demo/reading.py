"""This file is where it is read what a demo left: in the catalogue, in the spool, and of the hidden truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from battbeam.callbacks.frames import FrameFile
from battbeam.connection import Connection
from battbeam.demo.truth import Truth
from battbeam.demo.verdict import Measured
from battbeam.errors import StorageError
from battbeam.experiment.clock_relation import clock_relation
from battbeam.storage.catalog import Catalog
from battbeam.storage.tail import documents


def truth_of(connection: Connection) -> Truth:
    """The hidden truth of every frame that was taken."""
    return Truth(connection.directory / "sim" / "truth.jsonl")


def measured(catalog: Catalog, runs: Sequence[Any], truth: Truth) -> Measured:
    """The reduced rows of several runs in the order of time, each with its truth."""
    rows = xr.concat(
        [catalog.reduced(run) for run in runs], dim="time", combine_attrs="drop_conflicts"
    )
    return Measured(rows.sortby("time"), truth)


def on_session_clock(catalog: Catalog, cell_run: str) -> xr.Dataset:
    """A cell run along the session's clock: its samples are dated by the cycler's own."""
    samples, clock = catalog.table(cell_run), catalog.table(cell_run, "clock")
    columns = ("device_time", "session_time", "uncertainty")
    relation = clock_relation(**{name: clock[name].to_numpy().astype(float) for name in columns})
    times = samples["time"].to_numpy().astype(float)
    seen = [relation.session_time(float(time)) for time in times]
    return samples.assign_coords(time=("time", np.array(seen)))


def notes(catalog: Catalog, operando: str, stream: str) -> xr.Dataset:
    """A stream of notes, its columns without the stream's name before them."""
    table = catalog.table(operando, stream)
    names = {str(name): str(name).removeprefix(f"{stream}_") for name in table.data_vars}
    return table.rename({old: new for old, new in names.items() if new not in (old, "time")})


def looked(connection: Connection, uid: str) -> tuple[float, float, float]:
    """Counts before and behind the cell and on the detector, of a look.

    Raises:
        StorageError: If it took no frame.
    """
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
