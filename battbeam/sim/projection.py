"""This file is where rays go through a phantom: what a wave loses on its way, and its intensity behind.

A plane wave passes the phantom in its projection and goes on through free space. Where samples are
fine enough to resolve the Fresnel zones of the distance, it is propagated as a wave and squared; the
field is rendered a little larger than it is seen and continued as its mirror image, so that no edge
of the grid comes in, and a cosine transform does both at once. Where they are not, light is moved by
its refraction (transport of intensity), at most as far as the edge of a sample diffracts it: a wave
would alias there. Not imitated: refraction inside the sample, a source of finite size, and phases that
change by more than half a wave from sample to sample in the first case.
"""

import functools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import scipy.fft

from battbeam.sim.phantom_body import Body
from battbeam.sim.phantom_matter import wave_exponent
from battbeam.sim.phantom_shapes import Grid, Prism
from battbeam.units import FloatArray, wavelength_from_energy

ComplexArray = npt.NDArray[np.complex128]
#: Widths of the first Fresnel zone, sqrt(wavelength times distance), by which the field is rendered
#: larger on every side.
_MARGIN = 4.0
#: Fresnel number of a sample from which light is moved by refraction alone: the two agree within 4 %
#: there up to the finest frequency of the samples, and no sample can give more light than it has.
_TRANSPORT = 2.0


def projected(bodies: Iterable[Body], grid: Grid, *, omega: float, energy: float) -> ComplexArray:
    """What the logarithm of a wave's amplitude loses in each sample of a grid, the mean over it.

    Args:
        bodies: Of a phantom.
        grid: Of samples.
        omega: Of the phantom, degree.
        energy: eV.

    Returns:
        Attenuation / 2 + i times phase shift, shape of the grid.
    """
    turn = math.radians(omega)
    total = np.zeros(grid.shape, dtype=complex)
    columns: dict[tuple[float, float], ComplexArray] = {}
    shares: dict[tuple[float, float], FloatArray] = {}
    for body in bodies:
        exponent, shape = wave_exponent(body.change, energy), body.shape
        if isinstance(shape, Prism):
            key = (shape.low, shape.high)
            if key not in columns:
                shares[key] = shape.row_shares(grid)
                columns[key] = np.zeros(grid.shape[1], dtype=complex)
            columns[key] += exponent * shape.column_chords(grid, turn)
        elif (patch := shape.patch(grid, turn)) is not None:
            total[patch.rows, patch.columns] += exponent * patch.chords
    if columns:
        rows = np.array([shares[key] for key in columns])
        total += rows.T @ np.array(list(columns.values()))
    return total


def margin(*, distance: float, energy: float) -> float:
    """mm by which a field is rendered larger on every side, for a distance of propagation in mm."""
    return _MARGIN * math.sqrt(wavelength_from_energy(energy) * 1e-7 * distance)


def intensity_behind(
    exponent: ComplexArray, *, step: float, distance: float, energy: float
) -> FloatArray:
    """Intensity of a wave some way behind a sample, over that before it.

    Args:
        exponent: What the logarithm of its amplitude lost, shape (n_rows, n_columns).
        step: Between samples, mm.
        distance: mm.
        energy: eV.
    """
    wavelength = wavelength_from_energy(energy) * 1e-7
    if step**2 >= _TRANSPORT * wavelength * distance:
        return _transported(exponent, distance / step**2, wavelength)
    return _propagated(exponent, step, distance, energy)


def _transported(exponent: ComplexArray, reach: float, wavelength: float) -> FloatArray:
    """By refraction; ``reach`` is the distance over the square of the step, 1/mm.

    Source:
        Teague (1983): dI/dz = -div(I grad(phase)) / k, one step along z, from where the light comes.
    """
    near = np.exp(-2 * exponent.real)
    behind = near.copy()
    for axis in (0, 1):
        # share of a sample's light that crosses to the next; edges diffract to half a wavelength a step
        moved = np.diff(exponent.imag, axis=axis) * (-reach * wavelength / (2 * np.pi))
        moved = np.clip(moved, -reach * wavelength / 2, reach * wavelength / 2)
        rest = (slice(None),) * axis
        before, after = (*rest, slice(-1)), (*rest, slice(1, None))
        moved *= np.where(moved > 0, near[before], near[after])
        behind[before] -= moved
        behind[after] += moved
    return np.asarray(behind)


def _propagated(exponent: ComplexArray, step: float, distance: float, energy: float) -> FloatArray:
    """As a wave.

    Source:
        Fresnel diffraction: each spatial frequency f is turned by pi wavelength distance f^2.
    """
    amplitude = np.exp(-exponent.real.astype(np.float32))
    phase = exponent.imag.astype(np.float32)
    rows, columns = _turns(exponent.shape, step, distance, energy)
    spectra = [
        scipy.fft.dctn(part, type=2, overwrite_x=True)
        for part in (amplitude * np.cos(phase), -amplitude * np.sin(phase))
    ]
    # a frequency's turn is that along the rows times that along the columns
    turn = rows[:, None] * columns[None, :]
    behind = [
        scipy.fft.idctn(part, type=2, overwrite_x=True)
        for part in (
            spectra[0] * turn.real - spectra[1] * turn.imag,
            spectra[0] * turn.imag + spectra[1] * turn.real,
        )
    ]
    return np.asarray(behind[0] ** 2 + behind[1] ** 2, dtype=float)


@functools.lru_cache(maxsize=16)
def _turns(
    shape: tuple[int, ...], step: float, distance: float, energy: float
) -> tuple[npt.NDArray[np.complex64], ...]:
    """By which the frequencies of a cosine transform are turned, along rows and columns."""
    wavelength = wavelength_from_energy(energy) * 1e-7
    frequencies = [np.arange(n) / (2 * n * step) for n in shape]
    return tuple(
        np.exp(-1j * np.pi * wavelength * distance * frequency**2).astype(np.complex64)
        for frequency in frequencies
    )
