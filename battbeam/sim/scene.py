"""This file is where everything about a frame is worked out that the cell's state does not change.

For one photon energy: images of the layers that are no hosts (per incident photon), and the radial
patterns of the hosts' phases.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.sim import diffraction, texture
from battbeam.sim.geometry import azimuth_of, pixel_means
from battbeam.sim.optics import Optics, pixel_acceptance
from battbeam.sim.phase_patterns import NodeKey, PhasePatterns
from battbeam.sim.scenario import Scenario, Texture
from battbeam.sim.stack import (
    AIR,
    AIR_DENSITY,
    HALF_FULL,
    Absorption,
    AmountLayer,
    Opposite,
    Slab,
    cell_slabs,
    standard_slabs,
)
from battbeam.units import FloatArray

#: mm between displacements whose images of inert layers are kept; between three of them a parabola.
MOTION_STEP = 0.1
#: Lithium content at which the images of the inert layers hold; frames correct for the difference.
REFERENCE_LITHIUM = 0.5
#: Air in the beam that the detector sees, cm, and how its scattering rises towards the beam,
#: degree: chosen so that air is a visible, not a dominant, part of the background.
AIR_PATH, AIR_RISE = 4.0, 4.0
#: Points per pixel edge for what has no lines.
_SMOOTH_POINTS = 2


@dataclass(frozen=True)
class InertImage:
    """Counts per photon of neighbouring slabs without a host, through the hosts at the reference.

    Attributes:
        hosts_before: How many of the scene's slabs with hosts stand upstream of them.
        image: Shape (rows, columns).
    """

    hosts_before: int
    image: FloatArray


class Scene:
    """The constant images and patterns of one cell at one energy.

    Attributes:
        cell: Which cell.
        slabs: Of the cell, in the beam's order.
        hosts: Indices of the slabs that hold hosts.
        electrode: Index of the one that holds the active material.
        standard_transmission: Of the direct beam.
        patterns: Of crystals.

    Images are made on first use.
    """

    def __init__(
        self,
        scenario: Scenario,
        optics: Optics,
        energy: float,
        *,
        number: int = 1,
        nodes: dict[NodeKey, FloatArray] | None = None,
    ) -> None:
        """A scene of cell ``number``; ``nodes`` may be shared by scenes of one energy and optics."""
        self.scenario, self.optics, self.energy = scenario, optics, energy
        self.cell = scenario.cells[number - 1]
        self.slabs = cell_slabs(scenario, number)
        self.hosts = tuple(i for i, slab in enumerate(self.slabs) if slab.hosts)
        self.electrode = next(i for i, slab in enumerate(self.slabs) if slab.has_active)
        self.patterns = PhasePatterns(optics.grid, shape=optics.shape, energy=energy, nodes=nodes)
        self._standard_slabs = standard_slabs(scenario.standard)
        self._standard_absorption = self._absorption_of(self._standard_slabs, REFERENCE_LITHIUM)
        self.standard_transmission = self._standard_absorption.transmission

    @functools.cached_property
    def air(self) -> FloatArray:
        """Counts per photon of the air alone."""
        return self._image(self._air_pattern(), depth=0.0, has_lines=False)

    @functools.cached_property
    def standard(self) -> FloatArray:
        """Counts per photon of the powder standard and the air behind it."""
        powder = self._slab_image(self._standard_slabs, 0, self._standard_absorption)
        return np.asarray(powder + self.air * self.standard_transmission)

    @functools.cached_property
    def inert(self) -> dict[int, tuple[InertImage, ...]]:
        """Of the slabs without a host, by displacement of the cell in parts of `MOTION_STEP`; more of
        them are made when the cell goes there.
        """
        nodes = (0,) if self.cell.motion is None else (-1, 0, 1)
        return {node: self._inert_images(node * MOTION_STEP) for node in nodes}

    def inert_images(self, displacement: float) -> tuple[InertImage, ...]:
        """The same with the cell ``displacement`` mm downstream, by a parabola in it."""
        if displacement == 0:
            return self.inert[0]
        middle = round(displacement / MOTION_STEP)
        t = displacement / MOTION_STEP - middle
        shares = (t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2)
        nodes = (middle - 1, middle, middle + 1)
        for node in nodes:
            if node not in self.inert:
                self.inert[node] = self._inert_images(node * MOTION_STEP)
        return tuple(
            InertImage(each[0].hosts_before, _weighted(each, shares))
            for each in zip(*(self.inert[node] for node in nodes), strict=True)
        )

    def _inert_images(self, displacement: float) -> tuple[InertImage, ...]:
        absorption = self.absorption(REFERENCE_LITHIUM)
        found = []
        edges = (-1, *self.hosts, len(self.slabs))
        for number, (before, behind) in enumerate(itertools.pairwise(edges)):
            images = [
                self._slab_image(self.slabs, index, absorption, displacement)
                for index in range(before + 1, behind)
            ]
            if images:
                found.append(InertImage(number, np.asarray(sum(images))))
        return tuple(found)

    def absorption(self, lithium_content: float, opposite: Opposite = HALF_FULL) -> Absorption:
        """Of the cell at the active material's mean lithium content and at what is opposite."""
        return self._absorption_of(self.slabs, lithium_content, opposite)

    def _absorption_of(
        self, slabs: tuple[Slab, ...], lithium_content: float, opposite: Opposite = HALF_FULL
    ) -> Absorption:
        return Absorption.of(
            slabs,
            cell=self.cell,
            lithium_content=lithium_content,
            energy=self.energy,
            opposite=opposite,
        )

    def _air_pattern(self) -> FloatArray:
        grid = self.optics.grid
        rise = 1 + AIR_RISE / np.maximum(grid, diffraction.LOWEST_TWO_THETA)
        per_mol = diffraction.glass_pattern("air", AIR, two_theta=grid, energy=self.energy)
        return np.asarray(AIR_DENSITY * AIR_PATH * per_mol * rise)

    def _image(self, pattern: FloatArray, *, depth: float, has_lines: bool) -> FloatArray:
        optics = self.optics
        points = optics.points if has_lines else _SMOOTH_POINTS
        means = pixel_means(
            optics.flat, grid=optics.grid, pattern=pattern, depth=depth, points=points
        )
        degree = self.scenario.beam.polarization
        return means * pixel_acceptance(optics.flat, depth=depth, degree=degree)

    def _slab_image(
        self,
        slabs: tuple[Slab, ...],
        index: int,
        absorption: Absorption,
        displacement: float = 0.0,
    ) -> FloatArray:
        """Of a slab without a host; inert layers beside a host are rendered with it."""
        slab = slabs[index]
        pattern = self.inert_pattern(slab, absorption, index)
        has_lines = any(layer.crystalline for layer in slab.layers)
        depth = slab.depth_of(displacement)
        image = self._image(pattern, depth=depth, has_lines=has_lines)
        for layer in slab.layers:
            if layer.texture is not None and layer.texture.tilt != 0:
                passed = layer.areal_moles * self.through(absorption, index)
                image += self._uneven_rings(layer.material, layer.texture, passed, depth)
        return image

    def _uneven_rings(
        self, phase: str, lies: Texture, passed: FloatArray, depth: float
    ) -> FloatArray:
        """What is left of a phase's image with a tilted axis, above its mean around the beam.

        Args:
            phase: Name.
            lies: How its crystals lie.
            passed: mol per cm2 times what is let through, on the grid.
            depth: Of the rays, mm.
        """
        azimuth = azimuth_of(self.optics.flat.pixel_rays(depth)) - lies.tilt_direction
        image = np.zeros(self.optics.flat.shape)
        for order in range(1, texture.N_ORDERS + 1):
            pattern = passed * self.patterns.lines(materials.structure(phase), lies, order)
            rings = self._image(pattern, depth=depth, has_lines=True)
            image += rings * np.cos(np.radians(order * azimuth))
        return image

    def inert_pattern(self, slab: Slab, absorption: Absorption, index: int) -> FloatArray:
        """Radial pattern of a slab's layers but its hosts, per photon and sr, absorption
        included.
        """
        grid = self.optics.grid
        total = np.zeros_like(grid)
        for layer in slab.layers:
            if not layer.is_host:
                total += layer.areal_moles * self._layer_pattern(layer)
        return np.asarray(total * self.through(absorption, index))

    def through(self, absorption: Absorption, index: int) -> FloatArray:
        """What the stack lets through of a slab's rays, mean over its depth, on the grid."""
        grid = self.optics.grid
        return absorption.around(index, two_theta=grid) * absorption.within_mean(
            index, two_theta=grid
        )

    def _layer_pattern(self, layer: AmountLayer) -> FloatArray:
        if layer.crystalline:
            return self.patterns.crystal(materials.structure(layer.material), layer.texture)
        formula: Mapping[str, float] = materials.AMORPHOUS[layer.material][0]
        return diffraction.glass_pattern(
            layer.material, formula, two_theta=self.optics.grid, energy=self.energy
        )


def _weighted(images: Sequence[InertImage], shares: Iterable[float]) -> FloatArray:
    parts = [share * each.image for share, each in zip(shares, images, strict=True)]
    return np.asarray(sum(parts))
