"""This file is where a wound sheet is laid flat.

The sheet is followed about a middle: at each angle it is seen as bands along the radius, and the one
that goes on where the last one pointed is the same sheet, one turn further out after each turn.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.signal import savgol_filter

from battbeam.errors import ReductionError
from battbeam.reduction.thickness import layer_map
from battbeam.units import AnyArray, FloatArray

# Steps along the radius, and along the outermost turn, voxels.
_STEP = 0.5
# The next band lies this close to where the last ones pointed, in parts of the sheet's thickness.
_NEAR = 0.35
# A band of another thickness than so many parts of the usual one is no sound sheet: a crack, a joint.
_SOUND = (0.6, 1.5)
# The same of what is followed, in parts of the usual width: what is left of the sheet at the rim of a
# crack lies aside of its middle line, and would point away from it.
_WHOLE = (0.75, 1.3)
# What is not sound may be as long as this many thicknesses before the sheet is taken to end.
_LONGEST_GAP = 1.5
# Arc over which the middle line is smoothed by parabolas, in thicknesses: noise would lengthen it.
_SMOOTH = 1.5


@dataclass(frozen=True)
class UnrolledSheet:
    """A wound sheet laid flat; lengths in mm, from the sheet's inner end along its middle line.

    Attributes:
        arc: Position along the sheet, shape (n,), evenly spaced by a voxel.
        across: Position across it, > 0 outwards, shape (m,), 0 on the middle line.
        values: Attenuation, 1/mm, shape (n_rows, m, n).
        thickness: At each position, mean over the rows, shape (n,); NaN where it is not sound.
        x: Of the middle line, mm from the middle of the slice, shape (n,).
        z: Likewise.
        length: Of the sheet from end to end, mm.
    """

    arc: FloatArray
    across: FloatArray
    values: FloatArray
    thickness: FloatArray
    x: FloatArray
    z: FloatArray
    length: float

    @property
    def mean_thickness(self) -> float:
        """Median over the sheet, mm."""
        return float(np.nanmedian(self.thickness))


@dataclass(frozen=True)
class Crack:
    """A gap in a sheet.

    Attributes:
        position: Of its middle, mm from the sheet's inner end along the middle line.
        width: Along the sheet, of a gap right through that lacks as much, mm.
        depth: Share of the sheet that is missing in its middle.
    """

    position: float
    width: float
    depth: float


def unroll(
    volume: AnyArray,
    *,
    low: float,
    high: float,
    voxel_size: float,
    thickness: float,
    middle: tuple[float, float] = (0.0, 0.0),
) -> UnrolledSheet:
    """Follow the sheet whose attenuation lies in a range, from its inner to its outer end.

    Args:
        volume: 1/mm, axes (row, z, x); all rows are taken to be wound alike.
        low: Lower border, 1/mm: half way to what lies beside the sheet.
        high: Upper border, 1/mm: half way to the case.
        voxel_size: mm.
        thickness: Roughly, of the sheet, mm.
        middle: x and z of the point about which it is wound, mm from the middle of the slice.

    Raises:
        ReductionError: If no sheet is found, or a closed ring instead of one.
    """
    mean = np.asarray(volume.mean(axis=0), dtype=float)
    n = mean.shape[0]
    origin = (n - 1) / 2 + np.array(middle[::-1]) / voxel_size
    radius = np.arange(0, n / 2 - np.abs(origin - (n - 1) / 2).max(), _STEP)
    n_angles = int(2 * np.pi * radius[-1])
    angle = 2 * np.pi * np.arange(n_angles) / n_angles
    polar = map_coordinates(
        mean,
        [
            origin[0] + np.sin(angle)[:, None] * radius,
            origin[1] + np.cos(angle)[:, None] * radius,
        ],
        order=1,
        mode="nearest",
    )
    rough = thickness / voxel_size
    turn, middle_line = _follow([_bands(line, low, high) for line in polar], angle[1], rough)
    z, x = (origin[axis] + wave(turn) * middle_line for axis, wave in ((0, np.sin), (1, np.cos)))
    return _laid_flat(volume, x, z, low, high, voxel_size, rough)


def find_crack(sheet: UnrolledSheet, *, empty: float, least_depth: float = 0.25) -> Crack:
    """The deepest gap in an unrolled sheet.

    Args:
        sheet: Of `unroll`.
        empty: Attenuation of what fills a gap, 1/mm.
        least_depth: Share of the sheet that a crack lacks at least.

    Raises:
        ReductionError: If the sheet has no gap of that depth.
    """
    inside = np.abs(sheet.across) < 0.4 * sheet.mean_thickness
    profile = sheet.values[:, inside].mean(axis=(0, 1))
    solid = float(np.median(profile))
    lacking = (solid - profile) / (solid - empty)
    # The ends of the sheet are blurred: what lacks there is no crack.
    margin = max(2, int(0.5 * sheet.mean_thickness / np.diff(sheet.arc[:2])[0]))
    lacking[:margin] = lacking[-margin:] = 0
    deepest = int(lacking.argmax())
    depth = float(lacking[deepest])
    if depth < least_depth:
        raise ReductionError(
            f"no crack: nowhere does the sheet lack more than {depth:.0%}, {least_depth:.0%} wanted"
        )
    shallow = np.flatnonzero(lacking < depth / 4)
    first = int(shallow[shallow < deepest].max(initial=-1)) + 1
    last = int(shallow[shallow > deepest].min(initial=len(lacking)))
    gap = slice(first, last)
    step = float(np.diff(sheet.arc[:2])[0])
    return Crack(
        position=float(np.average(sheet.arc[gap], weights=lacking[gap])),
        width=float(lacking[gap].sum() * step / depth),
        depth=depth,
    )


def _bands(line: FloatArray, low: float, high: float) -> FloatArray:
    """Inner and outer edge of every run within the range along a radius, voxels, shape (n, 2)."""
    inside = np.concatenate([[False], (line >= low) & (line < high), [False]])
    change = np.diff(inside.astype(np.int8))
    first, last = np.flatnonzero(change > 0), np.flatnonzero(change < 0) - 1
    edges = []
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        edge = [
            _crossing(line, begin, begin - 1, low, high),
            _crossing(line, end, end + 1, low, high),
        ]
        edges.append(edge)
    return np.array(edges).reshape(-1, 2) * _STEP


def _crossing(line: FloatArray, inside: int, outside: int, low: float, high: float) -> float:
    if not 0 <= outside < len(line):
        return float(inside)
    border = low if line[outside] < low else high
    part = (border - line[inside]) / (line[outside] - line[inside])
    return float(inside + part * (outside - inside))


def _follow(bands: list[FloatArray], step: float, rough: float) -> tuple[FloatArray, FloatArray]:
    """Angle, which goes on growing turn after turn, and radius of the middle line, inside out."""
    roughly = np.concatenate([_as_wide(each, rough, _SOUND) for each in bands])
    if not len(roughly):
        raise ReductionError(
            f"no sheet of about {rough:.1f} voxels: nowhere does a band of the range have that width"
        )
    # One that there is, so that at least one band is as wide.
    usual = float(np.sort(np.diff(roughly, axis=1), axis=None)[len(roughly) // 2])
    whole = [_as_wide(each, usual, _WHOLE) for each in bands]
    first = next(index for index, each in enumerate(whole) if len(each))
    start = first, float(whole[first][0].mean())
    back = _walk(whole, start, -1, step, rough)
    forth = _walk(whole, start, 1, step, rough)
    path = {**back, **forth}
    index = np.array(sorted(path))
    every = np.arange(index[0], index[-1] + 1)
    radius = np.interp(every, index, [path[each] for each in index])
    outwards = slice(None) if radius[0] < radius[-1] else slice(None, None, -1)
    return every[outwards] * step, radius[outwards]


def _as_wide(bands: FloatArray, width: float, part: tuple[float, float]) -> FloatArray:
    """Those of the bands, shape (n, 2), whose width lies between two parts of another."""
    found = bands[:, 1] - bands[:, 0]
    return bands[(found > part[0] * width) & (found < part[1] * width)]


def _walk(
    bands: list[FloatArray], start: tuple[int, float], direction: int, step: float, rough: float
) -> dict[int, float]:
    """Radius at each angle, counted on beyond a turn, until the sheet ends."""
    index, radius = start
    found = {index: radius}
    trail = [radius]
    gap = 0.0
    while gap < _LONGEST_GAP * rough and radius > 0:
        a_turn_ago = found.get(index - direction * len(bands), math.inf)
        if abs(a_turn_ago - radius) < _NEAR * rough:
            raise ReductionError(
                f"a ring, no wound sheet: {radius:.1f} voxels from the middle after a turn as before "
                "it; choose the range so that the case is not in it"
            )
        index += direction
        trail_slope = (trail[-1] - trail[0]) / max(len(trail) - 1, 1)
        radius += trail_slope
        middles = bands[index % len(bands)].mean(axis=1)
        near = np.abs(middles - radius)
        if len(near) and near.min() < _NEAR * rough:
            radius = float(middles[near.argmin()])
            found[index], gap = radius, 0.0
            trail = [*trail, radius][-max(8, int(rough / (radius * step))) :]
        else:
            gap += radius * step
            trail = [each + trail_slope for each in trail]
    return found


def _laid_flat(
    volume: AnyArray,
    x: FloatArray,
    z: FloatArray,
    low: float,
    high: float,
    voxel_size: float,
    rough: float,
) -> UnrolledSheet:
    x, z = _evenly(x, z, _STEP)
    x, z = (_smooth(each, rough) for each in (x, z))
    x, z = _evenly(_longer(x, rough), _longer(z, rough), 1.0)
    slope_x, slope_z = np.gradient(x), np.gradient(z)
    length = np.hypot(slope_x, slope_z)
    centre = (volume.shape[1] - 1) / 2
    side = np.sign(np.median(slope_z * (x - centre) - slope_x * (z - centre)))
    out_x, out_z = side * slope_z / length, -side * slope_x / length
    across = np.arange(-0.9 * rough, 0.9 * rough + _STEP, _STEP)
    where = [z + across[:, None] * out_z, x + across[:, None] * out_x]
    values = np.stack(
        [map_coordinates(row, where, order=1, mode="nearest") for row in np.asarray(volume)]
    )
    mean = values.mean(axis=0)
    first, last = _ends(mean[np.abs(across) < 0.2 * rough].mean(axis=0), low)
    kept = slice(int(np.ceil(first)), int(np.floor(last)) + 1)
    thickness = layer_map(mean, low=low, high=high, axis=0, voxel_size=_STEP * voxel_size).thickness
    typical = np.nanmedian(thickness[kept])
    sound = (thickness > _SOUND[0] * typical) & (thickness < _SOUND[1] * typical)
    return UnrolledSheet(
        arc=(np.arange(len(x), dtype=float)[kept] - first) * voxel_size,
        across=across * voxel_size,
        values=values[:, :, kept],
        thickness=np.where(sound, thickness, np.nan)[kept],
        x=(x[kept] - centre) * voxel_size,
        z=(z[kept] - centre) * voxel_size,
        length=(last - first) * voxel_size,
    )


def _evenly(x: FloatArray, z: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    """Points a step of arc apart on a way of straight pieces."""
    arc = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    even = np.arange(0, arc[-1], step)
    return np.interp(even, arc, x), np.interp(even, arc, z)


def _smooth(path: FloatArray, rough: float) -> FloatArray:
    window = min(2 * int(_SMOOTH * rough / _STEP / 2) + 1, (len(path) - 1) // 2 * 2 + 1)
    return np.asarray(savgol_filter(path, max(window, 5), 2))


def _longer(path: FloatArray, rough: float) -> FloatArray:
    """Gone on straight at both ends, so that the ends can be seen."""
    more = np.arange(1, int(rough) + 1)
    few = max(3, int(rough / 2))
    first, last = (path[few] - path[0]) / few, (path[-1] - path[-1 - few]) / few
    return np.concatenate([path[0] - more[::-1] * first, path, path[-1] + more * last])


def _ends(profile: FloatArray, low: float) -> tuple[float, float]:
    """Where a profile along the sheet rises above and falls below a level for good."""
    above = np.flatnonzero(profile >= low)
    if not len(above):
        raise ReductionError(f"the sheet that was followed lies nowhere above {low:g} 1/mm")
    first, last = float(above[0]), float(above[-1])
    if above[0] > 0:
        before = profile[above[0] - 1]
        first -= (profile[above[0]] - low) / (profile[above[0]] - before)
    if above[-1] < len(profile) - 1:
        behind = profile[above[-1] + 1]
        last += (profile[above[-1]] - low) / (profile[above[-1]] - behind)
    return first, last
