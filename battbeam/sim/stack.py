"""This file is where the layers in the beam are: their areal moles, what they absorb and what they
scatter.

A layer is an areal amount, mol of formula units per cm2: lithium that leaves a host takes its own
absorption along and nothing else changes, however the lattice swells. The beam goes along the
layers' normal, so a ray at 2 theta leaves through 1/cos(2 theta) of what lies behind. Layers whose
middles share a depth (electrode and its carbon) are one slab, mixed through.

Not imitated: that a cathode which heat has turned absorbs less by the oxygen that it lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.materials import AVOGADRO
from battbeam.sim import hosts
from battbeam.sim.hosts import HOSTS, Host
from battbeam.sim.lithium import active_material
from battbeam.sim.scenario import Cell, Layer, Scenario, Texture
from battbeam.sim.scenario_layer import SAME_DEPTH
from battbeam.units import FloatArray

#: The mounted powder standard: thickness, mm, and share of it that is solid.
STANDARD_THICKNESS, STANDARD_PACKING = 0.1, 0.5
#: Air as the beam sees it between window and beam stop, by volume, and mol/cm3 at 22 degC.
AIR: Mapping[str, float] = {"N": 1.56, "O": 0.42, "Ar": 0.01}
AIR_DENSITY = 4.13e-5


@dataclass(frozen=True)
class AmountLayer:
    """One layer as the beam sees it.

    Attributes:
        material: Name of the phase, glass or host (`battbeam.sim.hosts`).
        areal_moles: mol of formula units per cm2; of a host what its shares count.
        depth: z of its middle, mm.
        crystalline: Whether it has Bragg lines.
        moves: Whether it goes along where the cell moves.
        texture: How its crystals lie, or at random.
        graininess: Grains that reflect into a steradian; 0: no end of them.
    """

    material: str
    areal_moles: float
    depth: float
    crystalline: bool
    moves: bool = True
    texture: Texture | None = None
    graininess: float = 0.0

    @property
    def is_host(self) -> bool:
        """Whether its pattern depends on the cell."""
        return self.material in HOSTS


@dataclass(frozen=True)
class Opposite:
    """What is opposite the working electrode, mean over what the beam meets of it.

    Attributes:
        content: Lithium content of graphite, y in LiyC6.
        metal: Lithium metal on it, in parts of `hosts.areal_moles` of ``plated``.
    """

    content: float = 0.5
    metal: float = 0.0


#: Graphite that is half full and bare.
HALF_FULL = Opposite()


@dataclass(frozen=True)
class Slab:
    """Layers at one depth, mixed through; all of them go along where the cell moves, or none.

    Attributes:
        depth: mm.
        layers: At least one.
    """

    depth: float
    layers: tuple[AmountLayer, ...]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Those of its layers whose pattern depends on the cell."""
        present = {layer.material for layer in self.layers}
        return tuple(host for host in HOSTS if host in present)

    def depth_of(self, displacement: float) -> float:
        """z of its middle, mm, with the cell ``displacement`` mm downstream."""
        return self.depth + displacement if self.layers[0].moves else self.depth

    @property
    def has_active(self) -> bool:
        """Whether the electrode's active material is in it."""
        return "active" in self.hosts


def areal_moles(layer: Layer, cell: Cell) -> float:
    """Of a layer as built, mol of formula units per cm2.

    Raises:
        ValueError: If its material is neither a host, a phase nor a glass.
    """
    for host in HOSTS:
        if layer.material == host:
            return hosts.areal_moles(host, cell)
    if layer.material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[layer.material]
        return density * layer.thickness / 10 / materials.molar_mass(formula)
    return crystal_areal_moles(layer.material, thickness=layer.thickness)


def crystal_areal_moles(phase: str, *, thickness: float) -> float:
    """Of a dense crystalline layer of ``thickness`` mm, mol of formula units per cm2."""
    crystal = materials.structure(phase)
    return thickness / 10 * crystal.formula_units / (crystal.lattice.volume * 1e-24 * AVOGADRO)


