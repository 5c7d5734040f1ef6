"""This file is where the catalogue, the publisher and the reducer run, each a process of its own.

``python -m battbeam.serve tiled|publisher|reducer --directory DIR`` is one of them; `Services`
starts all three and starts again what dies.
"""

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from battbeam.connection import Connection
from battbeam.errors import BattbeamError, ProcessError
from battbeam.processes import Child, Supervisor, end_with_parent, say_ready, wait_for
from battbeam.storage.tail import POLL_INTERVAL

if TYPE_CHECKING:
    from battbeam.callbacks.live_run import LiveRun
    from battbeam.storage.tail import SpoolLine

#: In the order of starting; they end in the opposite one, so that what is on disk is published.
ROLES = ("tiled", "publisher", "reducer")
#: Wall seconds before a dead process is started again: first, and at most.
FIRST_RESTART, LONGEST_RESTART = 0.5, 30.0
#: Wall seconds that it must live for the next restart to be quick again.
SOUND_AFTER = 60.0
#: Wall seconds between two looks at the processes.
WATCH_INTERVAL = 0.25

_log = logging.getLogger(__name__)


class Services:
    """Catalogue, publisher and reducer of one beamline, for as long as a block lasts.

    Args:
        connection: Its ``catalog_uri`` is set and written.
        reduce: Whether frames are reduced as they arrive.

    Attributes:
        restarts: How often each process died and was started again.
    """

    def __init__(self, connection: Connection, *, reduce: bool = True) -> None:
        self.connection = connection
        self.restarts: dict[str, int] = {}
        self._roles = ROLES if reduce else ROLES[:-1]
        self._supervisor = Supervisor(connection.directory / "log")
        self._children: dict[str, Child] = {}
        self._started: dict[str, float] = {}
        self._wait: dict[str, float] = {}
        self._lock: IO[str] | None = None
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="services", daemon=True)

    def start(self, *, timeout: float = 180.0) -> Connection:
        """Start all, wait until they serve, and say where the catalogue is.

        Raises:
            ProcessError: If one does not serve in time, or other services have this directory.
        """
        from battbeam.storage.server import choose_address

        self._claim()
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.connection.catalog_uri = choose_address(self.connection)
            self.connection.write()
            for role in self._roles:
                self._start(role)
            self._supervisor.wait_ready(list(self._children.values()), timeout=timeout)
            undo.pop_all()
        self._watcher.start()
        return self.connection

    def stop(self) -> None:
        """End all, the catalogue last."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._supervisor.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "Services":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def pid(self, role: str) -> int:
        """Process id of one of `ROLES`, which changes when it is started again."""
        return self._children[role].pid

    def wait_published(self, *, timeout: float = 60.0) -> None:
        """Wait until all that is on the disk now is in the catalogue.

        That is every closed run, reduced where it asks for it, and every sample of the guards' logs.

        Raises:
            ProcessError: If it takes longer than ``timeout`` wall s; names the runs.
        """
        from battbeam.storage.progress import samples_in_logs, unpublished

        left: list[str] = []
        samples = samples_in_logs(self.connection)

        def is_done() -> bool:
            reduce = len(self._roles) == len(ROLES)
            left[:] = unpublished(self.connection, reduce=reduce, samples=samples)
            return not left

        try:
            wait_for(is_done, timeout=timeout, what="the catalogue", interval=0.3)
        except ProcessError as error:
            raise ProcessError(
                f"after {timeout:.0f} s not in the catalogue: {', '.join(left)}; "
                f"see {self._supervisor.log_directory}"
            ) from error

    def _claim(self) -> None:
        self.connection.catalog.mkdir(parents=True, exist_ok=True)
        lock = (self.connection.catalog / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise ProcessError(
                f"{self.connection.directory} is served already; one catalogue a directory"
            ) from error
        self._lock = lock

    def _start(self, role: str) -> None:
        log = self._supervisor.log_directory / f"{role}.log"
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        arguments = ["battbeam.serve", role, "--directory", str(self.connection.directory)]
        self._children[role] = self._supervisor.start(role, arguments)
        self._started[role] = time.monotonic()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_INTERVAL):
            for role, child in list(self._children.items()):
                if not child.is_alive:
                    self._restart(role, child)

    def _restart(self, role: str, child: Child) -> None:
        lived = time.monotonic() - self._started[role]
        wait = FIRST_RESTART if lived > SOUND_AFTER else self._wait.get(role, FIRST_RESTART)
        self._wait[role] = min(LONGEST_RESTART, 2 * wait)
        _log.warning(
            "%s ended with status %s; started again in %.1f s", role, child.process.returncode, wait
        )
        if self._stop.wait(wait):
            return
        self._supervisor.children.remove(child)
        child.stop()
        self._start(role)
        self.restarts[role] = self.restarts.get(role, 0) + 1


class Reduction:
    """Raw spool and guards' logs in, reduced spool out.

    What was begun before is gone through again from its start and continues where its file ends.
    """

    def __init__(self, connection: Connection) -> None:
        from battbeam.callbacks.damage_watch import DamageWatch
        from battbeam.callbacks.methods import LiveRuns
        from battbeam.storage.progress import closed_methods, closed_reductions
        from battbeam.storage.spool import Spool
        from battbeam.storage.tail import SpoolReader

        self._spool = Spool(connection.reduced_spool, resume=True)
        self._reader = SpoolReader(connection.spool)
        for uid in closed_reductions(connection):
            self._reader.forget(uid)
        watch = DamageWatch(connection.alarms)

        def publish(name: str, doc: dict[str, Any]) -> None:
            self._spool(name, doc)
            watch(name, doc)

        self._publish, self._methods = publish, LiveRuns(connection.volumes)
        self._closed = closed_methods(connection)
        self._runs: dict[str, list[LiveRun[Any]]] = {}

    def run(self, stop: threading.Event) -> None:
        """Reduce until ``stop`` is set; what waits then is reduced next time."""
        with self._spool:
            while not stop.is_set():
                if not self.step():
                    stop.wait(POLL_INTERVAL)

    def step(self) -> bool:
        """Take what is new and reduce what can be; whether there was anything."""
        lines = self._reader.poll()
        for line in lines:
            if line.name == "start":
                self._begin(line)
            self._guarded(line.uid, lambda run, line=line: run(line.name, line.doc))  # type: ignore[misc]
        n_done = sum(self._guarded(uid, lambda run: run.poll()) for uid in list(self._runs))
        for uid, runs in list(self._runs.items()):
            if all(run.is_finished for run in runs):
                del self._runs[uid]
        return bool(lines) or n_done > 0

    def _begin(self, line: "SpoolLine") -> None:
        """Begin the reductions that a run asks for; those that are closed stay as they are."""
        asked = self._methods.methods_of(line.doc)
        closed = self._closed.get(line.uid, set())
        wanted = [method for method in asked if method.method not in closed]
        if wanted:
            self._runs[line.uid] = [self._methods.begin(each, self._publish) for each in wanted]
        else:
            self._reader.forget(line.uid)

    def _guarded(self, uid: str, act: Callable[["LiveRun[Any]"], int | None]) -> int:
        """Let a run's reductions act; one that fails as a whole is dropped, the others go on."""
        n_done = 0
        for run in list(self._runs.get(uid, ())):
            try:
                n_done += act(run) or 0
            except (BattbeamError, OSError, LookupError, ValueError, TypeError):
                _log.exception("run %s: reduction by %s given up", uid, run.method)
                self._runs[uid].remove(run)
        return n_done


def _serve_tiled(connection: Connection) -> None:
    from battbeam.storage.server import serve

    serve(connection, when_ready=say_ready)


def _serve_publisher(connection: Connection) -> None:
    # The publisher tries again by itself; tiled's client would hold it up to 45 s a request.
    os.environ["TILED_RETRY_ATTEMPTS"] = "1"
    from battbeam.storage.publish import Publisher

    Publisher(connection).run(_stop_at_sigterm(), when_connected=say_ready)


def _serve_reducer(connection: Connection) -> None:
    reduction = Reduction(connection)
    stop = _stop_at_sigterm()
    say_ready()
    reduction.run(stop)


def _stop_at_sigterm() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


_MAIN: dict[str, Callable[[Connection], None]] = {
    "tiled": _serve_tiled,
    "publisher": _serve_publisher,
    "reducer": _serve_reducer,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the processes until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m battbeam.serve")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--directory", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection = Connection.read(chosen.directory)
        end_with_parent()
        _MAIN[chosen.role](connection)
    except BattbeamError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
