"""This file is where a frame is made: from the hidden state of the cell to the counts in each
pixel.

Expected counts of a pixel = photons x areal moles x cross section per mol and sr, averaged over the
pixel's area and over footprint, depth and exposure, x absorption on both ways x polarization x
solid angle; counts are Poisson, times the gain, plus dark counts, clipped at the saturation.

A slab that stands elsewhere along the beam than the electrode did when it was built is a stretch of
the radial grid (`geometry.as_seen_from`); what of a phase lies at which depth within its own slab
decides about absorption alone.

What the detector does wrong is in `battbeam.sim.artefacts`. Not imitated: gain noise, the shift of
lines over the beam's footprint (it is part of the line's width), and what a tilt of the cell does to
its pattern: it is in the transmission alone.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from battbeam.sim.beam import Instants
from battbeam.sim.changer import InBeam, Place, place_of
from battbeam.sim.damage import Damage
from battbeam.sim.electrode import Illuminated, illuminated
from battbeam.sim.grains import spots
from battbeam.sim.heated_phases import COLD
from battbeam.sim.history import HiddenState
from battbeam.sim.host_patterns import host_pattern
from battbeam.sim.optics import Optics
from battbeam.sim.scenario import Cell, Detector, Layer, Scenario
from battbeam.sim.scene import REFERENCE_LITHIUM, Scene
from battbeam.sim.stack import HALF_FULL, Absorption, Opposite, cell_slabs, standard_slabs
from battbeam.units import FloatArray

#: Energies whose scenes are kept for each cell, and the step, eV, in which they are told apart.
_KEPT_ENERGIES, _ENERGY_STEP = 3, 0.01
#: Images of a scene that a frame needs.
_IMAGES: Mapping[InBeam, tuple[str, ...]] = {
    "cell": ("air", "inert"),
    "standard": ("standard",),
    "nothing": ("air",),
}


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
        x_end: Stage position at its end, mm; None: it stands.
        y_end: mm.
        tilt: Position of the tilt axis, degree; None: the cell is perpendicular to the beam.
    """

    start: float
    end: float
    x: float
    y: float
    energy: float
    instants: Instants
    x_end: float | None = None
    y_end: float | None = None
    tilt: float | None = None

    @property
    def duration(self) -> float:
        """s."""
        return self.end - self.start

    @property
    def way(self) -> tuple[float, float]:
        """How far the stage goes along x and y, mm."""
        ends = ((self.x, self.x_end), (self.y, self.y_end))
        along_x, along_y = (0.0 if end is None else end - start for start, end in ends)
        return along_x, along_y


@dataclass(frozen=True)
class ExpectedFrame:
    """A frame before chance comes in.

    Attributes:
        photons: Expected detected photons of each pixel, shape (rows, columns).
        in_beam: What was in the beam.
        place: Where on the changer.
        illuminated: What of the electrode the beam met; None unless the cell was in the beam.
        lithium_content: Scattering-weighted mean of all active material in the beam, NaN without
            any.
        transmission: Of the direct beam.
        displacement: Of the cell along the beam, mm downstream, mean over the exposure's photons.
    """

    photons: FloatArray
    in_beam: InBeam
    place: Place
    illuminated: Illuminated | None
    lithium_content: float
    transmission: float
    displacement: float = 0.0


