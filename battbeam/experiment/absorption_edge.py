"""This file is where an absorption edge is named, ``Ni K``, and where it lies."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import constants

from battbeam.units import FloatArray

#: eV per (1/angstrom)^2: hbar^2 / (2 m_e) (CODATA, through scipy.constants).
EV_PER_SQUARED_WAVENUMBER = (
    constants.hbar**2 / (2 * constants.m_e) / constants.e / constants.angstrom**2
)


@dataclass(frozen=True)
class AbsorptionEdge:
    """Where an element begins to absorb.

    Attributes:
        element: Its symbol; empty where only an energy is known.
        name: Of the edge, as ``K``; empty likewise.
        energy: E0, eV.
        core_hole_width: Full natural width of the level, eV; NaN likewise.
    """

    element: str
    name: str
    energy: float
    core_hole_width: float = math.nan

    @classmethod
    def of(cls, edge: "AbsorptionEdge | str | float") -> "AbsorptionEdge":
        """An edge by its name, as ``Ni K``, or by its energy in eV.

        Raises:
            ValueError: If there is no such edge.

        Source:
            Elam's table of edges, Keski-Rahkonen and Krause's widths, both through xraydb.

        >>> AbsorptionEdge.of("Ni K")
        AbsorptionEdge(element='Ni', name='K', energy=8333.0, core_hole_width=1.44)
        >>> AbsorptionEdge.of(8340.5).label
        '8340.5 eV'
        """
        if isinstance(edge, AbsorptionEdge):
            return edge
        if isinstance(edge, str):
            return _tabulated(edge)
        if not (edge > 0 and math.isfinite(edge)):
            raise ValueError(f"an edge lies above 0 eV, got {edge:g} eV")
        return cls("", "", float(edge))

    @property
    def label(self) -> str:
        """As people say it: ``Ni K``, or ``8333 eV`` where no element is known."""
        return f"{self.element} {self.name}" if self.element else f"{self.energy:g} eV"

    def document(self) -> dict[str, Any]:
        """For a start document."""
        return {"element": self.element, "edge": self.name, "energy": self.energy}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "AbsorptionEdge":
        """As a start document says it; its energy counts, a table's does not."""
        width = math.nan
        if document["element"]:
            width = _tabulated(f"{document['element']} {document['edge']}").core_hole_width
        return cls(document["element"], document["edge"], float(document["energy"]), width)


@functools.cache
def _tabulated(label: str) -> AbsorptionEdge:
    import xraydb

    element, _, name = label.strip().partition(" ")
    element, name = element.capitalize(), name.strip().upper()
    try:
        found = xraydb.xray_edges(element).get(name)
    except ValueError:
        raise ValueError(f"edge {label!r}: no element {element!r}; write it as 'Ni K'") from None
    if found is None:
        known = ", ".join(xraydb.xray_edges(element))
        raise ValueError(f"edge {label!r}: {element} has {known}; write it as 'Ni K'")
    width = float(xraydb.core_width(element, name))
    return AbsorptionEdge(element, name, float(found.energy), width)


def wavenumber_from_energy(energy: FloatArray | float) -> FloatArray | float:
    """k of the photoelectron in 1/angstrom at an energy in eV above the edge, 0 or more.

    >>> round(float(wavenumber_from_energy(3.81)), 3)
    1.0
    """
    return (energy / EV_PER_SQUARED_WAVENUMBER) ** 0.5


def energy_from_wavenumber(wavenumber: FloatArray | float) -> FloatArray | float:
    """eV above the edge at a k in 1/angstrom.

    >>> round(float(energy_from_wavenumber(12.0)), 1)
    548.6
    """
    return EV_PER_SQUARED_WAVENUMBER * wavenumber**2
