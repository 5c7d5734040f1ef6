"""This file is where the techniques of the simulated cycler are read from their parameters.

Meanings are those of BioLogic's developer package. Exit condition 0 goes to the next step, 1 to the
next technique, 2 stops. The configuration of a test holds active (bit 0), AND with the next test
instead of OR (bit 1), >= instead of <= (bit 2) and the variable (bits 5 up: 0 voltage, 3 current,
signed); a test counts only if those before it are active. A step whose time is over always goes to
the next one. LOOP goes back to technique PROT (0 is the first) NLOOP times.

What is not imitated: auxiliary inputs in tests, current and voltage ranges (only an overflow is
flagged), bandwidth, XCTR, changing parameters of a running technique, techniques not named here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from battbeam.sim.parameters import CURRENT_RANGES, N_INSTANCES, TECHNIQUES, Parameters, Value


class Exit(IntEnum):
    """Where to go when a step's tests end it."""

    NEXT_STEP = 0
    NEXT_TECHNIQUE = 1
    STOP = 2


@dataclass(frozen=True)
class LimitTest:
    """One limit test.

    Attributes:
        variable: What is tested, V or A (signed).
        is_above: Whether it holds at and above the value; else at and below.
        value: V or A.
        joins_by_and: Whether this test and the next must hold both; else either.
    """

    variable: Literal["voltage", "current"]
    is_above: bool
    value: float
    joins_by_and: bool

    def holds(self, *, voltage: float, current: float) -> bool:
        """Whether it holds at these values."""
        value = voltage if self.variable == "voltage" else current
        return value >= self.value if self.is_above else value <= self.value


@dataclass(frozen=True)
class Step:
    """One step of a technique.

    Attributes:
        control: ``rest`` is an open circuit.
        value: A or V.
        is_relative: Whether the value counts from the one at the technique's start.
        duration: s of the cycler's clock.
        tests: Up to three.
        exit: Where to go when the tests end it.
    """

    control: Literal["rest", "current", "voltage"]
    value: float
    is_relative: bool
    duration: float
    tests: tuple[LimitTest, ...] = ()
    exit: Exit = Exit.NEXT_STEP

    def is_ended(self, *, voltage: float, current: float) -> bool:
        """Whether the tests, joined from the first to the last, end the step at these values."""
        if not self.tests:
            return False
        ended = self.tests[0].holds(voltage=voltage, current=current)
        for test, following in zip(self.tests, self.tests[1:], strict=False):
            holds = following.holds(voltage=voltage, current=current)
            ended = (ended and holds) if test.joins_by_and else (ended or holds)
        return ended


@dataclass(frozen=True)
class Technique:
    """One technique of a list, with its parameters.

    Attributes:
        name: As in `TECHNIQUES`.
        steps: None for LOOP.
        n_repeats: How often the steps are done again.
        record_interval: s of the cycler's clock; infinite when off.
        record_voltage: Change of voltage that makes a record, V; infinite when off.
        record_current: Change of current that makes a record, A; infinite when off.
        current_range: A.
        n_loops: LOOP only: how often it goes back.
        target: LOOP only: index of the technique it goes back to.
    """

    name: str
    steps: tuple[Step, ...] = ()
    n_repeats: int = 0
    record_interval: float = math.inf
    record_voltage: float = math.inf
    record_current: float = math.inf
    current_range: float = math.inf
    n_loops: int = 0
    target: int = 0


def technique_list(text: str, parameters: Parameters) -> tuple[Technique, ...]:
    """The techniques named in a list, separated by commas, semicolons or spaces, with the
    parameters put before.

    Raises:
        ValueError: If a name is not known, stands more often than there are instances, or its
            parameters make no sense.
    """
    names = [name.upper() for name in text.replace(",", " ").replace(";", " ").split()]
    if not names:
        raise ValueError("the list of techniques is empty")
    techniques: list[Technique] = []
    for position, name in enumerate(names):
        if name not in TECHNIQUES:
            raise ValueError(f"unknown technique {name!r}; known: {', '.join(TECHNIQUES)}")
        instance = names[:position].count(name)
        if instance >= N_INSTANCES[name]:
            raise ValueError(f"{name} stands more than {N_INSTANCES[name]} time(s) in {text!r}")
        given = {parameter: parameters[name, instance, parameter] for parameter in TECHNIQUES[name]}
        techniques.append(_technique(name, given))
    _check_loops(techniques)
    return tuple(techniques)


def _check_loops(techniques: Sequence[Technique]) -> None:
    for position, technique in enumerate(techniques):
        if technique.name != "LOOP":
            continue
        if not 0 <= technique.target < position:
            raise ValueError(
                f"LOOP at index {position} must go back to an earlier index, got {technique.target}"
            )
        if all(inside.name == "LOOP" for inside in techniques[technique.target : position]):
            raise ValueError(f"LOOP at index {position} goes back to no technique that takes time")


