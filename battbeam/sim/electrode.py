"""This file is where the electrodes that an exposure sees are broken into sub-volumes.

A frame is a mean over the beam's footprint, the electrode's depth and the exposure, each sub-volume
weighted by the photons on it and by its moles. Cell position = stage position: at stage (x, y) the
beam's middle meets the point (x, y) of the cell, so moving the stage to +x brings cell coordinate
+x into the beam.

What has a pattern that depends on the cell is a host (`battbeam.sim.hosts`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from battbeam.sim import fatigue, graphite, heated_phases, lithium, plating
from battbeam.sim.beam import Instants
from battbeam.sim.damage import Damage
from battbeam.sim.history import HiddenState
from battbeam.sim.hosts import Host
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
        weight: Photons times the share that each sub-volume has of its host's formula units, shape
            (n,). The host's amount is `hosts.areal_moles`.
        lithium_content: Of the phase there, shape (n,).
        formula_units: Of the phase per formula unit of its host.
        is_fatigued: Whether it is what gives lithium down to some content only.
        c_strain: By what share edge c is longer than that of the phase at its content.
    """

    phase: str
    depth: "np.typing.NDArray[np.int64]"
    weight: FloatArray
    lithium_content: FloatArray
    formula_units: float = 1.0
    is_fatigued: bool = False
    c_strain: float = 0.0


@dataclass(frozen=True)
class Illuminated:
    """What of the electrodes the beam met.

    Attributes:
        fraction: Of the photons that met the electrode at all, 0 to 1.
        depths: Places of the depth points, 0 (upstream) to 1, shape (n_depths,).
        shares: Of the working electrode, one entry per phase and origin (connected or inactive).
        counter: Of graphite, one entry per stage that is there.
        plated: Of lithium metal, one entry or none.
    """

    fraction: float
    depths: FloatArray
    shares: tuple[PhaseShare, ...]
    counter: tuple[PhaseShare, ...] = ()
    plated: tuple[PhaseShare, ...] = ()

    def of(self, host: Host) -> tuple[PhaseShare, ...]:
        """The shares of a host."""
        return {"active": self.shares, "counter": self.counter, "plated": self.plated}[host]


def depth_points() -> tuple[FloatArray, FloatArray]:
    """Places through the electrode, 0 to 1, and their shares of it."""
    return (_DEPTH_NODES + 1) / 2, _DEPTH_WEIGHTS / 2


