"""This file is where the pictures are: one figure a technique, as one would put it in a talk."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from battbeam.plots_ending import legend_of, written
from battbeam.units import FloatArray

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREEN, _VERMILION, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7A7A7A"
#: Times the usual between two patterns from which on what is between them stays white.
_LONG = 1.5


def operando_xrd(
    *,
    results: "xarray.Dataset",
    cell: "xarray.Dataset",
    path: Path,
    title: str = "",
    truth: "xarray.Dataset | None" = None,
) -> Path:
    """Voltage and current beside the waterfall of patterns, and what they say against capacity.

    Args:
        results: Reduced patterns along ``time``: ``intensity`` (n, n_bins) over ``two_theta`` (degree),
            ``capacity`` (mAh), ``valid``, and either ``phase_fraction_*`` or ``lattice_*``.
        cell: The cell run along ``time``: ``voltage`` (V) and ``current`` (A).
        path: Of the picture, .png or .pdf.
        title: Above it.
        truth: Hidden truth of a simulation along ``time``, drawn as lines.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    start = float(cell["time"].values[0])
    figure = Figure(figsize=(13.5, 6.2), layout="constrained", dpi=150)
    axes = figure.subplots(1, 3, width_ratios=(1.05, 2.1, 1.7))
    _cell_trace(axes[0], cell, start)
    _waterfall(axes[1], results, start)
    axes[1].sharey(axes[0])
    axes[1].tick_params(labelleft=False)
    _against_capacity(axes[2], results, truth)
    return written(figure, path, title, 13)


def _hours(time: Any, start: float) -> FloatArray:
    return (np.asarray(time, dtype=float) - start) / 3600


def _cell_trace(axes: "Axes", cell: "xarray.Dataset", start: float) -> None:
    hours = _hours(cell["time"].values, start)
    axes.plot(cell["voltage"].values, hours, color=_BLUE, linewidth=1.4)
    axes.set_xlabel("voltage (V)", color=_BLUE)
    axes.set_ylabel("time (h)")
    axes.tick_params(axis="x", colors=_BLUE)
    current = axes.twiny()
    current.plot(cell["current"].values * 1e3, hours, color=_ORANGE, linewidth=1.1)
    current.set_xlabel("current (mA)", color=_ORANGE)
    current.tick_params(axis="x", colors=_ORANGE)
    axes.margins(y=0)


def _waterfall(axes: "Axes", results: "xarray.Dataset", start: float) -> None:
    """Square root of the intensity, so that weak lines show beside strong ones; long gaps stay white."""
    hours = _hours(results["time"].values, start)
    two_theta = results["two_theta"].values
    intensity = np.sqrt(np.clip(np.asarray(results["intensity"].values, dtype=float), 0, None))
    half = _hours(results["time_end"].values - results["time_start"].values, 0.0) / 2
    # One strip an exposure, as long as it at least; it fills half the way to either neighbour, or to one
    # that is where it usually would be, if that is nearer.
    least = (hours.max() - hours.min()) / 900 if len(hours) > 1 else 0.01
    low, high = (float(np.nanpercentile(intensity, share)) for share in (5, 99.0))
    steps = np.diff(hours)
    usual = np.median(steps) if len(steps) else least
    steps = np.where(steps > _LONG * usual, usual, steps) / 2
    before, behind = (
        np.maximum(np.maximum(half, least), each)
        for each in (np.insert(steps, 0, usual / 2), np.append(steps, usual / 2))
    )
    for row, low_end, high_end in zip(intensity, hours - before, hours + behind, strict=True):
        extent = (float(two_theta[0]), float(two_theta[-1]), low_end, high_end)
        axes.imshow(
            row[None, :],
            aspect="auto",
            origin="lower",
            extent=extent,
            cmap="magma",
            interpolation="nearest",
            vmin=low,
            vmax=high,
        )
    axes.set_xlim(float(two_theta[0]), float(two_theta[-1]))
    axes.set_xlabel(r"scattering angle $2\theta$ (degree)")
    axes.set_title("diffraction patterns (square root of the intensity)", fontsize=10)


def _against_capacity(
    axes: "Axes", results: "xarray.Dataset", truth: "xarray.Dataset | None"
) -> None:
    names, panels = [str(name) for name in results.data_vars], [axes]
    fractions = sorted(
        name for name in names if name.startswith("phase_fraction_") and not name.endswith("_error")
    )
    if len(fractions) > 1:
        _errorbars(axes, results, truth, fractions, strip="phase_fraction_")
        axes.set_ylabel("phase fraction (moles of formula units)")
        axes.set_ylim(-0.04, 1.04)
    elif edges := _edges(names):
        _errorbars(axes, results, truth, edges[-1:], strip="lattice_")
        axes.set_ylabel(_edge_label(edges[-1]), color=_GREEN if len(edges) > 1 else "black")
        if len(edges) > 1:
            panels.append(axes.twinx())
            colors = (_VERMILION,)
            _errorbars(panels[1], results, truth, edges[:1], strip="lattice_", colors=colors)
            panels[1].set_ylabel(_edge_label(edges[0]), color=_VERMILION)
    axes.set_xlabel("capacity (mAh, charge passed)")
    axes.grid(alpha=0.25)
    if drawn := legend_of(panels):
        # Above the axes, where no curve can run into it.
        axes.legend(
            drawn.values(),
            drawn.keys(),
            fontsize=8,
            frameon=False,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
        )


