"""This file is where the reduction computes how strongly, and at which angle, a crystalline phase
scatters.

The reduction's own: lattice sums are taken over the positions that the space group generates,
reflections are gathered into families by the Laue group, amounts are moles of formula units.
"""

import functools
from dataclasses import dataclass, field
from functools import cached_property

import gemmi
import numpy as np
from scipy.interpolate import CubicSpline

from battbeam.materials import (
    AVOGADRO,
    CLASSICAL_ELECTRON_RADIUS,
    COUNTER_RANGE,
    LITHIUM_RANGE,
    Structure,
    free_atom_scattering,
    structure,
)
from battbeam.units import FloatArray, wavelength_from_energy

# Families weaker than this share of the phase's strongest are left out: together below 0.1 % of a
# pattern.
_WEAKEST = 1e-5
# Lithium contents at which squared structure factors are computed; smooth between (positions move
# linearly).
_N_CONTENTS = 25
# Largest sin(theta) / wavelength ever asked for, 1/angstrom.
_MAX_SINE = 3.0
# Two symmetry copies closer than this (fractional) are one atom on a special position.
_SAME_ATOM = 1e-3


def metric_terms(phase: Structure, hkl: FloatArray) -> FloatArray:
    """Coefficients g with 1/d^2 = sum over free edges of g / edge^2, shape (n, n_free_edges).

    Raises:
        ValueError: If the lattice is neither orthorhombic, tetragonal, cubic nor hexagonal.
    """
    h, k, l = np.asarray(hkl, dtype=float).T  # noqa: E741 - the index's own name
    angles = (phase.lattice.alpha, phase.lattice.beta, phase.lattice.gamma)
    if angles == (90, 90, 90):
        squares = {"a": h**2, "b": k**2, "c": l**2}
        if "b" not in phase.free_edges:
            squares["a"] = squares["a"] + squares.pop("b")
        if "c" not in phase.free_edges:
            squares["a"] = squares["a"] + squares.pop("c")
    elif angles == (90, 90, 120) and phase.free_edges == ("a", "c"):
        squares = {"a": 4 / 3 * (h**2 + h * k + k**2), "c": l**2}
    else:
        raise ValueError(f"{phase.name}: lattice angles {angles} are not supported")
    return np.column_stack([squares[edge] for edge in phase.free_edges])


def volume_of(phase: Structure, edges: FloatArray) -> float:
    """Of the unit cell with these free edges, cubic angstrom."""
    known = dict(zip(phase.free_edges, edges, strict=True))
    a = known["a"]
    factor = np.sqrt(3) / 2 if phase.lattice.gamma == 120 else 1.0
    return float(a * known.get("b", a) * known.get("c", a) * factor)


def free_edges_of(phase: Structure) -> FloatArray:
    """Free edges of a structure, angstrom."""
    return np.array([getattr(phase.lattice, edge) for edge in phase.free_edges])


def _families(phase: Structure, largest: float) -> tuple[FloatArray, FloatArray]:
    """Indices (n, 3) and multiplicities (n,) of the allowed families with 1/d up to ``largest``."""
    lattice = phase.lattice
    group = gemmi.SpaceGroup(phase.space_group)
    operations = group.operations()
    limits = [int(np.ceil(edge * largest)) for edge in (lattice.a, lattice.b, lattice.c)]
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limits], indexing="ij"), axis=-1)
    hkl = grid.reshape(-1, 3).astype(float)
    inverse_d = np.sqrt(metric_terms(phase, hkl) @ (1 / free_edges_of(phase) ** 2))
    hkl = hkl[(inverse_d <= largest) & (inverse_d > 0)]
    unit = gemmi.ReciprocalAsu(group)
    counted: dict[tuple[int, ...], int] = {}
    for index in hkl.astype(int).tolist():
        if operations.is_systematically_absent(index):
            continue
        representative = tuple(unit.to_asu(index, operations)[0])
        counted[representative] = counted.get(representative, 0) + 1
    indices = sorted(counted)
    return np.array(indices, dtype=float).reshape(-1, 3), np.array(
        [counted[index] for index in indices], dtype=float
    )


