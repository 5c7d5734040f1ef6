"""This file is where the demo's hidden truth is drawn, and what its user believes is written beside it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from battbeam.demo.asked import Asked
from battbeam.demo.belief import believed_passport
from battbeam.sim.scenario import Beam, Cell, Cycler, DeadSpot, Detector, Scenario

#: Width and height of the demo detector's sensor, mm; ``--frame-size`` divides it into pixels.
SENSOR = 88.064
#: Degree that the detector must reach: the third ring of LaB6, beyond 311 of LiFePO4.
WIDEST_ANGLE = 13.6
# Where the beam stands near a corner, as parts of the sensor's height and width.
_CORNER = (0.07, 0.09)
#: Counts that a pattern is meant to have; gives a phase fraction to about 0.003.
COUNTS_WANTED = 1.0e7
#: 1/h. With exposures of 36 s and longer every pattern smears over >= 0.015 of the state of charge.
C_RATE = 1.5
#: mAh/g that the user believes in, by chemistry; sets the nominal capacity.
_SPECIFIC_CAPACITY = {"lfp": 160.0, "nmc811": 200.0}
NAMES = {"lfp": "LiFePO4", "nmc811": "NMC811"}
_LIMITS = {"lfp": (2.5, 4.0), "nmc811": (2.8, 4.3)}
#: V, of the patterns taken on the slopes: rising, then falling.
SLOPES = {"lfp": (3.70, 3.10), "nmc811": (4.00, 3.60)}
#: A map reaches this far from the middle of the window, mm, with so many points along each side.
MAP_HALF_WIDTH, MAP_POINTS = 1.2, 5


@dataclass(frozen=True)
class DemoOptions(Asked):
    """What ``battbeam demo`` was asked.

    Attributes:
        chemistry: ``lfp`` or ``nmc811``.
        solid_solution: LiFePO4 only: one phase whose lattice follows x.
        frame_size: Pixels along each side of the detector.
        distance: mm.
    """

    chemistry: Literal["lfp", "nmc811"] = "lfp"
    solid_solution: bool = False
    frame_size: int = 512
    distance: float = 130.0

    def faults(self) -> list[str]:
        """Everything that is wrong with these options."""
        found = []
        if self.chemistry not in NAMES:
            found.append(f"chemistry must be one of {', '.join(NAMES)}, got {self.chemistry!r}")
        if self.solid_solution and self.chemistry != "lfp":
            found.append("--solid-solution goes with --chemistry lfp: NMC811 is one already")
        if not 64 <= self.frame_size <= 4096:
            found.append(f"frame size must lie in 64 to 4096 pixels, got {self.frame_size}")
        if not 40 <= self.distance <= self.farthest:
            found.append(
                f"distance must lie in 40 to {self.farthest:.0f} mm, got {self.distance:g} mm: the "
                f"detector must reach {WIDEST_ANGLE} degree, where the standard has its third ring"
            )
        return found + super().faults()

    @property
    def farthest(self) -> float:
        """Distance at which the detector's corner is still at `WIDEST_ANGLE`, mm."""
        sides = _CORNER if self.chemistry == "nmc811" else (0.5, 0.5)
        up, across = (max(side, 1 - side) for side in sides)
        reach = SENSOR * np.hypot(up, across)
        return float(np.floor(reach / np.tan(np.radians(WIDEST_ANGLE))))

    @property
    def phases(self) -> tuple[str, ...]:
        """Of the active material."""
        if self.chemistry == "nmc811":
            return ("NMC811",)
        return ("LixFePO4",) if self.solid_solution else ("LiFePO4", "FePO4")


def hidden_truth(options: DemoOptions) -> Scenario:
    """A simulated beamline whose cell, clocks and detector nobody has seen before: drawn from the seed."""
    rng = np.random.default_rng(options.seed)
    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.4, 0.9)
    cell = Cell(
        chemistry=options.chemistry,
        solid_solution=options.solid_solution,
        inactive_fraction=float(rng.uniform(0.005, 0.03)),
        initial_lithium_content=float(rng.uniform(0.97, 0.99)),
        coulombic_efficiency=float(rng.uniform(0.997, 0.9995)),
        gradient_x=float(rng.uniform(0.01, 0.03)),
        gradient_y=float(rng.uniform(-0.02, 0.02)),
        gradient_depth=float(rng.uniform(0.0, 0.03)),
        dead_spot=DeadSpot(
            x=float(reach * np.cos(angle)), y=float(reach * np.sin(angle)), radius=0.45
        ),
    )
    # NMC811's lines reach far out: the beam stands near a corner, so that the rest of the sensor is at high angles.
    corner = options.chemistry == "nmc811"
    row, column = _CORNER if corner else rng.uniform(0.47, 0.53, 2)
    detector = Detector(
        n_rows=options.frame_size,
        n_columns=options.frame_size,
        pixel_size=SENSOR / options.frame_size,
        distance=options.distance,
        centre_row=float(row * options.frame_size),
        centre_column=float(column * options.frame_size),
        tilt=float(rng.uniform(0.2, 1.0)),
        tilt_direction=float(rng.uniform(0, 360)),
    )
    return Scenario(
        name=f"demo_{options.chemistry}",
        seed=options.seed,
        rate=options.speed,
        cells=(cell,),
        beam=Beam(lifetime=float(rng.uniform(25_000, 50_000))),
        detector=detector,
        cycler=Cycler(
            clock_offset=float(rng.uniform(-5, 5)), clock_drift=float(rng.uniform(-30e-6, 30e-6))
        ),
    )


def passport(options: DemoOptions, scenario: Scenario) -> dict[str, Any]:
    """What the user believes about the cell; a little beside the truth, as always."""
    low, high = _LIMITS[options.chemistry]
    return believed_passport(
        scenario.cells[0],
        name="demo-1",
        sample_uid=f"demo-{options.chemistry}-{options.seed}",
        chemistry=NAMES[options.chemistry] + (" solid solution" if options.solid_solution else ""),
        specific_capacity=_SPECIFIC_CAPACITY[options.chemistry],
        voltage_min=low - 0.1,
        voltage_max=high + 0.05,
    )


def protocol(options: DemoOptions) -> dict[str, Any]:
    """Rest, charge, rest, discharge: a map fits into each rest."""
    low, high = _LIMITS[options.chemistry]
    rest = {"step": "open_circuit_voltage", "until_time_s": 1500.0}
    return {
        "sample": {"name": "demo-1"},
        "record": {"time_s": 10.0},
        "safety": {},
        "method": [
            rest,
            {
                "step": "constant_current",
                "rate_C": C_RATE,
                "until_voltage_V": high,
                "until_time_s": 7200.0,
            },
            rest,
            {
                "step": "constant_current",
                "rate_C": -C_RATE,
                "until_voltage_V": low,
                "until_time_s": 7200.0,
            },
        ],
    }
