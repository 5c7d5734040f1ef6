"""This file is where a small-angle pattern is made: of spheres, ordered pores, surfaces, the standard.

All of a pattern is a share of the photons that pass, per steradian, at the scattering vector of each
of several points of a pixel. Spheres are dilute: nothing but their sizes is seen. Radii and spacings
follow the lithium content that the beam meets, with a play between charge and discharge.

Not imitated: the size of the beam, which widens a peak by less than a pixel; multiple scattering;
what other layers of a cell scatter, but for the flat background; polarization, 1e-3 at these angles.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from battbeam.sim.scenario_small_angle import Nanostructure, SmallAngle
from battbeam.units import HC, FloatArray

#: Silver behenate: spacing of its layers, angstrom (Huang et al., J. Appl. Cryst. 26 (1993) 180),
#: standard deviation of its rings, 1/angstrom, and height of the first one, 1/sr.
BEHENATE_SPACING, BEHENATE_WIDTH, BEHENATE_HEIGHT = 58.380, 0.0012, 400.0
#: Of behenate as mounted: what it lets through.
BEHENATE_TRANSMISSION = 0.8
#: Points of a pixel along each side, and of the curve that is read off.
_POINTS, _CURVE = 3, 2500
#: Radii of a distribution, in standard deviations of the number about the one that scatters most.
_SIZES = np.linspace(-6.0, 6.0, 301)


@dataclass(frozen=True)
class Structure:
    """What an electrode scatters with, at one time.

    Attributes:
        radius: Median of the spheres, angstrom; NaN without any.
        width: Standard deviation of ln(radius).
        forward: Intensity of the spheres at q = 0, 1/sr.
        spacing: Of the pores, angstrom; NaN without any.
        spread: Of the peak, relative.
        height: Of the peak, 1/sr.
        surface: 1/sr/angstrom^4.
    """

    radius: float = math.nan
    width: float = 0.0
    forward: float = 0.0
    spacing: float = math.nan
    spread: float = 0.0
    height: float = 0.0
    surface: float = 0.0

    @classmethod
    def of(cls, made: Nanostructure, content: float) -> "Structure":
        """At a lithium content that the structure has followed, counted from the initial one."""
        found = cls(surface=made.surface)
        if (spheres := made.spheres) is not None:
            growth = 1 + spheres.swelling * content
            found = replace(
                found,
                radius=spheres.radius * growth,
                width=spheres.width,
                forward=spheres.forward * growth**6,
            )
        if (pores := made.pores) is not None:
            found = replace(
                found,
                spacing=pores.spacing * (1 + pores.swelling * content),
                spread=pores.spread,
                height=pores.height,
            )
        return found

    @property
    def guinier_radius(self) -> float:
        """Radius of gyration at q = 0, angstrom: sqrt(3/5) of the radius whose square is the mean
        over all spheres, each by the square of its volume.
        """
        return float(math.sqrt(0.6) * self.radius * math.exp(7 * self.width**2))

    def intensity(self, q: FloatArray) -> FloatArray:
        """1/sr at each q > 0, 1/angstrom."""
        total = self.surface / q**4
        if self.forward > 0:
            total = total + self.forward * self._spheres(q)
        if self.height > 0:
            middle = 2 * math.pi / self.spacing
            total = total + self.height * np.exp(-(((q / middle - 1) / self.spread) ** 2) / 2)
        return np.asarray(total)

    def _spheres(self, q: FloatArray) -> FloatArray:
        """Over that at q = 0: the mean over the number of spheres of (volume x form)^2."""
        # Most of the light comes from radii about this one, for volume squared goes with R^6.
        seen = self.radius * math.exp(6 * self.width**2)
        radii = seen * np.exp(self.width * _SIZES)
        number = np.exp(-((np.log(radii / self.radius) / self.width) ** 2) / 2)
        weight = number * radii**6
        u = np.outer(q, radii)
        # Below 0.1 the difference loses its digits, and the series' next term is 1e-9.
        u_safe = np.where(u < 0.1, 1.0, u)
        form = np.where(
            u < 0.1,
            1 - u**2 / 10 + u**4 / 280 - u**6 / 15120,
            3 * (np.sin(u_safe) - u_safe * np.cos(u_safe)) / u_safe**3,
        )
        return np.asarray(form**2 @ weight / weight.sum())


def behenate(q: FloatArray) -> FloatArray:
    """Intensity of silver behenate at each q, 1/sr."""
    total = np.zeros_like(q)
    for order in (1, 2, 3):
        middle = 2 * math.pi * order / BEHENATE_SPACING
        ring = np.exp(-(((q - middle) / BEHENATE_WIDTH) ** 2) / 2)
        total += BEHENATE_HEIGHT / order**2 * ring
    return total


def play(contents: FloatArray, *, width: float, begin: float) -> float:
    """Where something ends that is drawn along with a play: it stays within half of ``width``.

    Args:
        contents: In the order of time.
        width: Of the play.
        begin: Where it was before.

    >>> play(np.array([0.9, 0.5, 0.52]), width=0.1, begin=1.0)
    0.55
    """
    place = begin
    for content in contents:
        place = min(max(place, content - width / 2), content + width / 2)
    return float(place)


class SmallAngleModel:
    """Draws what the detector expects.

    Args:
        settings: Of the detector.
    """

    def __init__(self, settings: SmallAngle) -> None:
        self.settings = settings
        size = settings.pixel_size
        at = (np.arange(_POINTS) + 0.5) / _POINTS
        rows = (np.arange(settings.n_rows)[:, None] + at).ravel() - settings.centre_row
        columns = (np.arange(settings.n_columns)[:, None] + at).ravel() - settings.centre_column
        self._radius = size * np.hypot(rows[:, None], columns[None, :])
        along = np.hypot(self._radius, settings.distance)
        seen = self._radius > settings.beam_stop / 2
        # sr of each point's part of its pixel; none behind the stop.
        part = (size / _POINTS) ** 2 * settings.distance / along**3
        self._solid_angle = np.where(seen, part, 0.0)
        self._shape = (settings.n_rows, _POINTS, settings.n_columns, _POINTS)

    def scattering_vector(self, radius: FloatArray, energy: float) -> FloatArray:
        """1/angstrom at a distance from the beam on the detector, mm; energy in eV."""
        half = np.arctan2(radius, self.settings.distance) / 2
        return np.asarray(4 * math.pi * energy / HC * np.sin(half))

    def image(
        self, structure: Structure | None, energy: float, *, is_standard: bool = False
    ) -> FloatArray:
        """Share of the passing photons in each pixel, shape (rows, columns).

        Args:
            structure: Of the electrode; None where the beam meets none.
            energy: eV.
            is_standard: Whether it meets the standard.
        """
        far = float(self._radius.max()) * 1.01
        near = self.settings.beam_stop / 4
        curve = np.linspace(near, far, _CURVE)
        q = self.scattering_vector(curve, energy)
        intensity = np.full_like(q, self.settings.background)
        if structure is not None:
            intensity += structure.intensity(q)
        if is_standard:
            intensity += behenate(q)
        points = np.interp(self._radius, curve, intensity) * self._solid_angle
        return np.asarray(points.reshape(self._shape).sum(axis=(1, 3)))
