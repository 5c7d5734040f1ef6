"""This file is where documents go from the disk to the catalogue, in a process of its own.

Sources are spool directories and guards' logs; the catalogue may be slow, down or started again:
nothing is lost, because everything is read again from the disk, and nothing is there twice, because
a run that is begun again passes over what is there (`RunPublisher`). No position is kept anywhere:
what the catalogue holds is asked of the catalogue.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx

from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.storage.cell_run import CellRunTail, Mounts
from battbeam.storage.server import RAW, REDUCED, catalog_key
from battbeam.storage.tail import POLL_INTERVAL, RunTail, run_files

#: Wall seconds a row may wait for others: a request costs the server as much as 60 rows.
RAW_LATENCY, REDUCED_LATENCY, CELL_LATENCY = 0.8, 0.4, 1.0
#: Wall seconds before what failed is tried again: first, and at most.
FIRST_RETRY, LONGEST_RETRY = 0.5, 10.0
#: Wall seconds that a request may take.
TIMEOUT = 20.0
#: What a tiled that is down, slow or in the middle of something answers with.
_REFUSALS = (httpx.HTTPError, StorageError, KeyError, ValueError, TypeError)

_log = logging.getLogger(__name__)


class _Tail(Protocol):
    """Hands out a run's documents, each once, as they appear."""

    @property
    def is_complete(self) -> bool: ...

    def read(self) -> list[tuple[str, dict[str, Any]]]: ...


class _SpoolTail:
    """The same for a run in a spool directory."""

    def __init__(self, path: Path) -> None:
        self._tail = RunTail(path)

    @property
    def is_complete(self) -> bool:
        return self._tail.is_complete

    def read(self) -> list[tuple[str, dict[str, Any]]]:
        return [(line.name, line.doc) for line in self._tail.read()]


@dataclass
class _Run:
    """One run on its way.

    Attributes:
        open_tail: Begins again at the run's start document.
        latency: Wall s that a row may wait for others.
        since: When the oldest row that waits was read; infinite when none waits.
        not_before: When to try again after a failure.
    """

    uid: str
    catalog: str
    open_tail: Callable[[], _Tail]
    latency: float
    tail: _Tail | None = None
    publisher: Any = None
    since: float = float("inf")
    not_before: float = 0.0
    n_failures: int = 0
    reason: str = ""
    is_done: bool = False

    def begin_again(self, reason: str) -> None:
        """Forget what was handed in; wait longer each time."""
        self.tail = self.publisher = None
        self.since = float("inf")
        wait = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(self.n_failures, 10))
        self.not_before = time.monotonic() + wait
        self.n_failures += 1
        if reason != self.reason:
            _log.warning("run %s: not published, tried again: %s", self.uid, reason)
        self.reason = reason


class Publisher:
    """Keeps the catalogue up to date with the disk.

    Args:
        connection: Whose spools, guards' logs and catalogue.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._catalogs: dict[str, Any] = {}
        self._complete: dict[str, set[str]] = {RAW: set(), REDUCED: set()}
        self._runs: dict[str, _Run] = {}
        self._known: set[str] = set()
        self._mounts = {name: Mounts(guard.log) for name, guard in self.connection.guards.items()}
        self._retry_at = 0.0

    @property
    def waiting(self) -> Mapping[str, str]:
        """The runs that could not be published so far, and why."""
        return {run.uid: run.reason for run in self._runs.values() if run.n_failures}

    def run(
        self, stop: threading.Event, *, when_connected: Callable[[], None] | None = None
    ) -> None:
        """Publish until ``stop`` is set, then what is left on disk.

        Args:
            stop: Ends it.
            when_connected: Called once, when the catalogue first answers.
        """
        while not stop.is_set():
            has_moved = self.step()
            if when_connected is not None and self._catalogs:
                when_connected()
                when_connected = None
            if not has_moved:
                stop.wait(POLL_INTERVAL)
        self.finish()

    def finish(self, *, timeout: float = 3.0) -> None:
        """Publish what is on disk now, as far as it goes within ``timeout`` wall s."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.step(flush=True):
            pass

    def step(self, *, flush: bool = False) -> bool:
        """Read what is new, write what is due; whether there was anything."""
        if not self._is_connected():
            return False
        self._discover()
        has_moved = False
        for run in list(self._runs.values()):
            if run.not_before > time.monotonic():
                continue
            try:
                has_moved = self._advance(run, flush=flush) or has_moved
            except httpx.TransportError as error:
                run.begin_again(repr(error))
                self._disconnect(error)
                return False
            except _REFUSALS as error:
                run.begin_again(f"{type(error).__name__}: {error}")
        for uid in [run.uid for run in self._runs.values() if run.is_done]:
            del self._runs[uid]
        return has_moved

    def _advance(self, run: _Run, *, flush: bool) -> bool:
        if run.tail is None:
            from battbeam.storage.run_publisher import RunPublisher

            run.tail = run.open_tail()
            run.publisher = RunPublisher(self._catalogs[run.catalog])
        documents = run.tail.read()
        for name, doc in documents:
            run.publisher(name, doc)
        now = time.monotonic()
        if run.publisher.n_pending == 0:
            run.since = float("inf")
        elif run.since == float("inf"):
            run.since = now
        if run.publisher.n_pending and (flush or now - run.since >= run.latency):
            run.publisher.flush()
            run.since = float("inf")
        run.is_done = run.tail.is_complete
        if documents:
            run.n_failures, run.reason = 0, ""
        return bool(documents)

    def _is_connected(self) -> bool:
        if self._catalogs:
            return True
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._connect()
        except _REFUSALS as error:
            self._disconnect(error)
            return False
        return True

    def _connect(self) -> None:
        from tiled.client import from_uri

        root = from_uri(
            self.connection.catalog_uri,
            api_key=catalog_key(self.connection),
            timeout=httpx.Timeout(TIMEOUT),
        )
        catalogs = {name: root[name].include_data_sources() for name in (RAW, REDUCED)}
        for name, catalog in catalogs.items():
            self._complete[name] = {uid for uid, run in catalog.items() if "stop" in run.metadata}
        self._catalogs = catalogs

    def _disconnect(self, error: Exception) -> None:
        if self._catalogs or self._retry_at == 0.0:
            _log.warning("no catalogue at %s: %r", self.connection.catalog_uri, error)
        self._catalogs = {}
        self._retry_at = time.monotonic() + FIRST_RETRY
        for run in self._runs.values():
            run.tail = run.publisher = None
            run.since = float("inf")
            run.not_before = 0.0

    def _discover(self) -> None:
        for catalog, directory, latency in (
            (RAW, self.connection.spool, RAW_LATENCY),
            (REDUCED, self.connection.reduced_spool, REDUCED_LATENCY),
        ):
            for path in run_files(directory):
                self._add(path.stem, catalog, partial(_SpoolTail, path), latency)
        for mounts in self._mounts.values():
            for uid, offset in mounts.read():
                self._add(uid, RAW, partial(CellRunTail, mounts.log, offset), CELL_LATENCY)

    def _add(self, uid: str, catalog: str, open_tail: Callable[[], _Tail], latency: float) -> None:
        if uid in self._known:
            return
        self._known.add(uid)
        if uid not in self._complete[catalog]:
            self._runs[uid] = _Run(uid, catalog, open_tail, latency)
