"""This file is where conditions that the cell meets are named: each is met once when it comes true,
and again only after it has been over.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from battbeam.experiment import amounts
from battbeam.experiment.amounts import KELVIN, TEMPERATURE, TIME, VOLTAGE, Dimension
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions_of_time import Happening
from battbeam.experiment.quantities import COULOMB_PER_MAH, Quantity, needed

Direction = Literal["rising", "falling", "any"]
#: What a quantity does when it passes a level.
VERBS = {"rising": "rises", "falling": "falls", "any": "passes"}
#: Hysteresis of crossings where a condition says nothing: V, K. Chosen here, of a cycler's noise.
VOLTAGE_HYSTERESIS, TEMPERATURE_HYSTERESIS = 0.005, 0.2
#: Part of the distance of levels that charge must go back before a level counts again.
LEVEL_HYSTERESIS = 0.01


class VoltageCrossing(Happening):
    """A voltage passes a level; due once, and again only after it has been away from it.

    Attributes:
        level: V.
        direction: ``rising``, ``falling`` or ``any``.
        hysteresis: How far the voltage must go back before the next crossing counts, V.
        of: The ``cell``'s voltage, or that of its ``working`` or ``counter`` electrode against the
            reference electrode.
    """

    kind: Literal["voltage_crossing"] = "voltage_crossing"
    level: float
    direction: Direction = "any"
    hysteresis: float = Field(default=VOLTAGE_HYSTERESIS, ge=0)
    of: Literal["cell", "working", "counter"] = "cell"

    @property
    def quantity(self) -> Quantity:
        """Which voltage."""
        return Quantity.VOLTAGE if self.of == "cell" else Quantity(f"voltage_{self.of}")

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(VoltageCrossing(level=3.5, direction="rising"))
        'when the voltage rises through 3.5 V'
        """
        which = "" if self.of == "cell" else f" of the {self.of} electrode"
        margin = ""
        if self.hysteresis != VOLTAGE_HYSTERESIS:
            margin = f" with hysteresis {VOLTAGE.said(self.hysteresis)}"
        verb, level = VERBS[self.direction], VOLTAGE.said(self.level)
        return f"when the voltage{which} {verb} through {level}{margin}"


class TemperatureCrossing(Happening):
    """The cell's temperature passes a level.

    Attributes:
        level: degC.
        direction: ``rising``, ``falling`` or ``any``.
        hysteresis: How far it must go back before the next crossing counts, K.
    """

    kind: Literal["temperature_crossing"] = "temperature_crossing"
    level: float
    direction: Direction = "any"
    hysteresis: float = Field(default=TEMPERATURE_HYSTERESIS, ge=0)
    quantity: ClassVar[Quantity] = Quantity.TEMPERATURE

    def sentence(self) -> str:
        """The condition as a person says it."""
        margin = ""
        if self.hysteresis != TEMPERATURE_HYSTERESIS:
            margin = f" with hysteresis {KELVIN.said(self.hysteresis)}"
        verb, level = VERBS[self.direction], TEMPERATURE.said(self.level)
        return f"when the temperature {verb} through {level}{margin}"


