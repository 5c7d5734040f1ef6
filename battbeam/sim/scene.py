"""This file is where everything about a frame is worked out that the cell's state does not change.

For one photon energy: images of the layers that are no hosts (per incident photon), the radial
patterns of the hosts' phases at the nodes of a grid of lithium contents, and each pixel's solid
angle and polarization.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from battbeam import materials
from battbeam.sim import diffraction, texture
from battbeam.sim.diffraction import LineShape, Reflections
from battbeam.sim.geometry import (
    FlatDetector,
    PixelMap,
    azimuth_of,
    fine_grid,
    pixel_means,
    polarization_factor,
    samples_per_edge,
)
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

#: Step of lithium content between radial patterns; between them cubic Lagrange interpolation, whose
#: error is below 1e-3 of a line's height where the lattice of NMC811 changes fastest.
NODE_STEP = 0.0025
#: Step of strain along c between them, as much of c as changes in a step of lithium content.
STRAIN_STEP = 4e-4
#: mm between displacements whose images of inert layers are kept; between three of them a parabola.
MOTION_STEP = 0.1
#: Lithium content at which the images of the inert layers hold; frames correct for the difference.
REFERENCE_LITHIUM = 0.5
#: Air in the beam that the detector sees, cm, and how its scattering rises towards the beam,
#: degree: chosen so that air is a visible, not a dominant, part of the background.
AIR_PATH, AIR_RISE = 4.0, 4.0
#: Points per pixel edge for what has no lines.
_SMOOTH_POINTS = 2


#: Phase, node of lithium content, node of strain, and how its crystals lie.
NodeKey = tuple[str, int, int, Texture | None]


@dataclass(frozen=True)
class Optics:
    """The detector as rays see it, for all energies.

    Attributes:
        flat: Where each pixel is.
        shape: Of a line.
        grid: Fine grid of 2 theta, degree.
        points: Samples per pixel edge.
        electrode_map: From the grid to the pixels, for rays from the electrode.
        acceptance: Solid angle (sr) times polarization of each pixel, seen from the electrode.
    """

    flat: FlatDetector
    shape: LineShape
    grid: FloatArray
    points: int
    electrode_map: PixelMap
    acceptance: FloatArray

    @classmethod
    def of(cls, scenario: Scenario, number: int = 1) -> "Optics":
        """Of the detector as a cell's stack sees it; takes about a second per megapixel and more."""
        detector = scenario.detector
        flat = FlatDetector.of(detector)
        shape = LineShape(detector.peak_width, detector.peak_width_slope, detector.peak_lorentzian)
        depths = tuple(layer.depth for layer in scenario.stack_of(number))
        electrode = active_depth(scenario, number)
        grid = fine_grid(flat, line_width=shape.width, depths=(0.0, *depths))
        points = samples_per_edge(flat, line_width=shape.width)
        electrode_map = PixelMap(flat, grid=grid, depth=electrode, points=points)
        acceptance = pixel_acceptance(flat, depth=electrode, degree=scenario.beam.polarization)
        return cls(flat, shape, grid, points, electrode_map, acceptance)


def pixel_acceptance(flat: FlatDetector, *, depth: float, degree: float) -> FloatArray:
    """Solid angle (sr) times polarization factor of each pixel, shape (rows, columns)."""
    return flat.solid_angle(depth) * polarization_factor(flat.pixel_rays(depth), degree=degree)


