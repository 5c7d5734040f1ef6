"""This file is where a cell's stack absorbs X-rays about an absorption edge, and fluoresces.

Everything is at true photon energies; monochromator, counters and their faults are not here. Layers
are areal moles, so the jump of an edge does not change while the lattice swells. Where a metal of
the active material is, its K edge has the shape that `battbeam.sim.local_structure` gives it; metals
of casing and collectors have that of a foil; every other edge is a bare step.

What it does not imitate: spectra of the footprint's points are averaged before they attenuate,
fluorescence of inert layers, and of layers that fluorescence itself excites.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from battbeam import materials
from battbeam.scattering_paths import ABSORBERS
from battbeam.sim.attenuation import Mixture, molar_attenuation
from battbeam.sim.beam import Instants
from battbeam.sim.changer import Place
from battbeam.sim.chemistry import ActiveMaterial
from battbeam.sim.damage import Damage
from battbeam.sim.electrode import Illuminated, illuminated
from battbeam.sim.lithium import active_areal_moles, active_material
from battbeam.sim.local_structure import absorbers
from battbeam.sim.scenario import Cell, Scenario
from battbeam.sim.spectra import AbsorberState, MetalTable, SpectraTable, absorber_truth
from battbeam.sim.stack import HALF_FULL, AmountLayer, cell_slabs
from battbeam.units import FloatArray

#: Way of the fluorescence over that of the beam: the detector is upstream, 45 degree off the beam.
FLUORESCENCE_OBLIQUITY = float(np.sqrt(2))
_ROOM_TEMPERATURE = 25.0


@dataclass(frozen=True, eq=False)
class SampleState:
    """What of a cell the beam meets, worked out once for all energies (about 0.3 ms).

    Attributes:
        fraction: Of the photons that met the electrode; the rest passes beside the cell.
        content: Mean lithium (sodium) content of all active material in the beam; NaN without any.
        absorbers: Its metals, by element.
    """

    fraction: float
    content: float
    absorbers: Mapping[str, AbsorberState]


@dataclass(frozen=True)
class Fluorescence:
    """Photons per photon on the sample into the whole sphere that would leave the cell towards the
    detector; times the detector's solid angle over 4 pi they are its input. Shape (n,) each.

    Attributes:
        line: Of the K alpha line of the wanted element, from the electrode's active material.
        total: Of every K line of the active material.
    """

    line: FloatArray
    total: FloatArray


class _Inert:
    """What does not change: its metals like foils, the rest in one table."""

    def __init__(self, *amounts: Mapping[str, float], resolution: float) -> None:
        """Of the sum of ``amounts``, mol/cm2 by element."""
        total: dict[str, float] = {}
        for each in amounts:
            for element, moles in each.items():
                total[element] = total.get(element, 0.0) + moles
        self._bare = Mixture({name: total[name] for name in total if name not in ABSORBERS})
        self._metals = [
            (MetalTable(name, resolution=resolution), total[name])
            for name in total
            if name in ABSORBERS
        ]

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """At energies in eV, shape (n,)."""
        total = self._bare.absorbance(energy)
        for table, moles in self._metals:
            total = total + table.absorbance(energy, moles)
        return total


class SampleAbsorption:
    """What one cell of a scenario lets through; its tables are made on first use."""

    def __init__(self, scenario: Scenario, number: int, *, resolution: float) -> None:
        """Of cell ``number``; see `of`."""
        self.number, self._beam = number, scenario.beam
        self.cell: Cell = scenario.cells[number - 1]
        self._active: ActiveMaterial = active_material(self.cell)
        self._moles = active_areal_moles(self.cell)
        shell_shift = self.cell.ageing.shell_shift
        self.tables: Mapping[str, SpectraTable] = {
            each.element: SpectraTable(each, resolution=resolution, shell_shift=shell_shift)
            for each in absorbers(self.cell.chemistry)
        }
        self._metals = {name: self._moles * self._active.host[name] for name in self.tables}
        host = {
            name: self._moles * count
            for name, count in self._active.host.items()
            if name not in self.tables
        }
        slabs = cell_slabs(scenario, number)
        electrode = next(index for index, slab in enumerate(slabs) if slab.has_active)
        before, within, behind = (
            _amounts([layer for slab in part for layer in slab.layers])
            for part in (
                slabs[:electrode],
                slabs[electrode : electrode + 1],
                slabs[electrode + 1 :],
            )
        )
        self._before = _Inert(before, resolution=resolution)
        self._around = _Inert(before, behind, resolution=resolution)
        self._within = _Inert(within, host, resolution=resolution)

    @classmethod
    def of(
        cls, scenario: Scenario, number: int = 1, *, resolution: float = 1.0
    ) -> "SampleAbsorption":
        """Of cell ``number``; ``resolution`` is the monochromator's, eV FWHM."""
        return cls(scenario, number, resolution=resolution)

    def state(
        self,
        place: Place,
        *,
        instants: Instants,
        mean_lithium_content: Callable[[FloatArray], FloatArray],
        cycles: float = 0.0,
        heated_to: float = _ROOM_TEMPERATURE,
        damage: Damage | None = None,
    ) -> SampleState:
        """What the beam meets at a place of this cell during a count.

        Args:
            place: Of `changer.place_of`; its ``cell`` must be this one.
            instants: Photons over the count, of `BeamLog.instants` (one instant is enough where the
                cell changes little).
            mean_lithium_content: Of the connected material at times, from the cell's history.
            cycles: Equivalent full cycles so far, `HiddenState.cycles`.
            heated_to: Highest temperature of the furnace so far, degC.
            damage: Of `FluenceLedger.damage`.
        """
        seen = illuminated(
            place.x,
            place.y,
            instants=instants,
            mean_lithium_content=mean_lithium_content,
            beam=self._beam,
            cell=self.cell,
            damage=damage,
        )
        return self.state_of(seen, cycles=cycles, heated_to=heated_to)

    def state_of(
        self, seen: Illuminated, *, cycles: float = 0.0, heated_to: float = _ROOM_TEMPERATURE
    ) -> SampleState:
        """The same of an electrode that is broken into sub-volumes already."""
        if not seen.shares:
            return SampleState(0.0, float("nan"), {})
        weight = np.concatenate([share.weight for share in seen.shares])
        content = np.concatenate([share.lithium_content for share in seen.shares])
        ageing = self.cell.ageing
        disorder = ageing.debye_waller + ageing.debye_waller_per_cycle * cycles
        states = {
            element: table.state(
                content,
                weight,
                valence_change=self._valence_change(element, heated_to),
                disorder=disorder,
            )
            for element, table in self.tables.items()
        }
        return SampleState(seen.fraction, float(weight @ content / weight.sum()), states)

    def _valence_change(self, element: str, heated_to: float) -> float:
        """By age and by heat."""
        active = next(iter(self.tables))
        change = self.cell.ageing.valence_shift if element == active else 0.0
        if self.cell.chemistry == "nca":
            heating = self.cell.heating
            law = {"Ni": heating.nickel, "Co": heating.cobalt}[element]
            change -= law.amplitude / (1 + float(np.exp((law.half - heated_to) / law.width)))
        return change

    def absorbance(self, energy: FloatArray, state: SampleState) -> FloatArray:
        """-ln of what the whole stack lets through, at true energies, eV, shape (n,)."""
        energy = np.asarray(energy, dtype=float)
        return self._around.absorbance(energy) + self._electrode(energy, state)

    def transmission(self, energy: FloatArray, state: SampleState) -> FloatArray:
        """Share of the photons behind the sample, those beside the electrode included, shape (n,)."""
        energy = np.asarray(energy, dtype=float)
        if state.fraction == 0:
            return np.ones(energy.shape)
        through = np.exp(-self.absorbance(energy, state))
        return np.asarray(state.fraction * through + 1 - state.fraction)

    def _electrode(self, energy: FloatArray, state: SampleState) -> FloatArray:
        """Absorbance of the electrode's slab."""
        guest = self._moles * state.content
        total = self._within.absorbance(energy)
        total = total + guest * molar_attenuation(self._active.guest, energy)
        for element, table in self.tables.items():
            others, k_shell = table.edge.shells(energy)
            shape = table.at(energy, state.absorbers[element])
            total = total + self._metals[element] * (others + k_shell * shape)
        return total

    def fluorescence(self, energy: FloatArray, state: SampleState, *, element: str) -> Fluorescence:
        """What leaves towards a detector upstream, 45 degree off the beam, self-absorption included.

        Source:
            Photons that are absorbed at each depth times what their line's way back lets through,
            integrated over an even slab.
        """
        energy = np.asarray(energy, dtype=float)
        nothing = np.zeros(energy.shape)
        if state.fraction == 0:
            return Fluorescence(nothing, nothing)
        slab = self._electrode(energy, state)
        arriving = state.fraction * np.exp(-self._before.absorbance(energy))
        line, total = nothing, nothing
        for name, table in self.tables.items():
            _, k_shell = table.edge.shells(energy)
            shape = table.at(energy, state.absorbers[name])
            vacancies = self._metals[name] * k_shell * shape
            back, out = self._escapes[name]
            both = slab + back
            leaving = arriving * out * vacancies * -np.expm1(-both) / both
            total = total + table.edge.fluorescence_yield * leaving
            if name == element:
                line = table.edge.line_yield * leaving
        return Fluorescence(line, total)

    @functools.cached_property
    def _escapes(self) -> Mapping[str, tuple[float, float]]:
        """Of each metal's line on its way out: absorbance of the whole slab, half of the guest in it,
        and what the layers before it let out.
        """
        low, high = self._active.content_range
        bare = {**self._metals, self._active.guest: self._moles * (low + high) / 2}
        found = {}
        for name, table in self.tables.items():
            line = np.array([table.edge.line_energy])
            slab = self._within.absorbance(line) + Mixture(bare).absorbance(line)
            before = self._before.absorbance(line)
            out = float(np.exp(-before * FLUORESCENCE_OBLIQUITY)[0])
            found[name] = (float(slab[0]) * FLUORESCENCE_OBLIQUITY, out)
        return found

    def truth(self, state: SampleState, *, element: str) -> dict[str, Any]:
        """For the truth file: content, every valence, and edge, shells and fractions of one metal."""
        line: dict[str, Any] = {"cell_fraction": state.fraction}
        if state.fraction == 0:
            return line
        line["lithium_content"] = state.content
        line["valences"] = {name: each.valence for name, each in state.absorbers.items()}
        if element in self.tables:
            line |= absorber_truth(
                self.tables[element], state.absorbers[element], areal_moles=self._metals[element]
            )
        return line


