"""This file is where a run's start document says how its absorption spectra are to be reduced."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.exafs_reducer import ExafsRequest, parameters_of
from battbeam.reduction.xanes import XanesOptions
from battbeam.units import FloatArray

#: eV: about half the core-hole width of a 3d metal's K edge.
BIN_WIDTH = 0.5


@dataclass(frozen=True)
class XanesRequest:
    """What is asked of the reduction of one run.

    In the start document's ``reduction``, options of `XanesOptions` hold for every edge, and those
    under ``edges`` and an edge's name, as "Ni K", for that alone. Where a standard or the foil is
    wanted, the path of a JSON file will do. Of sweeps: ``lag``, s, of the counters behind the
    encoder; without it the run's first pair of sweeps, up and down, says it. ``bin_width``, eV, to
    which sweeps are rebinned. ``exafs`` asks for chi and for shells, see `ExafsRequest`.

    Attributes:
        edges: Element and edge by the edge's name.
        options: By the edge's name.
        exafs: By the edge's name, where it is asked for.
        bins: Of sweeps, edges in eV by the edge's name; empty where energies are stepped.
        lag: s; None: not known yet.
        parameters: What decides on the result, JSON-ready.
    """

    edges: Mapping[str, tuple[str, str]]
    options: Mapping[str, XanesOptions]
    exafs: Mapping[str, ExafsRequest]
    bins: Mapping[str, FloatArray]
    lag: float | None
    parameters: Mapping[str, Any]

    @classmethod
    def of_start(cls, start: Mapping[str, Any]) -> "XanesRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing, not known, or cannot be read.
        """
        asked = {k: v for k, v in (start.get("reduction") or {}).items() if k != "method"}
        of_edge = asked.pop("edges", None) or {}
        lag, width = asked.pop("lag", None), float(asked.pop("bin_width", BIN_WIDTH))
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
        exafs = {
            name: ExafsRequest.read(each.pop("exafs"), edges[name][0])
            for name, each in given.items()
            if each.get("exafs") is not None
        }
        options = {name: XanesOptions.read(each) for name, each in given.items()}
        return cls(
            edges=edges,
            options=options,
            exafs=exafs,
            bins=_bins(start, width),
            lag=None if lag is None else float(lag),
            parameters={
                "method": "xanes",
                "edges": given,
                "exafs": {name: parameters_of(each) for name, each in exafs.items()},
                "lag": lag,
                "bin_width": width,
            },
        )


def _bins(start: Mapping[str, Any], width: float) -> dict[str, FloatArray]:
    if start.get("mode") != "sweep":
        return {}
    return {
        name: np.arange(float(grid["start"]), float(grid["stop"]) + width / 2, width)
        for name, grid in start.get("grids", {}).items()
    }


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
