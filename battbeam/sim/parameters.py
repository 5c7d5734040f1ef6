"""This file is where the parameters of the simulated cycler's techniques are listed.

Names, sizes and defaults are those of the database of ISISComputingGroup/EPICS-ECLab. Two defaults
differ, on purpose: REDT is the record interval of the scenario, and recording by change (REDE,
REDI) is off until asked for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "floats", "integer", "integers", "boolean", "booleans"]
Value = float | Sequence[float]
#: Values by technique, instance and parameter.
Parameters = Mapping[tuple[str, int, str], Value]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a technique.

    Attributes:
        kind: Of its PV.
        default: Value, or the one element of an array, until it is put.
        n_most: Longest array.
        unit: Of the value.
        doc: What it is.
    """

    kind: Kind
    default: float
    n_most: int
    unit: str
    doc: str


def _settings(changes: str, unit: str, time_base: float) -> dict[str, Parameter]:
    return {
        "REDT": Parameter("float", 10.0, 1, "s", "record every dT; 0 is off"),
        changes: Parameter("float", 0.0, 1, unit, f"record every d{changes[-1]}; 0 is off"),
        "TB": Parameter("float", time_base, 1, "s", "time base"),
        "IRANGE": Parameter("integer", 8, 1, "", "current range; 7, 8, 9 are 1, 10, 100 mA"),
        "ERANGE": Parameter("integer", 3, 1, "", "voltage range"),
        "BW": Parameter("integer", 5, 1, "", "bandwidth"),
        "XCTR": Parameter("integer", 0, 1, "", "further columns"),
    }


def _steps(value: str, unit: str, n_most: int) -> dict[str, Parameter]:
    return {
        value: Parameter("floats", 0.0, n_most, unit, "value of each step"),
        "DURSTEP": Parameter("floats", 0.0, n_most, "s", "duration of each step"),
        "VSINIT": Parameter("booleans", 0, n_most, "", "each step against the initial value"),
        "STEPN": Parameter("integer", 1, 1, "", "number of steps minus 1"),
        "NCYCLES": Parameter("integer", 0, 1, "", "number of times repeated"),
    }


def _tests(n_most: int) -> dict[str, Parameter]:
    tests = {"EXITCOND": Parameter("integers", 0, n_most, "", "exit condition of each step")}
    for number in (1, 2, 3):
        tests[f"TEST{number}CONF"] = Parameter("integers", 0, n_most, "", f"test {number}")
        tests[f"TEST{number}VAL"] = Parameter("floats", 0.0, n_most, "", f"value of test {number}")
    return tests


def _scan() -> dict[str, Parameter]:
    return {
        "VSTEP": Parameter("floats", 0.0, 5, "V", "vertices: start, first, second, start, final"),
        "SCANRATE": Parameter("floats", 1.0, 5, "mV/s", "of the way to each vertex"),
        "VSINIT": Parameter("booleans", 0, 5, "", "each vertex against the initial value"),
        "SNUM": Parameter("integer", 2, 1, "", "scan number; always 2"),
        "NCYCLES": Parameter("integer", 0, 1, "", "number of times the first three ways repeat"),
        "REDE": Parameter("float", 0.01, 1, "V", "record every dE"),
        "ADE": Parameter("boolean", 0, 1, "", "average over dE"),
        "BMI": Parameter("float", 0.0, 1, "", "where in dE the averaging begins"),
        "EMI": Parameter("float", 0.0, 1, "", "where in dE the averaging ends"),
        "TB": Parameter("float", 45e-6, 1, "s", "time base"),
        "IRANGE": Parameter("integer", 12, 1, "", "current range"),
        "ERANGE": Parameter("integer", 3, 1, "", "voltage range"),
        "BW": Parameter("integer", 5, 1, "", "bandwidth"),
        "XCTR": Parameter("integer", 0, 1, "", "further columns"),
    }


