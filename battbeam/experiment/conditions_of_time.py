"""This file is where conditions that a clock meets are named."""

from typing import Literal, Self

from pydantic import Field

from battbeam.experiment.amounts import TIME, moment
from battbeam.experiment.predicates import Predicate, Said

#: Part of a period after which a slot that was not served counts as missed, unless a condition
#: says otherwise. Half a period: later than that the next slot is nearer. Chosen here.
GRACE_IN_PERIODS = 0.5


class Happening(Said):
    """A condition: something that happens to the cell or on the clock, at one time."""

    def anchored(self, time: float) -> Self:
        """The same with every clock whose start is open starting at ``time``."""
        return self


def _late(grace: float | None) -> str:
    return "" if grace is None else f", at most {TIME.said(grace)} late"


class AbsoluteClock(Happening):
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

    def anchored(self, time: float) -> Self:
        """The same, starting at ``time`` if its start is open."""
        return self if self.start is not None else self.model_copy(update={"start": time})

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
        """The condition as a person says it.

        >>> str(AbsoluteClock(period=40.0, n=103))
        'every 40 s, 103 times'
        """
        begin = "" if self.start is None else f" from {moment(self.start)}"
        end = "" if self.until is None else f" until {moment(self.until)}"
        count = "" if self.n is None else f", {self.n} times"
        return f"every {TIME.said(self.period)}{begin}{end}{count}{_late(self.grace)}"


class Rate(Said):
    """A period that holds while something is so.

    Attributes:
        period: s.
        during: While this is so.
    """

    period: float = Field(gt=0)
    during: Predicate

    def sentence(self) -> str:
        """As a person says it."""
        return f"every {TIME.said(self.period)} while {self.during.sentence()}"


class Cadence(Happening):
    """Slots of different density in different windows, each on a grid of its own from the start.

    Attributes:
        rates: The first one whose predicate is so holds.
        otherwise: Period where none of them is, s.
        start: Of every grid, s since the Unix epoch; None is when the experiment starts.
        grace: How late a slot may still be served, s; None is half its period.
    """

    kind: Literal["cadence"] = "cadence"
    rates: tuple[Rate, ...] = Field(min_length=1)
    otherwise: float = Field(gt=0)
    start: float | None = None
    grace: float | None = Field(default=None, ge=0)

    def anchored(self, time: float) -> Self:
        """The same, starting at ``time`` if its start is open."""
        return self if self.start is not None else self.model_copy(update={"start": time})

    def sentence(self) -> str:
        """The condition as a person says it."""
        rates = ", ".join(rate.sentence() for rate in self.rates)
        begin = "" if self.start is None else f" from {moment(self.start)}"
        return f"{rates}, else every {TIME.said(self.otherwise)}{begin}{_late(self.grace)}"


class WindowClock(Happening):
    """Slots from the moment at which something becomes so until it ends, each time anew.

    Attributes:
        period: s.
        window: While this is so; it opens with the first slot.
        grace: How late a slot may still be served, s; None is half a period.
    """

    kind: Literal["window_clock"] = "window_clock"
    period: float = Field(gt=0)
    window: Predicate
    grace: float | None = Field(default=None, ge=0)

    @property
    def longest_delay(self) -> float:
        """How late a slot may still be served, s."""
        return GRACE_IN_PERIODS * self.period if self.grace is None else self.grace

    def sentence(self) -> str:
        """The condition as a person says it."""
        said = f"every {TIME.said(self.period)} within {self.window.sentence()}"
        return said + _late(self.grace)


class Becomes(Happening):
    """Something becomes so that was known not to be; it is not met again before it has ended.

    Attributes:
        predicate: What.
        lasting: s for which it must have been so without a break.
    """

    kind: Literal["becomes"] = "becomes"
    predicate: Predicate
    lasting: float = Field(default=0.0, ge=0)

    def sentence(self) -> str:
        """The condition as a person says it."""
        lasting = f" for {TIME.said(self.lasting)}" if self.lasting else ""
        return f"when {self.predicate.sentence()}{lasting}"
