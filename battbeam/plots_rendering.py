"""This file is where labelled volumes are seen from outside, lit from one side.

Rays are parallel. Each goes on until it meets a voxel that is not empty; how bright that is follows
from how its surface lies to the light. No library for it is needed.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from battbeam.units import FloatArray

#: Voxels over which a surface is smoothed before its normal is taken; samples along a ray per voxel.
_SMOOTH, _SAMPLES = 1.5, 1.5
#: Pixels by which the picture is softened: a voxel's corners are none of the sample's.
_SOFT = 1.2
#: Light without a direction, and where the lamp stands: to the right, up, towards the viewer.
_AMBIENT, _LAMP = 0.45, np.array([-0.4, 0.8, 0.6])
#: Share of brightness that a surface loses from front to back.
_HAZE = 0.15


def rendered(
    labels: npt.NDArray[np.int8],
    colours: Sequence[tuple[float, float, float]],
    *,
    elevation: float,
    azimuth: float,
    n_pixels: tuple[int, int],
    width: float,
) -> FloatArray:
    """A picture of a labelled volume.

    Args:
        labels: Axes (row, z, x), row upwards; 0 is empty. Its middle is the picture's.
        colours: Red, green and blue of label 1, 2, ..., 0 to 1.
        elevation: Of the viewer above the rows, degree.
        azimuth: About the rows' axis, degree.
        n_pixels: Of the picture: high, wide.
        width: That it shows, voxels.

    Returns:
        Shape (high, wide, 4), 0 to 1: red, green, blue, and 0 where nothing is met.
    """
    right, up, towards = _view(elevation, azimuth)
    step, deep = width / n_pixels[1], float(np.abs(towards) @ labels.shape)
    axes = np.column_stack([-towards / _SAMPLES, -up * step, right * step])
    shape = (int(deep * _SAMPLES) + 1, *n_pixels)
    middle = (np.array(labels.shape) - 1) / 2
    begin = middle - axes @ ((np.array(shape) - 1) / 2)
    # The first axis goes away from the viewer.
    seen = affine_transform(labels, axes, offset=begin, output_shape=shape, order=0, cval=0)
    met = (seen > 0).any(axis=0)
    pixels = np.argwhere(met)
    depth = (seen > 0).argmax(axis=0)[met]
    found = seen[depth, pixels[:, 0], pixels[:, 1]]
    places = np.column_stack([depth, pixels]) @ axes.T + begin
    shade = _AMBIENT + (1 - _AMBIENT) * _lit(labels, places, (right, up, towards))
    if depth.size:
        shade = shade * (1 - _HAZE * (depth - depth.min()) / max(float(np.ptp(depth)), 1.0))
    picture = np.zeros((*n_pixels, 4))
    picture[met, :3] = np.clip(np.array(colours)[found - 1] * shade[:, None], 0.0, 1.0)
    picture[met, 3] = 1.0
    soft = gaussian_filter(picture, (_SOFT, _SOFT, 0))
    soft[..., :3] /= np.maximum(soft[..., 3:], 1e-9)
    return np.asarray(np.clip(soft, 0.0, 1.0))


def _view(elevation: float, azimuth: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Directions to the right, upwards and towards the viewer; axes (row, z, x)."""
    tilt, turn = np.radians(elevation), np.radians(azimuth)
    right = np.array([0.0, -np.sin(turn), np.cos(turn)])
    towards = np.array([np.sin(tilt), -np.cos(tilt) * np.cos(turn), -np.cos(tilt) * np.sin(turn)])
    up = np.array([np.cos(tilt), np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn)])
    return right, up, towards


def _lit(
    labels: npt.NDArray[np.int8],
    places: FloatArray,
    view: tuple[FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Cosine between the surfaces' normals and the lamp, 0 to 1."""
    solid = gaussian_filter((labels > 0).astype(np.float32), _SMOOTH)
    slopes = np.array([_at(np.asarray(slope), places) for slope in np.gradient(solid)])
    normal = -slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-9)
    right, up, towards = view
    lamp = _LAMP[0] * right + _LAMP[1] * up + _LAMP[2] * towards
    return np.asarray(np.clip(lamp @ normal / np.linalg.norm(lamp), 0.0, 1.0))


def _at(values: FloatArray, places: FloatArray) -> FloatArray:
    """Values between voxels; ``places`` has shape (n, 3)."""
    return np.asarray(map_coordinates(values, places.T, order=1, mode="nearest"), dtype=float)
