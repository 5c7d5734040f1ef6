"""This file is where it is said what the metals of a chemistry look like at their K edges.

An absorber either moves, its whole near-edge shape going with its valence, or mixes fixed reference
spectra; its shells change with the content of the guest either way. Half steps, slopes and valences:
recalled literature values (`docs/decisions/0015-spectra-in-the-simulation.md`); shapes, shells and
disorder: chosen so that they look like such spectra. All of it is self-consistent, none of it a
measurement.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from battbeam import materials
from battbeam.sim.chemistry import Chemistry
from battbeam.sim.fine_structure import NearEdge, Peak, Rise, Shell
from battbeam.units import FloatArray

#: Half step (eV) at a valence, and eV per valence: of Mn a series of oxides, of Ni 1.5 to 2.2 per
#: electron, of Co less sure.
_SLOPES: Mapping[str, tuple[float, float, float]] = {
    "Ni": (8343.5, 2.0, 1.8),
    "Co": (7720.5, 3.0, 1.2),
    "Mn": (6548.0, 3.0, 3.5),
}
#: Half steps of LiFePO4 and FePO4, eV: Deb et al., J. Synchrotron Rad. 11 (2004) 497; recalled.
_IRON = (7120.5, 7124.5)
#: Charge of metals of layered oxides that do not take part, or hardly (cobalt).
_CHARGES: Mapping[str, float] = {
    "Mn": 4.0,
    "Co": 3.0,
    "Al": 3.0,
    "Ti": 4.0,
    "Mg": 2.0,
    "Nb": 5.0,
    "Mo": 6.0,
}
#: Change of Co's valence per guest that leaves: nearly inert.
_COBALT_DRIFT = 0.01
#: Nodes of content between which a moving absorber's spectra are interpolated.
_N_NODES = 51


@dataclass(frozen=True)
class Component:
    """One spectrum of an absorber.

    Attributes:
        name: Of it.
        near_edge: Without EXAFS.
        shells: About the absorber.
    """

    name: str
    near_edge: NearEdge
    shells: tuple[Shell, ...]


@dataclass(frozen=True)
class Absorber:
    """A metal in an active material.

    Attributes:
        element: Chemical symbol.
        valence: At contents of the guest, shape (n,).
        slope: eV per valence by which heat or age move the spectrum; 0 where it mixes.
        nodes: Contents between which everything else is linear, shape (m,).
        components: Spectra at a node; it has one where it moves, several where it mixes.
        shares: Of the components at contents, shape (n, n_components); None where it moves.
    """

    element: str
    valence: Callable[[FloatArray], FloatArray]
    slope: float
    nodes: FloatArray = field(repr=False)
    components: Callable[[float], tuple[Component, ...]]
    shares: Callable[[FloatArray], FloatArray] | None = None

    def shares_at(self, content: FloatArray) -> FloatArray:
        """Of the components, shape (n, n_components)."""
        if self.shares is None:
            return np.ones((len(content), 1))
        return self.shares(content)


def _oxide(element: str, valence: float, *, white_line: float) -> NearEdge:
    """Of a metal in oxygen octahedra."""
    half, reference, slope = _SLOPES[element]
    return NearEdge(
        position=half + slope * (valence - reference),
        rises=(Rise(0.8, 0.0, 4.0), Rise(0.2, 5.0, 5.0)),
        peaks=(Peak(5.5, white_line, 5.0), Peak(15.0, -0.08, 8.0)),
        pre_edge=Peak(-10.0, 0.05, 1.5),
    )


def _moving(
    element: str,
    *,
    content_range: tuple[float, float],
    valence: Callable[[FloatArray], FloatArray],
    shells: Callable[[float, float], tuple[Shell, ...]],
    white_line: float = 0.35,
) -> Absorber:
    """One whose whole near-edge shape goes with its valence; ``shells`` of content and valence."""

    def components(content: float) -> tuple[Component, ...]:
        here = float(valence(np.array([content]))[0])
        near_edge = _oxide(element, here, white_line=white_line)
        return (Component(element, near_edge, shells(content, here)),)

    nodes = np.linspace(*content_range, _N_NODES)
    return Absorber(element, valence, _SLOPES[element][2], nodes, components)


def _nickel_oxygen(valence: float) -> Shell:
    """2.05 angstrom at 2+, 1.88 at 4+; Ni3+ distorts its octahedron (Jahn-Teller)."""
    sigma2 = 0.0055 + 0.003 * max(0.0, 1 - (valence - 3) ** 2)
    return Shell("O", 6, 2.05 - 0.085 * (valence - 2), sigma2)


def _layered(
    content_range: tuple[float, float], edge: Callable[[float], float], **counts: float
) -> tuple[Absorber, ...]:
    """Ni that takes all charge, Co nearly inert, Mn inert, in layers with ``edge`` angstrom between
    metals; ``counts`` per formula unit.
    """
    nickel, charge = counts["Ni"], 3.0
    for element, valence in _CHARGES.items():
        charge -= valence * counts.get(element, 0.0)
    lithiated = charge / nickel

    def nickel_valence(content: FloatArray) -> FloatArray:
        return np.minimum(lithiated + (1 - np.asarray(content)) / nickel, 4.0)

    def cobalt_valence(content: FloatArray) -> FloatArray:
        return np.asarray(3.0 + _COBALT_DRIFT * (1 - np.asarray(content)))

    def metals(content: float) -> Shell:
        return Shell("Ni", 6, edge(content), 0.0055)

    absorbers = [
        _moving(
            "Ni",
            content_range=content_range,
            valence=nickel_valence,
            shells=lambda content, valence: (_nickel_oxygen(valence), metals(content)),
        )
    ]
    if "Co" in counts:
        absorbers.append(
            _moving(
                "Co",
                content_range=content_range,
                valence=cobalt_valence,
                shells=lambda content, _: (Shell("O", 6, 1.92, 0.0045), metals(content)),
                white_line=0.30,
            )
        )
    if "Mn" in counts:
        absorbers.append(
            _moving(
                "Mn",
                content_range=content_range,
                valence=lambda content: np.full(np.shape(content), 4.0),
                shells=lambda content, _: (Shell("O", 6, 1.905, 0.004), metals(content)),
            )
        )
    return tuple(absorbers)


def _known(name: str) -> tuple[Absorber, ...]:
    """A layered oxide of `battbeam.materials`: its own metals, as far apart as its edge a says."""

    def edge(content: float) -> float:
        return float(materials.lattice_edges(name, np.array([content]))[0, 0])

    whole = materials.structure(name, 1.0).formula
    metals = {element: count for element, count in whole.items() if element not in ("Li", "O")}
    return _layered(materials.LITHIUM_RANGE[name], edge, **metals)


def _spinel() -> tuple[Absorber, ...]:
    """Mn3+ distorts its octahedra: both shells get sharper and shorter while the cell is charged."""

    def shells(content: float, _: float) -> tuple[Shell, ...]:
        return (
            Shell("O", 6, 1.905 + 0.04 * content, 0.0042 + 0.0038 * content),
            Shell("Mn", 6, 2.85 + 0.055 * content, 0.005 + 0.0028 * content),
        )

    manganese = _moving(
        "Mn",
        content_range=(0.0, 1.0),
        valence=lambda content: np.asarray(4 - np.asarray(content) / 2),
        shells=shells,
    )
    return (manganese,)


def _manganese_dioxide() -> tuple[Absorber, ...]:
    def shells(content: float, _: float) -> tuple[Shell, ...]:
        return (
            Shell("O", 6, 1.90 + 0.09 * content, 0.004 + 0.005 * content),
            Shell("Mn", 4, 2.87 + 0.06 * content, 0.006),
        )

    manganese = _moving(
        "Mn",
        content_range=(0.0, 1.0),
        valence=lambda content: np.asarray(4 - np.asarray(content)),
        shells=shells,
    )
    return (manganese,)


def _iron_spectra() -> tuple[Component, ...]:
    rich, poor = _IRON
    rises = (Rise(0.75, 0.0, 4.0), Rise(0.25, 5.5, 5.0))
    return (
        Component(
            "LiFePO4",
            NearEdge(
                position=rich,
                rises=rises,
                peaks=(Peak(4.5, 0.30, 5.0), Peak(14.0, -0.06, 8.0)),
                pre_edge=Peak(-8.0, 0.05, 1.6),
            ),
            (
                Shell("O", 6, 2.157, 0.009),
                Shell("P", 4, 3.23, 0.007),
                Shell("Fe", 4, 3.87, 0.008),
            ),
        ),
        Component(
            "FePO4",
            NearEdge(
                position=poor,
                rises=rises,
                peaks=(Peak(6.0, 0.42, 5.5), Peak(17.0, -0.09, 9.0)),
                pre_edge=Peak(-10.5, 0.09, 1.6),
            ),
            (
                Shell("O", 6, 2.035, 0.007),
                Shell("P", 4, 3.18, 0.006),
                Shell("Fe", 4, 3.77, 0.007),
            ),
        ),
    )


def _olivine() -> tuple[Absorber, ...]:
    """Two fixed spectra in the proportion of Fe2+ to Fe3+, in two phases or in one."""

    def shares(content: FloatArray) -> FloatArray:
        rich = np.asarray(content, dtype=float)
        return np.stack([rich, 1 - rich], axis=-1)

    iron = Absorber(
        "Fe",
        lambda content: np.asarray(3 - np.asarray(content)),
        0.0,
        np.array([0.0, 1.0]),
        lambda _: _iron_spectra(),
        shares,
    )
    return (iron,)


def _nickel_spectra() -> tuple[Component, ...]:
    """Ni2+, the distorted Ni3+ and Ni4+ of a lithium-rich oxide, as three fixed spectra."""
    lines = {2: 0.50, 3: 0.22, 4: 0.38}
    oxygen = {2: (2.06, 0.006), 3: (1.95, 0.0115), 4: (1.88, 0.005)}
    spectra = []
    for valence, white_line in lines.items():
        distance, sigma2 = oxygen[valence]
        shells = (Shell("O", 6, distance, sigma2), Shell("Mn", 6, 2.86, 0.006))
        near_edge = _oxide("Ni", float(valence), white_line=white_line)
        spectra.append(Component(f"Ni{valence}+", near_edge, shells))
    return tuple(spectra)


def _smooth_step(value: FloatArray) -> FloatArray:
    t = np.clip(value, 0.0, 1.0)
    return np.asarray(t**2 * (3 - 2 * t))


def _lithium_rich() -> tuple[Absorber, ...]:
    """Ni goes from 2+ to 3+ while the first 60 % of the lithium leave, from 3+ to 4+ with the last
    60 %; oxygen pays for the rest. Mn stays; Co nearly.
    """

    def shares(content: FloatArray) -> FloatArray:
        gone = 1 - np.asarray(content, dtype=float)
        first, second = _smooth_step(gone / 0.6), _smooth_step((gone - 0.4) / 0.6)
        return np.stack([1 - first, first - second, second], axis=-1)

    nodes = np.linspace(0.0, 1.0, 2 * _N_NODES - 1)
    nickel = Absorber(
        "Ni",
        lambda content: shares(content) @ np.array([2.0, 3.0, 4.0]),
        0.0,
        nodes,
        lambda _: _nickel_spectra(),
        shares,
    )
    _, cobalt, manganese = _layered((0.0, 1.0), lambda _: 2.86, Ni=0.13, Co=0.13, Mn=0.54)
    return nickel, cobalt, manganese


_MAKERS: Mapping[Chemistry, Callable[[], tuple[Absorber, ...]]] = {
    "lfp": _olivine,
    "nmc811": lambda: _known("NMC811"),
    "nmc622": lambda: _known("NMC622"),
    "nmc90": lambda: _known("NMC90"),
    "hec": lambda: _known("HEC"),
    "nanmc442": lambda: _layered(
        (0.2, 1.0), lambda content: 2.84 + 0.12 * content, Ni=0.4, Mn=0.4, Co=0.2
    ),
    "lmo": _spinel,
    "lirich": _lithium_rich,
    "nca": lambda: _layered(
        (0.2, 1.0), lambda content: 2.805 + 0.06 * content, Ni=0.8, Co=0.15, Al=0.05
    ),
    "mno2": _manganese_dioxide,
}


def absorbers(chemistry: Chemistry) -> tuple[Absorber, ...]:
    """The metals of an active material that have a K edge here; none of SnO and lithium."""
    return _MAKERS[chemistry]() if chemistry in _MAKERS else ()


def aged(component: Component, *, shell_shift: float) -> Component:
    """A component whose oxygen is ``shell_shift`` angstrom farther."""
    shells = tuple(
        replace(shell, distance=shell.distance + shell_shift) if shell.neighbour == "O" else shell
        for shell in component.shells
    )
    return replace(component, shells=shells)
