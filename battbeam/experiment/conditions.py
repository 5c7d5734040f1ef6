"""This file is where conditions are put together: when a rule of the schedule is due.

A condition is a plain value: it serialises to JSON and reads as a sentence, and the sentence is
read back as the same value (`battbeam.experiment.schedule_text`). It *happens*, at one time; what
is so for a while is a predicate (`battbeam.experiment.predicates`). What conditions remember while
the cell runs is kept by the watchers of `battbeam.experiment.watchers`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field

from battbeam.experiment.amounts import TIME
from battbeam.experiment.conditions_of_cell import (
    ArealChargeLevels,
    ChargeLevels,
    ChargeStep,
    FastChange,
    Settling,
    StateOfChargeLevels,
    TemperatureCrossing,
    VoltageCrossing,
)
from battbeam.experiment.conditions_of_steps import (
    CycleEdge,
    EndOfProtocol,
    EndOfRest,
    StepEdge,
)
from battbeam.experiment.conditions_of_time import (
    GRACE_IN_PERIODS,
    AbsoluteClock,
    Becomes,
    Cadence,
    Happening,
    Rate,
    WindowClock,
)
from battbeam.experiment.predicates import Predicate

__all__ = [
    "GRACE_IN_PERIODS",
    "AbsoluteClock",
    "After",
    "AllOf",
    "AnyOf",
    "ArealChargeLevels",
    "AtMost",
    "Becomes",
    "Cadence",
    "ChargeLevels",
    "ChargeStep",
    "Condition",
    "CycleEdge",
    "EndOfProtocol",
    "EndOfRest",
    "FastChange",
    "Happening",
    "Rate",
    "Settling",
    "StateOfChargeLevels",
    "StepEdge",
    "TemperatureCrossing",
    "VoltageCrossing",
    "While",
    "WindowClock",
]


class AnyOf(Happening):
    """One of several happens; those that are seen to happen together are met once.

    Attributes:
        conditions: Two or more.
    """

    kind: Literal["any_of"] = "any_of"
    conditions: tuple["Condition", ...] = Field(min_length=2)

    def anchored(self, time: float) -> Self:
        """The same with every open clock starting at ``time``."""
        parts = tuple(each.anchored(time) for each in self.conditions)
        return self.model_copy(update={"conditions": parts})

    def sentence(self) -> str:
        """The condition as a person says it."""
        return f"any of ({'; '.join(each.sentence() for each in self.conditions)})"


class AllOf(Happening):
    """All of several have happened, in any order, each since this was last met; due with the last.

    What is so for a while does not belong here: `While` asks for it at the moment of an event,
    `Becomes` with ``and`` for the moment at which several come to be so together.

    Attributes:
        conditions: Two or more.
        within: s between the first and the last of them at the most, each at its latest; None is
            any time.
    """

    kind: Literal["all_of"] = "all_of"
    conditions: tuple["Condition", ...] = Field(min_length=2)
    within: float | None = Field(default=None, gt=0)

    def anchored(self, time: float) -> Self:
        """The same with every open clock starting at ``time``."""
        parts = tuple(each.anchored(time) for each in self.conditions)
        return self.model_copy(update={"conditions": parts})

    def sentence(self) -> str:
        """The condition as a person says it."""
        within = "" if self.within is None else f" within {TIME.said(self.within)}"
        return f"all of ({'; '.join(each.sentence() for each in self.conditions)}){within}"


class _Wrapped(Happening):
    condition: "Condition"

    def anchored(self, time: float) -> Self:
        """The same with every open clock starting at ``time``."""
        return self.model_copy(update={"condition": self.condition.anchored(time)})

    def _inside(self) -> str:
        said = self.condition.sentence()
        return f"({said})" if isinstance(self.condition, (While, AtMost, After, Cadence)) else said


class After(_Wrapped):
    """A while after something has happened, whatever is the case by then.

    Attributes:
        condition: What; what it misses is missed here too.
        delay: s.
    """

    kind: Literal["after"] = "after"
    delay: float = Field(gt=0)

    def sentence(self) -> str:
        """The condition as a person says it."""
        return f"{TIME.said(self.delay)} after ({self.condition.sentence()})"


class While(_Wrapped):
    """Something happens while something else is so; if that is not known, it is missed.

    Attributes:
        condition: What happens.
        predicate: What must be so at that time.
    """

    kind: Literal["while"] = "while"
    predicate: Predicate

    def sentence(self) -> str:
        """The condition as a person says it."""
        return f"{self._inside()} while {self.predicate.sentence()}"


class AtMost(_Wrapped):
    """Something happens, but no more than so many times; what was missed does not count.

    Attributes:
        condition: What happens.
        n: Times.
    """

    kind: Literal["at_most"] = "at_most"
    n: int = Field(ge=1)

    def sentence(self) -> str:
        """The condition as a person says it."""
        return f"{self._inside()}, at most {self.n} times"


Condition = Annotated[
    AbsoluteClock
    | Cadence
    | WindowClock
    | Becomes
    | VoltageCrossing
    | TemperatureCrossing
    | ChargeStep
    | ChargeLevels
    | ArealChargeLevels
    | StateOfChargeLevels
    | Settling
    | FastChange
    | StepEdge
    | CycleEdge
    | EndOfRest
    | EndOfProtocol
    | AnyOf
    | AllOf
    | After
    | While
    | AtMost,
    Field(discriminator="kind"),
]
for _each in (AnyOf, AllOf, After, While, AtMost):
    _each.model_rebuild()
