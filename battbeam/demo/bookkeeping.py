"""This file is where a demo's frames and samples are counted: nothing lost, nothing twice."""

from collections.abc import Sequence

import xarray as xr

from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.connection import Connection
from battbeam.demo.checks import Check
from battbeam.demo.truth import Truth
from battbeam.storage.tail import documents


def bookkeeping(
    connection: Connection, truth: Truth, n_rows: int, cells: Sequence[xr.Dataset]
) -> list[Check]:
    """Nothing lost, nothing twice: frames and samples of the cycler.

    Args:
        connection: Of the beamline, with its spool and the cycler's files.
        truth: Of every frame.
        n_rows: Reduced, of all runs.
        cells: Every cell run.
    """
    n_asked, n_reducible = _frames_in_documents(connection)
    n_made = len(truth)
    return [
        Check("frames in the documents, of those the detector took", n_asked, n_made, 0.0, n_made),
        Check("reduced rows, of frames measured", n_rows, n_reducible, 0.0, n_reducible),
        *samples_kept(connection, cells),
    ]


def samples_kept(connection: Connection, cells: Sequence[xr.Dataset]) -> list[Check]:
    """Nothing lost, nothing twice of what the cycler recorded.

    Args:
        connection: Of the beamline, with the cycler's files.
        cells: Every cell run.
    """
    recorded = _samples_of_the_cycler(connection)
    numbers = [cell["sequence"].to_numpy().astype(int).tolist() for cell in cells]
    kept = [number for part in numbers for number in part]
    n_twice = sum(len(part) - len(set(part)) for part in numbers)
    return [
        Check("samples in the cell run, of those recorded", len(kept), recorded, 0.0, recorded),
        Check("samples in the cell run that are there twice", n_twice, 0.0, 0.0, len(kept)),
    ]


def _frames_in_documents(connection: Connection) -> tuple[int, int]:
    """Frames that events speak of: of all runs, and of those that ask for a reduction.

    Of a point that was taken again the last ones alone count there, as in the catalogue.
    """
    n_all = n_reducible = 0
    for path in connection.spool.glob("*.jsonl"):
        lines = documents(path)
        events = (line.doc["data"] for line in lines if line.name == "event")
        taken = [
            (data["point"], int(data.get("detector_n_frames", 1)))
            for data in events
            if data.get("detector_frame", -1) >= 0
        ]
        n_all += sum(n for _, n in taken)
        n_reducible += sum(dict(taken).values()) if LiveXrd.wants(lines[0].doc) else 0
    return n_all, n_reducible


def _samples_of_the_cycler(connection: Connection) -> int:
    """Rows of the cycler's own data files, below the comments and the line of column names."""
    files = (connection.directory / "sim" / "eclab").glob("*.csv")
    return sum(
        sum(not line.startswith("#") for line in path.read_text().splitlines()) - 1
        for path in files
    )
