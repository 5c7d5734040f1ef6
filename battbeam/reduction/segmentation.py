"""This file is where a volume is divided into materials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# Bins of the histogram that thresholds are looked for in, and the share of voxels that may lie
# beyond its ends: a few hot voxels must not stretch it.
_BINS, _BEYOND = 256, 1e-4


@dataclass(frozen=True)
class Segmentation:
    """Which class each voxel belongs to, by its attenuation.

    Attributes:
        labels: 0 for the least attenuating class, shape of the volume; -1 outside of the region.
        thresholds: Between the classes, 1/mm, ascending.
        means: Attenuation of each class, 1/mm; NaN for an empty one.
        fractions: Share of each class in the region; adds up to 1.
    """

    labels: npt.NDArray[np.int8]
    thresholds: FloatArray
    means: FloatArray
    fractions: FloatArray


def skimage_module(name: str) -> Any:
    """A part of scikit-image, imported when it is first needed.

    Raises:
        ReductionError: If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"skimage.{name}")
    except ImportError as fault:
        raise ReductionError(
            f"skimage.{name} is needed: pip install 'battbeam[tomography]'"
        ) from fault


def otsu_thresholds(
    volume: AnyArray, *, n_classes: int, region: AnyArray | None = None
) -> FloatArray:
    """Attenuations that part a volume's histogram so that classes are as uniform as can be.

    Args:
        volume: 1/mm.
        n_classes: 2 or more; beyond 4 it takes long.
        region: True where to look, shape of the volume.

    Returns:
        1/mm, ascending, shape (n_classes - 1,).

    Raises:
        ReductionError: If there are fewer values than classes, or scikit-image is not installed.

    Source:
        Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979); several classes as in scikit-image.
    """
    values = np.asarray(volume if region is None else volume[region]).ravel()
    if not values.size or len(np.unique(values[: 10 * _BINS])) < n_classes:
        raise ReductionError(f"{values.size} voxels do not fall into {n_classes} classes")
    low, high = np.quantile(values, [_BEYOND, 1 - _BEYOND])
    clipped = np.clip(values, low, high)
    filters = skimage_module("filters")
    return np.asarray(filters.threshold_multiotsu(clipped, n_classes, nbins=_BINS), dtype=float)


def thresholds_between(attenuations: Sequence[float]) -> FloatArray:
    """Half way between materials of known attenuation, 1/mm, ascending.

    Half way is where an edge lies that the resolution has blurred alike on both sides.

    >>> thresholds_between([2.0, 0.0, 6.0])
    array([1., 4.])
    """
    levels = np.sort(np.asarray(attenuations, dtype=float))
    return np.asarray((levels[1:] + levels[:-1]) / 2)


def segment(
    volume: AnyArray, thresholds: FloatArray, *, region: AnyArray | None = None
) -> Segmentation:
    """Classes of voxels, between thresholds.

    Args:
        volume: 1/mm, any shape.
        thresholds: 1/mm, ascending, of `otsu_thresholds` or `thresholds_between`.
        region: True where to look, shape of the volume.

    Raises:
        ReductionError: If the thresholds do not ascend, or the region is empty.
    """
    if np.any(np.diff(thresholds) <= 0):
        raise ReductionError(f"thresholds must ascend: {np.asarray(thresholds).tolist()} 1/mm")
    inside = np.ones(volume.shape, dtype=bool) if region is None else np.asarray(region, dtype=bool)
    if not inside.any():
        raise ReductionError("the region to segment holds no voxel")
    labels = np.where(inside, np.digitize(volume, thresholds), -1).astype(np.int8)
    n_classes = len(thresholds) + 1
    numbers = np.bincount(labels[inside], minlength=n_classes)
    sums = np.bincount(labels[inside], weights=volume[inside], minlength=n_classes)
    with np.errstate(invalid="ignore"):
        means = sums / numbers
    return Segmentation(labels, np.asarray(thresholds, dtype=float), means, numbers / numbers.sum())


def contrast_to_noise(volume: AnyArray, one: AnyArray, other: AnyArray) -> float:
    """Difference of the means of two regions over the standard deviation within them.

    Args:
        volume: 1/mm.
        one: True inside of it, shape of the volume.
        other: Likewise.

    Raises:
        ReductionError: If a region holds fewer than two voxels.
    """
    first, second = volume[one], volume[other]
    if min(first.size, second.size) < 2:
        raise ReductionError("contrast to noise wants two voxels or more in either region")
    spread = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    return float(abs(first.mean(dtype=float) - second.mean(dtype=float)) / spread)
