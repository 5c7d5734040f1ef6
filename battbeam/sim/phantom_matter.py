"""This file is where it is said what a phantom is made of: amounts of elements in a volume.

A change of material, what is inside a body minus what would be there without it, is matter too: its
amounts may be negative. Attenuation and refraction are sums over elements, so that changes add up.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.materials import AVOGADRO, CLASSICAL_ELECTRON_RADIUS
from battbeam.sim.chemistry import ACTIVE_MATERIALS, Chemistry
from battbeam.units import wavelength_from_energy

#: Of SEO, a block copolymer with LiTFSI in its poly(ethylene oxide): formula and g/cm3. Chosen after
#: the composition that is usual for symmetric cells.
POLYMER: tuple[Mapping[str, float], float] = (
    {"C": 10.3, "H": 12.3, "O": 1.3, "Li": 0.085, "N": 0.085, "F": 0.5, "S": 0.17},
    1.15,
)
#: Content of the guest and g/cm3 at it, where no crystal structure is known here; handbook values
#: and of one oxide by analogy with another, recalled.
_DENSITY: Mapping[Chemistry, tuple[float, float]] = {
    "nanmc442": (1.0, 4.4),
    "lmo": (1.0, 4.28),
    "lirich": (1.0, 4.3),
    "nca": (1.0, 4.75),
    "mno2": (0.0, 4.5),
    "sno": (0.0, 6.45),
    "lithium": (1.0, 0.534),
}


@dataclass(frozen=True)
class Matter:
    """Elements in a volume.

    Attributes:
        amounts: Element and mol/cm3, sorted.
    """

    amounts: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, formula: Mapping[str, float], *, concentration: float) -> "Matter":
        """So many mol of formula units per cm3."""
        return cls(tuple(sorted((name, n * concentration) for name, n in formula.items())))

    def __add__(self, other: "Matter") -> "Matter":
        """Both in one volume."""
        total = dict(self.amounts)
        for name, amount in other.amounts:
            total[name] = total.get(name, 0.0) + amount
        return Matter(tuple(sorted(total.items())))

    def __mul__(self, share: float) -> "Matter":
        """So much of it."""
        return Matter(tuple((name, amount * share) for name, amount in self.amounts))

    def __sub__(self, other: "Matter") -> "Matter":
        """The change from ``other`` to this."""
        return self + other * -1.0

    def attenuation(self, energy: float) -> float:
        """Linear attenuation coefficient, 1/mm, at an energy in eV."""
        return materials.molar_attenuation(dict(self.amounts), energy) / 10

    def decrement(self, energy: float) -> float:
        """Decrement of the refractive index, delta, at an energy in eV.

        Source:
            delta = r_e wavelength^2 n_e / (2 pi), n_e the density of electrons; dispersion is left
            out.
        """
        electrons = sum(_atomic_number(name) * amount for name, amount in self.amounts) * AVOGADRO
        wavelength = wavelength_from_energy(energy) * 1e-8
        return float(CLASSICAL_ELECTRON_RADIUS * wavelength**2 * electrons / (2 * np.pi))


@functools.cache
def _atomic_number(element: str) -> int:
    import xraydb

    return int(xraydb.atomic_number(element))


@functools.lru_cache(maxsize=1024)
def wave_exponent(matter: Matter, energy: float) -> complex:
    """What a wave's logarithm loses per mm of matter: attenuation / 2 + i k delta, at eV."""
    wavenumber = 2 * np.pi / (wavelength_from_energy(energy) * 1e-7)
    return complex(matter.attenuation(energy) / 2, wavenumber * matter.decrement(energy))


@functools.cache
def matter_of(material: str) -> Matter:
    """A material that a cell is built from.

    Raises:
        ValueError: If it is neither a phase, a glass nor ``polymer``.
    """
    if material == "polymer":
        formula, density = POLYMER
    elif material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[material]
    else:
        crystal = materials.structure(material)
        return Matter.of(crystal.formula, concentration=_crystal_concentration(crystal))
    return Matter.of(formula, concentration=density / materials.molar_mass(formula))


def active_matter(chemistry: Chemistry, content: float) -> Matter:
    """Dense active material at a content of its guest, in the volume that it has at its reference."""
    return Matter.of(
        ACTIVE_MATERIALS[chemistry].at(content), concentration=_active_concentration(chemistry)
    )


@functools.cache
def _active_concentration(chemistry: Chemistry) -> float:
    """mol of formula units per cm3."""
    active = ACTIVE_MATERIALS[chemistry]
    if chemistry in _DENSITY:
        reference, density = _DENSITY[chemistry]
        return density / materials.molar_mass(active.at(reference))
    return _crystal_concentration(materials.structure(active.name, 1.0))


def _crystal_concentration(crystal: materials.Structure) -> float:
    """mol of formula units per cm3."""
    return crystal.formula_units / (crystal.lattice.volume * 1e-24 * AVOGADRO)


def porous(solid: Matter, packing: float) -> Matter:
    """A share ``packing`` of the volume solid, the rest electrolyte."""
    return solid * packing + matter_of("electrolyte") * (1 - packing)
