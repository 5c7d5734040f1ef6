"""This file is where the picture of operando spectra is, as one would put it in a talk."""

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

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#7A7A7A"
#: eV about the edge: what is drawn of a spectrum, and what of it is drawn larger.
_SHOWN, _LARGER = (-25.0, 70.0), (-5.0, 6.5)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class SpectraPicture:
    """What is drawn.

    Attributes:
        swept: Reduced rows of one edge, one a spectrum, drawn as curves.
        stepped: Others of the same edge, of which chi(R) is drawn.
        others: Of another element's edge.
        cell: The cell run along ``time`` with ``voltage``.
        r: Of chi(R), angstrom.
        truth: Hidden truth of a simulation: arrays ``capacity`` (mAh), ``edge`` (eV from the first),
            ``time`` (s since the Unix epoch) and ``energy_shift`` (eV), drawn as lines; or empty.
    """

    swept: Sequence[Row]
    stepped: Sequence[Row]
    others: Sequence[Row]
    cell: "xarray.Dataset"
    r: FloatArray
    truth: Mapping[str, FloatArray]

    @property
    def edge(self) -> float:
        """Lowest edge of all, eV."""
        return float(min(_column([*self.swept, *self.stepped], "edge_position")))


def operando_xanes(drawn: SpectraPicture, *, path: Path, title: str = "") -> Path:
    """Spectra coloured by the state of charge, and what they say against the capacity.

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

    figure = Figure(figsize=(14.5, 7.4), layout="constrained", dpi=150)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.55, 1.15, 1.0))
    color = ScalarMappable(Normalize(0, 1), "viridis")
    left = figure.add_subplot(grid[:, 0])
    _curves(left, drawn, color)
    bar = figure.colorbar(color, ax=left, orientation="horizontal", aspect=45, pad=0.015)
    bar.set_label("state of charge")
    _voltage(figure.add_subplot(grid[0, 1]), drawn, color)
    _edges(figure.add_subplot(grid[1, 1]), drawn)
    _neighbours(figure.add_subplot(grid[0, 2]), drawn, color)
    _energy_scale(figure.add_subplot(grid[1, 2]), drawn)
    return written(figure, path, title, 14)


def _column(rows: Sequence[Row], name: str) -> FloatArray:
    return np.array([row[name] for row in rows], dtype=float)


def _shade(color: "ScalarMappable", row: Row) -> Any:
    """By the state of charge."""
    return color.to_rgba(np.array([row["state_of_charge"]], dtype=float))[0]


def _curves(axes: "Axes", drawn: SpectraPicture, color: "ScalarMappable") -> None:
    inset = axes.inset_axes((0.5, 0.06, 0.47, 0.46))
    for row in sorted(drawn.swept, key=lambda row: float(row["state_of_charge"])):
        energy = np.asarray(row["energy"], dtype=float)
        values = np.asarray(row["normalized_absorbance"], dtype=float)
        good = np.isfinite(energy) & np.isfinite(values)
        shade = _shade(color, row)
        for part, width in ((axes, 0.9), (inset, 1.1)):
            part.plot(energy[good], values[good], color=shade, linewidth=width)
    edge = drawn.edge
    axes.set_xlim(edge + _SHOWN[0], edge + _SHOWN[1])
    axes.set_ylim(-0.05, 1.4)
    inset.set_xlim(edge + _LARGER[0], edge + _LARGER[1])
    inset.set_ylim(0.1, 1.25)
    inset.tick_params(labelsize=8)
    # Lines from frame to inset would run through the curves.
    (left, right), (low, high) = inset.get_xlim(), inset.get_ylim()
    axes.indicate_inset((left, low, right - left, high - low), edgecolor=_GREY, alpha=0.6)
    axes.set_xlabel("photon energy (eV)")
    axes.set_ylabel("normalized absorbance")
    name = str(drawn.swept[0]["edge"])
    axes.set_title(f"{name} edge, {len(drawn.swept)} sweeps", loc="left", fontsize=11)


def _hours(times: FloatArray, drawn: SpectraPicture) -> FloatArray:
    start = float(drawn.cell["time"].values[0])
    return np.asarray((np.asarray(times, dtype=float) - start) / 3600)


def _voltage(axes: "Axes", drawn: SpectraPicture, color: "ScalarMappable") -> None:
    """A line with every spectrum on it; a scan is as long as it took."""
    times = np.asarray(drawn.cell["time"].values, dtype=float)
    volts = np.asarray(drawn.cell["voltage"].values, dtype=float)
    axes.plot(_hours(times, drawn), volts, color=_GREY, linewidth=1.0, zorder=1)
    for row in drawn.stepped:
        inside = np.linspace(float(row["time_start"]), float(row["time_end"]), 40)
        shade = _shade(color, row)
        along = np.interp(inside, times, volts)
        axes.plot(_hours(inside, drawn), along, color=shade, linewidth=5, solid_capstyle="butt")
    middles = _column(drawn.swept, "time")
    axes.scatter(
        _hours(middles, drawn),
        np.interp(middles, times, volts),
        c=color.to_rgba(_column(drawn.swept, "state_of_charge")),
        s=26,
        edgecolors="black",
        linewidths=0.4,
        zorder=3,
        label="sweep",
    )
    axes.plot([], [], color=_GREY, linewidth=5, label="scan, step by step")
    axes.set_xlabel("time (h)")
    axes.set_ylabel("voltage (V)")
    # Above the axes, where no curve can run into it.
    axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    axes.set_title("voltage", loc="left", fontsize=11)
    axes.grid(alpha=0.25)


def _edges(axes: "Axes", drawn: SpectraPicture) -> None:
    """How far edges have moved; on the other side what that is as a valence."""
    first = drawn.edge
    own = f"{drawn.swept[0]['edge']}"
    charging = _column(drawn.swept, "current") >= 0
    for chosen, face, when in ((charging, _BLUE, "charge"), (~charging, "white", "discharge")):
        rows = [row for row, is_so in zip(drawn.swept, chosen, strict=True) if is_so]
        _points(axes, rows, first, "o", _BLUE, face, f"{own}, {when}")
    _points(axes, drawn.stepped, first, "s", _BLUE, _BLUE, f"{own}, scans", size=6.5)
    if drawn.others:
        name = str(drawn.others[0]["edge"])
        still = float(drawn.others[0]["edge_position"])
        _points(axes, drawn.others, still, "D", _ORANGE, _ORANGE, f"{name}, scans", size=6)
    if drawn.truth:
        axes.plot(
            drawn.truth["capacity"],
            drawn.truth["edge"],
            color=_GREY,
            linewidth=1.0,
            zorder=0.5,
            label="hidden truth",
        )
    axes.set_xlabel("capacity (mAh, charge passed)")
    axes.set_ylabel("shift of the edge (eV)")
    rows = [*drawn.swept, *drawn.stepped]
    shifts, valences = _column(rows, "edge_position") - first, _column(rows, "oxidation_state")
    if np.isfinite(valences).sum() > 1 and np.ptp(shifts) > 0:
        slope, begin = np.polyfit(shifts, valences, 1)
        other = axes.secondary_yaxis(
            "right", (lambda y: begin + slope * y, lambda v: (v - begin) / slope)
        )
        other.set_ylabel(f"valence of {own.split()[0]}", color=_BLUE)
        other.tick_params(colors=_BLUE)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.margins(y=0.16)
    axes.grid(alpha=0.25)


def _points(
    axes: "Axes",
    rows: Sequence[Row],
    origin: float,
    marker: str,
    color: str,
    face: str,
    label: str,
    *,
    size: float = 4.5,
) -> None:
    if not rows:
        return
    axes.errorbar(
        _column(rows, "capacity"),
        _column(rows, "edge_position") - origin,
        # Shifts do not have what all that are compared with the same curves share.
        yerr=np.sqrt(
            np.maximum(
                _column(rows, "edge_position_error") ** 2
                - _column(rows, "edge_position_shared_error") ** 2,
                0.0,
            )
        ),
        fmt=marker,
        markersize=size,
        color=color,
        markerfacecolor=face,
        elinewidth=0.8,
        label=label,
    )


def _neighbours(axes: "Axes", drawn: SpectraPicture, color: "ScalarMappable") -> None:
    """chi(R), and the distance of the nearest neighbours beside it."""
    for row in drawn.stepped:
        if "chi_r" not in row:
            continue
        charge = float(row["state_of_charge"])
        distance, error = float(row["distance_O"]), float(row["distance_O_error"])
        axes.plot(
            drawn.r,
            np.asarray(row["chi_r"], dtype=float)[: len(drawn.r)],
            color=_shade(color, row),
            linewidth=1.8,
            label=f"{charge:.2f}: Ni-O {distance:.3f} $\\pm$ {error:.3f} Å",
        )
    axes.set_xlim(0.6, 4.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("R (Å, not corrected for the phase)")
    axes.set_ylabel(r"$|\chi(R)|$ (Å$^{-3}$)")
    axes.margins(y=0.35)
    axes.legend(
        fontsize=8,
        frameon=False,
        loc="upper right",
        title="state of charge: distance",
        title_fontsize=8,
    )
    axes.set_title("neighbours of Ni", loc="left", fontsize=11)
    axes.grid(alpha=0.25)


def _energy_scale(axes: "Axes", drawn: SpectraPicture) -> None:
    """What the foil of each scan took out."""
    rows = [*drawn.swept, *drawn.stepped]
    axes.errorbar(
        _hours(_column(rows, "time"), drawn),
        _column(rows, "energy_shift"),
        yerr=_column(rows, "energy_shift_error"),
        fmt="o",
        markersize=3.5,
        color=_ORANGE,
        elinewidth=0.8,
        label="foil of the same scan",
    )
    if drawn.truth:
        axes.plot(
            _hours(drawn.truth["time"], drawn),
            drawn.truth["energy_shift"],
            color=_GREY,
            linewidth=1.0,
            zorder=0.5,
            label="hidden truth",
        )
    axes.set_xlabel("time (h)")
    axes.set_ylabel("correction of the energy (eV)")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25)
