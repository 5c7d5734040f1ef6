"""This file is where radial patterns of crystals are made at one photon energy, and those of hosts'
phases mixed of patterns at the nodes of a grid of lithium contents and strains.
"""

import functools
from dataclasses import replace

import numpy as np

from battbeam import materials
from battbeam.sim import diffraction, texture
from battbeam.sim.diffraction import LineShape, Reflections
from battbeam.sim.scenario import Texture
from battbeam.units import FloatArray

#: Step of lithium content between radial patterns; between them cubic Lagrange interpolation, whose
#: error is below 1e-3 of a line's height where the lattice of NMC811 changes fastest.
NODE_STEP = 0.0025
#: Step of strain along c between them, as much of c as changes in a step of lithium content.
STRAIN_STEP = 4e-4
#: Phase, node of lithium content, node of strain, and how its crystals lie.
NodeKey = tuple[str, int, int, Texture | None]


class PhasePatterns:
    """Patterns on one grid at one energy.

    Args:
        grid: Fine grid of 2 theta, degree.
        shape: Of a line.
        energy: eV.
        nodes: Patterns of hosts' phases, by phase, node of lithium content and node of strain; may be
            shared by those of one energy, grid and shape.
    """

    def __init__(
        self,
        grid: FloatArray,
        *,
        shape: LineShape,
        energy: float,
        nodes: dict[NodeKey, FloatArray] | None = None,
    ) -> None:
        self._grid, self._shape, self._energy = grid, shape, energy
        self.nodes = {} if nodes is None else nodes

    def crystal(self, crystal: materials.Structure, lies: Texture | None = None) -> FloatArray:
        """Radial pattern of a crystal per mol, cm2/(mol sr): its lines, and what is diffuse."""
        return self.lines(crystal, lies) + diffraction.crystal_diffuse_pattern(
            crystal, two_theta=self._grid, energy=self._energy
        )

    def lines(
        self, crystal: materials.Structure, lies: Texture | None = None, order: int = 0
    ) -> FloatArray:
        """Radial pattern of a crystal's lines per mol, cm2/(mol sr), mean around the beam or another
        order of the azimuth (`battbeam.sim.texture`).
        """

        share = None
        if lies is not None:
            each = functools.partial(texture.line_shares, lies, crystal, energy=self._energy)

            def share(lines: Reflections) -> FloatArray:
                return each(lines)[:, order]

        return diffraction.bragg_pattern(
            crystal,
            two_theta=self._grid,
            energy=self._energy,
            shape=self._shape,
            share=share,
        )

    def node(
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
            self.nodes[key] = self.crystal(crystal, lies)
        return self.nodes[key]

    def mixed(
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
        total = np.zeros_like(self._grid)
        if phase not in materials.PHASES:
            return total
        shares = node_shares(phase, lithium_content=lithium_content, weight=weight)
        for strain, share in _strain_shares(c_strain).items():
            for node in np.flatnonzero(shares):
                total += shares[node] * share * self.node(phase, int(node), strain, lies)
        return total


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
