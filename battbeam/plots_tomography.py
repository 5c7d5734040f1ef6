"""This file is where the picture of operando tomograms of particles is, as one would put it in a talk."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from battbeam.plots_ending import written
from battbeam.plots_particles import (
    MARKS,
    TomogramsPicture,
    draw_cores,
    draw_cracks,
    draw_expansion,
    draw_voltage,
)
from battbeam.plots_rendering import rendered
from battbeam.reduction.particle_series import (
    CORE,
    CRACK,
    OUTSIDE,
    RIM,
    LabelArray,
    ParticlesAt,
    label_particles,
)
from battbeam.units import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

_COLOURS = {RIM: "#A6D4F0", CORE: "#0A4F8C", CRACK: "#D55E00"}
_NAMES = {CORE: "core: SnO", RIM: "shell: Li$_2$O and Li$_x$Sn", CRACK: "crack"}
#: mm: the scale bar, and what is left of a section around the particles.
_BAR, _AROUND = 0.2, 0.03
#: Pixels about what is seen of particles.
_RIM = 8
#: How particles are looked at, degree, and pixels of that picture, before what is empty is cut off.
_ELEVATION, _AZIMUTH, _PIXELS = 48.0, 0.0, (500, 520)


def operando_tomography(drawn: TomogramsPicture, *, path: Path, title: str = "") -> Path:
    """Sections, the particles opened up, and what they say against the charge.

    Args:
        drawn: What is drawn.
        path: Of the picture, .png or .pdf.
        title: Above it.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.5, 11.4), layout="constrained", dpi=150)
    parts = figure.subfigures(3, 1, height_ratios=(1.2, 0.95, 0.95), squeeze=False)[:, 0]
    _sections(parts[0], drawn)
    _opened(parts[1], drawn)
    panels = parts[2].subplots(1, 4)
    for draw, axes in zip(
        (draw_voltage, draw_expansion, draw_cores, draw_cracks), panels, strict=True
    ):
        draw(axes, drawn)
    return written(figure, path, title, 15)


def draw_section(
    axes: "Axes",
    section: AnyArray,
    *,
    voxel_size: float,
    brightest: float,
    bar: float | None = None,
) -> "AxesImage":
    """A section of a volume in shades of grey, with a scale bar if one is asked for.

    Args:
        axes: Where.
        section: 1/mm.
        voxel_size: mm.
        brightest: Attenuation that is white, 1/mm; nothing is black.
        bar: Length of the scale bar, mm; None: none.
    """
    high, wide = (n * voxel_size for n in section.shape)
    image = axes.imshow(
        section, cmap="gray", vmin=0.0, vmax=brightest, origin="lower", extent=(0, wide, 0, high)
    )
    axes.set_axis_off()
    if bar is not None:
        x, y = 0.04 * wide, 0.04 * high
        axes.plot([x, x + bar], [y, y], color="white", linewidth=5, solid_capstyle="butt")
        axes.text(
            x + bar / 2,
            1.8 * y,
            f"{bar * 1e3:.0f} µm",
            color="white",
            ha="center",
            va="bottom",
            fontsize=12,
        )
    return image


def _sections(figure: "SubFigure", drawn: TomogramsPicture) -> None:
    """Across the rotation axis, through the largest particle, on one scale."""
    height = round(drawn.particles[-1].particles[0].centre[0])
    brightest = 1.06 * max(each.core_attenuation for each in drawn.particles[0].particles)
    part = _part(drawn)
    chosen = drawn.chosen
    panels = figure.subplots(1, len(chosen), squeeze=False)[0]
    for number, (index, axes) in enumerate(zip(chosen, panels, strict=True)):
        image = draw_section(
            axes,
            drawn.volumes[index][height][part],
            voxel_size=drawn.voxel_size,
            brightest=brightest,
            bar=_BAR if number == 0 else None,
        )
        axes.set_title(_state(drawn, index), fontsize=12, color=MARKS[number])
    bar = figure.colorbar(image, ax=list(panels), aspect=28, pad=0.01)
    bar.set_label("attenuation (1/mm)")