def _edges(names: list[str]) -> list[str]:
    """Columns of a and c of what is no part of the cell's housing or counter electrode."""
    edges = sorted(
        name for name in names if name.startswith("lattice_") and name.endswith(("_a", "_c"))
    )
    others = ("lattice_Al", "lattice_steel", "lattice_Li_")
    return [name for name in edges if not name.startswith(others)]


def _edge_label(name: str) -> str:
    return f"{name.removeprefix('lattice_').replace('_', ' ')} (angstrom)"


def _errorbars(
    axes: "Axes",
    results: "xarray.Dataset",
    truth: "xarray.Dataset | None",
    names: list[str],
    *,
    strip: str,
    colors: tuple[str, ...] = (_GREEN, _BLUE, _VERMILION),
) -> None:
    """Filled symbols while charging, open ones while discharging; lines are the hidden truth."""
    valid = results["valid"].values.astype(bool)
    charging = results["current"].values >= 0
    for name, color in zip(names, colors, strict=False):
        for chosen, face, when in ((charging, color, "charge"), (~charging, "white", "discharge")):
            keep = valid & chosen
            if not keep.any():
                continue
            axes.errorbar(
                results["capacity"].values[keep],
                results[name].values[keep],
                yerr=results[f"{name}_error"].values[keep],
                fmt="o" if when == "charge" else "s",
                markersize=4,
                color=color,
                markerfacecolor=face,
                elinewidth=0.8,
                linewidth=0,
                label=f"{name.removeprefix(strip).replace('_', ' ')}, {when}",
            )
        if truth is not None and name in truth:
            axes.plot(
                truth["capacity"].values,
                truth[name].values,
                color=_GREY,
                linewidth=1.0,
                zorder=0.5,
                label="hidden truth",
            )


@dataclass(frozen=True)
class CellTrace:
    """One cell and what was measured of it, for a picture.

    Attributes:
        name: Heading.
        cell: The cell run along ``time``: ``voltage`` (V).
        measured: By rule: (start, end) of each measurement, s since the Unix epoch.
        missed: (due, reason) of each slot that was missed or refused, s since the Unix epoch.
    """

    name: str
    cell: "xarray.Dataset"
    measured: Mapping[str, Sequence[tuple[float, float]]]
    missed: Sequence[tuple[float, str]] = ()


def operando_cells(
    traces: Sequence[CellTrace],
    *,
    path: Path,
    title: str = "",
    revisions: Sequence[float] = (),
) -> Path:
    """The voltage of each cell with every measurement of it marked.

    Args:
        traces: One panel each, on one axis of time.
        path: Of the picture, .png or .pdf.
        title: Above it.
        revisions: When the schedule was edited, s since the Unix epoch.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    start = min(float(trace.cell["time"].values[0]) for trace in traces)
    figure = Figure(figsize=(12.5, 3.4 * len(traces) + 0.6), layout="constrained", dpi=150)
    axes = figure.subplots(len(traces), 1, sharex=True, squeeze=False)
    for panel, trace in zip(axes[:, 0], traces, strict=True):
        _measured_trace(panel, trace, start, revisions)
    axes[-1, 0].set_xlabel("time (h)")
    return written(figure, path, title, 13)


def _measured_trace(
    axes: "Axes", trace: CellTrace, start: float, revisions: Sequence[float]
) -> None:
    """A line for the voltage; each measurement a stretch of it with a symbol in its middle."""
    from matplotlib import transforms

    times = np.asarray(trace.cell["time"].values, dtype=float)
    volts = np.asarray(trace.cell["voltage"].values, dtype=float)
    axes.plot(_hours(times, start), volts, color=_GREY, linewidth=1.0, zorder=1)
    colors = (_BLUE, _ORANGE, _GREEN, _VERMILION)
    for (rule, spans), color, marker in zip(
        trace.measured.items(), itertools.cycle(colors), itertools.cycle("os^Dv"), strict=False
    ):
        middles = np.array([(begin + end) / 2 for begin, end in spans])
        at = np.interp(middles, times, volts)
        label = f"{rule} ({len(middles)})"
        axes.plot(_hours(middles, start), at, marker, color=color, markersize=4.5, label=label)
        for begin, end in spans:
            inside = np.linspace(begin, end, 20)
            axes.plot(
                _hours(inside, start), np.interp(inside, times, volts), color=color, linewidth=2.4
            )
    # Above the trace, where they hide no measurement of the same time.
    above = transforms.offset_copy(
        axes.transData, fig=axes.get_figure(root=True), y=11, units="points"
    )
    reasons = dict.fromkeys(reason for _, reason in trace.missed)
    styles = itertools.cycle((("x", "black"), ("+", _VERMILION), ("X", _VERMILION)))
    for reason, (marker, color) in zip(reasons, styles, strict=False):
        dues = np.array([due for due, why in trace.missed if why == reason])
        axes.plot(
            _hours(dues, start),
            np.interp(dues, times, volts),
            marker,
            color=color,
            markersize=8,
            markeredgewidth=1.6,
            transform=above,
            label=f"{reason} ({len(dues)})",
        )
    for number, revision in enumerate(revisions):
        hour = (revision - start) / 3600
        edited = "schedule edited" if number == 0 else None
        axes.axvline(hour, color=_VERMILION, linestyle=":", linewidth=1.4, label=edited)
    axes.margins(y=0.12)
    axes.set_ylabel("voltage (V)")
    axes.set_title(trace.name, loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
