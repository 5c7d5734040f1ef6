"""This file is where steps become technique lists of a BioLogic potentiostat, as EPICS-ECLab names
them.

Constant currents go to CPLIMIT and constant voltages to CALIMIT (20 steps with three tests each),
rests to OCV. Its database declares one CPLIMIT, one CALIMIT and two OCV, so a protocol is divided
into segments that one list can hold. Loops come unrolled.

Tests and exits: EC-Lab Development Package manual, sections on CPLIMIT and CALIMIT. A test's
configuration holds active (bit 0), AND (bit 1), "greater" (bit 2), and the variable from bit 5 (0
voltage, 3 current, signed). Exit 0 goes to the next step, 2 stops. A duration that is over always
goes to the next step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.driver import Segment

Value = float | int | list[float] | list[int]

TECHNIQUE_OF: Mapping[StepType, str] = {
    StepType.REST: "OCV",
    StepType.CONSTANT_CURRENT: "CPLIMIT",
    StepType.CONSTANT_VOLTAGE: "CALIMIT",
}
#: How often each may stand in a list, and how many steps each may hold.
N_INSTANCES: Mapping[str, int] = {"OCV": 2, "CPLIMIT": 1, "CALIMIT": 1}
N_STEPS: Mapping[str, int] = {"OCV": 1, "CPLIMIT": 20, "CALIMIT": 20}
#: s of a step that ends by voltage or current alone: 115 days, and whole in single precision.
NO_DURATION = 1e7
#: Changes that never make a record, V and A: 0 would make one at every time base.
NEVER = {"REDE": 100.0, "REDI": 100.0}
#: Current ranges of the instrument by their largest current, A (`I_RANGE` of the package).
CURRENT_RANGES = ((1e-5, 5), (1e-4, 6), (1e-3, 7), (1e-2, 8), (1e-1, 9), (1.0, 10))

_ACTIVE, _AND, _ABOVE, _CURRENT = 1, 2, 4, 3 << 5
_NEXT_STEP, _STOP = 0, 2
_NO_TEST = (0, 0.0)
Test = tuple[int, float]


@dataclass(frozen=True)
class Technique:
    """One technique of a list.

    Attributes:
        name: In capitals, as in the PV names.
        instance: How many of the same name stand before it.
        first: Position of its first step in the segment.
        steps: Its steps.
    """

    name: str
    instance: int
    first: int
    steps: tuple[Step, ...]


def techniques(steps: Sequence[Step]) -> tuple[Technique, ...]:
    """The longest technique list that begins with these steps and fits the instrument.

    >>> rest = Step(0, StepType.REST, duration=60.0)
    >>> [technique.instance for technique in techniques([rest, rest, rest])]
    [0, 1]
    """
    found: list[Technique] = []
    for position, step in enumerate(steps):
        name = TECHNIQUE_OF[step.type]
        last = found[-1] if found else None
        if last is not None and last.name == name and len(last.steps) < N_STEPS[name]:
            found[-1] = Technique(name, last.instance, last.first, (*last.steps, step))
            continue
        instance = sum(technique.name == name for technique in found)
        if instance >= N_INSTANCES[name]:
            break
        found.append(Technique(name, instance, position, (step,)))
    return tuple(found)


def faults(steps: Sequence[Step]) -> list[str]:
    """Every reason why the instrument cannot run these steps."""
    return [
        f"step {step.index} ({step.type}): this instrument has no technique for it"
        for step in steps
        if step.type not in TECHNIQUE_OF
    ]


def lengths(steps: Sequence[Step]) -> list[int]:
    """Into how many steps each the instrument's lists divide these steps."""
    edges = [0]
    while edges[-1] < len(steps):
        held = techniques(steps[edges[-1] :])
        edges.append(edges[-1] + sum(len(technique.steps) for technique in held))
    return [end - start for start, end in pairwise(edges)]


def technique_names(segment: Segment) -> str:
    """What LOADTECH takes."""
    return ",".join(technique.name.lower() for technique in techniques(segment.steps))


def parameters(segment: Segment) -> dict[str, Value]:
    """Values by what follows ``C<channel>:T:`` in the PV's name, without ``:SP``."""
    values: dict[str, Value] = {}
    for technique in techniques(segment.steps):
        made = {
            "OCV": _rest_parameters,
            "CPLIMIT": _current_parameters,
            "CALIMIT": _voltage_parameters,
        }[technique.name](technique.steps, segment)
        prefix = f"{technique.name}:{technique.instance}:"
        values |= {prefix + name: value for name, value in made.items()}
    return values


def _rest_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    return {
        "RTT": steps[0].duration or NO_DURATION,
        "REDT": segment.record_interval,
        "REDE": segment.record_voltage or NEVER["REDE"],
    }


def _current_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    tests = [_tests_of_current(step, segment) for step in steps]
    return {
        "ISTEP": [step.current or 0.0 for step in steps],
        "REDT": segment.record_interval,
        "REDE": segment.record_voltage or NEVER["REDE"],
        "IRANGE": _current_range(max(abs(step.current or 0.0) for step in steps)),
        **_step_parameters(steps, tests),
    }


def _voltage_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    tests = [_tests_of_voltage(step, segment) for step in steps]
    return {
        "VSTEP": [step.voltage or 0.0 for step in steps],
        "REDT": segment.record_interval,
        "REDI": segment.record_current or NEVER["REDI"],
        "IRANGE": _current_range(segment.window.current_max),
        **_step_parameters(steps, tests),
    }


def _step_parameters(
    steps: Sequence[Step], tests: Sequence[tuple[Sequence[Test], int]]
) -> dict[str, Value]:
    values: dict[str, Value] = {
        "DURSTEP": [step.duration or NO_DURATION for step in steps],
        "VSINIT": [0] * len(steps),
        "STEPN": len(steps) - 1,
        "NCYCLES": 0,
        "EXITCOND": [way for _, way in tests],
    }
    for number in range(3):
        chosen = [(*made, _NO_TEST, _NO_TEST, _NO_TEST)[number] for made, _ in tests]
        values[f"TEST{number + 1}CONF"] = [configuration for configuration, _ in chosen]
        values[f"TEST{number + 1}VAL"] = [value for _, value in chosen]
    return values


def _tests_of_current(step: Step, segment: Segment) -> tuple[Sequence[Test], int]:
    """Where a constant current ends: at its own voltage, or by stopping at the window's edge."""
    charges = (step.current or 0.0) > 0
    sign = _ABOVE if charges else 0
    if step.until_voltage is not None:
        return [(_ACTIVE | sign, step.until_voltage)], _NEXT_STEP
    edge = segment.window.voltage_max if charges else segment.window.voltage_min
    return [(_ACTIVE | sign, edge)], _STOP


def _tests_of_voltage(step: Step, segment: Segment) -> tuple[Sequence[Test], int]:
    """Where a constant voltage ends: at its own current, or by stopping at the largest allowed."""
    below, above = _ACTIVE | _CURRENT, _ACTIVE | _CURRENT | _ABOVE
    if (until := step.until_current) is None:
        most = segment.window.current_max
        return [(above, most), (below, -most)], _STOP
    if step.direction > 0:
        return [(below, until)], _NEXT_STEP
    if step.direction < 0:
        return [(above, -until)], _NEXT_STEP
    return [(below | _AND, until), (above | _AND, -until)], _NEXT_STEP


def _current_range(current: float) -> int:
    return next((code for most, code in CURRENT_RANGES if current <= most), CURRENT_RANGES[-1][1])
