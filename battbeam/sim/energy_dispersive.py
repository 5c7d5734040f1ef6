"""This file is where the spectrum of a gauge volume in a white beam is made: at one angle, energy by
energy.

A plane of spacing d reflects h c / (2 d sin(theta)); how much follows from the cross sections that
frames are made of (`battbeam.sim.diffraction`), integrated over energy instead of over angle. Beside
the lines stand what powders and glasses scatter at every energy, and the K lines that the beam excites.

Not imitated: polarization (the detector stands beside the beam, in its plane), structure factors that
change over the spectrum, the detector's efficiency, its escape and sum peaks, Compton shift (12 eV at
40 keV). Edges in what absorbs are as sharp as the knots between which it is interpolated.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from battbeam import materials
from battbeam.sim import diffraction
from battbeam.sim.gauge import Plane, Portion
from battbeam.sim.scenario_energy_dispersive import EnergyDispersive
from battbeam.units import HC, FloatArray

#: Energies between which what is smooth is interpolated, and fewer for smooth scattering, eV.
KNOTS: FloatArray = np.geomspace(4e3, 140e3, 72)
_FEW_KNOTS: FloatArray = np.geomspace(8e3, 140e3, 12)
#: Where structure factors are taken, eV: in the middle of the strong lines, no edge near.
STRUCTURE_ENERGY = 50e3
#: Of a spectrum.
N_CHANNELS = 4096
#: Share of K alpha among K photons (the rest is K beta): 0.87 to 0.89 for 3d metals.
_ALPHA = 0.88
#: Standard deviations of a line that are drawn to either side.
_REACH = 6.0
_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class _Kind:
    """What is alike in all planes of a gauge.

    Attributes:
        portion: One of it.
        amount: mol/cm3 of it times what passes along its layer, light-weighted, at the knots.
    """

    portion: Portion
    amount: FloatArray


class WhiteBeam:
    """The beam and the detector of a scenario."""

    def __init__(self, settings: EnergyDispersive) -> None:
        self.settings = settings
        self._sine = float(np.sin(np.radians(settings.two_theta) / 2))
        channels = np.arange(N_CHANNELS + 1) - 0.5
        self._edges = channels * settings.slope + settings.offset

    def flux(self, energy: FloatArray) -> FloatArray:
        """Photons per s and eV at energies in eV, behind the filter, ring full."""
        beam = self.settings
        bare = beam.flux / beam.temperature * np.exp(-np.asarray(energy) / beam.temperature)
        metal = materials.structure("Al")
        dense = metal.formula_units / (metal.lattice.volume * 1e-24 * materials.AVOGADRO)
        passed = np.exp(-dense * beam.filter / 10 * _attenuation({"Al": 1.0}))
        return np.asarray(bare * np.interp(energy, KNOTS, passed))

    def energy(self, d_spacing: FloatArray) -> FloatArray:
        """eV that spacings reflect."""
        return np.asarray(HC / (2 * d_spacing * self._sine))

    def full_width(self, energy: FloatArray) -> FloatArray:
        """Of a line at half maximum, eV."""
        return np.asarray(np.sqrt(self.settings.noise**2 + self.settings.fano * energy))

    def spectrum(self, planes: Sequence[Plane]) -> FloatArray:
        """Photons/s that the analyser is offered in each channel, ring full, shape (n_channels,).

        Args:
            planes: Of the gauge volume; of none only what strays is seen.
        """
        settings, flux = self.settings, self.flux(KNOTS)
        smooth, lines = flux * settings.stray, []
        for kind in _kinds(planes, settings.path / 10):
            light = flux * kind.amount * settings.gauge_length / 10
            smooth = smooth + light * settings.solid_angle * _diffuse(
                kind.portion.material, settings.two_theta
            )
            lines += list(self._reflections(kind))
            lines += list(self._fluorescence(kind.portion, light))
        middles = (self._edges[1:] + self._edges[:-1]) / 2
        counts = np.interp(middles, KNOTS, smooth, left=0.0, right=0.0) * settings.slope
        for energy, area in lines:
            self._draw(counts, energy, area)
        return counts

    def _reflections(self, kind: _Kind) -> Iterator[tuple[float, float]]:
        """Energy of each line and its photons/s."""
        portion, settings = kind.portion, self.settings
        if not portion.is_crystal:
            return
        spacing, per_mol = bragg_lines(portion.material, portion.content, settings.two_theta)
        energy = self.energy(spacing)
        amount = np.interp(energy, KNOTS, kind.amount) * settings.gauge_length / 10
        area = self.flux(energy) * amount * per_mol * settings.solid_angle
        yield from zip(energy.tolist(), area.tolist(), strict=True)

    def _fluorescence(self, portion: Portion, light: FloatArray) -> Iterator[tuple[float, float]]:
        """K lines of each element: photons that its K shell takes come back to the detector in part."""
        for element, count in portion.formula.items():
            shell = _k_shell(element)
            if shell is not None:
                taken = float(np.trapezoid(light * shell.absorption, KNOTS)) * count
                seen = taken * shell.fluorescence_yield * self.settings.fluorescence
                yield shell.alpha, seen * _ALPHA
                yield shell.beta, seen * (1 - _ALPHA)

    def _draw(self, counts: FloatArray, energy: float, area: float) -> None:
        sigma = float(self.full_width(np.array(energy))) / _PER_SIGMA
        ends = [energy - _REACH * sigma, energy + _REACH * sigma]
        low, high = np.clip(np.searchsorted(self._edges, ends), 1, len(counts))
        below = ndtr((self._edges[low - 1 : high + 1] - energy) / sigma)
        counts[low - 1 : high] += area * np.diff(below)


def _kinds(planes: Sequence[Plane], path: float) -> list[_Kind]:
    """What the beam meets, each once; rays go ``path`` cm along each plane."""
    found: dict[tuple[str, str, float], _Kind] = {}
    for plane in planes:
        opaque = sum(
            (each.concentration * _attenuation(each.formula) for each in plane.portions),
            start=np.zeros(len(KNOTS)),
        )
        passed = plane.weight * np.exp(-path * opaque)
        for each in plane.portions:
            key = (each.host, each.material, each.content)
            amount = each.concentration * passed
            before = found[key].amount if key in found else 0.0
            found[key] = _Kind(each, before + amount)
    return list(found.values())


@functools.lru_cache(maxsize=8192)
def bragg_lines(phase: str, content: float, two_theta: float) -> tuple[FloatArray, FloatArray]:
    """Lines of a phase at one angle in a white beam.

    Args:
        phase: A name of `battbeam.materials.PHASES`.
        content: Its lithium content; of one that is always the same it is not looked at.
        two_theta: Degree.

    Returns:
        Spacings, angstrom, falling, and for each the photons per sr, mol/cm2 and photon/eV of the
        beam at its energy, shape (n,).

    Source:
        A ring of 2 pi sin(2 theta) holds its power at one energy; over energies, d(2 theta) = 2 tan(theta)
        dE / E. Power goes with the square of the wavelength at a given spacing.
    """
    crystal = materials.structure(phase, content if phase in materials.HOSTS else None)
    half = np.radians(two_theta) / 2
    top = 2 * np.degrees(np.arcsin(float(KNOTS[-1]) / STRUCTURE_ENERGY * np.sin(half)))
    lines = diffraction.reflections(crystal, energy=STRUCTURE_ENERGY, two_theta_max=float(top))
    rings = diffraction.ring_cross_sections(crystal, lines, energy=STRUCTURE_ENERGY)
    energy = HC / (2 * lines.d_spacing * np.sin(half))
    rings = rings * (STRUCTURE_ENERGY / energy) ** 2
    per_radian = rings / (2 * np.pi * np.sin(2 * half))
    return lines.d_spacing, np.asarray(per_radian * energy / (2 * np.tan(half)))


@functools.lru_cache(maxsize=256)
def _diffuse(material: str, two_theta: float) -> FloatArray:
    """Smooth scattering per mol at the knots, cm2/(mol sr), of a phase as it usually is or of a glass."""
    at, values = np.array([two_theta]), []
    for energy in _FEW_KNOTS:
        if material in materials.AMORPHOUS:
            formula = materials.AMORPHOUS[material][0]
            found = diffraction.glass_pattern(material, formula, two_theta=at, energy=float(energy))
        elif material in materials.PHASES:
            crystal = materials.structure(material)
            found = diffraction.crystal_diffuse_pattern(crystal, two_theta=at, energy=float(energy))
        else:
            found = np.zeros(1)
        values.append(float(found[0]))
    return np.asarray(np.interp(np.log(KNOTS), np.log(_FEW_KNOTS), values))


@functools.cache
def _of_element(element: str) -> FloatArray:
    """Attenuation at the knots, cm2/mol."""
    mass = materials.atomic_mass(element)
    return mass * np.array([materials.mass_attenuation(element, float(e)) for e in KNOTS])


def _attenuation(formula: Mapping[str, float]) -> FloatArray:
    """At the knots, cm2/mol of formula units."""
    return sum(
        (count * _of_element(element) for element, count in formula.items()),
        start=np.zeros(len(KNOTS)),
    )


@dataclass(frozen=True)
class _KShell:
    """Of one element.

    Attributes:
        alpha: K alpha, eV.
        beta: K beta, eV.
        fluorescence_yield: Photons for each vacancy.
        absorption: Of the shell at the knots, cm2/mol.
    """

    alpha: float
    beta: float
    fluorescence_yield: float
    absorption: FloatArray


@functools.cache
def _k_shell(element: str) -> _KShell | None:
    """None where its K lines lie below what is looked at.

    Source:
        Elam tables through xraydb; the shell's part of what absorbs is 1 - 1 / (jump of its edge).
    """
    import xraydb

    edge = xraydb.xray_edge(element, "K")
    lines = xraydb.xray_lines(element, "K")
    if not {"Ka1", "Kb1"} <= set(lines) or lines["Ka1"].energy < KNOTS[0]:
        return None
    photo = np.array([materials.photoelectric_absorption(element, float(e)) for e in KNOTS])
    part = np.where(edge.energy < KNOTS, 1 - 1 / edge.jump_ratio, 0.0)
    return _KShell(
        alpha=float(lines["Ka1"].energy),
        beta=float(lines["Kb1"].energy),
        fluorescence_yield=float(edge.fyield),
        absorption=np.asarray(photo * part * materials.atomic_mass(element)),
    )