def _part(drawn: TomogramsPicture) -> tuple[slice, slice]:
    """Rows and columns of a square that holds all particles, and a little more."""
    final = drawn.particles[-1].particles
    n_voxels = drawn.volumes[0].shape[1:]
    around = [(each.radius + _AROUND) / drawn.voxel_size for each in final]
    ends = [
        (
            min(each.centre[axis] - far for each, far in zip(final, around, strict=True)),
            max(each.centre[axis] + far for each, far in zip(final, around, strict=True)),
        )
        for axis in (1, 2)
    ]
    side = min(max(high - low for low, high in ends), *n_voxels)
    first, second = (
        slice(begin := int(np.clip((low + high - side) / 2, 0, n - side)), begin + int(side))
        for (low, high), n in zip(ends, n_voxels, strict=True)
    )
    return first, second


def _state(drawn: TomogramsPicture, index: int) -> str:
    cracked = [number for number, each in enumerate(drawn.particles) if each.is_cracked]
    words = f"{drawn.lithium[index]:.1f} Li per Sn"
    if index == 0:
        return f"fresh: {words}"
    if cracked and index in (cracked[0] - 1, cracked[0]):
        return f"{'cracked' if index == cracked[0] else 'not cracked yet'}: {words}"
    return f"at the end: {words}" if index == len(drawn.volumes) - 1 else words


def _opened(figure: "SubFigure", drawn: TomogramsPicture) -> None:
    """Every particle without its upper half: core, shell and crack as they were told apart."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    colours = [to_rgb(_COLOURS[label]) for label in sorted(_COLOURS)]
    width = 1.05 * (_part(drawn)[0].stop - _part(drawn)[0].start)
    chosen = drawn.chosen
    panels = figure.subplots(1, len(chosen), squeeze=False)[0]
    pictures = [_picture(drawn, index, colours, width) for index in chosen]
    seen = np.argwhere(np.max([each[..., 3] for each in pictures], axis=0) > 0)
    low, high = np.maximum(seen.min(axis=0) - _RIM, 0), seen.max(axis=0) + _RIM
    for picture, axes in zip(pictures, panels, strict=True):
        axes.imshow(picture[low[0] : high[0], low[1] : high[1]], interpolation="bilinear")
        axes.set_axis_off()
    patches = [Patch(color=_COLOURS[label], label=name) for label, name in _NAMES.items()]
    figure.legend(
        handles=patches,
        fontsize=11,
        frameon=False,
        loc="outside lower center",
        ncols=3,
        title="segmented volumes, the upper half of each particle taken off",
        title_fontsize=11,
    )


def _picture(
    drawn: TomogramsPicture,
    index: int,
    colours: list[tuple[float, float, float]],
    width: float,
) -> FloatArray:
    found, size = drawn.particles[index], drawn.voxel_size
    labels = label_particles(drawn.volumes[index], found, voxel_size=size)
    return rendered(
        halved(labels, found, voxel_size=size)[:, *_part(drawn)],
        colours,
        elevation=_ELEVATION,
        azimuth=_AZIMUTH,
        n_pixels=_PIXELS,
        width=width,
    )


def halved(labels: LabelArray, found: ParticlesAt, *, voxel_size: float) -> LabelArray:
    """Without what lies above the middle of each particle.

    Args:
        labels: Of `label_particles`.
        found: The same particles.
        voxel_size: mm.
    """
    places = np.argwhere(labels != OUTSIDE)
    away = [
        np.linalg.norm(places - each.centre, axis=1) * voxel_size / each.radius
        for each in found.particles
    ]
    middles = np.array([each.centre[0] for each in found.particles])[np.argmin(away, axis=0)]
    left = labels.copy()
    left[tuple(places[places[:, 0] > middles + 0.5].T)] = OUTSIDE
    return left
