"""This file is where it is said how much a cell's stack absorbs, from its passport alone."""

import functools
import math
from collections.abc import Mapping

from battbeam import materials
from battbeam.experiment.cell import CellPassport, PassportLayer


def absorbance(passport: CellPassport, lithium_content: float, energy: float) -> float:
    """Of the whole stack, 1; NaN where a layer is not known.

    Args:
        passport: Of the cell.
        lithium_content: Of the active material.
        energy: eV.
    """
    try:
        return sum(
            absorbance_of_layer(layer, passport, lithium_content, energy)
            for layer in passport.stack
        )
    except ValueError:
        return math.nan


def active_absorbance(passport: CellPassport, lithium_content: float, energy: float) -> float:
    """Of the active material alone, 1; NaN where it is not known."""
    layers = [layer for layer in passport.stack if layer.material == "active"]
    try:
        return sum(
            absorbance_of_layer(layer, passport, lithium_content, energy) for layer in layers
        )
    except ValueError:
        return math.nan


def absorbance_of_layer(
    layer: PassportLayer, passport: CellPassport, lithium_content: float, energy: float
) -> float:
    """Attenuation times thickness of a layer.

    Raises:
        ValueError: If its material is not known.
    """
    if layer.material == "active":
        return active_moles(passport) * materials.molar_attenuation(
            host(passport, lithium_content), energy
        )
    if layer.material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[layer.material]
        moles = density * layer.thickness / 10 / materials.molar_mass(formula)
        return moles * materials.molar_attenuation(formula, energy)
    crystal = materials.structure(layer.material)
    return crystal_moles(layer) * materials.molar_attenuation(crystal.formula, energy)


def host(passport: CellPassport, lithium_content: float) -> Mapping[str, float]:
    """Atoms per formula unit of the active material.

    Raises:
        ValueError: If neither its structure is known nor its chemistry written as a formula.
    """
    if not passport.known_phases:
        return _formula(passport.chemistry)
    rich = materials.structure(passport.known_phases[0])
    return {**rich.formula, "Li": min(max(lithium_content, 0.0), 1.0)}


@functools.cache
def _formula(chemistry: str) -> Mapping[str, float]:
    """Atoms per formula unit of a chemistry that is written so, as ``NaNi0.4Mn0.4Co0.2O2``."""
    import xraydb

    try:
        return {element: float(count) for element, count in xraydb.chemparse(chemistry).items()}
    except ValueError:
        raise ValueError(f"no structure is known for {chemistry}") from None


def active_moles(passport: CellPassport) -> float:
    """Formula units per electrode area, mol/cm2.

    Raises:
        ValueError: If the active material is not known.
    """
    mass = passport.molar_mass
    if mass is None and passport.known_phases:
        mass = materials.structure(passport.known_phases[0], 1.0).molar_mass
    if mass is None:
        mass = materials.molar_mass(_formula(passport.chemistry))
    return passport.active_mass * 1e-3 / passport.electrode_area / mass


def crystal_moles(layer: PassportLayer) -> float:
    """Formula units per area of a crystalline layer, mol/cm2."""
    crystal = materials.structure(layer.material)
    volume = crystal.lattice.volume * 1e-24 * materials.AVOGADRO
    return layer.thickness / 10 * crystal.formula_units / volume
