"""This file is where every document of a run reaches the disk before anyone looks at it.

The spool is the RunEngine's first subscriber. One file a run, ``<uid>.jsonl``; one line a document:
``{"line": k, "name": ..., "doc": ..., "wall": ...}``. A line is handed to the operating system at
once and synced to the disk by a thread of the spool's own; *acknowledged* means synced.
"""

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from battbeam.errors import StorageError
from battbeam.storage.replay import Replay
from battbeam.storage.routes import Routes
from battbeam.storage.run_file import RunFile

#: Wall seconds between two syncs: what a power failure may cost.
SYNC_INTERVAL = 0.1
#: Bytes that must be free on the spool's disk: hours of documents, so that there is time to act.
MINIMUM_FREE = 256e6
#: Wall seconds between two looks at the free space.
SPACE_INTERVAL = 5.0
#: Documents kept in memory while the disk refuses them; the RunEngine is paused by then.
MAXIMUM_BACKLOG = 10_000
#: How many of the latest times inside the subscriber are kept.
N_DURATIONS = 100_000

_log = logging.getLogger(__name__)

Document = Mapping[str, Any]


class Spool:
    """Writes documents to disk; subscribe the object itself (the RunEngine loses a bound method).

    A document that the disk refuses is kept in memory and tried again; meanwhile `error` says why,
    and ``on_failure`` has been called with it, so that the session can request a pause.

    Attributes:
        error: Why documents do not reach the disk; None while they do. It stays once a document
            could not be kept at all: one of no run, or with no form in JSON.

    Args:
        directory: Made when it is missing.
        on_failure: Called with the reason, once each time that writing begins to fail, from the
            spool's own thread: it may wait for the RunEngine.
        minimum_free: Bytes below which the disk counts as full.
        sync_interval: Wall seconds.
        resume: Whether a run that has a file may be written again from its start, to continue it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_failure: Callable[[str], None] | None = None,
        minimum_free: float = MINIMUM_FREE,
        sync_interval: float = SYNC_INTERVAL,
        resume: bool = False,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.error: str | None = None
        self._on_failure = on_failure
        self._minimum_free = minimum_free
        self._resume = resume
        self._files: dict[str, RunFile] = {}
        self._replays: dict[str, Replay] = {}
        self._acknowledged: dict[str, int] = {}
        self._routes = Routes()
        self._backlog: deque[tuple[str, str, Document, float]] = deque()
        self._unannounced: str | None = None
        self._has_lost = False
        self._durations: deque[float] = deque(maxlen=N_DURATIONS)
        # Monitors hand in their documents from threads of their own.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closing = False
        self._flusher = threading.Thread(
            target=self._keep_synced, args=(sync_interval,), name="spool-flusher", daemon=True
        )
        self._flusher.start()

    def __call__(self, name: str, doc: Document) -> None:
        """Write one document."""
        begin = time.perf_counter()
        with self._lock:
            self._take(name, doc)
            self._durations.append(time.perf_counter() - begin)
        if name in ("start", "descriptor", "stop"):
            self._wake.set()

    @property
    def durations(self) -> NDArray[np.float64]:
        """Wall seconds spent inside the subscriber, one a document, the latest last."""
        with self._lock:
            return np.array(self._durations)

    def acknowledged(self, uid: str) -> int:
        """How many lines of a run's file are known to be on the disk."""
        with self._lock:
            return self._acknowledged.get(uid, 0)

    def check_space(self) -> None:
        """Check that the disk has room.

        Raises:
            StorageError: If less is free than the minimum; says how much is.
        """
        free = shutil.disk_usage(self.directory).free
        if free < self._minimum_free:
            raise StorageError(
                f"spool {self.directory}: {free / 1e6:.0f} MB free, "
                f"{self._minimum_free / 1e6:.0f} MB wanted; make room before measuring"
            )

    def sync(self) -> None:
        """Bring everything that was handed in to the disk before returning."""
        with self._lock:
            self._drain()
            files = dict(self._files)
        for uid, file in files.items():
            self._sync_one(uid, file)

    def close(self) -> None:
        """Sync and close every file; a run without a stop document is left to `recover`."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._flusher.join()
        self.sync()
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, name: str, doc: Document) -> None:
        try:
            uid, typed = self._routes.routed(name, doc)
            continued = self._continued(uid, name, typed)
        except StorageError as error:
            self._fail(str(error), is_lost=True)
            return
        if continued is None:
            return
        self._backlog.append((uid, name, continued, time.time()))
        if len(self._backlog) > MAXIMUM_BACKLOG:
            raise StorageError(
                f"spool {self.directory}: {len(self._backlog)} documents wait for the disk: "
                f"{self.error}"
            )
        self._drain()

    def _continued(self, uid: str, name: str, doc: Document) -> Document | None:
        """The document as it follows what the run's file holds; None where it is in there."""
        if not self._resume:
            return doc
        path = self._path(uid)
        if name == "start" and path.exists():
            self._replays[uid] = Replay(path)
        replay = self._replays.get(uid)
        return doc if replay is None else replay.passed(name, doc)

    def _path(self, uid: str) -> Path:
        return self.directory / f"{uid}.jsonl"

    def _drain(self) -> None:
        """Write what waits, in order, until the disk refuses."""
        while self._backlog:
            uid, name, doc, wall = self._backlog[0]
            try:
                self._file(uid).write(name, doc, wall)
            except OSError as error:
                self._fail(f"spool {self.directory}: cannot write a {name} document: {error}")
                return
            except (TypeError, ValueError) as error:
                reason = f"spool {self.directory}: a {name} document has no form in JSON: {error}"
                self._fail(reason, is_lost=True)
            self._backlog.popleft()
            if not self._backlog and self.error is not None and not self._has_lost:
                _log.info("spool %s: writing again", self.directory)
                self.error = None

    def _file(self, uid: str) -> RunFile:
        file = self._files.get(uid)
        if file is None:
            replay = self._replays.get(uid)
            file = RunFile(self._path(uid), n_written=0 if replay is None else replay.n_present)
            self._files[uid] = file
        return file

    def _fail(self, reason: str, *, is_lost: bool = False) -> None:
        self._has_lost = self._has_lost or is_lost
        if self.error is None:
            _log.error("%s", reason)
            self._unannounced = reason
            self._wake.set()
        self.error = reason

    def _keep_synced(self, interval: float) -> None:
        next_look = time.monotonic() + SPACE_INTERVAL
        while not self._closing:
            self._wake.wait(interval)
            self._wake.clear()
            self.sync()
            if time.monotonic() > next_look:
                next_look = time.monotonic() + SPACE_INTERVAL
                self._watch_space()
            self._announce()

    def _watch_space(self) -> None:
        try:
            self.check_space()
        except StorageError as error:
            with self._lock:
                self._fail(str(error))

    def _announce(self) -> None:
        with self._lock:
            reason, self._unannounced = self._unannounced, None
        if reason is not None and self._on_failure is not None:
            self._on_failure(reason)

    def _sync_one(self, uid: str, file: RunFile) -> None:
        # Outside the lock: a sync took up to 98 ms beside a detector that was writing frames.
        try:
            file.sync()
        except OSError as error:
            with self._lock:
                self._fail(f"spool {self.directory}: cannot sync {file.path.name}: {error}")
            return
        with self._lock:
            self._acknowledged[uid] = file.n_synced
            if file.is_finished:
                file.close()
                self._files.pop(uid, None)
                self._replays.pop(uid, None)
