"""This file is where the open-circuit voltage is that forecasts believe a cell to have.

A curve comes from the passport's owner, as a table, or from published fits by chemistry
(`open_circuit_curves.csv`, with their sources). It is never the simulated cell's: a forecast may
know only what a visitor knows. Beyond the ends of a table a logarithm keeps value and slope and
diverges where no lithium, or no room for it, is left.
"""

import csv
import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import numpy as np

from battbeam.experiment.cell import CellPassport

#: The published curve of each chemistry; one that is not here needs a table of its own.
CURVES: Mapping[str, str] = {
    "LiFePO4": "LFP_Afshar2017",
    "LiFePO4 solid solution": "LFP_Afshar2017",
    "NMC811": "NMC811_Chen2020",
    "NMC532": "NMC532_Xu2019",
    "NCA": "NCA_Kim2011",
    "LCO": "LCO_Marquis2019",
    "LiCoO2": "LCO_Marquis2019",
    "graphite": "graphite_Chen2020",
}
#: Published curve of graphite, and its usual capacity over that of the other electrode.
GRAPHITE, USUAL_BALANCE = "graphite_Chen2020", 1.1
#: Lithium content at which a fresh graphite electrode is taken to begin: at 0 it has no voltage.
LEAST_LITHIUM = 0.005
_METAL, _GRAPHITE = ("Li", "lithium"), ("graphite",)
_N_INTERVALS = 2000
#: "2.5 to 3.8 V" in how a nominal capacity was defined.
_BETWEEN = re.compile(r"([\d.]+)\s*(?:to|-|V to)\s*([\d.]+)\s*V")


class Curve(Protocol):
    """Open-circuit voltage against the state of charge."""

    @property
    def source(self) -> str:
        """Where it is from."""
        ...

    def voltage(self, state_of_charge: float) -> float:
        """V; rises with the state of charge."""
        ...

    def counter_voltage(self, state_of_charge: float) -> float:
        """Of the counter electrode against lithium metal, V."""
        ...


@dataclass(frozen=True)
class TableCurve:
    """A table, joined by straight lines that go on at its ends.

    Attributes:
        states: States of charge, ascending.
        voltages: V at each.
        source: Where it is from.
    """

    states: tuple[float, ...]
    voltages: tuple[float, ...]
    source: str = "given"

    def __post_init__(self) -> None:
        faults = _table_faults(self.states, self.voltages)
        if faults:
            raise ValueError(f"open-circuit curve: {'; '.join(faults)}")

    def voltage(self, state_of_charge: float) -> float:
        """V.

        >>> TableCurve((0.0, 1.0), (3.0, 4.0)).voltage(0.25)
        3.25
        """
        states, voltages = self.states, self.voltages
        right = 1
        while right < len(states) - 1 and states[right] < state_of_charge:
            right += 1
        slope = (voltages[right] - voltages[right - 1]) / (states[right] - states[right - 1])
        return voltages[right] + (state_of_charge - states[right]) * slope

    def counter_voltage(self, state_of_charge: float) -> float:
        """V; not known from a table of the cell's voltage."""
        return math.nan


def _table_faults(states: Sequence[float], voltages: Sequence[float]) -> list[str]:
    faults = []
    if len(states) != len(voltages) or len(states) < 2:
        faults.append(
            f"at least 2 states with a voltage each, got {len(states)} and {len(voltages)}"
        )
    for what, values in (("states of charge", states), ("voltages", voltages)):
        if not all(low < high for low, high in itertools.pairwise(values)):
            faults.append(f"{what} must rise from row to row")
    return faults


@dataclass(frozen=True)
class LithiumCurve:
    """Open-circuit voltage against lithium content on an even grid, falling everywhere.

    Attributes:
        start: Lowest tabulated content.
        spacing: Of the grid.
        voltages: V.
    """

    start: float
    spacing: float
    voltages: tuple[float, ...]

    @property
    def end(self) -> float:
        """Highest tabulated content."""
        return self.start + self.spacing * (len(self.voltages) - 1)

    def voltage(self, content: float) -> float:
        """V; infinite at and beyond x = 0 and x = 1."""
        if not 0.0 < content < 1.0:
            return math.inf if content <= 0.0 else -math.inf
        if content < self.start:
            scale = (self.voltages[0] - self.voltages[1]) / self.spacing * self.start
            return self.voltages[0] - scale * math.log(content / self.start)
        end = self.end
        if content > end:
            scale = (self.voltages[-2] - self.voltages[-1]) / self.spacing * (1.0 - end)
            return self.voltages[-1] + scale * math.log((1.0 - content) / (1.0 - end))
        position = (content - self.start) / self.spacing
        index = min(int(position), len(self.voltages) - 2)
        left, right = self.voltages[index], self.voltages[index + 1]
        return left + (position - index) * (right - left)

    def content(self, voltage: float) -> float:
        """x at a voltage."""
        low, high = 1e-9, 1.0 - 1e-9
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.voltage(middle) > voltage else (low, middle)
        return (low + high) / 2


