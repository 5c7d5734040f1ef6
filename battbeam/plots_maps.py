"""This file is where the picture of plating is: maps of lithium metal over cycles, as one would put it in a talk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from battbeam.plots_ending import written
from battbeam.reduction.cell_maps import CellMaps
from battbeam.reduction.inventory import Inventory
from battbeam.reduction.maps import Map
from battbeam.reduction.plating_growth import Growth
from battbeam.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpecBase
    from matplotlib.image import AxesImage

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#7A7A7A"
_HOUR = 3600.0
#: Cycles whose maps find place on a slide; of more, as many are drawn, spread from the first to the last.
_MOST_CYCLES = 6
#: Names of states that find place beneath the bars.
_MOST_NAMES = 13
#: What no scale of colours has: pixels that nothing is known of.
_UNKNOWN = "0.6"


@dataclass(frozen=True)
class PlatingPicture:
    """What is drawn.

    Attributes:
        maps: Before the first charge, then after each charge and each discharge.
        times: Of the maps, s since the Unix epoch.
        inventory: Of the same states.
        growth: Of the metal; None where too few cycles plate for a law, which is then not drawn.
        cell_time: Of the cell run, s since the Unix epoch.
        cell_voltage: V.
        truth: Of a simulation, ``metal`` (mAh) over ``time`` (s since the Unix epoch); empty without.
    """

    maps: CellMaps
    times: FloatArray
    inventory: Inventory
    growth: Growth | None
    cell_time: FloatArray
    cell_voltage: FloatArray
    truth: Mapping[str, FloatArray]


def plating_maps(drawn: PlatingPicture, *, path: Path, title: str = "") -> Path:
    """Maps of the metal after charges and discharges; beneath, its sum, what comes back, and all lithium.

    Args:
        drawn: What is drawn.
        path: Of the picture, .png or .pdf.
        title: Above it.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    cycles = shown_cycles(len(drawn.maps.plated) // 2)
    width = max(4.2 + 3.1 * len(cycles), 11.0)
    figure = Figure(figsize=(width, 10.6), layout="constrained", dpi=150)
    whole = figure.add_gridspec(2, 1, height_ratios=(1.75, 1.0))
    grid = whole[0].subgridspec(2, len(cycles) + 1)
    _metal(figure, grid, drawn.maps, cycles)
    _graphite(figure, grid, drawn.maps)
    ratios = (1.7, 1.25) if drawn.growth is None else (1.7, 1.25, 1.0)
    below = whole[1].subgridspec(1, len(ratios), width_ratios=ratios)
    panels = [figure.add_subplot(below[0, index]) for index in range(len(ratios))]
    _course(panels[0], drawn)
    _inventory(panels[1], drawn.inventory)
    if drawn.growth is not None:
        _efficiency(panels[2], drawn.growth, drawn.maps)
    return written(figure, path, title, 15)


def shown_cycles(n_cycles: int) -> list[int]:
    """Numbers of the cycles whose maps are drawn, from 1."""
    few = np.linspace(1, n_cycles, min(n_cycles, _MOST_CYCLES))
    return [round(number) for number in few.tolist()]


def _image(axes: "Axes", shown: Map, **colors: object) -> "AxesImage":
    half = [float(np.diff(each).mean()) / 2 for each in (shown.x, shown.y)]
    axes.set_facecolor(_UNKNOWN)
    return axes.imshow(
        shown.values,
        origin="lower",
        extent=(
            float(shown.x[0]) - half[0],
            float(shown.x[-1]) + half[0],
            float(shown.y[0]) - half[1],
            float(shown.y[-1]) + half[1],
        ),
        **colors,  # type: ignore[arg-type]
    )


def _metal(figure: "Figure", grid: "GridSpecBase", maps: CellMaps, cycles: Sequence[int]) -> None:
    """The fresh cell, then a column a cycle: above it is charged, below discharged."""
    top = max(float(np.nanmax(each.values)) for each in maps.plated)
    panels, metal = [], maps.metal
    places = {0: (0, 0)}
    for column, cycle in enumerate(cycles, start=1):
        places |= {2 * cycle - 1: (0, column), 2 * cycle: (1, column)}
    for number, (row, column) in places.items():
        shown = maps.plated[number]
        axes = figure.add_subplot(grid[row, column])
        image = _image(axes, shown, cmap="inferno", vmin=0, vmax=top)
        name = "fresh" if number == 0 else f"{('charge', 'discharge')[row]} {(number + 1) // 2}"
        axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
        axes.set_title(
            f"{metal.value[number]:z.2f} ± {metal.error[number]:.2f} mAh", loc="right", fontsize=10
        )
        axes.tick_params(labelbottom=row == 1, labelleft=column == 0)
        if number == 0:
            axes.set_ylabel("y (mm)")
        if row == 1:
            axes.set_xlabel("x (mm)")
        panels.append(axes)
    bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=32)
    label = "lithium metal on graphite (mAh/cm²)"
    if any(each.n_missing for each in maps.plated):
        label += "; grey: not known"
    bar.set_label(label, fontsize=11)


