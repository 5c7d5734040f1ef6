"""This file is where the state of a beamline is put into words for a terminal."""

import json
from pathlib import Path

import httpx

from battbeam.callbacks.damage_watch import alarms
from battbeam.connection import Connection

#: Wall seconds in which a catalogue that serves must have answered.
CATALOG_TIMEOUT = 5.0


def status_report(connection: Connection) -> str:
    """What each cell does, which runs are open, and where the catalogue is, if it answers."""
    lines = [f"beamline {connection.directory}" + (" (simulated)" if connection.simulated else "")]
    lines += [f"{name}: {last_words(guard.log)}" for name, guard in connection.guards.items()]
    lines += [f"alarm: {alarm['sentence']}" for alarm in alarms(connection.alarms)]
    runs = sorted(connection.spool.glob("*.jsonl")) if connection.spool.exists() else []
    still_open = [path.stem for path in runs if not is_closed(path)]
    lines.append(f"runs: {len(runs)} in the spool, {len(still_open)} open")
    lines += [f"  open: {uid}" for uid in still_open]
    lines.append(f"catalogue: {catalog_words(connection)}")
    return "\n".join(lines)


def catalog_words(connection: Connection) -> str:
    """Where the catalogue is, or that there is none."""
    start = f"`battbeam serve {connection.directory}` starts it"
    if not connection.catalog_uri:
        return f"not running; {start}"
    try:
        httpx.get(connection.catalog_uri, timeout=CATALOG_TIMEOUT)
    except httpx.HTTPError as error:
        return f"{connection.catalog_uri} does not answer ({error}); {start}"
    return connection.catalog_uri


def last_words(log: Path) -> str:
    """What a guard wrote down last of its cell."""
    if not log.exists():
        return "no guard has written here"
    state, sample = "", ""
    for line in tail(log):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record.get("kind") == "state":
            state = str(record.get("state", ""))
        elif record.get("kind") in ("sample", "live"):
            sample = (
                f"{record.get('voltage', float('nan')):.3f} V, {record.get('charge', 0):+.4f} mAh"
            )
    return ", ".join(word for word in (state, sample) if word) or "silent"


def is_closed(run: Path) -> bool:
    """Whether a run in the spool has its stop document."""
    return any('"name": "stop"' in line or '"name":"stop"' in line for line in tail(run, 8192))


def tail(path: Path, n_bytes: int = 262_144) -> list[str]:
    """The last lines of a file, the first of them perhaps cut."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - n_bytes))
        return file.read().decode(errors="replace").splitlines()
