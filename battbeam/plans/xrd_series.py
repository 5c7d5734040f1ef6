"""This file is where diffraction is measured at one point, again and again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.provenance import calibration_record
from battbeam.plans.by_result import ByResult
from battbeam.plans.exposure import described, exposure_faults, take_point
from battbeam.plans.preflight import detectors_faults, refuse, xrd_faults
from battbeam.plans.preprocessors import (
    shutter_closed_after,
    staged_run,
    suspended_without_beam,
)
from battbeam.plans.stubs import (
    Exposure,
    Plan,
    also_read,
    names,
    prepared,
    wait_for_beam,
    wait_until,
)

#: s of session clock that a point waits for the beam; then it is measured and marked.
PATIENCE = 600.0


def xrd_metadata(
    exposure: Exposure, *, plan_name: str, reduction: Mapping[str, Any] | None, **more: Any
) -> dict[str, Any]:
    """What every diffraction run says of itself."""
    said = {
        "technique": "XRD",
        "kind": "measurement",
        "plan_name": plan_name,
        "detectors": names(exposure.detectors),
        "exposure": exposure.train.exposure,
        "frames_per_point": exposure.train.n_frames,
        "period": exposure.train.period,
        **described(exposure),
        **more,
    }
    if reduction is None:
        return said
    return {**said, "reduction": dict(reduction), "calibration": calibration_record(reduction)}


def xrd_reduction(
    calibration: Path,
    phases: Sequence[str],
    *,
    transmission_reference: float | None = None,
    options: Mapping[str, Any] | None = None,
    checks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How patterns are made of frames, with what `calibrate_geometry` and `measure_dark` left.

    Parameters
    ----------
    calibration : Path
        Directory with ``detector.poni``, ``detector.json`` and, if measured, ``dark.npz``.
    phases : list of str
        Everything crystalline in the beam; each lies where the cell's passport has it.
    transmission_reference : float, optional
        Counts behind over before, without a cell.
    options : dict, optional
        Of the reduction, such as ``fatigued_lithium_content``, ``free_intensities``, ``references``
        or ``blank``; files by their paths.
    checks : dict, optional
        What frames are looked at for before they are fitted: ``powder``, ``lag``, ``dead_time``.
    """
    dark = calibration / "dark.npz"
    return {
        "method": "xrd",
        "geometry": str(calibration / "detector.poni"),
        "instrument": str(calibration / "detector.json"),
        "dark": str(dark) if dark.exists() else None,
        "mask": None,
        "phases": [{"phase": phase} for phase in phases],
        "transmission_reference": transmission_reference,
        **({"options": dict(options)} if options else {}),
        **({"checks": dict(checks)} if checks else {}),
    }


def xrd_series(
    detectors: Sequence[AreaDetector],
    *,
    beam: Beam,
    clock: Clock,
    exposure: float,
    n_points: int | None = 1,
    interval: float = 0.0,
    frames_per_point: int = 1,
    period: float = 0.0,
    readables: Sequence[Any] = (),
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    stop_when: Callable[[], bool] | None = None,
    suspend: bool = True,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    by_result: ByResult | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Diffraction patterns at one point, at absolute times.

    Parameters
    ----------
    detectors : list of AreaDetector
        Exposed together.
    beam : Beam
        Its shutter is open only while exposing.
    clock : Clock
        The session's.
    exposure : float
        Of one frame, s.
    n_points : int, optional
        How many; None is until ``stop_when`` holds or the RunEngine is stopped.
    interval : float
        From one point's start to the next, s; 0 is as fast as it goes. A slot that has passed is
        left out, no other is shifted: its number is missing in `point`.
    frames_per_point : int
        Frames in one train.
    period : float
        From one frame's start to the next in a train, s; 0 is as fast as the detector reads out.
    readables : list of Readable
        What else stands in every event: the potentiostat, the sample stage.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How patterns are made of the frames: geometry, phases, ...
    stop_when : callable, optional
        Asked before every point.
    suspend : bool
        Suspend the plan while there is no beam.
    patience : float
        s that a point waits for beam when the plan is not suspended.
    budget : DoseBudget, optional
        Limit of light on each spot, and what is done at it.
    by_result : ByResult, optional
        Points are measured until they are good enough; each repeat counts as one of ``n_points``.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    refuse("xrd_series", detectors_faults(detectors))
    refuse(
        "xrd_series",
        xrd_faults(
            detectors,
            exposure=exposure,
            n_frames=frames_per_point,
            period=period,
            reduction=reduction,
            positions=positions,
            devices=(*detectors, beam, *readables),
        ),
        [] if n_points is None or n_points > 0 else [f"n_points must be above 0, got {n_points}"],
        [] if interval >= 0 else [f"interval must not be negative, got {interval:g} s"],
        exposure_faults(beam, budget, by_result),
    )
    train = FrameTrain(exposure=exposure, n_frames=frames_per_point, period=period)
    motors = [motor for motor, _ in positions]
    how = Exposure(
        tuple(detectors),
        beam,
        train,
        also_read(readables, motors),
        budget=budget,
        by_result=by_result,
    )

    def points() -> Plan:
        for motor, position in positions:
            yield from bps.mv(motor, position)
        yield from prepared(detectors, train)
        notes, begin, point = PointNotes(), clock.now(), 0
        while (n_points is None or point < n_points) and not (stop_when and stop_when()):
            yield from wait_until(clock, begin + point * interval)
            if not suspend:
                yield from wait_for_beam(beam, clock, patience=patience)
            taken = yield from take_point(how, notes, point)
            passed = int((clock.now() - begin) / interval) if interval > 0 else point
            point = max(point + taken.n_points, passed)

    said = xrd_metadata(
        how, plan_name="xrd_series", reduction=reduction, n_points=n_points, interval=interval
    )
    body = shutter_closed_after(points(), beam)
    plan = staged_run(body, {**said, **(md or {})}, detectors=detectors, motors=motors)
    return (yield from suspended_without_beam(plan, beam, suspend=suspend))