class FrameModel:
    """Renders the frames of a scenario; keeps what is the same from frame to frame."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._optics: dict[tuple[Layer, ...], Optics] = {}
        self._scenes: OrderedDict[tuple[int, int], Scene] = OrderedDict()

    @property
    def optics(self) -> Optics:
        """Of the detector as cell 1 sees it."""
        return self.optics_of(1)

    def optics_of(self, number: int) -> Optics:
        """Of the detector as a cell sees it; made on first use, one for all cells built alike."""
        stack = self.scenario.stack_of(number)
        if stack not in self._optics:
            self._optics[stack] = Optics.of(self.scenario, number)
        return self._optics[stack]

    def scene(self, energy: float, number: int = 1) -> Scene:
        """What does not change of a cell at an energy in eV; takes seconds when it is new."""
        key = _key(energy, number)
        if key not in self._scenes:
            optics = self.optics_of(number)
            alike = [
                scene
                for (_, of_energy), scene in self._scenes.items()
                if of_energy == key[1] and scene.optics is optics
            ]
            nodes = alike[0].patterns.nodes if alike else None
            self._scenes[key] = Scene(self.scenario, optics, energy, number=number, nodes=nodes)
            while len(self._scenes) > _KEPT_ENERGIES * len(self.scenario.cells):
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(key)
        return self._scenes[key]

    def prepare(self, x: float, y: float, energy: float) -> None:
        """Make what frames at a place of the stage and an energy share; seconds, once."""
        place = self.place(x, y)
        scene = self.scene(energy, max(place.cell, 1))
        for name in _IMAGES[place.in_beam]:
            getattr(scene, name)

    def is_prepared(self, x: float, y: float, energy: float) -> bool:
        """Whether that is made already."""
        place = self.place(x, y)
        scene = self._scenes.get(_key(energy, max(place.cell, 1)))
        # What a cached property holds stands in the instance once it is made.
        return scene is not None and all(name in vars(scene) for name in _IMAGES[place.in_beam])

    def place(self, x: float, y: float) -> Place:
        """What the beam meets with the stage at (x, y), mm."""
        return place_of(self.scenario, x, y)

    def place_during(self, exposure: Exposure) -> Place:
        """What the beam meets in an exposure."""
        way = exposure.way
        return place_of(self.scenario, exposure.x + way[0] / 2, exposure.y + way[1] / 2, way)

    def transmission(self, x: float, y: float, energy: float) -> float:
        """Of the direct beam with the stage at (x, y), mm, the electrode half full; quick."""
        place = self.place(x, y)
        if place.in_beam == "nothing":
            return 1.0
        slabs = (
            cell_slabs(self.scenario, place.cell)
            if place.in_beam == "cell"
            else standard_slabs(self.scenario.standard)
        )
        absorption = Absorption.of(
            slabs,
            cell=self.scenario.cells[place.cell - 1],
            lithium_content=REFERENCE_LITHIUM,
            energy=energy,
        )
        return absorption.transmission

    def expected(
        self,
        exposure: Exposure,
        mean_lithium_content: Callable[[FloatArray], FloatArray],
        *,
        damage: Damage | None = None,
        hidden: Callable[[FloatArray], HiddenState] | None = None,
        heated_to: float = COLD,
    ) -> ExpectedFrame:
        """The expected photons of an exposure.

        Args:
            exposure: What is exposed.
            mean_lithium_content: Of the connected material of the cell in the beam, at times of the
                session clock.
            damage: What of the material in the beam had ceased to take part before.
            hidden: The whole of that cell at such times; None: it is fresh, stands still, and the beam
                meets nothing of graphite and lithium metal in it.
            heated_to: Highest temperature of the furnace so far, degC.
        """
        place = self.place_during(exposure)
        photons = exposure.instants.total
        if photons <= 0:
            dark = np.zeros(self.optics.flat.shape)
            return ExpectedFrame(dark, place.in_beam, place, None, np.nan, 1.0)
        scene = self.scene(exposure.energy, max(place.cell, 1))
        if place.in_beam == "standard":
            image, transmission = scene.standard * photons, scene.standard_transmission
            return ExpectedFrame(image, place.in_beam, place, None, np.nan, transmission)
        seen = (
            illuminated(
                place.x,
                place.y,
                instants=exposure.instants,
                mean_lithium_content=mean_lithium_content,
                beam=self.scenario.beam,
                cell=scene.cell,
                damage=damage,
                hidden=hidden,
                heated_to=heated_to,
                way=place.way,
            )
            if place.in_beam == "cell"
            else None
        )
        if seen is None or seen.fraction == 0:
            return ExpectedFrame(scene.air * photons, "nothing", place, None, np.nan, 1.0)
        moved = _displacement(exposure.instants, hidden, scene)
        frame = self._cell_frame(scene, place, seen, photons, moved)
        slant = slanted(exposure.tilt, scene.cell)
        return replace(frame, transmission=_behind(frame.transmission, seen.fraction, slant))

    def _cell_frame(
        self, scene: Scene, place: Place, seen: Illuminated, photons: float, moved: float
    ) -> ExpectedFrame:
        lithium = mean_content(seen)
        through = scene.absorption(lithium, mean_opposite(seen))
        met = photons * seen.fraction
        radial = np.zeros_like(scene.optics.grid)
        for index in scene.hosts:
            radial += host_pattern(scene, index, seen, through, met=met, moved=moved)
        image = scene.optics.electrode_map.image(radial) * scene.optics.acceptance
        # Lithium gained or lost by the hosts changes a little what passes them.
        excess = through.slabs - scene.absorption(REFERENCE_LITHIUM).slabs
        obliquity = _obliquity(scene.optics)
        for inert in scene.inert_images(moved):
            n = inert.hosts_before
            before, behind = excess[[*scene.hosts[:n]]].sum(), excess[[*scene.hosts[n:]]].sum()
            image += inert.image * (met * np.exp(-before - behind * obliquity))
        if (uneven := spots(scene, seen, through, place, met=met, moved=moved)) is not None:
            image = np.maximum(image + uneven, 0.0)
        transmission = seen.fraction * through.transmission + 1 - seen.fraction
        image += scene.air * (photons * transmission)
        return ExpectedFrame(image, "cell", place, seen, lithium, transmission, moved)


def slanted(tilt: float | None, cell: Cell) -> float:
    """How much longer the way through a cell is, 1 where it stands perpendicular, with the tilt axis
    at ``tilt``, degree.
    """
    return 1.0 if tilt is None else 1 / math.cos(math.radians(tilt - cell.tilt))


def _behind(transmission: float, fraction: float, slant: float) -> float:
    """Of a beam of which a ``fraction`` meets the cell, on a longer way through it."""
    if slant == 1:
        return transmission
    through = (transmission + fraction - 1) / fraction
    return float(fraction * through**slant + 1 - fraction)


def _displacement(
    instants: Instants, hidden: Callable[[FloatArray], HiddenState] | None, scene: Scene
) -> float:
    """mm, mean over the photons."""
    if hidden is None or scene.cell.motion is None:
        return 0.0
    moved = hidden(instants.times).displacement
    return float(instants.photons @ moved / instants.total)


def _key(energy: float, number: int) -> tuple[int, int]:
    """Of the scene of a cell at an energy in eV."""
    return number, round(energy / _ENERGY_STEP)


def _obliquity(optics: Optics) -> float:
    # The excess is below 1e-4, so 1 / cos(2 theta) at the detector's middle angle is exact enough.
    return float(1 / np.cos(np.radians(optics.grid[-1] / 2)))


def mean_content(seen: Illuminated) -> float:
    """Mean lithium content of all active material in the beam, weighted by photons and moles."""
    weight = sum(float(share.weight.sum()) for share in seen.shares)
    return sum(float(share.weight @ share.lithium_content) for share in seen.shares) / weight


def mean_opposite(seen: Illuminated) -> Opposite:
    """What is opposite the working electrode, weighted by photons; where nothing is known, graphite
    that is half full.
    """
    photons = sum(float(share.weight.sum()) for share in seen.counter)
    if photons == 0:
        return HALF_FULL
    lithium = sum(float(share.weight @ share.lithium_content) for share in seen.counter)
    metal = sum(float(share.weight.sum()) for share in seen.plated)
    return Opposite(lithium / photons, metal / photons)


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
