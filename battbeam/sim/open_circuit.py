"""This file is where the open-circuit voltage of the simulated electrodes is, against lithium.

Published curves (`open_circuit.csv`, with their sources) joined by PCHIP, and beyond their ends a
logarithm that keeps value and slope and diverges where no lithium, or no room for it, is left: so no
voltage, however extreme, drives the lithium content out of its range.
"""

import csv
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from battbeam.materials import LITHIUM_RANGE, MISCIBILITY_GAP
from battbeam.sim.scenario import Chemistry
from battbeam.units import FloatArray

#: Middle of the LiFePO4 plateau, V: Dreyer et al., Nat. Mater. 9 (2010) 448; recalled. The table
#: has 3.397 V.
LFP_PLATEAU = 3.422
#: Lithium content at which the table of LiFePO4 leaves its plateau; it is moved to the edge of the
#: miscibility gap.
_LFP_TABLE_KNEE = 0.80
#: What the table of NMC811 lacks, (x, V): chosen by us, towards the hard end of a half cell's
#: window.
_NMC811_RICH = ((0.96, 3.512), (0.98, 3.45), (0.99, 3.33), (0.996, 3.1))
_NMC811_POOR = ((0.2, 4.52), (0.16, 4.72))
#: Graphite's table is flat to its last digit above this y; there and beyond we chose a faint slope.
_GRAPHITE_FLAT = 0.73
_GRAPHITE_RICH = ((0.95, 0.088), (0.975, 0.078), (0.985, 0.06))
#: Intervals of the grid from which a voltage is interpolated; 3e-4 of lithium content each.
_N_INTERVALS = 3200


Host = Chemistry | Literal["graphite"]


@dataclass(frozen=True)
class OpenCircuit:
    """Open-circuit voltage against lithium content, falling everywhere.

    Attributes:
        low: Lithium content at which the voltage diverges upwards.
        high: Lithium content at which it diverges downwards.
        start: Lowest content of the tabulated part.
        spacing: Of the grid.
        voltages: V at ``start + i * spacing``.
        poor_scale: Slope of the logarithm below the tabulated part, V.
        rich_scale: Slope of the one above, V.
    """

    low: float
    high: float
    start: float
    spacing: float
    voltages: tuple[float, ...]
    poor_scale: float
    rich_scale: float

    @property
    def end(self) -> float:
        """Highest content of the tabulated part."""
        return self.start + self.spacing * (len(self.voltages) - 1)

    def voltage(self, lithium_content: float) -> float:
        """V at a lithium content; infinite at and beyond the ends of the range."""
        if lithium_content <= self.low:
            return math.inf
        if lithium_content >= self.high:
            return -math.inf
        if lithium_content < self.start:
            room = (lithium_content - self.low) / (self.start - self.low)
            return self.voltages[0] - self.poor_scale * math.log(room)
        if lithium_content > self.end:
            room = (self.high - lithium_content) / (self.high - self.end)
            return self.voltages[-1] + self.rich_scale * math.log(room)
        position = (lithium_content - self.start) / self.spacing
        index = min(int(position), len(self.voltages) - 2)
        left, right = self.voltages[index], self.voltages[index + 1]
        return left + (position - index) * (right - left)

    def slope(self, lithium_content: float) -> float:
        """Change of the voltage per lithium content, V, below 0; NaN outside the range."""
        if not self.low < lithium_content < self.high:
            return math.nan
        if lithium_content < self.start:
            return -self.poor_scale / (lithium_content - self.low)
        if lithium_content > self.end:
            return -self.rich_scale / (self.high - lithium_content)
        index = min(int((lithium_content - self.start) / self.spacing), len(self.voltages) - 2)
        return (self.voltages[index + 1] - self.voltages[index]) / self.spacing


@functools.cache
def open_circuit(host: Host) -> OpenCircuit:
    """The curve of a chemistry, or of graphite."""
    contents, voltages = _POINTS[host]()
    low, high = _RANGES[host]
    grid = np.linspace(contents[0], contents[-1], _N_INTERVALS + 1)
    values = PchipInterpolator(contents, voltages)(grid)
    spacing = float(grid[1] - grid[0])
    return OpenCircuit(
        low=low,
        high=high,
        start=float(grid[0]),
        spacing=spacing,
        voltages=tuple(float(value) for value in values),
        poor_scale=float((values[0] - values[1]) / spacing * (grid[0] - low)),
        rich_scale=float((values[-2] - values[-1]) / spacing * (high - grid[-1])),
    )


def _table(host: Host) -> tuple[FloatArray, FloatArray]:
    text = resources.files("battbeam.sim").joinpath("open_circuit.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    chosen = [row for row in rows if row["chemistry"] == host]
    return (
        np.array([float(row["lithium_content"]) for row in chosen]),
        np.array([float(row["voltage"]) for row in chosen]),
    )


def _lfp_points() -> tuple[FloatArray, FloatArray]:
    """The table, its plateau stretched over the miscibility gap and raised to `LFP_PLATEAU`."""
    contents, voltages = _table("lfp")
    poor, rich = MISCIBILITY_GAP
    stretched = np.interp(contents, [0.0, poor, _LFP_TABLE_KNEE, 1.0], [0.0, poor, rich, 1.0])
    middle = float(np.interp((poor + rich) / 2, stretched, voltages))
    return stretched, voltages + (LFP_PLATEAU - middle)


def _nmc811_points() -> tuple[FloatArray, FloatArray]:
    contents, voltages = _table("nmc811")
    poor, rich = np.array(_NMC811_POOR[::-1]), np.array(_NMC811_RICH)
    return (
        np.concatenate([poor[:, 0], contents, rich[:, 0]]),
        np.concatenate([poor[:, 1], voltages, rich[:, 1]]),
    )


def _graphite_points() -> tuple[FloatArray, FloatArray]:
    contents, voltages = _table("graphite")
    sloping, rich = contents < _GRAPHITE_FLAT, np.array(_GRAPHITE_RICH)
    return (
        np.concatenate([contents[sloping], rich[:, 0]]),
        np.concatenate([voltages[sloping], rich[:, 1]]),
    )


_POINTS: Mapping[Host, Callable[[], tuple[FloatArray, FloatArray]]] = {
    "lfp": _lfp_points,
    "nmc811": _nmc811_points,
    "graphite": _graphite_points,
}
_RANGES: Mapping[Host, tuple[float, float]] = {
    "lfp": LITHIUM_RANGE["LixFePO4"],
    "nmc811": LITHIUM_RANGE["NMC811"],
    "graphite": (0.0, 1.0),
}
