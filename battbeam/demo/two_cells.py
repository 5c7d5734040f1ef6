"""This file is where the two cells of the schedule's demo are: hidden truth, beliefs, protocols.

``cell1`` is LiFePO4 and titrated (GITT); ``cell2`` is NMC811 and cycled at 1C. Both stand on the
changer of one beamline.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.demo.belief import believed_passport
from battbeam.demo.options import NAMES, SENSOR
from battbeam.sim.scenario import Beam, Cell, Cycler, Detector, Scenario

#: Phases of each cell's active material.
PHASES: Mapping[str, tuple[str, ...]] = {"cell1": ("LiFePO4", "FePO4"), "cell2": ("NMC811",)}
#: mAh/g that the nominal capacity is counted by, V to V that the cell is cycled in.
_BELIEFS = {"lfp": (160.0, 2.5, 4.0), "nmc811": (190.0, 2.8, 4.35)}
#: s of the rest before anything flows: both guards start, and the cells are seen at rest.
FIRST_REST = 420.0
#: Pulses of the titration, s of each and of the rest behind it.
N_PULSES, PULSE, RELAXATION = 5, 360.0, 600.0
#: V at which the charge of ``cell2`` ends, and s of its discharge at half the rate.
CHARGE_END, DISCHARGE = 4.25, 1500.0
#: mm from cell to detector, pixels along a side, and where the beam stands, as part of a side.
_DISTANCE, _PIXELS, _CORNER = 130.0, 512, (0.12, 0.14)


@dataclass(frozen=True)
class ScheduleOptions(Asked):
    """What ``battbeam demo schedule`` was asked."""

    command: ClassVar[str] = "battbeam demo schedule"
    fastest: ClassVar[float] = 120.0


def hidden_truth(options: ScheduleOptions) -> Scenario:
    """A beamline with two cells whose clocks and resistances nobody has seen before."""
    rng = np.random.default_rng(options.seed)

    def drawn(**chosen: Any) -> Cell:
        return Cell(
            initial_lithium_content=float(rng.uniform(0.97, 0.99)),
            coulombic_efficiency=float(rng.uniform(0.997, 0.9995)),
            resistance=float(rng.uniform(8.0, 14.0)),
            inactive_fraction=0.0,
            gradient_x=float(rng.uniform(0.005, 0.02)),
            dead_spot=None,
            **chosen,
        )

    detector = Detector(
        n_rows=_PIXELS,
        n_columns=_PIXELS,
        pixel_size=SENSOR / _PIXELS,
        distance=_DISTANCE,
        centre_row=_CORNER[0] * _PIXELS,
        centre_column=_CORNER[1] * _PIXELS,
        tilt=float(rng.uniform(0.2, 1.0)),
        tilt_direction=float(rng.uniform(0, 360)),
    )
    return Scenario(
        name="demo_schedule",
        seed=options.seed,
        rate=options.speed,
        cells=(drawn(chemistry="lfp"), drawn(chemistry="nmc811")),
        beam=Beam(lifetime=float(rng.uniform(25_000, 50_000))),
        detector=detector,
        cycler=Cycler(
            clock_offset=float(rng.uniform(-120, 120)), clock_drift=float(rng.uniform(-5e-5, 5e-5))
        ),
    )


def passports(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """What is believed of each cell, by its name."""
    return {
        f"cell{number}": _passport(f"demo-{number}", cell)
        for number, cell in enumerate(scenario.cells, start=1)
    }


def _passport(name: str, cell: Cell) -> dict[str, Any]:
    specific, low, high = _BELIEFS[cell.chemistry]
    return believed_passport(
        cell,
        name=name,
        sample_uid=f"{name}-{cell.chemistry}",
        chemistry=NAMES[cell.chemistry],
        specific_capacity=specific,
        voltage_min=low - 0.1,
        voltage_max=high,
    )


def protocols() -> dict[str, dict[str, Any]]:
    """How each cell is cycled, by its name."""
    first = {"step": "open_circuit_voltage", "until_time_s": FIRST_REST}
    return {
        "cell1": {
            "record": {"time_s": 10.0},
            "safety": {},
            "method": [
                first,
                {
                    "step": "gitt",
                    "rate_C": 1.0,
                    "pulse_time_s": PULSE,
                    "rest_time_s": RELAXATION,
                    "count": N_PULSES,
                    "until_voltage_V": 4.0,
                },
            ],
        },
        "cell2": {
            "record": {"time_s": 10.0},
            "safety": {},
            "method": [
                first,
                {
                    "step": "constant_current",
                    "rate_C": 1.0,
                    "until_voltage_V": CHARGE_END,
                    "until_time_s": 7200.0,
                },
                {"step": "open_circuit_voltage", "until_time_s": 300.0},
                {
                    "step": "constant_current",
                    "rate_C": -0.5,
                    "until_voltage_V": 3.0,
                    "until_time_s": DISCHARGE,
                },
            ],
        },
    }
