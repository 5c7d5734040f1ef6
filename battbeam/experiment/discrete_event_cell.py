"""This file is where a believed cell follows its protocol: steps, their ends, holds, the window."""

import math
from collections.abc import Sequence
from dataclasses import replace

from battbeam.experiment.cell import Window
from battbeam.experiment.discrete_event_model import (
    AT_REST,
    CellModel,
    CellState,
    impedance_duration,
)
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.step import Step, StepType
from battbeam.experiment.watchers import CellReading

#: Longest step of the arithmetic under a changing current, s: charge within 0.1 % of an exponential
#: decay of some minutes.
LONGEST_STEP = 10.0
#: How fast a thermostat is taken to move, K/s; some 2 K/min of a usual chamber, chosen here.
TEMPERATURE_RATE = 2.0 / 60.0
#: Rates of change are judged after this long in a step, s: right after a switch they mean nothing.
SETTLED_AFTER = 10.0
#: V by which the voltage may leave the window before it counts: where a step ends is known to that.
WINDOW_TOLERANCE = 1e-3
_ENDED_WITHIN = 1e-3


class ModelCell:
    """One cell on its way through a protocol.

    Args:
        model: What it is.
        steps: In the order in which they run.
        window: Outside it the guard trips.
        start: When the first step begins, s since the Unix epoch.
        charge_max: Largest magnitude of charge in one direction, mAh; beyond it the guard trips.
    """

    def __init__(
        self,
        model: CellModel,
        steps: Sequence[Step],
        *,
        window: Window,
        start: float,
        charge_max: float = math.inf,
    ) -> None:
        self.model, self.steps, self.window, self.time = model, tuple(steps), window, start
        self._from_temperature = model.temperature
        rest = model.curve.voltage(model.initial_state_of_charge)
        self.state = CellState(0.0, 0.0, 0.0, 0.0, rest)
        self.trip, self.ended_at = "", math.inf
        self._position, self._elapsed, self._from = -1, 0.0, self.state
        self._kept_until = -math.inf
        self._held: Step | None = None
        self._held_until = -math.inf
        self._charge_max, self._sign, self._turned_at = charge_max, 0.0, 0.0
        self._next_step()

    @property
    def step(self) -> Step | None:
        """Under way; None once the protocol has ended."""
        position = self._position
        return self.steps[position] if 0 <= position < len(self.steps) else None

    @property
    def is_over(self) -> bool:
        """Whether the protocol has ended, or the guard has tripped."""
        return self.step is None

    @property
    def state_of_charge(self) -> float:
        """Charge over capacity, from the passport's reference."""
        return self.model.initial_state_of_charge + self.state.charge / self.model.capacity

    @property
    def temperature(self) -> float:
        """degC, on its way at the thermostat's pace."""
        step, begin = self.step, self._from_temperature
        if step is None or step.type is not StepType.TEMPERATURE or step.temperature is None:
            return begin
        away, moved = step.temperature - begin, TEMPERATURE_RATE * self._elapsed
        return begin + math.copysign(min(abs(away), moved), away)

    def reading(self) -> CellReading:
        """As the guard would be read now."""
        step, state = self.step, self.state
        counter = self.model.counter_voltage(state)
        duration = None if step is None else self._duration(step)
        return CellReading(
            time=self.time,
            voltage=state.voltage,
            charge=state.charge,
            step_count=min(self._position, len(self.steps) - 1) + 1,
            step_type="" if step is None else step.type.value,
            state=self._state().value,
            current=state.current,
            temperature=self.temperature,
            cycle_number=None if step is None else step.cycle_number,
            step_elapsed=math.nan if step is None else self._elapsed,
            voltage_working=state.voltage + counter,
            voltage_counter=counter,
            step_remaining=math.inf if duration is None else max(0.0, duration - self._elapsed),
        )

    def _state(self) -> GuardState:
        if self.trip:
            return GuardState.TRIPPED
        return GuardState.FINISHED if self.step is None else GuardState.RUNNING

    # Going on.

    def advance(self, time: float) -> None:
        """Go on with the protocol until ``time``."""
        while self.time < time and self.step is not None:
            if self._held is None:
                self._go_on(self.step, time - self.time)
            elif self.time < self._held_until:
                left = min(time, self._held_until) - self.time
                self._move(self._held, min(LONGEST_STEP, left), 0.0)
            else:
                self._rest(time - self.time)
        if self.time < time:
            self._rest(time - self.time)

    def hold(self, *, maximum: float = math.inf) -> None:
        """Keep the voltage until `proceed`; after ``maximum`` s the circuit is opened."""
        if self.step is not None:
            held = Step(-1, StepType.CONSTANT_VOLTAGE, voltage=self.state.voltage)
            self._held, self._held_until = held, self.time + max(maximum, 0.0)

    def proceed(self) -> None:
        """Go on with the step that a hold interrupted."""
        self._held = None
        if self.step is not None:
            self._switch(self.step)

    def stop(self, reason: str) -> None:
        """Open the circuit for good."""
        if self.step is not None:
            self.trip, self._position, self.ended_at = reason, len(self.steps), self.time
            self._rest(0.0)

    def keep(self, time: float) -> None:
        """Let a rest or a constant voltage not end before ``time``."""
        self._kept_until = time

    def _rest(self, duration: float) -> None:
        self._move(Step(-1, StepType.REST), duration, 0.0)

    def _go_on(self, step: Step, most: float) -> None:
        left = self._left(step)
        longest = math.inf if self._is_steady(step) else LONGEST_STEP
        duration = min(most, left, longest, self._look_ahead(step))
        before = self.state
        after = self.model.after(self.state, step, duration, self._elapsed)
        if self._excess(step, before, after, duration) >= 0:
            duration = self._where(step, duration)
            after = self.model.after(self.state, step, duration, self._elapsed)
            self._accept(after, duration)
            self._next_step()
            return
        self._accept(after, duration)
        if self._left(step) <= 0:
            self._next_step()

    def _accept(self, after: CellState, duration: float) -> None:
        reason = self._beyond(self.state, after)
        self.state = after
        self.time += duration
        self._elapsed += duration
        if reason and not self.trip:
            self.trip, self._position, self.ended_at = reason, len(self.steps), self.time
            self.state = replace(after, current=0.0)

    def _beyond(self, before: CellState, after: CellState) -> str:
        """Why the guard would trip; empty if it would not."""
        low, high = self.window.voltage_min, self.window.voltage_max
        if not low - WINDOW_TOLERANCE <= after.voltage <= high + WINDOW_TOLERANCE:
            return f"voltage {after.voltage:.3f} V outside {low:g} to {high:g} V"
        sign = math.copysign(1.0, after.current) if after.current else self._sign
        if sign != self._sign:
            self._sign, self._turned_at = sign, before.charge
        passed = abs(after.charge - self._turned_at)
        if passed > self._charge_max:
            return f"charge {passed:.3f} mAh in one direction, beyond {self._charge_max:g} mAh"
        return ""

    def _move(self, step: Step, duration: float, elapsed: float) -> None:
        self.state = self.model.after(self.state, step, duration, elapsed)
        self.time += duration

    def _next_step(self) -> None:
        if self.trip:
            return
        while True:
            self._from_temperature = self.temperature
            self._position, self._elapsed, self._from = self._position + 1, 0.0, self.state
            step = self.step
            if step is None:
                self.ended_at = self.time
                self.state = self.model.after(self.state, Step(-1, StepType.REST), 0.0, 0.0)
                return
            self._switch(step)
            if self._excess(step, self.state, self.state, 0.0) < 0:
                return

    def _switch(self, step: Step) -> None:
        self.state = self.model.after(self.state, step, 0.0, self._elapsed)

    # How a step ends.

    def _duration(self, step: Step) -> float | None:
        if step.type is StepType.TEMPERATURE:
            away = abs((step.temperature or 0.0) - self._from_temperature)
            needed = max(0.0, away - (step.tolerance or 0.0)) / TEMPERATURE_RATE
            return needed if step.duration is None else min(step.duration, needed)
        if step.type is StepType.IMPEDANCE:
            return impedance_duration(step)
        if step.type is StepType.VOLTAGE_SCAN and step.scan_rate:
            return abs((step.voltage_end or 0.0) - (step.voltage or 0.0)) / step.scan_rate
        return step.duration

    def _left(self, step: Step) -> float:
        """s until the step's time is over."""
        duration = self._duration(step)
        left = math.inf if duration is None else duration - self._elapsed
        if step.type in AT_REST or step.type is StepType.CONSTANT_VOLTAGE:
            left = max(left, self._kept_until - self.time)
        return max(left, 0.0)

    def _is_steady(self, step: Step) -> bool:
        """Whether the arithmetic is exact over any length: a current that does not change."""
        has_rate = step.until_voltage_rate is not None or step.until_current_rate is not None
        return step.type in (*AT_REST, StepType.CONSTANT_CURRENT) and not has_rate

    def _look_ahead(self, step: Step) -> float:
        """s in which the charge moves by a hundredth of the capacity: a curve may turn in that."""
        rate = abs(self.state.current) * 1e3 / self.model.capacity
        return 36.0 / rate if rate > 0 else math.inf

    def _excess(self, step: Step, before: CellState, after: CellState, duration: float) -> float:
        """How far the step is beyond what ends it, >= 0 when it has ended; time apart."""
        if self.time + duration < self._kept_until and step.type is StepType.CONSTANT_VOLTAGE:
            return -1.0
        found = [-1.0]
        if step.until_voltage is not None:
            sign = step.direction or (1 if after.current > 0 else -1)
            found.append(sign * (after.voltage - step.until_voltage))
        if step.until_charge is not None:
            found.append(abs(after.charge - self._from.charge) - step.until_charge)
        if step.until_current is not None:
            found.append(step.until_current - abs(after.current))
        if duration > 0 and self._elapsed + duration > SETTLED_AFTER:
            per_hour = 3600.0 / duration
            if step.until_voltage_rate is not None:
                moved = abs(after.voltage - before.voltage) * per_hour
                found.append(step.until_voltage_rate - moved)
            if step.until_current_rate is not None:
                moved = abs(after.current - before.current) * per_hour
                found.append(step.until_current_rate - moved)
        return max(found)

    def _where(self, step: Step, duration: float) -> float:
        """s after which it ended."""
        if step.until_voltage_rate is not None or step.until_current_rate is not None:
            return duration
        low, high = 0.0, duration
        while high - low > _ENDED_WITHIN:
            middle = (low + high) / 2
            after = self.model.after(self.state, step, middle, self._elapsed)
            ended = self._excess(step, self.state, after, middle) >= 0
            low, high = (low, middle) if ended else (middle, high)
        return high
