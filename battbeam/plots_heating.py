"""This file is where the picture of a heated cathode is: phases against temperature, with gas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from battbeam.plots_ending import in_lines, legend_of, written
from battbeam.reduction.gas import GasSignal
from battbeam.reduction.heating import CARBON_DIOXIDE, OXYGEN, GasOfHeating, HeatedCathode
from battbeam.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLORS = {"layered": "#0072B2", "spinel": "#E69F00", "rock_salt": "#CC79A7"}
_GASES = {OXYGEN: ("O$_2$", "#D55E00"), CARBON_DIOXIDE: ("CO$_2$", "#56B4E9")}
_GREY = "#7A7A7A"
#: inch: of a cathode's column. Where temperatures of transitions are written: above one another, as they may be close.
_COLUMN, _HEIGHTS = 5.2, (1.13, 1.04)


@dataclass(frozen=True)
class HeatingPicture:
    """What is drawn.

    Attributes:
        name: Of the cathode.
        temperature: Of the rows, degC, shape (n,).
        fractions: Of ``layered``, ``spinel`` and ``rock_salt``, and their errors, shape (n,) each.
        cathode: What was found of its transitions.
        gases: By m/z what left the sample, freed from the capillary's lag; or empty.
        gas_temperatures: Of their samples, degC, by m/z.
        peaks: Where gases left fastest; None without gas.
        truth: Hidden truth of a simulation: fractions by name, of the rows; or empty.
    """

    name: str
    temperature: FloatArray
    fractions: Mapping[str, tuple[FloatArray, FloatArray]]
    cathode: HeatedCathode
    gases: Mapping[int, GasSignal] = field(default_factory=dict)
    gas_temperatures: Mapping[int, FloatArray] = field(default_factory=dict)
    peaks: GasOfHeating | None = None
    truth: Mapping[str, FloatArray] = field(default_factory=dict)


def heated_cathodes(
    drawn: "HeatingPicture | list[HeatingPicture]", *, path: Path, title: str = ""
) -> Path:
    """Phases against temperature and the gas below them, a column a cathode.

    Args:
        drawn: One cathode, or several side by side.
        path: Of the picture, .png or .pdf.
        title: Above it.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    cathodes = drawn if isinstance(drawn, list) else [drawn]
    with_gas = any(each.gases for each in cathodes)
    size = (_COLUMN * len(cathodes) + 0.8, 6.4 if with_gas else 3.8)
    figure = Figure(figsize=size, layout="constrained", dpi=160)
    axes = figure.subplots(
        2 if with_gas else 1,
        len(cathodes),
        squeeze=False,
        sharex="col",
        sharey="row",
        height_ratios=(3, 2) if with_gas else None,
    )
    for column, each in enumerate(cathodes):
        _phases(axes[0, column], each)
        if with_gas:
            _gas(axes[1, column], each)
        axes[-1, column].set_xlabel("temperature of the sample (°C)")
    axes[0, 0].set_ylabel("share of the metal")
    if any(each.truth for each in cathodes):
        axes[0, -1].plot([], [], color=_GREY, lw=1, label="hidden truth")
    if with_gas:
        axes[1, 0].set_ylabel("ion current (pA)")
    told = legend_of(axes.flat)
    # Beneath, where it hides no point: ramps end where they like.
    columns = min(len(told), 3 * len(cathodes))
    figure.legend(
        told.values(), told.keys(), frameon=False, loc="outside lower center", ncols=columns
    )
    return written(figure, path, title, 12)


def _phases(axes: "Axes", drawn: HeatingPicture) -> None:
    order = np.argsort(drawn.temperature)
    for name, color in _COLORS.items():
        values, errors = drawn.fractions[name]
        label = name.replace("_", " ")
        axes.errorbar(drawn.temperature, values, errors, fmt="o", ms=3.5, color=color, label=label)
        if name in drawn.truth:
            axes.plot(drawn.temperature[order], drawn.truth[name][order], color=color, lw=1)
    for law, height in zip((drawn.cathode.spinel, drawn.cathode.rock_salt), _HEIGHTS, strict=True):
        axes.axvline(law.half, color=_GREY, lw=0.8, ls="--")
        axes.annotate(
            f"{law.half:.2f} ± {law.half_error:.2f} °C",
            (law.half, height),
            ha="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    axes.set_ylim(-0.05, 1.21)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_title(in_lines(drawn.name, width=_COLUMN, size=12))


def _gas(axes: "Axes", drawn: HeatingPicture) -> None:
    for mass, signal in drawn.gases.items():
        label, color = _GASES.get(mass, (f"m/z {mass}", _GREY))
        base = float(np.nanmin(signal.signal))
        axes.plot(
            drawn.gas_temperatures[mass],
            1e12 * (signal.signal - base),
            color=color,
            lw=1.2,
            label=label,
        )
    peaks = {} if drawn.peaks is None else drawn.peaks.peaks.get(OXYGEN, {})
    for peak in peaks.values():
        axes.axvline(peak.temperature, color=_GASES[OXYGEN][1], lw=0.8, ls=":")
