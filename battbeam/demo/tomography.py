"""This file is where the cell of the tomograms' demo is drawn: particles of tin oxide that nobody has seen.

What its users believe, how it is cycled and when it is measured stands in the recipe that the demo
runs, ``plans/tin_oxide_tomography.py``.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.sim.phantom_particles import largest_crack, placed
from battbeam.sim.scenario import Beam, Cell, Cycler, Detector, Imaging, Scenario
from battbeam.sim.scenario_phantom import Particles

RECIPE = "plans/tin_oxide_tomography.py"
#: eV, below the K edge of tin.
ENERGY = 28_000.0
#: mg/cm2 of what the recipe believes, and how well it was weighed.
_LOADING, _WEIGHED = 2.0, 0.005
#: Of the largest crack that a shell has room for.
_ROOM = 0.9
#: Draws until particles fit into the tube.
_TRIES = 50


@dataclass(frozen=True)
class TomographyDemoOptions(Asked):
    """What ``battbeam demo tomography`` was asked."""

    command: ClassVar[str] = "battbeam demo tomography"
    fastest: ClassVar[float] = 90.0


def hidden_truth(options: TomographyDemoOptions) -> Scenario:
    """A beamline whose axis is off and whose beam moves, and particles that swell and crack."""
    rng = np.random.default_rng(options.seed)
    cell = Cell(
        chemistry="sno",
        active_loading=_LOADING * float(rng.uniform(1 - _WEIGHED, 1 + _WEIGHED)),
        initial_lithium_content=float(rng.uniform(0.012, 0.022)),
        coulombic_efficiency=float(rng.uniform(0.995, 0.9995)),
        resistance=float(rng.uniform(5.0, 12.0)),
        inactive_fraction=0.0,
        dead_spot=None,
        phantom=_particles(rng, options.seed),
    )
    return Scenario(
        name="demo_tomography",
        seed=options.seed,
        rate=options.speed,
        cells=(cell,),
        beam=Beam(energy=ENERGY, lifetime=float(rng.uniform(25_000, 50_000))),
        imaging=Imaging(
            axis_offset=float(rng.uniform(1.0, 6.0) * rng.choice([-1, 1])),
            beam_drift=float(rng.uniform(-0.01, 0.01)),
            ring_gain=float(rng.uniform(0.01, 0.03)),
            ring_drift=float(rng.uniform(0.0, 0.002)),
            blur=float(rng.uniform(1.0, 1.4)),
            clock_offset=float(rng.uniform(-5, 5)),
            clock_drift=float(rng.uniform(-3e-5, 3e-5)),
        ),
        # Nothing is diffracted here.
        detector=Detector(
            n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8
        ),
        cycler=Cycler(
            clock_offset=float(rng.uniform(-60, 60)), clock_drift=float(rng.uniform(-3e-5, 3e-5))
        ),
    )


def _particles(rng: np.random.Generator, seed: int) -> Particles:
    """Drawn until they fit.

    Raises:
        ValueError: If they never do.
    """
    for _ in range(_TRIES):
        values: dict[str, Any] = {
            "n_particles": int(rng.integers(9, 13)),
            "smallest": float(rng.uniform(0.05, 0.06)),
            "largest": float(rng.uniform(0.09, 0.105)),
            "swelling": float(rng.uniform(2.4, 3.0)),
            "crack_state": float(rng.uniform(0.35, 0.65)),
            "n_cracked": int(rng.integers(3, 6)),
        }
        room = _ROOM * largest_crack(Particles(**values, crack_volume=0.0))
        part = Particles(**values, crack_volume=min(float(rng.uniform(0.035, 0.05)), room))
        try:
            # As the scenario's first cell will have them.
            placed(part, seed + 1)
        except ValueError:
            continue
        return part
    raise ValueError(f"no particles of seed {seed} fit into their tube")
