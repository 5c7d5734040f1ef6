"""This file is where a white beam that goes along the layers of a cell meets them: what is in its gauge
volume, how densely, and what absorbs there.

The cell stands edge-on: the beam and the rays that the detector sees stay in the plane of the layers.
So absorption is that of the layer itself, and the height of the beam is all that mixes neighbours.

Not imitated: that the gauge is longer than a point (lateral gradients are those at its middle),
fatigue, heat and beam damage of the working electrode.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from battbeam import materials
from battbeam.sim import graphite, lithium, plating
from battbeam.sim.history import HiddenState
from battbeam.sim.scenario import Cell, Layer
from battbeam.sim.stack import (
    STANDARD_PACKING,
    STANDARD_THICKNESS,
    areal_moles,
    crystal_areal_moles,
)
from battbeam.units import FloatArray

#: Planes through the gauge's height.
_N_PLANES = 11
#: Of lithium content: one more is another lattice. 0.0003 angstrom where spacings change fastest.
CONTENT_STEP = 5e-4
_RANGES = {**materials.LITHIUM_RANGE, **materials.COUNTER_RANGE}


@dataclass(frozen=True)
class Portion:
    """One phase or glass in one plane of the gauge.

    Attributes:
        host: Layer that it belongs to, as the stack names it.
        material: Phase or glass.
        content: Lithium in it, to `CONTENT_STEP`; 0 where it is always the same.
        concentration: mol of its formula units per cm3 there.
        formula: Atoms of a formula unit.
    """

    host: str
    material: str
    content: float
    concentration: float
    formula: Mapping[str, float]

    @property
    def is_crystal(self) -> bool:
        """Whether it has lines."""
        return self.material in materials.PHASES


@dataclass(frozen=True)
class Plane:
    """A thin part of the gauge along the layers.

    Attributes:
        weight: Its share of the light of the exposure.
        portions: What is in it.
    """

    weight: float
    portions: tuple[Portion, ...]


class Gauge:
    """The gauge volume of one cell.

    Args:
        cell: The hidden truth about it.
        layers: Its stack.
        height: Of the beam, across the layers, mm.
    """

    def __init__(self, cell: Cell, layers: Sequence[Layer], height: float) -> None:
        self._cell, self._layers, self._height = cell, tuple(layers), height
        # mol/cm3 of each layer's own formula units; of what is plated, of the charge that changes x by 1.
        self._dense = [areal_moles(each, cell) / (each.thickness / 10) for each in self._layers]

    def planes(
        self, z: float, *, x: float, y: float, state: HiddenState, light: FloatArray
    ) -> list[Plane]:
        """What the beam meets with its middle at depth z.

        Args:
            z: mm from the electrode's middle.
            x: mm, in the cell's frame.
            y: mm.
            state: The cell at some instants.
            light: Share of the photons of each, shape (n_instants,).
        """
        inside = (np.arange(_N_PLANES) + 0.5) / _N_PLANES - 0.5
        return [
            Plane(
                float(share) / _N_PLANES,
                tuple(self._portions(z + float(part) * self._height, x, y, state, instant)),
            )
            for instant, share in enumerate(light)
            for part in inside
        ]

    def _portions(
        self, z: float, x: float, y: float, state: HiddenState, instant: int
    ) -> Iterator[Portion]:
        moved = float(state.displacement[instant])
        for layer, dense in zip(self._layers, self._dense, strict=True):
            middle = layer.depth + moved if layer.moves else layer.depth
            place = (z - middle) / layer.thickness
            if -0.5 <= place < 0.5:
                yield from self._layer(layer, dense, place, x, y, state, instant)

    def _layer(
        self,
        layer: Layer,
        dense: float,
        place: float,
        x: float,
        y: float,
        state: HiddenState,
        instant: int,
    ) -> Iterator[Portion]:
        name, cell = layer.material, self._cell
        if name == "counter":
            content = graphite.local_content(
                state.counter_content[instant], state.counter_lag[instant], x, y, place, cell
            )
            for each in _composed(graphite.stages(content)):
                phase, share, held = each
                yield Portion(name, phase, held, dense * share, {"C": 6, "Li": held})
        elif name == "plated":
            metal = plating.local_metal(state.metal[instant], np.array(x), np.array(y), cell)
            if metal > 0:
                yield Portion(name, "Li", 0.0, dense * float(metal), {"Li": 1})
        elif name == "active":
            material = lithium.active_material(cell)
            for content, part in self._working(place, x, y, float(state.lithium_content[instant])):
                for phase, share, held in _composed(lithium.phase_composition(content, cell)):
                    yield Portion(name, phase, held, dense * part * share, material.at(held))
        else:
            yield _inert(name, dense)

    def _working(
        self, place: float, x: float, y: float, mean: float
    ) -> Iterator[tuple[FloatArray, float]]:
        """Lithium content and share of what takes part of the working electrode, and of what does not."""
        cell = self._cell
        yield (
            lithium.local_lithium_content(mean, x, y, place, cell),
            1 - cell.inactive_fraction,
        )
        if cell.inactive_fraction > 0:
            yield np.asarray(cell.initial_lithium_content), cell.inactive_fraction


def standard_planes(name: str, path: float) -> list[Plane]:
    """The powder standard, a disc across the beam: as much of it as frames see, spread over ``path`` mm."""
    amount = crystal_areal_moles(name, thickness=STANDARD_THICKNESS) * STANDARD_PACKING
    return [Plane(1.0, (_inert(name, amount / (path / 10)),))]


def _inert(material: str, concentration: float) -> Portion:
    """What is always the same."""
    if material in materials.AMORPHOUS:
        formula = materials.AMORPHOUS[material][0]
    else:
        formula = materials.structure(material).formula
    return Portion(material, material, 0.0, concentration, formula)


def _composed(
    composition: Sequence[tuple[str, FloatArray, FloatArray]],
) -> Iterator[tuple[str, float, float]]:
    """Name, share and lithium content of each phase that is there."""
    for phase, share, content in composition:
        if float(share) > 0:
            low, high = _RANGES.get(phase, (-np.inf, np.inf))
            held = round(float(content) / CONTENT_STEP) * CONTENT_STEP
            yield phase, float(share), min(max(held, low), high)