def _atoms(phase: Structure) -> list[tuple[str, float, float, FloatArray]]:
    """(element, occupancy, u_iso, positions (n, 3)) of every site of the whole cell."""
    operations = gemmi.SpaceGroup(phase.space_group).operations()
    atoms = []
    for site in phase.sites:
        copies: list[FloatArray] = []
        for operation in operations:
            position = np.mod(np.asarray(operation.apply_to_xyz(list(site.position))), 1.0)
            apart = [np.abs((position - other + 0.5) % 1.0 - 0.5).max() for other in copies]
            if not apart or min(apart) > _SAME_ATOM:
                copies.append(position)
        atoms.append((site.element, site.occupancy, site.u_iso, np.array(copies)))
    return atoms


@functools.lru_cache(maxsize=256)
def _atom(element: str, energy: float) -> "CubicSpline[np.complex128]":
    """Scattering factor of a free atom against sin(theta) / wavelength; one look-up an element."""
    nodes = np.linspace(0.0, _MAX_SINE, 601)
    return CubicSpline(
        nodes, free_atom_scattering(element, sine_over_wavelength=nodes, energy=energy)
    )


def squared_structure_factors(phase: Structure, hkl: FloatArray, energy: float) -> FloatArray:
    """abs(F)^2 of each reflection, electrons squared per unit cell, shape (n,).

    Source:
        F = sum of occupancy (f0 + f' + i f'') exp(-8 pi^2 u s^2) exp(2 pi i h.r), s = 1 / (2 d);
        Friedel mates are averaged, as a powder does.
    """
    hkl = np.asarray(hkl, dtype=float)
    s = np.sqrt(metric_terms(phase, hkl) @ (1 / free_edges_of(phase) ** 2)) / 2
    sums = np.zeros((2, len(hkl)), dtype=complex)
    for element, occupancy, u_iso, positions in _atoms(phase):
        if occupancy == 0:
            continue
        factor = _atom(element, energy)(s)
        factor = occupancy * factor * np.exp(-8 * np.pi**2 * u_iso * s**2)
        waves = np.exp(2j * np.pi * hkl @ positions.T).sum(axis=1)
        sums[0] += factor * waves
        sums[1] += factor * np.conj(waves)
    return np.asarray((np.abs(sums) ** 2).mean(axis=0))


