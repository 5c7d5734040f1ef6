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

from battbeam.materials import MISCIBILITY_GAP
from battbeam.sim.chemistry import ACTIVE_MATERIALS, Chemistry
from battbeam.units import FloatArray

Host = Chemistry | Literal["graphite"]
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
#: Curves, (content, V), chosen by us to have the plateaus and the window that such cells are known
#: for; not measurements. Against lithium, that of NaNMC442 against sodium; `lithium` against itself.
_CHOSEN: Mapping[Host, tuple[tuple[float, float], ...]] = {
    "nanmc442": (
        *((0.24, 4.6), (0.3, 4.32), (0.4, 3.95), (0.5, 3.6), (0.6, 3.3), (0.7, 3.05), (0.8, 2.9)),
        *((0.9, 2.77), (0.95, 2.62), (0.98, 2.35), (0.99, 2.1), (0.996, 1.8)),
    ),
    # 4.3 V at x = 0.38: less nickel gives less lithium.
    "nmc622": (
        *((0.12, 4.85), (0.16, 4.72), (0.2, 4.61), (0.25, 4.51), (0.3, 4.43), (0.38, 4.3)),
        *((0.45, 4.185), (0.5, 4.11), (0.55, 4.04), (0.6, 3.975), (0.7, 3.87), (0.8, 3.785)),
        *((0.9, 3.7), (0.95, 3.62), (0.98, 3.5), (0.99, 3.35), (0.996, 3.1)),
    ),
    # 4.3 V at x = 0.15, nearly level about 0.24 and 4.2 V, where c collapses.
    "nmc90": (
        *((0.12, 4.42), (0.15, 4.3), (0.2, 4.225), (0.24, 4.2), (0.3, 4.16), (0.35, 4.1)),
        *((0.4, 4.035), (0.45, 3.97), (0.5, 3.91), (0.6, 3.81), (0.7, 3.73), (0.8, 3.67)),
        *((0.9, 3.6), (0.95, 3.53), (0.98, 3.42), (0.99, 3.3), (0.996, 3.05)),
    ),
    "lmo": (
        *((0.04, 4.4), (0.1, 4.22), (0.2, 4.165), (0.3, 4.15), (0.45, 4.12), (0.5, 4.06)),
        *((0.55, 4.02), (0.7, 3.98), (0.85, 3.95), (0.93, 3.9), (0.97, 3.8), (0.985, 3.6)),
        (0.995, 3.2),
    ),
    "lirich": (
        *((0.03, 4.85), (0.1, 4.68), (0.2, 4.57), (0.4, 4.45), (0.5, 4.35), (0.6, 4.17)),
        *((0.7, 3.97), (0.8, 3.82), (0.9, 3.67), (0.95, 3.5), (0.98, 3.2), (0.99, 2.8)),
        (0.996, 2.2),
    ),
    "nca": (
        *((0.22, 4.6), (0.3, 4.3), (0.4, 4.12), (0.5, 3.99), (0.6, 3.87), (0.7, 3.77)),
        *((0.8, 3.7), (0.9, 3.62), (0.95, 3.54), (0.98, 3.42), (0.99, 3.3), (0.996, 3.05)),
    ),
    "mno2": (
        *((0.01, 3.45), (0.05, 3.35), (0.2, 3.15), (0.4, 3.0), (0.6, 2.85), (0.8, 2.7)),
        *((0.9, 2.5), (0.96, 2.2), (0.99, 1.7)),
    ),
    "sno": (
        *((0.02, 2.0), (0.1, 1.3), (0.3, 1.02), (1.0, 0.95), (1.6, 0.9), (1.9, 0.8), (2.2, 0.68)),
        *((2.6, 0.6), (3.2, 0.51), (4.0, 0.42), (4.8, 0.34), (5.5, 0.25), (6.0, 0.15)),
        (6.3, 0.04),
    ),
    "lithium": (
        *((0.002, 0.05), (0.01, 0.002), (0.05, 2e-4), (0.5, 0.0), (0.95, -2e-4), (0.99, -0.002)),
        (0.998, -0.05),
    ),
}
#: Intervals of the grid from which a voltage is interpolated; 3e-4 of lithium content each.
_N_INTERVALS = 3200


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
    contents, voltages = _points(host)
    low, high = (0.0, 1.0) if host == "graphite" else ACTIVE_MATERIALS[host].content_range
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


def _points(host: Host) -> tuple[FloatArray, FloatArray]:
    if host in _CHOSEN:
        contents, voltages = np.array(_CHOSEN[host]).T
        return contents, voltages
    return _TABULATED[host]()


_TABULATED: Mapping[Host, Callable[[], tuple[FloatArray, FloatArray]]] = {
    "lfp": _lfp_points,
    "nmc811": _nmc811_points,
    # Chosen: as NMC811's.
    "hec": _nmc811_points,
    "graphite": _graphite_points,
}
