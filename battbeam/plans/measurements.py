"""This file is where it is said what a rule of the schedule may measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from battbeam.plans.stubs import Exposure, Plan


@dataclass(frozen=True)
class Pattern:
    """One point, an event of the rule's own series run.

    Attributes:
        exposure: How it is exposed.
        reduction: How patterns are made of the frames.
        positions: (motor, position) to be at; the motors are put back when the experiment ends.
        md: What else the series' start document says.
    """

    exposure: Exposure
    reduction: Mapping[str, Any] | None = None
    positions: tuple[tuple[Any, float], ...] = ()
    md: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnRun:
    """A measurement that stands alone: a map, a spectrum, a tomogram.

    Attributes:
        plan: Makes the plan; it is given what its start document must say besides.
        motors: That it moves, so that preflight knows them.
    """

    plan: Callable[[Mapping[str, Any]], Plan]
    motors: tuple[Any, ...] = ()


Measurement = Pattern | OwnRun
