"""This file is where states of the cell are named: what is so for a while, or not, or not known.

A predicate has a truth at every time; a condition (`battbeam.experiment.conditions`) happens at
one. Predicates say during which times a condition counts (`While`), and a condition is made of one
by the moment at which it becomes true (`Becomes`).
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from battbeam.experiment.protocol import StepType
from battbeam.experiment.quantities import MANNERS, STEP_WORDS, Manner, Quantity, step_type_of

#: A type of step, as the guard or as text names it.
StepName = Annotated[StepType, BeforeValidator(step_type_of)]


class Said(BaseModel):
    """A plain value that says itself in words; what it says is read back as the same value."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> str:
        """As a person says it."""
        raise NotImplementedError


class Compare(Said):
    """A quantity lies beyond a value.

    Attributes:
        quantity: Of the cell.
        relation: ``>`` or ``<``.
        value: V, A, mAh, C/cm2, 1 or degC.
        hysteresis: How far behind ``value`` it must be to count as over, in the same unit (K for a
            temperature); None is the quantity's own.
    """

    kind: Literal["compare"] = "compare"
    quantity: Quantity
    relation: Literal[">", "<"]
    value: float
    hysteresis: float | None = Field(default=None, ge=0)

    @property
    def manner(self) -> Manner:
        """How its quantity is spoken of."""
        return MANNERS[self.quantity]

    @property
    def margin(self) -> float:
        """How far behind ``value`` it must be to count as over."""
        return self.manner.hysteresis if self.hysteresis is None else self.hysteresis

    def sentence(self) -> str:
        """As a person says it.

        >>> str(Compare(quantity="voltage", relation=">", value=4.1))
        'voltage > 4.1 V'
        """
        manner = self.manner
        limit = f"{manner.words} {self.relation} {manner.dimension.said(self.value)}"
        return limit + margin_said(self.hysteresis, manner)


class Between(Said):
    """A quantity lies between two values.

    Attributes:
        quantity: Of the cell.
        low: In the quantity's unit.
        high: In the quantity's unit.
        hysteresis: As of `Compare`.
    """

    kind: Literal["between"] = "between"
    quantity: Quantity
    low: float
    high: float
    hysteresis: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"between needs the lower value first, got {self.low}, {self.high}")
        return self

    @property
    def sides(self) -> tuple[Compare, Compare]:
        """Above the one, and below the other."""
        return (
            Compare(
                quantity=self.quantity,
                relation=">",
                value=self.low,
                hysteresis=self.hysteresis,
            ),
            Compare(
                quantity=self.quantity,
                relation="<",
                value=self.high,
                hysteresis=self.hysteresis,
            ),
        )

    def sentence(self) -> str:
        """As a person says it.

        >>> str(Between(quantity="state_of_charge", low=0.2, high=0.8))
        'state of charge between 20 % and 80 %'
        """
        manner = MANNERS[self.quantity]
        low, high = manner.dimension.said(self.low), manner.dimension.said(self.high)
        return f"{manner.words} between {low} and {high}" + margin_said(self.hysteresis, manner)


def margin_said(hysteresis: float | None, manner: Manner) -> str:
    """A hysteresis of one's own in words."""
    if hysteresis is None:
        return ""
    return f" with hysteresis {manner.step_dimension.said(hysteresis)}"


class StepIs(Said):
    """A step of this type is under way.

    Attributes:
        step_type: As the guard or as text names it.
    """

    kind: Literal["step_is"] = "step_is"
    step_type: StepName

    def sentence(self) -> str:
        """As a person says it.

        >>> str(StepIs(step_type="rest"))
        'step is rest'
        """
        return f"step is {STEP_WORDS[self.step_type]}"


class CycleIs(Said):
    """The cycle's number lies in a range.

    Attributes:
        first: From 1.
        last: None is without end.
    """

    kind: Literal["cycle_is"] = "cycle_is"
    first: int = Field(ge=0)
    last: int | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"cycles must ascend, got {self.first} to {self.last}")
        return self

    def sentence(self) -> str:
        """As a person says it.

        >>> str(CycleIs(first=3, last=5)), str(CycleIs(first=3))
        ('cycle is 3 to 5', 'cycle is 3 or later')
        """
        if self.last is None:
            return f"cycle is {self.first} or later"
        return f"cycle is {self.first}" + ("" if self.last == self.first else f" to {self.last}")


class Not(Said):
    """The contrary; of what is not known it is not known either.

    Attributes:
        predicate: What must not be so.
    """

    kind: Literal["not"] = "not"
    predicate: "Predicate"

    def sentence(self) -> str:
        """As a person says it."""
        return f"not {_inside(self.predicate)}"


class Both(Said):
    """All of them at the same time.

    Attributes:
        predicates: Two or more.
    """

    kind: Literal["and"] = "and"
    predicates: tuple["Predicate", ...] = Field(min_length=2)

    def sentence(self) -> str:
        """As a person says it."""
        return " and ".join(_inside(each) for each in self.predicates)


class Either(Said):
    """One of them, or more.

    Attributes:
        predicates: Two or more.
    """

    kind: Literal["or"] = "or"
    predicates: tuple["Predicate", ...] = Field(min_length=2)

    def sentence(self) -> str:
        """As a person says it."""
        return " or ".join(_inside(each) for each in self.predicates)


def _inside(predicate: "Predicate") -> str:
    said = predicate.sentence()
    return f"({said})" if isinstance(predicate, (Both, Either)) else said


Predicate = Annotated[
    Compare | Between | StepIs | CycleIs | Not | Both | Either, Field(discriminator="kind")
]
for _each in (Not, Both, Either):
    _each.model_rebuild()