class ChargeStep(Happening):
    """The charge passed has moved by one more step, up or down, on a fixed grid from the reference.

    The line of the grid that was passed last does not count on the way back: the charge must have
    moved by a whole step.

    Attributes:
        step: mAh; give one of this, ``fraction`` and ``areal``.
        fraction: Of the cell's capacity.
        areal: C/cm2 of the electrode.
        reference: Charge of the grid's origin, mAh; None is the first charge that is known.
    """

    kind: Literal["charge_step"] = "charge_step"
    step: float | None = Field(default=None, gt=0)
    fraction: float | None = Field(default=None, gt=0)
    areal: float | None = Field(default=None, gt=0)
    reference: float | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(each is not None for each in (self.step, self.fraction, self.areal)) != 1:
            raise ValueError(
                "a charge step needs either step (mAh), fraction (of the capacity) or areal "
                "(C/cm2), and only one"
            )
        return self

    def step_in_charge(self, passport: CellPassport | None) -> float:
        """The step in mAh for a cell.

        Raises:
            ValueError: If the step is relative to the cell and there is no passport.
        """
        what = self.sentence()
        if self.fraction is not None:
            return self.fraction * needed(passport, "nominal_capacity", "mAh", what=what)
        if self.areal is not None:
            area = needed(passport, "electrode_area", "cm2", what=what)
            return self.areal * area / COULOMB_PER_MAH
        return self.step or 0.0

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(ChargeStep(fraction=0.05))
        'each time 5 % of the capacity has passed'
        """
        if self.fraction is not None:
            size = f"{amounts.FRACTION.said(self.fraction)} of the capacity"
        elif self.areal is not None:
            size = amounts.AREAL_CHARGE.said(self.areal)
        else:
            size = amounts.CHARGE.said(self.step or 0.0)
        origin = "" if self.reference is None else f" from {amounts.CHARGE.said(self.reference)}"
        return f"each time {size} has passed{origin}"


class Levels(Happening):
    """A quantity passes one of several levels.

    Attributes:
        levels: Any number of them; each is met by itself.
        direction: ``rising``, ``falling`` or ``any``.
        hysteresis: How far it must go back before the same level counts again; None is
            `LEVEL_HYSTERESIS` of the smallest distance of two levels (of a single one's size).
    """

    levels: tuple[float, ...] = Field(min_length=1)
    direction: Direction = "any"
    hysteresis: float | None = Field(default=None, ge=0)
    quantity: ClassVar[Quantity]
    dimension: ClassVar[Dimension]
    words: ClassVar[str] = ""

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(levels)))

    @property
    def margin(self) -> float:
        """How far it must go back before the same level counts again."""
        if self.hysteresis is not None:
            return self.hysteresis
        pairs = zip(self.levels[:-1], self.levels[1:], strict=True)
        apart = [high - low for low, high in pairs] or [abs(self.levels[0])]
        return LEVEL_HYSTERESIS * min(apart)

    def sentence(self) -> str:
        """The condition as a person says it."""
        levels = ", ".join(self.dimension.number(level) for level in self.levels)
        way = "" if self.direction == "any" else f" {self.direction}"
        margin = ""
        if self.hysteresis is not None:
            margin = f" with hysteresis {self.dimension.said(self.hysteresis)}"
        return f"at {self.words}{levels} {self.dimension.unit}{way}{margin}"


class ChargeLevels(Levels):
    """The charge passed since the cell was mounted reaches one of these levels, mAh."""

    kind: Literal["charge_levels"] = "charge_levels"
    quantity: ClassVar[Quantity] = Quantity.CHARGE
    dimension: ClassVar[Dimension] = amounts.CHARGE


class ArealChargeLevels(Levels):
    """The charge passed per electrode area reaches one of these levels, C/cm2.

    >>> str(ArealChargeLevels(levels=(9, 84, 296)))
    'at 9, 84, 296 C/cm2'
    """

    kind: Literal["areal_charge_levels"] = "areal_charge_levels"
    quantity: ClassVar[Quantity] = Quantity.AREAL_CHARGE
    dimension: ClassVar[Dimension] = amounts.AREAL_CHARGE


class StateOfChargeLevels(Levels):
    """The state of charge reaches one of these levels, 1."""

    kind: Literal["state_of_charge_levels"] = "state_of_charge_levels"
    quantity: ClassVar[Quantity] = Quantity.STATE_OF_CHARGE
    dimension: ClassVar[Dimension] = amounts.FRACTION
    words: ClassVar[str] = "state of charge "


class Settling(Happening):
    """A rate of change has become small: the cell has relaxed, or a plateau is over.

    The rate is a slope over the last ``window`` (`battbeam.experiment.slope`), so it is that of the
    window's middle: being certain comes half a window, and a twentieth of one, after the fact.

    Attributes:
        of: ``dV/dt``, ``dI/dt`` or ``dQ/dV``.
        below: Its magnitude; V/h, A/h, mAh/V.
        window: s over which the slope is taken.
    """

    kind: Literal["settling"] = "settling"
    of: Literal["dV/dt", "dI/dt", "dQ/dV"]
    below: float = Field(gt=0)
    window: float = Field(gt=0)

    @property
    def dimension(self) -> Dimension:
        """Of ``below``."""
        return SETTLING[self.of]

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(Settling(of="dV/dt", below=0.002, window=300))
        'when dV/dt settles below 0.002 V/h over 300 s'
        """
        limit, window = self.dimension.said(self.below), TIME.said(self.window)
        return f"when {self.of} settles below {limit} over {window}"


#: Dimensions of what settles.
SETTLING = {
    "dV/dt": amounts.VOLTAGE_SETTLING,
    "dI/dt": amounts.CURRENT_SETTLING,
    "dQ/dV": amounts.CHARGE_PER_VOLTAGE,
}
#: Dimensions of what changes fast.
FAST = {"voltage": amounts.VOLTAGE_RATE, "temperature": amounts.TEMPERATURE_RATE}


class FastChange(Happening):
    """Voltage or temperature changes fast: an internal short, self-heating.

    Attributes:
        quantity: ``voltage`` or ``temperature``.
        direction: ``rising`` or ``falling``.
        rate: V/s or K/min, a magnitude.
        window: s over which the slope is taken; a jump counts as itself over half of that.
    """

    kind: Literal["fast_change"] = "fast_change"
    quantity: Literal["voltage", "temperature"]
    direction: Literal["rising", "falling"]
    rate: float = Field(gt=0)
    window: float = Field(gt=0)

    def sentence(self) -> str:
        """The condition as a person says it."""
        rate, window = FAST[self.quantity].said(self.rate), TIME.said(self.window)
        return f"when the {self.quantity} {VERBS[self.direction]} faster than {rate} over {window}"