def cell_slabs(scenario: Scenario, number: int = 1) -> tuple[Slab, ...]:
    """The stack of a cell, slabs in the beam's order."""
    cell = scenario.cells[number - 1]
    layers = [
        AmountLayer(
            layer.material,
            areal_moles(layer, cell),
            layer.depth,
            layer.material not in materials.AMORPHOUS,
            layer.moves,
            layer.texture,
            layer.graininess,
        )
        for layer in scenario.stack_of(number)
    ]
    slabs: list[Slab] = []
    for layer in sorted(layers, key=lambda layer: layer.depth):
        last = slabs[-1] if slabs else None
        if last and last.layers[0].moves == layer.moves and layer.depth - last.depth < SAME_DEPTH:
            slabs[-1] = Slab(slabs[-1].depth, (*slabs[-1].layers, layer))
        else:
            slabs.append(Slab(layer.depth, (layer,)))
    return tuple(slabs)


def standard_slabs(name: str) -> tuple[Slab, ...]:
    """The powder standard, in the plane of the electrode's middle."""
    amount = crystal_areal_moles(name, thickness=STANDARD_THICKNESS) * STANDARD_PACKING
    return (Slab(0.0, (AmountLayer(name, amount, 0.0, True),)),)


def layer_absorption(
    layer: AmountLayer,
    *,
    cell: Cell,
    lithium_content: float,
    energy: float,
    opposite: Opposite = HALF_FULL,
) -> float:
    """Attenuation times thickness of one layer along the beam, with the hosts as they are filled."""
    amount = layer.areal_moles
    formula: Mapping[str, float]
    if layer.material == "active":
        formula = active_material(cell).at(lithium_content)
    elif layer.material == "counter":
        formula = {"C": 6, "Li": opposite.content}
    elif layer.material == "plated":
        formula, amount = {"Li": 1}, amount * opposite.metal
    elif layer.crystalline:
        formula = materials.structure(layer.material).formula
    else:
        formula = materials.AMORPHOUS[layer.material][0]
    return amount * materials.molar_attenuation(formula, energy)


def slab_absorption(
    slab: Slab,
    *,
    cell: Cell,
    lithium_content: float,
    energy: float,
    opposite: Opposite = HALF_FULL,
) -> float:
    """Attenuation times thickness of a slab along the beam."""
    return sum(
        layer_absorption(
            layer, cell=cell, lithium_content=lithium_content, energy=energy, opposite=opposite
        )
        for layer in slab.layers
    )


@dataclass(frozen=True)
class Absorption:
    """What a stack lets through.

    Attributes:
        slabs: Attenuation times thickness of each, along the beam, shape (n,).
    """

    slabs: FloatArray

    @classmethod
    def of(
        cls,
        slabs: tuple[Slab, ...],
        *,
        cell: Cell,
        lithium_content: float,
        energy: float,
        opposite: Opposite = HALF_FULL,
    ) -> "Absorption":
        """Of a stack at the active material's lithium content, at what is opposite, and at an energy
        in eV.
        """
        each = [
            slab_absorption(
                slab, cell=cell, lithium_content=lithium_content, energy=energy, opposite=opposite
            )
            for slab in slabs
        ]
        return cls(np.array(each))

    @property
    def transmission(self) -> float:
        """Of the direct beam."""
        return float(np.exp(-self.slabs.sum()))

    def around(self, index: int, *, two_theta: FloatArray) -> FloatArray:
        """What the slabs before and behind slab ``index`` let through of its rays at two_theta,
        degree.
        """
        obliquity = 1 / np.cos(np.radians(two_theta))
        return np.asarray(
            np.exp(-self.slabs[:index].sum() - obliquity * self.slabs[index + 1 :].sum())
        )

    def within(self, index: int, *, two_theta: FloatArray, fraction: float) -> FloatArray:
        """What slab ``index`` lets through of rays that start at ``fraction`` (0 to 1) of its own
        depth.
        """
        obliquity = 1 / np.cos(np.radians(two_theta))
        return np.asarray(np.exp(-self.slabs[index] * (fraction + (1 - fraction) * obliquity)))

    def within_mean(self, index: int, *, two_theta: FloatArray) -> FloatArray:
        """`within`, averaged over the slab's depth."""
        excess = self.slabs[index] * (1 / np.cos(np.radians(two_theta)) - 1)
        # (1 - exp(-u)) / u without the loss of digits near u = 0
        safe = np.where(excess > 1e-9, excess, 1.0)
        mean = np.where(excess > 1e-9, -np.expm1(-safe) / safe, 1.0)
        return np.asarray(np.exp(-self.slabs[index]) * mean)


def is_on_electrode(x: FloatArray, y: FloatArray, cell: Cell) -> FloatArray:
    """Whether each point (mm) meets the electrode: 1 or 0, same shape."""
    return np.asarray(np.hypot(x, y) <= cell.electrode_radius, dtype=float)
