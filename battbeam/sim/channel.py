"""This file is where one channel of the simulated cycler is: a list of techniques run on one cell.

It runs the list alone and knows nothing of limits that are not in it: what protects a cell is its
guard. It controls and tests the voltage between working and counter electrode, and reads both
against the reference electrode where the cell has one. Its times are the session's clock;
durations, record intervals and elapsed times are counted by the cycler's own clock, which has an
offset and drifts.
"""

import copy
import math
import random
from enum import StrEnum

from battbeam.sim.cell import HalfCell
from battbeam.sim.data_file import Record
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.technique import Exit, Step, Technique
from battbeam.sim.thermostat import Thermostat

#: Longest model step under a technique that drives current, s.
LONGEST_STEP = 1.0
#: Shortest step of a technique, s: one whose test holds at once ends after it.
SHORTEST_STEP = 0.01
#: K by which the holder's cell and the model's may differ: what no thermometer shows.
LEAST_WARMTH = 0.002
#: s to which the end of a step by its tests is found.
_END_TOLERANCE = 1e-6
_EPSILON = 1e-9


class State(StrEnum):
    """State of a channel, as the PV spells it."""

    STOPPED = "Stopped"
    RUNNING = "Running"
    PAUSED = "Paused"


class Channel:
    """One channel and the cell on it.

    Attributes:
        cell: The cell.
        time: Up to where it has come, s since the Unix epoch, on the session's clock.
        state: Of the channel.
        records: Made since they were last taken.
        trace: (time, cell) after each model step since it was last taken.
    """

    def __init__(
        self, cell: HalfCell, *, time: float, clock: DeviceClock, noise: random.Random
    ) -> None:
        self.cell = cell
        self.thermostat = Thermostat(cell.truth)
        self.time = time
        self.clock = clock
        self.state = State.STOPPED
        self.techniques: tuple[Technique, ...] = ()
        self.started = math.nan
        self.technique_index = self.step_index = self.cycle = self.loop = 0
        self.records: list[Record] = []
        self.trace: list[tuple[float, HalfCell]] = [(time, copy.copy(cell))]
        self._noise = noise
        self._sequence = self._entry = 0
        self._goings_back: dict[int, int] = {}
        self._origin = (0.0, 0.0)
        self._step_start = time
        self._step_end = self._next_record = math.inf
        self._recorded = (math.nan, math.nan)

    @property
    def elapsed(self) -> float:
        """s since START on the cycler's clock; 0 before the first."""
        if math.isnan(self.started):
            return 0.0
        return self.clock.at(self.time) - self.clock.at(self.started)

    @property
    def technique(self) -> Technique | None:
        """The one that runs."""
        return self.techniques[self.technique_index] if self.state is State.RUNNING else None

    @property
    def frequency(self) -> float:
        """Hz at which the impedance is being measured; 0 for none."""
        technique = self.technique
        return technique.steps[self.step_index].frequency if technique else 0.0

    def read_voltage(self) -> float:
        """One reading of the working electrode, V: against the reference electrode where the cell
        has one, else against the counter electrode.
        """
        noise = self._noise.gauss(0.0, self.cell.truth.voltage_noise)
        return self.cell.voltage + self.read_counter() + noise

    def read_counter(self) -> float:
        """The counter electrode against the reference electrode, V; 0 where the cell has none."""
        return 0.0 if self.cell.truth.reference is None else self.cell.counter_voltage

    def load(self, techniques: tuple[Technique, ...]) -> None:
        """Replace the list of techniques.

        Raises:
            ValueError: If the channel runs.
        """
        if self.state is State.RUNNING:
            raise ValueError("the channel runs; stop it before loading techniques")
        self.techniques = techniques

    def start(self) -> None:
        """Run the list from its beginning.

        Raises:
            ValueError: If it runs already, or nothing was loaded since the last stop.
        """
        if self.state is State.RUNNING:
            raise ValueError("the channel runs already")
        if not self.techniques:
            raise ValueError("nothing is loaded; put LOADTECH:SP first (again after each STOP)")
        self.state = State.RUNNING
        self.started = self.time
        self.loop = self._sequence = self._entry = 0
        self._goings_back = {}
        self._enter_technique(0)

    def stop(self) -> None:
        """Open the circuit and forget the list: it is to be loaded again before the next start."""
        if self.state is State.RUNNING:
            self._record(ends_step=True)
        self._open_circuit()
        self.techniques = ()

    def advance(self, until: float, *, n_most: int = 1000) -> bool:
        """Go on to ``until``, by at most ``n_most`` model steps; answers whether it came there."""
        for _ in range(n_most):
            if self.time >= until - _EPSILON:
                return True
            if self.state is State.RUNNING:
                self._advance_step(until)
            else:
                self._go_on(until - self.time, Step("rest", 0.0, False, math.inf))
                self._warm(until - self.time)
                self.time = until
                self._note()
        return self.time >= until - _EPSILON

    def _advance_step(self, until: float) -> None:
        step = self.techniques[self.technique_index].steps[self.step_index]
        end = min(until, self._step_end, self._next_record)
        if step.control != "rest":
            end = min(end, self.time + LONGEST_STEP)
        duration = max(end - self.time, 0.0)
        before = copy.copy(self.cell)
        self._go_on(duration, step)
        if step.tests and self._is_ended(step):
            duration = self._found_end(before, duration, step)
            self._warm(duration)
            self.time += duration
            self._note()
            self._leave_step(step.exit)
            return
        self._warm(duration)
        self.time = end
        self._note()
        if end >= self._step_end - _EPSILON:
            self._leave_step(Exit.NEXT_STEP)
        elif end >= self._next_record - _EPSILON or self._has_changed():
            self._record()

    def _go_on(self, duration: float, step: Step) -> None:
        value = self._value(step, self.time + duration)
        if step.control in ("voltage", "scan"):
            self.cell.step(duration, voltage=value, ramps=step.control == "scan")
        else:
            self.cell.step(duration, current=value)

    def _warm(self, duration: float) -> None:
        """The holder goes on, and the cell takes its temperature."""
        self.thermostat.step(duration, heat=self.cell.heat)
        if abs(self.thermostat.cell_temperature - self.cell.temperature) > LEAST_WARMTH:
            self.cell.temperature = self.thermostat.cell_temperature

    def _value(self, step: Step, time: float) -> float:
        """What is set at a time within the step: A, or V."""
        if step.control == "scan":
            start, end = self._span(step)
            length = self._step_end - self._step_start
            part = min(1.0, (time - self._step_start) / length) if length > 0 else 1.0
            return start + part * (end - start)
        if not step.is_relative:
            return step.value
        return step.value + self._origin[0 if step.control == "voltage" else 1]

    def _span(self, step: Step) -> tuple[float, float]:
        """Where a scan begins and ends, V."""
        origin = self._origin[0]
        return (
            step.value + origin * step.is_relative,
            step.value_end + origin * step.ends_relative,
        )

    def _duration(self, step: Step) -> float:
        """s of the cycler's clock."""
        if step.control != "scan":
            return max(step.duration, SHORTEST_STEP)
        start, end = self._span(step)
        return max(abs(end - start) / step.rate, SHORTEST_STEP)

    def _is_ended(self, step: Step) -> bool:
        return step.is_ended(voltage=self.cell.voltage, current=self.cell.current)

    def _found_end(self, before: HalfCell, duration: float, step: Step) -> float:
        """Bisect for the first moment at which the step's tests end it; the cell is left there."""
        low, high = 0.0, duration
        while high - low > _END_TOLERANCE and high > SHORTEST_STEP:
            middle = (low + high) / 2
            self.cell = copy.copy(before)
            self._go_on(middle, step)
            if self._is_ended(step):
                high = middle
            else:
                low = middle
        high = max(high, min(duration, SHORTEST_STEP))
        self.cell = copy.copy(before)
        self._go_on(high, step)
        return high

    def _enter_technique(self, index: int) -> None:
        index = self._after_loops(index)
        if index >= len(self.techniques):
            self._open_circuit()
            return
        self.technique_index, self.cycle = index, 0
        self._entry += 1
        self._origin = (self.cell.voltage, self.cell.current)
        self._enter_step(0)

    def _after_loops(self, index: int) -> int:
        """The index at which a technique that takes time stands, LOOPs carried out."""
        while index < len(self.techniques) and self.techniques[index].name == "LOOP":
            loop = self.techniques[index]
            n_done = self._goings_back.get(index, 0)
            if n_done < loop.n_loops:
                self._goings_back[index] = n_done + 1
                self.loop += 1
                index = loop.target
            else:
                self._goings_back[index] = 0
                index += 1
        return index

    def _enter_step(self, index: int) -> None:
        technique = self.techniques[self.technique_index]
        step = technique.steps[index]
        self.step_index = index
        self._step_start = self.time
        self._step_end = self.time + self.clock.session_duration(self._duration(step))
        self._go_on(0.0, step)
        self._note()
        self._record()

    def _leave_step(self, way: Exit) -> None:
        self._record(ends_step=True)
        technique = self.techniques[self.technique_index]
        if way is Exit.STOP:
            self._open_circuit()
        elif way is Exit.NEXT_TECHNIQUE:
            self._enter_technique(self.technique_index + 1)
        elif self.step_index + 1 < len(technique.steps):
            self._enter_step(self.step_index + 1)
        elif self.cycle < technique.n_repeats:
            self.cycle += 1
            self._enter_step(0)
        else:
            self._enter_technique(self.technique_index + 1)

    def _open_circuit(self) -> None:
        self.state = State.STOPPED
        self._step_end = self._next_record = math.inf
        self.cell.step(0.0, current=0.0)
        self._note()

    def _has_changed(self) -> bool:
        technique = self.techniques[self.technique_index]
        return (
            abs(self.cell.voltage - self._recorded[0]) >= technique.record_voltage
            or abs(self.cell.current - self._recorded[1]) >= technique.record_current
        )

    def _record(self, *, ends_step: bool = False) -> None:
        technique = self.techniques[self.technique_index]
        step = technique.steps[self.step_index]
        is_spectral = ends_step and step.frequency > 0 and self.time >= self._step_end - _EPSILON
        self._sequence += 1
        self._recorded = (self.cell.voltage, self.cell.current)
        self._next_record = self.time + self.clock.session_duration(technique.record_interval)
        self.records.append(
            Record(
                time=self.time,
                elapsed=self.elapsed,
                voltage=self.read_voltage(),
                current=self.cell.current,
                technique=self.technique_index,
                name=technique.name,
                step=self.step_index,
                cycle=self.cycle,
                loop=self.loop,
                sequence=self._sequence,
                entry=self._entry,
                ends_step=ends_step,
                counter=self.read_counter(),
                frequency=step.frequency if is_spectral else 0.0,
                impedance=self.cell.impedance(step.frequency) if is_spectral else 0j,
                amplitude=step.amplitude,
            )
        )

    def _note(self) -> None:
        self.trace.append((self.time, copy.copy(self.cell)))
