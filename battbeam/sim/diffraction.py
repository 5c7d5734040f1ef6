"""This file is where crystals and glasses scatter: absolute differential cross sections per mol
against 2 theta.

Everything is kinematic, for a random powder, without polarization (which depends on the azimuth and
is put on each pixel by `battbeam.sim.frame`). A cross section per mol of formula units, cm2/(mol
sr), times an areal amount in mol/cm2 is the share of the incident photons that goes into one
steradian.

Not imitated: extinction, strain and size broadening of their own, multiple scattering. Texture is in
`battbeam.sim.texture`, graininess in `battbeam.sim.grains`.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gemmi
import numpy as np

from battbeam import materials
from battbeam.materials import AVOGADRO, CLASSICAL_ELECTRON_RADIUS, Structure
from battbeam.units import FloatArray, wavelength_from_energy

#: Smallest 2 theta at which 1/sin(2 theta) is taken, degree: nearer, the beam stop covers the
#: detector.
LOWEST_TWO_THETA = 0.25
#: Reflections this far outside the visible range still reach into it with their tails, degree.
TAIL_REACH = 4.0
#: Reflections weaker than this (electrons squared per cell, |F|^2) are absent by symmetry.
_ABSENT = 1e-6
_TABLE_SINE = np.linspace(0.0, 2.0, 8001)


@dataclass(frozen=True)
class LineShape:
    """A pseudo-Voigt line, normalised in 2 theta.

    Attributes:
        width: Full width at half maximum at 2 theta = 0, degree.
        slope: FWHM = width + slope * tan(theta), degree.
        lorentzian: Share of the Lorentzian's area, 0 to 1.
    """

    width: float
    slope: float
    lorentzian: float

    def full_width(self, two_theta: FloatArray) -> FloatArray:
        """FWHM, degree, of lines at two_theta, degree."""
        return np.asarray(self.width + self.slope * np.tan(np.radians(two_theta) / 2))

    def density(self, *, two_theta: FloatArray, centres: FloatArray) -> FloatArray:
        """Each line's share per degree, shape (n_lines, n_bins); its integral over 2 theta in
        degree is 1.
        """
        width = self.full_width(centres)[:, None]
        u = (two_theta[None, :] - centres[:, None]) / width
        gaussian = 2 * np.sqrt(np.log(2) / np.pi) * np.exp(-4 * np.log(2) * u**2)
        lorentzian = (2 / np.pi) / (1 + 4 * u**2)
        return np.asarray((self.lorentzian * lorentzian + (1 - self.lorentzian) * gaussian) / width)


@dataclass(frozen=True)
class Reflections:
    """The powder lines of one structure, by falling d.

    Attributes:
        hkl: One of each family, shape (n, 3).
        multiplicity: Members of the family, Friedel mates included, shape (n,).
        d_spacing: angstrom, shape (n,).
        structure_factor: |F|, electrons per unit cell, shape (n,).
    """

    hkl: "np.typing.NDArray[np.int64]"
    multiplicity: FloatArray
    d_spacing: FloatArray
    structure_factor: FloatArray


@functools.lru_cache(maxsize=256)
def _scattering_table(element: str, energy: float) -> "np.typing.NDArray[np.complex128]":
    return materials.free_atom_scattering(element, sine_over_wavelength=_TABLE_SINE, energy=energy)


def atom_scattering(element: str, *, sine_over_wavelength: FloatArray, energy: float) -> FloatArray:
    """f0 + f' + i f'' of a free atom, electrons (complex), by a fine table (steps of 0.00025 /
    angstrom).
    """
    table = _scattering_table(element, energy)
    real = np.interp(sine_over_wavelength, _TABLE_SINE, table.real)
    return np.asarray(real + 1j * table.imag[0])


@functools.lru_cache(maxsize=64)
def _operations(space_group: str) -> tuple[FloatArray, FloatArray]:
    """Rotations, shape (m, 3, 3), and translations, shape (m, 3), centring included."""
    operations = list(gemmi.SpaceGroup(space_group).operations())
    rotations = np.array([operation.rot for operation in operations]) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in operations]) / gemmi.Op.DEN
    return rotations, translations


@functools.lru_cache(maxsize=4096)
def _orbit(space_group: str, position: tuple[float, float, float]) -> FloatArray:
    """Fractional coordinates of all distinct images of a site, shape (n, 3)."""
    rotations, translations = _operations(space_group)
    images = (rotations @ np.array(position) + translations) % 1.0
    distinct: list[FloatArray] = []
    for image in images:
        apart = [np.abs((image - other + 0.5) % 1.0 - 0.5).max() for other in distinct]
        if not apart or min(apart) > 1e-4:
            distinct.append(image)
    return np.array(distinct)


@functools.lru_cache(maxsize=256)
def _families(space_group: str, limits: tuple[int, int, int]) -> tuple[FloatArray, FloatArray]:
    """One hkl of each family inside a box of indices, and the sizes of the families."""
    rotations, _ = _operations(space_group)
    ranges = [np.arange(-limit, limit + 1) for limit in limits]
    box = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    box = box[np.any(box != 0, axis=1)]
    images = np.rint(np.einsum("ni,mij->nmj", box, rotations)).astype(np.int64)
    images = np.concatenate([images, -images], axis=1)
    keys = (images[..., 0] * 4096 + images[..., 1]) * 4096 + images[..., 2]
    own = (box[:, 0] * 4096 + box[:, 1]) * 4096 + box[:, 2]
    chosen = own == keys.max(axis=1)
    ordered = np.sort(keys[chosen], axis=1)
    sizes = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
    return box[chosen], sizes.astype(float)


def reciprocal_metric(crystal: Structure) -> FloatArray:
    """Reciprocal metric tensor, 1/angstrom^2, shape (3, 3)."""
    lattice = crystal.lattice
    ca, cb, cg = np.cos(np.radians([lattice.alpha, lattice.beta, lattice.gamma]))
    a, b, c = lattice.a, lattice.b, lattice.c
    direct = np.array(
        [
            [a * a, a * b * cg, a * c * cb],
            [a * b * cg, b * b, b * c * ca],
            [a * c * cb, b * c * ca, c * c],
        ]
    )
    return np.asarray(np.linalg.inv(direct))


def family_members(
    crystal: Structure, hkl: "np.typing.NDArray[np.int64]"
) -> "np.typing.NDArray[np.int64]":
    """All hkl of a reflection's family, Friedel mates included, shape (n, 3)."""
    rotations, _ = _operations(crystal.space_group)
    images = np.rint(np.asarray(hkl) @ rotations).astype(np.int64)
    return np.unique(np.concatenate([images, -images]), axis=0)


