"""This file is where it is said whether a measurement stays within its smear budget.

Smear is the change of the state of charge during one measurement. Predicted it is the largest
current of that time over the nominal capacity, times the length of the measurement.
"""

import math
from collections.abc import Sequence

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Step, StepType
from battbeam.experiment.schedule import Due, Rule


def smear_of(c_rate: float, duration: float) -> float:
    """Change of the state of charge in ``duration`` s at a rate in 1/h.

    >>> round(smear_of(1.0, 600.0), 4)
    0.1667
    """
    return abs(c_rate) * duration / 3600


def largest_current(step: Step, *, voltage_max: float = math.nan) -> float:
    """The largest current of a step, A; NaN where the step does not say, as a constant voltage."""
    if step.type in (StepType.REST, StepType.TEMPERATURE):
        return 0.0
    if step.type is StepType.CONSTANT_RESISTANCE and step.resistance:
        return voltage_max / step.resistance
    currents = [abs(each) for each in (step.current, step.current_end) if each is not None]
    return max(currents, default=math.nan)


def current_to_come(
    steps: Sequence[Step],
    *,
    step_index: int,
    remaining: float,
    duration: float,
    current: float,
    voltage_max: float,
) -> float:
    """The largest current within the next ``duration`` s, as far as it is known, A.

    A step that ends by voltage or current alone is taken to last: when it ends is not known.

    Args:
        steps: Of the protocol, in the order in which they run.
        step_index: Of the step under way, in the protocol's method.
        remaining: s until it ends at the latest; infinity where it has no such end, NaN is not known.
        duration: s to look ahead.
        current: Now, A.
        voltage_max: Of the cell, V.
    """
    worst = abs(current)
    for position, step in enumerate(steps):
        if step.index != step_index:
            continue
        left = duration - _longest(step, remaining)
        for following in steps[position + 1 :]:
            if left <= 0:
                break
            worst = max(worst, _known(largest_current(following, voltage_max=voltage_max)))
            left -= math.inf if following.duration is None else following.duration
    return worst


def _longest(step: Step, remaining: float) -> float:
    """s that a step may still last: with an unknown rest of its duration it may end at once."""
    if math.isnan(remaining):
        return math.inf if step.duration is None else 0.0
    return remaining


def _known(current: float) -> float:
    return 0.0 if math.isnan(current) else current


def what_fits(c_rate: float, duration: float, smear_max: float) -> str:
    """Why a measurement breaks its smear budget and what would fit; empty if it does not.

    >>> print(what_fits(1.0, 600.0, 0.02))
    smear 0.167 predicted (600 s at 1 1/h), budget 0.02: what fits is at most 72 s at this rate, \
a rate of at most 0.12 1/h for 600 s, or coupling hold_potential, which helps unless the cell is \
on a plateau
    """
    smear = smear_of(c_rate, duration)
    if not smear > smear_max:
        return ""
    return (
        f"smear {smear:.3g} predicted ({duration:g} s at {abs(c_rate):.3g} 1/h), "
        f"budget {smear_max:g}: what fits is at most {smear_max * 3600 / abs(c_rate):.3g} s at "
        f"this rate, a rate of at most {smear_max * 3600 / duration:.3g} 1/h for {duration:g} s, "
        "or coupling hold_potential, which helps unless the cell is on a plateau"
    )


def smear_refusal(
    due: Due, passport: CellPassport | None, *, current: float, seconds: float
) -> str:
    """Why a measurement that is due breaks its smear budget; empty if it does not.

    A cell that is held has no predictable current: what it has passed is measured afterwards.

    Args:
        due: What asks for it.
        passport: Of the cell; without one there is no state of charge.
        current: The largest to be expected, A; NaN is not known.
        seconds: Length of the measurement.
    """
    if due.smear_max is None or due.coupling == "hold_potential":
        return ""
    if passport is None or math.isnan(current) or math.isnan(seconds):
        lacking = "passport" if passport is None else "current" if math.isnan(current) else "cost"
        return f"smear budget {due.smear_max:g}: the smear cannot be predicted without a {lacking}"
    return what_fits(passport.c_rate_from_current(current), seconds, due.smear_max)


def smear_fault(rule: Rule, passport: CellPassport, steps: Sequence[Step], seconds: float) -> str:
    """Why a rule breaks its smear budget at every current of a protocol; empty if it may fit.

    Only rules that may fire under current are judged: one on a rest or on the end is not.
    """
    if rule.smear_max is None or rule.coupling != "free_running" or _is_on_a_rest(rule):
        return ""
    rates = [
        passport.c_rate_from_current(current)
        for current in (
            largest_current(step, voltage_max=passport.window.voltage_max) for step in steps
        )
        if current > 0
    ]
    if not rates:
        return ""
    return what_fits(min(rates), seconds, rule.smear_max)


#: Conditions that are met while no current flows.
_AT_REST = frozenset({"end_of_rest", "end_of_protocol", str(StepType.REST)})


def _is_on_a_rest(rule: Rule) -> bool:
    return not _AT_REST.isdisjoint(_words(rule.when.model_dump(mode="json")))


def _words(document: object) -> set[str]:
    """Every string in a document, however deep."""
    if isinstance(document, str):
        return {document}
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, (list, tuple)):
        return set().union(*(_words(each) for each in document))
    return set()
