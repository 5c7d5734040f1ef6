"""This file is where normalized spectra are tabulated, so that one energy costs microseconds.

Between nodes of content, of disorder and of energy lines are drawn; the steps are so small that no
spectrum is off by more than 2e-4 of its jump.
"""

import functools
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from battbeam.sim.attenuation import KEdge
from battbeam.sim.fine_structure import normalized_absorption
from battbeam.sim.local_structure import Absorber, Component, aged
from battbeam.sim.metals import metal
from battbeam.units import FloatArray

#: Reach of the tables from the tabulated edge, eV; below them a shape is 0, beyond 1.
_FIRST, _LAST = -60.0, 1500.0
#: Steps of energy near the edge, up to how far, and beyond, eV.
_FINE_STEP, _FINE_END, _COARSE_STEP = 0.05, 70.0, 0.25
#: Step of disorder, angstrom squared, and tables of it that are kept.
_DISORDER_STEP, _N_KEPT = 5e-4, 4


def shape_grid(edge_energy: float) -> FloatArray:
    """Energies of a table, eV."""
    fine = np.arange(round((_FINE_END - _FIRST) / _FINE_STEP)) * _FINE_STEP + _FIRST
    n_coarse = round((_LAST - _FINE_END) / _COARSE_STEP) + 1
    coarse = np.arange(n_coarse) * _COARSE_STEP + _FINE_END
    return np.asarray(edge_energy + np.concatenate([fine, coarse]))


@dataclass(frozen=True, eq=False)
class AbsorberState:
    """What one metal is like in the beam.

    Attributes:
        weights: Of the columns of its tables, shape (n_columns,), sum 1.
        shift: By which heat and age move its spectrum, eV.
        disorder: By which age adds to sigma squared, angstrom squared.
        valence: Mean, heat and age included.
        shares: Of its components, shape (n_components,).
    """

    weights: FloatArray
    shift: float
    disorder: float
    valence: float
    shares: FloatArray


class SpectraTable:
    """The normalized spectra of one metal of an active material."""

    def __init__(self, absorber: Absorber, *, resolution: float, shell_shift: float = 0.0) -> None:
        """A table that is filled on first use; ``resolution`` is the monochromator's, eV FWHM."""
        self.absorber = absorber
        self.edge = KEdge.of(absorber.element)
        self.grid = shape_grid(self.edge.energy)
        self._broadening = math.hypot(self.edge.core_width, resolution)
        self._shell_shift = shell_shift
        self._tables: OrderedDict[int, FloatArray] = OrderedDict()

    def state(
        self, content: FloatArray, weight: FloatArray, *, valence_change: float, disorder: float
    ) -> AbsorberState:
        """Of material with contents of its guest, shape (n,), in proportion to ``weight``."""
        share = weight / weight.sum()
        shares = share @ self.absorber.shares_at(content)
        columns = shares if self.absorber.shares is not None else self._nodes(content, share)
        valence = float(share @ self.absorber.valence(content)) + valence_change
        return AbsorberState(
            columns, self.absorber.slope * valence_change, disorder, valence, shares
        )

    def _nodes(self, content: FloatArray, share: FloatArray) -> FloatArray:
        nodes = self.absorber.nodes
        place = (content - nodes[0]) / (nodes[1] - nodes[0])
        left = np.clip(place.astype(int), 0, len(nodes) - 2)
        right_share = place - left
        n_nodes = len(nodes)
        low = np.bincount(left, weights=share * (1 - right_share), minlength=n_nodes)
        return np.asarray(low + np.bincount(left + 1, share * right_share, minlength=n_nodes))

    def at(self, energy: FloatArray, state: AbsorberState) -> FloatArray:
        """The normalized spectrum at energies in eV, shape (n,)."""
        wanted = np.asarray(energy, dtype=float) - state.shift
        if wanted.min() >= self.grid[-1] or wanted.max() <= self.grid[0]:
            return np.where(wanted >= self.grid[-1], 1.0, 0.0)
        right = np.clip(np.searchsorted(self.grid, wanted), 1, len(self.grid) - 1)
        left = right - 1
        part = (wanted - self.grid[left]) / (self.grid[right] - self.grid[left])
        part = np.clip(part, 0.0, 1.0)
        total = np.zeros_like(wanted)
        for share, table in self._between(state.disorder):
            low, high = table[left] @ state.weights, table[right] @ state.weights
            total += share * (low + part * (high - low))
        return total

    def whole(self, state: AbsorberState) -> FloatArray:
        """The normalized spectrum on the table's own grid, shift left out."""
        pairs = self._between(state.disorder)
        return np.asarray(sum(share * (table @ state.weights) for share, table in pairs))

    def _between(self, disorder: float) -> list[tuple[float, FloatArray]]:
        place = disorder / _DISORDER_STEP
        node = int(place)
        pairs = [(1 - (place - node), node), (place - node, node + 1)]
        return [(share, self._table(index)) for share, index in pairs if share > 0]

    def _table(self, node: int) -> FloatArray:
        if node not in self._tables:
            disorder = node * _DISORDER_STEP
            spectra = [self._spectrum(each, disorder) for each in self.columns]
            self._tables[node] = np.stack(spectra, axis=1)
            while len(self._tables) > _N_KEPT:
                self._tables.popitem(last=False)
        self._tables.move_to_end(node)
        return self._tables[node]

    @functools.cached_property
    def columns(self) -> tuple[Component, ...]:
        """What each column of a table is of, before age disorders it: nodes of content, or components."""
        nodes = self.absorber.nodes if self.absorber.shares is None else self.absorber.nodes[:1]
        return tuple(
            aged(component, shell_shift=self._shell_shift)
            for node in nodes
            for component in self.absorber.components(float(node))
        )

    @functools.cached_property
    def fresh_position(self) -> float:
        """Half step of a fresh cell that is full of its guest, eV."""
        full = self.absorber.nodes[-1:]
        return half_step(self, self.state(full, np.ones(1), valence_change=0.0, disorder=0.0))

    def _spectrum(self, component: Component, disorder: float) -> FloatArray:
        shells = (replace(each, sigma2=each.sigma2 + disorder) for each in component.shells)
        spectrum = normalized_absorption(
            self.grid,
            component.near_edge,
            tuple(shells),
            absorber=self.absorber.element,
            broadening=self._broadening,
        )
        # So that a shape goes on as 0 and 1 without a step.
        spectrum[0], spectrum[-1] = 0.0, 1.0
        return spectrum


