"""This file is where what every live reduction has in common is: it takes a raw run's documents,
waits for pixels and for the cell's log, and writes one row after the other.
"""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from event_model import unpack_event_page

from battbeam.callbacks.cell_lookup import CellLookup
from battbeam.callbacks.reduced_run import Publish, ReducedRun
from battbeam.callbacks.reducers import CellLogs
from battbeam.errors import ReductionError
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.reductions import reductions_of

#: Wall s that an item waits for the cell's log, and for its own pixels.
LOG_PATIENCE, FRAME_DEADLINE = 40.0, 30.0

_log = logging.getLogger(__name__)

Document = Mapping[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True)
class _Waiting(Generic[Item]):
    item: Item
    since: float


class LiveRun(ABC, Generic[Item]):
    """Reduces one run and publishes a reduced run, a row an item: a frame, a spectrum, a tomogram.

    Call it with the raw run's documents in their order, and `poll` it in between: an item waits
    until it is whole and the cell's log covers its exposure. Rows come in the order of the items.

    Args:
        publish: Takes the documents of the reduced run.
        cell_logs: Of the guards; give the same to several runs, and each is read once.

    Attributes:
        method: Of `reduction` in a start document.
        noun: What an item is called.
        n_skipped: Items that could not be reduced for a reason that nobody foresaw.
        uid: Of the reduced run; empty before its start.
        is_finished: Whether the reduced run is closed.
    """

    method: ClassVar[str]
    noun: ClassVar[str] = "frame"

    def __init__(
        self, publish: Publish, *, cell_logs: Callable[[Path], CellLog] | None = None
    ) -> None:
        self._publish = publish
        self._cell_logs = cell_logs or CellLogs()
        self._waiting: deque[_Waiting[Item]] = deque()
        self._stop: Document | None = None
        self._fault = self.uid = ""
        self.n_skipped = 0
        self.is_finished = False

    @classmethod
    def wants(cls, start: Document) -> bool:
        """Whether a run asks to be reduced by this method."""
        return cls.method in reductions_of(start)

    # What a technique is.

    @abstractmethod
    def _open(self, start: Document) -> Mapping[str, Any]:
        """Take the start document; everything besides the run that decides on the result.

        Raises:
            ReductionError: If the run cannot be reduced.
        """

    @abstractmethod
    def _take(self, name: str, doc: Document) -> Sequence[Item]:
        """Take a document between start and stop; items that it makes whole or announces."""

    @abstractmethod
    def _time_end(self, item: Item) -> float:
        """End of an item's exposure, s since the epoch on the session's clock; NaN: not known."""

    @abstractmethod
    def _reduce(self, item: Item) -> None:
        """Write the row of an item."""

    def _is_there(self, item: Item) -> bool:
        """Whether all that was measured can be read."""
        return True

    def _rest(self) -> Sequence[Item]:
        """Items that only the end of the run makes whole."""
        return ()

    def _close(self) -> None:
        """Give back what was opened."""
        return

    # What all do.

    @property
    def n_pending(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def __call__(self, name: str, doc: Document, *, wall: float | None = None) -> None:
        """Take one document of the raw run.

        Args:
            name: Of the document.
            doc: The document.
            wall: Monotonic wall time, s.
        """
        if name == "start":
            self._start(doc)
            return
        now = time.monotonic() if wall is None else wall
        if name == "stop":
            self._stop, items = doc, list(self._rest())
        elif name == "event_page":
            items = [
                item for event in unpack_event_page(doc) for item in self._take("event", event)
            ]
        else:
            items = list(self._take(name, doc))
        self._waiting.extend(_Waiting(item, now) for item in items)

    def poll(self, wall: float | None = None) -> int:
        """Reduce what can be reduced now; never waits.

        Args:
            wall: Monotonic wall time, s.

        Returns:
            Items that were dealt with.
        """
        return self._work(time.monotonic() if wall is None else wall)

    def finish(self) -> None:
        """Deal with everything at once: what is not there by now will not come."""
        self._work(math.inf)

    def _start(self, doc: Document) -> None:
        self._raw_uid, self._raw_time = str(doc["uid"]), float(doc["time"])
        # Of several reductions each sees its own, as if the run had asked for no other.
        doc = {**doc, "reduction": reductions_of(doc).get(self.method, doc.get("reduction") or {})}
        try:
            parameters = self._open(doc)
        except ReductionError as fault:
            self._fail(fault)
            parameters = {"refused": self._fault, "method": self.method}
        self._run = ReducedRun(doc, parameters, self._publish)
        self.uid = self._run.uid
        self._cell = CellLookup(doc, self._cell_logs)

    def _fail(self, fault: Exception) -> None:
        self._fault = str(fault)
        _log.error("run %s cannot be reduced: %s", self._raw_uid, fault)

    def _work(self, wall: float) -> int:
        if self.is_finished:
            return 0
        if self._waiting:
            self._cell.refresh()
        n_done = 0
        while self._waiting and self._deal_with(self._waiting[0], wall):
            self._waiting.popleft()
            n_done += 1
        if self._stop is not None and not self._waiting:
            self._end(self._stop)
        return n_done

    def _deal_with(self, waiting: _Waiting[Item], wall: float) -> bool:
        """Whether the item is done with."""
        item, age = waiting.item, wall - waiting.since
        if self._fault:
            return True
        if age < FRAME_DEADLINE and not self._is_there(item):
            return False
        if age < LOG_PATIENCE and not self._cell.covers(self._time_end(item)):
            return False
        try:
            self._reduce(item)
        except Exception:
            # The edge of a live callback: one item that nobody foresaw must not end the beamtime.
            self.n_skipped += 1
            _log.exception("run %s, %s: skipped", self._raw_uid, self._named(item))
        return True

    def _named(self, item: Item) -> str:
        """Which item, for a message."""
        return str(item)

    def _end(self, stop: Document) -> None:
        self.is_finished = True
        self._close()
        failed = self._fault or (stop["exit_status"] != "success" and "the raw run did not succeed")
        reason = self._fault or str(stop.get("reason", ""))
        if self.n_skipped:
            reason = f"{reason}; {self.n_skipped} {self.noun}(s) skipped".removeprefix("; ")
        self._run.stop(float(stop["time"]), "fail" if failed else "success", reason)


def reduced(
    live: Callable[[Publish], LiveRun[Any]], documents: Iterable[tuple[str, Document]]
) -> list[tuple[str, dict[str, Any]]]:
    """Reduce a recorded run; the same documents as it gave live, to the bit.

    Args:
        live: Makes the reduction, given where its documents go.
        documents: Of the raw run, in the order in which it wrote them.

    Returns:
        The documents of the reduced run.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    run = live(lambda name, doc: found.append((name, doc)))
    for name, doc in documents:
        run(name, doc)
    run.finish()
    return found
