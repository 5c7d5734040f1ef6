"""This file is where the demo's experiment is: what a visitor would write as a recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from battbeam.demo.options import COUNTS_WANTED, MAP_HALF_WIDTH, MAP_POINTS, SLOPES, DemoOptions
from battbeam.devices.beamline import Beamline
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.conditions import (
    AbsoluteClock,
    EndOfProtocol,
    StepEdge,
    VoltageCrossing,
)
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.calibrate import calibrate_geometry, measure_dark
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, Plan, mounted
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import xrd_reduction, xrd_series

#: Crystalline besides the active material: the collector, the counter electrode, the casing.
INERT = ("Al", "Li", "steel")
#: s of cell time from one pattern on the clock to the next, at the least.
INTERVAL = 60.0
#: Shortest and longest exposure of a pattern, s of cell time; the shortest smears by 0.015 at 1.5C.
SHORTEST, LONGEST = 36.0, 90.0
#: Exposures of a map are shorter by this factor: it has many, and the cell rests.
MAP_SHARE = 0.6
#: s, of the frames of standard, dark, open beam and probe.
STANDARD, DARK, PROBE = 20.0, 40.0, 4.0
#: Position of the stage with nothing in the beam, mm.
OPEN_BEAM = -12.0


@dataclass(frozen=True)
class Seen:
    """What a first look at cell and beam says.

    Attributes:
        transmission_reference: Counts behind over before, without a cell.
        exposure: s that a pattern needs.
    """

    transmission_reference: float
    exposure: float


def prepare(beamline: Beamline) -> Plan:
    """Dark, geometry and line shape."""
    stage, (x, y) = beamline.sample_stage, beamline.standard_position
    yield from measure_dark(
        beamline.detector,
        beam=beamline.beam,
        exposure=DARK,
        n_frames=3,
        dark=beamline.calibration / "dark.npz",
    )
    yield from calibrate_geometry(
        beamline.detector,
        beam=beamline.beam,
        standard=beamline.standard,
        positions=[(stage.x, x), (stage.y, y)],
        exposure=STANDARD,
        n_frames=3,
        energy=beamline.monochromator.position,
        guess=beamline.guess,
        geometry=beamline.calibration / "detector.poni",
        readables=[stage, beamline.monochromator],
    )


def look(beamline: Beamline, x: float) -> Plan:
    """One short frame, at the stage position x."""
    stage = beamline.sample_stage
    return (
        yield from xrd_series(
            [beamline.detector],
            beam=beamline.beam,
            clock=beamline.clock,
            exposure=PROBE,
            readables=[stage],
            positions=[(stage.x, x), (stage.y, 0.0)],
            md={"kind": "calibration", "plan_name": "look"},
        )
    )


def exposure_for(counts: float) -> float:
    """s that a pattern needs, when a probe of `PROBE` s had ``counts``."""
    return float(min(max(COUNTS_WANTED / counts * PROBE, SHORTEST), LONGEST))


def schedule(options: DemoOptions, exposure: float) -> Schedule:
    """A map in each rest, a pattern on each slope, and patterns on the clock."""
    rising, falling = SLOPES[options.chemistry]
    interval = max(INTERVAL, round(exposure * 1.7))
    return Schedule(
        rules=(
            Rule(
                name="charge_slope",
                when=VoltageCrossing(level=rising, direction="rising"),
                measure="pattern",
            ),
            Rule(
                name="discharge_slope",
                when=VoltageCrossing(level=falling, direction="falling"),
                measure="pattern",
            ),
            Rule(name="map_at_start", when=AbsoluteClock(period=INTERVAL, n=1), measure="map"),
            Rule(name="map_at_rest", when=StepEdge(step_type=StepType.REST), measure="map"),
            Rule(name="end", when=EndOfProtocol(), measure="pattern"),
            Rule(name="clock", when=AbsoluteClock(period=interval), measure="pattern"),
        )
    )


def experiment(
    beamline: Beamline,
    options: DemoOptions,
    seen: Seen,
    *,
    passport: Mapping[str, Any],
    protocol: Mapping[str, Any],
) -> Plan:
    """The cell cycles once; patterns and maps in step with it."""
    stage = beamline.sample_stage
    reduction = xrd_reduction(
        beamline.calibration,
        (*options.phases, *INERT),
        transmission_reference=seen.transmission_reference,
    )
    readables = (beamline.potentiostat, stage)
    energy = {"energy": beamline.monochromator.position}
    pattern = Pattern(
        Exposure((beamline.detector,), beamline.beam, FrameTrain(seen.exposure), readables),
        reduction=reduction,
        positions=((stage.x, 0.0), (stage.y, 0.0)),
        md=energy,
    )
    square = _square(beamline, seen.exposure * MAP_SHARE, reduction)
    yield from mounted(beamline.potentiostat, passport)
    yield from operando(
        schedule(options, seen.exposure),
        {"pattern": pattern, "map": OwnRun(square, motors=(stage.x, stage.y), may_be_asked=True)},
        potentiostat=beamline.potentiostat,
        beam=beamline.beam,
        clock=beamline.clock,
        protocol=protocol,
        policies={
            "plan_end": "open_circuit",
            "failure": "open_circuit",
            "client_loss": "open_circuit",
        },
    )


def _square(
    beamline: Beamline, exposure: float, reduction: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], Plan]:
    stage, reach = beamline.sample_stage, MAP_HALF_WIDTH

    def square(md: Mapping[str, Any]) -> Plan:
        return (
            yield from xrd_map(
                [beamline.detector],
                *(stage.y, -reach, reach, MAP_POINTS),
                *(stage.x, -reach, reach, MAP_POINTS),
                beam=beamline.beam,
                clock=beamline.clock,
                exposure=exposure,
                readables=[beamline.potentiostat, stage],
                reduction=reduction,
                suspend=False,
                md={**md, "energy": beamline.monochromator.position},
            )
        )

    return square
