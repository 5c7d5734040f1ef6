"""This file is where a phantom of swelling particles is built: core, shell, crack."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.phantom_body import Body, Inside, PhantomState
from battbeam.sim.phantom_matter import active_matter, matter_of
from battbeam.sim.phantom_outlines import Disc
from battbeam.sim.phantom_shapes import Ellipsoid, Prism
from battbeam.sim.scenario_cell import Cell
from battbeam.sim.scenario_phantom import Particles

Point = tuple[float, float, float]
#: Share of its final volume with which a crack opens at once.
OPENING = 0.5
#: Of the shell at the state of the crack: how wide and thick a crack may be. Chosen so that it stays
#: inside the shell from then on.
_CRACK_WIDTH, _CRACK_DEPTH = 0.85, 0.6
_TRIES = 20_000


@functools.lru_cache(maxsize=32)
def placed(part: Particles, seed: int) -> tuple[tuple[Point, float], ...]:
    """Middles and radii at the start, mm, the largest first; apart from each other when swollen.

    Raises:
        ValueError: If they do not fit.
    """
    rng = np.random.default_rng([seed, part.n_particles])
    radii = np.sort(rng.uniform(part.smallest, part.largest, part.n_particles))[::-1]
    swollen = radii * _envelope(part, 1.0) ** (1 / 3)
    middles: list[Point] = []
    for _ in range(_TRIES):
        if len(middles) == len(radii):
            return tuple(zip(middles, radii.tolist(), strict=True))
        room = swollen[len(middles)]
        far = (part.region_radius - room) * math.sqrt(rng.uniform())
        angle, span = rng.uniform(0, 2 * math.pi), part.region_height / 2 - room
        if far < 0 or span < 0:
            break
        middle = (far * math.cos(angle), rng.uniform(-span, span), far * math.sin(angle))
        apart = (math.dist(middle, other) for other in middles)
        if all(gap > room + taken for gap, taken in zip(apart, swollen, strict=False)):
            middles.append(middle)
    raise ValueError(
        f"{part.n_particles} particles of up to {part.largest} mm, swollen by {part.swelling}, do not "
        f"fit in a cylinder of {part.region_radius} mm radius and {part.region_height} mm height"
    )


def crack_opening(part: Particles, reacted: float) -> float:
    """Volume of a crack over that of its particle at the start, when so much has reacted."""
    if reacted < part.crack_state or part.crack_volume == 0:
        return 0.0
    since = (reacted - part.crack_state) / max(1 - part.crack_state, 1e-9)
    return part.crack_volume * (OPENING + (1 - OPENING) * since)


def _solid(part: Particles, reacted: float) -> float:
    """Volume of core and shell over the volume at the start."""
    return (1 - reacted) + reacted * part.swelling


def _envelope(part: Particles, reacted: float, *, cracked: bool = True) -> float:
    """The same with the crack."""
    return _solid(part, reacted) + (crack_opening(part, reacted) if cracked else 0.0)


@dataclass(frozen=True)
class _CrackRoom:
    """Where a crack of a particle of radius 1 lies, in the shell at the state in which it appears.

    Attributes:
        distance: Of its middle from that of the particle.
        half_width: Of the crack.
        half_depth: The largest that it may have.
    """

    distance: float
    half_width: float
    half_depth: float

    @classmethod
    def of(cls, part: Particles) -> "_CrackRoom":
        core, outer = np.cbrt([1 - part.crack_state, _solid(part, part.crack_state)]).tolist()
        distance = (core + outer) / 2
        half_width = _CRACK_WIDTH * math.sqrt(outer**2 - distance**2)
        return cls(distance, half_width, _CRACK_DEPTH * (outer - core) / 2)


def _crack(part: Particles, middle: Point, radius: float, reacted: float, turn: float) -> Ellipsoid:
    """A flat void in the shell; wider than thick, its middle where it appeared."""
    room = _CrackRoom.of(part)
    half_depth = crack_opening(part, reacted) / room.half_width**2
    along, across = math.cos(turn), math.sin(turn)
    place = (
        middle[0] + room.distance * radius * along,
        middle[1],
        middle[2] + room.distance * radius * across,
    )
    axes = (half_depth * radius, room.half_width * radius, room.half_width * radius)
    directions = ((along, 0.0, across), (0.0, 1.0, 0.0), (-across, 0.0, along))
    return Ellipsoid(place, axes, directions)


def largest_crack(part: Particles) -> float:
    """Volume of a crack that still fits into the shell, over that of the particle at the start."""
    room = _CrackRoom.of(part)
    return room.half_depth * room.half_width**2


def particles(part: Particles, cell: Cell, state: PhantomState, *, seed: int) -> Inside:
    """See `battbeam.sim.scenario_phantom.Particles`.

    Raises:
        ValueError: If they do not fit into their region, or cracks into their shells.
    """
    if part.n_cracked and part.crack_volume > largest_crack(part):
        raise ValueError(
            f"crack_volume must be {largest_crack(part):.4f} or less for cracks to fit into the "
            f"shells, got {part.crack_volume}"
        )
    reacted = state.largest_place
    low, high = -part.region_height / 2, part.region_height / 2
    electrolyte = matter_of("electrolyte")
    fresh = active_matter(cell.chemistry, ACTIVE_MATERIALS[cell.chemistry].content_range[0])
    content = state.lithium_content / reacted if reacted > 0 else state.lithium_content
    shell = active_matter(cell.chemistry, content) * (1 / part.swelling)
    bodies = [
        Body(Prism(Disc(0.0, 0.0, part.region_radius), low, high), electrolyte),
        *_tube(part, low, high),
    ]
    cores, outers, cracks = [], [], []
    for index, (middle, radius) in enumerate(placed(part, seed)):
        cracked = index < part.n_cracked
        outer = radius * _envelope(part, reacted, cracked=cracked) ** (1 / 3)
        core = radius * (1 - reacted) ** (1 / 3)
        bodies.append(Body(Ellipsoid.sphere(middle, outer), shell - electrolyte))
        if core > 0:
            bodies.append(Body(Ellipsoid.sphere(middle, core), fresh - shell))
        if cracked and crack_opening(part, reacted) > 0:
            crack = _crack(part, middle, radius, reacted, turn=2.4 * index)
            bodies.append(Body(crack, electrolyte - shell))
            cracks.append(4 / 3 * math.pi * math.prod(crack.semi_axes))
        cores.append(core)
        outers.append(outer)
    sizes = {
        "reacted": reacted,
        "volume_factor": _solid(part, reacted),
        "first_radius": [radius for _, radius in placed(part, seed)],
        "outer_radius": outers,
        "core_radius": cores,
        "centre": [list(middle) for middle, _ in placed(part, seed)],
        "crack_volume": sum(cracks),
        "n_cracks": len(cracks),
    }
    return Inside(tuple(bodies), sizes)


def _tube(part: Particles, low: float, high: float) -> list[Body]:
    if part.tube_thickness == 0:
        return []
    wall, radius = matter_of("Kapton"), part.region_radius
    return [
        Body(Prism(Disc(0.0, 0.0, radius + part.tube_thickness), low, high), wall),
        Body(Prism(Disc(0.0, 0.0, radius), low, high), wall * -1.0),
    ]