def footprint(
    x: float, y: float, *, beam: Beam, cell: Cell, way: tuple[float, float] = (0.0, 0.0)
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Points of the cell under a uniform beam centred at (x, y), mm, and the share of photons on
    each; with the beam on its ``way`` evenly along x and y, mm, (x, y) is the middle of that.
    """
    if _meets_edge(x, y, beam=beam, cell=cell, way=way):
        nodes = (np.arange(_EDGE_POINTS) + 0.5) / _EDGE_POINTS * 2 - 1
        weights = np.full(_EDGE_POINTS, 1 / _EDGE_POINTS)
    else:
        nodes, weights = _SMOOTH_NODES, _SMOOTH_WEIGHTS / 2
    grid_x, grid_y = np.meshgrid(x + nodes * beam.size_x / 2, y + nodes * beam.size_y / 2)
    share = np.outer(weights, weights).ravel()
    if way == (0.0, 0.0):
        return grid_x.ravel(), grid_y.ravel(), share
    # Every point of the beam goes the same way.
    along_x, along_y = (
        np.add.outer(nodes * step / 2, grid.ravel()).ravel()
        for step, grid in zip(way, (grid_x, grid_y), strict=True)
    )
    return along_x, along_y, np.outer(weights, share).ravel()


def _meets_edge(x: float, y: float, *, beam: Beam, cell: Cell, way: tuple[float, float]) -> bool:
    half_diagonal = (np.hypot(beam.size_x, beam.size_y) + np.hypot(*way)) / 2
    discs = [(0.0, 0.0, cell.electrode_radius)]
    if cell.dead_spot is not None:
        discs.append((cell.dead_spot.x, cell.dead_spot.y, cell.dead_spot.radius))
    return any(abs(np.hypot(x - cx, y - cy) - radius) <= half_diagonal for cx, cy, radius in discs)


@dataclass(frozen=True)
class _Volumes:
    """Every instant with every point of the footprint and of the depth; each of shape (n,).

    Attributes:
        instant: Index.
        x: mm, in the cell's frame.
        y: mm.
        depth: Index.
        place: Through the electrode, -0.5 (upstream) to 0.5.
        photons: On the electrode there.
    """

    instant: "np.typing.NDArray[np.int64]"
    x: FloatArray
    y: FloatArray
    depth: "np.typing.NDArray[np.int64]"
    place: FloatArray
    photons: FloatArray


def illuminated(
    x: float,
    y: float,
    *,
    instants: Instants,
    mean_lithium_content: Callable[[FloatArray], FloatArray],
    beam: Beam,
    cell: Cell,
    damage: Damage | None = None,
    hidden: Callable[[FloatArray], HiddenState] | None = None,
    heated_to: float = heated_phases.COLD,
    way: tuple[float, float] = (0.0, 0.0),
) -> Illuminated:
    """What the beam at (x, y) met during an exposure.

    Of a beam on its way each place is taken to be lit all the time: an exposure is short beside what
    the cell does.

    Args:
        mean_lithium_content: Of the connected material at each time, from the cell's history.
        damage: What of the material under each point of `footprint` had ceased to take part before.
        hidden: The whole cell at each time; None: a fresh one, and nothing of its counter electrode.
        heated_to: Highest temperature of the furnace so far, degC.
        way: Of the beam over the cell meanwhile, mm along x and y; (x, y) is its middle.
    """
    point_x, point_y, share = footprint(x, y, beam=beam, cell=cell, way=way)
    share = share * is_on_electrode(point_x, point_y, cell)
    places, depth_shares = depth_points()
    total = instants.total
    fraction = float(share.sum()) if total > 0 else 0.0
    if fraction == 0:
        return Illuminated(0.0, places, ())
    state = None if hidden is None else hidden(instants.times)
    mean = mean_lithium_content(instants.times)
    order = np.ix_(range(len(mean)), range(len(share)), range(len(places)))
    i, j, k = (index.ravel() for index in np.broadcast_arrays(*order))
    photons = instants.photons[i] * share[j] * depth_shares[k]
    volumes = _Volumes(i, point_x[j], point_y[j], k, places[k] - 0.5, photons)
    connected = 1 - cell.inactive_fraction
    alive = np.ones(len(share)) if damage is None else damage.alive
    weight = connected * instants.photons[i] * (share * alive)[j] * depth_shares[k]
    cycles = np.zeros(len(mean)) if state is None else state.cycles
    shares = _connected_shares(mean, cycles, volumes, weight, cell)
    if damage is not None:
        ceased = connected * total * share[:, None] * damage.ceased
        shares += _ceased_shares(point_x, point_y, ceased, damage.contents, cell)
    if cell.inactive_fraction > 0:
        inactive = np.full(len(places), cell.initial_lithium_content)
        inactive_weight = depth_shares * total * fraction * cell.inactive_fraction
        shares += _shares(inactive, inactive_weight, np.arange(len(places)), cell)
    return Illuminated(
        fraction,
        places,
        tuple(_heated_shares(shares, cell, heated_to)),
        counter=() if state is None else tuple(_counter_shares(state, volumes, cell)),
        plated=() if state is None else tuple(_plated_shares(state, volumes, cell)),
    )


def _connected_shares(
    mean: FloatArray, cycles: FloatArray, volumes: _Volumes, weight: FloatArray, cell: Cell
) -> list[PhaseShare]:
    """Of the material that takes part; ``mean`` and ``cycles`` at each instant."""
    law, (low, _) = cell.fatigue, lithium.lithium_range(cell)
    x, y, place = volumes.x, volumes.y, volumes.place
    content = mean[volumes.instant]
    if law is None:
        local = lithium.local_lithium_content(content, x, y, place, cell)
        shares = _shares(local, weight, volumes.depth, cell)
    else:
        fraction = fatigue.fatigued_fraction(law, cycles)[volumes.instant]
        lowest = fatigue.lowest_mean(low, fraction, law)
        local = lithium.local_lithium_content(content, x, y, place, cell, lowest=lowest)
        rest = np.maximum(fatigue.rest_content(local, fraction, law), low)
        shares = _shares(rest, weight * (1 - fraction), volumes.depth, cell)
        shares += [
            replace(share, is_fatigued=True)
            for share in _shares(
                fatigue.fatigued_content(local, law), weight * fraction, volumes.depth, cell
            )
        ]
    strain = cell.ageing.c_strain_per_cycle
    if strain == 0:
        return shares
    mean_cycles = float(np.average(cycles[volumes.instant], weights=volumes.photons))
    return [replace(share, c_strain=strain * mean_cycles) for share in shares]


def _heated_shares(shares: list[PhaseShare], cell: Cell, heated_to: float) -> list[PhaseShare]:
    """Of the same material, with what heat has made of it."""
    layered, *turned = heated_phases.phase_fractions(cell, heated_to).items()
    if not turned:
        return shares
    found = [replace(share, weight=share.weight * layered[1]) for share in shares]
    for share in shares:
        found += [
            PhaseShare(
                phase,
                share.depth,
                share.weight * fraction,
                share.lithium_content,
                formula_units=heated_phases.formula_units(phase),
            )
            for phase, fraction in turned
        ]
    return found


def _counter_shares(state: HiddenState, volumes: _Volumes, cell: Cell) -> list[PhaseShare]:
    """Of graphite; none of lithium."""
    if cell.counter.material != "graphite":
        return []
    i = volumes.instant
    local = graphite.local_content(
        state.counter_content[i], state.counter_lag[i], volumes.x, volumes.y, volumes.place, cell
    )
    return _kept(graphite.stages(local), volumes.photons, volumes.depth)


def _plated_shares(state: HiddenState, volumes: _Volumes, cell: Cell) -> list[PhaseShare]:
    """Of lithium metal, dead or not."""
    local = plating.local_metal(state.metal[volumes.instant], volumes.x, volumes.y, cell)
    return _kept([("Li", local, np.ones_like(local))], volumes.photons, volumes.depth)


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
    return _kept(lithium.phase_composition(local, cell), weight, depth)


def _kept(
    composition: list[tuple[str, FloatArray, FloatArray]],
    weight: FloatArray,
    depth: "np.typing.NDArray[np.int64]",
) -> list[PhaseShare]:
    """Of each phase (its name, share and lithium content) what there is of it."""
    shares = []
    for phase, mole_fraction, lithium_content in composition:
        present = np.asarray(mole_fraction) * weight
        kept = present > 0
        if kept.any():
            content = np.broadcast_to(lithium_content, present.shape)
            shares.append(PhaseShare(phase, depth[kept], present[kept], np.asarray(content)[kept]))
    return shares
