"""This file is where the layers of an electrode are drawn against time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from battbeam.plots_ending import titled
from battbeam.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Names of a line of the legend: as many as find place above the axes.
_IN_LINE = 8


def layers_against_time(
    rows: Sequence[Mapping[str, Any]],
    *,
    truth: Sequence[Mapping[str, Any]] = (),
    title: str = "",
) -> "Figure":
    """Lithium of each layer with its errors, the gradient from the first to the last, and the current.

    Args:
        rows: Reduced rows of energy-dispersive spectra, of one or several sweeps, in any order; those that
            are not valid are left out.
        truth: Of a simulation, lines with ``start``, ``end``, ``layer`` and ``lithium_content_counter``.
        title: Above it.

    Raises:
        ValueError: If no row is valid and of a layer.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    used = [row for row in rows if row["valid"] and row["layer"] >= 0]
    if not used:
        raise ValueError("no row is valid and of a layer: there is nothing to draw")
    begin = min(float(row["time_start"]) for row in used)
    names = sorted({int(row["layer"]) for row in used})
    colours = colormaps["viridis"](np.linspace(0.0, 0.85, max(len(names), 2)))
    figure = Figure(figsize=(7.5, 6.5), layout="constrained", dpi=150)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.5, 1))
    content, slope, current = panels
    for name, colour in zip(names, colours, strict=False):
        own = [row for row in used if row["layer"] == name]
        hours = (_middle(own) - begin) / 3600
        content.errorbar(
            hours,
            _of(own, "lithium_content_counter"),
            _of(own, "lithium_content_counter_error"),
            fmt="o",
            markersize=3.5,
            color=colour,
            label=f"L{name}",
        )
        known = sorted(
            (line for line in truth if line["layer"] == name), key=lambda line: line["start"]
        )
        if known:
            content.plot(
                (_middle(known, "start", "end") - begin) / 3600,
                _of(known, "lithium_content_counter"),
                color=colour,
                linewidth=0.8,
            )
    times, gradients, errors = gradients_of(used)
    slope.errorbar((times - begin) / 3600, gradients, errors, fmt="s", markersize=3.5, color="k")
    slope.axhline(0.0, color="0.6", linewidth=0.8)
    if not len(times):
        none = "no sweep has two layers: there is no gradient"
        slope.text(0.5, 0.7, none, transform=slope.transAxes, ha="center")
    ordered = sorted(used, key=lambda row: float(row["time_start"]))
    current.step(
        (_middle(ordered) - begin) / 3600,
        1e3 * _of(ordered, "current"),
        where="mid",
        marker=".",
        color="tab:red",
    )
    content.set_ylabel("y in Li$_y$C$_6$")
    slope.set_ylabel(f"y(L{names[-1]}) - y(L{names[0]})")
    current.set_ylabel("current (mA)")
    current.set_xlabel("time (h)")
    if len(content.lines) > len(names):
        content.plot([], [], color="0.5", linewidth=0.8, label="hidden truth")
    # Above the axes, where it hides no point.
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
    content.legend(ncols=min(len(names) + 1, _IN_LINE), fontsize="small", **above)
    titled(figure, title, 12)
    return figure


def gradients_of(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lithium content of the last layer minus that of the first, sweep by sweep, by a straight line.

    Layers are seen one after the other: what the cell took meanwhile is in it, 0.01 in 40 s at 1C.

    Args:
        rows: Reduced rows; a sweep begins wherever the layer's number does not rise.

    Returns:
        Middle of each sweep of two layers or more, s, its gradient, and one standard deviation of it; shape
        (n_sweeps,) each.
    """
    sweeps: list[list[Mapping[str, Any]]] = []
    for row in sorted(rows, key=lambda row: float(row["time_start"])):
        if not sweeps or row["layer"] <= sweeps[-1][-1]["layer"]:
            sweeps.append([])
        sweeps[-1].append(row)
    found = [
        (float(_middle(sweep).mean()), *_gradient(sweep)) for sweep in sweeps if len(sweep) > 1
    ]
    times, gradients, errors = np.array(found).reshape(-1, 3).T
    return times, gradients, errors


def _gradient(sweep: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """By weighted least squares, and its error."""
    layer, content = _of(sweep, "layer"), _of(sweep, "lithium_content_counter")
    weight = 1 / _of(sweep, "lithium_content_counter_error") ** 2
    away = layer - np.average(layer, weights=weight)
    known = float(weight @ away**2)
    reach = float(np.ptp(layer))
    return reach * float(weight @ (away * content)) / known, reach / float(np.sqrt(known))


def _of(rows: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    return np.array([float(row[name]) for row in rows])


def _middle(
    rows: Sequence[Mapping[str, Any]], start: str = "time_start", end: str = "time_end"
) -> FloatArray:
    return np.asarray((_of(rows, start) + _of(rows, end)) / 2)