class MetalTable:
    """The normalized spectrum of an element as a metal."""

    def __init__(self, element: str, *, resolution: float) -> None:
        self.edge = KEdge.of(element)
        self._grid = shape_grid(self.edge.energy)
        component = metal(element, edge_energy=self.edge.energy)
        self._spectrum = normalized_absorption(
            self._grid,
            component.near_edge,
            component.shells,
            absorber=element,
            broadening=math.hypot(self.edge.core_width, resolution),
        )

    def absorbance(self, energy: FloatArray, areal_moles: float) -> FloatArray:
        """Of so much of it, mol/cm2, at energies in eV, shape (n,)."""
        others, k_shell = self.edge.shells(energy)
        shape = np.interp(energy, self._grid, self._spectrum, left=0.0, right=1.0)
        return np.asarray(areal_moles * (others + k_shell * shape))


def absorber_truth(
    table: SpectraTable, state: AbsorberState, *, areal_moles: float
) -> dict[str, Any]:
    """Of one metal, for the truth file; means over what the beam met.

    Args:
        table: Its spectra.
        state: As the beam met it.
        areal_moles: Of the metal, mol/cm2.
    """
    columns, position = table.columns, half_step(table, state)
    near_edges = [each.near_edge for each in columns]
    areas = [0.0 if each.pre_edge is None else each.pre_edge.area for each in near_edges]
    origins = np.array([each.position for each in near_edges])
    mixes = table.absorber.shares is not None
    names = [each.name for each in columns] if mixes else []
    return {
        "valence": state.valence,
        "edge_position": position,
        "edge_shift": position - table.fresh_position,
        "k_origin": float(state.weights @ origins) + state.shift,
        "edge_step": areal_moles * float(table.edge.shells(np.array([position]))[1][0]),
        "pre_edge_area": float(state.weights @ np.array(areas)),
        "fractions": {name: float(state.shares[index]) for index, name in enumerate(names)},
        "shells": _mean_shells(columns, state),
    }


def half_step(table: SpectraTable, state: AbsorberState) -> float:
    """Energy at which the spectrum first is one half, eV."""
    spectrum = table.whole(state)
    right = int(np.argmax(spectrum >= 0.5))
    rise = spectrum[right] - spectrum[right - 1]
    part = (0.5 - spectrum[right - 1]) / rise
    low, high = table.grid[right - 1], table.grid[right]
    return float(low + part * (high - low)) + state.shift


def _mean_shells(columns: tuple[Component, ...], state: AbsorberState) -> list[dict[str, Any]]:
    """The mean of each shell, the nearest first."""
    means = []
    for shells in zip(*(each.shells for each in columns), strict=True):
        numbers = np.array([(each.number, each.distance, each.sigma2) for each in shells])
        number, distance, sigma2 = (float(mean) for mean in state.weights @ numbers)
        means.append(
            {
                "neighbour": shells[0].neighbour,
                "number": number,
                "distance": distance,
                "sigma2": sigma2 + state.disorder,
            }
        )
    return means
