"""This file is where a guard's log becomes cell runs: what happened to one cell, mount to dismount.

Four streams: ``primary``, one event a sample of the cycler; ``impedance``, one event a frequency of
a spectrum; ``guard``, one event for everything else that the guard wrote down (protocols, states,
trips, policies, commands), its line as JSON; ``clock``, one event a comparison of the cycler's
clock. The log's lines decide every uid, so the
same log gives the same documents whenever it is read. It does not come through a RunEngine, which
may be dead.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from battbeam.errors import StorageError
from battbeam.storage.tail import LineTail

_NAMESPACE = UUID("6d7b0f0a-5f1e-4b8e-9d8a-2f1f8c1f6f51")
#: Not of the cell run: values between two samples, how far a reader may read, who held the cell.
_PASSED_OVER = frozenset({"live", "watermark", "owner", "boot"})

#: Columns of a sample: dtype and unit.
_SAMPLE = {
    "voltage": ("number", "V"),
    "current": ("number", "A"),
    "charge": ("number", "mAh"),
    "state_of_charge": ("number", ""),
    "sequence": ("integer", ""),
    "step_index": ("integer", ""),
    "step_type": ("string", ""),
    "step_count": ("integer", ""),
    "cycle_number": ("integer", ""),
    "source": ("string", ""),
    "temperature": ("number", "degC"),
    "voltage_working": ("number", "V"),
    "voltage_counter": ("number", "V"),
    "log_line": ("integer", ""),
}
_IMPEDANCE = {
    "frequency": ("number", "Hz"),
    "impedance_real": ("number", "ohm"),
    "impedance_imaginary": ("number", "ohm"),
    "step_index": ("integer", ""),
    "step_count": ("integer", ""),
    "cycle_number": ("integer", ""),
    "log_line": ("integer", ""),
}
_GUARD = {"kind": ("string", ""), "text": ("string", ""), "log_line": ("integer", "")}
_CLOCK = {
    "device_time": ("number", "s"),
    "session_time": ("number", "s"),
    "uncertainty": ("number", "s"),
    "log_line": ("integer", ""),
}
_STREAMS = {"primary": _SAMPLE, "impedance": _IMPEDANCE, "guard": _GUARD, "clock": _CLOCK}
#: Lines of the log that are events of a stream of their own, by kind.
_STREAM_OF = {"sample": "primary", "impedance": "impedance", "clock": "clock"}

Named = tuple[str, dict[str, Any]]


class CellRun:
    """The documents of one cell run.

    Args:
        log: The guard's log; stands in the documents as their source.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.uid = ""
        self.is_complete = False
        self._n_events = dict.fromkeys(_STREAMS, 0)

    def documents(self, entry: Mapping[str, Any]) -> list[Named]:
        """The documents that one entry of the log adds.

        Raises:
            StorageError: If the entry lacks what its kind must have.
        """
        if self.is_complete:
            return []
        try:
            return self._documents(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"{self.log}: line {entry.get('n')}, a {entry.get('kind')!r}: {error!r}"
            ) from error

    def _documents(self, entry: Mapping[str, Any]) -> list[Named]:
        kind = entry["kind"]
        if kind == "mount" and entry["cell_run"] == self.uid:
            return []  # The guard was started again and found the cell still mounted.
        if kind == "mount" and not self.uid:
            return self._opened(entry)
        if not self.uid:
            return []
        if kind == "mount":
            return self._closed(entry, "abort", "another cell was mounted without a dismount")
        if kind == "dismount":
            return [self._noted(entry), *self._closed(entry, "success", "")]
        if kind in _STREAM_OF:
            stream = _STREAM_OF[kind]
            return [self._event(stream, entry, {key: entry.get(key) for key in _STREAMS[stream]})]
        return [] if kind in _PASSED_OVER else [self._noted(entry)]

    def _opened(self, entry: Mapping[str, Any]) -> list[Named]:
        self.uid = str(UUID(entry["cell_run"]))
        start = {
            "uid": self.uid,
            "time": float(entry["time"]),
            "kind": "cell",
            "plan_name": "cell",
            "technique": "cycling",
            "cell": entry["passport"],
            "guard": {"cell_run": self.uid, "log": str(self.log)},
        }
        descriptors = [
            ("descriptor", self._descriptor(stream, start["time"])) for stream in _STREAMS
        ]
        return [("start", start), *descriptors]

    def _descriptor(self, stream: str, time: float) -> dict[str, Any]:
        keys = {
            key: {"dtype": dtype, "shape": [], "source": str(self.log), "object_name": "cell"}
            | ({"units": units} if units else {})
            for key, (dtype, units) in _STREAMS[stream].items()
        }
        return {
            "uid": self._uid(stream),
            "run_start": self.uid,
            "time": time,
            "name": stream,
            "data_keys": keys,
            "object_keys": {"cell": list(keys)},
            "configuration": {},
            "hints": {"cell": {"fields": ["voltage"]}} if stream == "primary" else {},
        }

    def _noted(self, entry: Mapping[str, Any]) -> Named:
        return self._event("guard", entry, {"kind": entry["kind"], "text": json.dumps(entry)})

    def _event(self, stream: str, entry: Mapping[str, Any], data: dict[str, Any]) -> Named:
        self._n_events[stream] += 1
        # The instrument's own time: raw times are never overwritten.
        time = float(entry["time"])
        data = {**data, "log_line": entry["n"]}
        event = {
            "uid": self._uid(f"{stream}/{entry['n']}"),
            "descriptor": self._uid(stream),
            "seq_num": self._n_events[stream],
            "time": time,
            "data": data,
            "timestamps": dict.fromkeys(data, time),
        }
        return ("event", event)

    def _closed(self, entry: Mapping[str, Any], exit_status: str, reason: str) -> list[Named]:
        self.is_complete = True
        stop = {
            "uid": self._uid("stop"),
            "run_start": self.uid,
            "time": float(entry["time"]),
            "exit_status": exit_status,
            "reason": reason,
            "num_events": dict(self._n_events),
        }
        return [("stop", stop)]

    def _uid(self, what: str) -> str:
        return str(uuid5(_NAMESPACE, f"{self.uid}/{what}"))


class CellRunTail:
    """The documents of one cell run, each once, as the guard writes its log.

    Args:
        log: The guard's log.
        offset: Byte at which the line of its mount starts.
    """

    def __init__(self, log: Path, offset: int) -> None:
        self._run = CellRun(log)
        self._lines = LineTail(log, offset)

    @property
    def is_complete(self) -> bool:
        """Whether the stop document has been read."""
        return self._run.is_complete

    def read(self) -> list[Named]:
        """The documents that are new since the last call."""
        found: list[Named] = []
        # A megabyte of an idle cell's log may hold nothing of the cell run.
        while not found and (lines := self._lines.read()):
            for _, line in lines:
                found.extend(self._run.documents(json.loads(line)))
        return found


class Mounts:
    """Where in a guard's log each cell run begins, as the log grows."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._lines = LineTail(log)
        self._known: set[str] = set()

    def read(self) -> Iterator[tuple[str, int]]:
        """The cell runs that are new since the last call: uid, and byte offset of its mount."""
        while self.log.exists() and (lines := self._lines.read()):
            for offset, line in lines:
                # Nearly all lines are samples: look before parsing.
                if b'"mount"' not in line:
                    continue
                entry = json.loads(line)
                uid = entry.get("cell_run", "")
                if entry.get("kind") == "mount" and uid and uid not in self._known:
                    self._known.add(uid)
                    yield uid, offset
