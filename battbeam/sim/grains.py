"""This file is where a layer has so few grains that its rings are spots.

Of the grains in the beam a number by chance reflects into a pixel, each with a strength of its own: the
pixel's share of its ring is a Poisson number of exponential ones, 1 on average. Grains stay where they
are in the sample: a frame at another place has other ones, one at the same place the same.

Not imitated: that a grain has a rocking curve and turns when the cell is cycled, spots wider than a
pixel, and that grains change within the beam's footprint when the stage moves by less than the beam.
"""

import numpy as np

from battbeam import materials
from battbeam.sim.changer import Place
from battbeam.sim.electrode import Illuminated
from battbeam.sim.host_patterns import host_lines, moved_pattern
from battbeam.sim.hosts import HOSTS
from battbeam.sim.scene import Scene
from battbeam.sim.stack import Absorption, AmountLayer
from battbeam.units import FloatArray

#: Of the random numbers of grains, beside the scenario's seed.
_STREAM = 0x6772
#: mm between places of the sample that have grains of their own.
_PLACE = 0.001
#: Where places begin, so that their numbers are positive, mm.
_FAR = 1000.0


def grain_shares(grains: FloatArray, rng: np.random.Generator) -> FloatArray:
    """What each pixel has of a ring over its mean, where it has so many grains on average."""
    number = rng.poisson(grains)
    return np.asarray(rng.gamma(np.maximum(number, 1e-12)) / np.maximum(grains, 1e-300))


def spots(
    scene: Scene,
    seen: Illuminated,
    through: Absorption,
    place: Place,
    *,
    met: float,
    moved: float,
) -> FloatArray | None:
    """By how much few grains make a frame of a cell differ from a powder's; None where there is no
    end of grains.

    Args:
        scene: Of the cell.
        seen: What the beam met of its hosts.
        through: What its stack lets through.
        place: Of the beam on it.
        met: Photons that met the cell.
        moved: Of the cell along the beam, mm.
    """
    total = None
    for index, slab in enumerate(scene.slabs):
        for number, layer in enumerate(slab.layers):
            if layer.graininess == 0:
                continue
            radial = _lines(scene, index, layer, seen, met) * scene.through(through, index)
            radial = moved_pattern(scene, index, radial, moved)
            image = scene.optics.electrode_map.image(radial) * scene.optics.acceptance
            spot = round((place.x + _FAR) / _PLACE), round((place.y + _FAR) / _PLACE)
            seed = [scene.scenario.seed, _STREAM, place.cell, *spot, index, number]
            grains = layer.graininess * scene.optics.flat.solid_angle()
            shares = grain_shares(grains, np.random.default_rng(seed))
            total = (0.0 if total is None else total) + image * (shares - 1)
    return total


def _lines(
    scene: Scene, index: int, layer: AmountLayer, seen: Illuminated, met: float
) -> FloatArray:
    """Radial pattern of a layer's lines, times photons, absorption left out."""
    for host in HOSTS:
        if layer.material == host:
            return host_lines(scene, index, seen, host)
    crystal = materials.structure(layer.material)
    return met * layer.areal_moles * scene.patterns.lines(crystal, layer.texture)
