"""This file is where one asks how far the catalogue is behind the disk."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.experiment.reductions import method_of_reduced, reductions_of
from battbeam.storage.catalog import Catalog
from battbeam.storage.cell_run import CellRunTail, Mounts
from battbeam.storage.recover import ends_with_stop
from battbeam.storage.tail import RunTail, SpoolLine, run_files


def closed_runs(directory: Path) -> set[str]:
    """Uids of the runs of a spool directory that hold their stop document."""
    return {path.stem for path in run_files(directory) if ends_with_stop(path)}


def first_document(path: Path) -> SpoolLine | None:
    """The start document of a spool file; None while it is not there."""
    lines = RunTail(path).read()
    return lines[0] if lines else None


def closed_methods(connection: Connection) -> dict[str, set[str]]:
    """By uid of a raw run, the methods whose reductions of it are closed."""
    found: dict[str, set[str]] = {}
    for uid in closed_runs(connection.reduced_spool):
        start = first_document(connection.reduced_spool / f"{uid}.jsonl")
        if start is not None:
            methods = found.setdefault(str(start.doc.get("analysis_of")), set())
            methods.add(method_of_reduced(start.doc))
    return found


def closed_reductions(connection: Connection) -> set[str]:
    """Uids of the raw runs of which every reduction that they ask for is closed."""
    found = set()
    for uid, closed in closed_methods(connection).items():
        start = first_document(connection.spool / f"{uid}.jsonl")
        if start is None or closed >= set(reductions_of(start.doc)):
            found.add(uid)
    return found


def unreduced(connection: Connection) -> set[str]:
    """Uids of closed raw runs that ask for reductions of which not every one is closed."""
    wanted = set()
    for uid in closed_runs(connection.spool):
        start = first_document(connection.spool / f"{uid}.jsonl")
        if start is not None and reductions_of(start.doc):
            wanted.add(uid)
    return wanted - closed_reductions(connection)


def samples_in_logs(connection: Connection) -> dict[str, int]:
    """How many samples the guards' logs hold now, by uid of the cell run."""
    found = {}
    for guard in connection.guards.values():
        for uid, offset in Mounts(guard.log).read():
            cell = CellRunTail(guard.log, offset)
            streams: dict[str, str] = {}
            n_samples = 0
            while documents := cell.read():
                for name, doc in documents:
                    if name == "descriptor":
                        streams[doc["uid"]] = doc["name"]
                    elif name == "event":
                        n_samples += streams[doc["descriptor"]] == "primary"
            found[uid] = n_samples
    return found


def unpublished(
    connection: Connection, *, reduce: bool = True, samples: Mapping[str, int] | None = None
) -> list[str]:
    """What is closed on the disk and not yet in the catalogue, one sentence each.

    Args:
        connection: Whose spools and catalogue.
        reduce: Whether runs that wait for their reduction count.
        samples: How many samples each cell run must have.
    """
    waiting = [f"{uid} is not reduced" for uid in sorted(unreduced(connection))] if reduce else []
    if waiting:
        return waiting
    try:
        catalog = Catalog(connection)
        for directory, runs in (
            (connection.spool, catalog.raw),
            (connection.reduced_spool, catalog.reduced_runs),
        ):
            there = {uid for uid, run in runs.items() if "stop" in run.metadata}
            waiting += [f"{uid} is not published" for uid in sorted(closed_runs(directory) - there)]
        for uid, n_samples in (samples or {}).items():
            n_there = catalog.n_rows(uid)
            if n_there < n_samples:
                waiting.append(f"{uid} has {n_there} of {n_samples} samples")
    except (StorageError, httpx.HTTPError) as error:
        waiting.append(f"everything: {error}")
    return waiting