def active_depth(scenario: Scenario, number: int = 1) -> float:
    """z of the middle of a cell's electrode, mm."""
    return next(slab.depth for slab in cell_slabs(scenario, number) if slab.has_active)


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
        nodes: Patterns of hosts' phases, by phase, node of lithium content and node of strain.

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
        self.nodes = {} if nodes is None else nodes
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
            pattern = passed * self.lines_pattern(materials.structure(phase), lies, order)
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
            return self._crystal_pattern(materials.structure(layer.material), layer.texture)
        formula: Mapping[str, float] = materials.AMORPHOUS[layer.material][0]
        return diffraction.glass_pattern(
            layer.material, formula, two_theta=self.optics.grid, energy=self.energy
        )

    def _crystal_pattern(
        self, crystal: materials.Structure, lies: Texture | None = None
    ) -> FloatArray:
        return self.lines_pattern(crystal, lies) + diffraction.crystal_diffuse_pattern(
            crystal, two_theta=self.optics.grid, energy=self.energy
        )

    def lines_pattern(
        self, crystal: materials.Structure, lies: Texture | None = None, order: int = 0
    ) -> FloatArray:
        """Radial pattern of a crystal's lines per mol, cm2/(mol sr), mean around the beam or another
        order of the azimuth (`battbeam.sim.texture`).
        """

        share = None
        if lies is not None:
            each = functools.partial(texture.line_shares, lies, crystal, energy=self.energy)

            def share(lines: Reflections) -> FloatArray:
                return each(lines)[:, order]

        return diffraction.bragg_pattern(
            crystal,
            two_theta=self.optics.grid,
            energy=self.energy,
            shape=self.optics.shape,
            share=share,
        )

    def node_pattern(
        self, phase: str, node: int, strain: int = 0, lies: Texture | None = None
    ) -> FloatArray:
        """Radial pattern of a host's phase per mol, cm2/(mol sr), at a node of lithium content and one
        of strain along c, with its crystals lying somehow.
        """
        key = (phase, node, strain, lies)
        if key not in self.nodes:
            low, high = content_range(phase)
            crystal = materials.structure(phase, min(low + node * NODE_STEP, high))
            if strain != 0:
                stretched = replace(
                    crystal.lattice, c=crystal.lattice.c * (1 + strain * STRAIN_STEP)
                )
                crystal = replace(crystal, lattice=stretched)
            self.nodes[key] = self._crystal_pattern(crystal, lies)
        return self.nodes[key]

    def mixed_pattern(
        self,
        phase: str,
        *,
        lithium_content: FloatArray,
        weight: FloatArray,
        c_strain: float = 0.0,
        lies: Texture | None = None,
    ) -> FloatArray:
        """Sum of a phase's patterns at the given lithium contents with the given weights, c longer by
        a share ``c_strain``, its crystals lying somehow; 0 for one without lines.
        """
        total = np.zeros_like(self.optics.grid)
        if phase not in materials.PHASES:
            return total
        shares = node_shares(phase, lithium_content=lithium_content, weight=weight)
        for strain, share in _strain_shares(c_strain).items():
            for node in np.flatnonzero(shares):
                total += shares[node] * share * self.node_pattern(phase, int(node), strain, lies)
        return total


def _weighted(images: Sequence[InertImage], shares: Iterable[float]) -> FloatArray:
    parts = [share * each.image for share, each in zip(shares, images, strict=True)]
    return np.asarray(sum(parts))


def content_range(phase: str) -> tuple[float, float]:
    """Lithium content over which a phase has nodes; both 0 for one that is always the same."""
    ranges = {**materials.LITHIUM_RANGE, **materials.COUNTER_RANGE}
    return ranges.get(phase, (0.0, 0.0))


def _strain_shares(c_strain: float) -> dict[int, float]:
    """Weights of the nodes of strain that stand for one."""
    place = c_strain / STRAIN_STEP
    first = int(np.floor(place)) - 1
    weights = _lagrange(np.array(place - first))
    return {first + offset: float(each) for offset, each in enumerate(weights) if each != 0}


def _lagrange(t: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cubic weights of the nodes 0 to 3 at a place between them."""
    return (
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    )


def node_shares(phase: str, *, lithium_content: FloatArray, weight: FloatArray) -> FloatArray:
    """Weights of the node patterns that stand for a sum over lithium contents (cubic Lagrange),
    shape (n_nodes,).

    Weights of nodes may be negative; their sum is the sum of the given weights, and their mean
    lithium content, and its second and third moments, are those of the given contents.
    """
    low, high = content_range(phase)
    if low == high:
        return np.array([np.sum(weight)])
    n_nodes = round((high - low) / NODE_STEP) + 1
    place = (np.asarray(lithium_content) - low) / NODE_STEP
    first = np.clip(np.floor(place).astype(int) - 1, 0, n_nodes - 4)
    shares = np.zeros(n_nodes)
    for offset, share in enumerate(_lagrange(place - first)):
        shares += np.bincount(first + offset, weights=weight * share, minlength=n_nodes)
    # what is left of cancelled terms is rounding
    shares[np.abs(shares) < 1e-12 * np.abs(weight).sum()] = 0
    return shares
