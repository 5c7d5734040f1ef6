"""This file is where the picture of three techniques on one cell is, as one would put it in a talk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from battbeam.plots_ending import written
from battbeam.units import FloatArray

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#7A7A7A"
#: eV about the edge: what is drawn of a spectrum, and what of it is drawn larger.
_SHOWN, _LARGER = (-14.0, 42.0), (-3.0, 6.0)
_MICROMETRE = 1e3
#: By which states of charge of one state differ at the most.
_SAME = 0.02
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Trend:
    """One quantity against the state of charge, in the order of time.

    Attributes:
        label: With its unit.
        state_of_charge: Shape (n,).
        value: Shape (n,).
        error: Shape (n,); NaN is not known.
        truth: Of a simulation, shape (n,); empty without.
    """

    label: str
    state_of_charge: FloatArray
    value: FloatArray
    error: FloatArray
    truth: FloatArray


@dataclass(frozen=True)
class ThreePicture:
    """What is drawn.

    Attributes:
        trends: Three pairs, for the left and the right axis: lattice, nickel, layers.
        maps: Reduced maps in the order of time: ``x``, ``y`` (mm) and ``value`` over them (angstrom),
            with ``state_of_charge``.
        spectra: Reduced rows, drawn as curves.
        slices: Of tomograms, 1/mm over ``z`` and ``x`` in mm, with ``state_of_charge`` in ``attrs``.
        cathodes: Where the cathode begins and ends in each, mm.
    """

    trends: Sequence[tuple[Trend, Trend | None]]
    maps: Sequence["xarray.Dataset"]
    spectra: Sequence[Row]
    slices: Sequence["xarray.DataArray"]
    cathodes: Sequence[tuple[float, float]]


def three_techniques(drawn: ThreePicture, *, path: Path, title: str = "") -> Path:
    """Three rows on one axis of state of charge, and beside them what they were measured from.

    Args:
        drawn: What is drawn.
        path: Of the picture, .png or .pdf.
        title: Above it.

    Returns:
        The path.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.5, 9.2), layout="constrained", dpi=150)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.0, 1.45))
    color = ScalarMappable(Normalize(0, 1), "viridis")
    first: Axes | None = None
    for index, (pair, name) in enumerate(
        zip(drawn.trends, ("diffraction", "Ni K edge", "tomography"), strict=True)
    ):
        axes = figure.add_subplot(grid[index, 0], sharex=first)
        first = axes if first is None else first
        _trends(axes, pair)
        axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
        axes.tick_params(labelbottom=index == 2)
        if index == 0:
            _legend(axes, any(len(trend.truth) for pair in drawn.trends for trend in pair if trend))
        if index == 2:
            axes.set_xlabel("state of charge")
    _maps(figure, grid[0, 1], drawn.maps)
    _spectra(figure, grid[1, 1], drawn.spectra, color)
    _slices(figure, grid[2, 1], drawn)
    return written(figure, path, title, 15)


def _trends(axes: "Axes", pair: tuple[Trend, Trend | None]) -> None:
    """The first on the left axis, the second on the right one."""
    left, right = pair
    _trend(axes, left, _BLUE, "o")
    if right is not None:
        _trend(axes.twinx(), right, _ORANGE, "s")
    axes.grid(alpha=0.25)


def _trend(axes: "Axes", trend: Trend, shade: str, marker: str) -> None:
    """Full while the cell was charged, hollow behind the most charged state."""
    charge = trend.state_of_charge
    if len(trend.truth):
        # Along the axis: a chord from the last state back to an earlier one would be no truth.
        order = np.argsort(charge, kind="stable")
        axes.plot(charge[order], trend.truth[order], color=_GREY, linewidth=1.0, zorder=0.5)
    known = np.where(np.isfinite(trend.error), trend.error, 0.0)
    most = np.flatnonzero(charge > charge.max(initial=-np.inf) - _SAME)
    is_charge = np.arange(len(charge)) <= most.max(initial=-1)
    for chosen, face in ((is_charge, shade), (~is_charge, "white")):
        axes.errorbar(
            charge[chosen],
            trend.value[chosen],
            yerr=known[chosen] if known.any() else None,
            fmt=marker,
            markersize=6,
            color=shade,
            markerfacecolor=face,
            markeredgewidth=1.5,
            elinewidth=1.0,
        )
    axes.set_ylabel(trend.label, color=shade)
    axes.tick_params(axis="y", colors=shade)
    axes.margins(y=0.14)


