"""This file is where it is estimated how long steps take, for people and before anything runs."""

import math
from collections.abc import Sequence

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol_compile import frequencies
from battbeam.experiment.step import Step, StepType

#: Assumed length of a constant voltage step that ends by current, s.
TYPICAL_CONSTANT_VOLTAGE = 1800.0
#: Assumed length of an approach to a temperature, s.
TYPICAL_TEMPERATURE = 1800.0
#: Assumed periods of each frequency of a spectrum: one to settle, and one measured besides those
#: asked for, as instruments do it; chosen.
_SETTLING_PERIODS = 1


def expected_duration(
    steps: Sequence[Step], *, passport: CellPassport, state_of_charge: float
) -> float:
    """How long steps will take, s of cell time, starting at a state of charge: an estimate for
    people.

    A current is taken to run until the cell is full or empty, unless its duration or its charge
    ends it before; a resistance discharges at the mean of the window's voltages; a rate of change
    never ends anything before its duration.
    """
    total, content = 0.0, state_of_charge
    for step in steps:
        seconds, content = _expected(step, passport, content)
        total += seconds
    return total


def _expected(step: Step, passport: CellPassport, content: float) -> tuple[float, float]:
    longest = math.inf if step.duration is None else step.duration
    if step.type is StepType.REST:
        return longest, content
    if step.type is StepType.IMPEDANCE:
        periods = (step.measures_per_point or 1) + _SETTLING_PERIODS
        return sum(periods / frequency for frequency in frequencies(step)), content
    if step.type is StepType.TEMPERATURE:
        return min(longest, TYPICAL_TEMPERATURE), content
    current = _mean_current(step, passport)
    if step.type is StepType.CONSTANT_VOLTAGE:
        return min(longest, TYPICAL_CONSTANT_VOLTAGE), content
    if not current:
        return longest, content
    c_rate = passport.c_rate_from_current(current)
    room = max(0.0, 1.0 - content if c_rate > 0 else content)
    is_bounded = step.until_voltage is not None or step.until_current is not None
    seconds = min(longest, room / abs(c_rate) * 3600 if is_bounded else math.inf)
    if step.until_charge is not None:
        seconds = min(seconds, step.until_charge / abs(current) * 3.6)
    if not math.isfinite(seconds):
        seconds = room / abs(c_rate) * 3600
    return seconds, content + c_rate * seconds / 3600


def _mean_current(step: Step, passport: CellPassport) -> float:
    """A; 0 where it is not known beforehand."""
    if step.type is StepType.CONSTANT_CURRENT:
        return step.current or 0.0
    if step.type is StepType.CURRENT_RAMP:
        return ((step.current or 0.0) + (step.current_end or 0.0)) / 2
    if step.type is StepType.CONSTANT_RESISTANCE and step.resistance:
        window = passport.window
        return -(window.voltage_min + window.voltage_max) / 2 / step.resistance
    return 0.0
