"""This file is where the laws of one electrode are: Arrhenius, charge transfer, and its impedance.

Angular frequencies in rad/s, potentials in V, currents in A (> 0 oxidises the working electrode).
"""

import cmath
import math
from dataclasses import dataclass

from battbeam.sim.scenario import Cell

#: J/(mol K) and V/K (CODATA).
GAS_CONSTANT, BOLTZMANN_OVER_CHARGE = 8.314462618, 8.617333262e-5
#: degC at which a scenario gives resistances and time constants.
REFERENCE_TEMPERATURE = 25.0
_ZERO_CELSIUS = 273.15
#: Series resistance of the leads, ohm: keeps constant voltage solvable for a cell without any
#: resistance.
LEAD_RESISTANCE = 0.01
#: From here on coth is 1 to the last digit, and its argument's exponential would overflow later.
_LARGE_ARGUMENT = 20.0


def thermal_voltage(temperature: float) -> float:
    """k T / e, V, at a temperature in degC."""
    return BOLTZMANN_OVER_CHARGE * (temperature + _ZERO_CELSIUS)


def arrhenius(activation_energy: float, temperature: float) -> float:
    """By what a rate is faster at ``temperature`` (degC) than at `REFERENCE_TEMPERATURE`.

    Args:
        activation_energy: J/mol.
        temperature: degC.

    >>> round(arrhenius(50_000.0, 35.0), 3)
    1.924
    """
    inverse = 1 / (temperature + _ZERO_CELSIUS) - 1 / (REFERENCE_TEMPERATURE + _ZERO_CELSIUS)
    return math.exp(-activation_energy / GAS_CONSTANT * inverse)


def overpotential(current: float, exchange_current: float, thermal: float) -> float:
    """V by which charge transfer needs more than the open-circuit potential.

    Source:
        Butler-Volmer with both transfer coefficients one half, inverted; ``thermal`` is k T / e.
    """
    return 2 * thermal * math.asinh(current / (2 * exchange_current))


def charge_transfer_resistance(current: float, exchange_current: float, thermal: float) -> float:
    """Slope of `overpotential` at a current, ohm; k T / (e i0) at rest."""
    return 2 * thermal / math.hypot(current, 2 * exchange_current)


def charge_transfer_impedance(resistance: float, capacitance: float, omega: float) -> complex:
    """A resistance (ohm) beside a double layer (F), ohm."""
    return resistance / (1 + 1j * omega * resistance * capacitance)


def diffusion_impedance(capacitance: float, lag: float, omega: float) -> complex:
    """Diffusion in grains of finite size whose surface follows their mean with a time constant.

    Args:
        capacitance: Charge of the electrode per V of its open-circuit potential, F.
        lag: Time constant, s, of the first-order lag of the time-domain model.
        omega: rad/s, greater than 0.

    Returns:
        ohm. Towards low frequency 1/(j omega C) + lag/C, which is the time-domain model's; towards
        high frequency the 45 degree line of semi-infinite diffusion.

    Source:
        Finite-space Warburg element of a plane grain, Z = R coth(sqrt(j omega T)) / sqrt(j omega T):
        Ho, Raistrick and Huggins, J. Electrochem. Soc. 127 (1980) 343; recalled. Its low-frequency
        limit is R/3 + R/(j omega T), so R = 3 lag/C and T = 3 lag.
    """
    root = cmath.sqrt(1j * omega * 3 * lag)
    coth = 1.0 if root.real > _LARGE_ARGUMENT else 1 / cmath.tanh(root)
    return 3 * lag / capacitance * coth / root


@dataclass(frozen=True)
class Scales:
    """What of the working electrode and the electrolyte the temperature changes.

    Attributes:
        thermal_voltage: k T / e, V.
        ohmic: Resistance of electrolyte and leads, ohm.
        exchange_current: At the middle of the lithium range, A; 0 for a cell without
        diffusion_time: s.
    """

    thermal_voltage: float
    ohmic: float
    exchange_current: float
    diffusion_time: float

    @classmethod
    def at(cls, temperature: float, cell: Cell) -> "Scales":
        """Of a cell at a temperature, degC."""
        law, kinetic = cell.temperature_law, cell.kinetic_resistance
        reference = thermal_voltage(REFERENCE_TEMPERATURE)
        exchange = reference / kinetic if kinetic > 0 else 0.0
        return cls(
            thermal_voltage(temperature),
            cell.resistance / arrhenius(law.ohmic, temperature) + LEAD_RESISTANCE,
            exchange * arrhenius(law.kinetic, temperature),
            cell.diffusion_time / arrhenius(law.diffusion, temperature),
        )
