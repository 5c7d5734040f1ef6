"""This file is where phantoms of flat layers are built: coin, cylinder, a cathode on its collector."""

import math

from battbeam.sim.phantom_body import Body, Inside, Layered, PhantomState, layered
from battbeam.sim.phantom_matter import active_matter, matter_of, porous
from battbeam.sim.phantom_outlines import Disc, Rectangle
from battbeam.sim.phantom_shapes import Prism
from battbeam.sim.scenario_cell import Cell
from battbeam.sim.scenario_phantom import Coin, Cylinder, Layers, Sheet

#: Strips that the extra layer is made of; odd, so that one lies where it is thickest.
_STRIPS = 25


def _stack(
    sheets: tuple[Sheet, ...], cell: Cell, state: PhantomState
) -> list[tuple[float, Layered]]:
    """Beginning of each sheet along the stack, whose first end stands still, and the sheet."""
    position, found = -sum(sheet.thickness for sheet in sheets) / 2, []
    for sheet in sheets:
        present = layered(sheet, cell, state)
        found.append((position, present))
        position += present.thickness
    return found


def coin(part: Coin, cell: Cell, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_phantom.Coin`."""
    stack = _stack(part.layers, cell, state)
    bodies = tuple(
        Body(
            Prism(
                Rectangle(0.0, begin + sheet.thickness / 2, part.width, sheet.thickness),
                -part.height / 2,
                part.height / 2,
            ),
            sheet.matter,
        )
        for begin, sheet in stack
    )
    return Inside(bodies, _stack_sizes(stack))


def cylinder(part: Cylinder, cell: Cell, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_phantom.Cylinder`."""
    stack = _stack(part.layers, cell, state)
    inner, outer = Disc(0.0, 0.0, part.radius), Disc(0.0, 0.0, part.radius + part.case_thickness)
    low, high = stack[0][0], stack[-1][0] + stack[-1][1].thickness
    case = matter_of(part.case)
    bodies = [Body(Prism(outer, low, high), case), Body(Prism(inner, low, high), case * -1.0)]
    bodies += [
        Body(Prism(inner, begin, begin + sheet.thickness), sheet.matter) for begin, sheet in stack
    ]
    return Inside(tuple(bodies), _stack_sizes(stack))


def _stack_sizes(stack: list[tuple[float, Layered]]) -> dict[str, list[float]]:
    return {
        "begin": [begin for begin, _ in stack],
        "thickness": [sheet.thickness for _, sheet in stack],
    }


def layers(part: Layers, cell: Cell, state: PhantomState) -> Inside:
    """See `battbeam.sim.scenario_phantom.Layers`: normal along x, the cathode's free side first."""
    low, high = -part.height / 2, part.height / 2
    begin = -(part.thickness + part.collector) / 2
    interface = begin + part.thickness
    active, metal = active_matter(cell.chemistry, state.lithium_content), matter_of("Al")
    cathode, extra = porous(active, part.packing), porous(active, part.layer_packing)

    def box(start: float, thickness: float, z: float, width: float) -> Prism:
        return Prism(Rectangle(start + thickness / 2, z, thickness, width), low, high)

    bodies = [
        Body(box(begin, part.thickness, 0.0, part.width), cathode),
        Body(box(interface, part.collector, 0.0, part.width), metal),
    ]
    thicknesses = _layer_profile(part)
    width = _layer_width(part) / _STRIPS
    for index, thickness in enumerate(thicknesses):
        z = (index - (_STRIPS - 1) / 2) * width
        bodies.append(Body(box(interface, thickness, z, width), extra - metal))
    sizes = {
        "cathode_thickness": part.thickness,
        "mean_thickness": part.thickness + part.layer_mean,
        "layer_mean": part.layer_mean,
        "layer_max": part.layer_max,
        "collector": part.collector,
    }
    return Inside(tuple(bodies), sizes)


def _layer_width(part: Layers) -> float:
    """Of the extra layer along the strip, mm: the mean of cos squared is a half."""
    return 0.0 if part.layer_max == 0 else part.width * 2 * part.layer_mean / part.layer_max


def _layer_profile(part: Layers) -> list[float]:
    """Thickness of the extra layer in each of its strips, mm; none for a fresh cathode."""
    if part.layer_max == 0 or part.layer_mean == 0:
        return []
    middle = (_STRIPS - 1) / 2
    return [
        part.layer_max * math.cos(math.pi * (index - middle) / _STRIPS) ** 2
        for index in range(_STRIPS)
    ]
