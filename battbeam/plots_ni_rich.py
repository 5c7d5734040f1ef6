"""This file is where the picture of nickel-rich cathodes is: c against voltage, and where it collapses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from battbeam.plots_ending import written
from battbeam.reduction.coexisting import Coexisting
from battbeam.reduction.transitions import Collapse
from battbeam.units import FloatArray

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00")
_GREY = "#7A7A7A"
#: V from which on c is drawn.
_SHOWN = 3.6


@dataclass(frozen=True)
class ChargePicture:
    """What is drawn of one cell.

    Attributes:
        name: Of its active material, as the columns have it.
        rows: Valid reduced rows of its charge along ``time``.
        grains: What they say of grains that stopped.
        collapse: What they say of the collapse.
        cell: The cell run along ``time`` with ``voltage``.
        truth: Hidden truth of a simulation, of each row: ``voltage`` (V), ``c`` (angstrom) of the grains that
            went on, ``displacement`` (mm) and ``fatigued``, drawn as lines; or empty.
    """

    name: str
    rows: "xarray.Dataset"
    grains: Coexisting
    collapse: Collapse
    cell: "xarray.Dataset"
    truth: Mapping[str, FloatArray]

    def of(self, name: str) -> FloatArray:
        """A column of the rows, in which ``{}`` stands for the material."""
        return np.asarray(self.rows[name.format(self.name)].to_numpy(), dtype=float)

    @property
    def hours(self) -> FloatArray:
        """Of the rows' middles, since the first row began."""
        return (self.of("time_start") + self.of("time_end")) / 7200 - self.start / 3600

    @property
    def start(self) -> float:
        """s since the Unix epoch."""
        return float(self.of("time_start")[0])


def nickel_rich_charges(charges: Sequence[ChargePicture], *, path: Path, title: str = "") -> Path:
    """c against the voltage of several cells, and voltage, stopped grains and place against time.

    Args:
        charges: One a cell.
        path: Of the picture, .png or .pdf.
        title: Above it.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 7.2), layout="constrained", dpi=150)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.45, 1.0))
    large = figure.add_subplot(grid[:, 0])
    small = [figure.add_subplot(grid[row, 1]) for row in range(3)]
    for charge, color in zip(charges, _COLORS, strict=False):
        _against_voltage(large, charge, color)
        _voltage(small[0], charge, color)
        _stopped(small[1], charge, color)
        _displacement(small[2], charge, color)
    _labelled(large, small, any(charge.truth for charge in charges))
    return written(figure, path, title, 13)


def _labelled(large: "Axes", small: Sequence["Axes"], has_truth: bool) -> None:
    if has_truth:
        large.plot([], [], color=_GREY, linewidth=1.2, label="hidden truth")
    large.set_xlabel("voltage (V)")
    large.set_ylabel("c of the grains that went on (angstrom)")
    large.set_xlim(left=_SHOWN)
    large.grid(alpha=0.25)
    large.legend(fontsize=9, frameon=False, loc="lower left")
    names = ("voltage (V)", "grains that stopped (%)", "displacement (mm)")
    for axes, name in zip(small, names, strict=True):
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
        axes.sharex(small[0])
        axes.tick_params(labelbottom=axes is small[-1])
    small[1].set_ylim(0, 1.5 * small[1].get_ylim()[1])
    small[-1].set_xlabel("time since the first pattern of each cell (h)")


def _against_voltage(axes: "Axes", charge: ChargePicture, color: str) -> None:
    """Measured, corrected for grains that stopped, over the truth; and the middle of the fall."""
    found, grains = charge.collapse, charge.grains
    if charge.truth:
        axes.plot(charge.truth["voltage"], charge.truth["c"], color=_GREY, linewidth=1.2, zorder=1)
    voltage, mean = charge.of("voltage"), charge.of("lattice_{}_c")
    changed = np.abs(mean - grains.edge) > 0
    if changed.any():
        label = f"{charge.name}, mean with grains that stopped"
        axes.plot(
            voltage[changed],
            mean[changed],
            "o",
            mfc="none",
            mec=color,
            alpha=0.5,
            ms=4,
            label=label,
        )
    error = max(found.depth_error, 1e-3)
    fall = f"{charge.name}: falls by {found.depth:.3f} ± {error:.3f} angstrom"
    label = f"{fall} up to {found.upper_voltage:.2f} V"
    axes.errorbar(
        voltage, grains.edge, grains.edge_error, fmt="o", color=color, ms=4, lw=0.8, label=label
    )
    stopped = charge.of("lattice_{}_c_fatigued")
    if np.isfinite(stopped).any():
        label = f"{charge.name}, grains that stopped: {grains.stopped:.3f} angstrom"
        axes.plot(voltage, stopped, "^", mfc="none", mec=color, ms=6, label=label)
    if np.isfinite(found.voltage):
        axes.axvline(found.voltage, color=color, linestyle=":", linewidth=1.4)
        axes.annotate(
            f"half of the fall at\n{found.voltage:.3f} ± {max(found.voltage_error, 1e-3):.3f} V",
            (found.voltage, found.highest - found.depth / 2),
            xytext=(-14, -10),
            textcoords="offset points",
            ha="right",
            color=color,
        )


def _voltage(axes: "Axes", charge: ChargePicture, color: str) -> None:
    times = np.asarray(charge.cell["time"].values, dtype=float)
    volts = np.asarray(charge.cell["voltage"].values, dtype=float)
    hours = (times - charge.start) / 3600
    inside = (hours >= 0) & (hours <= charge.hours[-1] + 0.02)
    axes.plot(hours[inside], volts[inside], color=_GREY, linewidth=1.0, zorder=1)
    axes.plot(charge.hours, charge.of("voltage"), "o", color=color, ms=3)


def _stopped(axes: "Axes", charge: ChargePicture, color: str) -> None:
    share, error = charge.of("fatigued_fraction_{}"), charge.of("fatigued_fraction_{}_error")
    if not np.isfinite(share).any():
        return
    if charge.truth:
        axes.plot(
            charge.hours, 100 * charge.truth["fatigued"], color=_GREY, linewidth=1.2, zorder=1
        )
    axes.errorbar(charge.hours, 100 * share, 100 * error, fmt="o", color=color, ms=3, lw=0.8)
    axes.set_title(
        f"{charge.name}: {100 * charge.grains.fraction:.1f} %, told only where their 003 line stands apart",
        loc="left",
        fontsize=9,
    )


def _displacement(axes: "Axes", charge: ChargePicture, color: str) -> None:
    if charge.truth:
        axes.plot(charge.hours, charge.truth["displacement"], color=_GREY, linewidth=1.2, zorder=1)
    axes.errorbar(
        charge.hours,
        charge.of("displacement"),
        charge.of("displacement_error"),
        fmt="o",
        color=color,
        ms=3,
        lw=0.6,
    )
    axes.set_title(
        "of the sample along the beam, by aluminium in the electrode's plane",
        loc="left",
        fontsize=9,
    )
