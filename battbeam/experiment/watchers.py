"""This file is where conditions get their watchers: what each has seen of the cell is remembered there.

A reading that is not known (NaN, disconnected) makes a condition unknown: it is never met by it,
and nothing is forgotten. What happened during such a gap is met when it is seen.
"""

import math
from collections.abc import Callable, Mapping
from functools import singledispatch

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.conditions import (
    AbsoluteClock,
    After,
    AllOf,
    AnyOf,
    ArealChargeLevels,
    AtMost,
    Becomes,
    Cadence,
    ChargeLevels,
    ChargeStep,
    Condition,
    CycleEdge,
    EndOfProtocol,
    EndOfRest,
    FastChange,
    Settling,
    StateOfChargeLevels,
    StepEdge,
    TemperatureCrossing,
    VoltageCrossing,
    While,
    WindowClock,
)
from battbeam.experiment.met import Met, Watcher, overdue
from battbeam.experiment.quantities import reader
from battbeam.experiment.truth import truth
from battbeam.experiment.watchers_combined import (
    AfterWatcher,
    AllOfWatcher,
    AnyOfWatcher,
    AtMostWatcher,
    WhileWatcher,
)
from battbeam.experiment.watchers_of_cell import (
    ChargeStepWatcher,
    FastChangeWatcher,
    LevelsWatcher,
    SettlingWatcher,
)
from battbeam.experiment.watchers_of_steps import (
    CycleEdgeWatcher,
    EndOfRestWatcher,
    EndWatcher,
    ProtocolSteps,
    StepEdgeWatcher,
)
from battbeam.experiment.watchers_of_time import (
    BecomesWatcher,
    CadenceWatcher,
    ClockWatcher,
    WindowClockWatcher,
)

__all__ = ["CellReading", "Met", "ProtocolSteps", "Watcher", "overdue", "watcher"]

#: Watchers that need nothing but their condition.
_ALONE: Mapping[type, Callable[..., Watcher]] = {
    Settling: SettlingWatcher,
    FastChange: FastChangeWatcher,
    StepEdge: StepEdgeWatcher,
    CycleEdge: CycleEdgeWatcher,
    EndOfRest: EndOfRestWatcher,
}


@singledispatch
def watcher(
    condition: Condition, passport: CellPassport | None, begin: float = -math.inf
) -> Watcher:
    """A watcher that has seen nothing yet.

    Args:
        condition: What to watch for.
        passport: Of the cell, for conditions that speak of its capacity or area.
        begin: Slots of clocks before this time do not exist for it, s since the Unix epoch.

    Raises:
        ValueError: If the condition lacks something to be watched.
    """
    alone = _ALONE.get(type(condition))
    if alone is None:
        raise TypeError(f"no watcher for {type(condition).__name__}")
    return alone(condition)


@watcher.register
def _(condition: AbsoluteClock, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return ClockWatcher(condition, begin)


@watcher.register
def _(condition: Cadence, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    truths = [truth(rate.during, passport) for rate in condition.rates]
    return CadenceWatcher(condition, truths, begin)


@watcher.register
def _(condition: WindowClock, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return WindowClockWatcher(condition, truth(condition.window, passport))


@watcher.register
def _(condition: Becomes, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return BecomesWatcher(condition, truth(condition.predicate, passport))


@watcher.register(VoltageCrossing)
@watcher.register(TemperatureCrossing)
def _(
    condition: VoltageCrossing | TemperatureCrossing,
    passport: CellPassport | None,
    begin: float = -math.inf,
) -> Watcher:
    return LevelsWatcher(
        reader(condition.quantity, passport, what=condition.sentence()),
        (condition.level,),
        direction=condition.direction,
        hysteresis=condition.hysteresis,
    )


@watcher.register(ChargeLevels)
@watcher.register(ArealChargeLevels)
@watcher.register(StateOfChargeLevels)
def _(
    condition: ChargeLevels | ArealChargeLevels | StateOfChargeLevels,
    passport: CellPassport | None,
    begin: float = -math.inf,
) -> Watcher:
    return LevelsWatcher(
        reader(condition.quantity, passport, what=condition.sentence()),
        condition.levels,
        direction=condition.direction,
        hysteresis=condition.margin,
    )


@watcher.register
def _(condition: ChargeStep, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return ChargeStepWatcher(condition.step_in_charge(passport), condition.reference)


@watcher.register
def _(condition: EndOfProtocol, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return EndWatcher()


@watcher.register
def _(condition: AnyOf, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return AnyOfWatcher([watcher(each, passport, begin) for each in condition.conditions])


@watcher.register
def _(condition: AllOf, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    parts = [watcher(each, passport, begin) for each in condition.conditions]
    return AllOfWatcher(parts, condition.within)


@watcher.register
def _(condition: After, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return AfterWatcher(watcher(condition.condition, passport, begin), condition.delay)


@watcher.register
def _(condition: While, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    part = watcher(condition.condition, passport, begin)
    return WhileWatcher(part, truth(condition.predicate, passport), condition.predicate)


@watcher.register
def _(condition: AtMost, passport: CellPassport | None, begin: float = -math.inf) -> Watcher:
    return AtMostWatcher(watcher(condition.condition, passport, begin), condition.n)
