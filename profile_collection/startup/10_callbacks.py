"""What is shown while a plan runs. It reads documents; the spool has them already."""

from battbeam.callbacks.live_tables import LiveTables

RE.subscribe(LiveTables())


def last(cell=None, technique="XRD"):
    """The reduced result of the latest run, with state_of_charge as a coordinate.

    Of one cell, by its name in the passport; of another technique: "SAXS", "XRD+SAXS", "EDXRD", "XANES".
    """
    from battbeam.connection import Connection
    from battbeam.storage.catalog import Catalog

    catalog = Catalog(Connection.read(session.connection.directory))
    runs = catalog.runs(cell=cell, technique=technique)
    reduced = [run for run in runs if catalog.reductions(run)]
    if not reduced:
        of_cell = "" if cell is None else f" of cell {cell!r}"
        raise LookupError(
            f"{len(runs)} {technique} runs{of_cell} in the catalogue, none is reduced yet; what could "
            f"not be reduced stands in {session.connection.directory / 'log' / 'reducer.log'}"
        )
    return catalog.reduced(reduced[-1])
