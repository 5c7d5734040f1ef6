"""This file is where a session on a beamline is put together: RunEngine, devices, spool, heartbeat.

A script, IPython, a notebook and the queue share it. Documents go to the spool first and to nobody
else: publisher and reducer read them from there, in processes of their own.
"""

import getpass
import logging
import os
import runpy
import signal
import socket
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import battbeam
from battbeam.callbacks.curve_keeper import CurveKeeper
from battbeam.connection import SITE_FILE_NAME, Connection, SiteNotes
from battbeam.devices.beamline import Beamline, load_beamline
from battbeam.devices.cells import acquire_all, beat_of, cells_text, owned, release_all
from battbeam.devices.heartbeat import Heartbeat
from battbeam.errors import BattbeamError, DeviceError, PreflightError, ReductionError
from battbeam.experiment.provenance import installed_sha256, time_zone, versions
from battbeam.experiment.recipe_parameters import parameter_faults
from battbeam.plans.gap import Earlier, earlier_from
from battbeam.storage.spool import Spool
from battbeam.storage.tail import documents

_log = logging.getLogger(__name__)

#: Wall seconds in which every device must have answered; a cold start of the servers takes a few.
CONNECTION_TIMEOUT = 20.0
#: Signals that end a session: a closed terminal, a request of the system.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def example_path(name: str) -> Path:
    """A file of the example beamline: from the wheel, or else from the checkout.

    Args:
        name: Such as ``devices/simulated.py``.

    Raises:
        DeviceError: If it is in neither.
    """
    package = Path(battbeam.__file__).parent
    for root in (package / "examples", package.parent):
        if (root / name).exists():
            return root / name
    raise DeviceError(f"{name} is neither in {package / 'examples'} nor in {package.parent}")


