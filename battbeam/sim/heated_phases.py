"""This file is where a heated cathode turns from layered to spinel to rock salt, and gives off oxygen.

Amounts only: metal is conserved, and oxygen that the new phase does not need leaves as O2, a share of
it as CO2 besides. What turned does not turn back, so all follows from the highest temperature so far.

What it does not imitate: that a discharged cathode is stable, that time at a temperature matters, and
another composition of spinel and rock salt than that of `battbeam.materials`, so they scatter alike.
"""

import math
from dataclasses import dataclass

from battbeam import materials
from battbeam.sim.lithium import active_areal_moles, active_material, active_phase
from battbeam.sim.scenario import Cell

#: degC up to which nothing turns, so that a cell that is not heated is as it always was; at 30 degC the
#: logistic of the quickest chemistry is 3e-5.
COLD = 30.0


@dataclass(frozen=True)
class Gas:
    """What a whole electrode has set free so far, mol.

    Attributes:
        oxygen: O2.
        carbon_dioxide: CO2.
    """

    oxygen: float
    carbon_dioxide: float


def phase_fractions(cell: Cell, heated_to: float) -> dict[str, float]:
    """Shares of the active material's metal in each phase, the layered one first; they add up to 1.

    Args:
        cell: The hidden truth about the cell.
        heated_to: Highest temperature so far, degC.
    """
    layered = active_phase(cell)
    laws = cell.heating.transitions(cell.chemistry)
    if laws is None or heated_to <= COLD:
        return {layered: 1.0}
    first, second = (
        1 / (1 + math.exp(min((law.half - heated_to) / law.width, 700.0))) for law in laws
    )
    return {layered: 1 - first, "spinel": first * (1 - second), "rock_salt": first * second}


def formula_units(phase: str) -> float:
    """Of a phase that heat made, per formula unit of the active material: both hold the same metal."""
    if phase not in ("spinel", "rock_salt"):
        return 1.0
    formula = materials.structure(phase).formula
    return 1 / sum(count for element, count in formula.items() if element not in ("Li", "O"))


def released(cell: Cell, *, lithium_content: float, heated_to: float) -> Gas:
    """Gas that the whole electrode has set free so far; its rate is that of the temperature's rise.

    Args:
        cell: The hidden truth about the cell.
        lithium_content: Mean of the active material.
        heated_to: Highest temperature so far, degC.

    Source:
        LixMO2 has 1 + x cations; spinel keeps 4/3 oxygen for each, rock salt 1. With x above a half
        spinel would need more oxygen than there is: none leaves.
    """
    shares = phase_fractions(cell, heated_to)
    cations, oxygen = 1 + lithium_content, active_material(cell).host.get("O", 0.0)
    to_spinel = max((oxygen - 4 / 3 * cations) / 2, 0.0)
    to_rock_salt = max((oxygen - cations) / 2, 0.0)
    spinel, rock_salt = shares.get("spinel", 0.0), shares.get("rock_salt", 0.0)
    moles = active_areal_moles(cell) * cell.electrode_area
    free = moles * (to_spinel * spinel + to_rock_salt * rock_salt)
    return Gas(free, cell.heating.carbon_dioxide * free)
