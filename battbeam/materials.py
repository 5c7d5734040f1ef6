"""This file is where constants of nature and of materials are, for the simulation and for the reduction alike.

Only constants: crystal structures, lattice parameters against lithium content, scattering factors of free
atoms, attenuation. Structure factors, geometry and backgrounds are computed by each side for itself.

Lithium content x is per formula unit (LixFePO4, LixNi0.8Mn0.1Co0.1O2); of graphite it is per six carbon
(LixC6).
"""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from battbeam.crystal_structures import (
    CALIBRANTS as _CALIBRANTS,
)
from battbeam.crystal_structures import (
    CARBONS,
    FEPO4,
    FIXED,
    LAYERED,
    LIFEPO4,
    Lattice,
    Site,
    Structure,
    atomic_mass,
    molar_mass,
)
from battbeam.lattice_tables import GRAPHITE_A, LAYER_SPACING, LAYERED_EDGES
from battbeam.units import FloatArray

__all__ = [
    "AMORPHOUS",
    "AVOGADRO",
    "CALIBRANTS",
    "CLASSICAL_ELECTRON_RADIUS",
    "COUNTER_PHASES",
    "COUNTER_RANGE",
    "FARADAY",
    "HEATED_PHASES",
    "HOSTS",
    "LAYERED_PHASES",
    "LITHIUM_RANGE",
    "MISCIBILITY_GAP",
    "PHASES",
    "Lattice",
    "Site",
    "Structure",
    "atomic_mass",
    "free_atom_scattering",
    "lattice_edges",
    "mass_attenuation",
    "metal_per_formula_unit",
    "molar_attenuation",
    "molar_mass",
    "photoelectric_absorption",
    "structure",
]

#: Thomson scattering length of the electron, cm (CODATA).
CLASSICAL_ELECTRON_RADIUS = 2.8179403205e-13
#: Per mol (exact since 2019).
AVOGADRO = 6.02214076e23
#: C/mol (exact since 2019).
FARADAY = 96485.33212

#: Layered oxides LixMO2 of the working electrode, space group R-3m.
LAYERED_PHASES = tuple(each.name for each in LAYERED)
#: Graphite of the counter electrode and its compounds with lithium, poor to rich.
COUNTER_PHASES = tuple(each.name for each in CARBONS)
#: What heat makes of a layered oxide, with metal in another ratio to the formula unit.
HEATED_PHASES = ("spinel", "rock_salt")
#: Names that `structure` knows.
PHASES = ("LiFePO4", "FePO4", "LixFePO4", *LAYERED_PHASES, *COUNTER_PHASES, *FIXED)
#: Those a geometry can be calibrated with.
CALIBRANTS = tuple(each.name for each in _CALIBRANTS)

#: Edges of the miscibility gap of LixFePO4 at room temperature, micrometre grains.
#: Yamada et al., Nat. Mater. 5 (2006) 357; recalled.
MISCIBILITY_GAP = (0.05, 0.89)

#: Lithium content over which each phase of the working electrode has a structure, lowest and highest.
LITHIUM_RANGE: Mapping[str, tuple[float, float]] = {
    "LiFePO4": (0.0, 1.0),
    "FePO4": (0.0, 1.0),
    "LixFePO4": (0.0, 1.0),
    **{name: (table[0][0], table[-1][0]) for name, table in LAYERED_EDGES.items()},
}
#: The same of the counter electrode's, lithium per six carbon. LiC12 and LiC6 have one content.
COUNTER_RANGE: Mapping[str, tuple[float, float]] = {
    "graphite": (0.0, 0.12),
    "LiC18": (0.17, 0.3),
    "LiC12": (0.5, 0.5),
    "LiC6": (1.0, 1.0),
}
#: Which electrode holds a phase's lithium; phases that hold none that comes and goes are not here.
HOSTS: Mapping[str, Literal["working", "counter"]] = {
    **dict.fromkeys(LITHIUM_RANGE, "working"),
    **dict.fromkeys(COUNTER_PHASES, "counter"),
}
#: Lithium content assumed where none is given.
_DEFAULT_LITHIUM = {
    "LiFePO4": MISCIBILITY_GAP[1],
    "FePO4": MISCIBILITY_GAP[0],
    "LixFePO4": 1.0,
    **dict.fromkeys(LAYERED_PHASES, 1.0),
    **{each.name: each.formula["Li"] for each in CARBONS},
}
_LAYERED = {each.name: each for each in LAYERED}
_CARBONS = {each.name: each for each in CARBONS}


