"""This file is where the techniques of the simulated cycler are read from their parameters.

Meanings are those of BioLogic's developer package. Exit condition 0 goes to the next step, 1 to the
next technique, 2 stops. The configuration of a test holds active (bit 0), AND with the next test
instead of OR (bit 1), >= instead of <= (bit 2) and the variable (bits 5 up: 0 voltage, 3 current,
signed); a test counts only if those before it are active. A step whose time is over always goes to
the next one. LOOP goes back to technique PROT (0 is the first) NLOOP times. CV goes from the first
of its five vertices to the second, third and fourth, does that NCYCLES times more, and goes to the
fifth. PEIS holds a voltage and measures at one frequency after the other.

What is not imitated: auxiliary inputs in tests, current and voltage ranges (only an overflow is
flagged), bandwidth, XCTR, changing parameters of a running technique, techniques not named here.
"""

import math
from collections.abc import Mapping, Sequence

from battbeam.sim.parameters import (
    CURRENT_RANGES,
    N_INSTANCES,
    TECHNIQUES,
    Parameters,
    Value,
    array,
    at_least_zero,
    whole,
)
from battbeam.sim.sweeps import impedance_steps, scan_steps
from battbeam.sim.technique import Exit, LimitTest, Step, Technique


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
        n_loops = whole(name, "NLOOP", given, 0)
        return Technique(name, n_loops=n_loops, target=whole(name, "PROT", given, 0))
    if name == "OCV":
        steps: tuple[Step, ...] = (
            Step("rest", 0.0, is_relative=False, duration=at_least_zero(name, "RTT", given)),
        )
        n_repeats = 0
    elif name in ("CV", "PEIS"):
        steps = scan_steps(given) if name == "CV" else impedance_steps(given)
        n_repeats = 0
    else:
        steps = _read_steps(name, given)
        n_repeats = whole(name, "NCYCLES", given, 0)
    return Technique(
        name,
        steps,
        n_repeats,
        record_interval=(at_least_zero(name, "REDT", given) if "REDT" in given else 0) or math.inf,
        record_voltage=(at_least_zero(name, "REDE", given) if "REDE" in given else 0) or math.inf,
        record_current=(at_least_zero(name, "REDI", given) if "REDI" in given else 0) or math.inf,
        current_range=CURRENT_RANGES.get(whole(name, "IRANGE", given, 0), math.inf),
    )


def _read_steps(name: str, given: Mapping[str, Value]) -> tuple[Step, ...]:
    value_name = "ISTEP" if name in ("CP", "CPLIMIT") else "VSTEP"
    n_steps = whole(name, "STEPN", given, 0) + 1
    values = array(name, value_name, given, n_steps, None)
    durations = array(name, "DURSTEP", given, n_steps, None)
    relative = array(name, "VSINIT", given, n_steps, 0.0)
    has_tests = "EXITCOND" in given
    exits = array(name, "EXITCOND", given, n_steps, 0.0) if has_tests else [0.0] * n_steps
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
        configuration = int(array(name, f"TEST{number}CONF", given, n_steps, 0.0)[step])
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
                value=array(name, f"TEST{number}VAL", given, n_steps, 0.0)[step],
                joins_by_and=bool(configuration & 2),
            )
        )
    return tuple(tests)
