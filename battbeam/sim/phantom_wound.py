"""This file is where the phantom of a wound primary cell is built."""

import math

from battbeam.sim.phantom_body import Body, Inside, PhantomState
from battbeam.sim.phantom_matter import Matter, active_matter, matter_of, porous
from battbeam.sim.phantom_outlines import Disc, HalfDisc, Rectangle
from battbeam.sim.phantom_shapes import Prism
from battbeam.sim.scenario_cell import Cell
from battbeam.sim.scenario_phantom import Wound


def wound(part: Wound, cell: Cell, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_phantom.Wound`; the sheet begins at +x and turns towards z."""
    low, high = -part.height / 2, part.height / 2
    electrolyte, steel = matter_of("electrolyte"), matter_of("steel")
    factor = (1 + part.growth * state.place) / (1 + part.growth * state.first_place)
    thickness = part.sheet_thickness * factor
    lithium = part.lithium_thickness - (thickness - part.sheet_thickness)
    solid = active_matter(cell.chemistry, state.lithium_content)
    sheet = porous(solid, part.packing / factor) - electrolyte
    foil = matter_of("Li") - electrolyte
    inner = Disc(0.0, 0.0, part.case_radius)
    bodies = [
        Body(Prism(Disc(0.0, 0.0, part.case_radius + part.case_thickness), low, high), steel),
        Body(Prism(inner, low, high), electrolyte - steel),
    ]
    for index in range(part.n_half_turns):
        x, angle = _half_turn(part, index)
        radius = part.half_turn_radius(index)
        for middle, width, matter in (
            (radius, thickness, sheet),
            (radius + part.pitch / 2, lithium, foil),
        ):
            bodies += _half_ring(x, angle, middle, width, matter, low, high)
    is_open = state.largest_place >= part.crack_state
    x, z, turn = crack_place(part)
    if is_open:
        gap = Rectangle(x, z, part.crack_share * thickness, part.crack_width, turn)
        bodies.append(Body(Prism(gap, low, high), sheet * -1.0))
    sizes = {
        "sheet_thickness": thickness,
        "lithium_thickness": lithium,
        "sheet_length": part.length,
        "crack_position": part.crack_position,
        "crack_width": part.crack_width if is_open else 0.0,
        "crack_x": x,
        "crack_z": z,
    }
    return Inside(tuple(bodies), sizes)


def _half_turn(part: Wound, index: int) -> tuple[float, float]:
    """x of the middle of a half turn, mm, and the direction in which it lies, rad."""
    return (0.0, math.pi / 2) if index % 2 == 0 else (part.pitch / 2, -math.pi / 2)


def _half_ring(
    x: float, angle: float, middle: float, width: float, matter: Matter, low: float, high: float
) -> list[Body]:
    outer, inner = (
        Prism(HalfDisc(x, 0.0, middle + sign * width / 2, angle), low, high) for sign in (1, -1)
    )
    return [Body(outer, matter), Body(inner, matter * -1.0)]


def crack_place(part: Wound) -> tuple[float, float, float]:
    """x and z of the crack's middle, mm, and its angle across the sheet, rad."""
    left = part.crack_position
    for index in range(part.n_half_turns):
        radius = part.half_turn_radius(index)
        if left <= math.pi * radius:
            break
        left -= math.pi * radius
    turn = left / radius + math.pi * (index % 2)
    x, _ = _half_turn(part, index)
    return x + radius * math.cos(turn), radius * math.sin(turn), turn