@functools.cache
def _layered_edges(phase: str) -> tuple[PchipInterpolator, PchipInterpolator]:
    content, a, c = zip(*LAYERED_EDGES[phase], strict=True)
    return PchipInterpolator(content, a), PchipInterpolator(content, c)


def lattice_edges(phase: str, lithium_content: FloatArray) -> FloatArray:
    """The free edges of a phase that holds lithium, angstrom, shape (n, n_free_edges), at each lithium
    content, shape (n,).

    LixFePO4 follows Vegard's law between the end members; layered oxides a table of representative
    anchors; graphite and LiC18 widen with their lithium, LiC12 and LiC6 have one lattice each.

    Raises:
        ValueError: If the phase holds no lithium or a content lies outside its range.
    """
    content = np.atleast_1d(np.asarray(lithium_content, dtype=float))
    ranges = {**LITHIUM_RANGE, **COUNTER_RANGE}
    if phase not in ranges:
        raise ValueError(f"phase {phase} holds no lithium; those that do: {', '.join(ranges)}")
    low, high = ranges[phase]
    if np.any(content < low) or np.any(content > high):
        raise ValueError(
            f"lithium content of {phase} must lie in {low} to {high}, got {content.min():.4f} to {content.max():.4f}"
        )
    if phase in _LAYERED:
        a, c = _layered_edges(phase)
        return np.column_stack([a(content), c(content)])
    if phase in LAYER_SPACING:
        edge = GRAPHITE_A[0] + GRAPHITE_A[1] * content
        return np.column_stack([edge, 2 * np.interp(content, *LAYER_SPACING[phase])])
    if phase in _CARBONS:
        lattice = _CARBONS[phase].lattice
        return np.tile([lattice.a, lattice.c], (len(content), 1))
    poor = np.array([FEPO4.lattice.a, FEPO4.lattice.b, FEPO4.lattice.c])
    rich = np.array([LIFEPO4.lattice.a, LIFEPO4.lattice.b, LIFEPO4.lattice.c])
    return np.asarray(poor + content[:, None] * (rich - poor))


def structure(phase: str, lithium_content: float | None = None) -> Structure:
    """The structure of a phase, one that holds lithium at its lithium content.

    LiFePO4 and FePO4 keep the atomic positions of their end member; LixFePO4 (a solid solution)
    interpolates them. The lithium site is occupied to ``lithium_content``; in graphite and LiC18 the
    lithium lies anywhere between the layers.

    Raises:
        ValueError: If the phase is not known, or the lithium content is outside its range.
    """
    if phase in FIXED:
        return FIXED[phase]
    if phase not in HOSTS:
        raise ValueError(f"unknown phase {phase!r}; known: {', '.join(PHASES)}")
    content = _DEFAULT_LITHIUM[phase] if lithium_content is None else float(lithium_content)
    edges = lattice_edges(phase, np.array([content]))[0]
    base = _base(phase, content)
    lattice = (
        Lattice(*edges) if len(edges) == 3 else Lattice(edges[0], edges[0], edges[1], gamma=120)
    )
    sites = tuple(
        replace(site, occupancy=_occupancy(base, content)) if site.element == "Li" else site
        for site in base.sites
    )
    return replace(
        base, name=phase, formula={**base.formula, "Li": content}, lattice=lattice, sites=sites
    )


def metal_per_formula_unit(phase: str) -> float:
    """Atoms of a formula unit that are neither lithium nor sodium nor anions.

    >>> metal_per_formula_unit("rock_salt")
    0.75
    """
    others = ("Li", "Na", "O", "P", "F")
    return sum(
        count for element, count in structure(phase).formula.items() if element not in others
    )


def _base(phase: str, content: float) -> Structure:
    if phase == "LixFePO4":
        return _interpolated(content)
    known = {"LiFePO4": LIFEPO4, "FePO4": FEPO4, **_LAYERED, **_CARBONS}
    return known[phase]


def _occupancy(base: Structure, content: float) -> float:
    """Of the lithium site."""
    if base.name not in LAYER_SPACING:
        # LiC12 and LiC6 differ in their cells, not in how far these are filled.
        return 1.0 if base.name in _CARBONS else content
    # Two sites a cell of four carbon.
    return content * base.formula_units / 2


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
        for rich, poor in zip(LIFEPO4.sites, FEPO4.sites, strict=True)
    )
    return replace(LIFEPO4, sites=sites)


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
