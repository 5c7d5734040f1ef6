"""This file is where conditions on the cell are named: when a rule of the schedule is due.

Conditions are plain values: they serialise to JSON and read as a sentence. What they remember while
the cell runs is kept by the watchers of `battbeam.experiment.watchers`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Part of a period after which a slot that was not served counts as missed, unless a condition
#: says otherwise. Half a period: later than that the next slot is nearer. Chosen here.
GRACE_IN_PERIODS = 0.5


class _Condition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> str:
        """The condition as a person says it."""
        raise NotImplementedError


class AbsoluteClock(_Condition):
    """Slots at start, start + period, start + 2 periods, ...; a missed slot shifts no other.

    Attributes:
        start: Of the first slot, s since the Unix epoch; None is when the experiment starts.
        period: s.
        n: Slots in all; None is without end.
        until: No slot later than this, s since the Unix epoch; None is without end.
        grace: How late a slot may still be served, s; None is half a period.
    """

    kind: Literal["absolute_clock"] = "absolute_clock"
    start: float | None = None
    period: float = Field(gt=0)
    n: int | None = Field(default=None, ge=1)
    until: float | None = None
    grace: float | None = Field(default=None, ge=0)

    @property
    def longest_delay(self) -> float:
        """How late a slot may still be served, s."""
        return GRACE_IN_PERIODS * self.period if self.grace is None else self.grace

    def slot(self, index: int) -> float:
        """The deadline of one slot, s since the Unix epoch.

        Raises:
            ValueError: If the start is still open.

        >>> AbsoluteClock(start=1000.0, period=40.0).slot(102)
        5080.0
        """
        if self.start is None:
            raise ValueError("a clock without a start has no slots yet; anchor the schedule first")
        return self.start + index * self.period

    def has_slot(self, index: int) -> bool:
        """Whether there is a slot of this index."""
        if self.n is not None and index >= self.n:
            return False
        return self.until is None or self.slot(index) <= self.until

    def sentence(self) -> str:
        """The condition as a person says it."""
        begin = "the start of the experiment" if self.start is None else f"{self.start:.3f}"
        count = "" if self.n is None else f", {self.n} times"
        end = "" if self.until is None else f", until {self.until:.3f}"
        return f"every {self.period:g} s from {begin}{count}{end}"


class VoltageCrossing(_Condition):
    """The voltage passes a level; due once, and again only after it has been away from it.

    Attributes:
        level: V.
        direction: ``rising``, ``falling`` or ``any``.
        hysteresis: How far the voltage must go back before the next crossing counts, V.
    """

    kind: Literal["voltage_crossing"] = "voltage_crossing"
    level: float
    direction: Literal["rising", "falling", "any"] = "any"
    hysteresis: float = Field(default=0.005, ge=0)

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(VoltageCrossing(level=3.5, direction="rising"))
        'when the voltage rises through 3.5 V'
        """
        verb = {"rising": "rises", "falling": "falls", "any": "passes"}[self.direction]
        return f"when the voltage {verb} through {self.level:g} V"


class ChargeStep(_Condition):
    """The charge passed has moved by one more step, up or down, on a fixed grid from the reference.

    Attributes:
        step: mAh; give this or ``fraction``.
        fraction: Of the cell's capacity.
        reference: Charge of the grid's origin, mAh; None is the first charge that is known.
    """

    kind: Literal["charge_step"] = "charge_step"
    step: float | None = Field(default=None, gt=0)
    fraction: float | None = Field(default=None, gt=0)
    reference: float | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "ChargeStep":
        if (self.step is None) == (self.fraction is None):
            raise ValueError(
                "a charge step needs either step (mAh) or fraction (of the capacity), not both"
            )
        return self

    def step_in_charge(self, capacity: float | None) -> float:
        """The step in mAh for a cell of this capacity in mAh.

        Raises:
            ValueError: If the step is a fraction and the capacity is not known.
        """
        if self.step is not None:
            return self.step
        if self.fraction is None or capacity is None or not capacity > 0:
            raise ValueError(f"{self.sentence()}: the cell's capacity is needed, got {capacity}")
        return self.fraction * capacity

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(ChargeStep(fraction=0.05))
        'each time 5 % of the capacity has passed'
        """
        size = (
            f"{self.step:g} mAh"
            if self.step is not None
            else f"{(self.fraction or 0) * 100:g} % of the capacity"
        )
        origin = "" if self.reference is None else f" from {self.reference:g} mAh"
        return f"each time {size} has passed{origin}"


class StepEdge(_Condition):
    """The protocol has gone on to its next step.

    Attributes:
        step_type: Only where a step of this type begins, as the guard names types; None is any.
    """

    kind: Literal["step_edge"] = "step_edge"
    step_type: str | None = None

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(StepEdge())
        'when a step begins'
        """
        return f"when a {self.step_type + ' ' if self.step_type else ''}step begins"


class EndOfProtocol(_Condition):
    """The protocol has run to its end; a trip or an opened circuit is not its end."""

    kind: Literal["end_of_protocol"] = "end_of_protocol"

    def sentence(self) -> str:
        """The condition as a person says it."""
        return "when the protocol has ended"


Condition = Annotated[
    AbsoluteClock | VoltageCrossing | ChargeStep | StepEdge | EndOfProtocol,
    Field(discriminator="kind"),
]
