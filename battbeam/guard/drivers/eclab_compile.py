"""This file is where steps become technique lists of a BioLogic potentiostat, as EPICS-ECLab names
them.

Constant currents go to CPLIMIT and constant voltages to CALIMIT (20 steps with three tests each),
rests to OCV, scans to CV (four ways), spectra to PEIS. A load and a ramp are staircases of constant
currents and fill a CPLIMIT alone. Its database declares one of each and two OCV, so a protocol is
divided into segments that one list can hold. Loops come unrolled.

Tests and exits: EC-Lab Development Package manual, sections on CPLIMIT and CALIMIT. A test's
configuration holds active (bit 0), AND (bit 1), "greater" (bit 2), and the variable from bit 5 (0
voltage, 3 current, signed). Exit 0 goes to the next step, 1 to the next technique, 2 stops. A
duration that is over always goes to the next step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.driver import Segment
from battbeam.guard.drivers.eclab_listing import N_STEPS, listing
from battbeam.guard.drivers.staircase import N_STAIRS, Rung, ladder, stairs
from battbeam.guard.endings import BACKSTOP, is_watched

Value = float | int | list[float] | list[int]

#: s of a step that ends by voltage or current alone: 115 days, and whole in single precision.
NO_DURATION = 1e7
#: Changes that never make a record, V and A: 0 would make one at every time base.
NEVER = {"REDE": 100.0, "REDI": 100.0}
#: V between two records of a scan: never fewer, never more.
SCAN_RECORDS = (1e-4, 1e-2)
#: Periods waited before each frequency of a spectrum.
WAIT_PERIODS = 1.0
#: Hz that the instrument can modulate with.
FREQUENCIES = (1e-5, 1e6)
#: Current ranges of the instrument by their largest current, A (`I_RANGE` of the package).
CURRENT_RANGES = ((1e-5, 5), (1e-4, 6), (1e-3, 7), (1e-2, 8), (1e-1, 9), (1.0, 10))

_ACTIVE, _AND, _ABOVE, _CURRENT = 1, 2, 4, 3 << 5
_NEXT_STEP, _NEXT_TECHNIQUE, _STOP = 0, 1, 2
_NO_TEST = (0, 0.0)
Test = tuple[int, float]


def faults(steps: Sequence[Step], *, has_impedance: bool = True) -> list[str]:
    """Every reason why the instrument cannot run these steps, each said once.

    Args:
        steps: Of a protocol.
        has_impedance: Whether the channel can measure spectra of impedance.
    """
    found = [
        f"step {step.index} ({step.type}): {fault}"
        for step in steps
        for fault in _step_faults(step, has_impedance=has_impedance)
    ]
    return list(dict.fromkeys(found))


def _step_faults(step: Step, *, has_impedance: bool) -> list[str]:
    if step.type is StepType.VOLTAGE_SCAN and not (step.scan_rate and step.scan_rate > 0):
        return [f"scan_rate must be above 0 V/s, got {step.scan_rate}"]
    if step.type is StepType.VOLTAGE_SCAN and step.voltage_end is None:
        return ["voltage_end is missing: say where the scan ends, V"]
    if step.type is StepType.CURRENT_RAMP and not step.duration:
        return ["duration is missing: say how long the ramp takes, s"]
    if step.type is StepType.CONSTANT_RESISTANCE and not (step.resistance and step.resistance > 0):
        return [f"resistance must be above 0 ohm, got {step.resistance}"]
    if step.type is not StepType.IMPEDANCE:
        return []
    if not has_impedance:
        return [
            "this channel cannot measure impedance: leave the step out, or take another channel"
        ]
    low, high = FREQUENCIES
    found = [
        f"frequency {frequency} Hz is outside the instrument's {low:g} to {high:g} Hz"
        for frequency in (step.frequency_start, step.frequency_end)
        if frequency is None or not low <= frequency <= high
    ]
    if not step.amplitude:
        found.append(
            "this instrument measures impedance with a voltage: give its amplitude in V, not in A"
        )
    return found


def technique_names(segment: Segment) -> str:
    """What LOADTECH takes."""
    held = listing(segment.steps)
    names = [technique.name.lower() for technique in held.techniques]
    return ",".join(names + ["loop"] * (held.n_blocks > 1))


def parameters(segment: Segment) -> dict[str, Value]:
    """Values by what follows ``C<channel>:T:`` in the PV's name, without ``:SP``."""
    values: dict[str, Value] = {}
    held = listing(segment.steps)
    if held.n_blocks > 1:
        values |= {"LOOP:0:NLOOP": held.n_blocks - 1, "LOOP:0:PROT": 0}
    for technique in held.techniques:
        made = {
            "OCV": _rest_parameters,
            "CPLIMIT": _current_parameters,
            "CALIMIT": _voltage_parameters,
            "CV": _scan_parameters,
            "PEIS": _spectrum_parameters,
        }[technique.name](technique.steps, segment)
        prefix = f"{technique.name}:{technique.instance}:"
        values |= {prefix + name: value for name, value in made.items()}
    return values


def is_partial(segment: Segment) -> bool:
    """Whether the list ends before its one step does, and has to be followed by another."""
    step = segment.steps[0]
    is_load = step.type is StepType.CONSTANT_RESISTANCE
    return is_load and len(_rungs(step, segment)) > N_STAIRS


@dataclass(frozen=True)
class _Setting:
    """One step of CPLIMIT or CALIMIT: A or V, s, tests, and the way out when they hold."""

    value: float
    duration: float
    tests: Sequence[Test]
    way: int


def _longest(step: Step) -> float:
    return step.duration or (BACKSTOP if is_watched(step) else NO_DURATION)


