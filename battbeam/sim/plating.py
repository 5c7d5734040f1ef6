"""This file is where lithium metal grows on graphite and is stripped again: how much, and where.

Exact for every step, however long: both laws are linear in the charge and have closed forms, so a
history does not depend on how it was cut into steps.

What it does not imitate: the potential of the metal (graphite's is that of its own content), metal
that goes into graphite at rest, current that grows with area, and dead lithium that is lost to a film.
"""

import math
from dataclasses import dataclass

import numpy as np

from battbeam.materials import FARADAY
from battbeam.sim.lithium import full_capacity
from battbeam.sim.scenario import Cell
from battbeam.sim.scenario_degradation import Plating
from battbeam.units import FloatArray

_COULOMB_PER_MAH = 3.6


@dataclass(frozen=True)
class Metal:
    """Lithium metal on the counter electrode, as the charge that went into it.

    Attributes:
        plated: In contact, C: stripping takes it back.
        dead: Without contact, C: it stays.
    """

    plated: float = 0.0
    dead: float = 0.0

    @property
    def total(self) -> float:
        """C: all of it diffracts."""
        return self.plated + self.dead


NO_METAL = Metal()


def metal_after(
    metal: Metal,
    charge: float,
    *,
    law: Plating,
    capacity: float,
    room: float,
    cycles: float,
    per_cycle: float,
) -> Metal:
    """What there is after a step.

    Args:
        metal: Before it.
        charge: C that came to the counter electrode, < 0 on discharge.
        law: How it plates.
        capacity: C that change the mean content of the fresh working electrode by one.
        room: C that graphite takes before it begins to plate; 0 or less: it has begun.
        cycles: Equivalent full cycles before the step.
        per_cycle: C that come, or go, in one more.
    """
    if charge > 0:
        waits = max(room, (law.onset_cycle - cycles) * per_cycle, 0.0)
        more = _deposited(charge - waits, metal.total, law, capacity)
        return Metal(metal.plated + more, metal.dead)
    if charge < 0 and metal.plated > 0:
        age = (cycles - law.onset_cycle) / law.efficiency_decay
        efficiency = law.efficiency * math.exp(-age)
        return _stripped(-charge, metal, efficiency, scale=law.efficiency_decay * per_cycle)
    return metal


def _deposited(charge: float, metal: float, law: Plating, capacity: float) -> float:
    """C of a charge that become metal: dM/dQ = share (nucleation + growth M / capacity), at most 1."""
    if charge <= 0:
        return 0.0
    start, rate = law.share * law.nucleation, law.share * law.growth / capacity
    speed = start + rate * metal
    if speed >= 1:
        return charge
    if rate == 0 or speed == 0:
        return speed * charge
    whole = math.log(1 / speed) / rate  # from here on all of it becomes metal
    if charge <= whole:
        return speed / rate * math.expm1(rate * charge)
    return (1 - speed) / rate + charge - whole


def _stripped(charge: float, metal: Metal, efficiency: float, *, scale: float) -> Metal:
    """After ``charge`` C were taken, from metal first: d(metal)/dQ = -1 / efficiency, which falls to 1/e
    in ``scale`` C.
    """
    given = min(charge, scale * math.log1p(metal.plated * efficiency / scale))
    if given < charge:
        return Metal(0.0, metal.total - given)
    taken = min(scale / efficiency * math.expm1(given / scale), metal.plated)
    return Metal(metal.plated - taken, metal.dead + taken - given)


def spread(x: FloatArray, y: FloatArray, cell: Cell) -> FloatArray:
    """Metal at points of the electrode (mm, in the cell's frame) over its mean; 1 everywhere without
    spots.

    Source:
        A bump of height h and radius r holds pi r^2 h / 3, so the mean is 1 in closed form.
    """
    law = cell.plating
    spots = law.spots if law is not None else ()
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    total, mean = np.ones(np.broadcast(x, y).shape), 1.0
    for spot in spots:
        away = np.hypot(x - spot.x, y - spot.y) / spot.radius
        total = total + spot.weight * np.maximum(1 - away**2, 0.0) ** 2
        mean += spot.weight * (spot.radius / cell.electrode_radius) ** 2 / 3
    return total / mean


def unit_areal_moles(cell: Cell) -> float:
    """mol/cm2 of lithium metal that the charge that changes x by 1 would make, evenly spread.

    The host ``plated`` is counted in it, as the electrode is in its formula units.
    """
    return full_capacity(cell) * _COULOMB_PER_MAH / FARADAY / cell.electrode_area


def local_metal(metal: FloatArray | float, x: FloatArray, y: FloatArray, cell: Cell) -> FloatArray:
    """Metal at points of the electrode in parts of `unit_areal_moles`, dead and connected.

    Args:
        metal: mAh in the whole cell, ``HiddenState.metal``.
        x: mm, in the cell's frame.
        y: mm.
        cell: The hidden truth about the cell.

    Returns:
        Shape of the three broadcast together.
    """
    return np.asarray(metal) / full_capacity(cell) * spread(x, y, cell)
