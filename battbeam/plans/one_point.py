"""This file is where one point is exposed and what came is kept: standards, blanks, end members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.errors import DeviceError
from battbeam.plans.preflight import refuse, xrd_faults
from battbeam.plans.preprocessors import shutter_closed_after, staged_run
from battbeam.plans.stubs import Exposure, Plan, also_read, expose_point, prepared
from battbeam.plans.xrd_series import xrd_metadata


def at_one_point(
    detector: AreaDetector,
    keep: Callable[[], Plan],
    *,
    plan_name: str,
    beam: Beam,
    exposure: float,
    n_frames: int,
    positions: Sequence[tuple[Any, float]],
    readables: Sequence[Any],
    md: Mapping[str, Any],
    faults: Sequence[str] = (),
) -> Plan:
    """A run of its own that calibrates something: one point, and what its frames say.

    Parameters
    ----------
    detector : AreaDetector
        To expose, or what stands in for one.
    keep : callable
        The plan of what is done with the frames, before the run is closed.
    plan_name : str
        Of the plan that asks.
    beam : Beam
        Its shutter is open only while exposing.
    exposure : float
        Of one frame, s.
    n_frames : int
        Of the point.
    positions : list of (motor, position)
        Where the point is; the motors are put back at the end.
    readables : list of Readable
        What else stands in the event.
    md : dict
        What a later reader needs.
    faults : list of str
        What is wrong besides.

    Returns
    -------
    str
        The uid of the run.

    Raises
    ------
    PreflightError
        If something is wrong; nothing was moved.
    """
    refuse(
        plan_name,
        faults,
        xrd_faults(
            [detector],
            exposure=exposure,
            n_frames=n_frames,
            period=0.0,
            reduction=None,
            positions=positions,
            devices=(detector, beam, *readables),
        ),
    )
    train = FrameTrain(exposure=exposure, n_frames=n_frames)
    motors = [motor for motor, _ in positions]
    how = Exposure((detector,), beam, train, also_read(readables, motors))
    said = {
        **xrd_metadata(how, plan_name=plan_name, reduction=None),
        "kind": "calibration",
        "n_points": 1,
        **md,
    }

    def body() -> Plan:
        for motor, position in positions:
            yield from bps.mv(motor, position)
        yield from prepared([detector], train)
        yield from expose_point(how, PointNotes(), 0)
        yield from keep()

    safe = shutter_closed_after(body(), beam)
    return (yield from staged_run(safe, said, detectors=[detector], motors=motors))


def check_frames(detector: AreaDetector, n_frames: int) -> None:
    """Refuse to keep frames that are not there.

    Raises:
        DeviceError: If frames are missing.
    """
    arrived = int(detector.n_frames.get())
    if arrived != n_frames:
        raise DeviceError(f"{detector.name}: {n_frames} frame(s) asked, {arrived} arrived")