def structure_factors(crystal: Structure, *, hkl: FloatArray, energy: float) -> FloatArray:
    """|F| at each hkl, electrons per unit cell, shape (n,); Friedel mates averaged in |F|^2."""
    hkl = np.atleast_2d(np.asarray(hkl, dtype=float))
    sine = np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(crystal), hkl)) / 2
    mates = np.zeros((2, len(hkl)), dtype=complex)
    for site in crystal.sites:
        phase = np.exp(2j * np.pi * (hkl @ _orbit(crystal.space_group, site.position).T))
        damped = np.exp(-8 * np.pi**2 * site.u_iso * sine**2) * site.occupancy
        amplitude = damped * atom_scattering(site.element, sine_over_wavelength=sine, energy=energy)
        mates[0] += amplitude * phase.sum(axis=1)
        mates[1] += amplitude * phase.conj().sum(axis=1)
    return np.asarray(np.sqrt(np.mean(np.abs(mates) ** 2, axis=0)))


def reflections(crystal: Structure, *, energy: float, two_theta_max: float) -> Reflections:
    """All powder lines up to an angle in degree at an energy in eV."""
    d_min = wavelength_from_energy(energy) / (2 * np.sin(np.radians(two_theta_max) / 2))
    lattice = crystal.lattice
    limits = tuple(int(np.ceil(edge / d_min)) + 1 for edge in (lattice.a, lattice.b, lattice.c))
    hkl, multiplicity = _families(crystal.space_group, (limits[0], limits[1], limits[2]))
    d_spacing = 1 / np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(crystal), hkl))
    near = d_spacing >= d_min
    hkl, multiplicity, d_spacing = hkl[near], multiplicity[near], d_spacing[near]
    magnitude = structure_factors(crystal, hkl=hkl, energy=energy)
    order = np.argsort(-d_spacing, kind="stable")
    order = order[magnitude[order] ** 2 > _ABSENT]
    return Reflections(hkl[order], multiplicity[order], d_spacing[order], magnitude[order])


def bragg_angle(crystal: Structure, *, hkl: tuple[int, int, int], energy: float) -> float:
    """2 theta of one reflection, degree, by Bragg's law."""
    index = np.array(hkl, dtype=float)
    inverse_d = float(np.sqrt(index @ reciprocal_metric(crystal) @ index))
    return float(np.degrees(2 * np.arcsin(wavelength_from_energy(energy) * inverse_d / 2)))


def ring_cross_sections(crystal: Structure, lines: Reflections, *, energy: float) -> FloatArray:
    """Photons in each whole ring per incident photon and areal amount, cm2/mol, unpolarized factor
    left out.

    Source:
        Warren, X-ray Diffraction (1969), ch. 4: the power in a ring of a powder of volume v is
        I0 v r_e^2 lambda^3 m |F|^2 / (4 V^2 sin(theta)); v per area is n N_A V / Z at an areal
        amount n.
    """
    wavelength = wavelength_from_energy(energy) * 1e-8
    volume = crystal.lattice.volume * 1e-24
    sine = wavelength / (2 * lines.d_spacing * 1e-8)
    strength = CLASSICAL_ELECTRON_RADIUS**2 * wavelength**3 * lines.multiplicity
    strength = strength * lines.structure_factor**2 / (4 * volume * sine)
    return np.asarray(AVOGADRO * strength / crystal.formula_units)


