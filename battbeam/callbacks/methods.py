"""This file is where the method that a start document names meets what reduces by it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from battbeam.callbacks.live_edxrd import LiveEdxrd
from battbeam.callbacks.live_radiography import LiveRadiography
from battbeam.callbacks.live_run import Document, LiveRun, reduced
from battbeam.callbacks.live_saxs import LiveSaxs
from battbeam.callbacks.live_tomography import LiveTomography
from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.callbacks.reduced_run import Publish
from battbeam.callbacks.reducers import CellLogs, Reducers
from battbeam.errors import ReductionError
from battbeam.experiment.reductions import reductions_of

#: What reduces, by technique.
METHODS: tuple[type[LiveRun[Any]], ...] = (
    LiveXrd,
    LiveXanes,
    LiveTomography,
    LiveRadiography,
    LiveEdxrd,
    LiveSaxs,
)


class LiveRuns:
    """Begins the reduction that a run asks for; what runs share is made once.

    Args:
        volumes: Directory for results that are too large for a row.
        guard_log: In place of those that start documents name; None takes theirs.
    """

    def __init__(self, volumes: Path, guard_log: Path | None = None) -> None:
        logs = CellLogs()
        self._shared: Mapping[type[LiveRun[Any]], Mapping[str, Any]] = {
            LiveXrd: {"make_reducer": Reducers()},
            LiveTomography: {"volumes": volumes},
        }
        self._cell_logs = lambda path: logs(guard_log or path)

    @staticmethod
    def methods_of(start: Document) -> tuple[type[LiveRun[Any]], ...]:
        """What reduces a run, that of its ``reduction`` first; none where it asks for nothing, or
        for what is not known.
        """
        known = {method.method: method for method in METHODS}
        return tuple(known[name] for name in reductions_of(start) if name in known)

    def begin(self, method: type[LiveRun[Any]], publish: Publish) -> LiveRun[Any]:
        """The reduction of a run by one method, not yet given its start document."""
        return method(publish, cell_logs=self._cell_logs, **self._shared.get(method, {}))


def reduced_again(
    documents: Iterable[tuple[str, Document]],
    volumes: Path,
    guard_log: Path | None = None,
    *,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """Reduce a recorded run by a method that it asks for; what it gave live, to the bit.

    With other options it gives what they would have given live.

    Args:
        documents: Of the raw run, in the order in which it wrote them.
        volumes: Directory for results that are too large for a row.
        guard_log: In place of the one that its start document names.
        method: Of several; by default that of its ``reduction``.
        options: Of the method, in place of those that it asks for; those not named stay.

    Returns:
        The documents of the reduced run.

    Raises:
        ReductionError: If it asks for no reduction that is known.
    """
    found = list(documents)
    start, runs = dict(found[0][1]), LiveRuns(volumes, guard_log)
    known = [each for each in runs.methods_of(start) if method in (None, each.method)]
    if not known:
        names = ", ".join(each.method for each in METHODS)
        wanted = start.get("reduction") if method is None else method
        raise ReductionError(
            f"run {start['uid']} asks for no reduction that is known ({names}), but for {wanted!r}"
        )
    chosen = known[0]
    start["reduction"] = {**reductions_of(start)[chosen.method], **(options or {})}
    found[0] = ("start", start)
    return reduced(lambda publish: runs.begin(chosen, publish), found)
