"""This file is where layers in a volume are measured across."""

from dataclasses import dataclass

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray


@dataclass(frozen=True)
class LayerMap:
    """A layer along every line across it; NaN where a line meets none.

    Attributes:
        thickness: mm, shape of the volume without the axis across.
        start: Where it begins, mm from the outer face of the volume's first voxel, same shape.
        stop: Where it ends, likewise.
    """

    thickness: FloatArray
    start: FloatArray
    stop: FloatArray

    @property
    def mean(self) -> float:
        """Mean thickness, mm."""
        return float(np.nanmean(self.thickness))

    @property
    def error(self) -> float:
        """Standard deviation of the mean if lines were independent, mm; neighbours hardly are."""
        known = self.thickness[np.isfinite(self.thickness)]
        return float(known.std() / np.sqrt(max(known.size, 1)))


def layer_map(
    volume: AnyArray,
    *,
    low: float | tuple[float, float],
    high: float = np.inf,
    axis: int,
    voxel_size: float,
) -> LayerMap:
    """Thickness of the layer whose attenuation lies in a range, line by line.

    Along each line the longest run of voxels in the range is the layer; each end lies where the
    attenuation, taken as linear between voxel centres, crosses the border of the range: half way
    between two materials, an edge is found to a small part of a voxel. A thin crossing of the range
    between two other materials is shorter than the layer, and so is not taken for it.

    Args:
        volume: 1/mm, any number of axes.
        low: Lower border of the range, 1/mm; two where the layer begins beside another material
            than where it ends.
        high: Upper border, 1/mm.
        axis: Of the volume, across the layer.
        voxel_size: mm.

    Raises:
        ReductionError: If no line meets the layer.
    """
    lines = np.moveaxis(np.asarray(volume, dtype=float), axis, -1)
    shape = lines.shape[:-1]
    lines = lines.reshape(-1, lines.shape[-1])
    first, second = low if isinstance(low, tuple) else (low, low)
    begin, end = _longest_run((lines >= min(first, second)) & (lines < high))
    found = end > begin
    if not found.any():
        raise ReductionError(
            f"no voxel between {first:g} and {high:g} 1/mm: there is no such layer"
        )
    start, stop = (np.full(len(lines), np.nan) for _ in range(2))
    start[found] = _crossing(lines[found], begin[found], -1, first, high)
    stop[found] = _crossing(lines[found], end[found] - 1, 1, second, high)
    place = [(each * voxel_size).reshape(shape) for each in (start, stop)]
    return LayerMap(place[1] - place[0], place[0], place[1])


def _longest_run(inside: AnyArray) -> tuple[AnyArray, AnyArray]:
    """First index and one past the last of the longest run of True in each line."""
    length = np.zeros(inside.shape, dtype=np.intp)
    running = np.zeros(len(inside), dtype=np.intp)
    for index, column in enumerate(inside.T):
        running = np.where(column, running + 1, 0)
        length[:, index] = running
    last = length.argmax(axis=1)
    longest = length[np.arange(len(inside)), last]
    return last + 1 - longest, last + 1


def _crossing(lines: FloatArray, edge: AnyArray, step: int, low: float, high: float) -> FloatArray:
    """Where a line leaves the range, voxels from the outer face of the first one."""
    which = np.arange(len(lines))
    for _ in range(lines.shape[1]):
        # At the other end a lower border holds: the layer goes back to its own.
        short = (lines[which, edge] < low) & (lines[which, edge - step] >= lines[which, edge])
        if not short.any():
            break
        edge = np.where(short, edge - step, edge)
    beyond = edge + step
    inside = lines[which, edge]
    is_end = (beyond < 0) | (beyond >= lines.shape[1])
    outside = lines[which, np.clip(beyond, 0, lines.shape[1] - 1)]
    border = np.where(outside < low, low, high)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(is_end, 0.5, (border - inside) / (outside - inside))
    return np.asarray(edge + 0.5 + step * part)
