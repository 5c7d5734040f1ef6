"""This file is where a protocol is told to people: what runs, for how long, between which limits."""

from collections.abc import Iterator, Sequence

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.protocol_duration import expected_duration
from battbeam.experiment.step import Step, StepType

#: Lines of steps that are shown before the rest is counted.
LONGEST = 40


def protocol_summary(protocol: Protocol, passport: CellPassport) -> str:
    """What will run on a cell, a line a step, as it would be loaded.

    Raises:
        PreflightError: With every fault of the protocol.
    """
    compiled = protocol.compile(passport)
    steps, window = compiled.steps, compiled.window
    hours = (
        expected_duration(
            steps, passport=passport, state_of_charge=passport.initial_state_of_charge
        )
        / 3600
    )
    lines = [
        f"cell {passport.cell}: {len(steps)} steps, about {hours:.3g} h, a record every"
        f" {compiled.record_interval:g} s",
        f"within {window.voltage_min:g} to {window.voltage_max:g} V,"
        f" {window.current_max * 1e3:g} mA",
        *(f"{number:5d}  {step_text(step, passport)}" for number, step in _first(steps)),
    ]
    if len(steps) > LONGEST:
        lines.append(f"       and {len(steps) - LONGEST} more")
    return "\n".join(lines)


def _first(steps: Sequence[Step]) -> Iterator[tuple[int, Step]]:
    return ((number, step) for number, step in enumerate(steps[:LONGEST], start=1))


def step_text(step: Step, passport: CellPassport) -> str:
    """One step in words."""
    ends = [
        f"{value * scale:.4g} {unit}"
        for value, scale, unit in (
            (step.duration, 1.0, "s"),
            (step.until_voltage, 1.0, "V"),
            (step.until_current, 1e3, "mA"),
            (step.until_charge, 1.0, "mAh"),
            (step.until_voltage_rate, 1e3, "mV/h"),
            (step.until_current_rate, 1e3, "mA/h"),
        )
        if value is not None
    ]
    what = f"{step.type}{_set_point(step, passport)}"
    return f"{what}, {' or '.join(ends)}" if ends else what


def _set_point(step: Step, passport: CellPassport) -> str:
    if step.type is StepType.CONSTANT_CURRENT and step.current is not None:
        return f" {step.current * 1e3:.4g} mA ({passport.c_rate_from_current(step.current):.3g} C)"
    if step.type is StepType.CURRENT_RAMP:
        return f" {(step.current or 0) * 1e3:.4g} to {(step.current_end or 0) * 1e3:.4g} mA"
    if step.type is StepType.VOLTAGE_SCAN:
        return f" {step.voltage:.4g} to {step.voltage_end:.4g} V"
    if step.type is StepType.CONSTANT_VOLTAGE:
        return f" {step.voltage:.4g} V"
    if step.type is StepType.CONSTANT_RESISTANCE:
        return f" {step.resistance:.4g} ohm"
    if step.type is StepType.IMPEDANCE:
        return f" {step.frequency_start:.4g} to {step.frequency_end:.4g} Hz"
    return "" if step.temperature is None else f" {step.temperature:.4g} degC"
