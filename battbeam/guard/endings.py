"""This file is where it is decided who ends a step, and where the guard ends those that the
instrument cannot.

A time, a voltage of a current and a current of a voltage the instrument tests by itself; the charge
of a constant current or ramp is a time. All else (the charge of other steps, the time of a load,
rates of change, a temperature) the guard watches on records and live values: such a step is the last
of its segment, which the guard stops. Meanwhile the instrument keeps its own window limits, and
a longest duration as backstop. What is no number ends nothing.
"""

import math
from dataclasses import dataclass, replace

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.settling import Settling

#: s after which the instrument ends by itself a step that the guard should have ended: a week.
BACKSTOP = 7 * 86400.0
#: Readings in a row within the tolerance before a temperature counts as reached.
N_REACHED = 3
_COULOMB_PER_MAH = 3.6


@dataclass(frozen=True)
class StepReading:
    """What is known of a step under way.

    Attributes:
        elapsed: s since the step began.
        charge: mAh passed since then.
        voltage: V.
        current: A.
        temperature: degC.
    """

    elapsed: float
    charge: float
    voltage: float
    current: float
    temperature: float = math.nan


def prepared(step: Step) -> Step:
    """The same step, ended by time where that is as good as by charge, and a load by its voltage.

    >>> prepared(Step(0, StepType.CONSTANT_CURRENT, current=1e-3, until_charge=0.5)).duration
    1800.0
    """
    if step.type is StepType.CONSTANT_RESISTANCE and step.until_current is not None:
        faded = step.until_current * (step.resistance or 0.0)
        return replace(
            step, until_voltage=max(faded, step.until_voltage or 0.0), until_current=None
        )
    if step.until_charge is None:
        return step
    if step.type is StepType.CONSTANT_CURRENT and step.current:
        seconds = step.until_charge * _COULOMB_PER_MAH / abs(step.current)
        longest = math.inf if step.duration is None else step.duration
        return replace(step, duration=min(seconds, longest), until_charge=None)
    if step.type is StepType.CURRENT_RAMP and step.duration:
        return _shortened_ramp(step, step.until_charge * _COULOMB_PER_MAH)
    return step


def _shortened_ramp(step: Step, coulomb: float) -> Step:
    """A ramp cut where it has passed a charge; as it is where it never does."""
    start, length = step.current or 0.0, step.duration or 0.0
    slope = ((step.current_end or 0.0) - start) / length
    found = [
        time
        for sign in (1, -1)
        for time in _crossings(slope / 2, start, -sign * coulomb)
        if 0 < time < length
    ]
    if not found:
        return replace(step, until_charge=None)
    end = min(found)
    return replace(step, duration=end, current_end=start + slope * end, until_charge=None)


def _crossings(a: float, b: float, c: float) -> list[float]:
    """Real roots of a t^2 + b t + c."""
    if a == 0:
        return [-c / b] if b else []
    inside = b * b - 4 * a * c
    return [(-b + sign * math.sqrt(inside)) / (2 * a) for sign in (1, -1)] if inside >= 0 else []


def is_watched(step: Step) -> bool:
    """Whether the guard ends it, or may."""
    return (
        step.until_charge is not None
        or step.until_voltage_rate is not None
        or step.until_current_rate is not None
        or step.type in (StepType.CONSTANT_RESISTANCE, StepType.TEMPERATURE)
    )


class StepWatch:
    """Watches one step."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._n_reached = 0
        self._settlings = [
            (Settling(), name, unit, limit)
            for name, unit, limit in (
                ("voltage", "V/h", step.until_voltage_rate),
                ("current", "A/h", step.until_current_rate),
            )
            if limit is not None
        ]

    def take(self, reading: StepReading) -> str:
        """Why the step is over at this reading; empty when it is not."""
        for settling, name, unit, limit in self._settlings:
            value = reading.voltage if name == "voltage" else reading.current
            settling.add(reading.elapsed, value)
            if settling.is_below(limit / 3600):
                return f"the {name} changes by less than {limit:.4g} {unit}"
        return self._temperature(reading.temperature) or self.over(reading)

    def over(self, reading: StepReading) -> str:
        """Why the step is over by time or charge, of a reading that may be carried forward."""
        step = self.step
        if step.until_charge is not None and abs(reading.charge) >= step.until_charge:
            return f"{step.until_charge:.6g} mAh have passed"
        if is_watched(step) and step.duration is not None and reading.elapsed >= step.duration:
            return f"{step.duration:.6g} s are over"
        return ""

    def _temperature(self, temperature: float) -> str:
        step = self.step
        if step.type is not StepType.TEMPERATURE or step.temperature is None:
            return ""
        if not math.isfinite(temperature):
            return ""
        is_near = abs(temperature - step.temperature) <= (step.tolerance or 0.0)
        self._n_reached = self._n_reached + 1 if is_near else 0
        if self._n_reached < N_REACHED:
            return ""
        return f"{step.temperature:.2f} degC are reached within {step.tolerance:.2g} K"
