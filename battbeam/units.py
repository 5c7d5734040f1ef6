"""This file is where units are converted and array types are named."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import constants

FloatArray: TypeAlias = npt.NDArray[np.float64]
AnyArray: TypeAlias = npt.NDArray[Any]

#: h c in eV angstrom (CODATA, through scipy.constants).
HC = constants.h * constants.c / constants.e * 1e10


def wavelength_from_energy(energy: float) -> float:
    """Photon wavelength in angstrom at a photon energy in eV.

    Raises:
        ValueError: If the energy is not positive.

    >>> round(wavelength_from_energy(12398.42), 6)
    1.0
    """
    if not energy > 0:
        raise ValueError(f"energy must be greater than 0 eV, got {energy}")
    return HC / energy


def q_from_two_theta(*, two_theta: FloatArray, energy: float) -> FloatArray:
    """Scattering vector q = 4 pi sin(theta) / wavelength in 1/angstrom at each angle in degree.

    >>> q_from_two_theta(two_theta=np.array([0.0, 60.0]), energy=12398.42).round(3)
    array([0.   , 6.283])
    """
    half_angle = np.radians(two_theta) / 2
    return np.asarray(4 * np.pi * np.sin(half_angle) / wavelength_from_energy(energy))


def two_theta_from_d_spacing(*, d_spacing: FloatArray, energy: float) -> FloatArray:
    """Scattering angle in degree by Bragg's law; NaN where the plane cannot reflect.

    >>> two_theta_from_d_spacing(d_spacing=np.array([1.0, 0.4]), energy=12398.42).round(3)
    array([60., nan])
    """
    sine = wavelength_from_energy(energy) / (2 * np.asarray(d_spacing, dtype=float))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.degrees(2 * np.arcsin(np.where(sine <= 1, sine, np.nan))))
