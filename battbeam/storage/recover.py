"""This file is where runs that a crash left open are closed, with the reason."""

import json
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.connection import Connection
from battbeam.storage.replay import set_aside_torn_line
from battbeam.storage.run_file import RunFile
from battbeam.storage.tail import SpoolLine, documents, run_files

#: Wall seconds by which a process may seem to have started after the run that it wrote.
_SLACK = 2.0


@dataclass(frozen=True)
class RunState:
    """What recovery found of one run.

    Attributes:
        uid: Of the run.
        plan: Name of its plan.
        state: ``closed`` (by this recovery), ``live`` (its session runs), ``elsewhere`` (its
            session is on another computer, where it has to be recovered) or ``empty``.
        reason: Why it was closed or left alone.
        n_events: Rows that the run holds.
        n_torn: Bytes of a half line that were set aside.
    """

    uid: str
    plan: str
    state: str
    reason: str = ""
    n_events: int = 0
    n_torn: int = 0


@dataclass(frozen=True)
class Report:
    """What recovery did.

    Attributes:
        runs: Every run of the spool that was not complete.
        n_complete: Runs that needed nothing.
    """

    runs: tuple[RunState, ...]
    n_complete: int

    @property
    def closed(self) -> tuple[RunState, ...]:
        """The runs that this recovery closed."""
        return tuple(run for run in self.runs if run.state == "closed")

    def __str__(self) -> str:
        lines = [f"{self.n_complete} runs complete, {len(self.closed)} closed"]
        for run in self.runs:
            torn = f"; {run.n_torn} bytes of a half line set aside" if run.n_torn else ""
            lines.append(
                f"  {run.uid[:8]} {run.plan}: {run.state}, {run.n_events} events"
                f"{': ' + run.reason if run.reason else ''}{torn}"
            )
        operando = [run.uid for run in self.closed if run.plan == "operando"]
        lines.extend(
            f"to go on with the cell as it is now: run the recipe again with resumes={uid!r}"
            for uid in operando
        )
        return "\n".join(lines)


def recover(connection: Connection) -> Report:
    """Close every run of the spool whose session is gone; a second time changes nothing.

    A run is closed by a stop document, ``exit_status`` "abort", that gives the reason. The
    publisher brings it to the catalogue like any other.
    """
    n_complete = 0
    found = []
    for path in run_files(connection.spool):
        if ends_with_stop(path):
            n_complete += 1
        else:
            found.append(_recovered(path))
    return Report(runs=tuple(found), n_complete=n_complete)


def ends_with_stop(path: Path) -> bool:
    """Whether the last whole line is a stop document, from the file's end alone."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (1 << 16)))
        tail = file.read()
    if not tail.endswith(b"\n"):
        return False
    try:
        return json.loads(tail[:-1].rsplit(b"\n", 1)[-1])["name"] == "stop"  # type: ignore[no-any-return]
    except (ValueError, KeyError):
        return False


def _recovered(path: Path) -> RunState:
    lines = documents(path)
    if not lines or lines[0].name != "start":
        return RunState(path.stem, "", "empty", "no start document reached the disk")
    start = lines[0].doc
    plan = str(start.get("plan_name", ""))
    n_events = sum(_n_rows(line) for line in lines)
    state, reason = _session_state(lines[0])
    if state != "gone":
        return RunState(path.stem, plan, state, reason, n_events)
    n_torn = set_aside_torn_line(path)
    reason = f"{reason}; closed by recovery, {n_events} events kept"
    file = RunFile(path, n_written=lines[-1].line + 1)
    try:
        file.write("stop", _stop_document(lines, reason), time.time())
        file.sync()
    finally:
        file.close()
    return RunState(path.stem, plan, "closed", reason, n_events, n_torn)


def _stop_document(lines: Sequence[SpoolLine], reason: str) -> dict[str, Any]:
    streams = {line.doc["uid"]: line.doc["name"] for line in lines if line.name == "descriptor"}
    n_events = Counter[str]()
    for line in lines:
        if line.name in ("event", "event_page"):
            n_events[streams.get(line.doc["descriptor"], "")] += _n_rows(line)
    return {
        "uid": str(uuid.uuid4()),
        "run_start": lines[0].doc["uid"],
        # On the run's own clock, which may be a simulated one: when it was last heard of.
        "time": max(float(line.doc["time"]) for line in lines if _is_timed(line)),
        "exit_status": "abort",
        "reason": reason,
        "num_events": dict(n_events),
    }


def _is_timed(line: SpoolLine) -> bool:
    return line.name in ("start", "descriptor", "event")


def _n_rows(line: SpoolLine) -> int:
    if line.name == "event_page":
        return len(line.doc["seq_num"])
    return int(line.name == "event")


def _session_state(start: SpoolLine) -> tuple[str, str]:
    """``live``, ``elsewhere`` or ``gone``, and the reason in words."""
    session = start.doc.get("session") or {}
    host, pid = session.get("host"), session.get("pid")
    if pid is None:
        return "gone", "it names no session"
    if host != socket.gethostname():
        return "elsewhere", f"its session runs on {host}: recover there"
    started = _process_start(int(pid))
    if started is None:
        return "gone", f"its session, process {pid}, ended without closing it"
    if started > start.wall + _SLACK:
        return "gone", f"its session, process {pid}, ended; the number is another process's now"
    return "live", f"its session, process {pid}, runs"


def _process_start(pid: int) -> float | None:
    """When a process started, s since the Unix epoch; None where there is none of that number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return _signalled(pid)
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    if state in "ZX":
        return None
    age = uptime - float(fields[18]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def _signalled(pid: int) -> float | None:
    """The same where there is no /proc: 0 for a process that is there, whenever it started."""
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0.0
    return 0.0
