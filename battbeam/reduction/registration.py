"""This file is where two tomograms are laid over each other."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import fftn, ifftn
from scipy.ndimage import fourier_shift

from battbeam.errors import ReductionError
from battbeam.reduction.segmentation import skimage_module
from battbeam.units import AnyArray

# Steps of a voxel in which the shift is told.
_FINER = 50


@dataclass(frozen=True)
class Registration:
    """How one volume lies relative to another.

    Attributes:
        shift: That moves the other onto the volume, voxels along each axis.
        likeness: Correlation of the two once they lie on each other, up to 1.
    """

    shift: tuple[float, ...]
    likeness: float


def register(volume: AnyArray, other: AnyArray) -> Registration:
    """The shift between two volumes or images of one sample, to a small part of a voxel.

    Args:
        volume: Any number of axes.
        other: Same shape.

    Raises:
        ReductionError: If their shapes differ, one of them is uniform, or scikit-image is not
            installed.

    Source:
        Guizar-Sicairos, Thurman and Fienup, Opt. Lett. 33, 156 (2008), as in scikit-image.
    """
    if volume.shape != other.shape:
        raise ReductionError(f"volumes to register differ in shape: {volume.shape}, {other.shape}")
    if not (np.ptp(volume) > 0 and np.ptp(other) > 0):
        raise ReductionError("a uniform volume lies nowhere: it cannot be registered")
    registration = skimage_module("registration")
    one, two = (each - each.mean(dtype=float) for each in (volume, other))
    shift, _, _ = registration.phase_cross_correlation(
        one, two, upsample_factor=_FINER, normalization=None
    )
    likeness = np.corrcoef(volume.ravel(), shifted(other, tuple(shift)).ravel())[0, 1]
    return Registration(tuple(float(each) for each in shift), float(likeness))


def shifted(volume: AnyArray, shift: tuple[float, ...]) -> AnyArray:
    """A volume moved by parts of voxels along each axis; what leaves at one end enters at the other."""
    return np.asarray(ifftn(fourier_shift(fftn(volume), shift)).real)
