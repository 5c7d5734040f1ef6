"""This file is where a document finds its run, and where its numbers take their declared type."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from battbeam.errors import StorageError

Document = Mapping[str, Any]

#: Under which key a document names what it belongs to; ``run_start`` for all others.
_OWNER_KEY = {
    "event": "descriptor",
    "event_page": "descriptor",
    "stream_datum": "descriptor",
    "datum": "resource",
    "datum_page": "resource",
}


class Routes:
    """Which run a document belongs to, and the declared type of each of its columns."""

    def __init__(self) -> None:
        self._run_of: dict[str, str] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._owned: dict[str, list[str]] = {}

    def routed(self, name: str, doc: Document) -> tuple[str, dict[str, Any]]:
        """The uid of the document's run, and a copy whose numbers have the declared type.

        Raises:
            StorageError: If the document belongs to no run that is open here.
        """
        uid = self._run(name, doc)
        copy = dict(doc)
        if name == "descriptor":
            self._types[doc["uid"]] = declared_types(doc)
        elif name in ("event", "event_page"):
            types = self._types.get(doc["descriptor"], {})
            copy["data"] = {
                key: coerced(value, types.get(key, ""))
                if name == "event"
                else coerced_column(value, types.get(key, ""))
                for key, value in doc["data"].items()
            }
        elif name == "stop":
            self._forget(uid)
        return uid, copy

    def _run(self, name: str, doc: Document) -> str:
        if name == "start":
            self._own(doc["uid"], doc["uid"])
            return str(doc["uid"])
        key = _OWNER_KEY.get(name, "run_start")
        uid = self._run_of.get(str(doc.get(key)))
        if uid is None:
            raise StorageError(f"a {name} document belongs to no open run: {key} {doc.get(key)!r}")
        if name in ("descriptor", "stream_resource", "resource"):
            self._own(doc["uid"], uid)
        return uid

    def _own(self, uid: str, run: str) -> None:
        self._run_of[uid] = run
        self._owned.setdefault(run, []).append(uid)

    def _forget(self, run: str) -> None:
        for owned in self._owned.pop(run, []):
            self._run_of.pop(owned, None)
            self._types.pop(owned, None)


def declared_types(descriptor: Document) -> dict[str, str]:
    """The type of each column as the descriptor declares it: ``number``, ``integer``, ..."""
    return {key: str(column["dtype"]) for key, column in descriptor["data_keys"].items()}


def coerced(value: Any, declared: str) -> Any:
    """A number of the declared type: EPICS hands out 3 in one event and 3.1 in the next.

    >>> coerced(3, "number"), coerced(3.0, "integer"), coerced("3", "number")
    (3.0, 3, '3')
    """
    if declared == "number" and isinstance(value, (int, np.integer, np.floating)):
        return float(value)
    is_whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return int(value) if declared == "integer" and is_whole else value


def coerced_column(values: Iterable[Any], declared: str) -> list[Any]:
    """The same for one column of an event page."""
    return [coerced(value, declared) for value in values]
