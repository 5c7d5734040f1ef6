"""This file is where a standard's rings become the geometry of the detector and the shape of a
line.

All rings in all azimuthal sectors are fitted together as counts, through the pixels' own areas:
distance, foot of the normal and tilt, widths, Lorentzian share and, unless given, the beam's
polarization. The energy is not fitted: with one distance the two cannot be told apart.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from battbeam.errors import ReductionError
from battbeam.materials import CALIBRANTS
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.ring_fit import RingModel, fit_rings
from battbeam.reduction.ring_search import Rings, best_guess, rings_of
from battbeam.units import AnyArray, FloatArray, wavelength_from_energy

# Rings needed for a distance, a centre and a tilt that can be checked.
_LEAST_RINGS = 3
# A ring counts as found at this many standard deviations.
_FOUND = 8.0
# Of the rings that should be strong enough, this share must be found and be of about the right
# strength.
_SHARE_FOUND = 0.7
_STRENGTH_WITHIN = 3.0
# Reduced chi squared from which on rings do not fit the calibrant.
_WORST_RESIDUAL = 20.0
_ADVICE = "check calibrant, energy, distance and centre of the guess"


@dataclass(frozen=True)
class GeometryGuess:
    """What is known before: a ruler will do.

    Attributes:
        distance: From the sample to where the beam meets the detector, mm, within 5 %.
        centre: Where, in pixels along rows' and columns' index from the corner of pixel (0, 0),
            within 15 pixels.
        pixel_size: Along rows' and columns' index, mm.
        energy: eV; it is taken as true.
        rotation: pyFAI's rot1 and rot2, radian.
    """

    distance: float
    centre: tuple[float, float]
    pixel_size: tuple[float, float]
    energy: float
    rotation: tuple[float, float] = (0.0, 0.0)

    def geometry(self, shape: tuple[int, int]) -> PixelGeometry:
        """As a geometry of pixels."""
        flat = geometry_of(
            np.array([self.distance, 0.0, 0.0, *self.rotation]), shape, self.pixel_size, self.energy
        )
        normal = np.array(flat.rotation)
        # The beam runs along axis 3 and meets the plane at (centre); the plane's foot is
        # elsewhere when tilted.
        along = normal.T @ np.array([0.0, 0.0, self.distance])
        foot = (
            self.centre[0] * self.pixel_size[0] - along[0],
            self.centre[1] * self.pixel_size[1] - along[1],
        )
        return replace(flat, distance=float(along[2]), poni=(float(foot[0]), float(foot[1])))


@dataclass(frozen=True)
class GeometryCalibration:
    """A calibrated detector.

    Attributes:
        distance: Along the detector's normal, mm.
        poni: Foot of the normal, mm from the corner of pixel (0, 0).
        rotation: rot1 and rot2, radian; rot3 is 0.
        covariance: Of (distance, poni1, poni2, rot1, rot2), mm and radian.
        centre: Where the beam meets the detector, pixels along rows' and columns' index.
        two_theta_error: Standard deviation of an angle because of the geometry: at each ring,
            degree.
        rings: Angle of each ring on the detector, degree.
        instrument: Shape of a line.
        residual: Reduced chi squared.
        shape: Rows and columns.
        pixel_size: mm.
    """

    distance: float
    poni: tuple[float, float]
    rotation: tuple[float, float]
    covariance: FloatArray = field(repr=False)
    centre: tuple[float, float]
    two_theta_error: FloatArray = field(repr=False)
    rings: FloatArray = field(repr=False)
    instrument: Instrument
    residual: float
    shape: tuple[int, int]
    pixel_size: tuple[float, float]

    def write(self, geometry: Path, instrument: Path) -> None:
        """The geometry as a .poni of pyFAI, the shape of a line as .json."""
        geometry.unlink(missing_ok=True)  # pyFAI appends
        _integrator(
            np.array([self.distance, *self.poni, *self.rotation]),
            self.shape,
            self.pixel_size,
            self.instrument.energy,
        ).save(str(geometry))
        self.instrument.write(instrument)


def _integrator(
    parameters: FloatArray, shape: tuple[int, int], pixel_size: tuple[float, float], energy: float
) -> AzimuthalIntegrator:
    detector = Detector(pixel1=pixel_size[0] / 1e3, pixel2=pixel_size[1] / 1e3, max_shape=shape)
    return AzimuthalIntegrator(
        dist=parameters[0] / 1e3,
        poni1=parameters[1] / 1e3,
        poni2=parameters[2] / 1e3,
        rot1=parameters[3],
        rot2=parameters[4],
        rot3=0.0,
        detector=detector,
        wavelength=wavelength_from_energy(energy) * 1e-10,
    )


def geometry_of(
    parameters: FloatArray, shape: tuple[int, int], pixel_size: tuple[float, float], energy: float
) -> PixelGeometry:
    """Pixels at (distance, poni1, poni2, rot1, rot2), mm and radian.

    Source:
        Rotations about axis 1 and then axis 2, as ``Geometry.rotation_matrix`` of pyFAI has them.
    """
    (sin1, sin2), (cos1, cos2) = (f(parameters[3:5]).tolist() for f in (np.sin, np.cos))
    rotation = (
        (cos2, sin1 * sin2, -cos1 * sin2),
        (0.0, cos1, sin1),
        (sin2, -sin1 * cos2, cos1 * cos2),
    )
    return PixelGeometry(
        shape=shape,
        pixel_size=pixel_size,
        distance=float(parameters[0]),
        poni=(float(parameters[1]), float(parameters[2])),
        rotation=tuple(tuple(float(v) for v in row) for row in rotation),
        energy=energy,
    )


def calibrate_geometry(
    frame: AnyArray,
    *,
    calibrant: str,
    guess: GeometryGuess,
    time: float,
    polarization: float | Literal["fit"] | None = "fit",
    mask: AnyArray | None = None,
    dark: FloatArray | None = None,
) -> GeometryCalibration:
    """Geometry and line shape from one frame of a standard.

    Args:
        frame: Counts, shape (n_rows, n_columns).
        calibrant: ``LaB6`` or ``CeO2``.
        guess: Where to begin.
        time: Of the frame, s since the Unix epoch; kept in the instrument file.
        polarization: Horizontal degree of linear polarization; ``"fit"`` takes it from the rings,
            None ignores it.
        mask: True where a pixel is not used.
        dark: Expected counts without beam, shape of the frame.

    Raises:
        ReductionError: If there are too few rings on the detector, none in the frame, or those of
            something else.
    """
    if calibrant not in CALIBRANTS:
        raise ReductionError(f"unknown calibrant {calibrant!r}; known: {', '.join(CALIBRANTS)}")
    if frame.ndim != 2:
        raise ReductionError(f"a frame has rows and columns, got shape {frame.shape}")
    shape = (int(frame.shape[0]), int(frame.shape[1]))
    signal = np.asarray(frame, dtype=float) - (0.0 if dark is None else dark)
    start = guess.geometry(shape)
    rings = rings_of(calibrant, guess.energy)
    n_seen = int(
        (rings.two_theta < start.two_theta.max()).sum()
        - (rings.two_theta < start.two_theta.min()).sum()
    )
    if n_seen < _LEAST_RINGS:
        raise ReductionError(
            f"{n_seen} rings of {calibrant} meet the detector (two theta "
            f"{start.two_theta.min():.1f} to {start.two_theta.max():.1f} degree), {_LEAST_RINGS} "
            f"are needed: move the detector closer or raise the energy"
        )

    def pixels(parameters: FloatArray) -> PixelGeometry:
        return geometry_of(parameters, shape, guess.pixel_size, guess.energy)

    first = np.array([start.distance, *start.poni, *guess.rotation])
    used = np.ones(shape, dtype=bool) if mask is None else ~np.asarray(mask, dtype=bool)
    first = best_guess(signal, used, rings, pixels, first)
    found = fit_rings(signal, used, rings, pixels, first, polarization=polarization)
    if found is None:
        raise ReductionError(
            f"no rings of {calibrant} found in the frame: is the standard in the beam? {_ADVICE}"
        )
    _check(found, rings, calibrant, guess)
    return _calibration(found, rings, calibrant, guess, time, shape, pixels)


def _check(found: RingModel, rings: Rings, calibrant: str, guess: GeometryGuess) -> None:
    seen = found.seen
    strong = found.amount[seen] > _FOUND * found.amount_error[seen]
    ratio = found.amount[seen] / rings.strength[seen]
    scale = float(np.median(ratio[strong])) if strong.any() else 0.0
    expected = scale * rings.strength[seen] > 2 * _FOUND * found.amount_error[seen]
    right = (ratio > scale / _STRENGTH_WITHIN) & (ratio < scale * _STRENGTH_WITHIN)
    share = float((right & expected).sum()) / max(1, int(expected.sum()))
    if share < _SHARE_FOUND or found.residual > _WORST_RESIDUAL:
        raise ReductionError(
            f"the rings are not those of {calibrant} at {guess.energy:.0f} eV: "
            f"{100 * share:.0f} % of them are found with their strength, "
            f"residual {found.residual:.1f}; {_ADVICE}"
        )


def _calibration(
    found: RingModel,
    rings: Rings,
    calibrant: str,
    guess: GeometryGuess,
    time: float,
    shape: tuple[int, int],
    pixels: object,
) -> GeometryCalibration:
    p = found.geometry
    errors = np.sqrt(np.diag(found.covariance))
    rotation = np.array(geometry_of(p, shape, guess.pixel_size, guess.energy).rotation)
    beam = rotation.T @ np.array([0.0, 0.0, 1.0])
    meets = beam * (p[0] / beam[2])
    centre = ((p[1] + meets[0]) / guess.pixel_size[0], (p[2] + meets[1]) / guess.pixel_size[1])
    seen = found.seen
    by_geometry = found.ring_derivatives
    angle_error = np.sqrt(
        np.einsum("ri,ij,rj->r", by_geometry, found.covariance[:5, :5], by_geometry)
    )
    instrument = Instrument(
        width=tuple(float(v) for v in found.width),
        width_error=tuple(float(v) for v in errors[5:8]),
        lorentzian=float(found.lorentzian),
        lorentzian_error=float(errors[8]),
        polarization=found.polarization,
        energy=guess.energy,
        calibrant=calibrant,
        time=time,
        geometry_error=tuple(float(v) for v in errors[:5]),
        spacing_error=found.spacing_error,
        residual=found.residual,
    )
    return GeometryCalibration(
        distance=float(p[0]),
        poni=(float(p[1]), float(p[2])),
        rotation=(float(p[3]), float(p[4])),
        covariance=found.covariance[:5, :5],
        centre=(float(centre[0]), float(centre[1])),
        two_theta_error=angle_error,
        rings=rings.two_theta[seen],
        instrument=instrument,
        residual=found.residual,
        shape=shape,
        pixel_size=guess.pixel_size,
    )
