"""This file is where it is said which numbers of a cell conditions may speak of."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from battbeam.experiment import amounts
from battbeam.experiment.amounts import Dimension
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.protocol import StepType

#: C in a mAh.
COULOMB_PER_MAH = 3.6


class Quantity(StrEnum):
    """A number that is known of a cell."""

    VOLTAGE = "voltage"
    VOLTAGE_WORKING = "voltage_working"
    VOLTAGE_COUNTER = "voltage_counter"
    VOLTAGE_MAGNITUDE = "voltage_magnitude"
    CURRENT = "current"
    CURRENT_MAGNITUDE = "current_magnitude"
    CHARGE = "charge"
    AREAL_CHARGE = "areal_charge"
    STATE_OF_CHARGE = "state_of_charge"
    TEMPERATURE = "temperature"


@dataclass(frozen=True)
class Manner:
    """How a quantity is spoken of.

    Attributes:
        words: Its name in a schedule's text.
        dimension: Of its values.
        step_dimension: Of differences of its values.
        hysteresis: How far it must go back before a condition on it counts as over, in its own
            unit; of the size of a good cycler's noise, chosen here.
    """

    words: str
    dimension: Dimension
    step_dimension: Dimension
    hysteresis: float = 0.0


def _manner(words: str, dimension: Dimension, hysteresis: float = 0.0) -> Manner:
    return Manner(words, dimension, dimension, hysteresis)


MANNERS: Mapping[Quantity, Manner] = {
    Quantity.VOLTAGE: _manner("voltage", amounts.VOLTAGE, 0.005),
    Quantity.VOLTAGE_WORKING: _manner("voltage of the working electrode", amounts.VOLTAGE, 0.005),
    Quantity.VOLTAGE_COUNTER: _manner("voltage of the counter electrode", amounts.VOLTAGE, 0.005),
    Quantity.VOLTAGE_MAGNITUDE: _manner("|voltage|", amounts.VOLTAGE, 0.005),
    Quantity.CURRENT: _manner("current", amounts.CURRENT),
    Quantity.CURRENT_MAGNITUDE: _manner("|current|", amounts.CURRENT),
    Quantity.CHARGE: _manner("charge", amounts.CHARGE),
    Quantity.AREAL_CHARGE: _manner("areal charge", amounts.AREAL_CHARGE),
    Quantity.STATE_OF_CHARGE: _manner("state of charge", amounts.FRACTION),
    Quantity.TEMPERATURE: Manner("temperature", amounts.TEMPERATURE, amounts.KELVIN, 0.2),
}

#: Types of steps as text says them.
STEP_WORDS: Mapping[StepType, str] = {
    StepType.REST: "rest",
    StepType.CONSTANT_CURRENT: "constant current",
    StepType.CONSTANT_VOLTAGE: "constant voltage",
    StepType.CONSTANT_RESISTANCE: "constant resistance",
    StepType.CURRENT_RAMP: "current ramp",
    StepType.VOLTAGE_SCAN: "voltage scan",
    StepType.IMPEDANCE: "impedance",
    StepType.TEMPERATURE: "temperature",
}


def step_type_of(word: object) -> object:
    """The type of step that a word means; what is none is returned as it is.

    >>> step_type_of("rest")
    <StepType.REST: 'open_circuit_voltage'>
    """
    said = {words: step_type for step_type, words in STEP_WORDS.items()}
    return said.get(word.replace("_", " "), word) if isinstance(word, str) else word


def reader(
    quantity: Quantity, passport: CellPassport | None, *, what: str
) -> Callable[[CellReading], float]:
    """What gives a quantity of a reading; NaN where it is not known.

    Args:
        quantity: Which.
        passport: Of the cell; needed for charge per area and state of charge.
        what: Who asks, for the error.

    Raises:
        ValueError: If the passport is needed and not there.
    """
    if quantity is Quantity.VOLTAGE_MAGNITUDE:
        return lambda reading: abs(reading.voltage)
    if quantity is Quantity.CURRENT_MAGNITUDE:
        return lambda reading: abs(reading.current)
    if quantity is Quantity.AREAL_CHARGE:
        scale = COULOMB_PER_MAH / needed(passport, "electrode_area", "cm2", what=what)
        return lambda reading: reading.charge * scale
    if quantity is Quantity.STATE_OF_CHARGE:
        capacity = needed(passport, "nominal_capacity", "mAh", what=what)
        origin = passport.initial_state_of_charge if passport else math.nan
        return lambda reading: origin + reading.charge / capacity
    return attrgetter(quantity.value)


def needed(passport: CellPassport | None, field: str, unit: str, *, what: str) -> float:
    """A number of the passport.

    Raises:
        ValueError: If there is no passport, or it does not say.
    """
    value = None if passport is None else getattr(passport, field)
    if value is None or not value > 0:
        raise ValueError(
            f"{what}: the cell passport's {field} ({unit}) is needed, got {value}; mount a passport"
        )
    return float(value)
