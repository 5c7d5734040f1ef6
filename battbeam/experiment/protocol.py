"""This file is where a protocol says how a cell is cycled, and is checked as a whole before
anything flows.

The language is aurora-unicycler's (`aurora_unicycler.CyclingProtocol`): open_circuit_voltage,
constant_current, constant_voltage, loop and tag. Positive current oxidises the working electrode.
Here loops are unrolled and C-rates become amperes, once, from the passport's nominal capacity; what
runs is a plain sequence of `Step`.
"""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from aurora_unicycler import (  # type: ignore[import-untyped]
    ConstantCurrent,
    ConstantVoltage,
    CyclingProtocol,
    Loop,
    OpenCircuitVoltage,
)
from aurora_unicycler import Step as UnicyclerStep

from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.protocol_faults import parsed_steps, protocol_faults, targets_of_loops

#: Steps after unrolling. Ten thousand are years of cycling; more is a slip in a loop's count.
MAX_STEPS = 10_000
#: Assumed length of a constant voltage step that ends by current, for forecasts only, s.
TYPICAL_CONSTANT_VOLTAGE = 1800.0


class StepType(StrEnum):
    """What the cycler controls during a step."""

    REST = "open_circuit_voltage"
    CONSTANT_CURRENT = "constant_current"
    CONSTANT_VOLTAGE = "constant_voltage"
    CONSTANT_RESISTANCE = "constant_resistance"
    CURRENT_RAMP = "current_ramp"
    VOLTAGE_SCAN = "voltage_scan"
    IMPEDANCE = "impedance_spectroscopy"
    TEMPERATURE = "temperature"


@dataclass(frozen=True)
class Step:
    """One step as it will run.

    Attributes:
        index: Of the step in the protocol's method, from 0; -1 for a hold that no protocol asked
            for.
        type: What is controlled.
        cycle_number: From 1; rises with each current of the first current's sign after one of the
            other sign.
        current: A, of a constant current, and where a ramp begins; None otherwise.
        voltage: V, of a constant voltage, and where a scan begins; None otherwise.
        duration: Longest duration, s of cell time; None when it ends by voltage or current alone.
        until_voltage: V at which a constant current ends, from below for a positive current; None
            if it does not.
        until_current: Magnitude in A below which a constant voltage ends; None if it does not.
        direction: Sign of the current to expect: 1, -1, 0 at rest or where it is not known.
        until_charge: Magnitude in mAh, passed in this step, at which it ends; None if it does not.
        until_voltage_rate: Magnitude of dV/dt in V/h below which a rest or a current ends; None if
            it does not.
        until_current_rate: Magnitude of dI/dt in A/h below which a constant voltage ends; None if
            it does not.
        current_end: A, where a ramp ends.
        voltage_end: V, where a scan ends.
        scan_rate: Magnitude, V/s, of a scan.
        resistance: ohm, of a constant resistance, which always discharges.
        amplitude: V, of an impedance spectrum.
        frequency_start: Hz, of an impedance spectrum.
        frequency_end: Hz, of an impedance spectrum.
        points_per_decade: Of an impedance spectrum.
        measures_per_point: Of an impedance spectrum.
        temperature: degC, to be reached while the circuit is open.
        tolerance: K, within which a temperature counts as reached.
    """

    index: int
    type: StepType
    cycle_number: int = 1
    current: float | None = None
    voltage: float | None = None
    duration: float | None = None
    until_voltage: float | None = None
    until_current: float | None = None
    direction: int = 0
    until_charge: float | None = None
    until_voltage_rate: float | None = None
    until_current_rate: float | None = None
    current_end: float | None = None
    voltage_end: float | None = None
    scan_rate: float | None = None
    resistance: float | None = None
    amplitude: float | None = None
    frequency_start: float | None = None
    frequency_end: float | None = None
    points_per_decade: int | None = None
    measures_per_point: int | None = None
    temperature: float | None = None
    tolerance: float | None = None

    def after(self, elapsed: float) -> "Step | None":
        """What is left of the step after ``elapsed`` s of it; None when nothing is.

        >>> Step(0, StepType.REST, duration=60.0).after(45.0).duration
        15.0
        """
        if self.duration is None:
            return self
        left = self.duration - elapsed
        return replace(self, duration=left) if left > 0 else None

    def to_document(self) -> dict[str, Any]:
        """As plain values."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Step":
        """The step that `to_document` wrote."""
        return cls(**{**document, "type": StepType(document["type"])})


@dataclass(frozen=True)
class CompiledProtocol:
    """A protocol for one cell.

    Attributes:
        steps: In the order in which they run, loops unrolled.
        record_interval: s of cell time between records.
        record_voltage: V of change that makes a record too, or none.
        record_current: A of change that makes a record too, or none.
        window: Limits that the protocol asks for itself, within those of the cell.
    """

    steps: tuple[Step, ...]
    record_interval: float
    record_voltage: float | None
    record_current: float | None
    window: Window


@dataclass(frozen=True)
class Protocol:
    """A protocol as it was written; whether it is right for a cell, `faults` says."""

    document: Mapping[str, Any]

    @classmethod
    def read(cls, source: "Path | str | Mapping[str, Any] | CyclingProtocol") -> "Protocol":
        """A protocol from a unicycler .json file, from what such a file holds, or from unicycler's
        own object.

        Raises:
            PreflightError: If there is no such file or it holds no JSON object. Faults inside are
                left to `faults`.
        """
        if isinstance(source, CyclingProtocol):
            return cls(source.to_dict(mode="json"))
        if isinstance(source, Mapping):
            return cls(copy.deepcopy(dict(source)))
        path = Path(source)
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError:
            raise PreflightError("protocol", [f"{path}: the file is missing"]) from None
        except json.JSONDecodeError as error:
            raise PreflightError("protocol", [f"{path}: not JSON ({error})"]) from error
        if not isinstance(document, Mapping):
            raise PreflightError(
                "protocol", [f"{path}: must hold an object, holds {type(document).__name__}"]
            )
        return cls(document)

    def faults(self, passport: CellPassport, window: Window | None = None) -> list[str]:
        """Every fault of the protocol for this cell, inside ``window`` too where it is given."""
        allowed = passport.window if window is None else passport.window.within(window)
        faults = protocol_faults(self.document, passport, allowed)
        if not faults:
            n_steps = len(_order(parsed_steps(self.document)[0]))
            if n_steps > MAX_STEPS:
                faults.append(f"loops unroll to more than {MAX_STEPS} steps: correct a cycle_count")
        return faults

    def compile(self, passport: CellPassport, window: Window | None = None) -> CompiledProtocol:
        """The protocol as it will run on this cell.

        Raises:
            PreflightError: With every fault.
        """
        faults = self.faults(passport, window)
        if faults:
            raise PreflightError("protocol", faults)
        model = CyclingProtocol.from_dict(copy.deepcopy(dict(self.document)))
        safety, allowed = (
            model.safety,
            passport.window if window is None else passport.window.within(window),
        )
        currents = [
            abs(limit) * 1e-3
            for limit in (safety.max_current_mA, safety.min_current_mA)
            if limit is not None
        ]
        asked = Window(
            -math.inf if safety.min_voltage_V is None else safety.min_voltage_V,
            math.inf if safety.max_voltage_V is None else safety.max_voltage_V,
            max(currents, default=math.inf),
        )
        record = model.record
        return CompiledProtocol(
            steps=_steps(model.method, passport),
            record_interval=record.time_s,
            record_voltage=record.voltage_V,
            record_current=None if record.current_mA is None else record.current_mA * 1e-3,
            window=allowed.within(asked),
        )


def expected_duration(
    steps: Sequence[Step], *, passport: CellPassport, state_of_charge: float
) -> float:
    """How long steps will take, s of cell time, starting at a state of charge: an estimate for
    people.

    A current is taken to run until the cell is full or empty, unless its duration ends it before.
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
    if step.type is StepType.CONSTANT_VOLTAGE or not step.current:
        return min(longest, TYPICAL_CONSTANT_VOLTAGE), content
    c_rate = passport.c_rate_from_current(step.current)
    room = max(0.0, 1.0 - content if c_rate > 0 else content)
    seconds = min(
        longest, room / abs(c_rate) * 3600 if step.until_voltage is not None else math.inf
    )
    return seconds, content + c_rate * seconds / 3600


