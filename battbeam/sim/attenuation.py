"""This file is where the attenuation of an element is tabulated for speed, and its K edge taken apart:
what the other shells absorb, and what the K shell adds.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.units import FloatArray

#: Range of the tables, eV, and points in it; between them lines in log-log, where attenuation is
#: nearly straight (1e-6 of it). Edges are steps between two points of their own.
LOWEST, HIGHEST, _N_POINTS = 3000.0, 60_000.0, 3000
#: eV on either side of a tabulated edge; xraydb's own steps are some 0.01 eV off theirs.
_EDGE_GAP = 0.1
#: Spans beside an edge over which a power law is fitted, shares of the edge's energy.
_BELOW, _ABOVE = (0.85, 0.998), (1.002, 1.15)


@functools.cache
def edge_energies(element: str) -> tuple[float, ...]:
    """Of every edge of an element within the tables, eV."""
    import xraydb

    energies = (float(edge.energy) for edge in xraydb.xray_edges(element).values())
    return tuple(sorted(energy for energy in energies if LOWEST < energy < HIGHEST))


@functools.cache
def _table(element: str) -> tuple[FloatArray, FloatArray]:
    """ln of energy in eV and of attenuation in cm2/mol."""
    import xraydb

    edges = np.array(edge_energies(element))
    grid = np.geomspace(LOWEST, HIGHEST, _N_POINTS)
    grid = np.sort(np.concatenate([grid, edges - _EDGE_GAP, edges + _EDGE_GAP]))
    per_gram = np.asarray(xraydb.mu_elam(element, grid))
    return np.log(grid), np.log(per_gram * materials.atomic_mass(element))


def molar_attenuation(element: str, energy: FloatArray) -> FloatArray:
    """cm2/mol at energies in eV, shape (n,), with a bare step at each edge (Elam tables, xraydb)."""
    grid, values = _table(element)
    return np.exp(np.interp(np.log(energy), grid, values))


class Mixture:
    """Amounts of several elements in one table, with a bare step at each edge."""

    def __init__(self, amounts: Mapping[str, float]) -> None:
        """Of ``amounts``, mol/cm2 by element."""
        present = {element: moles for element, moles in amounts.items() if moles > 0}
        grids = [_table(element)[0] for element in present]
        self._grid = np.unique(np.concatenate(grids)) if grids else np.array([0.0])
        energy = np.exp(self._grid)
        total = np.zeros(len(energy))
        for element, moles in present.items():
            total += moles * molar_attenuation(element, energy)
        with np.errstate(divide="ignore"):
            self._values = np.log(total)

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """At energies in eV, shape (n,)."""
        return np.exp(np.interp(np.log(energy), self._grid, self._values))


@dataclass(frozen=True)
class KEdge:
    """The attenuation of an element about its K edge.

    Attributes:
        element: Chemical symbol.
        energy: Tabulated, eV.
        core_width: FWHM of the core hole, eV.
        below: ln of the factor and power of what the other shells absorb, above the edge too.
        above: The same of the whole, below the edge too.
        line_energy: Mean of the K alpha line, eV.
        line_yield: K alpha photons per vacancy in the K shell.
        fluorescence_yield: K photons per vacancy.
    """

    element: str
    energy: float
    core_width: float
    below: tuple[float, float]
    above: tuple[float, float]
    line_energy: float
    line_yield: float
    fluorescence_yield: float

    @classmethod
    def of(cls, element: str) -> "KEdge":
        """Of an element whose K edge the tables hold."""
        return _k_edge(element)

    def shells(self, energy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the other shells absorb and what the whole K shell adds, cm2/mol, shape (n,) each.

        The sum is the tabulated attenuation above the edge; below the edge the first is, and the second
        goes on as it would without an edge, so that a shape that is not 0 there has something to
        shape.
        """
        energy = np.asarray(energy, dtype=float)
        tabulated, log_energy = molar_attenuation(self.element, energy), np.log(energy)
        is_below, is_above = (energy < self.energy - _EDGE_GAP, energy > self.energy + _EDGE_GAP)
        others = np.where(is_below, tabulated, _power(self.below, log_energy))
        whole = np.where(is_above, tabulated, _power(self.above, log_energy))
        return others, whole - others


def _power(law: tuple[float, float], log_energy: FloatArray | float) -> FloatArray:
    return np.asarray(np.exp(law[0] + law[1] * np.asarray(log_energy)))


@functools.cache
def _k_edge(element: str) -> KEdge:
    import xraydb

    edge = xraydb.xray_edge(element, "K")
    energy = float(edge.energy)

    def fitted(span: tuple[float, float]) -> tuple[float, float]:
        """Through the end next to the edge, with the slope of the span."""
        ends = np.array(span) * energy
        near = energy - _EDGE_GAP if span[1] < 1 else energy + _EDGE_GAP
        logs = np.log(molar_attenuation(element, ends))
        slope = float((logs[1] - logs[0]) / (np.log(ends[1]) - np.log(ends[0])))
        value = float(np.log(molar_attenuation(element, np.array([near]))[0]))
        return value - slope * float(np.log(near)), slope

    fluorescence, line_energy, probability = xraydb.fluor_yield(element, "K", "Ka", energy + 100)
    return KEdge(
        element=element,
        energy=energy,
        core_width=float(xraydb.core_width(element, "K")),
        below=fitted(_BELOW),
        above=fitted(_ABOVE),
        line_energy=float(line_energy),
        line_yield=float(fluorescence * probability),
        fluorescence_yield=float(fluorescence),
    )