def _rest_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    return {
        "RTT": _longest(steps[0]),
        "REDT": segment.record_interval,
        "REDE": segment.record_voltage or NEVER["REDE"],
    }


def _current_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    settings = [setting for step in steps for setting in _currents(step, segment)]
    return {
        "ISTEP": [setting.value for setting in settings],
        "REDT": segment.record_interval,
        "REDE": segment.record_voltage or NEVER["REDE"],
        "IRANGE": _current_range(max(abs(setting.value) for setting in settings)),
        **_step_parameters(settings),
    }


def _voltage_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    settings = [
        _Setting(step.voltage or 0.0, _longest(step), *_tests_of_voltage(step, segment))
        for step in steps
    ]
    return {
        "VSTEP": [setting.value for setting in settings],
        "REDT": segment.record_interval,
        "REDI": segment.record_current or NEVER["REDI"],
        "IRANGE": _current_range(segment.window.current_max),
        **_step_parameters(settings),
    }


def _scan_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    """Up to four ways between five vertices; ways that are not needed have no length."""
    rates = [1e3 * (step.scan_rate or 0.0) for step in steps]
    vertices = [steps[0].voltage or 0.0] + [step.voltage_end or 0.0 for step in steps]
    fewest, most = SCAN_RECORDS
    change = max(step.scan_rate or 0.0 for step in steps) * segment.record_interval
    padding = N_STEPS["CV"] - len(steps)
    return {
        "VSTEP": vertices + vertices[-1:] * padding,
        "SCANRATE": rates[:1] + rates + rates[-1:] * padding,
        "VSINIT": [int(steps[0].voltage is None)] + [0] * N_STEPS["CV"],
        "SNUM": 2,
        "NCYCLES": 0,
        "REDE": segment.record_voltage or min(max(change, fewest), most),
        "IRANGE": _current_range(segment.window.current_max),
    }


def _spectrum_parameters(steps: Sequence[Step], segment: Segment) -> dict[str, Value]:
    step = steps[0]
    start, end = step.frequency_start or 0.0, step.frequency_end or 0.0
    n_points = round((step.points_per_decade or 1) * abs(math.log10(end / start))) + 1
    return {
        "VSINIT": int(step.voltage is None),
        "IVSTEP": step.voltage or 0.0,
        "DURSTEP": 0.0,
        "STEPN": 0,
        "REDT": segment.record_interval,
        "REDI": segment.record_current or NEVER["REDI"],
        "INIFREQ": start,
        "FINFREQ": end,
        "NFREQ": n_points,
        "SWEEP": 0,
        "AMPV": step.amplitude or 0.0,
        "NAVRG": step.measures_per_point or 1,
        "WFS": WAIT_PERIODS,
        "IRANGE": _current_range(segment.window.current_max),
    }


def _step_parameters(settings: Sequence[_Setting]) -> dict[str, Value]:
    values: dict[str, Value] = {
        "DURSTEP": [setting.duration for setting in settings],
        "VSINIT": [0] * len(settings),
        "STEPN": len(settings) - 1,
        "NCYCLES": 0,
        "EXITCOND": [setting.way for setting in settings],
    }
    for number in range(3):
        chosen = [(*each.tests, _NO_TEST, _NO_TEST, _NO_TEST)[number] for each in settings]
        values[f"TEST{number + 1}CONF"] = [configuration for configuration, _ in chosen]
        values[f"TEST{number + 1}VAL"] = [value for _, value in chosen]
    return values


def _currents(step: Step, segment: Segment) -> list[_Setting]:
    """The constant currents of which a step consists."""
    if step.type is StepType.CONSTANT_RESISTANCE:
        return _load_settings(step, segment)
    if step.type is StepType.CURRENT_RAMP:
        return _ramp_settings(step, segment)
    current = step.current or 0.0
    tests, way = _tests_of_current(current, step.until_voltage, segment)
    return [_Setting(current, _longest(step), tests, way)]


def _rungs(step: Step, segment: Segment) -> tuple[Rung, ...]:
    edge = segment.window.voltage_min
    until = edge if step.until_voltage is None else step.until_voltage
    voltage = segment.window.voltage_max if segment.voltage is None else segment.voltage
    return ladder(resistance=step.resistance or math.inf, voltage=voltage, until_voltage=until)


def _load_settings(step: Step, segment: Segment) -> list[_Setting]:
    rungs = _rungs(step, segment)
    return [
        _Setting(rung.current, _longest(step), [(_ACTIVE, rung.until_voltage)], _NEXT_STEP)
        for rung in rungs[:N_STAIRS]
    ]


def _ramp_settings(step: Step, segment: Segment) -> list[_Setting]:
    """At its voltage a ramp goes to the next technique: it fills its own."""
    start, end = step.current or 0.0, step.current_end or 0.0
    made = []
    for current in stairs(current=start, current_end=end):
        tests, way = _tests_of_current(current, None, segment)
        if step.until_voltage is not None:
            rises = (step.direction or start + end) >= 0
            tests = [(_ACTIVE | (_ABOVE if rises else 0), step.until_voltage)]
            way = _NEXT_TECHNIQUE
        made.append(_Setting(current, _longest(step) / N_STAIRS, tests, way))
    return made


def _tests_of_current(
    current: float, until_voltage: float | None, segment: Segment
) -> tuple[Sequence[Test], int]:
    """Where a constant current ends: at its own voltage, or by stopping at the window's edge."""
    charges = current > 0
    sign = _ABOVE if charges else 0
    if until_voltage is not None:
        return [(_ACTIVE | sign, until_voltage)], _NEXT_STEP
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
