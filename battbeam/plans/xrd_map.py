"""This file is where diffraction is mapped: a grid of any positioners, several detectors."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.experiment.clock import Clock
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import SiteFacts, map_cost
from battbeam.experiment.dose import DoseBudget
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.preflight import detectors_faults, refuse, xrd_faults
from battbeam.plans.preprocessors import (
    shutter_closed_after,
    staged_run,
    suspended_without_beam,
)
from battbeam.plans.stubs import Exposure, Plan, also_read, expose_point, prepared, wait_for_beam
from battbeam.plans.xrd_series import PATIENCE, xrd_metadata

#: How often a point that was measured without beam is taken again once there is beam.
BEAM_RETAKES = 1


@dataclass(frozen=True)
class Axis:
    """One axis of a grid.

    Attributes:
        motor: A positioner.
        start: First position, in its unit.
        stop: Last position.
        n_points: At least 1.
    """

    motor: Any
    start: float
    stop: float
    n_points: int

    @property
    def positions(self) -> list[float]:
        """Where it stops."""
        return [float(position) for position in np.linspace(self.start, self.stop, self.n_points)]


def grid(axes: Sequence[Axis], *, snake: bool = True) -> Iterator[tuple[float, ...]]:
    """Positions of a grid, the last axis fastest; with ``snake`` every other row backwards.

    >>> rows = [Axis(None, 0, 1, 2), Axis(None, 0, 2, 3)]
    >>> [int(x) for _, x in grid(rows)]
    [0, 1, 2, 2, 1, 0]
    """
    if not axes:
        yield ()
        return
    *slow, fast = axes
    for row, outer in enumerate(grid(slow, snake=snake)):
        line = fast.positions
        for position in reversed(line) if snake and row % 2 else line:
            yield (*outer, position)


def grid_faults(args: Sequence[Any]) -> list[str]:
    """What is wrong with ``motor, start, stop, n_points`` repeated, one sentence each.

    >>> grid_faults(["x", 0.0, 1.0, 2.5])
    ['x: n_points must be a whole number, at least 1, got 2.5']
    """
    if not args or len(args) % 4:
        return [
            "a grid needs motor, start, stop and n_points for each axis, the slowest first; "
            f"got {len(args)} values"
        ]
    faults = []
    for motor, start, stop, n_points in zip(*[iter(args)] * 4, strict=True):
        name = getattr(motor, "name", motor)
        if not all(isinstance(end, Real) and math.isfinite(end) for end in (start, stop)):
            faults.append(f"{name}: start and stop must be numbers, got {start!r} and {stop!r}")
        if not isinstance(n_points, Integral) or n_points < 1:
            faults.append(f"{name}: n_points must be a whole number, at least 1, got {n_points!r}")
    return faults


def axes_of(args: Sequence[Any]) -> list[Axis]:
    """Axes from ``motor, start, stop, n_points`` repeated, the slowest first.

    Raises:
        ValueError: If something is missing or a number of points is below 1.
    """
    if faults := grid_faults(args):
        raise ValueError("; ".join(faults))
    return [Axis(*group) for group in zip(*[iter(args)] * 4, strict=True)]


def n_points_of(axes: Sequence[Axis]) -> int:
    """Of a whole grid."""
    return math.prod(int(axis.n_points) for axis in axes)


def map_metadata(axes: Sequence[Axis], *, snake: bool) -> dict[str, Any]:
    """What a run over a grid says of it under ``map``."""
    return {
        "axes": [axis.motor.name for axis in axes],
        "shape": [axis.n_points for axis in axes],
        "extents": [[axis.start, axis.stop] for axis in axes],
        "snaked": snake,
    }


def xrd_map_cost(site: SiteFacts, *args: Any, exposure: float, frames_per_point: int = 1) -> Cost:
    """What such a map costs.

    Args:
        site: Of the beamline.
        *args: As of `xrd_map`; instead of a motor its name is enough, ``x`` or ``y`` of the stage.
        exposure: Of one frame, s.
        frames_per_point: Frames in one train.

    >>> xrd_map_cost(SiteFacts(overhead=1.0), "y", 0, 1, 2, "x", 0, 1, 3, exposure=4.0).duration
    30.0
    """
    axes = axes_of(args)
    names = [getattr(axis.motor, "attr_name", axis.motor) for axis in axes]
    places = [dict(zip(names, place, strict=True)) for place in grid(axes)]
    positions = [(place.get("x", 0.0), place.get("y", 0.0)) for place in places]
    return map_cost(site, exposure, positions, n_frames=frames_per_point)


def xrd_map(
    detectors: Sequence[AreaDetector],
    *args: Any,
    beam: Beam,
    clock: Clock,
    exposure: float,
    frames_per_point: int = 1,
    period: float = 0.0,
    snake: bool = True,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    suspend: bool = True,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Diffraction patterns over a grid.

    Parameters
    ----------
    detectors : list of AreaDetector
        Exposed together.
    *args
        ``motor, start, stop, n_points`` for each axis, the slowest first.
    beam : Beam
        Its shutter is open only while exposing.
    clock : Clock
        The session's.
    exposure : float
        Of one frame, s.
    frames_per_point : int
        Frames in one train.
    period : float
        From one frame's start to the next in a train, s.
    snake : bool
        Every other row backwards.
    readables : list of Readable
        What else stands in every event.
    reduction : dict, optional
        How patterns are made of the frames: geometry, phases, ...
    suspend : bool
        Suspend the plan while there is no beam.
    patience : float
        s that a point waits for beam when the plan is not suspended.
    budget : DoseBudget, optional
        Limit of light on each spot; points of a map are not moved to others.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    refuse("xrd_map", detectors_faults(detectors), grid_faults(args))
    axes = axes_of(args)
    motors = [axis.motor for axis in axes]
    ends = [(axis.motor, end) for axis in axes for end in (axis.start, axis.stop)]
    refuse(
        "xrd_map",
        xrd_faults(
            detectors,
            exposure=exposure,
            n_frames=frames_per_point,
            period=period,
            reduction=reduction,
            positions=ends,
            devices=(*detectors, beam, *motors, *readables),
        ),
        exposure_faults(beam, budget, None),
        ["a map cannot move to a fresh spot: its budget's at_limit must be another"]
        if budget is not None and budget.at_limit == "move"
        else [],
    )
    train = FrameTrain(exposure=exposure, n_frames=frames_per_point, period=period)
    how = Exposure(tuple(detectors), beam, train, also_read(readables, motors), budget=budget)

    def points() -> Plan:
        yield from prepared(detectors, train)
        notes = PointNotes()
        for point, position in enumerate(grid(axes, snake=snake)):
            for _ in range(BEAM_RETAKES + 1):
                yield from bps.checkpoint()
                moves = [part for pair in zip(motors, position, strict=True) for part in pair]
                yield from bps.mv(*moves)
                has_beam = suspend or (yield from wait_for_beam(beam, clock, patience=patience))
                lost = yield from expose_point(how, notes, point)
                if not lost or not has_beam:
                    break

    said = xrd_metadata(
        how,
        plan_name="xrd_map",
        reduction=reduction,
        n_points=n_points_of(axes),
        motors=[motor.name for motor in motors],
        # So that tables and pictures of other tools know what a map is drawn against.
        hints={"dimensions": [([motor.name], "primary") for motor in motors]},
        map=map_metadata(axes, snake=snake),
    )
    body = shutter_closed_after(points(), beam)
    plan = staged_run(body, {**said, **(md or {})}, detectors=detectors, motors=motors)
    return (yield from suspended_without_beam(plan, beam, suspend=suspend))
