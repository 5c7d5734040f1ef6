"""This file is where it is said what a rule of the schedule may measure, and what that costs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from battbeam.devices.detector import AreaDetector
from battbeam.experiment.control_spot import ControlSpot
from battbeam.experiment.cost import Cost, Spot
from battbeam.plans.stubs import Exposure, Plan

#: Bytes of one pixel as detectors write them, before compression.
PIXEL_BYTES = 4


@dataclass(frozen=True)
class Pattern:
    """One point, an event of the rule's own series run.

    Attributes:
        exposure: How it is exposed.
        reduction: How patterns are made of the frames.
        positions: (motor, position) to be at; the motors are put back when the experiment ends.
            Those of the sample stage are in the frame of the cell where its place is known.
        md: What else the series' start document says.
        sentinel: Exposed and control spot of the cell; this pattern is at one of them, another
            pattern at the other. Beam damage is looked for while the frames are reduced.
    """

    exposure: Exposure
    reduction: Mapping[str, Any] | None = None
    positions: tuple[tuple[Any, float], ...] = ()
    md: Mapping[str, Any] = field(default_factory=dict)
    sentinel: ControlSpot | None = None

    @property
    def spot(self) -> tuple[float, float]:
        """(x, y) in the cell's frame, mm: where its positions put the sample stage, else 0."""
        found = {motor.attr_name: position for motor, position in self.positions if motor.parent}
        return float(found.get("x", 0.0)), float(found.get("y", 0.0))

    def cost(self) -> Cost:
        """What one point costs at this beamline; moves are the dispatcher's."""
        train, detectors = self.exposure.train, self.exposure.detectors
        duration = train.duration
        n_frames = train.n_frames * len(detectors)
        n_pixels = sum(_pixels(detector) for detector in detectors)
        spot = Spot(*self.spot, exposure=duration if self.exposure.with_beam else 0.0)
        return Cost(
            duration=duration + self.exposure.beam.point_overhead,
            spots=(spot,),
            n_frames=n_frames,
            n_bytes=train.n_frames * n_pixels * PIXEL_BYTES,
            span=duration,
        )


@dataclass(frozen=True)
class OwnRun:
    """A measurement that stands alone: a map, a spectrum, a tomogram.

    Attributes:
        plan: Makes the plan; it is given what its start document must say besides. Where the cell's
            place on the sample stage is known, that holds ``cell_position``, (x, y) in mm: the plan
            adds it to its own positions.
        motors: That it moves, so that preflight knows them.
        cost: What it costs, so that budgets and other cells can be looked after; None is not known.
        may_be_asked: Whether its plan does nothing but refuse before its first message: then what it
            would refuse is told before the cell begins, and not at the first time that it is due.
        unlimited: Name of another beam than the experiment's, whose light no budget limits; empty: none.
    """

    plan: Callable[[Mapping[str, Any]], Plan]
    motors: tuple[Any, ...] = ()
    cost: Cost | None = None
    may_be_asked: bool = False
    unlimited: str = ""


Measurement = Pattern | OwnRun


def cost_of(measurement: Measurement) -> Cost | None:
    """What a measurement costs, if that is known."""
    return measurement.cost() if isinstance(measurement, Pattern) else measurement.cost


def detectors_of(measurements: Iterable[Measurement]) -> list[AreaDetector]:
    """What the patterns expose, each once; a plan with a run of its own keeps its to itself."""
    patterns = (one for one in measurements if isinstance(one, Pattern))
    return list(dict.fromkeys(each for one in patterns for each in one.exposure.detectors))


def _pixels(detector: AreaDetector) -> int:
    if not detector.connected:
        return 0
    return int(detector.cam.n_rows.value_now()) * int(detector.cam.n_columns.value_now())
