"""This file is where slabs with hosts get their radial patterns, from the state that the beam met."""

import numpy as np

from battbeam import materials
from battbeam.sim import diffraction
from battbeam.sim.electrode import Illuminated, PhaseShare
from battbeam.sim.geometry import as_seen_from
from battbeam.sim.hosts import Host, areal_moles
from battbeam.sim.scenario import Texture
from battbeam.sim.scene import Scene
from battbeam.sim.stack import Absorption, AmountLayer
from battbeam.units import FloatArray


def host_pattern(
    scene: Scene, index: int, seen: Illuminated, through: Absorption, *, met: float, moved: float
) -> FloatArray:
    """Radial pattern of a slab with hosts, its inert layers too, as if the rays came from where the
    electrode's middle is when the cell has not moved; ``met`` photons met the cell.
    """
    grid, slab = scene.optics.grid, scene.slabs[index]
    around = through.around(index, two_theta=grid)
    total = met * scene.inert_pattern(slab, through, index)
    for host in slab.hosts:
        moles, lies = areal_moles(host, scene.cell), layer_of(scene, index, host).texture
        for number, fraction in enumerate(seen.depths):
            at_depth = _pattern_at(scene, seen, host, number, lies)
            within = through.within(index, two_theta=grid, fraction=float(fraction))
            total += moles * at_depth * within * around
    return moved_pattern(scene, index, total, moved)


def moved_pattern(scene: Scene, index: int, pattern: FloatArray, moved: float) -> FloatArray:
    """A slab's radial pattern as if the rays came from the electrode's middle."""
    return as_seen_from(
        pattern,
        grid=scene.optics.grid,
        distance=scene.optics.flat.distance,
        depth=scene.slabs[index].depth_of(moved),
        origin=scene.slabs[scene.electrode].depth,
    )


def layer_of(scene: Scene, index: int, host: Host) -> AmountLayer:
    """The layer of a slab that holds a host."""
    return next(layer for layer in scene.slabs[index].layers if layer.material == host)


def _pattern_at(
    scene: Scene, seen: Illuminated, host: Host, depth: int, lies: Texture | None
) -> FloatArray:
    """Sum of a host's patterns at one of its depth points, times photons, per mol."""
    total = np.zeros_like(scene.optics.grid)
    for share in seen.of(host):
        here = share.depth == depth
        pattern = scene.patterns.mixed(
            share.phase,
            lithium_content=share.lithium_content[here],
            weight=share.weight[here],
            c_strain=share.c_strain,
            lies=lies,
        )
        total += share.formula_units * pattern
    return total


def host_lines(scene: Scene, index: int, seen: Illuminated, host: Host) -> FloatArray:
    """Radial pattern of a host's lines without what is smooth, times photons, absorption left out."""
    total = np.zeros_like(scene.optics.grid)
    lies = layer_of(scene, index, host).texture
    for share in seen.of(host):
        if share.phase not in materials.PHASES or not share.weight.any():
            continue
        pattern = scene.patterns.mixed(
            share.phase,
            lithium_content=share.lithium_content,
            weight=share.weight,
            c_strain=share.c_strain,
            lies=lies,
        )
        total += share.formula_units * (pattern - _smooth(scene, share))
    return areal_moles(host, scene.cell) * total


def _smooth(scene: Scene, share: PhaseShare) -> FloatArray:
    """Diffuse scattering of a share, times photons, per mol: in proportion to its mean content."""
    weight = float(share.weight.sum())
    mean = float(share.weight @ share.lithium_content) / weight
    crystal = materials.structure(share.phase, mean)
    return weight * diffraction.crystal_diffuse_pattern(
        crystal, two_theta=scene.optics.grid, energy=scene.energy
    )
