"""This file is where a cell is that forecasts believe in: a curve, a resistance, one lag.

No noise and no faults: the voltage is that of the curve at the surface of the electrode, which
follows its mean, plus current times resistance. Positive current charges.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.forecast_curve import Curve
from battbeam.experiment.step import Step, StepType

#: Steps without current.
AT_REST = (StepType.REST, StepType.IMPEDANCE, StepType.TEMPERATURE)


@dataclass(frozen=True)
class CellState:
    """What changes.

    Attributes:
        charge: Passed since mounting, mAh.
        throughput: Of either sign, mAh.
        lag: State of charge at the surface minus the mean.
        current: A.
        voltage: V.
    """

    charge: float
    throughput: float
    lag: float
    current: float
    voltage: float


@dataclass(frozen=True)
class CellModel:
    """What is believed of a cell.

    Attributes:
        curve: Open-circuit voltage against the state of charge.
        capacity: What the state of charge counts by, mAh.
        resistance: ohm.
        relaxation: Time constant with which the electrode's surface follows its mean, s.
        initial_state_of_charge: When it is mounted.
        temperature: degC.
        has_reference: Whether the electrodes' own voltages are measured.
    """

    curve: Curve
    capacity: float
    resistance: float
    relaxation: float
    initial_state_of_charge: float = 0.0
    temperature: float = 25.0
    has_reference: bool = False

    @classmethod
    def of(
        cls, passport: CellPassport, curve: Curve, *, resistance: float, relaxation: float
    ) -> "CellModel":
        """Of the cell that a passport describes."""
        return cls(
            curve=curve,
            capacity=passport.nominal_capacity,
            resistance=resistance,
            relaxation=relaxation,
            initial_state_of_charge=passport.initial_state_of_charge,
            has_reference=passport.n_electrodes == 3,
        )

    def after(self, state: CellState, step: Step, duration: float, elapsed: float) -> CellState:
        """The state after ``duration`` s more of a step, of which ``elapsed`` s are over; after 0 s
        it is switched.
        """
        end = elapsed + duration
        if step.type in AT_REST:
            return self._with_current(state, duration, 0.0, 0.0)
        if step.type is StepType.CONSTANT_CURRENT:
            return self._with_current(state, duration, step.current or 0.0, step.current or 0.0)
        if step.type is StepType.CURRENT_RAMP:
            begin, last = step.current or 0.0, step.current_end or 0.0
            length = step.duration or 1.0
            at_end = begin + (last - begin) * min(end / length, 1.0)
            at_start = begin + (last - begin) * min(elapsed / length, 1.0)
            return self._with_current(state, duration, (at_start + at_end) / 2, at_end)
        if step.type is StepType.CONSTANT_RESISTANCE:
            load = step.resistance or math.inf
            return self._solved(state, duration, lambda current, voltage: voltage + current * load)
        target = step.voltage or 0.0
        if step.type is StepType.VOLTAGE_SCAN:
            sign = math.copysign(1.0, (step.voltage_end or 0.0) - target)
            target += sign * (step.scan_rate or 0.0) * end
        return self._solved(state, duration, lambda _, voltage: voltage - target)

    def counter_voltage(self, state: CellState) -> float:
        """Of the counter electrode against the reference, V; NaN without one."""
        if not self.has_reference:
            return math.nan
        mean = self.initial_state_of_charge + state.charge / self.capacity
        return self.curve.counter_voltage(mean)

    def _with_current(
        self, state: CellState, duration: float, mean: float, current: float
    ) -> CellState:
        charge = state.charge + mean * duration / 3.6
        steady = mean / 3.6 / self.capacity * self.relaxation
        decay = math.exp(-duration / self.relaxation) if self.relaxation > 0 else 0.0
        lag = steady + (state.lag - steady) * decay
        surface = self.initial_state_of_charge + charge / self.capacity + lag
        voltage = self.curve.voltage(surface) + current * self.resistance
        throughput = state.throughput + abs(mean) * duration / 3.6
        return CellState(charge, throughput, lag, current, min(max(voltage, -1e3), 1e3))

    def _solved(
        self, state: CellState, duration: float, miss: Callable[[float, float], float]
    ) -> CellState:
        """The state whose current makes ``miss(current, voltage)``, which rises with it, zero."""

        def tried(current: float) -> tuple[CellState, float]:
            mean = (state.current + current) / 2 if duration > 0 else current
            found = self._with_current(state, duration, mean, current)
            return found, miss(current, found.voltage)

        found, here = tried(state.current)
        width, near, far = 1e-5, state.current, state.current
        while here != 0.0:
            far = state.current - math.copysign(width, here)
            found, there = tried(far)
            if there * here <= 0 or width > 1e3:
                break
            near, width = far, width * 4
        low, high = min(near, far), max(near, far)
        while high - low > 1e-9:
            middle = (low + high) / 2
            found, value = tried(middle)
            low, high = (low, middle) if value > 0 else (middle, high)
        return found


def impedance_duration(step: Step) -> float:
    """s that an impedance spectrum takes: its periods, as often as each is measured.

    >>> round(impedance_duration(Step(0, StepType.IMPEDANCE, frequency_start=1.0,
    ...     frequency_end=0.1, points_per_decade=1, measures_per_point=2)))
    22
    """
    first, last = step.frequency_start or 1.0, step.frequency_end or 1.0
    n = round(abs(math.log10(first / last)) * (step.points_per_decade or 6))
    times = step.measures_per_point or 1
    return sum(times / (first * math.pow(last / first, k / max(n, 1))) for k in range(n + 1))
