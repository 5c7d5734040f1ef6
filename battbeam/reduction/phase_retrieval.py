"""This file is where edges that propagation has drawn become absorbance again."""

import numpy as np
import scipy.fft

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, wavelength_from_energy

_MM_PER_ANGSTROM = 1e-7


def retrieve_phase(
    absorbance: AnyArray,
    *,
    distance: float,
    energy: float,
    delta_over_beta: float,
    pixel_size: float,
) -> AnyArray:
    """Absorbance in the plane of the sample, of a sample of one material, from one distance.

    Exact for a weak object of one delta over beta in the near field; of several, the edges of those
    with more are blurred, of those with less are left.

    Args:
        absorbance: As measured at the distance, shape (n, n_rows, n_columns).
        distance: Sample to scintillator, mm.
        energy: eV.
        delta_over_beta: Of the refractive index 1 - delta + i beta.
        pixel_size: At the sample, mm.

    Returns:
        Shape (n, n_rows, n_columns), single precision; phase = absorbance x delta_over_beta / 2,
        radian, less than in vacuum.

    Raises:
        ReductionError: If the energy is not known, or distance or ratio are not positive.

    Source:
        Paganin et al., J. Microsc. 206, 33 (2002), equation 12, with mu = 4 pi beta / wavelength.
    """
    if not (energy > 0 and distance > 0 and delta_over_beta > 0):
        raise ReductionError(
            "phase retrieval wants energy, distance and delta_over_beta above 0, got "
            f"{energy} eV, {distance} mm, {delta_over_beta}"
        )
    wavelength = wavelength_from_energy(energy) * _MM_PER_ANGSTROM
    reach = distance * delta_over_beta * wavelength / (4 * np.pi)
    # Mirrored at the borders, so that opposite sides of the field do not meet.
    _, n_rows, n_columns = absorbance.shape
    along_rows = 2 * np.pi * np.arange(n_rows) / (2 * n_rows * pixel_size)
    along_columns = 2 * np.pi * np.arange(n_columns) / (2 * n_columns * pixel_size)
    gain = 1 / (1 + reach * (along_rows[:, None] ** 2 + along_columns**2))
    spectrum = scipy.fft.dctn(np.exp(-absorbance), axes=(1, 2), type=2, norm="ortho")
    spectrum *= gain.astype(np.float32)
    seen = scipy.fft.idctn(spectrum, axes=(1, 2), type=2, norm="ortho", overwrite_x=True)
    return np.asarray(-np.log(np.maximum(seen, np.float32(1e-6))), dtype=np.float32)
