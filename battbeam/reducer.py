"""This file is where frames are reduced as they arrive: raw spool and guard's log in, reduced spool out.

It is a pure function of documents and log, so a reducer that was killed starts again from the beginning of
each unfinished run, and what the reduced spool holds already is passed over.
"""

import logging
import threading
from collections.abc import Callable

from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.callbacks.reducers import CellLogs, Reducers
from battbeam.connection import Connection
from battbeam.storage.progress import closed_runs, first_document
from battbeam.storage.spool import Spool
from battbeam.storage.tail import SpoolLine, SpoolReader

#: Wall seconds between two looks at spool and logs.
INTERVAL = 0.05

_log = logging.getLogger(__name__)


def run_reducer(
    connection: Connection, *, stop: threading.Event, when_ready: Callable[[], None] = lambda: None
) -> None:
    """Reduce what asks for it until ``stop`` is set.

    Args:
        connection: Of the beamline.
        stop: Ends it; what is not reduced then is reduced by the next reducer.
        when_ready: Called once it reads.

    Raises:
        StorageError: If the reduced spool cannot be written.
    """
    with Spool(connection.reduced_spool, resume=True) as spool:
        reducer = LiveReducer(connection, spool)
        when_ready()
        while not stop.is_set():
            if not reducer.work():
                stop.wait(INTERVAL)


class LiveReducer:
    """The runs that are being reduced.

    Args:
        connection: Of the beamline.
        publish: Takes the documents of all reduced runs.
    """

    def __init__(self, connection: Connection, publish: Callable[..., None]) -> None:
        self._reader = SpoolReader(connection.spool)
        self._publish = publish
        self._reducers, self._logs = Reducers(), CellLogs()
        self._open: dict[str, LiveXrd] = {}
        for uid in reduced_already(connection):
            self._reader.forget(uid)

    def work(self) -> int:
        """Take in what is new and reduce what can be; how much there was to do."""
        lines = self._reader.poll()
        for line in lines:
            self._take(line)
        n_reduced = sum(live.poll() for live in list(self._open.values()))
        self._open = {uid: live for uid, live in self._open.items() if not live.is_finished}
        return len(lines) + n_reduced

    def _take(self, line: SpoolLine) -> None:
        if line.name == "start":
            if not LiveXrd.wants(line.doc):
                self._reader.forget(line.uid)
                return
            self._open[line.uid] = LiveXrd(
                self._publish, make_reducer=self._reducers, cell_logs=self._logs
            )
            _log.info("reducing run %s", line.uid)
        if line.uid in self._open:
            self._open[line.uid](line.name, line.doc)


def reduced_already(connection: Connection) -> set[str]:
    """Uids of raw runs whose reduction is closed."""
    starts = (
        first_document(connection.reduced_spool / f"{uid}.jsonl")
        for uid in closed_runs(connection.reduced_spool)
    )
    return {str(start.doc["analysis_of"]) for start in starts if start is not None}
