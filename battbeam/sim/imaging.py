"""This file is where the imaging camera's frames are made: what it should see, and what it counts.

Photons of a pixel = those of the wide beam there x what the cell lets through, propagated to the
scintillator x the blur of scintillator and lens x the pixel's own gain. A rotating sample is the
mean over some angles of the exposure; the state of the cell is that in the middle of it. The
column u of the rotation axis is that of `battbeam.sim.scenario_imaging`.

Not imitated: the scintillator's own noise and afterglow, scattered light, lens distortion, the
energy dependence of its efficiency, harmonics.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from battbeam.sim.phantom import Inside, PhantomState, inside_of
from battbeam.sim.phantom_shapes import Grid
from battbeam.sim.projection import intensity_behind, margin, projected
from battbeam.sim.scenario import Scenario
from battbeam.units import FloatArray

#: Pixels that the rim of a sample may move in an exposure before it is averaged, those between two
#: angles then, and angles at most.
_SHARP, _SMEAR, _MOST_ANGLES = 0.5, 1.5, 4
#: By how much larger than at the start a sample may become, when it is asked for its place only.
_ROOM = 1.3
#: Periods of the beam's stripes, mm; chosen.
_STRIPES = (0.31, 0.173, 0.071)
_FWHM = 2 * math.sqrt(2 * math.log(2))
_RESPONSE_STREAM, _STRIPE_STREAM = 1, 2


@dataclass(frozen=True)
class View:
    """How a camera sees the sample in an exposure.

    Attributes:
        x: Of the sample stage, mm.
        y: mm.
        omega_start: Of the rotation stage at the beginning, degree.
        omega_end: At the end.
        energy: True photon energy, eV.
        age: s since the start of the session, in the middle.
    """

    x: float
    y: float
    omega_start: float
    omega_end: float
    energy: float
    age: float = 0.0

    @property
    def omega(self) -> float:
        """Mean of beginning and end, degree."""
        return (self.omega_start + self.omega_end) / 2


class ImagingModel:
    """What the imaging camera of a scenario should see; keeps what is the same in all frames."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.imaging = scenario, scenario.imaging

    def cell_in_field(self, x: float, y: float) -> int:
        """Number of the cell that is seen with the stage at (x, y), mm; 0 where there is none."""
        number = min(
            range(1, len(self.scenario.cells) + 1),
            key=lambda number: math.dist((x, y), self.scenario.positions[number - 1]),
        )
        place_x, place_y = self.scenario.positions[number - 1]
        reach, low, high = self._extent(number)
        half_width, half_height = (n * self.imaging.pixel_size / 2 for n in self._shape[::-1])
        in_sight = abs(place_x - x) - abs(self._runout()) < reach + half_width
        in_height = low - half_height < y - place_y < high + half_height
        return number if in_sight and in_height else 0

    @property
    def _shape(self) -> tuple[int, int]:
        return self.imaging.n_rows, self.imaging.n_columns

    def _runout(self) -> float:
        """By which the axis may stand away from its place, mm."""
        imaging = self.imaging
        return (abs(imaging.axis_offset) + abs(imaging.wobble)) * imaging.pixel_size

    @functools.cache  # noqa: B019
    def _extent(self, number: int) -> tuple[float, float, float]:
        """Reach, lowest and highest y of a cell, with room to grow, mm."""
        state = PhantomState.of(self.scenario.cells[number - 1])
        inside = inside_of(self.scenario, state, number=number)
        low, high = inside.heights
        return _ROOM * inside.reach, _ROOM * low, _ROOM * high

    def axis(self, view: View, number: int, omega: float | None = None) -> float:
        """Column of a cell's rotation axis, from 0, at an omega in degree."""
        return self._axis_place(view, number, omega) / self.imaging.pixel_size + (
            (self.imaging.n_columns - 1) / 2
        )

    def _axis_place(self, view: View, number: int, omega: float | None = None) -> float:
        """Of the axis from the middle of the field along u, mm."""
        turn = math.radians(view.omega if omega is None else omega)
        runout = self.imaging.axis_offset + self.imaging.wobble * math.sin(2 * turn)
        return self.scenario.positions[number - 1][0] - view.x + runout * self.imaging.pixel_size

    def transmission(self, view: View, inside: Inside, *, number: int = 1) -> FloatArray:
        """Intensity at the scintillator over that of the beam before a cell, before any blur.

        Args:
            view: Of the camera.
            inside: Of the cell.
            number: Of the cell.

        Returns:
            Shape (n_rows, n_columns).
        """
        omegas = self._angles(view, inside.reach)
        frames = [self._at(view, inside, number, omega) for omega in omegas]
        return np.asarray(sum(frames) / len(frames)) if len(frames) > 1 else frames[0]

    def _angles(self, view: View, reach: float) -> list[float]:
        """Angles that stand for the exposure, degree."""
        turned = view.omega_end - view.omega_start
        swept = abs(math.radians(turned)) * reach / self.imaging.pixel_size
        n = 1 if swept < _SHARP else min(max(math.ceil(swept / _SMEAR), 2), _MOST_ANGLES)
        return [view.omega_start + turned * (index + 0.5) / n for index in range(n)]

    def _at(self, view: View, inside: Inside, number: int, omega: float) -> FloatArray:
        imaging = self.imaging
        around = self._margin(view.energy)
        exponent = projected(
            inside.bodies,
            self._grid(view, number, omega, around),
            omega=omega,
            energy=view.energy,
        )
        samples = imaging.supersampling
        wide = intensity_behind(
            exponent,
            step=imaging.pixel_size / samples,
            distance=imaging.distance,
            energy=view.energy,
        )
        seen = wide[around * samples :, around * samples :]
        rows, columns = self._shape
        seen = seen[: rows * samples, : columns * samples]
        return np.asarray(seen.reshape(rows, samples, columns, samples).mean(axis=(1, 3)))

    def _margin(self, energy: float) -> int:
        """Pixels on every side."""
        wide = margin(distance=self.imaging.distance, energy=energy)
        return math.ceil(wide / self.imaging.pixel_size)

    def _grid(self, view: View, number: int, omega: float, around: int) -> Grid:
        """Samples in the frame of a cell that has turned by omega."""
        imaging, turn = self.imaging, math.radians(omega)
        step = imaging.pixel_size / imaging.supersampling
        move_x, move_y, move_z = (speed * view.age for speed in imaging.motion)
        off_u = self._axis_place(view, number, omega)
        off_u += move_x * math.cos(turn) + move_z * math.sin(turn)
        off_y = self.scenario.positions[number - 1][1] - view.y + move_y
        rows, columns = (
            np.arange((n + 2 * around) * imaging.supersampling + 1, dtype=float) * step
            - (n / 2 + around) * imaging.pixel_size
            for n in self._shape
        )
        return Grid(columns - off_u, rows - off_y)

    def beam(self, age: float) -> FloatArray:
        """Intensity of the wide beam in each pixel over that in its middle, before any blur.

        Args:
            age: s since the start of the session: the beam drifts.
        """
        imaging = self.imaging
        y, x = (
            (np.arange(n) - (n - 1) / 2) * imaging.pixel_size
            for n in (imaging.n_rows, imaging.n_columns)
        )
        y = y - imaging.beam_drift * age / 3600
        rng = np.random.default_rng([self.scenario.seed, _STRIPE_STREAM])
        stripes = sum(
            np.sin(2 * np.pi * (y / period + rng.uniform())) / len(_STRIPES) for period in _STRIPES
        )
        rows = np.exp(-(y**2) / 2 / (imaging.beam_height / _FWHM) ** 2)
        rows = rows * (1 + imaging.beam_stripes * stripes)
        return np.outer(rows, 1 + imaging.beam_slope * x)

    def response(self, age: float) -> FloatArray:
        """Of each pixel relative to their mean; it changes with time."""
        steady, drifting = self._response
        return np.maximum(steady + drifting * (age / 3600), 0.0)

    @functools.cached_property
    def _response(self) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng([self.scenario.seed, _RESPONSE_STREAM])
        return (
            1 + self.imaging.ring_gain * rng.standard_normal(self._shape),
            self.imaging.ring_drift * rng.standard_normal(self._shape),
        )

    def photons(self, view: View, seconds: float, inside: Inside | None, number: int) -> FloatArray:
        """Photons that each pixel should detect.

        Args:
            view: Of the camera.
            seconds: Of the full beam in the exposure, at 100 mA and open attenuator.
            inside: Of the cell in the field; None for the flat field.
            number: Of that cell.

        Returns:
            Shape (n_rows, n_columns).
        """
        if seconds <= 0:
            return np.zeros(self._shape)
        light = self.beam(view.age)
        if inside is not None:
            light = light * self.transmission(view, inside, number=number)
        if self.imaging.blur > 0:
            light = gaussian_filter(light, self.imaging.blur / _FWHM, mode="nearest", truncate=4)
        return np.asarray(light * self.response(view.age) * (self.imaging.photon_rate * seconds))

    def photons_of_open_beam(self, view: View, seconds: float) -> float:
        """What all pixels together should detect without a sample; see `photons`."""
        light = (self.beam(view.age) * self.response(view.age)).sum()
        return float(light * self.imaging.photon_rate * seconds)

    def counts(
        self, photons: FloatArray, *, duration: float, rng: np.random.Generator
    ) -> npt.NDArray[np.uint32]:
        """What the camera counts of them in an exposure of ``duration`` s, same shape."""
        imaging = self.imaging
        detected = rng.poisson(photons + imaging.dark_rate * duration / imaging.gain)
        read = imaging.offset + imaging.read_noise * rng.standard_normal(photons.shape)
        counted = np.rint(detected * imaging.gain + read)
        return np.clip(counted, 0, imaging.saturation).astype(np.uint32)