def bragg_pattern(
    crystal: Structure,
    *,
    two_theta: FloatArray,
    energy: float,
    shape: LineShape,
    share: Callable[[Reflections], FloatArray] | None = None,
) -> FloatArray:
    """Bragg scattering per mol, cm2/(mol sr), at each angle, degree, shape (n,).

    Each ring's photons are spread by the line shape over 2 theta and over 2 pi sin(2 theta) of
    azimuth, so that their sum over the detector does not depend on the width. Tails are not cut.
    ``share`` is each line's strength over that of a powder, shape (n_lines,).
    """
    top = min(float(two_theta.max()) + TAIL_REACH, 170.0)
    lines = reflections(crystal, energy=energy, two_theta_max=top)
    rings = ring_cross_sections(crystal, lines, energy=energy)
    if share is not None:
        rings = rings * share(lines)
    centres = np.degrees(2 * np.arcsin(wavelength_from_energy(energy) / (2 * lines.d_spacing)))
    per_radian = np.degrees(rings @ shape.density(two_theta=two_theta, centres=centres))
    return np.asarray(per_radian / (2 * np.pi * _azimuth_sine(two_theta)))


def _azimuth_sine(two_theta: FloatArray) -> FloatArray:
    return np.asarray(np.sin(np.radians(np.maximum(two_theta, LOWEST_TWO_THETA))))


def _incoherent(element: str, *, sine: FloatArray, energy: float) -> FloatArray:
    """Compton scattering of an atom in electron units, Z - f0^2 / Z (a classical approximation)."""
    f0 = atom_scattering(element, sine_over_wavelength=sine, energy=energy).real
    at_zero = atom_scattering(element, sine_over_wavelength=np.zeros(1), energy=energy).real[0]
    return np.asarray(np.clip(at_zero - f0**2 / at_zero, 0, None))


def crystal_diffuse_pattern(
    crystal: Structure, *, two_theta: FloatArray, energy: float
) -> FloatArray:
    """Thermal diffuse and Compton scattering of a crystal per mol, cm2/(mol sr), smooth."""
    sine = np.sin(np.radians(two_theta) / 2) / wavelength_from_energy(energy)
    total = np.zeros_like(two_theta)
    for site in crystal.sites:
        n_atoms = (
            len(_orbit(crystal.space_group, site.position)) * site.occupancy / crystal.formula_units
        )
        f = np.abs(atom_scattering(site.element, sine_over_wavelength=sine, energy=energy))
        thermal = f**2 * (1 - np.exp(-16 * np.pi**2 * site.u_iso * sine**2))
        total += n_atoms * (thermal + _incoherent(site.element, sine=sine, energy=energy))
    return np.asarray(AVOGADRO * CLASSICAL_ELECTRON_RADIUS**2 * total)


#: Halos of what does not crystallise: (q of the maximum, its standard deviation, 1/angstrom, height
#: over the independent atoms). Carbon black's 002 halo is centred at d = 3.565 angstrom; the rest
#: is typical.
HALOS: Mapping[str, tuple[float, float, float]] = {
    "carbon": (2 * np.pi / 3.565, 0.16, 6.0),
    "Kapton": (1.25, 0.30, 1.2),
    "polyethylene": (1.42, 0.20, 3.0),
    "PVDF": (1.40, 0.20, 2.5),
    "electrolyte": (1.55, 0.28, 1.5),
    "air": (0.0, 1.0, 0.0),
}
#: Below this q neighbouring atoms interfere destructively in a dense glass, 1/angstrom.
_GLASS_ORDER = 1.0


def glass_pattern(
    name: str, formula: Mapping[str, float], *, two_theta: FloatArray, energy: float
) -> FloatArray:
    """Scattering of an amorphous material per mol of formula units, cm2/(mol sr), smooth.

    Independent atoms times a simple structure factor (1 at high q, one halo), and Compton
    scattering.
    """
    sine = np.sin(np.radians(two_theta) / 2) / wavelength_from_energy(energy)
    q = 4 * np.pi * sine
    centre, spread, height = HALOS[name]
    order = 1.0 if name == "air" else q**2 / (q**2 + _GLASS_ORDER**2)
    order = order + height * np.exp(-0.5 * ((q - centre) / spread) ** 2)
    total = np.zeros_like(two_theta)
    for element, count in formula.items():
        f = np.abs(atom_scattering(element, sine_over_wavelength=sine, energy=energy))
        total += count * (f**2 * order + _incoherent(element, sine=sine, energy=energy))
    return np.asarray(AVOGADRO * CLASSICAL_ELECTRON_RADIUS**2 * total)
