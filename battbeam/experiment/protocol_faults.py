"""This file is where every fault of a protocol is found and put into words."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aurora_unicycler import CyclingProtocol, Loop, SafetyParams, Tag  # type: ignore[import-untyped]
from aurora_unicycler import Step as UnicyclerStep
from pydantic import ValidationError

from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.protocol_compile import MAX_STEPS, is_too_long, targets_of_loops
from battbeam.experiment.protocol_presets import PRESETS
from battbeam.experiment.protocol_step_faults import does_something, step_faults
from battbeam.experiment.protocol_steps import PRIMITIVES, STEERING

#: Every step that a method may hold, by its name.
KINDS: Mapping[str, type[Any]] = {**PRIMITIVES, **PRESETS, **STEERING}
#: Relative difference between the protocol's own capacity and the passport's that is let pass
#: (rounding).
_CAPACITY_TOLERANCE = 0.01
_REST = {"step": "open_circuit_voltage", "until_time_s": 1}


def protocol_faults(
    document: Mapping[str, Any], passport: CellPassport, window: Window
) -> list[str]:
    """Every fault of a protocol for a cell, one sentence each, within the window that counts."""
    steps, faults = parsed_steps(document)
    model, header = header_of(document)
    safety = SafetyParams() if model is None else model.safety
    header += [] if model is None else _header_faults(model, passport)
    inside = window.within(safety_window(safety))
    for index, step in enumerate(steps):
        faults += [
            f"step {index} ({_kind(step)}): {fault}"
            for fault in step_faults(step, passport, inside, signed_currents(safety))
        ]
    faults += _loop_faults(steps)
    faults += header
    if not any(does_something(step) for step in steps):
        faults.append(
            "method holds no step that does anything: give a rest, a current or a voltage"
        )
    if not faults and is_too_long(steps):
        faults.append(f"loops unroll to more than {MAX_STEPS} steps: correct a cycle_count")
    return faults


def parsed_steps(document: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The steps of the method, a bare unicycler `Step` where one cannot be read, and what is
    wrong.
    """
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


def _parsed_step(entry: object) -> tuple[Any, list[str]]:
    if not isinstance(entry, Mapping) or not entry.get("step"):
        return UnicyclerStep(), [f"needs a 'step' type, one of {', '.join(KINDS)}"]
    kind = str(entry["step"])
    if kind not in KINDS:
        return UnicyclerStep(), [f"unknown step type {kind!r}; known: {', '.join(KINDS)}"]
    try:
        return KINDS[kind].model_validate(dict(entry)), []
    except ValidationError as error:
        return UnicyclerStep(), [f"{kind}: {_sentence(dict(fault))}" for fault in error.errors()]
    except (TypeError, ArithmeticError) as error:
        # Unicycler's own reading of a C-rate lets these through, as for "C/0".
        return UnicyclerStep(), [f"{kind}: {error}, got {dict(entry)}"]


def _sentence(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}, got {fault['input']!r}" if place else message


def _kind(step: Any) -> str:
    return str(getattr(step, "step", "?"))


def header_of(document: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """All but the method, as unicycler's own object; None and what is wrong if it cannot be read."""
    try:
        header = {**copy.deepcopy(dict(document)), "method": [_REST]}
        return CyclingProtocol.from_dict(header), []
    except ValidationError as error:
        return None, [_sentence(dict(fault)) for fault in error.errors()]


def safety_window(safety: Any) -> Window:
    """What a protocol's own safety allows, A and V; infinite where it says nothing."""
    limits = (safety.max_current_mA, safety.min_current_mA)
    currents = [abs(limit) * 1e-3 for limit in limits if limit is not None]
    return Window(
        -math.inf if safety.min_voltage_V is None else safety.min_voltage_V,
        math.inf if safety.max_voltage_V is None else safety.max_voltage_V,
        max(currents, default=math.inf),
    )


def signed_currents(safety: Any) -> tuple[float, float]:
    """A, lowest and highest current that a protocol's own safety allows."""
    low, high = safety.min_current_mA, safety.max_current_mA
    return (
        -math.inf if low is None else low * 1e-3,
        math.inf if high is None else high * 1e-3,
    )


def _loop_faults(steps: Sequence[Any]) -> list[str]:
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
    return faults + _crossing_loops(targets)


def _crossing_loops(targets: Mapping[int, int]) -> list[str]:
    """Loops of which neither lies in the other: no cycler can run them."""
    return [
        f"step {second} (loop): crosses the loop of step {first}: it must go back to before step"
        f" {targets[first]} or to after step {first}, got step {targets[second]}"
        for second in targets
        for first in targets
        if targets[first] < targets[second] <= first < second
    ]


def _header_faults(model: Any, passport: CellPassport) -> list[str]:
    """Faults outside the method, besides unicycler's own."""
    faults = []
    capacity = model.sample.capacity_mAh
    if capacity is not None and not (
        abs(capacity / passport.nominal_capacity - 1) <= _CAPACITY_TOLERANCE
    ):
        faults.append(
            f"sample.capacity_mAh {capacity:.4g} is not the passport's nominal capacity,"
            f" {passport.nominal_capacity:.4g} mAh, by which C-rates count:"
            " leave it out, or correct one of the two"
        )
    for part in ("safety", "record"):
        faults += [
            f"{part}.{name} must be finite, got {value}"
            for name, value in vars(getattr(model, part)).items()
            if value is not None and not math.isfinite(value)
        ]
    return faults
