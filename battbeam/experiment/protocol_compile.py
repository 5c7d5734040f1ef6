"""This file is where the steps of a protocol become what runs: presets and loops unrolled, in A, V and s."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

from aurora_unicycler import Loop, Tag  # type: ignore[import-untyped]

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol_presets import blocks_of
from battbeam.experiment.step import Step, StepType

#: Steps after unrolling. Ten thousand are years of cycling; more is a slip in a loop's count.
MAX_STEPS = 10_000


def targets_of_loops(method: Sequence[Any]) -> dict[int, int]:
    """Where each loop goes back to, by the loop's own index; without those that go nowhere."""
    tags = {step.tag: index for index, step in enumerate(method) if isinstance(step, Tag)}
    found = {}
    for index, step in enumerate(method):
        if isinstance(step, Loop):
            target = tags.get(step.loop_to) if isinstance(step.loop_to, str) else step.loop_to - 1
            if target is not None and target < index:
                found[index] = target
    return found


def order(method: Sequence[Any]) -> Iterator[int]:
    """Indices of the steps that do something, in the order in which they run. Loops nest."""
    targets, done = targets_of_loops(method), dict.fromkeys(range(len(method)), 1)
    position = 0
    while position < len(method):
        step = method[position]
        if isinstance(step, Loop) and done[position] < step.cycle_count:
            done[position] += 1
            position = targets[position]
            continue
        if isinstance(step, Loop):
            done[position] = 1
        elif step.step != "tag":
            yield position
        position += 1