def _impedance() -> dict[str, Parameter]:
    return {
        "VSINIT": Parameter("boolean", 0, 1, "", "voltage against the initial value"),
        "VSFINAL": Parameter("boolean", 0, 1, "", "final voltage against the initial value"),
        "IVSTEP": Parameter("float", 0.0, 1, "V", "voltage about which is modulated"),
        "FVSTEP": Parameter("float", 0.0, 1, "V", "the same of the last of several steps"),
        "DURSTEP": Parameter("float", 0.0, 1, "s", "wait at the voltage before the spectrum"),
        "STEPN": Parameter("integer", 0, 1, "", "number of voltage steps"),
        "REDT": Parameter("float", 10.0, 1, "s", "record every dT; 0 is off"),
        "REDI": Parameter("float", 0.0, 1, "A", "record every dI; 0 is off"),
        "INIFREQ": Parameter("float", 1e4, 1, "Hz", "first frequency"),
        "FINFREQ": Parameter("float", 1.0, 1, "Hz", "last frequency"),
        "NFREQ": Parameter("integer", 1, 1, "", "number of frequencies"),
        "SWEEP": Parameter("boolean", 0, 1, "", "1 linear, 0 logarithmic"),
        "AMPV": Parameter("float", 0.01, 1, "V", "amplitude of the sine"),
        "NAVRG": Parameter("integer", 1, 1, "", "repeats at each frequency"),
        "CORR": Parameter("boolean", 0, 1, "", "correction of drift"),
        "WFS": Parameter("float", 0.0, 1, "", "periods waited before each frequency"),
        "TB": Parameter("float", 24e-6, 1, "s", "time base"),
        "IRANGE": Parameter("integer", 8, 1, "", "current range"),
        "ERANGE": Parameter("integer", 3, 1, "", "voltage range"),
        "BW": Parameter("integer", 5, 1, "", "bandwidth"),
    }


#: Parameters of each technique.
TECHNIQUES: Mapping[str, Mapping[str, Parameter]] = {
    "OCV": {
        "RTT": Parameter("float", 1.0, 1, "s", "rest duration"),
        **_settings("REDE", "V", 20e-6),
    },
    "CP": {**_steps("ISTEP", "A", 100), **_settings("REDE", "V", 25e-6)},
    "CA": {**_steps("VSTEP", "V", 100), **_settings("REDI", "A", 25e-6)},
    "CPLIMIT": {**_steps("ISTEP", "A", 20), **_settings("REDE", "V", 40e-6), **_tests(20)},
    "CALIMIT": {**_steps("VSTEP", "V", 20), **_settings("REDI", "A", 40e-6), **_tests(20)},
    "CV": _scan(),
    "PEIS": _impedance(),
    "LOOP": {
        "NLOOP": Parameter("integer", 0, 1, "", "how often to go back"),
        "PROT": Parameter("integer", 0, 1, "", "index of the technique to go back to"),
    },
}
#: How often each may stand in one list: the database declares so many instances.
N_INSTANCES: Mapping[str, int] = {name: 2 if name == "OCV" else 1 for name in TECHNIQUES}
#: Identifiers of BioLogic's developer package, as TECHID shows them.
TECHNIQUE_IDS: Mapping[str, int] = {
    "OCV": 100,
    "CA": 101,
    "CP": 102,
    "CV": 103,
    "PEIS": 104,
    "LOOP": 150,
    "CPLIMIT": 155,
    "CALIMIT": 157,
}
#: Largest current of each range that matters to a coin cell, A.
CURRENT_RANGES: Mapping[int, float] = {6: 1e-4, 7: 1e-3, 8: 1e-2, 9: 1e-1, 10: 1.0}


def array(
    name: str, parameter: str, given: Mapping[str, Value], n_steps: int, missing: float | None
) -> list[float]:
    """The first ``n_steps`` values of an array; ``missing`` stands for those that were not put.

    Raises:
        ValueError: If there are too few, too many, or some are no numbers.
    """
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


def at_least_zero(name: str, parameter: str, given: Mapping[str, Value]) -> float:
    """A number from 0 up.

    Raises:
        ValueError: If it is none.
    """
    value = given[parameter]
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}: {parameter} must be a number from 0 up, got {value}")
    return float(value)


def whole(name: str, parameter: str, given: Mapping[str, Value], least: int) -> int:
    """A whole number from ``least`` up.

    Raises:
        ValueError: If it is none.
    """
    value = given[parameter]
    if not isinstance(value, int | float) or value != int(value) or value < least:
        raise ValueError(f"{name}: {parameter} must be a whole number from {least} up, got {value}")
    return int(value)
