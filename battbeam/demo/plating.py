"""This file is where the cell of the plating demo is drawn: graphite that is too small, and where lithium plates on it.

What its users believe, how it is cycled and when it is mapped stands in the recipe that the demo
runs, ``plans/pouch_plating_maps.py``.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.sim.scenario import (
    Beam,
    Cell,
    CounterElectrode,
    Cycler,
    Detector,
    Scenario,
    pouch_stack,
)
from battbeam.sim.scenario_degradation import Plating, PlatingSpot

RECIPE = "plans/pouch_plating_maps.py"
#: Fast cycles, each mapped after its charge and after its discharge.
N_CYCLES = 3
#: mg/cm2 of what the recipe believes, and how well it was weighed.
_LOADING, _WEIGHED = 20.0, 0.003
#: Half the map's width, mm; spots of metal end before.
_WITHIN = 5.0
#: Draws until the spots lie apart.
_TRIES = 200


@dataclass(frozen=True)
class PlatingDemoOptions(Asked):
    """What ``battbeam demo plating`` was asked."""

    speed: float = 120.0

    command: ClassVar[str] = "battbeam demo plating"
    fastest: ClassVar[float] = 240.0


def hidden_truth(options: PlatingDemoOptions) -> Scenario:
    """A pouch cell on which lithium plates in spots, from its first fast charge on."""
    rng = np.random.default_rng(options.seed)
    working = float(rng.uniform(0.996, 1.0))
    cell = Cell(
        chemistry="nmc811",
        active_loading=_LOADING * float(rng.uniform(1 - _WEIGHED, 1 + _WEIGHED)),
        initial_lithium_content=float(rng.uniform(0.955, 0.965)),
        inactive_fraction=0.0,
        dead_spot=None,
        coulombic_efficiency=working,
        gradient_x=float(rng.uniform(-0.012, 0.012)),
        gradient_depth=float(rng.uniform(0.0, 0.03)),
        resistance=float(rng.uniform(0.5, 1.0)),
        kinetic_resistance=float(rng.uniform(0.5, 1.0)),
        diffusion_time=60.0,
        counter=CounterElectrode(
            material="graphite",
            capacity_ratio=float(rng.uniform(0.73, 0.75)),
            initial_lithium_content=float(rng.uniform(0.055, 0.07)),
            coulombic_efficiency=working - float(rng.uniform(0.01, 0.025)),
            kinetic_resistance=0.25,
            diffusion_time=30.0,
            gradient_x=float(rng.uniform(0.004, 0.008) * rng.choice([-1, 1])),
            gradient_y=float(rng.uniform(0.004, 0.008) * rng.choice([-1, 1])),
            gradient_depth=0.5,
        ),
        plating=Plating(
            onset_cycle=float(rng.uniform(0.0, 0.15)),
            share=float(rng.uniform(0.22, 0.28)),
            from_content=0.5,
            nucleation=float(rng.uniform(0.35, 0.45)),
            growth=float(rng.uniform(7.0, 9.0)),
            efficiency=float(rng.uniform(0.75, 0.85)),
            efficiency_decay=float(rng.uniform(1.2, 1.8)),
            spots=_spots(rng),
        ),
    )
    return Scenario(
        name="demo_plating",
        seed=options.seed,
        rate=options.speed,
        cells=(cell,),
        stack=pouch_stack(),
        beam=Beam(flux=5e10, size_x=0.5, size_y=0.5, lifetime=float(rng.uniform(25_000, 50_000))),
        detector=Detector(
            n_rows=256,
            n_columns=256,
            pixel_size=0.344,
            distance=130.0 * float(rng.uniform(0.98, 1.02)),
            centre_row=float(rng.uniform(122, 132)),
            centre_column=float(rng.uniform(122, 132)),
            tilt=float(rng.uniform(0.2, 0.8)),
        ),
        cycler=Cycler(
            clock_offset=float(rng.uniform(-60, 60)), clock_drift=float(rng.uniform(-3e-5, 3e-5))
        ),
    )


def _spots(rng: np.random.Generator) -> tuple[PlatingSpot, ...]:
    """Three or four, apart from each other and within the map.

    Raises:
        ValueError: If they never lie apart.
    """
    for _ in range(_TRIES):
        found: list[PlatingSpot] = []
        for _ in range(int(rng.integers(3, 5))):
            radius = float(rng.uniform(1.7, 2.6))
            x, y = (float(each) for each in rng.uniform(radius - _WITHIN, _WITHIN - radius, 2))
            found.append(PlatingSpot(x=x, y=y, radius=radius, weight=float(rng.uniform(4.0, 8.0))))
        pairs = [(a, b) for k, a in enumerate(found) for b in found[:k]]
        if all(math.hypot(a.x - b.x, a.y - b.y) > 0.8 * (a.radius + b.radius) for a, b in pairs):
            return tuple(found)
    raise ValueError("no spots of plating lie apart")
