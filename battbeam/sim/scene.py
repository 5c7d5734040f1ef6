"""This file is where everything about a frame is worked out that the cell's state does not change.

For one photon energy: images of the layers that stand still (per incident photon), the radial
patterns of the active phases at the nodes of a grid of lithium contents, and each pixel's solid
angle and polarization.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.sim import diffraction
from battbeam.sim.diffraction import LineShape
from battbeam.sim.geometry import (
    FlatDetector,
    PixelMap,
    fine_grid,
    pixel_means,
    polarization_factor,
    samples_per_edge,
)
from battbeam.sim.scenario import Scenario
from battbeam.sim.stack import (
    AIR,
    AIR_DENSITY,
    Absorption,
    AmountLayer,
    Slab,
    cell_slabs,
    standard_slabs,
)
from battbeam.units import FloatArray

#: Step of lithium content between radial patterns; between them cubic Lagrange interpolation, whose
#: error is below 1e-3 of a line's height where the lattice of NMC811 changes fastest.
NODE_STEP = 0.0025
#: Lithium content at which the images of the inert layers hold; frames correct for the difference.
REFERENCE_LITHIUM = 0.5
#: Air in the beam that the detector sees, cm, and how its scattering rises towards the beam,
#: degree: chosen so that air is a visible, not a dominant, part of the background.
AIR_PATH, AIR_RISE = 4.0, 4.0
#: Points per pixel edge for what has no lines.
_SMOOTH_POINTS = 2


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


class Scene:
    """The constant images and patterns of one cell at one energy.

    Attributes:
        cell: Which cell.
        slabs: Of the cell, in the beam's order.
        electrode: Index of the slab that holds the active material.
        standard_transmission: Of the direct beam.
        nodes: Patterns of active phases, by phase and node of lithium content.

    Images are made on first use.
    """

    def __init__(
        self,
        scenario: Scenario,
        optics: Optics,
        energy: float,
        *,
        number: int = 1,
        nodes: dict[tuple[str, int], FloatArray] | None = None,
    ) -> None:
        """A scene of cell ``number``; ``nodes`` may be shared by scenes of one energy and optics."""
        self.scenario, self.optics, self.energy = scenario, optics, energy
        self.cell = scenario.cells[number - 1]
        self.slabs = cell_slabs(scenario, number)
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
    def upstream(self) -> FloatArray:
        """Counts per photon of the slabs before the electrode, through it at the reference."""
        return self._inert_image(range(self.electrode))

    @functools.cached_property
    def downstream(self) -> FloatArray:
        """The same for the slabs behind it."""
        return self._inert_image(range(self.electrode + 1, len(self.slabs)))

    def _inert_image(self, indices: range) -> FloatArray:
        absorption = self.absorption(REFERENCE_LITHIUM)
        images = [self._slab_image(self.slabs, index, absorption) for index in indices]
        return np.asarray(sum(images, start=np.zeros(self.optics.flat.shape)))

    def absorption(self, lithium_content: float) -> Absorption:
        """Of the cell at the active material's mean lithium content."""
        return self._absorption_of(self.slabs, lithium_content)

    def _absorption_of(self, slabs: tuple[Slab, ...], lithium_content: float) -> Absorption:
        return Absorption.of(
            slabs, cell=self.cell, lithium_content=lithium_content, energy=self.energy
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
        self, slabs: tuple[Slab, ...], index: int, absorption: Absorption
    ) -> FloatArray:
        """Of a slab's inert layers; the electrode's own are rendered with the active material."""
        if slabs[index].has_active:
            return np.zeros(self.optics.flat.shape)
        pattern = self.inert_pattern(slabs[index], absorption, index)
        has_lines = any(layer.crystalline for layer in slabs[index].layers)
        return self._image(pattern, depth=slabs[index].depth, has_lines=has_lines)

    def inert_pattern(self, slab: Slab, absorption: Absorption, index: int) -> FloatArray:
        """Radial pattern of a slab's layers but the active one, per photon and sr, absorption
        included.
        """
        grid = self.optics.grid
        total = np.zeros_like(grid)
        for layer in slab.layers:
            if layer.material != "active":
                total += layer.areal_moles * self._layer_pattern(layer)
        through = absorption.around(index, two_theta=grid) * absorption.within_mean(
            index, two_theta=grid
        )
        return np.asarray(total * through)

    def _layer_pattern(self, layer: AmountLayer) -> FloatArray:
        if layer.crystalline:
            return self._crystal_pattern(materials.structure(layer.material))
        formula: Mapping[str, float] = materials.AMORPHOUS[layer.material][0]
        return diffraction.glass_pattern(
            layer.material, formula, two_theta=self.optics.grid, energy=self.energy
        )

    def _crystal_pattern(self, crystal: materials.Structure) -> FloatArray:
        grid = self.optics.grid
        bragg = diffraction.bragg_pattern(
            crystal, two_theta=grid, energy=self.energy, shape=self.optics.shape
        )
        return bragg + diffraction.crystal_diffuse_pattern(
            crystal, two_theta=grid, energy=self.energy
        )

    def node_pattern(self, phase: str, node: int) -> FloatArray:
        """Radial pattern of an active phase per mol, cm2/(mol sr), at a node of lithium content."""
        key = (phase, node)
        if key not in self.nodes:
            low, high = materials.LITHIUM_RANGE[phase]
            content = min(low + node * NODE_STEP, high)
            self.nodes[key] = self._crystal_pattern(materials.structure(phase, content))
        return self.nodes[key]

    def mixed_pattern(
        self, phase: str, *, lithium_content: FloatArray, weight: FloatArray
    ) -> FloatArray:
        """Sum of a phase's patterns at the given lithium contents with the given weights; 0 for one
        without lines.
        """
        if phase not in materials.LITHIUM_RANGE:
            return np.zeros_like(self.optics.grid)
        shares = node_shares(phase, lithium_content=lithium_content, weight=weight)
        total = np.zeros_like(self.optics.grid)
        for node in np.flatnonzero(shares):
            total += shares[node] * self.node_pattern(phase, int(node))
        return total


def node_shares(phase: str, *, lithium_content: FloatArray, weight: FloatArray) -> FloatArray:
    """Weights of the node patterns that stand for a sum over lithium contents (cubic Lagrange),
    shape (n_nodes,).

    Weights of nodes may be negative; their sum is the sum of the given weights, and their mean
    lithium content, and its second and third moments, are those of the given contents.
    """
    low, high = materials.LITHIUM_RANGE[phase]
    n_nodes = round((high - low) / NODE_STEP) + 1
    place = (np.asarray(lithium_content) - low) / NODE_STEP
    first = np.clip(np.floor(place).astype(int) - 1, 0, n_nodes - 4)
    t = place - first
    lagrange = (
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    )
    shares = np.zeros(n_nodes)
    for offset, share in enumerate(lagrange):
        shares += np.bincount(first + offset, weights=weight * share, minlength=n_nodes)
    # what is left of cancelled terms is rounding
    shares[np.abs(shares) < 1e-12 * np.abs(weight).sum()] = 0
    return shares
