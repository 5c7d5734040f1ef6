"""This file is where crystal structures are kept as data, at the composition their phase is built in.

`battbeam.materials` hands them on, active ones at any lithium content. Nothing else reads this file.

Oxides that have lost oxygen on heating (`spinel`, `rock_salt`) keep the cations of a layered oxide at
a lithium content of 1/3: three of them to four oxygen in the spinel, one to one in the rock salt.
Graphite and its lithium compounds are counted in formula units of six carbon.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Trust = Literal["checked", "read", "recalled"]


@functools.cache
def atomic_mass(element: str) -> float:
    """g/mol, through xraydb."""
    import xraydb

    return float(xraydb.atomic_mass(element))


def molar_mass(formula: Mapping[str, float]) -> float:
    """g per mol of formula units."""
    return sum(count * atomic_mass(element) for element, count in formula.items())


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
        formula_units: In one unit cell (Z); not whole where the formula is not the cell's smallest.
        free_edges: The independent cell edges, in the order in which they are refined.
        source: Where the numbers are from.
        trust: How far: ``checked`` against another program, ``read`` in a public text, ``recalled``.
    """

    name: str
    formula: Mapping[str, float] = field(hash=False)
    space_group: str
    lattice: Lattice
    sites: tuple[Site, ...]
    formula_units: float
    free_edges: tuple[str, ...]
    source: str
    trust: Trust

    @property
    def molar_mass(self) -> float:
        """g per mol of formula units."""
        return molar_mass(self.formula)


_U_LITHIUM = 0.012

