"""This file is where it is said how much light a cell lets through and how bright its lines are.

From the passport's stack alone: attenuation of each layer, and kinematic powder diffraction of what
is crystalline in it. Good to some ten percent for the transmission, to a factor of two for a pixel.
"""

import functools
import math

import gemmi
import numpy as np

from battbeam import materials
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import BeamFacts, DetectorFacts
from battbeam.experiment.fluence import MassModel
from battbeam.experiment.forecast_absorption import (
    absorbance,
    active_moles,
    crystal_moles,
    host,
)
from battbeam.units import FloatArray, wavelength_from_energy

#: Lines with a smaller spacing (angstrom) or beyond this angle (degree) are never the strongest.
_SMALLEST_SPACING, _LARGEST_ANGLE = 1.2, 60.0


def transmission(passport: CellPassport, lithium_content: float, energy: float) -> float:
    """Of the whole stack for the direct beam, 1; NaN where a layer is not known.

    Args:
        passport: Of the cell.
        lithium_content: Of the active material.
        energy: eV.
    """
    return math.exp(-absorbance(passport, lithium_content, energy))


def active_material(passport: CellPassport) -> MassModel | None:
    """What takes up energy where nothing else is declared: the active material, all light on it."""
    if not passport.known_phases:
        return None
    return MassModel(
        name=passport.known_phases[0],
        formula=host(passport, passport.initial_lithium_content),
    )


def brightest_pixel(
    passport: CellPassport, beam: BeamFacts, detector: DetectorFacts, *, exposure: float
) -> float:
    """Counts expected in the brightest pixel of one frame, on the strongest powder line; NaN where
    a layer is not known.

    Args:
        passport: Of the cell.
        beam: The light.
        detector: Square to the beam.
        exposure: Of the frame, s.
    """
    try:
        shares = [_brightest(phase, moles, beam, detector) for phase, moles in _crystals(passport)]
    except ValueError:
        return math.nan
    through = transmission(passport, passport.initial_lithium_content, beam.energy)
    photons = beam.flux * exposure * through * detector.gain
    return photons * max(shares, default=math.nan)


def _crystals(passport: CellPassport) -> list[tuple[str, float]]:
    """What is crystalline in the beam, and how much of each, mol of formula units per cm2."""
    found = [(phase, active_moles(passport)) for phase in passport.known_phases]
    for layer in passport.stack:
        if layer.material != "active" and layer.material not in materials.AMORPHOUS:
            found.append((layer.material, crystal_moles(layer)))
    return found


def _brightest(phase: str, moles: float, beam: BeamFacts, detector: DetectorFacts) -> float:
    """Share of the photons that the brightest pixel of a powder's strongest line receives.

    Source:
        Integrated intensity of a powder ring, Warren, X-ray Diffraction, section 4.4, where the
        polarization is along the beam's own; spread over the ring and a Gaussian line.
    """
    crystal, wavelength = materials.structure(phase), wavelength_from_energy(beam.energy)
    volume = crystal.lattice.volume
    thickness = moles * materials.AVOGADRO * volume * 1e-24 / crystal.formula_units
    squares, spacings = _lines(phase, beam.energy)
    sine = wavelength / (2 * spacings)
    seen = sine < math.sin(math.radians(_LARGEST_ANGLE / 2))
    theta = np.arcsin(sine[seen])
    ring = (
        (materials.CLASSICAL_ELECTRON_RADIUS / 1e-8) ** 2
        * wavelength**3
        * squares[seen]
        * (thickness / 1e-8)
        / (4 * volume**2 * np.sin(theta))
    )
    radius = detector.distance * np.tan(2 * theta) / detector.pixel_size
    width = np.radians(detector.peak_width) * detector.distance / np.cos(2 * theta) ** 2
    width = np.maximum(width / detector.pixel_size, 1.0)
    pixels = 2 * math.pi * radius * width * math.sqrt(math.pi / math.log(2)) / 2
    return float(np.max(ring / pixels, initial=0.0))


@functools.lru_cache(maxsize=64)
def _lines(phase: str, energy: float) -> tuple[FloatArray, FloatArray]:
    """Multiplicity times squared structure factor (electrons), and spacing (angstrom) of lines."""
    crystal = materials.structure(phase)
    lattice = crystal.lattice
    cell = gemmi.UnitCell(
        lattice.a, lattice.b, lattice.c, lattice.alpha, lattice.beta, lattice.gamma
    )
    reach = [int(edge / _SMALLEST_SPACING) for edge in (lattice.a, lattice.b, lattice.c)]
    axes = [np.arange(-n, n + 1) for n in reach]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    spacings = np.array([cell.calculate_d(row.tolist()) if row.any() else 0.0 for row in indices])
    kept = spacings >= _SMALLEST_SPACING
    indices, spacings = indices[kept], spacings[kept]
    factors = np.zeros(len(indices), dtype=complex)
    operations = gemmi.SpaceGroup(crystal.space_group).operations()
    for site in crystal.sites:
        places = _places(operations, site.position)
        scattering = site.occupancy * materials.free_atom_scattering(
            site.element, sine_over_wavelength=1 / (2 * spacings), energy=energy
        )
        damping = np.exp(-8 * math.pi**2 * site.u_iso / (4 * spacings**2))
        waves = np.exp(2j * math.pi * indices @ places.T).sum(axis=1)
        factors += scattering * damping * waves
    # Lines of one spacing are one ring.
    each, ring = np.unique(np.round(spacings, 4), return_inverse=True)
    squares = np.bincount(ring, weights=np.abs(factors) ** 2)
    return np.asarray(squares, dtype=float), np.asarray(each, dtype=float)


def _places(operations: "gemmi.GroupOps", position: tuple[float, float, float]) -> FloatArray:
    """Of an atom in the unit cell, each once, shape (n, 3)."""
    moved = np.array([operation.apply_to_xyz(list(position)) for operation in operations]) % 1.0
    return np.unique(np.round(moved, 4) % 1.0, axis=0)
