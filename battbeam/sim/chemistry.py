"""This file is where the active materials are that a simulated cell may have: what they are made of.

Content is that of the guest, lithium or sodium, per formula unit. LiFePO4 and the layered oxides of
`battbeam.materials` have crystal structures here: of the others a diffraction camera sees the inert
layers alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from battbeam import materials

Chemistry = Literal[
    "lfp",
    "nmc811",
    "nmc622",
    "nmc90",
    "hec",
    "nanmc442",
    "lmo",
    "lirich",
    "nca",
    "mno2",
    "sno",
    "lithium",
]


@dataclass(frozen=True)
class ActiveMaterial:
    """What a working electrode is made of.

    Attributes:
        name: Of its structure in `battbeam.materials` where it has one, else of itself.
        host: Atoms per formula unit without the guest that comes and goes.
        content_range: Lowest and highest content of the guest per formula unit.
        guest: What comes and goes.
    """

    name: str
    host: Mapping[str, float] = field(hash=False)
    content_range: tuple[float, float]
    guest: str = "Li"

    @property
    def has_lines(self) -> bool:
        """Whether its crystal structure is known."""
        return self.name in materials.LITHIUM_RANGE

    @property
    def is_layered(self) -> bool:
        """Whether it is a layered oxide whose crystal structure is known."""
        return self.name in materials.LAYERED_PHASES

    @property
    def molar_mass(self) -> float:
        """g per mol of formula units at a content of 1."""
        return materials.molar_mass(self.at(1.0))

    def at(self, content: float) -> Mapping[str, float]:
        """Atoms per formula unit at a content of its guest."""
        return {**self.host, self.guest: self.host.get(self.guest, 0.0) + content}


def _known(name: str) -> ActiveMaterial:
    whole = materials.structure(name, 1.0).formula
    host = {element: count for element, count in whole.items() if element != "Li"}
    return ActiveMaterial(name, host, materials.LITHIUM_RANGE[name])


#: Ranges end where the metal that is oxidised would pass 4+, at a tenth where a lattice is known. Of
#: the lithium-rich oxide the content counts the lithium layers alone; SnO takes 2 Li to Li2O and Sn,
#: then 4.4 to Li4.4Sn.
ACTIVE_MATERIALS: Mapping[Chemistry, ActiveMaterial] = {
    "lfp": _known("LixFePO4"),
    "nmc811": _known("NMC811"),
    "nmc622": _known("NMC622"),
    "nmc90": _known("NMC90"),
    "hec": _known("HEC"),
    "nanmc442": ActiveMaterial(
        "NaNMC442", {"Ni": 0.4, "Mn": 0.4, "Co": 0.2, "O": 2}, (0.2, 1.0), "Na"
    ),
    "lmo": ActiveMaterial("LiMn2O4", {"Mn": 2, "O": 4}, (0.0, 1.0)),
    "lirich": ActiveMaterial(
        "Li-rich", {"Li": 0.2, "Ni": 0.13, "Mn": 0.54, "Co": 0.13, "O": 2}, (0.0, 1.0)
    ),
    "nca": ActiveMaterial("NCA", {"Ni": 0.8, "Co": 0.15, "Al": 0.05, "O": 2}, (0.2, 1.0)),
    "mno2": ActiveMaterial("MnO2", {"Mn": 1, "O": 2}, (0.0, 1.0)),
    "sno": ActiveMaterial("SnO", {"Sn": 1, "O": 1}, (0.0, 6.4)),
    "lithium": ActiveMaterial("lithium", {}, (0.0, 1.0)),
}
