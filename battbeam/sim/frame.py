"""This file is where a frame is made: from the hidden state of the cell to the counts in each
pixel.

Expected counts of a pixel = photons x areal moles x cross section per mol and sr, averaged over the
pixel's area and over footprint, depth and exposure, x absorption on both ways x polarization x
solid angle; counts are Poisson, times the gain, plus dark counts, clipped at the saturation.

Not imitated: panel lag, dead time, pile-up, gain noise, bad pixels, and the shift of lines over the
beam's footprint (it is part of the line's width).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from battbeam.sim.beam import Instants
from battbeam.sim.electrode import Illuminated, illuminated
from battbeam.sim.lithium import active_areal_moles
from battbeam.sim.scenario import Detector, Scenario
from battbeam.sim.scene import REFERENCE_LITHIUM, Optics, Scene
from battbeam.sim.stack import Absorption, cell_slabs, standard_slabs
from battbeam.units import FloatArray

InBeam = Literal["cell", "standard", "nothing"]
#: The standard is in the beam this near its position, mm.
STANDARD_RADIUS = 2.0
#: Energies whose scenes are kept, and the step, eV, in which they are told apart.
_KEPT_SCENES, _ENERGY_STEP = 3, 0.01


@dataclass(frozen=True)
class Exposure:
    """What a frame is taken of.

    Attributes:
        start: Session clock, s.
        end: Session clock, s.
        x: Stage position, mm.
        y: mm.
        energy: True photon energy, eV.
        instants: Photons over the exposure.
    """

    start: float
    end: float
    x: float
    y: float
    energy: float
    instants: Instants

    @property
    def duration(self) -> float:
        """s."""
        return self.end - self.start


@dataclass(frozen=True)
class ExpectedFrame:
    """A frame before chance comes in.

    Attributes:
        photons: Expected detected photons of each pixel, shape (rows, columns).
        in_beam: What was in the beam.
        illuminated: What of the electrode the beam met; None unless the cell was in the beam.
        lithium_content: Scattering-weighted mean of all active material in the beam, NaN without
            any.
        transmission: Of the direct beam.
    """

    photons: FloatArray
    in_beam: InBeam
    illuminated: Illuminated | None
    lithium_content: float
    transmission: float


class FrameModel:
    """Renders the frames of a scenario; keeps what is the same from frame to frame."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._optics: Optics | None = None
        self._scenes: OrderedDict[int, Scene] = OrderedDict()

    @property
    def optics(self) -> Optics:
        """Of the detector; made on first use."""
        if self._optics is None:
            self._optics = Optics.of(self.scenario)
        return self._optics

    def scene(self, energy: float) -> Scene:
        """What does not change at an energy in eV; takes seconds when it is new."""
        key = round(energy / _ENERGY_STEP)
        if key not in self._scenes:
            self._scenes[key] = Scene(self.scenario, self.optics, energy)
            while len(self._scenes) > _KEPT_SCENES:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(key)
        return self._scenes[key]

    def prepare(self, x: float, y: float, energy: float) -> None:
        """Make what frames at a place of the stage and an energy share; seconds, once."""
        scene = self.scene(energy)
        images = {
            "cell": ("air", "upstream", "downstream"),
            "standard": ("standard",),
            "nothing": ("air",),
        }
        for name in images[self.in_beam(x, y)]:
            getattr(scene, name)

    def in_beam(self, x: float, y: float) -> InBeam:
        """What the beam meets with the stage at (x, y), mm."""
        standard_x, standard_y = self.scenario.standard_position
        if np.hypot(x - standard_x, y - standard_y) <= STANDARD_RADIUS:
            return "standard"
        half_diagonal = np.hypot(self.scenario.beam.size_x, self.scenario.beam.size_y) / 2
        near = np.hypot(x, y) < self.scenario.cells[0].electrode_radius + half_diagonal
        return "cell" if near else "nothing"

    def transmission(self, x: float, y: float, energy: float) -> float:
        """Of the direct beam with the stage at (x, y), mm, the electrode half full; quick."""
        in_beam = self.in_beam(x, y)
        if in_beam == "nothing":
            return 1.0
        slabs = (
            cell_slabs(self.scenario)
            if in_beam == "cell"
            else standard_slabs(self.scenario.standard)
        )
        absorption = Absorption.of(
            slabs, cell=self.scenario.cells[0], lithium_content=REFERENCE_LITHIUM, energy=energy
        )
        return absorption.transmission

    def expected(
        self, exposure: Exposure, mean_lithium_content: Callable[[FloatArray], FloatArray]
    ) -> ExpectedFrame:
        """The expected photons of an exposure.

        Args:
            exposure: What is exposed.
            mean_lithium_content: Of the cell's connected material at times of the session clock.
        """
        in_beam = self.in_beam(exposure.x, exposure.y)
        photons = exposure.instants.total
        if photons <= 0:
            return ExpectedFrame(np.zeros(self.optics.flat.shape), in_beam, None, np.nan, 1.0)
        scene = self.scene(exposure.energy)
        if in_beam == "standard":
            image, transmission = scene.standard * photons, scene.standard_transmission
            return ExpectedFrame(image, in_beam, None, np.nan, transmission)
        cell, beam = self.scenario.cells[0], self.scenario.beam
        seen = illuminated(
            exposure.x,
            exposure.y,
            instants=exposure.instants,
            mean_lithium_content=mean_lithium_content,
            beam=beam,
            cell=cell,
        )
        if seen.fraction == 0:
            return ExpectedFrame(scene.air * photons, "nothing", None, np.nan, 1.0)
        return self._cell_frame(scene, seen, photons)

    def _cell_frame(self, scene: Scene, seen: Illuminated, photons: float) -> ExpectedFrame:
        lithium = mean_content(seen)
        through = scene.absorption(lithium)
        met = photons * seen.fraction
        radial = self._electrode_pattern(scene, seen, lithium, met)
        image = self.optics.electrode_map.image(radial) * self.optics.acceptance
        # Lithium gained or lost by the electrode changes a little what passes it.
        excess = (
            through.slabs[scene.electrode]
            - scene.absorption(REFERENCE_LITHIUM).slabs[scene.electrode]
        )
        image += scene.upstream * (met * np.exp(-excess * self._obliquity()))
        image += scene.downstream * (met * np.exp(-excess))
        transmission = seen.fraction * through.transmission + 1 - seen.fraction
        image += scene.air * (photons * transmission)
        return ExpectedFrame(image, "cell", seen, lithium, transmission)

    def _obliquity(self) -> float:
        # The excess is below 1e-4, so 1 / cos(2 theta) at the detector's middle angle is exact
        # enough.
        return float(1 / np.cos(np.radians(self.optics.grid[-1] / 2)))

    def _electrode_pattern(
        self, scene: Scene, seen: Illuminated, lithium: float, met: float
    ) -> FloatArray:
        grid, through = self.optics.grid, scene.absorption(lithium)
        slab = scene.slabs[scene.electrode]
        around = through.around(scene.electrode, two_theta=grid)
        moles = active_areal_moles(self.scenario.cells[0])
        total = met * scene.inert_pattern(slab, through, scene.electrode)
        for index, fraction in enumerate(seen.depths):
            at_depth = np.zeros_like(grid)
            for share in seen.shares:
                here = share.depth == index
                at_depth += scene.mixed_pattern(
                    share.phase,
                    lithium_content=share.lithium_content[here],
                    weight=share.weight[here],
                )
            within = through.within(scene.electrode, two_theta=grid, fraction=float(fraction))
            total += moles * at_depth * within * around
        return total


def mean_content(seen: Illuminated) -> float:
    """Mean lithium content of all active material in the beam, weighted by photons and moles."""
    weight = sum(float(share.weight.sum()) for share in seen.shares)
    return sum(float(share.weight @ share.lithium_content) for share in seen.shares) / weight


def counts(
    photons: FloatArray, *, duration: float, detector: Detector, rng: np.random.Generator
) -> npt.NDArray[np.uint32]:
    """What the detector counts of the expected photons in an exposure of ``duration`` s, shape
    (rows, columns).
    """
    dark = detector.dark_rate * duration
    if detector.gain == 1:
        counted = rng.poisson(photons + dark)
    else:
        counted = np.rint(rng.poisson(photons) * detector.gain).astype(np.int64) + rng.poisson(
            dark, size=photons.shape
        )
    return np.minimum(counted, detector.saturation).astype(np.uint32)
