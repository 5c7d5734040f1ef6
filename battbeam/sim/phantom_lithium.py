"""This file is where phantoms of plated lithium are built: a front, and a symmetric cell."""

import math

import numpy as np

from battbeam.sim.phantom_body import PLATED_THICKNESS, Body, Inside, PhantomState
from battbeam.sim.phantom_matter import matter_of, porous
from battbeam.sim.phantom_outlines import Disc, Rectangle
from battbeam.sim.phantom_shapes import Ellipsoid, Prism
from battbeam.sim.scenario_lithium import Plating, Symmetric


def plating(part: Plating, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_lithium.Plating`."""
    charge = abs(state.areal_charge)
    low, high = -part.height / 2, part.height / 2
    surface = low + part.electrode_share * part.height
    electrolyte = matter_of("electrolyte")

    def box(first: float, last: float, bottom: float, top: float) -> Prism:
        outline = Rectangle((first + last) / 2, 0.0, last - first, part.depth)
        return Prism(outline, bottom, top)

    front = part.width * min(charge / part.filling_charge, 1.0)
    thickness = part.thickness + part.growth * charge
    packing = PLATED_THICKNESS * charge * part.width / (front * thickness) if front > 0 else 0.0
    begin, end = -part.width / 2, part.width / 2 + part.surround
    bodies = [
        Body(box(begin - part.surround, end, low, surface), matter_of(part.electrode)),
        Body(box(begin - part.surround, end, surface, high), electrolyte),
    ]
    if front > 0:
        lithium = porous(matter_of("Li"), packing) - electrolyte
        bodies.append(Body(box(begin, begin + front, surface, surface + thickness), lithium))
    sizes = {
        "front": front,
        "thickness": thickness if front > 0 else 0.0,
        "packing": packing,
        "lithium_volume": packing * front * thickness * part.depth,
        "is_full": front >= part.width,
    }
    return Inside(tuple(bodies), sizes)


def symmetric(part: Symmetric, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_lithium.Symmetric`."""
    charge = abs(state.areal_charge)
    bottom, lower, upper, top = np.cumsum(
        [-part.electrode - part.polymer / 2, part.electrode, part.polymer, part.electrode]
    ).tolist()
    lithium, polymer = matter_of("Li"), matter_of("polymer")
    disc = Disc(0.0, 0.0, part.radius)
    bodies = [
        Body(Prism(disc, bottom, top), lithium),
        Body(Prism(disc, lower, upper), polymer - lithium),
    ]
    dome, dome_volume = _half(
        part.protruding_radius, part.polymer, _share(part.protruding, charge, part)
    )
    bowl, bowl_volume = _half(
        part.subsurface_radius, part.subsurface_depth, _share(part.subsurface, charge, part)
    )
    for x, z in sites(part):
        if dome_volume > 0:
            shape = Ellipsoid((x, lower, z), dome, low=lower, high=upper)
            bodies.append(Body(shape, lithium - polymer))
        if bowl_volume > 0:
            bodies.append(Body(Ellipsoid((x, lower, z), bowl, high=lower), polymer - lithium))
    sizes = {
        "subsurface_volume": part.n_sites * bowl_volume,
        "protruding_volume": part.n_sites * dome_volume,
        "interface": lower,
        "is_short": charge >= part.areal_charges[-1],
    }
    return Inside(tuple(bodies), sizes)


def _share(shares: tuple[float, ...], charge: float, part: Symmetric) -> float:
    return float(np.interp(charge, part.areal_charges, shares))


def _half(radius: float, height: float, share: float) -> tuple[tuple[float, float, float], float]:
    """Semi-axes, mm, and volume, mm3, of half an ellipsoid of a share of its largest volume."""
    scale = share ** (1 / 3)
    axes = (radius * scale, height * scale, radius * scale)
    return axes, 2 / 3 * math.pi * math.prod(axes)


def sites(part: Symmetric) -> list[tuple[float, float]]:
    """x and z of the places where lithium grows, mm."""
    n_around = max(part.n_sites - 1, 1)
    around = [2 * math.pi * index / n_around + 0.4 for index in range(part.n_sites - 1)]
    return [(0.0, 0.0)] + [
        (part.site_distance * math.cos(angle), part.site_distance * math.sin(angle))
        for angle in around
    ]