def _amounts(layers: list[AmountLayer]) -> dict[str, float]:
    """mol/cm2 of each element in layers, the active one left out; graphite is half full and bare, for
    no edge in reach is its own or lithium's.
    """
    amounts: dict[str, float] = {}
    for layer in layers:
        if layer.material in ("active", "plated"):
            continue
        formula: Mapping[str, float]
        if layer.material == "counter":
            formula = {"C": 6, "Li": HALF_FULL.content}
        elif layer.crystalline:
            formula = materials.structure(layer.material).formula
        else:
            formula = materials.AMORPHOUS[layer.material][0]
        for element, count in formula.items():
            amounts[element] = amounts.get(element, 0.0) + count * layer.areal_moles
    return amounts


class FoilAbsorption:
    """A metal foil of an element."""

    def __init__(self, element: str, *, thickness: float, resolution: float) -> None:
        """See `of`."""
        import xraydb

        per_area = float(xraydb.atomic_density(element)) * thickness / 10
        self._moles = per_area / materials.atomic_mass(element)
        self._table = MetalTable(element, resolution=resolution)

    @classmethod
    def of(cls, element: str, *, thickness: float, resolution: float = 1.0) -> "FoilAbsorption":
        """Of Mn, Fe, Co, Ni or Cu, its inflection at the tabulated edge; ``thickness`` in mm."""
        return cls(element, thickness=thickness, resolution=resolution)

    def absorbance(self, energy: FloatArray) -> FloatArray:
        """At true energies, eV, shape (n,)."""
        return self._table.absorbance(np.asarray(energy, dtype=float), self._moles)

    def transmission(self, energy: FloatArray) -> FloatArray:
        """At true energies, eV, shape (n,)."""
        return np.exp(-self.absorbance(energy))