def _graphite(figure: "Figure", grid: "GridSpecBase", maps: CellMaps) -> None:
    """What graphite has more than its mean after the last charge."""
    shown = maps.over_lithiation[-2]
    axes = figure.add_subplot(grid[1, 0])
    reach = float(np.nanmax(np.abs(shown.values)))
    image = _image(axes, shown, cmap="PuOr_r", vmin=-reach, vmax=reach)
    axes.set_title("graphite, last charge", loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel("x (mm)")
    axes.set_ylabel("y (mm)")
    bar = figure.colorbar(image, ax=axes, location="left", pad=0.02, aspect=20, shrink=0.9)
    bar.set_label("y in Li$_y$C$_6$ above its mean", fontsize=10)


def _course(axes: "Axes", drawn: PlatingPicture) -> None:
    """Voltage, and the metal in the whole cell."""
    start = float(drawn.times[0])
    time = (drawn.cell_time - start) / _HOUR
    axes.plot(time, drawn.cell_voltage, color=_GREY, linewidth=1.0)
    axes.set_ylabel("cell voltage (V)", color=_GREY)
    axes.tick_params(axis="y", colors=_GREY)
    axes.set_xlabel("time (h)")
    axes.set_xlim(min(0.0, float(time.min())), float((drawn.times[-1] - start) / _HOUR) + 0.15)
    right, metal = axes.twinx(), drawn.maps.metal
    if drawn.truth:
        right.plot(
            (drawn.truth["time"] - start) / _HOUR,
            drawn.truth["metal"],
            color=_BLUE,
            linewidth=1.0,
            label="hidden truth",
        )
    right.errorbar(
        (drawn.times - start) / _HOUR,
        metal.value,
        yerr=metal.error,
        fmt="o",
        color=_BLUE,
        markersize=6,
        label="from the maps",
    )
    right.set_ylabel("lithium metal in the cell (mAh)", color=_BLUE)
    right.tick_params(axis="y", colors=_BLUE)
    right.set_ylim(bottom=-0.05 * float(metal.value.max()))
    # Above what is drawn: the voltage goes everywhere.
    for each in (axes, right):
        low, high = each.get_ylim()
        each.set_ylim(low, high + 0.12 * (high - low))
    right.legend(fontsize=9, frameon=False, loc="upper left", ncols=2)
    axes.set_title("metal over time", loc="left", fontsize=12, fontweight="bold")


def _efficiency(axes: "Axes", growth: Growth, maps: CellMaps) -> None:
    """What a discharge takes back of what the charge before it laid down."""
    cycles = maps.cycles[1::2]
    axes.errorbar(
        cycles,
        growth.efficiency,
        yerr=growth.efficiency_error,
        fmt="s",
        color=_ORANGE,
        markersize=6,
    )
    law = np.linspace(growth.onset, float(cycles[-1]) * 1.05, 100)
    axes.plot(
        law,
        growth.first_efficiency * np.exp(-growth.decay_rate * (law - growth.onset)),
        color=_ORANGE,
        linewidth=1.0,
    )
    axes.text(
        0.97,
        0.95,
        f"falls to 1/e in {growth.decay:.2f} ± {growth.decay_error:.2f} cycles",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=10,
    )
    axes.set_ylim(0, 1)
    axes.set_xlabel("equivalent full cycles")
    axes.set_ylabel("stripped again, of what plated")
    axes.set_title("stripping efficiency", loc="left", fontsize=12, fontweight="bold")
    axes.grid(alpha=0.25)


def _inventory(axes: "Axes", inventory: Inventory) -> None:
    """All lithium of the cell, stacked, at each state; what is missing is left white."""
    parts: Sequence[tuple[str, FloatArray, str]] = (
        ("cathode", inventory.cathode, _GREEN),
        ("graphite", inventory.graphite, "#56B4E9"),
        ("metal", np.maximum(inventory.plated, 0.0), _ORANGE),
    )
    n = len(inventory.total)
    bottom = np.zeros(n)
    for name, amount, color in parts:
        axes.bar(np.arange(n), amount, bottom=bottom, color=color, width=0.82, label=name)
        bottom = bottom + amount
    first = float(inventory.total[inventory.reference])
    axes.axhline(first, color="black", linewidth=0.9, linestyle="--")
    axes.errorbar(
        np.arange(n), bottom, yerr=inventory.missing_error, fmt="none", ecolor="black", capsize=3
    )
    missing, error = inventory.missing[-1], inventory.missing_error[-1]
    axes.set_title("where all lithium is", loc="left", fontsize=12, fontweight="bold")
    axes.text(
        0.97,
        0.885,
        f"{missing:z.2f} ± {error:.2f} mAh missing in the end",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=10,
    )
    names = ["fresh", *(f"{('c', 'd')[k % 2]}{k // 2 + 1}" for k in range(n - 1))]
    apart = -(-n // _MOST_NAMES)
    axes.set_xticks(np.arange(0, n, apart), labels=names[::apart])
    axes.set_xlabel("after charge (c) and discharge (d)")
    axes.set_ylabel("lithium (mAh)")
    axes.set_ylim(0, 1.28 * first)
    axes.legend(fontsize=9, frameon=False, loc="upper right", ncols=3)