@dataclass(frozen=True)
class Electrode:
    """An electrode with a published curve against lithium metal.

    Attributes:
        curve: V against its lithium content.
        content: x at state of charge 0.
        slope: Change of x from there to state of charge 1; negative where charging takes lithium.
    """

    curve: LithiumCurve
    content: float
    slope: float

    def voltage(self, state_of_charge: float) -> float:
        """V against lithium metal."""
        return self.curve.voltage(self.content + self.slope * state_of_charge)


@dataclass(frozen=True)
class PublishedCurve:
    """Published curves of both electrodes for one passport.

    Attributes:
        working: Electrode that the X-rays look at.
        counter: The other; None is lithium metal.
        source: Names of the published curves.
    """

    working: Electrode
    counter: Electrode | None
    source: str

    def voltage(self, state_of_charge: float) -> float:
        """V."""
        return self.working.voltage(state_of_charge) - self.counter_voltage(state_of_charge)

    def counter_voltage(self, state_of_charge: float) -> float:
        """Of the counter electrode against lithium metal, V."""
        return 0.0 if self.counter is None else self.counter.voltage(state_of_charge)


@functools.cache
def published_curve(name: str) -> LithiumCurve:
    """A curve of `open_circuit_curves.csv`.

    Raises:
        ValueError: If it is not there.
    """
    text = resources.files("battbeam.experiment").joinpath("open_circuit_curves.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    points = [
        (float(row["lithium_content"]), float(row["voltage"]))
        for row in rows
        if row["curve"] == name
    ]
    if not points:
        raise ValueError(f"no published open-circuit curve is called {name!r}")
    contents, voltages = zip(*points, strict=True)
    grid = np.linspace(contents[0], contents[-1], _N_INTERVALS + 1)
    values = np.interp(grid, contents, voltages)
    return LithiumCurve(
        float(grid[0]), float(grid[1] - grid[0]), tuple(float(value) for value in values)
    )


def curve_of(passport: CellPassport) -> PublishedCurve:
    """The curve that is believed of a cell against lithium metal or graphite.

    Against lithium the electrode takes part with so much that the nominal capacity lies between the
    voltages of its definition ("2.5 to 3.8 V"), or else the cell's limits, and with no more than its
    mass holds; against graphite with all of it.

    Raises:
        ValueError: If no curve is known for it.
    """
    name, counter = CURVES.get(passport.chemistry), passport.counter_electrode
    if name is None or counter.material not in (*_METAL, *_GRAPHITE):
        raise ValueError(
            f"no open-circuit curve is known for {passport.chemistry} against "
            f"{counter.material}; give one as a table of (state_of_charge, voltage)"
        )
    curve, nominal = published_curve(name), passport.nominal_capacity
    start = passport.initial_state_of_charge
    if counter.material in _METAL:
        capacity = min(nominal / _usable(curve, passport), passport.theoretical_capacity)
        other = None
    else:
        capacity = passport.theoretical_capacity
        slope = nominal / (counter.capacity or nominal * USUAL_BALANCE)
        content = (counter.initial_lithium_content or 0.0) - slope * start
        other = Electrode(published_curve(GRAPHITE), max(content, LEAST_LITHIUM), slope)
        name = f"{name} against {GRAPHITE}"
    slope = -nominal / capacity
    working = Electrode(curve, passport.initial_lithium_content - slope * start, slope)
    return PublishedCurve(working, other, name)


def _usable(curve: LithiumCurve, passport: CellPassport) -> float:
    """Change of x between the voltages that the nominal capacity goes with."""
    found, limits = _BETWEEN.search(passport.nominal_capacity_definition), passport.limits
    low, high = limits.voltage_min, limits.voltage_max
    if found:
        low, high = float(found[1]), float(found[2])
    return curve.content(low) - curve.content(high)
