"""This file is where it is told what photons of a spectrum meet: a cell in one state, the standard,
nothing, and a foil behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from battbeam.sim.absorption import FoilAbsorption, SampleAbsorption, SampleState
from battbeam.sim.beam import Instants
from battbeam.sim.changer import Place
from battbeam.sim.damage import Damage
from battbeam.sim.scenario import Scenario
from battbeam.sim.stack import Absorption, standard_slabs
from battbeam.units import FloatArray

#: Elements of which the wheel has a foil.
FOILS = ("Mn", "Fe", "Co", "Ni", "Cu")


class InBeam(Protocol):
    """What the beam meets in one state. Energies are true, eV, shape (n,)."""

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """-ln of what its stack lets through, shape (n,)."""
        ...

    def transmission(self, energy: FloatArray) -> FloatArray:
        """Share of the photons behind it, shape (n,)."""
        ...

    def fluorescence(self, energy: FloatArray) -> FloatArray:
        """Photons per photon that would come to a detector that saw all sides, shape (n,)."""
        ...

    def truth(self, energy: float) -> dict[str, Any]:
        """For the truth file; about the element whose edge lies next to an energy, eV."""
        ...


@dataclass(frozen=True)
class WithoutCell:
    """The standard, whose edges are far off, or nothing.

    Attributes:
        attenuation: Times thickness, at an energy in eV.
    """

    attenuation: Callable[[float], float]

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`."""
        return np.array([self.attenuation(float(each)) for each in energy])

    def transmission(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`."""
        return np.asarray(np.exp(-self.absorbance(energy)))

    def fluorescence(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`."""
        return np.zeros_like(energy)

    def truth(self, energy: float) -> dict[str, Any]:
        """See `InBeam`."""
        return {}


@dataclass(frozen=True)
class CellInBeam:
    """A cell in one state.

    Attributes:
        sample: The cell.
        state: What of it the beam meets.
    """

    sample: SampleAbsorption
    state: SampleState

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`; 0 where the beam passes beside the electrode."""
        if self.state.fraction == 0:
            return np.zeros_like(energy)
        return self.sample.absorbance(energy, self.state)

    def transmission(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`."""
        return self.sample.transmission(energy, self.state)

    def fluorescence(self, energy: FloatArray) -> FloatArray:
        """See `InBeam`: of all elements, for the detector does not tell them apart."""
        return self.sample.fluorescence(energy, self.state, element="").total

    def truth(self, energy: float) -> dict[str, Any]:
        """See `InBeam`."""
        edges = {name: table.edge.energy for name, table in self.sample.tables.items()}
        nearest = min(edges, key=lambda name: abs(edges[name] - energy), default="")
        return self.sample.truth(self.state, element=nearest)


class Samples:
    """Everything that a scenario can have in the beam; tables are made on first use and kept."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._cells: dict[int, SampleAbsorption] = {}
        self._foils: dict[str, FoilAbsorption] = {}

    def without_cell(self, place: Place) -> WithoutCell:
        """What the beam meets at a place that is no cell."""
        if place.in_beam == "nothing":
            return WithoutCell(lambda energy: 0.0)
        slabs, cell = standard_slabs(self._scenario.standard), self._scenario.cells[0]

        def attenuation(energy: float) -> float:
            through = Absorption.of(slabs, cell=cell, lithium_content=0.5, energy=energy)
            return float(through.slabs.sum())

        return WithoutCell(attenuation)

    def cell(
        self,
        place: Place,
        *,
        instants: Instants,
        mean_lithium_content: Callable[[FloatArray], FloatArray],
        cycles: float,
        heated_to: float,
        damage: Damage | None,
    ) -> CellInBeam:
        """A cell of the changer during a count; see `SampleAbsorption.state`."""
        sample = self._cells.get(place.cell)
        if sample is None:
            resolution = self._scenario.spectroscopy.resolution
            sample = SampleAbsorption.of(self._scenario, place.cell, resolution=resolution)
            self._cells[place.cell] = sample
        state = sample.state(
            place,
            instants=instants,
            mean_lithium_content=mean_lithium_content,
            cycles=cycles,
            heated_to=heated_to,
            damage=damage,
        )
        return CellInBeam(sample, state)

    def foil(self, element: str, energy: FloatArray) -> FloatArray:
        """Share of the photons that a foil of the wheel lets through; none: all of them."""
        if not element:
            return np.ones_like(energy)
        foil = self._foils.get(element)
        if foil is None:
            settings = self._scenario.spectroscopy
            foil = FoilAbsorption.of(
                element, thickness=settings.foil_thickness, resolution=settings.resolution
            )
            self._foils[element] = foil
        return foil.transmission(energy)