class Session:
    """One session on one beamline.

    Attributes:
        connection: Where the beamline is.
        beamline: Its instruments.
        RE: The RunEngine; the spool is its first subscriber.
        spool: Where every document is before anyone looks at it.
        uid: Of the session.
        refusal: Why this session does not own a cell; empty if it owns all.
        is_interactive: Whether somebody is at the prompt who may resume what was paused.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        owns_cell: bool = True,
        is_interactive: bool = False,
        md: dict[str, Any] | None = None,
    ) -> None:
        import ophyd
        from bluesky import RunEngine

        from battbeam.channel_access import CONTROL_LAYER

        connection.use()
        ophyd.set_cl(CONTROL_LAYER)
        # pyFAI asks for OpenCL, which is not used: on a processor it is slower.
        logging.getLogger("silx.opencl").setLevel(logging.ERROR)
        logging.getLogger("caproto").setLevel(logging.WARNING)
        self.connection, self.is_interactive = connection, is_interactive
        self.uid, self.refusal = str(uuid.uuid4()), ""
        self.spool = Spool(connection.spool, on_failure=self._spool_failed)
        on_main = threading.current_thread() is threading.main_thread()
        self.RE = RunEngine(
            self._metadata() | (md or {}),
            context_managers=None if on_main else [],
            scan_id_source=self._next_scan_id,
        )
        self.RE.subscribe(self.spool)
        self.RE.state_hook = self._state_changed
        self.RE.log.logger.addFilter(_needs_a_traceback)
        declaration = connection.devices or example_path("devices/simulated.py")
        self.beamline: Beamline = load_beamline(declaration, connection)
        self._curves = CurveKeeper(self.beamline.calibration)
        self.RE.subscribe(self._curves)
        self.connection_faults = self.beamline.connection_faults(CONNECTION_TIMEOUT)
        self._cells = self.beamline.potentiostats
        self.heartbeat = Heartbeat(self.RE.loop, *(beat_of(one) for one in self._cells.values()))
        self._ended_by: int | None = None
        self._is_closed = False
        self._handlers: dict[int, Any] = {}
        if on_main:
            self._handlers = {
                number: signal.signal(number, self._end_on_signal) for number in ENDING_SIGNALS
            }
        if owns_cell:
            self._own_cells()
        self._count_light()

    # Opening.

    def _metadata(self) -> dict[str, Any]:
        owner = {"uid": self.uid, "pid": os.getpid(), "host": socket.gethostname()}
        return {
            "versions": versions(),
            "installed_sha256": installed_sha256(),
            "session": {**owner, "user": getpass.getuser()},
            "operator": getpass.getuser(),
            "time_zone": time_zone(),
            "simulated": self.connection.simulated,
            **self._beam_metadata(),
        }

    def _beam_metadata(self) -> dict[str, Any]:
        """Beam size and flux calibration, where the staff have written them down."""
        if not (self.connection.directory / SITE_FILE_NAME).exists():
            return {}
        flux = SiteNotes.read(self.connection.directory).flux
        return {} if flux is None else {"flux_calibration": flux.model_dump(mode="json")}

    def _next_scan_id(self, _: dict[str, Any]) -> int:
        """Counts the runs in the spool, so that it goes on where the last session ended."""
        return 1 + sum(1 for _ in self.connection.spool.glob("*.jsonl"))

    def _own_cells(self) -> None:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "session": self.uid}
        self.refusal = "; ".join(acquire_all(self._cells, owner))
        if owned(self._cells):
            self.heartbeat.start()

    def _count_light(self) -> None:
        """Close a shutter that a dead session left open, and count its light."""
        white = self.beamline.white_beam
        if white is not None and white.dose_meter is None:
            _log.warning(
                "%s: its light is not counted, and nobody closes its shutter when a session dies; "
                "write white_beam.light into %s and declare a white_dose_meter",
                white.name,
                SITE_FILE_NAME,
            )
        for meter in self.beamline.dose_meters:
            try:
                meter.recover()
            except (DeviceError, TimeoutError) as error:
                _log.error(
                    "a dead session's light is not counted yet, it stays reserved: %s", error
                )
            if not self.refusal and owned(self._cells):
                meter.ready()

    # Running.

    def run(self, plan: Iterable[Any], **md: Any) -> tuple[str, ...]:
        """Run a plan to its end; the uids of its runs.

        Ctrl-C once pauses at the next checkpoint, twice at once. Without somebody at the prompt a
        paused plan is aborted, its clean-up included.

        Raises:
            PreflightError: Before anything moved, with every fault.
            ReductionError: If a calibration had no curve that could be stored.
            KeyboardInterrupt: After Ctrl-C in a session that is not interactive.
            SystemExit: After a signal that ends the session.
        """
        from bluesky.utils import FailedStatus, RunEngineInterrupted

        self.spool.check_space()
        try:
            uids = tuple(self.RE(plan, **md))
        except RunEngineInterrupted:
            if self._ended_by is not None:
                self._leave(f"signal {self._ended_by}")
            if self.is_interactive:
                raise
            self.RE.abort("interrupted")
            raise KeyboardInterrupt from None
        except FailedStatus as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise
        if faults := self._curves.taken_faults():
            raise ReductionError("; ".join(faults))
        return uids

    def store_standards(self, uid: str, **keeps: Any) -> tuple[Path, ...]:
        """Reduce a run of spectra again and keep its curves, that others are compared with them.

        A run of `battbeam.plans.energy_standards.calibrate_energy` says in its start document's
        ``keeps`` which, and is taken as soon as it has ended.

        Args:
            uid: Of the run, in the spool.
            **keeps: Otherwise than the run says: ``foil``, ``compound``, ``oxidation_states``.

        Returns:
            The files, in the beamline's calibration directory; a curve of an older one is gone.

        Raises:
            ValueError: If there is no such run.
            ReductionError: If a curve cannot be had; nothing is written then.
        """
        from battbeam.callbacks.calibration_curves import keep_curves

        path = self.connection.spool / f"{uid}.jsonl"
        if not path.exists():
            raise ValueError(f"run {uid} is not in {self.connection.spool}")
        lines = [(line.name, line.doc) for line in documents(path)]
        asked = {**(lines[0][1].get("keeps") or {}), **keeps}
        directory = Path(asked.get("directory") or self.beamline.calibration)
        return keep_curves(lines, asked, directory)

    def run_recipe(self, recipe: Path | str, **parameters: Any) -> tuple[str, ...]:
        """Run a file of ``plans/``: its ``plan(beamline, ...)``.

        Raises:
            PreflightError: If there is no such file, or it has no plan, or not these parameters, or
                a value is not what its annotation says.
        """
        path = Path(recipe)
        if not path.exists():
            raise PreflightError(f"recipe {path}", ["the file is missing"])
        make: Any = runpy.run_path(str(path)).get("plan")
        if not callable(make):
            raise PreflightError(f"recipe {path}", ["it has no function plan(beamline, ...)"])
        if faults := parameter_faults(make, parameters):
            raise PreflightError(f"recipe {path}", faults)
        return self.run(make(self.beamline, **parameters), recipe=path.name)

    def earlier(self, uid: str) -> Earlier:
        """An operando run of this beamline, to be resumed: ``operando(..., resumes=earlier)``.

        Raises:
            ValueError: If it is none.
        """
        path = self.connection.spool / f"{uid}.jsonl"
        if not path.exists():
            raise ValueError(f"run {uid} is not in {self.connection.spool}")

        def log_of(log: str) -> list[str]:
            file = Path(log)
            return file.read_text(errors="replace").splitlines() if file.is_file() else []

        return earlier_from(((line.name, line.doc) for line in documents(path)), log_of)

    # Pausing and ending.

    def _state_changed(self, new: str, _: str | None) -> None:
        if str(new) != "paused" or self._ended_by is not None:
            return
        for potentiostat in owned(self._cells):
            # Not awaited: this is the RunEngine's own thread.
            potentiostat.occasion("pause")
        print(self.paused_text(), flush=True)

    def paused_text(self) -> str:
        """What the cells do while the plan is paused, and how to go on."""
        return (
            f"Paused. Meanwhile {cells_text(self._cells, self.beamline.clock.now())}\n"
            "RE.resume() goes on, RE.stop() ends it as done, RE.abort() ends it as aborted."
        )

    def _spool_failed(self, reason: str) -> None:
        _log.error("the plan is paused, its documents cannot be kept: %s", reason)
        if self.RE.state.is_running:
            self.RE.request_pause(defer=False)

    def _end_on_signal(self, number: int, _: FrameType | None) -> None:
        self._ended_by = number
        if self.RE.state.is_running:
            # run() takes it from there, in this thread: clean-up, then the end.
            self.RE.request_pause(defer=False)
            return
        self._leave(f"signal {number}")

    def _leave(self, reason: str) -> None:
        self.end(reason)
        raise SystemExit(128 + (self._ended_by or 0))

    def end(self, reason: str) -> None:
        """Abort what is paused, its clean-up included, then `close`."""
        try:
            if not self.RE.state.is_idle:
                self.RE.abort(reason)
        finally:
            self.close()

    def close(self) -> None:
        """Give the cells free, as they are, and keep what is in the spool; a second time nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for meter in self.beamline.dose_meters:
            meter.close()
        release_all(self._cells)
        self.heartbeat.stop()
        self.spool.close()
        # At the interpreter's end caproto tells of every connection that it cannot serve any more.
        logging.getLogger("caproto").setLevel(logging.CRITICAL)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _needs_a_traceback(record: logging.LogRecord) -> bool:
    """Keep the RunEngine from printing a traceback for an end that somebody asked for, or whose
    sentence the caller is told anyway.
    """
    from bluesky.utils import RunEngineControlException

    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, (RunEngineControlException, BattbeamError))


def open_session(directory: Path, *, is_interactive: bool = False) -> Session:
    """A session on the beamline that runs in ``directory``.

    Raises:
        ProcessError: If none does.
    """
    return Session(Connection.read(directory), is_interactive=is_interactive)


def interactive(directory: Path) -> None:
    """An IPython session on the beamline in ``directory``, started as the profile starts it.

    What is paused when it is left is aborted: nobody could resume it.
    """
    from IPython.terminal.ipapp import TerminalIPythonApp
    from traitlets.config import Config

    os.environ["BATTBEAM_DIRECTORY"] = str(directory)
    startup = sorted(example_path("profile_collection/startup").glob("*.py"))
    config = Config()
    config.InteractiveShellApp.exec_files = [str(path) for path in startup]
    config.TerminalInteractiveShell.confirm_exit = False
    app = TerminalIPythonApp.instance(config=config)
    app.initialize([])
    opened = app.shell.user_ns.get("session")  # IPython clears its names when it is left.
    app.start()
    if isinstance(opened, Session):
        opened.end("the session was left")


def status_text(directory: Path) -> str:
    """What each cell does, which runs are open, and where the catalogue is."""
    from battbeam.status_report import status_report

    return status_report(Connection.read(directory))