def _order(method: Sequence[UnicyclerStep]) -> list[int]:
    """Indices of the steps that do something, in the order in which they run. Loops nest."""
    targets, done = targets_of_loops(method), dict.fromkeys(range(len(method)), 1)
    order: list[int] = []
    position = 0
    while position < len(method) and len(order) <= MAX_STEPS:
        step = method[position]
        if isinstance(step, Loop) and done[position] < step.cycle_count:
            done[position] += 1
            position = targets[position]
            continue
        if isinstance(step, Loop):
            done[position] = 1
        elif step.step != "tag":
            order.append(position)
        position += 1
    return order


def _steps(method: Sequence[UnicyclerStep], passport: CellPassport) -> tuple[Step, ...]:
    steps: list[Step] = []
    cycle_number, first_sign, last_sign = 1, 0, 0
    for index in _order(method):
        step = _step(index, method[index], passport, direction=last_sign)
        if step.type is StepType.CONSTANT_CURRENT:
            first_sign = first_sign or step.direction
            if step.direction == first_sign and last_sign == -first_sign:
                cycle_number += 1
            last_sign = step.direction
        steps.append(replace(step, cycle_number=cycle_number))
    return tuple(steps)


def _step(index: int, step: UnicyclerStep, passport: CellPassport, *, direction: int) -> Step:
    """One step in A, V and s; ``direction`` is the sign of the last constant current before it."""
    if isinstance(step, OpenCircuitVoltage):
        return Step(index, StepType.REST, duration=step.until_time_s)
    if isinstance(step, ConstantCurrent):
        current = current_of(step.rate_C, step.current_mA, passport)
        return Step(
            index,
            StepType.CONSTANT_CURRENT,
            current=current,
            duration=step.until_time_s or None,
            until_voltage=step.until_voltage_V,
            direction=1 if current > 0 else -1,
        )
    if isinstance(step, ConstantVoltage):
        has_ending = bool(step.until_rate_C or step.until_current_mA)
        until = (
            abs(current_of(step.until_rate_C, step.until_current_mA, passport))
            if has_ending
            else None
        )
        return Step(
            index,
            StepType.CONSTANT_VOLTAGE,
            voltage=step.voltage_V,
            duration=step.until_time_s or None,
            until_current=until,
            direction=direction,
        )
    raise ValueError(
        f"step {index} of type {type(step).__name__} cannot run; `Protocol.faults` says why"
    )


def current_of(c_rate: float | None, current: float | None, passport: CellPassport) -> float:
    """A, from a C-rate (which counts first, as in unicycler) or a current in mA."""
    return passport.current_from_c_rate(c_rate) if c_rate else (current or 0.0) * 1e-3
