"""This file is where the runs of a session are shown while they go on, a table each."""

from collections.abc import Mapping
from typing import Any

from bluesky.callbacks.best_effort import BestEffortCallback

#: By kind of document: what it belongs to, a run or one of its streams.
_OWNER = {
    "start": "uid",
    "descriptor": "run_start",
    "event": "descriptor",
    "event_page": "descriptor",
    "stop": "run_start",
}


class LiveTables:
    """Bluesky's tables of what is hinted, to be subscribed to the RunEngine.

    An experiment is a run around those of its patterns and maps. Bluesky's callback shows one run at a
    time and forgets the one around it, so each run gets one of its own. They let no plan fail.
    """

    def __init__(self) -> None:
        self._tables: dict[str, BestEffortCallback] = {}

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document of any run."""
        if name == "start":
            self._tables[document["uid"]] = table = BestEffortCallback()
            table.disable_plots()
        shown = self._tables.get(str(document.get(_OWNER.get(name, ""))))
        if shown is None:
            return
        if name == "descriptor":
            self._tables[document["uid"]] = shown
        shown(name, document)
        if name == "stop":
            self._tables = {uid: each for uid, each in self._tables.items() if each is not shown}
