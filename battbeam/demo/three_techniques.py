"""This file is where the cell of the demo of three techniques is drawn: hidden truth beside what its recipe
believes.

How it is cycled and when it is measured stands in the recipe that the demo runs,
``plans/three_techniques.py``. Beside the cell on the changer stand two pieces of the same electrode as
known compounds, as in `battbeam.demo.xanes`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.demo.options import DemoOptions
from battbeam.demo.options import hidden_truth as diffraction_truth
from battbeam.sim.scenario import (
    Beam,
    Cell,
    Cycler,
    Imaging,
    Scenario,
    Spectroscopy,
    spectroscopy_stack,
)
from battbeam.sim.scenario_phantom import Coin, Sheet

RECIPE = "plans/three_techniques.py"
#: eV, of maps and tomograms.
ENERGY = 22_163.0
#: The cathode in a tomogram.
CATHODE = "active"
#: mg/cm2 and initial lithium content that the recipe believes; how well the first was weighed.
_LOADING, _WEIGHED = 8.0, 0.005
#: g/cm3 of dense LiNi0.8Mn0.1Co0.1O2.
_DENSITY = 4.75
#: Width of what a tomogram sees of the cell, mm.
_WIDTH = 0.3


@dataclass(frozen=True)
class ThreeTechniquesOptions(Asked):
    """What ``battbeam demo three-techniques`` was asked."""

    command: ClassVar[str] = "battbeam demo three-techniques"
    fastest: ClassVar[float] = 90.0


def hidden_truth(options: ThreeTechniquesOptions) -> Scenario:
    """A beamline with a detector, a monochromator and an axis that nobody knows, and such a cell."""
    rng = np.random.default_rng(options.seed)
    loading = _LOADING * float(rng.uniform(1 - _WEIGHED, 1 + _WEIGHED))
    cell = Cell(
        chemistry="nmc811",
        active_loading=loading,
        initial_lithium_content=float(rng.uniform(0.96, 0.98)),
        inactive_fraction=float(rng.uniform(0.0, 0.01)),
        coulombic_efficiency=float(rng.uniform(0.997, 0.9995)),
        gradient_x=float(rng.uniform(0.02, 0.035) * rng.choice([-1, 1])),
        gradient_y=float(rng.uniform(-0.02, 0.02)),
        gradient_depth=float(rng.uniform(0.0, 0.02)),
        resistance=float(rng.uniform(5.0, 9.0)),
        kinetic_resistance=float(rng.uniform(4.0, 8.0)),
        dead_spot=None,
        phantom=_inside(rng, loading),
    )
    contents = rng.uniform(0.985, 0.995), rng.uniform(0.2, 0.25)
    return Scenario(
        name="demo_three_techniques",
        seed=options.seed,
        rate=options.speed,
        cells=(cell, *(_compound(loading, round(float(each), 3)) for each in contents)),
        stack=spectroscopy_stack(),
        beam=Beam(
            energy=ENERGY,
            flux=3e8,
            size_x=0.4,
            size_y=0.4,
            lifetime=float(rng.uniform(25_000, 50_000)),
        ),
        spectroscopy=Spectroscopy(
            bragg_offset=float(rng.uniform(0.0005, 0.0015) * rng.choice([-1, 1])),
            energy_drift=float(rng.uniform(0.05, 0.15) * rng.choice([-1, 1])),
            lag=float(rng.uniform(0.004, 0.012)),
        ),
        imaging=Imaging(
            n_rows=32,
            pixel_size=0.002,
            distance=5.0,
            photon_rate=1.6e6,
            gain=0.25,
            axis_offset=float(rng.uniform(1.0, 4.0) * rng.choice([-1, 1])),
            ring_gain=float(rng.uniform(0.01, 0.03)),
            blur=float(rng.uniform(1.0, 1.4)),
            clock_offset=float(rng.uniform(-5, 5)),
            clock_drift=float(rng.uniform(-3e-5, 3e-5)),
        ),
        detector=diffraction_truth(DemoOptions(chemistry="nmc811", seed=options.seed)).detector,
        cycler=Cycler(
            clock_offset=float(rng.uniform(-60, 60)), clock_drift=float(rng.uniform(-3e-5, 3e-5))
        ),
    )


def _compound(loading: float, content: float) -> Cell:
    """A piece of the electrode with a known amount of lithium in it."""
    return Cell(
        chemistry="nmc811",
        active_loading=loading,
        initial_lithium_content=content,
        inactive_fraction=0.0,
        gradient_x=0.0,
        gradient_depth=0.0,
        dead_spot=None,
    )


def _inside(rng: np.random.Generator, loading: float) -> Coin:
    """The stack itself, as a tomogram sees it: its cathode shrinks while it is charged."""
    sheets = []
    for layer in spectroscopy_stack():
        sheet = Sheet(material=layer.material, thickness=layer.thickness)
        if layer.material == CATHODE:
            thickness = layer.thickness * float(rng.uniform(0.95, 1.1))
            sheet = Sheet(
                material=CATHODE,
                thickness=thickness,
                # mg/cm2 over mm is 1e-2 g/cm3.
                packing=loading / thickness / 100 / _DENSITY,
                growth=float(rng.uniform(0.05, 0.1)),
            )
        sheets.append(sheet)
    return Coin(layers=tuple(sheets), width=_WIDTH)
