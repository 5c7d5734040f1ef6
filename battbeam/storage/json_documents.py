"""This file is where a run of the catalogue becomes documents again, in the catalogue's server."""

from collections.abc import AsyncIterator
from typing import Any

from bluesky_tiled_plugins.exporters import json_seq_exporter

_ORDER = ("start", "descriptor", "stream_resource", "")


async def documents_in_order(
    mimetype: str, adapter: Any, metadata: Any, filter_for_access: Any
) -> AsyncIterator[str]:
    """A run's documents, one line of JSON each, what is referred to before what refers to it.

    The exporter that this builds on sorts by time alone; an event carries the time of the clock
    that made it, which may be behind the descriptor's.
    """
    exported = json_seq_exporter(mimetype, adapter, metadata, filter_for_access)
    for line in sorted([line async for line in exported], key=_place):
        yield line


def _place(line: str) -> int:
    """``{"name": "descriptor", ...`` is how a line begins, after the separator of JSON sequences."""
    name = line.split('"', 4)[3]
    if name == "stop":
        return len(_ORDER)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER) - 1
