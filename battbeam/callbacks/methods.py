"""This file is where the method that a start document names meets what reduces by it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from battbeam.callbacks.live_radiography import LiveRadiography
from battbeam.callbacks.live_run import Document, LiveRun, reduced
from battbeam.callbacks.live_tomography import LiveTomography
from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.callbacks.reduced_run import Publish
from battbeam.callbacks.reducers import CellLogs, Reducers
from battbeam.errors import ReductionError

#: What reduces, by technique.
METHODS: tuple[type[LiveRun[Any]], ...] = (LiveXrd, LiveXanes, LiveTomography, LiveRadiography)


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
    def method_of(start: Document) -> type[LiveRun[Any]] | None:
        """What reduces a run; None where it asks for nothing, or for what is not known."""
        return next((method for method in METHODS if method.wants(start)), None)

    def begin(self, start: Document, publish: Publish) -> LiveRun[Any]:
        """The reduction of a run, not yet given its start document.

        Raises:
            ReductionError: If it asks for none that is known.
        """
        method = self.method_of(start)
        if method is None:
            known = ", ".join(each.method for each in METHODS)
            raise ReductionError(
                f"run {start['uid']} asks for no reduction that is known ({known}), but for "
                f"{start.get('reduction')!r}"
            )
        return method(publish, cell_logs=self._cell_logs, **self._shared.get(method, {}))


def reduced_again(
    documents: Iterable[tuple[str, Document]],
    volumes: Path,
    guard_log: Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """Reduce a recorded run by the method that it asks for; what it gave live, to the bit.

    With other options it gives what they would have given live.

    Args:
        documents: Of the raw run, in the order in which it wrote them.
        volumes: Directory for results that are too large for a row.
        guard_log: In place of the one that its start document names.
        options: Of the method, in place of those that it asks for; those not named stay.

    Returns:
        The documents of the reduced run.

    Raises:
        ReductionError: If it asks for no reduction that is known.
    """
    found = list(documents)
    start, runs = dict(found[0][1]), LiveRuns(volumes, guard_log)
    if options:
        start["reduction"] = {**(start.get("reduction") or {}), **options}
        found[0] = ("start", start)
    return reduced(lambda publish: runs.begin(start, publish), found)
