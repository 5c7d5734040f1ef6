"""This file is where every fault of a protocol is found and put into words."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aurora_unicycler import (  # type: ignore[import-untyped]
    ConstantCurrent,
    ConstantVoltage,
    CyclingProtocol,
    ImpedanceSpectroscopy,
    Loop,
    OpenCircuitVoltage,
    Tag,
    VoltageScan,
)
from aurora_unicycler import Step as UnicyclerStep
from pydantic import ValidationError

from battbeam.experiment.cell import CellPassport, Window

_KINDS: Mapping[str, type[UnicyclerStep]] = {
    "open_circuit_voltage": OpenCircuitVoltage,
    "constant_current": ConstantCurrent,
    "constant_voltage": ConstantVoltage,
    "impedance_spectroscopy": ImpedanceSpectroscopy,
    "voltage_scan": VoltageScan,
    "loop": Loop,
    "tag": Tag,
}
_UNSUPPORTED = ("impedance_spectroscopy", "voltage_scan")
#: Relative difference between the protocol's own capacity and the passport's that is let pass
#: (rounding).
_CAPACITY_TOLERANCE = 0.01


def protocol_faults(
    document: Mapping[str, Any], passport: CellPassport, window: Window
) -> list[str]:
    """Every fault of a protocol for a cell, one sentence each, within the window that counts."""
    steps, faults = parsed_steps(document)
    for index, step in enumerate(steps):
        faults += [
            f"step {index} ({_kind(step)}): {fault}"
            for fault in _step_faults(step, passport, window)
        ]
    faults += _loop_faults(steps)
    faults += _header_faults(document, passport)
    if not any(
        isinstance(step, OpenCircuitVoltage | ConstantCurrent | ConstantVoltage) for step in steps
    ):
        faults.append(
            "method holds no step that does anything: give a rest, a current or a voltage"
        )
    return faults


def parsed_steps(document: Mapping[str, Any]) -> tuple[list[UnicyclerStep], list[str]]:
    """The steps of the method, a bare `Step` where one cannot be read, and what is wrong."""
    method = document.get("method")
    if not isinstance(method, Sequence) or isinstance(method, str):
        return [], [
            'method is missing: a list of steps, for example [{"step": "open_circuit_voltage",'
            ' "until_time_s": 60}]'
        ]
    steps, faults = [], []
    for index, entry in enumerate(method):
        step, found = _parsed_step(entry)
        steps.append(step)
        faults += [f"step {index}: {fault}" for fault in found]
    return steps, faults


def _parsed_step(entry: object) -> tuple[UnicyclerStep, list[str]]:
    if not isinstance(entry, Mapping) or not entry.get("step"):
        return UnicyclerStep(), [f"needs a 'step' type, one of {', '.join(_KINDS)}"]
    kind = str(entry["step"])
    if kind in _UNSUPPORTED:
        return UnicyclerStep(), [
            f"{kind} is not supported yet: rest, constant current and constant voltage are"
        ]
    if kind not in _KINDS:
        return UnicyclerStep(), [f"unknown step type {kind!r}; known: {', '.join(_KINDS)}"]
    try:
        return _KINDS[kind].model_validate(dict(entry)), []
    except ValidationError as error:
        return UnicyclerStep(), [f"{kind}: {_sentence(dict(fault))}" for fault in error.errors()]
    except (TypeError, ArithmeticError) as error:
        # Unicycler's own reading of a C-rate lets these through, as for "C/0".
        return UnicyclerStep(), [f"{kind}: {error}, got {dict(entry)}"]


def _sentence(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}, got {fault['input']!r}" if place else message


def _kind(step: UnicyclerStep) -> str:
    return str(getattr(step, "step", "?"))


def _step_faults(step: UnicyclerStep, passport: CellPassport, window: Window) -> list[str]:
    numbers = {name: value for name, value in vars(step).items() if isinstance(value, float)}
    faults = [
        f"{name} must be finite, got {value}"
        for name, value in numbers.items()
        if not math.isfinite(value)
    ]
    if faults:
        return faults
    duration = numbers.get("until_time_s")
    if duration is not None and duration < 0:
        faults.append(f"until_time_s must be positive, got {duration} s")
    if isinstance(step, ConstantCurrent):
        current = (
            passport.current_from_c_rate(step.rate_C)
            if step.rate_C
            else (step.current_mA or 0.0) * 1e-3
        )
        faults += _current_faults(current, window)
        faults += _voltage_faults("until_voltage_V", step.until_voltage_V, window)
    if isinstance(step, ConstantVoltage):
        faults += _voltage_faults("voltage_V", step.voltage_V, window)
    return faults


def _current_faults(current: float, window: Window) -> list[str]:
    if abs(current) <= window.current_max:
        return []
    return [
        f"current {current * 1e3:.4g} mA is beyond the largest allowed,"
        f" {window.current_max * 1e3:.4g} mA"
    ]


def _voltage_faults(name: str, voltage: float | None, window: Window) -> list[str]:
    if voltage is None or window.voltage_min <= voltage <= window.voltage_max:
        return []
    return [
        f"{name} {voltage:.4g} V is outside the cell's window,"
        f" {window.voltage_min:.4g} to {window.voltage_max:.4g} V"
    ]


def targets_of_loops(method: Sequence[UnicyclerStep]) -> dict[int, int]:
    """Where each loop goes back to, by the loop's own index; without those that go nowhere."""
    tags = {step.tag: index for index, step in enumerate(method) if isinstance(step, Tag)}
    found = {}
    for index, step in enumerate(method):
        if isinstance(step, Loop):
            target = tags.get(step.loop_to) if isinstance(step.loop_to, str) else step.loop_to - 1
            if target is not None and target < index:
                found[index] = target
    return found


