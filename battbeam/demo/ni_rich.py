"""This file is where the cells of the demo of nickel-rich cathodes are drawn: 60 and 90 % nickel, both tired.

What its users believe, how the cells are charged and when they are measured stands in the recipe that
the demo runs, ``plans/ni_rich_collapse.py``.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.sim.chemistry import Chemistry
from battbeam.sim.scenario import Beam, Cell, Cycler, Detector, Fatigue, Motion, Scenario

RECIPE = "plans/ni_rich_collapse.py"
#: Of the recipe's cells: the oxide as the recipe names it, and as the simulation does.
OXIDES: dict[str, tuple[str, Chemistry]] = {
    "cell1": ("NMC622", "nmc622"),
    "cell2": ("NMC90", "nmc90"),
}
#: Pixels along a side, mm of one, mm to the cell, and where the beam stands near a corner.
_PIXELS, _PIXEL_SIZE, _DISTANCE, _CORNER = 512, 0.172, 130.0, (60.4, 71.8)


@dataclass(frozen=True)
class NiRichOptions(Asked):
    """What ``battbeam demo ni-rich`` was asked."""

    command: ClassVar[str] = "battbeam demo ni-rich"
    #: A pattern every 40 s of cell time takes some half a second.
    fastest: ClassVar[float] = 75.0


def hidden_truth(options: NiRichOptions) -> Scenario:
    """A beamline with two cells that move while they charge, and of which some grains have stopped."""
    rng = np.random.default_rng(options.seed)

    def drawn(chemistry: Chemistry) -> Cell:
        return Cell(
            chemistry=chemistry,
            active_loading=10.0,
            initial_lithium_content=float(rng.uniform(0.975, 0.985)),
            inactive_fraction=float(rng.uniform(0.0, 0.02)),
            coulombic_efficiency=float(rng.uniform(0.998, 0.9998)),
            resistance=float(rng.uniform(3.0, 5.0)),
            kinetic_resistance=float(rng.uniform(2.0, 4.0)),
            gradient_x=float(rng.uniform(0.005, 0.02)),
            gradient_depth=float(rng.uniform(0.0, 0.02)),
            dead_spot=None,
            fatigue=Fatigue(fraction=float(rng.uniform(0.08, 0.18)), lowest_content=0.25),
            motion=Motion(amplitude=float(rng.uniform(0.06, 0.12) * rng.choice([-1, 1]))),
        )

    return Scenario(
        name="demo_ni_rich",
        seed=options.seed,
        rate=options.speed,
        cells=tuple(drawn(chemistry) for _, chemistry in OXIDES.values()),
        beam=Beam(lifetime=float(rng.uniform(25_000, 50_000))),
        detector=Detector(
            n_rows=_PIXELS,
            n_columns=_PIXELS,
            pixel_size=_PIXEL_SIZE,
            distance=_DISTANCE,
            centre_row=_CORNER[0],
            centre_column=_CORNER[1],
            tilt=float(rng.uniform(0.2, 1.0)),
            tilt_direction=float(rng.uniform(0, 360)),
        ),
        cycler=Cycler(
            clock_offset=float(rng.uniform(-60, 60)), clock_drift=float(rng.uniform(-3e-5, 3e-5))
        ),
    )
