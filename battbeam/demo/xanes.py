"""This file is where the cell of the spectra's demo is: hidden truth, beliefs, protocol.

``cell1`` is NMC811 between windows of Kapton, and is cycled. Beside it on the changer stand two pieces
of the same electrode as known compounds: one as it was made, one that chemistry took the lithium from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.demo.belief import believed_passport
from battbeam.sim.scenario import (
    Beam,
    Cell,
    Cycler,
    Detector,
    Scenario,
    Spectroscopy,
    spectroscopy_stack,
)

#: 1/h. A sweep of 20 s smears over 0.008 of the state of charge.
C_RATE = 1.5
#: mAh/g that the nominal capacity is counted by; V that the cell is cycled between.
SPECIFIC_CAPACITY, VOLTAGE = 200.0, (3.0, 4.3)
#: s of each rest, if nothing is measured in it.
REST = 300.0
#: The compounds, and which cell each is.
COMPOUNDS: Mapping[str, str] = {"as made": "cell2", "delithiated": "cell3"}
#: Valence of Ni in LiNi0.8Mn0.1Co0.1O2 with Mn4+ and Co3+, and by how much it rises for each Li that
#: leaves: charges add up to 0.
_FULL_VALENCE, _PER_LITHIUM = 2.875, 1.25


@dataclass(frozen=True)
class XanesDemoOptions(Asked):
    """What ``battbeam demo xanes`` was asked."""

    command: ClassVar[str] = "battbeam demo xanes"
    fastest: ClassVar[float] = 90.0


def hidden_truth(options: XanesDemoOptions) -> Scenario:
    """A beamline whose monochromator is wrong and drifts, and a cell that nobody has seen before."""
    rng = np.random.default_rng(options.seed)
    loading = float(rng.uniform(7.0, 8.5))

    def compound(content: float) -> Cell:
        return Cell(
            chemistry="nmc811",
            active_loading=loading,
            initial_lithium_content=content,
            inactive_fraction=0.0,
            gradient_x=0.0,
            gradient_depth=0.0,
            dead_spot=None,
        )

    cell = Cell(
        chemistry="nmc811",
        active_loading=loading,
        initial_lithium_content=float(rng.uniform(0.96, 0.98)),
        inactive_fraction=float(rng.uniform(0.0, 0.02)),
        coulombic_efficiency=float(rng.uniform(0.997, 0.9995)),
        gradient_x=float(rng.uniform(0.005, 0.02)),
        gradient_depth=float(rng.uniform(0.0, 0.02)),
        resistance=float(rng.uniform(5.0, 9.0)),
        kinetic_resistance=float(rng.uniform(4.0, 8.0)),
        dead_spot=None,
    )
    contents = rng.uniform(0.985, 0.995), rng.uniform(0.2, 0.25)
    return Scenario(
        name="demo_xanes",
        seed=options.seed,
        rate=options.speed,
        cells=(cell, *(compound(round(float(content), 3)) for content in contents)),
        stack=spectroscopy_stack(),
        beam=Beam(
            energy=8300.0,
            flux=3e8,
            size_x=1.0,
            size_y=0.5,
            lifetime=float(rng.uniform(25_000, 50_000)),
        ),
        spectroscopy=Spectroscopy(
            bragg_offset=float(rng.uniform(0.001, 0.003) * rng.choice([-1, 1])),
            energy_drift=float(rng.uniform(0.12, 0.24) * rng.choice([-1, 1])),
            lag=float(rng.uniform(0.004, 0.012)),
        ),
        # Nothing is diffracted here.
        detector=Detector(
            n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8
        ),
        cycler=Cycler(
            clock_offset=float(rng.uniform(-60, 60)), clock_drift=float(rng.uniform(-3e-5, 3e-5))
        ),
    )


def oxidation_states(scenario: Scenario) -> dict[str, float]:
    """Of Ni in each compound, as a chemist has it who knows how much lithium is in it."""
    contents = [cell.initial_lithium_content for cell in scenario.cells[1:]]
    return {
        name: round(_FULL_VALENCE + _PER_LITHIUM * (1 - content), 4)
        for name, content in zip(COMPOUNDS, contents, strict=True)
    }


def passport(options: XanesDemoOptions, scenario: Scenario) -> dict[str, Any]:
    """What the user believes about the cell; a little beside the truth, as always."""
    low, high = VOLTAGE
    believed = believed_passport(
        scenario.cells[0],
        name="demo-1",
        sample_uid=f"demo-xanes-{options.seed}",
        chemistry="NMC811",
        specific_capacity=SPECIFIC_CAPACITY,
        voltage_min=low - 0.2,
        voltage_max=high + 0.05,
    )
    described = {"material", "thickness", "depth"}
    layers = [layer.model_dump(mode="json", include=described) for layer in scenario.stack]
    return {**believed, "stack": layers}


def protocol() -> dict[str, Any]:
    """Rest, charge, rest, discharge."""
    low, high = VOLTAGE
    rest = {"step": "open_circuit_voltage", "until_time_s": REST}
    current = {"step": "constant_current", "until_time_s": 7200.0}
    return {
        "sample": {"name": "demo-1"},
        "record": {"time_s": 10.0},
        "safety": {},
        "method": [
            rest,
            {**current, "rate_C": C_RATE, "until_voltage_V": high},
            rest,
            {**current, "rate_C": -C_RATE, "until_voltage_V": low},
        ],
    }
