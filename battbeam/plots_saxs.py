"""This file is where small-angle scattering is drawn: its laws over the curves, and its size against charge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.plots_ending import written
from battbeam.units import FloatArray

#: q Rg to which Guinier's law is drawn, and from which Porod's is.
_GUINIER, _POROD = 1.3, 5.0


def small_angle_series(
    rows: Sequence[Mapping[str, Any]], *, path: Path, title: str = "", n_curves: int = 5
) -> Path:
    """Intensity over q with Guinier's and Porod's law, and the radius against the state of charge.

    Args:
        rows: Reduced rows of small-angle frames; those that are not valid, or of no known state of
            charge, are left out.
        path: Of the picture, .png or .pdf.
        title: Above it.
        n_curves: How many curves are drawn, spread over the series.

    Raises:
        ValueError: If none is left.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    used = [row for row in rows if row["valid"] and np.isfinite(row["state_of_charge"])]
    if not used:
        raise ValueError("no row is valid and of a known state of charge: there is nothing to draw")
    charge = np.array([row["state_of_charge"] for row in used], dtype=float)
    ends = (charge.min(), charge.max()) if np.ptp(charge) > 0 else (0.0, 1.0)
    color = ScalarMappable(Normalize(*ends), "viridis")
    figure = Figure(figsize=(11.5, 5.2), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1.0))
    for index in np.unique(np.linspace(0, len(used) - 1, n_curves).round().astype(int)):
        row, shade = used[index], color.to_rgba(charge[index])
        curve = row["q"], row["intensity"], row["intensity_error"]
        left.errorbar(*curve, fmt=".", markersize=3, linewidth=0.6, color=shade, zorder=1)
        for line, law in zip(("-", "--"), laws_of(row), strict=True):
            left.plot(*law, "k" + line, linewidth=1.1)
    left.lines[-2].set_label("Guinier")
    left.lines[-1].set_label("Porod")
    left.set(xscale="log", yscale="log", xlabel="q (1/angstrom)", ylabel="intensity (relative)")
    left.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter("{x:g}")
    left.tick_params(axis="x", which="both", length=3.5, pad=3.5)
    figure.colorbar(color, ax=left, pad=0.01).set_label("state of charge")
    for name, mark in (("radius", "#0072B2"), ("guinier_radius", "#D55E00")):
        size, error = (np.array([row[each] for row in used]) for each in (name, f"{name}_error"))
        if np.isfinite(size).any():
            label = name.replace("_", " ")
            right.errorbar(charge, size, error, fmt="o", markersize=4, color=mark, label=label)
    right.set(xlabel="state of charge", ylabel="radius (angstrom)")
    right.grid(alpha=0.25)
    left.legend(frameon=False)
    if right.containers:
        right.legend(frameon=False)
    return written(figure, path, title, 13)


def laws_of(row: Mapping[str, Any]) -> tuple[tuple[FloatArray, FloatArray], ...]:
    """Guinier's law where it holds, then Porod's: q (1/angstrom) and intensity of each.

    A row has no intensity at q = 0: it is that which goes best through the curve. What is flat lies beneath,
    and so does the surface of grains too large to be seen.
    """
    q, radius = np.asarray(row["q"], dtype=float), float(row["guinier_radius"])
    near, far = q * radius < _GUINIER, q * radius > _POROD
    below = row["background"] + np.nan_to_num(row["surface"]) * q**-4.0
    law, weight = np.exp(-((q * radius) ** 2) / 3), np.asarray(row["intensity_error"]) ** -2.0
    through = weight[near] * law[near]
    forward = (
        through @ (row["intensity"] - below)[near] / (through @ law[near]) if near.any() else 0
    )
    return (
        (q[near], (below + forward * law)[near]),
        (q[far], (below + row["porod_constant"] * q**-4.0)[far]),
    )