def unrolled(method: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Plain steps in the order in which they run, each with the index of the step it comes from."""
    for index in order(method):
        for block in blocks_of(method[index]):
            for steps in repeat(block.steps, block.count):
                yield from ((index, step) for step in steps)


def is_too_long(method: Sequence[Any]) -> bool:
    """Whether a method unrolls to more than `MAX_STEPS`."""
    return sum(1 for _ in islice(unrolled(method), MAX_STEPS + 1)) > MAX_STEPS


def compiled_steps(method: Sequence[Any], passport: CellPassport) -> tuple[Step, ...]:
    """A method without faults as it will run on this cell."""
    steps: list[Step] = []
    cycle_number, first_sign, last_sign = 1, 0, 0
    for index, model in unrolled(method):
        step = compiled_step(index, model, passport)
        if step.type is StepType.CONSTANT_VOLTAGE:
            step = replace(step, direction=_direction_of_hold(step, steps, last_sign))
        elif step.direction:
            first_sign = first_sign or step.direction
            if step.direction == first_sign and last_sign == -first_sign:
                cycle_number += 1
            last_sign = step.direction
        steps.append(replace(step, cycle_number=cycle_number))
    return tuple(steps)


def _direction_of_hold(step: Step, before: Sequence[Step], last_sign: int) -> int:
    """The sign of the current to expect: that of the last current, or up and down a staircase."""
    for earlier in reversed(before):
        if earlier.type is StepType.CONSTANT_VOLTAGE and earlier.voltage is not None:
            climb = (step.voltage or 0.0) - earlier.voltage
            return int(math.copysign(1, climb)) if climb else earlier.direction
        if earlier.type is not StepType.REST:
            break
    return last_sign


def current_of(c_rate: float | None, current: float | None, passport: CellPassport) -> float:
    """A, from a C-rate (which counts first, as in unicycler) or a current in mA."""
    return passport.current_from_c_rate(c_rate) if c_rate else (current or 0.0) * 1e-3


def compiled_step(index: int, model: Any, passport: CellPassport) -> Step:
    """One plain step in A, V, mAh and s."""
    return _COMPILERS[StepType(model.step)](index, model, passport)


def _endings(model: Any, passport: CellPassport) -> dict[str, float | None]:
    """How a step ends, by the names of `Step`; a 0 is no end, as in unicycler."""
    found = {
        "duration": getattr(model, "until_time_s", None) or None,
        "until_voltage": getattr(model, "until_voltage_V", None) or None,
        "until_charge": getattr(model, "until_charge_mAh", None),
        "until_current": _until_current(model, passport),
        "until_voltage_rate": _milli(getattr(model, "until_voltage_rate_mV_per_h", None)),
        "until_current_rate": _milli(getattr(model, "until_current_rate_mA_per_h", None)),
    }
    fraction = getattr(model, "until_charge_fraction", None)
    if fraction is not None:
        found["until_charge"] = fraction * passport.nominal_capacity
    return found


def _until_current(model: Any, passport: CellPassport) -> float | None:
    rate, current = (getattr(model, name, None) for name in ("until_rate_C", "until_current_mA"))
    return abs(current_of(rate, current, passport)) if rate or current else None


def _milli(value: float | None) -> float | None:
    return None if value is None else value * 1e-3


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _rest(index: int, model: Any, passport: CellPassport) -> Step:
    return Step(index, StepType.REST, **_endings(model, passport))  # type: ignore[arg-type]


def _current(index: int, model: Any, passport: CellPassport) -> Step:
    current = current_of(model.rate_C, model.current_mA, passport)
    ends: Mapping[str, Any] = _endings(model, passport)
    kind = StepType.CONSTANT_CURRENT
    return Step(index, kind, current=current, direction=_sign(current), **ends)


def _voltage(index: int, model: Any, passport: CellPassport) -> Step:
    ends: Mapping[str, Any] = _endings(model, passport)
    return Step(index, StepType.CONSTANT_VOLTAGE, voltage=model.voltage_V, **ends)


def _resistance(index: int, model: Any, passport: CellPassport) -> Step:
    ends: Mapping[str, Any] = _endings(model, passport)
    kind = StepType.CONSTANT_RESISTANCE
    return Step(index, kind, resistance=model.resistance_ohm, direction=-1, **ends)


def _ramp(index: int, model: Any, passport: CellPassport) -> Step:
    start, end = ramp_ends(model, passport)
    ends: Mapping[str, Any] = _endings(model, passport)
    direction = _sign(start + end) if start * end >= 0 else 0
    kind = StepType.CURRENT_RAMP
    return Step(index, kind, current=start, current_end=end, direction=direction, **ends)


def ramp_ends(model: Any, passport: CellPassport) -> tuple[float, float]:
    """A, where a ramp begins and where it ends."""
    return (
        current_of(model.start_rate_C, model.start_current_mA, passport),
        current_of(model.end_rate_C, model.end_current_mA, passport),
    )


def _scan(index: int, model: Any, passport: CellPassport) -> Step:
    span, rate = model.end_voltage_V - model.start_voltage_V, model.scan_rate_mV_per_s * 1e-3
    ends: Mapping[str, Any] = _endings(model, passport) | {"duration": abs(span) / rate}
    return Step(
        index,
        StepType.VOLTAGE_SCAN,
        voltage=model.start_voltage_V,
        voltage_end=model.end_voltage_V,
        scan_rate=rate,
        direction=_sign(span),
        **ends,
    )


def _impedance(index: int, model: Any, passport: CellPassport) -> Step:
    return Step(
        index,
        StepType.IMPEDANCE,
        amplitude=model.amplitude_V,
        frequency_start=model.start_frequency_Hz,
        frequency_end=model.end_frequency_Hz,
        points_per_decade=model.points_per_decade,
        measures_per_point=model.measures_per_point,
    )


def _temperature(index: int, model: Any, passport: CellPassport) -> Step:
    return Step(
        index,
        StepType.TEMPERATURE,
        duration=model.until_time_s,
        temperature=model.temperature_degC,
        tolerance=model.tolerance_K,
    )


_COMPILERS: Mapping[StepType, Callable[[int, Any, CellPassport], Step]] = {
    StepType.REST: _rest,
    StepType.CONSTANT_CURRENT: _current,
    StepType.CONSTANT_VOLTAGE: _voltage,
    StepType.CONSTANT_RESISTANCE: _resistance,
    StepType.CURRENT_RAMP: _ramp,
    StepType.VOLTAGE_SCAN: _scan,
    StepType.IMPEDANCE: _impedance,
    StepType.TEMPERATURE: _temperature,
}


def frequencies(step: Step) -> tuple[float, ...]:
    """Hz, of an impedance spectrum, in the order in which they are measured; both ends included."""
    if step.frequency_start is None or step.frequency_end is None:
        return ()
    first, last = math.log10(step.frequency_start), math.log10(step.frequency_end)
    n_points = max(1, round(abs(last - first) * (step.points_per_decade or 1)))
    if first == last:
        return (step.frequency_start,)
    inner = (10 ** (first + (last - first) * k / n_points) for k in range(1, n_points))
    return tuple(chain((step.frequency_start,), inner, (step.frequency_end,)))
