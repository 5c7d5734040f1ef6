"""This file is where scans of the voltage (CV) and impedance spectra (PEIS) of the simulated cycler
are read from their parameters.

A CV goes from the first of five vertices to the second, third and fourth, does these three ways
NCYCLES times more, and goes to the fifth. A PEIS holds its voltage and measures at one frequency
after the other; each takes the periods waited and measured. Not imitated: several voltage steps of
a PEIS, the correction of drift, averaging over dE.
"""

import math
from collections.abc import Mapping

from battbeam.sim.parameters import Value, array, at_least_zero, whole
from battbeam.sim.technique import Step

#: Repeats of a CV and frequencies of a PEIS beyond which a list is refused.
MOST_REPEATS = 1000
MOST_FREQUENCIES = 1000


def scan_steps(given: Mapping[str, Value]) -> tuple[Step, ...]:
    """One step a way from vertex to vertex; ways of no length are left out.

    Raises:
        ValueError: If the parameters make no sense.
    """
    vertices = array("CV", "VSTEP", given, 5, None)
    relative = array("CV", "VSINIT", given, 5, 0.0)
    rates = array("CV", "SCANRATE", given, 5, None)
    n_repeats = whole("CV", "NCYCLES", given, 0)
    if whole("CV", "SNUM", given, 0) != 2:
        raise ValueError(f"CV: SNUM must be 2, got {given['SNUM']}")
    if min(rates) <= 0:
        raise ValueError(f"CV: SCANRATE must be above 0 mV/s, got {rates}")
    if n_repeats > MOST_REPEATS:
        raise ValueError(f"CV: at most {MOST_REPEATS} repeats, got NCYCLES {n_repeats}")
    steps = [
        Step(
            "scan",
            vertices[way],
            is_relative=bool(relative[way]),
            duration=math.inf,
            value_end=vertices[way + 1],
            ends_relative=bool(relative[way + 1]),
            rate=rates[way + 1] * 1e-3,
        )
        for way in (*(0, 1, 2) * (1 + n_repeats), 3)
    ]
    moving = [
        step
        for step in steps
        if step.value != step.value_end or step.is_relative != step.ends_relative
    ]
    if not moving:
        raise ValueError(f"CV: the vertices {vertices} are all one voltage")
    return tuple(moving)


def impedance_steps(given: Mapping[str, Value]) -> tuple[Step, ...]:
    """One step a frequency, at whose end the impedance is recorded.

    Raises:
        ValueError: If the parameters make no sense.
    """
    first, last = at_least_zero("PEIS", "INIFREQ", given), at_least_zero("PEIS", "FINFREQ", given)
    n_frequencies = whole("PEIS", "NFREQ", given, 1)
    n_periods = whole("PEIS", "NAVRG", given, 1) + at_least_zero("PEIS", "WFS", given)
    amplitude, wait = at_least_zero("PEIS", "AMPV", given), at_least_zero("PEIS", "DURSTEP", given)
    value = array("PEIS", "IVSTEP", given, 1, None)[0]
    if min(first, last) <= 0:
        raise ValueError(f"PEIS: frequencies must be above 0 Hz, got {first} and {last}")
    if n_frequencies > MOST_FREQUENCIES:
        raise ValueError(f"PEIS: at most {MOST_FREQUENCIES} frequencies, got {n_frequencies}")
    if amplitude <= 0:
        raise ValueError("PEIS: AMPV must be above 0 V")
    if whole("PEIS", "STEPN", given, 0) != 0:
        raise ValueError("PEIS: only one voltage step is simulated: STEPN must be 0")
    return tuple(
        Step(
            "voltage",
            value,
            is_relative=bool(given["VSINIT"]),
            duration=(wait if index == 0 else 0.0) + n_periods / frequency,
            frequency=frequency,
            amplitude=amplitude,
        )
        for index, frequency in enumerate(
            _frequencies(first, last, n_frequencies, is_linear=bool(given["SWEEP"]))
        )
    )


def _frequencies(first: float, last: float, n: int, *, is_linear: bool) -> list[float]:
    parts = [index / (n - 1) for index in range(n)] if n > 1 else [0.0]
    if is_linear:
        return [first + part * (last - first) for part in parts]
    return [first * (last / first) ** part for part in parts]
