"""This file is where one technique of the simulated cycler is, as plain values: its steps, and the
tests that end them.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Exit(IntEnum):
    """Where to go when a step's tests end it."""

    NEXT_STEP = 0
    NEXT_TECHNIQUE = 1
    STOP = 2


@dataclass(frozen=True)
class LimitTest:
    """One limit test.

    Attributes:
        variable: What is tested, V or A (signed).
        is_above: Whether it holds at and above the value; else at and below.
        value: V or A.
        joins_by_and: Whether this test and the next must hold both; else either.
    """

    variable: Literal["voltage", "current"]
    is_above: bool
    value: float
    joins_by_and: bool

    def holds(self, *, voltage: float, current: float) -> bool:
        """Whether it holds at these values."""
        value = voltage if self.variable == "voltage" else current
        return value >= self.value if self.is_above else value <= self.value


@dataclass(frozen=True)
class Step:
    """One step of a technique.

    Attributes:
        control: ``rest`` is an open circuit.
        value: A or V; where a scan begins.
        is_relative: Whether the value counts from the one at the technique's start.
        duration: s of the cycler's clock; of a scan it follows from its rate.
        tests: Up to three.
        exit: Where to go when the tests end it.
        value_end: V, where a scan ends.
        ends_relative: Whether that counts from the voltage at the technique's start.
        rate: Magnitude, V/s, of a scan.
        frequency: Hz, at which the impedance is measured at the step's end; 0 for none.
        amplitude: V, of that measurement.
    """

    control: Literal["rest", "current", "voltage", "scan"]
    value: float
    is_relative: bool
    duration: float
    tests: tuple[LimitTest, ...] = ()
    exit: Exit = Exit.NEXT_STEP
    value_end: float = 0.0
    ends_relative: bool = False
    rate: float = 0.0
    frequency: float = 0.0
    amplitude: float = 0.0

    def is_ended(self, *, voltage: float, current: float) -> bool:
        """Whether the tests, joined from the first to the last, end the step at these values."""
        if not self.tests:
            return False
        ended = self.tests[0].holds(voltage=voltage, current=current)
        for test, following in zip(self.tests, self.tests[1:], strict=False):
            holds = following.holds(voltage=voltage, current=current)
            ended = (ended and holds) if test.joins_by_and else (ended or holds)
        return ended


@dataclass(frozen=True)
class Technique:
    """One technique of a list, with its parameters.

    Attributes:
        name: As in `TECHNIQUES`.
        steps: None for LOOP.
        n_repeats: How often the steps are done again.
        record_interval: s of the cycler's clock; infinite when off.
        record_voltage: Change of voltage that makes a record, V; infinite when off.
        record_current: Change of current that makes a record, A; infinite when off.
        current_range: A.
        n_loops: LOOP only: how often it goes back.
        target: LOOP only: index of the technique it goes back to.
    """

    name: str
    steps: tuple[Step, ...] = ()
    n_repeats: int = 0
    record_interval: float = math.inf
    record_voltage: float = math.inf
    record_current: float = math.inf
    current_range: float = math.inf
    n_loops: int = 0
    target: int = 0
