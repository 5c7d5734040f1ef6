"""This file is where constants of nature and of materials are, for the simulation and for the reduction alike.

Only constants: crystal structures, lattice parameters against lithium content, scattering factors of free
atoms, attenuation. Structure factors, geometry and backgrounds are computed by each side for itself.

Lithium content x is per formula unit (LixFePO4, LixNi0.8Mn0.1Co0.1O2).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from battbeam.units import FloatArray

#: Thomson scattering length of the electron, cm (CODATA).
CLASSICAL_ELECTRON_RADIUS = 2.8179403205e-13
#: Per mol (exact since 2019).
AVOGADRO = 6.02214076e23
#: C/mol (exact since 2019).
FARADAY = 96485.33212

Trust = Literal["checked", "read", "recalled"]


@dataclass(frozen=True)
class Site:
    """One atom of the asymmetric unit.

    Attributes:
        element: Chemical symbol.
        position: Fractional coordinates.
        occupancy: 0 to 1.
        u_iso: Mean square displacement, angstrom squared.
    """

    element: str
    position: tuple[float, float, float]
    occupancy: float
    u_iso: float


@dataclass(frozen=True)
class Lattice:
    """Edges in angstrom, angles in degree."""

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0

    @property
    def volume(self) -> float:
        """Of the unit cell, cubic angstrom."""
        ca, cb, cg = np.cos(np.radians([self.alpha, self.beta, self.gamma]))
        return float(
            self.a * self.b * self.c * np.sqrt(1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg)
        )


@dataclass(frozen=True)
class Structure:
    """A crystal structure.

    Attributes:
        name: Of the phase.
        formula: Atoms per formula unit.
        space_group: Hermann-Mauguin symbol with its setting, as gemmi reads it.
        formula_units: In one unit cell (Z).
        free_edges: The independent cell edges, in the order in which they are refined.
        source: Where the numbers are from.
        trust: How far: ``checked`` against another program, ``read`` in a public text, ``recalled``.
    """

    name: str
    formula: Mapping[str, float] = field(hash=False)
    space_group: str
    lattice: Lattice
    sites: tuple[Site, ...]
    formula_units: int
    free_edges: tuple[str, ...]
    source: str
    trust: Trust

    @property
    def molar_mass(self) -> float:
        """g per mol of formula units."""
        return molar_mass(self.formula)


_U_LITHIUM = 0.012

_LIFEPO4 = Structure(
    name="LiFePO4",
    formula={"Li": 1, "Fe": 1, "P": 1, "O": 4},
    space_group="P n m a",
    lattice=Lattice(10.332, 6.01, 4.692),
    sites=(
        Site("Li", (0, 0, 0), 1, _U_LITHIUM),
        Site("Fe", (0.28222, 0.25, 0.97472), 1, 0.006),
        Site("P", (0.09482, 0.25, 0.4182), 1, 0.006),
        Site("O", (0.09678, 0.25, 0.74279), 1, 0.008),
        Site("O", (0.4571, 0.25, 0.20602), 1, 0.008),
        Site("O", (0.16558, 0.04646, 0.28478), 1, 0.008),
    ),
    formula_units=4,
    free_edges=("a", "b", "c"),
    source="Streltsov et al., Acta Cryst. B49 (1993) 147",
    trust="read",
)
_FEPO4 = Structure(
    name="FePO4",
    formula={"Li": 0, "Fe": 1, "P": 1, "O": 4},
    space_group="P n m a",
    lattice=Lattice(9.8142, 5.7893, 4.782),
    sites=(
        Site("Li", (0, 0, 0), 0, _U_LITHIUM),
        Site("Fe", (0.2753, 0.25, 0.948), 1, 0.007),
        Site("P", (0.094, 0.25, 0.395), 1, 0.007),
        Site("O", (0.1215, 0.25, 0.708), 1, 0.009),
        Site("O", (0.4389, 0.25, 0.1597), 1, 0.009),
        Site("O", (0.1663, 0.0448, 0.2505), 1, 0.009),
    ),
    formula_units=4,
    free_edges=("a", "b", "c"),
    source="Rousse et al., Chem. Mater. 15 (2003) 4082",
    trust="recalled",
)
_NMC811 = Structure(
    name="NMC811",
    formula={"Li": 1, "Ni": 0.8, "Mn": 0.1, "Co": 0.1, "O": 2},
    space_group="R -3 m:H",
    lattice=Lattice(2.872, 2.872, 14.2, gamma=120),
    sites=(
        Site("Li", (0, 0, 0.5), 1, _U_LITHIUM),
        Site("Ni", (0, 0, 0), 0.8, 0.005),
        Site("Mn", (0, 0, 0), 0.1, 0.005),
        Site("Co", (0, 0, 0), 0.1, 0.005),
        Site("O", (0, 0, 0.259), 1, 0.009),
    ),
    formula_units=3,
    free_edges=("a", "c"),
    source="de Biasi et al., J. Phys. Chem. C 121 (2017) 26163; Maerker et al., Chem. Mater. 31 (2019) 2545",
    trust="recalled",
)


def _cubic(
    name: str,
    formula: dict[str, float],
    group: str,
    a: float,
    sites: tuple[Site, ...],
    z: int,
    source: str,
    trust: Trust,
) -> Structure:
    return Structure(name, formula, group, Lattice(a, a, a), sites, z, ("a",), source, trust)


_INERT = (
    _cubic(
        "Al",
        {"Al": 1},
        "F m -3 m",
        4.0495,
        (Site("Al", (0, 0, 0), 1, 0.0095),),
        4,
        "ICDD 04-0787",
        "checked",
    ),
    _cubic(
        "Cu",
        {"Cu": 1},
        "F m -3 m",
        3.6149,
        (Site("Cu", (0, 0, 0), 1, 0.0072),),
        4,
        "ICDD 04-0836",
        "checked",
    ),
    _cubic(
        "steel",
        {"Fe": 0.70, "Cr": 0.19, "Ni": 0.11},
        "F m -3 m",
        3.595,
        (
            Site("Fe", (0, 0, 0), 0.70, 0.005),
            Site("Cr", (0, 0, 0), 0.19, 0.005),
            Site("Ni", (0, 0, 0), 0.11, 0.005),
        ),
        4,
        "AISI 304/316, typical 3.59 to 3.60",
        "read",
    ),
    _cubic(
        "Li",
        {"Li": 1},
        "I m -3 m",
        3.51,
        (Site("Li", (0, 0, 0), 1, 0.06),),
        2,
        "Nadler & Kempter (1959)",
        "recalled",
    ),
)
_CALIBRANTS = (
    _cubic(
        "LaB6",
        {"La": 1, "B": 6},
        "P m -3 m",
        4.15689,
        (Site("La", (0, 0, 0), 1, 0.005), Site("B", (0.1997, 0.5, 0.5), 1, 0.004)),
        1,
        "NIST SRM 660b certificate (lattice parameter at 22.5 degC)",
        "checked",
    ),
    _cubic(
        "CeO2",
        {"Ce": 1, "O": 2},
        "F m -3 m",
        5.41165,
        (Site("Ce", (0, 0, 0), 1, 0.003), Site("O", (0.25, 0.25, 0.25), 1, 0.007)),
        4,
        "NIST SRM 674b certificate (lattice parameter at 22.5 degC)",
        "checked",
    ),
)
_FIXED = {structure.name: structure for structure in (*_INERT, *_CALIBRANTS)}

#: Names that `structure` knows.
PHASES = ("LiFePO4", "FePO4", "LixFePO4", "NMC811", *_FIXED)
#: Those a geometry can be calibrated with.
CALIBRANTS = tuple(structure.name for structure in _CALIBRANTS)

#: Edges of the miscibility gap of LixFePO4 at room temperature, micrometre grains.
#: Yamada et al., Nat. Mater. 5 (2006) 357; recalled.
MISCIBILITY_GAP = (0.05, 0.89)

# Representative anchors in the shape of operando curves, joined by PCHIP; not a digitised data set.
_NMC811_X = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_NMC811_A = (
    2.8155,
    2.8145,
    2.8145,
    2.8155,
    2.8175,
    2.82,
    2.823,
    2.831,
    2.84,
    2.849,
    2.8575,
    2.8655,
    2.872,
)
_NMC811_C = (
    13.88,
    14.05,
    14.22,
    14.35,
    14.43,
    14.47,
    14.48,
    14.45,
    14.39,
    14.325,
    14.265,
    14.225,
    14.2,
)
#: Lithium content over which each phase has a structure, lowest and highest.
LITHIUM_RANGE = {
    "LiFePO4": (0.0, 1.0),
    "FePO4": (0.0, 1.0),
    "LixFePO4": (0.0, 1.0),
    "NMC811": (0.1, 1.0),
}
#: Lithium content assumed where none is given.
_DEFAULT_LITHIUM = {
    "LiFePO4": MISCIBILITY_GAP[1],
    "FePO4": MISCIBILITY_GAP[0],
    "LixFePO4": 1.0,
    "NMC811": 1.0,
}


@functools.cache
def _nmc811_edges() -> tuple[PchipInterpolator, PchipInterpolator]:
    return PchipInterpolator(_NMC811_X, _NMC811_A), PchipInterpolator(_NMC811_X, _NMC811_C)


def lattice_edges(phase: str, lithium_content: FloatArray) -> FloatArray:
    """The free edges of an active phase, angstrom, shape (n, n_free_edges), at each lithium content, shape (n,).

    LixFePO4 follows Vegard's law between the end members; NMC811 a table of representative anchors.

    Raises:
        ValueError: If the phase holds no lithium or a content lies outside its range.
    """
    content = np.atleast_1d(np.asarray(lithium_content, dtype=float))
    if phase not in LITHIUM_RANGE:
        raise ValueError(
            f"phase {phase} holds no lithium; those that do: {', '.join(LITHIUM_RANGE)}"
        )
    low, high = LITHIUM_RANGE[phase]
    if np.any(content < low) or np.any(content > high):
        raise ValueError(
            f"lithium content of {phase} must lie in {low} to {high}, got {content.min():.4f} to {content.max():.4f}"
        )
    if phase == "NMC811":
        a, c = _nmc811_edges()
        return np.column_stack([a(content), c(content)])
    poor = np.array([_FEPO4.lattice.a, _FEPO4.lattice.b, _FEPO4.lattice.c])
    rich = np.array([_LIFEPO4.lattice.a, _LIFEPO4.lattice.b, _LIFEPO4.lattice.c])
    return np.asarray(poor + content[:, None] * (rich - poor))


def structure(phase: str, lithium_content: float | None = None) -> Structure:
    """The structure of a phase, an active one at its lithium content.

    LiFePO4 and FePO4 keep the atomic positions of their end member; LixFePO4 (a solid solution)
    interpolates them. The lithium site is occupied to ``lithium_content``.

    Raises:
        ValueError: If the phase is not known, or the lithium content is outside its range.
    """
    if phase in _FIXED:
        return _FIXED[phase]
    if phase not in LITHIUM_RANGE:
        raise ValueError(f"unknown phase {phase!r}; known: {', '.join(PHASES)}")
    content = _DEFAULT_LITHIUM[phase] if lithium_content is None else float(lithium_content)
    edges = lattice_edges(phase, np.array([content]))[0]
    if phase == "NMC811":
        base, lattice = _NMC811, Lattice(edges[0], edges[0], edges[1], gamma=120)
    else:
        base = {"LiFePO4": _LIFEPO4, "FePO4": _FEPO4, "LixFePO4": _interpolated(content)}[phase]
        lattice = Lattice(*edges)
    sites = tuple(
        replace(site, occupancy=content) if site.element == "Li" else site for site in base.sites
    )
    return replace(
        base, name=phase, formula={**base.formula, "Li": content}, lattice=lattice, sites=sites
    )


def _interpolated(content: float) -> Structure:
    sites = tuple(
        Site(
            rich.element,
            (
                poor.position[0] + content * (rich.position[0] - poor.position[0]),
                poor.position[1] + content * (rich.position[1] - poor.position[1]),
                poor.position[2] + content * (rich.position[2] - poor.position[2]),
            ),
            rich.occupancy,
            poor.u_iso + content * (rich.u_iso - poor.u_iso),
        )
        for rich, poor in zip(_LIFEPO4.sites, _FEPO4.sites, strict=True)
    )
    return replace(_LIFEPO4, sites=sites)


def free_atom_scattering(
    element: str, *, sine_over_wavelength: FloatArray, energy: float
) -> "np.typing.NDArray[np.complex128]":
    """Scattering factor of a free atom, f0 + f' + i f'', in electrons.

    Args:
        element: Chemical symbol.
        sine_over_wavelength: sin(theta) / wavelength, 1/angstrom, shape (n,).
        energy: eV.

    Source:
        f0 Waasmaier and Kirfel (1995), f' and f'' Chantler (2000), both through xraydb.
    """
    import xraydb

    f0 = np.asarray(xraydb.f0(element, np.asarray(sine_over_wavelength, dtype=float)))
    anomalous = complex(
        float(xraydb.f1_chantler(element, energy)), float(xraydb.f2_chantler(element, energy))
    )
    return np.asarray(f0 + anomalous)


@functools.lru_cache(maxsize=4096)
def mass_attenuation(element: str, energy: float) -> float:
    """Total attenuation coefficient of an element, cm2/g, at an energy in eV (Elam tables, xraydb)."""
    import xraydb

    return float(xraydb.mu_elam(element, energy))


@functools.lru_cache(maxsize=4096)
def photoelectric_absorption(element: str, energy: float) -> float:
    """What of `mass_attenuation` is photoelectric, cm2/g, at an energy in eV (Elam tables, xraydb)."""
    import xraydb

    return float(xraydb.mu_elam(element, energy, kind="photo"))


@functools.cache
def atomic_mass(element: str) -> float:
    """g/mol, through xraydb."""
    import xraydb

    return float(xraydb.atomic_mass(element))


def molar_mass(formula: Mapping[str, float]) -> float:
    """g per mol of formula units."""
    return sum(count * atomic_mass(element) for element, count in formula.items())


def molar_attenuation(formula: Mapping[str, float], energy: float) -> float:
    """Attenuation per areal amount, cm2 per mol of formula units, at an energy in eV."""
    return sum(
        count * atomic_mass(element) * mass_attenuation(element, energy)
        for element, count in formula.items()
    )


#: Formulas and densities (g/cm3) of what a cell is built from besides; densities are handbook values, recalled.
AMORPHOUS: Mapping[str, tuple[Mapping[str, float], float]] = {
    "Kapton": ({"C": 22, "H": 10, "N": 2, "O": 5}, 1.42),
    "polyethylene": ({"C": 2, "H": 4}, 0.95),
    "carbon": ({"C": 1}, 2.0),
    "PVDF": ({"C": 2, "H": 2, "F": 2}, 1.78),
    "electrolyte": ({"C": 3.3, "H": 4.6, "O": 3, "Li": 0.08, "P": 0.08, "F": 0.48}, 1.27),
}
