"""This file is where a run's start document says how its absorption spectra are to be reduced."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.errors import ReductionError
from battbeam.reduction.xanes import XanesOptions


@dataclass(frozen=True)
class XanesRequest:
    """What is asked of the reduction of one run.

    In the start document's ``reduction``, options of `XanesOptions` hold for every edge, and those
    under ``edges`` and an edge's name, as "Ni K", for that alone. Where a standard or the foil is
    wanted, the path of a JSON file will do.

    Attributes:
        edges: Element and edge by the edge's name.
        options: By the edge's name.
        n_points: Of the longest grid.
        parameters: What decides on the result, JSON-ready.
    """

    edges: Mapping[str, tuple[str, str]]
    options: Mapping[str, XanesOptions]
    n_points: int
    parameters: Mapping[str, Any]

    @classmethod
    def of_start(cls, start: Mapping[str, Any]) -> "XanesRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing, not known, or cannot be read.
        """
        asked = {k: v for k, v in (start.get("reduction") or {}).items() if k != "method"}
        of_edge = asked.pop("edges", None) or {}
        edges = {
            _name(each): (str(each["element"]), str(each["edge"]))
            for each in start.get("edges", ())
        }
        nameless = [name for name, (element, _) in edges.items() if not element]
        if not edges or nameless or set(of_edge) - set(edges):
            raise ReductionError(
                f"run {start['uid']}: spectra are reduced at named edges, got "
                f"{', '.join(edges) or 'none'}; options are given for {', '.join(of_edge) or 'none'}"
            )
        given = {name: _loaded({**asked, **of_edge.get(name, {})}) for name in edges}
        options = {name: XanesOptions.read(each) for name, each in given.items()}
        return cls(
            edges=edges,
            options=options,
            n_points=int(start.get("n_grid_points") or 0),
            parameters={"method": "xanes", "edges": given},
        )


def _name(edge: Mapping[str, Any]) -> str:
    """As events name it.

    >>> _name({"element": "Ni", "edge": "K", "energy": 8333.0})
    'Ni K'
    """
    element = str(edge.get("element") or "")
    return f"{element} {edge['edge']}" if element else f"{edge['energy']:g} eV"


def _loaded(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every file read."""
    found = dict(options)
    if isinstance(found.get("foil"), str):
        found["foil"] = _document(found["foil"])
    if found.get("standards"):
        found["standards"] = [
            _document(each) if isinstance(each, str) else each for each in found["standards"]
        ]
    return found


def _document(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as fault:
        raise ReductionError(f"standard {path}: {fault}") from fault
