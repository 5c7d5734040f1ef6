"""This file is where the electrode that an exposure sees is broken into sub-volumes.

A frame is a mean over the beam's footprint, the electrode's depth and the exposure, each sub-volume
weighted by the photons on it and by its moles. Cell position = stage position: at stage (x, y) the
beam's middle meets the point (x, y) of the cell, so moving the stage to +x brings cell coordinate
+x into the beam.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from battbeam.sim import lithium
from battbeam.sim.beam import Instants
from battbeam.sim.damage import Damage
from battbeam.sim.scenario import Beam, Cell
from battbeam.sim.stack import is_on_electrode
from battbeam.units import FloatArray

#: Points per edge of the footprint: Gauss-Legendre inside a smooth electrode, midpoints across an
#: edge of it.
_SMOOTH_POINTS, _EDGE_POINTS = 3, 21
_SMOOTH_NODES, _SMOOTH_WEIGHTS = np.polynomial.legendre.leggauss(_SMOOTH_POINTS)
#: Gauss-Legendre points through the electrode's depth.
_DEPTH_POINTS = 3
_DEPTH_NODES, _DEPTH_WEIGHTS = np.polynomial.legendre.leggauss(_DEPTH_POINTS)


@dataclass(frozen=True)
class PhaseShare:
    """One phase in the beam.

    Attributes:
        phase: Its name.
        depth: Index of the depth point, shape (n,).
        weight: Photons times mole fraction of each sub-volume, shape (n,).
        lithium_content: Of the phase there, shape (n,).
    """

    phase: str
    depth: "np.typing.NDArray[np.int64]"
    weight: FloatArray
    lithium_content: FloatArray


@dataclass(frozen=True)
class Illuminated:
    """What of the electrode the beam met.

    Attributes:
        fraction: Of the photons that met the electrode at all, 0 to 1.
        depths: Places of the depth points, 0 (upstream) to 1, shape (n_depths,).
        shares: One entry per phase and origin (connected or inactive).
    """

    fraction: float
    depths: FloatArray
    shares: tuple[PhaseShare, ...]


def depth_points() -> tuple[FloatArray, FloatArray]:
    """Places through the electrode, 0 to 1, and their shares of it."""
    return (_DEPTH_NODES + 1) / 2, _DEPTH_WEIGHTS / 2


def footprint(
    x: float, y: float, *, beam: Beam, cell: Cell
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Points of the cell under a uniform beam centred at (x, y), mm, and the share of photons on
    each.
    """
    if _meets_edge(x, y, beam=beam, cell=cell):
        nodes = (np.arange(_EDGE_POINTS) + 0.5) / _EDGE_POINTS * 2 - 1
        weights = np.full(_EDGE_POINTS, 1 / _EDGE_POINTS)
    else:
        nodes, weights = _SMOOTH_NODES, _SMOOTH_WEIGHTS / 2
    grid_x, grid_y = np.meshgrid(x + nodes * beam.size_x / 2, y + nodes * beam.size_y / 2)
    return grid_x.ravel(), grid_y.ravel(), np.outer(weights, weights).ravel()


def _meets_edge(x: float, y: float, *, beam: Beam, cell: Cell) -> bool:
    half_diagonal = np.hypot(beam.size_x, beam.size_y) / 2
    discs = [(0.0, 0.0, cell.electrode_radius)]
    if cell.dead_spot is not None:
        discs.append((cell.dead_spot.x, cell.dead_spot.y, cell.dead_spot.radius))
    return any(abs(np.hypot(x - cx, y - cy) - radius) <= half_diagonal for cx, cy, radius in discs)


def illuminated(
    x: float,
    y: float,
    *,
    instants: Instants,
    mean_lithium_content: Callable[[FloatArray], FloatArray],
    beam: Beam,
    cell: Cell,
    damage: Damage | None = None,
) -> Illuminated:
    """What the beam at (x, y) met during an exposure.

    Args:
        mean_lithium_content: Of the connected material at each time, from the cell's history.
        damage: What of the material under each point of `footprint` had ceased to take part before.
    """
    point_x, point_y, share = footprint(x, y, beam=beam, cell=cell)
    share = share * is_on_electrode(point_x, point_y, cell)
    places, depth_shares = depth_points()
    total = instants.total
    fraction = float(share.sum()) if total > 0 else 0.0
    if fraction == 0:
        return Illuminated(0.0, places, ())
    mean = mean_lithium_content(instants.times)
    order = np.ix_(range(len(mean)), range(len(share)), range(len(places)))
    i, j, k = (index.ravel() for index in np.broadcast_arrays(*order))
    connected = 1 - cell.inactive_fraction
    alive = np.ones(len(share)) if damage is None else damage.alive
    weight = connected * instants.photons[i] * (share * alive)[j] * depth_shares[k]
    local = lithium.local_lithium_content(mean[i], point_x[j], point_y[j], places[k] - 0.5, cell)
    inactive = np.full(len(places), cell.initial_lithium_content)
    shares = _shares(local, weight, k, cell)
    if damage is not None:
        ceased = connected * total * share[:, None] * damage.ceased
        shares += _ceased_shares(point_x, point_y, ceased, damage.contents, cell)
    if cell.inactive_fraction > 0:
        inactive_weight = depth_shares * total * fraction * cell.inactive_fraction
        shares += _shares(inactive, inactive_weight, np.arange(len(places)), cell)
    return Illuminated(fraction, places, tuple(shares))


def _ceased_shares(
    x: FloatArray, y: FloatArray, weight: FloatArray, contents: FloatArray, cell: Cell
) -> list[PhaseShare]:
    """Of material that ceased, at each point, while the cell's mean content was ``contents``."""
    places, depth_shares = depth_points()
    order = np.ix_(range(len(x)), range(len(contents)), range(len(places)))
    j, n, k = (index.ravel() for index in np.broadcast_arrays(*order))
    local = lithium.local_lithium_content(contents[n], x[j], y[j], places[k] - 0.5, cell)
    return _shares(local, weight[j, n] * depth_shares[k], k, cell)


def _shares(
    local: FloatArray, weight: FloatArray, depth: "np.typing.NDArray[np.int64]", cell: Cell
) -> list[PhaseShare]:
    shares = []
    for phase, mole_fraction, lithium_content in lithium.phase_composition(local, cell):
        present = np.asarray(mole_fraction) * weight
        kept = present > 0
        content = np.broadcast_to(lithium_content, local.shape)
        if kept.any():
            shares.append(PhaseShare(phase, depth[kept], present[kept], np.asarray(content)[kept]))
    return shares
