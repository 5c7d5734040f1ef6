"""This file is where sinograms become slices."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.fft

from battbeam.errors import ReductionError
from battbeam.reduction.angles import coverage
from battbeam.units import AnyArray, FloatArray

# Of the non-uniform transform, relative; chosen here: counting noise is a hundred times that.
_EPS = 3e-4
# How much finer its own grid is: one twice as fine no longer fits into the processor's cache, and
# takes three times as long for the same error.
_UPSAMPLING = 1.25
# Finer sampling of filtered projections before the linear interpolation of the plain way.
_FINER = 4
# Slices that the plain way holds at once.
_ROWS_AT_ONCE = 16


def reconstruct(
    absorbance: AnyArray,
    omega: FloatArray,
    *,
    axis: float | FloatArray,
    pixel_size: float,
    method: Literal["nufft", "fbp"] = "nufft",
    window: Literal["ramp", "linear", "hann"] = "ramp",
) -> AnyArray:
    """Attenuation coefficient by filtered back projection of parallel beams.

    ``nufft`` sums the filtered projections' Fourier series over all angles at once, two slices as
    real and imaginary part; ``fbp`` interpolates them angle by angle. The two agree but for that
    interpolation.

    Args:
        absorbance: Shape (n, n_rows, n_columns).
        omega: Degree, in any order and distribution, shape (n,).
        axis: Column of the rotation axis, from 0; of a sample that moved, that of each projection,
            shape (n,).
        pixel_size: mm.
        method: How.
        window: On the ramp filter: none, what linear interpolation between pixels would do (as most
            back projections have it), or Hann's.

    Returns:
        1/mm, axes (row, z, x), shape (n_rows, n_columns, n_columns), single precision; 0 outside of
        the circle that every projection saw.

    Raises:
        ReductionError: If the axis lies out of the field, or finufft is not installed.

    Source:
        Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3; Barnett,
        Magland and af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019) for the transform.
    """
    n_columns = absorbance.shape[2]
    axes = np.broadcast_to(np.asarray(axis, dtype=float), omega.shape)
    middle = float(axes.mean())
    radius = min(middle, n_columns - 1 - middle)
    if not radius > 0:
        raise ReductionError(
            f"rotation axis out of the field: column {middle:.1f} of 0 to {n_columns - 1}"
        )
    way = _by_nufft if method == "nufft" else _by_interpolation
    scale = coverage(omega).weights / pixel_size
    volume = way(np.asarray(absorbance, dtype=np.float32), omega, scale, axes, window)
    place = np.arange(n_columns) - (n_columns - 1) / 2
    volume[:, np.hypot(place[:, None], place) > radius + 0.5] = 0
    return volume


def finufft_module() -> Any:
    """The library, imported when it is first needed.

    Raises:
        ReductionError: If it is not installed.
    """
    try:
        import finufft
    except ImportError as fault:
        raise ReductionError(
            "method nufft needs finufft: pip install 'battbeam[tomography]', or use method fbp"
        ) from fault
    return finufft


@lru_cache(maxsize=8)
def _filter(n_padded: int, window: str) -> FloatArray:
    """Transform of the ramp's kernel as sampled on pixels, the Nyquist frequency left out.

    Source:
        Kak and Slaney, equation 61 of chapter 3: 1/4 at 0, -1 / (pi n)^2 at odd n.
    """
    place = np.fft.fftfreq(n_padded, 1 / n_padded)
    odd = place % 2 == 1
    kernel = np.zeros(n_padded)
    kernel[odd] = -1 / (np.pi * place[odd]) ** 2
    kernel[0] = 0.25
    response = np.fft.fft(kernel).real
    # Two slices in one must each stay real: there is no conjugate of this frequency.
    response[n_padded // 2] = 0.0
    if window == "linear":
        response *= np.sinc(np.fft.fftfreq(n_padded)) ** 2
    if window == "hann":
        response *= 0.5 + 0.5 * np.cos(2 * np.pi * np.fft.fftfreq(n_padded))
    return response


def _padded(n_columns: int) -> int:
    """A length at which the ramp's kernel does not wrap round; even."""
    return 2 * int(scipy.fft.next_fast_len(n_columns))


def _by_nufft(
    absorbance: AnyArray, omega: FloatArray, scale: FloatArray, axis: FloatArray, window: str
) -> AnyArray:
    n, n_rows, n_columns = absorbance.shape
    n_padded = _padded(n_columns)
    frequency = np.fft.fftfreq(n_padded)
    angle = np.radians(omega)[:, None]
    along_x, along_z = np.cos(angle), np.sin(angle)
    # The transform counts from the pixel behind the middle where their number is even.
    half = 0.5 if n_columns % 2 == 0 else 0.0
    shift = axis[:, None] + half * (along_x + along_z)
    cycles = frequency * shift
    cycles -= np.rint(cycles)
    weight = np.exp((2j * np.pi * cycles).astype(np.complex64))
    weight *= (_filter(n_padded, window) / n_padded).astype(np.complex64)
    weight *= scale[:, None].astype(np.complex64)

    volume = np.empty((n_rows, n_columns, n_columns), dtype=np.float32)
    plan = finufft_module().Plan(
        1,
        (n_columns, n_columns),
        eps=_EPS,
        isign=1,
        dtype="complex64",
        nthreads=1,
        upsampfac=_UPSAMPLING,
    )
    wave = (2 * np.pi * frequency).astype(np.float32)
    points = [(part.astype(np.float32) * wave).ravel() for part in (along_z, along_x)]
    plan.setpts(*points)
    for row in range(0, n_rows, 2):
        pair = np.zeros((n, n_padded), dtype=np.complex64)
        pair.real[:, :n_columns] = absorbance[:, row]
        if row + 1 < n_rows:
            pair.imag[:, :n_columns] = absorbance[:, row + 1]
        spectrum = scipy.fft.fft(pair, axis=1, overwrite_x=True)
        slices = plan.execute(np.multiply(spectrum, weight, out=spectrum).ravel())
        volume[row] = slices.real
        if row + 1 < n_rows:
            volume[row + 1] = slices.imag
    return volume


def _by_interpolation(
    absorbance: AnyArray, omega: FloatArray, scale: FloatArray, axis: FloatArray, window: str
) -> AnyArray:
    _n, n_rows, n_columns = absorbance.shape
    n_padded = _padded(n_columns)
    response = _filter(n_padded, window)[: n_padded // 2 + 1].astype(np.float32)
    place = (np.arange(n_columns) - (n_columns - 1) / 2).astype(np.float32)
    z, x = np.nonzero(np.hypot(place[:, None], place) <= n_columns / 2)
    volume = np.zeros((n_rows, n_columns, n_columns), dtype=np.float32)
    for first in range(0, n_rows, _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        total = np.zeros((len(volume[rows]), len(x)), dtype=np.float32)
        for frame, degree, share, at_axis in zip(absorbance, omega, scale, axis, strict=True):
            spectrum = scipy.fft.rfft(frame[rows], n_padded, axis=1) * response
            fine = scipy.fft.irfft(spectrum, _FINER * n_padded, axis=1) * (_FINER * share)
            fine = fine.astype(np.float32)
            turned = place[x] * np.cos(np.radians(degree)) + place[z] * np.sin(np.radians(degree))
            at = _FINER * np.clip(at_axis + turned, 0, n_columns - 1)
            below = at.astype(np.intp)
            part = (at - below).astype(np.float32)
            low = fine[:, below]
            total += low + part * (fine[:, below + 1] - low)
        volume[rows, z, x] = total
    return volume
