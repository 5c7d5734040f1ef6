"""This file is where the geometry of a small-angle detector is taken from one ring of a standard.

At small angles tilt does not show, and the ring's radius is the distance: tan(2 theta) = radius /
distance. Its centre is that of the ring, wherever around it the detector sees it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray, two_theta_from_d_spacing, wavelength_from_energy

#: Spacing of the layers of silver behenate, angstrom. Huang et al., J. Appl. Cryst. 26 (1993) 180;
#: recalled.
SILVER_BEHENATE = 58.380
# The ring is looked for within this share of where the guess has it, in so many sectors.
_NEAR, _N_SECTORS = 0.15, 48
# A centre that moves by less than this, pixels, has been found.
_SETTLED, _ROUNDS = 1e-3, 12
# A sector shows the ring at this many errors; so many of them make a circle, over this much of it.
_SEEN, _LEAST_SECTORS, _LEAST_SPAN = 8.0, 8, 0.5


@dataclass(frozen=True)
class SmallAngleGeometry:
    """Where a small-angle detector is; errors are one standard deviation.

    Attributes:
        distance: From the sample, mm.
        distance_error: mm.
        centre: Where the beam would meet it, pixels along rows' and columns' index from the corner of
            pixel (0, 0).
        centre_error: Pixels.
        residual: Reduced chi squared of the ring's circle.
        shape: Rows and columns.
        pixel_size: Along rows' and columns' index, mm.
        energy: eV.
    """

    distance: float
    distance_error: float
    centre: tuple[float, float]
    centre_error: tuple[float, float]
    residual: float
    shape: tuple[int, int]
    pixel_size: tuple[float, float]
    energy: float

    def write(self, path: Path) -> None:
        """As a .poni of pyFAI."""
        path.unlink(missing_ok=True)  # pyFAI appends
        first, second = (size / 1e3 for size in self.pixel_size)
        AzimuthalIntegrator(
            dist=self.distance / 1e3,
            poni1=self.centre[0] * first,
            poni2=self.centre[1] * second,
            detector=Detector(pixel1=first, pixel2=second, max_shape=self.shape),
            wavelength=wavelength_from_energy(self.energy) * 1e-10,
        ).save(str(path))


def calibrate_small_angle(
    frame: AnyArray,
    *,
    distance: float,
    centre: tuple[float, float],
    pixel_size: tuple[float, float],
    energy: float,
    d_spacing: float = SILVER_BEHENATE,
    mask: AnyArray | None = None,
) -> SmallAngleGeometry:
    """Distance and centre from the first ring of a standard.

    Args:
        frame: Counts, dark subtracted, shape (n_rows, n_columns).
        distance: By a ruler, mm, within a tenth.
        centre: Roughly, pixels along rows' and columns' index, within a tenth of the ring's radius.
        pixel_size: Along rows' and columns' index, mm.
        energy: eV; it is taken as true.
        d_spacing: Of the standard, angstrom.
        mask: True where a pixel is not used.

    Raises:
        ReductionError: If too little of the ring is seen.
    """
    angle = two_theta_from_d_spacing(d_spacing=np.array([d_spacing]), energy=energy)
    tangent = float(np.tan(np.radians(angle[0])))
    used = np.ones(frame.shape, bool) if mask is None else ~np.asarray(mask, bool)
    rows, columns = (each[used] for each in np.indices(frame.shape) + 0.5)
    counts = np.asarray(frame, dtype=float)[used]
    found = np.array([centre[0] * pixel_size[0], centre[1] * pixel_size[1], distance * tangent])
    place = (rows * pixel_size[0], columns * pixel_size[1])
    for _ in range(_ROUNDS):
        ring = _ring(place, counts, found, step=max(pixel_size))
        step, covariance, residual = _circle(*ring)
        found = found + step
        if np.abs(step).max() < _SETTLED * max(pixel_size):
            break
    errors = np.sqrt(np.diag(covariance) * max(residual, 1.0))
    return SmallAngleGeometry(
        distance=float(found[2] / tangent),
        distance_error=float(errors[2] / tangent),
        centre=(float(found[0] / pixel_size[0]), float(found[1] / pixel_size[1])),
        centre_error=(float(errors[0] / pixel_size[0]), float(errors[1] / pixel_size[1])),
        residual=residual,
        shape=(int(frame.shape[0]), int(frame.shape[1])),
        pixel_size=pixel_size,
        energy=energy,
    )


def _ring(
    place: tuple[FloatArray, FloatArray], counts: FloatArray, found: FloatArray, *, step: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Azimuth, radius beyond the expected one and its error, of each sector that shows the ring."""
    along = place[0] - found[0], place[1] - found[1]
    radius, azimuth = np.hypot(*along), np.arctan2(*along)
    away = radius - found[2]
    near = np.abs(away) <= _NEAR * found[2]
    sector = ((azimuth + np.pi) / (2 * np.pi) * _N_SECTORS).astype(np.int64) % _N_SECTORS
    seen = []
    for one in range(_N_SECTORS):
        chosen = near & (sector == one)
        if np.count_nonzero(chosen) < 5 * _NEAR * found[2] / step:
            continue
        centre = _middle(away[chosen], counts[chosen], step)
        if centre is not None:
            seen.append((float(np.mean(azimuth[chosen])), *centre))
    if len(seen) < _LEAST_SECTORS:
        raise ReductionError(
            f"the ring is seen in {len(seen)} of {_N_SECTORS} sectors, {_LEAST_SECTORS} needed: is the "
            f"standard in the beam, does its ring lie on the detector?"
        )
    columns = np.array(seen).T
    return columns[0], columns[1], columns[2]


def _middle(away: FloatArray, counts: FloatArray, step: float) -> tuple[float, float] | None:
    """Middle of a line above a straight background, and its error; None where there is none."""
    index = np.floor((away - away.min()) / step).astype(np.int64)
    n = np.bincount(index)
    at = np.bincount(index, away) / np.maximum(n, 1)
    mean = np.bincount(index, counts) / np.maximum(n, 1)
    known = n > 0
    at, mean, variance = at[known], mean[known], np.maximum(mean[known], 0.1) / n[known]
    top = float(at[int(np.argmax(mean))])
    low = mean <= np.percentile(mean, 60)
    line = np.polyfit(at[low], mean[low], 1)
    for _ in range(3):
        inside = np.abs(at - top) <= 4 * step
        light = mean[inside] - np.polyval(line, at[inside])
        total = float(light.sum())
        if total < _SEEN * np.sqrt(float(variance[inside].sum())):
            return None
        top = float((light * at[inside]).sum() / total)
    spread = at[inside] - top
    return top, float(np.sqrt((spread**2 * variance[inside]).sum()) / total)


def _circle(
    azimuth: FloatArray, away: FloatArray, error: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Changes of centre (along rows, along columns) and radius, their covariance, and chi squared."""
    columns = np.column_stack([np.sin(azimuth), np.cos(azimuth), np.ones_like(azimuth)])
    weighted = columns / error[:, None]
    normal = weighted.T @ weighted
    if np.linalg.eigvalsh(columns.T @ columns / len(azimuth))[0] < _LEAST_SPAN**4:
        raise ReductionError("the part of the ring that is seen is too short for a centre")
    covariance = np.asarray(np.linalg.inv(normal), dtype=float)
    step = covariance @ (weighted.T @ (away / error))
    left = (away - columns @ step) / error
    return step, covariance, float((left**2).sum() / max(len(away) - 3, 1))
