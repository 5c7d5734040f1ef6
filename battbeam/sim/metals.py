"""This file is where it is said what metals of foils and casings look like at their K edges.

Distances are tabulated lattices'; shapes and disorder are chosen, as in
`battbeam.sim.local_structure`.
"""

from collections.abc import Mapping

from battbeam.sim.fine_structure import NearEdge, Peak, Rise, Shell
from battbeam.sim.local_structure import Component


def _metal_edge(position: float) -> NearEdge:
    return NearEdge(
        position=position,
        rises=(Rise(0.45, 0.0, 1.5), Rise(0.55, 8.0, 6.0)),
        peaks=(Peak(13.0, 0.10, 6.0), Peak(21.0, -0.05, 6.0)),
        by_inflection=True,
    )


_FCC = ((12, 1.0), (6, 1.4142), (24, 1.7321), (12, 2.0))
_BCC = ((8, 1.0), (6, 1.1547), (12, 1.6330), (24, 1.9149))
#: Nearest neighbours, angstrom, and how many at which multiples: Co as if cubic, Mn as a mean.
_METALS: Mapping[str, tuple[float, tuple[tuple[int, float], ...]]] = {
    "Mn": (2.68, ((12, 1.0),)),
    "Fe": (2.483, _BCC),
    "Co": (2.507, _FCC),
    "Ni": (2.492, _FCC),
    "Cu": (2.556, _FCC),
}


def metal(element: str, *, edge_energy: float) -> Component:
    """An element as a metal, the inflection of its first rise at ``edge_energy``."""
    nearest, shells = _METALS[element]
    return Component(
        element,
        _metal_edge(edge_energy),
        tuple(
            Shell(element, number, nearest * factor, 0.006 + 0.0015 * (factor - 1))
            for number, factor in shells
        ),
    )