def _legend(axes: "Axes", has_truth: bool) -> None:
    for face, name in ((_GREY, "charge"), ("white", "discharge")):
        axes.plot([], [], "o", color=_GREY, label=name, markerfacecolor=face, linestyle="none")
    if has_truth:
        axes.plot([], [], color=_GREY, linewidth=1.0, label="hidden truth")
    axes.legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def _maps(figure: "Figure", place: "SubplotSpec", maps: Sequence["xarray.Dataset"]) -> None:
    """Each with its own mean taken off, so that one scale shows what is not even in it."""
    left = [np.asarray(each["value"] - each["value"].mean()) for each in maps]
    reach = max((float(np.nanmax(np.abs(each))) for each in left), default=1.0)
    inner = place.subgridspec(1, max(len(maps), 1))
    panels = []
    for index, (each, values) in enumerate(zip(maps, left, strict=True)):
        axes = figure.add_subplot(inner[0, index])
        half = float(each["x"][1] - each["x"][0]) / 2
        low, high = float(each["x"][0]) - half, float(each["x"][-1]) + half
        image = axes.imshow(
            values,
            origin="lower",
            extent=(low, high, low, high),
            cmap="PuOr",
            vmin=-reach,
            vmax=reach,
        )
        # What no scale of colours has: nothing is known of it.
        axes.set_facecolor("0.6")
        axes.set_title(f"at {float(each.attrs['state_of_charge']):.2f}", fontsize=10)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1], labels=None if index == 0 else [""] * 3)
        if index == 0:
            axes.set_ylabel("y (mm)")
        axes.set_xlabel("x (mm)")
        panels.append(axes)
    if panels:
        bar = figure.colorbar(image, ax=panels, orientation="horizontal", aspect=50, shrink=0.7)
        bar.set_label("c minus the mean of its map (Å), at each state of charge")


def _spectra(
    figure: "Figure", place: "SubplotSpec", rows: Sequence[Row], color: "ScalarMappable"
) -> None:
    inner = place.subgridspec(1, 2, width_ratios=(1.5, 1.0))
    parts = [figure.add_subplot(inner[0, index]) for index in range(2)]
    for row in sorted(rows, key=lambda row: float(row["state_of_charge"])):
        energy = np.asarray(row["energy"], dtype=float)
        values = np.asarray(row["normalized_absorbance"], dtype=float)
        good = np.isfinite(energy) & np.isfinite(values)
        shade = color.to_rgba(np.array([row["state_of_charge"]], dtype=float))[0]
        for part in parts:
            part.plot(energy[good], values[good], color=shade, linewidth=1.1)
    edge = min((float(row["edge_position"]) for row in rows), default=0.0)
    for part, (low, high), (bottom, top) in zip(
        parts, (_SHOWN, _LARGER), ((-0.05, 1.42), (0.15, 1.2)), strict=True
    ):
        part.set_xlim(edge + low, edge + high)
        part.set_ylim(bottom, top)
        part.set_xlabel("photon energy (eV)")
    parts[0].set_ylabel("normalized absorbance")
    figure.colorbar(color, ax=parts, pad=0.01, aspect=18).set_label("state of charge")


def _slices(figure: "Figure", place: "SubplotSpec", drawn: ThreePicture) -> None:
    """The first and the most charged; the square root of the attenuation, so that light layers show."""
    charges = [float(each.attrs["state_of_charge"]) for each in drawn.slices]
    if not charges:
        return
    chosen = list(dict.fromkeys((0, int(np.argmax(charges)))))
    inner = place.subgridspec(1, len(chosen))
    begin = drawn.cathodes[0][0] * _MICROMETRE
    panels = []
    for index, number in enumerate(chosen):
        axes = figure.add_subplot(inner[0, index])
        each = drawn.slices[number]
        z, x = (np.asarray(each[name], dtype=float) * _MICROMETRE for name in ("z", "x"))
        image = axes.imshow(
            np.sqrt(np.clip(np.asarray(each).T, 0, None)),
            origin="lower",
            extent=(float(z[0]), float(z[-1]), float(x[0]), float(x[-1])),
            cmap="magma",
            vmin=0,
            vmax=2.2,
        )
        axes.axvline(begin, color="white", linewidth=1.0, linestyle="--")
        axes.set_xlim(-190, 190)
        axes.set_ylim(-170, 170)
        axes.set_title(f"state of charge {charges[number]:.2f}", fontsize=10)
        axes.set_xlabel("along the beam (µm)")
        if index == 0:
            axes.set_ylabel("across (µm)")
            axes.annotate(
                "cathode began here",
                (begin, -150),
                (begin - 14, -150),
                color="white",
                fontsize=9,
                ha="right",
                va="center",
            )
        panels.append(axes)
    bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=18)
    bar.set_label("attenuation (1/mm)")
    ticks = np.array([0.0, 0.25, 1.0, 2.25, 4.0])
    bar.set_ticks(list(np.sqrt(ticks)), labels=[f"{tick:g}" for tick in ticks])