LIFEPO4 = Structure(
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
FEPO4 = Structure(
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


def _layered(
    name: str,
    metals: Mapping[str, float],
    a: float,
    c: float,
    source: str,
    trust: Trust = "recalled",
) -> Structure:
    """Of R-3m: lithium on 3b, the metals on 3a, oxygen on 6c at z = 0.259."""
    sites = (
        Site("Li", (0, 0, 0.5), 1, _U_LITHIUM),
        *(Site(metal, (0, 0, 0), share, 0.005) for metal, share in metals.items()),
        Site("O", (0, 0, 0.259), 1, 0.009),
    )
    formula = {"Li": 1, **metals, "O": 2}
    lattice = Lattice(a, a, c, gamma=120)
    return Structure(name, formula, "R -3 m:H", lattice, sites, 3, ("a", "c"), source, trust)


_DE_BIASI = "de Biasi et al., J. Phys. Chem. C 121 (2017) 26163"
_METALS = {"Ni": 0.8, "Mn": 0.1, "Co": 0.1}
LAYERED = (
    _layered(
        "NMC811", _METALS, 2.872, 14.2, f"{_DE_BIASI}; Maerker et al., Chem. Mater. 31 (2019) 2545"
    ),
    _layered("NMC622", {"Ni": 0.6, "Mn": 0.2, "Co": 0.2}, 2.869, 14.22, _DE_BIASI),
    _layered("NMC90", {"Ni": 0.9, "Mn": 0.05, "Co": 0.05}, 2.872, 14.2, "chosen: as NMC811"),
    _layered(
        "NCA",
        {"Ni": 0.8, "Co": 0.15, "Al": 0.05},
        2.865,
        14.18,
        "Robert et al., Chem. Mater. 27 (2015) 526",
    ),
    _layered(
        "HEC",
        {"Ni": 0.8, "Mn": 0.13, "Ti": 0.02, "Mg": 0.02, "Nb": 0.01, "Mo": 0.02},
        2.88,
        14.2,
        "composition: Zhang et al., Nature 610 (2022) 67; lattice chosen: NMC811's, a + 0.008",
    ),
)


def _carbon(
    name: str, lithium: float, a: float, spacing: float, source: str, trust: Trust = "recalled"
) -> Structure:
    """Graphite in the stacking AB, its few lithium anywhere between the layers (2a)."""
    sites = (
        Site("C", (0, 0, 0.25), 1, 0.006),
        Site("C", (1 / 3, 2 / 3, 0.25), 1, 0.006),
        Site("Li", (0, 0, 0), lithium / 3, 0.02),
    )
    formula = {"Li": lithium, "C": 6}
    lattice = Lattice(a, a, 2 * spacing, gamma=120)
    return Structure(name, formula, "P 63/m m c", lattice, sites, 2 / 3, ("a", "c"), source, trust)


def _stacked(
    name: str, lithium: float, a: float, c: float, z: float, source: str, trust: Trust = "recalled"
) -> Structure:
    """Graphite in the stacking AA, lithium over the middle of every third ring (P 6/m m m)."""
    n_units = 1 / lithium
    sites = (Site("Li", (0, 0, 0), 1, 0.02), Site("C", (1 / 3, 0, z), 1, 0.008))
    formula = {"Li": lithium, "C": 6}
    lattice = Lattice(a, a, c, gamma=120)
    return Structure(name, formula, "P 6/m m m", lattice, sites, n_units, ("a", "c"), source, trust)


_STAGES = "stages and coexistence: Dahn, Phys. Rev. B 44 (1991) 9170"
CARBONS = (
    _carbon("graphite", 0.0, 2.461, 3.355, "Trucano and Chen, Nature 258 (1975) 136"),
    _carbon("LiC18", 0.25, 2.4684, 3.5, f"{_STAGES}; spacing recalled +- 0.02 angstrom"),
    _stacked("LiC12", 0.5, 4.288, 7.05, 0.25, f"{_STAGES}; spacing 3.52 to 3.53 angstrom"),
    _stacked(
        "LiC6",
        1.0,
        4.305,
        3.7,
        0.5,
        "Guerard and Herold, Carbon 13 (1975) 337; spacing 3.70 to 3.706 angstrom",
    ),
)


def _cubic(
    name: str,
    formula: dict[str, float],
    group: str,
    a: float,
    sites: tuple[Site, ...],
    z: float,
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
_HEATED = (
    _cubic(
        "spinel",
        {"Li": 0.75, **{metal: 2.25 * share for metal, share in _METALS.items()}, "O": 4},
        "F d -3 m:2",
        8.11,
        (
            Site("Li", (0.125, 0.125, 0.125), 0.75, _U_LITHIUM),
            *(Site(metal, (0.125, 0.125, 0.125), 0.25 * s, 0.006) for metal, s in _METALS.items()),
            *(Site(metal, (0.5, 0.5, 0.5), share, 0.006) for metal, share in _METALS.items()),
            Site("O", (0.263, 0.263, 0.263), 1, 0.009),
        ),
        8,
        "chosen: LiM2O4 and M3O4 of a heated layered oxide, 8.0 to 8.2 angstrom",
        "recalled",
    ),
    _cubic(
        "rock_salt",
        {"Li": 0.25, **{metal: 0.75 * share for metal, share in _METALS.items()}, "O": 1},
        "F m -3 m",
        4.17,
        (
            Site("Li", (0, 0, 0), 0.25, _U_LITHIUM),
            *(Site(metal, (0, 0, 0), 0.75 * share, 0.006) for metal, share in _METALS.items()),
            Site("O", (0.5, 0.5, 0.5), 1, 0.008),
        ),
        4,
        "NiO, 4.177 angstrom, with lithium a little less",
        "recalled",
    ),
)
_SALTS = (
    _cubic(
        "LiF",
        {"Li": 1, "F": 1},
        "F m -3 m",
        4.027,
        (Site("Li", (0, 0, 0), 1, 0.012), Site("F", (0.5, 0.5, 0.5), 1, 0.01)),
        4,
        "Thewlis (1955)",
        "recalled",
    ),
    _cubic(
        "Li2O",
        {"Li": 2, "O": 1},
        "F m -3 m",
        4.619,
        (Site("O", (0, 0, 0), 1, 0.008), Site("Li", (0.25, 0.25, 0.25), 1, 0.012)),
        4,
        "Zintl (1934)",
        "recalled",
    ),
)
CALIBRANTS = (
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
#: Without lithium that comes and goes.
FIXED: Mapping[str, Structure] = {
    each.name: each for each in (*_INERT, *_HEATED, *_SALTS, *CALIBRANTS)
}
