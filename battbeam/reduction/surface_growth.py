"""This file is where what grows from a flat surface between two materials is measured in a volume.

Lithium that was plated stands above the surface that the electrode had; what was stripped, or never
was lithium, lies below it as the other material. At the surface itself the resolution mixes both,
and propagation draws a fringe along it: rows there are not looked at but follow from those beside.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# Rows beside a surface that are not looked at: blur of a pixel or two, and the first fringe.
_LEFT_OUT = 3.0
# Rows beside those from which areas go on to the surface, as parabolas.
_CONTINUED = 4


@dataclass(frozen=True)
class SurfaceGrowth:
    """What has crossed a flat surface, and by how much.

    Attributes:
        below: Volume of the upper material below the surface, mm3.
        above: Volume of the lower material above it, mm3.
        area: Of both in each row, mm2, shape (n_rows,); 0 outside of the limits.
    """

    below: float
    above: float
    area: FloatArray


def surface_growth(
    volume: AnyArray,
    *,
    surface: float,
    lower: float,
    upper: float,
    voxel_size: float,
    region: AnyArray,
    limits: tuple[float, float],
) -> SurfaceGrowth:
    """Volumes on the wrong side of a surface that is perpendicular to the first axis.

    The area of either material in a row is what its voxels have of it, in parts. Towards the
    surface, and towards the limits, it goes on as a parabola with its vertex at the surface:
    exactly what an ellipsoid does whose middle lies there.

    Args:
        volume: 1/mm, axes (row, z, x).
        surface: Where it was before anything grew, rows from the bottom face of the first one.
        lower: Attenuation of the material below, 1/mm.
        upper: Of the one above, 1/mm.
        voxel_size: mm.
        region: True where to look, axes (z, x).
        limits: Lowest and highest row that growth may reach: the next surfaces, rows from the
            bottom face of the first one.

    Raises:
        ReductionError: If both attenuate alike, or the limits leave too few rows.
    """
    if lower == upper:
        raise ReductionError(f"both materials attenuate {lower:g} 1/mm")
    row = np.arange(len(volume)) + 0.5
    mean = volume[:, region].mean(axis=1, dtype=float)
    is_below = row < surface
    wrong = np.where(is_below, mean - lower, upper - mean) / (upper - lower)
    area = wrong * np.count_nonzero(region) * voxel_size**2
    volumes = []
    for limit, side in ((limits[0], is_below), (limits[1], ~is_below)):
        away = np.abs(row - surface)
        reach = abs(limit - surface)
        seen = side & (away >= _LEFT_OUT) & (away <= reach - _LEFT_OUT)
        if np.count_nonzero(seen) < 2 * _CONTINUED:
            raise ReductionError(
                f"{np.count_nonzero(seen)} rows between surface and limit, {2 * _CONTINUED} wanted"
            )
        area[side & (away > reach)] = 0.0
        volumes.append(_integral(away[seen], area[seen], reach) * voxel_size)
    return SurfaceGrowth(volumes[0], volumes[1], area)


def _integral(away: FloatArray, area: FloatArray, reach: float) -> float:
    """Of areas over the distance from the surface to the limit; rows are 1 apart."""
    order = np.argsort(away)
    away, area = away[order], area[order]
    first, last = away[0] - 0.5, away[-1] + 0.5
    near = _parabola(away[:_CONTINUED], area[:_CONTINUED])
    far = _parabola(away[-_CONTINUED:], area[-_CONTINUED:])
    beyond = np.linspace(last, reach, 33)
    tail = np.clip(far[0] + far[1] * beyond**2, 0, max(float(area[-_CONTINUED:].mean()), 0.0))
    inner = near[0] * first + near[1] * first**3 / 3
    return float(inner + area.sum() + np.trapezoid(tail, beyond))


def _parabola(away: FloatArray, area: FloatArray) -> tuple[float, float]:
    """Height at the surface, and what comes with the square of the distance."""
    slope, height = np.polyfit(away**2, area, 1)
    return float(height), float(slope)