def _loop_faults(steps: Sequence[UnicyclerStep]) -> list[str]:
    tags = [step.tag for step in steps if isinstance(step, Tag)]
    faults = [
        f"tag {tag!r} stands {tags.count(tag)} times"
        for tag in dict.fromkeys(tags)
        if tags.count(tag) > 1
    ]
    targets = targets_of_loops(steps)
    for index, step in enumerate(steps):
        if not isinstance(step, Loop):
            continue
        if isinstance(step.loop_to, str) and step.loop_to not in tags:
            faults.append(
                f"step {index} (loop): there is no tag {step.loop_to!r};"
                f" tags: {', '.join(tags) or 'none'}"
            )
        elif index not in targets or all(
            isinstance(inner, Tag | Loop) for inner in steps[targets[index] : index]
        ):
            faults.append(
                f"step {index} (loop): goes nowhere; it must go back over at least one step,"
                f" got loop_to {step.loop_to!r}"
            )
    return faults


def _header_faults(document: Mapping[str, Any], passport: CellPassport) -> list[str]:
    """Faults outside the method: unicycler's own, and what is not supported."""
    rest = {"step": "open_circuit_voltage", "until_time_s": 1}
    faults = []
    try:
        model = CyclingProtocol.from_dict({**copy.deepcopy(dict(document)), "method": [rest]})
    except ValidationError as error:
        return [_sentence(dict(fault)) for fault in error.errors()]
    capacity = model.sample.capacity_mAh
    if capacity is not None and abs(capacity / passport.nominal_capacity - 1) > _CAPACITY_TOLERANCE:
        faults.append(
            f"sample.capacity_mAh {capacity:.4g} is not the passport's nominal capacity,"
            f" {passport.nominal_capacity:.4g} mAh, by which C-rates count:"
            " leave it out, or correct one of the two"
        )
    for name in ("delay_s", "max_capacity_mAh"):
        if getattr(model.safety, name):
            faults.append(
                f"safety.{name} is not supported yet: leave it out (the other limits act at once)"
            )
    return faults