def _technique(name: str, given: Mapping[str, Value]) -> Technique:
    if name == "LOOP":
        n_loops = _whole(name, "NLOOP", given, 0)
        return Technique(name, n_loops=n_loops, target=_whole(name, "PROT", given, 0))
    if name == "OCV":
        steps: tuple[Step, ...] = (
            Step("rest", 0.0, is_relative=False, duration=_at_least_zero(name, "RTT", given)),
        )
        n_repeats = 0
    else:
        steps = _read_steps(name, given)
        n_repeats = _whole(name, "NCYCLES", given, 0)
    return Technique(
        name,
        steps,
        n_repeats,
        record_interval=_at_least_zero(name, "REDT", given) or math.inf,
        record_voltage=(_at_least_zero(name, "REDE", given) if "REDE" in given else 0) or math.inf,
        record_current=(_at_least_zero(name, "REDI", given) if "REDI" in given else 0) or math.inf,
        current_range=CURRENT_RANGES.get(_whole(name, "IRANGE", given, 0), math.inf),
    )


def _read_steps(name: str, given: Mapping[str, Value]) -> tuple[Step, ...]:
    value_name = "ISTEP" if name in ("CP", "CPLIMIT") else "VSTEP"
    n_steps = _whole(name, "STEPN", given, 0) + 1
    values = _array(name, value_name, given, n_steps, None)
    durations = _array(name, "DURSTEP", given, n_steps, None)
    relative = _array(name, "VSINIT", given, n_steps, 0.0)
    has_tests = "EXITCOND" in given
    exits = _array(name, "EXITCOND", given, n_steps, 0.0) if has_tests else [0.0] * n_steps
    if any(duration < 0 for duration in durations):
        raise ValueError(f"{name}: DURSTEP must not be negative, got {min(durations)} s")
    if any(code not in (0, 1, 2) for code in exits):
        raise ValueError(f"{name}: EXITCOND must be 0, 1 or 2, got {exits}")
    return tuple(
        Step(
            "current" if value_name == "ISTEP" else "voltage",
            values[step],
            bool(relative[step]),
            durations[step],
            _read_tests(name, given, step, n_steps) if has_tests else (),
            Exit(int(exits[step])),
        )
        for step in range(n_steps)
    )


def _read_tests(
    name: str, given: Mapping[str, Value], step: int, n_steps: int
) -> tuple[LimitTest, ...]:
    tests: list[LimitTest] = []
    for number in (1, 2, 3):
        configuration = int(_array(name, f"TEST{number}CONF", given, n_steps, 0.0)[step])
        if not configuration & 1:
            break
        variable = configuration >> 5
        if variable not in (0, 3):
            raise ValueError(
                f"{name}: TEST{number}CONF {configuration} of step {step}: variable {variable};"
                " only 0 (voltage) and 3 (current) are simulated"
            )
        tests.append(
            LimitTest(
                "current" if variable == 3 else "voltage",
                is_above=bool(configuration & 4),
                value=_array(name, f"TEST{number}VAL", given, n_steps, 0.0)[step],
                joins_by_and=bool(configuration & 2),
            )
        )
    return tuple(tests)


def _array(
    name: str, parameter: str, given: Mapping[str, Value], n_steps: int, missing: float | None
) -> list[float]:
    raw = given[parameter]
    values = [float(raw)] if isinstance(raw, int | float) else [float(value) for value in raw]
    n_most = TECHNIQUES[name][parameter].n_most
    if n_steps > n_most:
        raise ValueError(f"{name}: at most {n_most} steps, got STEPN {n_steps - 1}")
    if len(values) < n_steps and missing is None:
        raise ValueError(f"{name}: {parameter} holds {len(values)} value(s) for {n_steps} steps")
    values += [missing or 0.0] * (n_steps - len(values))
    if not all(math.isfinite(value) for value in values[:n_steps]):
        raise ValueError(f"{name}: {parameter} must be finite, got {values[:n_steps]}")
    return values[:n_steps]


def _at_least_zero(name: str, parameter: str, given: Mapping[str, Value]) -> float:
    value = given[parameter]
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}: {parameter} must be a number from 0 up, got {value}")
    return float(value)


def _whole(name: str, parameter: str, given: Mapping[str, Value], least: int) -> int:
    value = given[parameter]
    if not isinstance(value, int | float) or value != int(value) or value < least:
        raise ValueError(f"{name}: {parameter} must be a whole number from {least} up, got {value}")
    return int(value)
