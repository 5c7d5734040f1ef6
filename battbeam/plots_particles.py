"""This file is where it is drawn what tomograms of particles say against the charge: one panel a quantity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from battbeam.reduction.particle_series import ParticlesAt
from battbeam.units import AnyArray, FloatArray

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_BLUE, _GREEN, _VERMILION, _GREY = "#0072B2", "#009E73", "#D55E00", "#7A7A7A"
#: Colours that the tomograms that are shown have in all panels.
MARKS = ("black", _BLUE, _VERMILION, _GREEN)


@dataclass(frozen=True)
class TomogramsPicture:
    """What is drawn.

    Attributes:
        volumes: 1/mm, axes (row, z, x), in the order of time.
        rows: The reduced row of each.
        particles: Of each.
        cell: The cell run along ``time`` with ``voltage``.
        truth: Hidden truth of a simulation, drawn as lines: arrays ``charge`` (mAh) and, along it,
            ``factor``, ``core_radius`` (over the particles' radii at first) and ``crack_volume``
            (mm3); or empty.
    """

    volumes: Sequence[AnyArray]
    rows: Sequence[Mapping[str, Any]]
    particles: Sequence[ParticlesAt]
    cell: "xarray.Dataset"
    truth: Mapping[str, FloatArray]

    @property
    def voxel_size(self) -> float:
        """mm."""
        return float(self.rows[0]["voxel_size"])

    @property
    def charge(self) -> FloatArray:
        """That had passed into the particles at each tomogram, mAh."""
        return -np.array([row["capacity"] for row in self.rows], dtype=float)

    @property
    def lithium(self) -> FloatArray:
        """Li of a formula unit at each, by the charge."""
        return np.array([row["lithium_content_charge"] for row in self.rows], dtype=float)

    @property
    def chosen(self) -> list[int]:
        """The first tomogram, the last before cracks, the first with them, and the last."""
        cracked = [index for index, each in enumerate(self.particles) if each.is_cracked]
        last = len(self.volumes) - 1
        first = cracked[0] if cracked else last // 2
        return sorted({0, max(first - 1, 0), first, last})


def _against_charge(axes: "Axes", drawn: TomogramsPicture) -> None:
    axes.set_xlabel("charge into the particles (mAh)")
    axes.grid(alpha=0.25)
    charge, lithium = drawn.charge, drawn.lithium
    if len(charge) > 1 and np.ptp(charge) > 0:
        slope, begin = np.polyfit(charge, lithium, 1)
        other = axes.secondary_xaxis(
            "top", (lambda q: begin + slope * q, lambda x: (x - begin) / slope)
        )
        other.set_xlabel("Li per Sn")


def _line(axes: "Axes", drawn: TomogramsPicture, name: str, factor: float = 1.0) -> None:
    if drawn.truth:
        charge, values = drawn.truth["charge"], drawn.truth[name] * factor
        axes.plot(charge, values, color=_GREY, linewidth=1.2, zorder=0.5, label="hidden truth")


def draw_voltage(axes: "Axes", drawn: TomogramsPicture) -> None:
    """A line with every tomogram on it; those that are shown have their colours."""
    times = np.asarray(drawn.cell["time"].values, dtype=float)
    volts = np.asarray(drawn.cell["voltage"].values, dtype=float)
    start = times[0]
    axes.plot((times - start) / 60, volts, color=_GREY, linewidth=1.0, zorder=1)
    marks = dict(zip(drawn.chosen, MARKS, strict=False))
    middles = (
        np.array([float(row["time_start"]) + float(row["time_end"]) for row in drawn.rows]) / 2
    )
    axes.scatter(
        (middles - start) / 60,
        np.interp(middles, times, volts),
        c=[marks.get(index, "white") for index in range(len(middles))],
        s=46,
        edgecolors="black",
        linewidths=0.8,
        zorder=2,
        label="tomogram",
    )
    axes.set_xlabel("time (min)")
    axes.set_ylabel("voltage (V)")
    axes.legend(fontsize=9, frameon=False)
    axes.grid(alpha=0.25)


def draw_expansion(axes: "Axes", drawn: TomogramsPicture) -> None:
    """Volume of core and shell of all particles, with its standard error."""
    axes.errorbar(
        drawn.charge,
        [found.factor for found in drawn.particles],
        yerr=[found.factor_error for found in drawn.particles],
        fmt="o",
        color=_BLUE,
        markersize=5,
        capsize=3,
        elinewidth=1.0,
        label=r"core and shell, $\pm$ standard error",
    )
    _line(axes, drawn, "factor")
    axes.set_ylabel("volume over that at first")
    axes.legend(fontsize=9, frameon=False)
    _against_charge(axes, drawn)


def draw_cores(axes: "Axes", drawn: TomogramsPicture) -> None:
    """What is left of the cores; those that are too thick or too thin to be seen apart are left out."""
    first = np.array([each.radius for each in drawn.particles[0].particles])
    shares = np.array([found.core_radii for found in drawn.particles]) / first
    shares[0] = 1.0
    seen = np.isfinite(shares).any(axis=1)
    mean = np.array([_mean(row) for row in shares])
    spread = np.array([_spread(row) for row in shares])
    axes.errorbar(
        drawn.charge[seen],
        mean[seen],
        yerr=spread[seen],
        fmt="o",
        color=_BLUE,
        markersize=5,
        capsize=3,
        elinewidth=1.0,
        label="mean and scatter of the particles",
    )
    _line(axes, drawn, "core_radius")
    axes.set_ylabel("radius of the core over that at first")
    axes.set_ylim(0.0, 1.08)
    axes.legend(fontsize=9, frameon=False, loc="lower left")
    _against_charge(axes, drawn)


def draw_cracks(axes: "Axes", drawn: TomogramsPicture) -> None:
    """Volume of all cracks."""
    axes.errorbar(
        drawn.charge,
        [found.crack_volume * 1e6 for found in drawn.particles],
        yerr=[found.crack_error * 1e6 for found in drawn.particles],
        fmt="o",
        color=_VERMILION,
        markersize=5,
        capsize=3,
        elinewidth=1.0,
        label=r"all cracks, $\pm$ noise",
    )
    _line(axes, drawn, "crack_volume", 1e6)
    axes.set_ylabel("volume of the cracks (1000 µm$^3$)")
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    _against_charge(axes, drawn)


def _mean(values: FloatArray) -> float:
    """Of those that are there."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _spread(values: FloatArray) -> float:
    there = values[np.isfinite(values)]
    return float(there.std(ddof=1)) if len(there) > 1 else float("nan")
