"""This file is where diffraction is mapped on the fly: the sample moves on while frames are taken.

A row is one train of pulses at positions of the stage. What is paused, or loses its beam, is the
row: it is flown again, whole.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.fly_detector import FlyDetector
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.experiment.clock import Clock
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.description import SiteFacts, light_of
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.passage import Drive, Line, shortest_period
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.imaging import Imager, Trains, imaging_run
from battbeam.plans.preflight import connection_faults, position_faults, refuse, xrd_faults
from battbeam.plans.preprocessors import suspended_without_beam
from battbeam.plans.stubs import Exposure, Plan, also_read, wait_for_beam
from battbeam.plans.xrd_map import (
    BEAM_RETAKES,
    Axis,
    axes_of,
    grid,
    grid_faults,
    map_metadata,
    n_points_of,
)
from battbeam.plans.xrd_series import PATIENCE, xrd_metadata

#: What is taken for the stage where it cannot be asked: counts per mm, and s from rest to speed.
_USUAL = Drive(counts=1e4, acceleration=0.1)
#: Relative, by which a speed, a period and a spacing may disagree.
AGREE = 1e-3


def period_faults(spacing: float, *, speed: float | None, period: float | None) -> list[str]:
    """Why a speed and a period do not go with the spacing of a row, one sentence.

    Args:
        spacing: From one point to the next, mm.
        speed: Of the stage, mm/s; None: as the period says.
        period: From one exposure's start to the next, s; None: as the speed says.

    >>> period_faults(0.2, speed=0.2, period=0.5)
    ['0.2 mm/s for 0.5 s is 0.1 mm, and points are 0.2 mm apart; give one of speed and period']
    """
    if speed is None or period is None or abs(speed * period / abs(spacing) - 1) <= AGREE:
        return []
    return [
        f"{speed:g} mm/s for {period:g} s is {speed * period:g} mm, and points are {abs(spacing):g} mm "
        "apart; give one of speed and period"
    ]


def fly_period(
    spacing: float,
    *,
    exposure: float,
    speed: float | None = None,
    period: float | None = None,
    readout_time: float = 0.0,
) -> float:
    """From one exposure's start to the next, s: as asked, or as fast as the detector can.

    >>> round(fly_period(0.2, exposure=1.0), 4), fly_period(0.2, exposure=1.0, speed=0.1)
    (1.01, 2.0)
    """
    if period is not None:
        return period
    return shortest_period(exposure, readout_time) if speed is None else abs(spacing) / speed


def xrd_fly_map_cost(
    site: SiteFacts,
    *args: Any,
    exposure: float,
    period: float | None = None,
    speed: float | None = None,
) -> Cost:
    """What such a map costs; its rows are lit all along.

    Args:
        site: Of the beamline; its overhead is that of a row.
        *args: As of `xrd_fly_map`; instead of a motor its name is enough, ``x`` or ``y``.
        exposure: Of one frame, s.
        period: As of `xrd_fly_map`.
        speed: Likewise.

    Raises:
        ValueError: If it is no map, or without light.

    >>> site = SiteFacts(overhead=1.0)
    >>> cost = xrd_fly_map_cost(site, "y", 0, 1, 2, "x", 0, 1, 11, exposure=0.5, period=1.0)
    >>> round(cost.duration, 1), cost.n_frames
    (25.4, 22)
    """
    axes = axes_of(args)
    fast = axes[-1]
    light_of(exposure)
    if too_few := _too_few(fast):
        raise ValueError("; ".join(too_few))
    places = [_place(axes, each) for each in grid(axes)]
    spacing = (fast.stop - fast.start) / (fast.n_points - 1)
    each = fly_period(spacing, exposure=exposure, speed=speed, period=period)
    row = Line.over(
        fast.start, fast.stop, fast.n_points, exposure=exposure, period=each, axis=_USUAL
    )
    n_rows, n_frames = len(places) // fast.n_points, len(places)
    return Cost(
        duration=n_rows * (row.travel_time + site.overhead),
        spots=tuple(Spot(x, y, exposure=each) for x, y in places),
        n_frames=n_frames,
        n_bytes=n_frames * site.detector.frame_bytes,
    )


def _place(axes: Sequence[Axis], position: Sequence[float]) -> tuple[float, float]:
    """(x, y) of one point of a grid, 0 where it has no such axis."""
    names = [getattr(axis.motor, "attr_name", axis.motor) for axis in axes]
    place = dict(zip(names, position, strict=True))
    return place.get("x", 0.0), place.get("y", 0.0)


def xrd_fly_map(
    fly_detector: FlyDetector,
    *args: Any,
    beam: Beam,
    clock: Clock,
    exposure: float,
    period: float | None = None,
    speed: float | None = None,
    snake: bool = True,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    suspend: bool = True,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Diffraction patterns over a grid, without a stop within a row.

    The stage goes along a row at constant speed, and its encoder triggers the detector so that the
    *middle* of each exposure is at its point: a frame is the mean over ``speed * exposure`` mm. The
    rows of the result say where the middle was, by the stage's own reading. Frames without beam
    are told by I0 of each; a row that lost its beam is flown once more.

    Parameters
    ----------
    fly_detector : FlyDetector
        Detector, sample stage and the pulses between them.
    *args
        ``motor, start, stop, n_points`` for each axis, the slowest first; the last one is x of the
        sample stage, with at least two points.
    beam : Beam
        Its shutter is open along a row.
    clock : Clock
        The session's.
    exposure : float
        Of one frame, s.
    period : float, optional
        From one frame's start to the next, s; as fast as the detector reads out by default.
    speed : float, optional
        Of the stage along a row, mm/s, in place of the period; with both they must fit the grid.
    snake : bool
        Every other row backwards.
    readables : list of Readable
        What else stands in the event of every row.
    reduction : dict, optional
        How patterns are made of the frames: geometry, phases, ...
    suspend : bool
        Suspend the plan while there is no beam, and fly the row again then.
    patience : float
        s that a row waits for beam when the plan is not suspended.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    refuse("xrd_fly_map", grid_faults(args))
    axes = axes_of(args)
    *slow, fast = axes
    motors = [axis.motor for axis in axes]
    refuse(
        "xrd_fly_map",
        xrd_faults(
            [fly_detector.camera],
            exposure=exposure,
            n_frames=1,
            period=0.0,
            reduction=reduction,
            positions=[(axis.motor, end) for axis in slow for end in (axis.start, axis.stop)],
            devices=(fly_detector.camera, beam, *motors, *readables),
        ),
        exposure_faults(beam, budget, None),
        _budget_faults(budget),
        _row_faults(fly_detector, fast, exposure=exposure, period=period, speed=speed),
    )
    row = _line(fly_detector, fast, exposure=exposure, period=period, speed=speed)

    def rows(trains: Trains) -> Plan:
        for number, outer in enumerate(grid(slow, snake=snake)):
            line = row.reversed() if snake and number % 2 else row
            moves = [part for pair in zip(motors, outer, strict=False) for part in pair]
            for attempt in range(BEAM_RETAKES + 1):
                yield from bps.checkpoint()
                if moves:
                    yield from bps.mv(*moves)
                has_beam = suspend or (yield from wait_for_beam(beam, clock, patience=patience))
                flight = Flight("map", line, is_again=attempt > 0)
                flown, lost = yield from trains.take(flight, row=number)
                if not (lost or flown.fault) or not has_beam:
                    break

    stage = fly_detector.sample_stage
    imager = Imager(
        fly_detector, beam, clock, stage, also_read(readables, motors), budget, patience
    )
    train = FrameTrain(exposure, period=row.period)
    said = xrd_metadata(
        Exposure((fly_detector.camera,), beam, train, imager.readables, budget=budget),
        plan_name="xrd_fly_map",
        reduction=reduction,
        n_points=n_points_of(axes),
        motors=[motor.name for motor in motors],
        # Tables of other tools: frames have no positions, the event of a row has.
        hints={"dimensions": [([motor.name], "trains") for motor in motors]},
        map={
            "mode": "fly",
            **map_metadata(axes, snake=snake),
            "speed": row.speed,
            "way": row.way,
        },
    )
    plan = imaging_run(imager, rows, motors, {**said, **(md or {})})
    return (yield from suspended_without_beam(plan, beam, suspend=suspend))


def _line(
    fly_detector: FlyDetector,
    axis: Axis,
    *,
    exposure: float,
    period: float | None,
    speed: float | None,
) -> Line:
    """The first row.

    Raises:
        ValueError: If the encoder is not known or too coarse.
    """
    spacing = (axis.stop - axis.start) / (axis.n_points - 1)
    each = fly_period(
        spacing,
        exposure=exposure,
        speed=speed,
        period=period,
        readout_time=fly_detector.readout_time,
    )
    return Line.over(
        axis.start,
        axis.stop,
        axis.n_points,
        exposure=exposure,
        period=each,
        axis=fly_detector.axis.drive,
    )


def _row_faults(
    fly_detector: FlyDetector,
    axis: Axis,
    *,
    exposure: float,
    period: float | None,
    speed: float | None,
) -> list[str]:
    """Why a row cannot be flown, one sentence each."""
    if axis.motor is not fly_detector.axis:
        return [
            f"{fly_detector.name}: rows are flown along {fly_detector.axis.name}; give it as the "
            f"last axis, not {axis.motor.name}"
        ]
    if too_few := _too_few(axis):
        return too_few
    faults = [
        f"{fly_detector.name}: {name} must be above 0 {unit}, got {value:g} {unit}"
        for name, value, unit in (("speed", speed, "mm/s"), ("period", period, "s"))
        if value is not None and not (value > 0 and math.isfinite(value))
    ]
    if faults or connection_faults([axis.motor]) or not (exposure > 0 and math.isfinite(exposure)):
        return faults
    spacing = (axis.stop - axis.start) / (axis.n_points - 1)
    faults += period_faults(spacing, speed=speed, period=period)
    try:
        line = _line(fly_detector, axis, exposure=exposure, period=period, speed=speed)
    except ValueError as error:
        return [*faults, f"{axis.motor.name}: {error}"]
    faults += fly_detector.flight_faults(Flight("map", line))
    back = line.reversed()
    ends = (line.begin, line.end, back.begin, back.end)
    return faults + position_faults([(axis.motor, end) for end in (min(ends), max(ends))])


def _too_few(axis: Axis) -> list[str]:
    if axis.n_points >= 2 and axis.start != axis.stop:
        return []
    name = getattr(axis.motor, "name", axis.motor)
    return [f"{name}: a row that is flown needs at least two points"]


def _budget_faults(budget: DoseBudget | None) -> list[str]:
    if budget is None or budget.at_limit == "stop":
        return []
    return [
        "no point of a row that is flown can be treated apart: its budget's at_limit must be stop"
    ]
