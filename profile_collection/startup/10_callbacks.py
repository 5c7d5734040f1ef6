"""What is shown while a plan runs. It reads documents; the spool has them already."""

from bluesky.callbacks.best_effort import BestEffortCallback

best_effort = BestEffortCallback()
best_effort.disable_plots()
RE.subscribe(best_effort)


def last(cell=None):
    """The reduced result of the latest diffraction run, with state_of_charge as a coordinate."""
    from battbeam.connection import Connection
    from battbeam.storage.catalog import Catalog

    catalog = Catalog(Connection.read(session.connection.directory))
    reduced = [run for run in catalog.runs(cell=cell, technique="XRD") if catalog.reductions(run)]
    if not reduced:
        raise LookupError("no run is reduced yet; is `battbeam serve` running?")
    return catalog.reduced(reduced[-1])