@dataclass(frozen=True)
class Reflections:
    """All families of one phase that a detector can see.

    Attributes:
        phase: Name.
        structure: At the phase's own lithium content.
        energy: eV.
        hkl: Shape (n, 3).
        multiplicity: Shape (n,).
        metric: See `metric_terms`, shape (n, n_free_edges).
        square_table: abs(F)^2 at lithium contents over the phase's range, shape (n_contents, n);
            one row if it holds no lithium.
    """

    phase: str
    structure: Structure
    energy: float
    hkl: FloatArray
    multiplicity: FloatArray
    metric: FloatArray
    square_table: FloatArray = field(repr=False)

    @cached_property
    def _spline(self) -> CubicSpline:
        return CubicSpline(_contents_of(self.phase), self.square_table)

    def squares(self, lithium_content: float | None) -> tuple[FloatArray, FloatArray]:
        """abs(F)^2 and its derivative by the lithium content, shape (n,) each; contents outside
        the range are clipped.
        """
        known = _range_of(self.phase)
        if known is None:
            return self.square_table[0], np.zeros(len(self.hkl))
        low, high = known
        given = self.structure.formula["Li"] if lithium_content is None else lithium_content
        content = min(max(given, low), high)
        return self._spline(content), self._spline(content, 1)

    def two_theta(self, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Angles in radian, shape (n,), and their derivatives by the free edges, shape (n,
        n_free_edges).
        """
        inverse_d = np.sqrt(self.metric @ (1 / edges**2))
        half = wavelength_from_energy(self.energy) / 2
        sine = np.minimum(half * inverse_d, 1 - 1e-9)
        by_edge = -self.metric / edges**3 / inverse_d[:, None]
        return 2 * np.arcsin(sine), 2 * half * by_edge / np.sqrt(1 - sine**2)[:, None]

    def strength(
        self, edges: FloatArray, lithium_content: float | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Scattered power of each ring, per incident photon and areal mole of formula units.

        In cm2 per mol and steradian times radian of two theta (that is, of a profile that is
        normalised in radian), without polarization and absorption.

        Returns:
            The strength, shape (n,), its derivatives by the edges, shape (n, n_free_edges), and
            by the lithium content, shape (n,).

        Source:
            N_A r_e^2 wavelength^3 m abs(F)^2 / (16 pi Z V sin^2(theta) cos(theta)); Warren, X-ray
            Diffraction (1969), eq. 4.9, for a whole cone and divided by 2 pi sin(2 theta).
        """
        two_theta, by_edge = self.two_theta(edges)
        theta = two_theta / 2
        volume = volume_of(self.structure, edges)
        wavelength = wavelength_from_energy(self.energy)
        constant = (
            AVOGADRO
            * CLASSICAL_ELECTRON_RADIUS**2
            * wavelength**3
            / (16 * np.pi * self.structure.formula_units)
        )
        squares, by_content = self.squares(lithium_content)
        common = constant * self.multiplicity / (volume * np.sin(theta) ** 2 * np.cos(theta))
        strength = common * squares
        logarithmic = (np.tan(theta) - 2 / np.tan(theta))[:, None] * by_edge / 2
        power = {
            "a": 1 + ("b" not in self.structure.free_edges) + ("c" not in self.structure.free_edges)
        }
        powers = np.array([power.get(edge, 1) for edge in self.structure.free_edges])
        return strength, strength[:, None] * (logarithmic - powers / edges), common * by_content

    def name_of(self, index: int) -> str:
        """A family as it is usually written, "200" and not "020": its first member by falling indices
        without a negative one.
        """
        operations = gemmi.SpaceGroup(self.structure.space_group).operations()
        family = [int(v) for v in self.hkl[index]]
        images = [operation.apply_to_hkl(family) for operation in operations.sym_ops]
        images += [[-v for v in image] for image in images]
        positive = [image for image in images if min(image) >= 0]
        written = max(positive) if positive else [abs(v) for v in family]
        return "".join(str(v) for v in written)

    def index_of(self, name: str) -> int | None:
        """Of the family that holds the reflection written "hkl" (single digits), or None."""
        wanted = np.array([[float(digit) for digit in name]])
        group = gemmi.SpaceGroup(self.structure.space_group)
        found = gemmi.ReciprocalAsu(group).to_asu([int(v) for v in wanted[0]], group.operations())[
            0
        ]
        matches = np.nonzero((self.hkl == np.array(found)).all(axis=1))[0]
        return int(matches[0]) if len(matches) else None


def _range_of(phase: str) -> tuple[float, float] | None:
    """Lithium contents that a phase may have, None if it has but one."""
    low, high = {**COUNTER_RANGE, **LITHIUM_RANGE}.get(phase, (0.0, 0.0))
    return (low, high) if low < high else None


def _contents_of(phase: str) -> FloatArray:
    return np.linspace(*(_range_of(phase) or (0.0, 0.0)), _N_CONTENTS)


@functools.lru_cache(maxsize=64)
def reflections_of(phase: str, *, energy: float, two_theta_max: float) -> Reflections:
    """Families of a phase up to an angle in degree, at every lithium content it may have."""
    base = structure(phase)
    largest = 2 * np.sin(np.radians(two_theta_max) / 2) / wavelength_from_energy(energy)
    structures = [base]
    if _range_of(phase) is not None:
        structures = [structure(phase, content) for content in _contents_of(phase)]
    margin = max(float((free_edges_of(s) / free_edges_of(base)).max()) for s in structures)
    hkl, multiplicity = _families(base, largest * margin)
    table = np.array([squared_structure_factors(s, hkl, energy) for s in structures])
    everything = Reflections(phase, base, energy, hkl, multiplicity, metric_terms(base, hkl), table)
    theta = everything.two_theta(free_edges_of(base))[0] / 2
    relative = multiplicity * table / (np.sin(theta) ** 2 * np.cos(theta))
    strongest = relative.max(axis=1, initial=1e-300)[:, None]
    keep = (relative > _WEAKEST * strongest).any(axis=0)
    return Reflections(
        phase,
        base,
        energy,
        hkl[keep],
        multiplicity[keep],
        everything.metric[keep],
        table[:, keep],
    )
