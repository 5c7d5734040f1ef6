"""This file is where the geometry is calibrated with a standard, and darks are measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam import materials
from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes, VerdictNotes
from battbeam.plans.preflight import refuse, xrd_faults
from battbeam.plans.preprocessors import positions_put_back, run, shutter_closed_after
from battbeam.plans.stubs import Exposure, Plan, expose_point, in_thread, prepared, write_down
from battbeam.plans.xrd_series import xrd_metadata

#: Takes the file of the frames, the index of the first and how many there are; returns a document
#: with ``geometry`` (path of the .poni) and ``instrument`` (path of the JSON) among what it found.
Calibrate = Callable[[Path, int, int], Mapping[str, Any]]


def measure_dark(
    detector: AreaDetector,
    *,
    beam: Beam,
    exposure: float,
    n_frames: int = 5,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Frames behind the closed shutter.

    Parameters
    ----------
    detector : AreaDetector
        Whose dark it is.
    beam : Beam
        Its shutter stays closed.
    exposure : float
        Of one frame, s; that of the measurement.
    n_frames : int
        Averaged later.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    refuse(
        "measure_dark",
        xrd_faults(
            [detector],
            exposure=exposure,
            n_frames=n_frames,
            period=0.0,
            reduction=None,
            positions=(),
            devices=(detector, beam),
        ),
    )
    train = FrameTrain(exposure=exposure, n_frames=n_frames)
    how = Exposure((detector,), beam, train, with_beam=False)
    said = {**xrd_metadata(how, plan_name="measure_dark", reduction=None), "kind": "calibration"}

    def body() -> Plan:
        yield from bps.mv(beam.shutter, 0)
        yield from prepared([detector], train)
        yield from expose_point(how, PointNotes(), 0)

    def measurement() -> Plan:
        return (yield from run(lambda _: body(), {**said, "n_points": 1, **(md or {})}))

    return (yield from bpp.stage_wrapper(measurement(), [detector]))


def calibrate_geometry(
    detector: AreaDetector,
    *,
    beam: Beam,
    standard: str,
    positions: Sequence[tuple[Any, float]],
    exposure: float,
    calibrate: Calibrate,
    energy: float,
    n_frames: int = 1,
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Where the detector stands, from the rings of a standard.

    Parameters
    ----------
    detector : AreaDetector
        To calibrate.
    beam : Beam
        Its shutter is open only while exposing.
    standard : str
        What is mounted: ``LaB6`` or ``CeO2``.
    positions : list of (motor, position)
        Where the standard is in the beam; the motors are put back at the end.
    exposure : float
        Of one frame, s.
    calibrate : callable
        Finds the geometry in the frames; runs beside the RunEngine.
    energy : float
        Photon energy, eV.
    n_frames : int
        Added up.
    readables : list of Readable
        What else stands in the event.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run; its stream ``calibration`` holds the verdict.
    """
    known = [] if standard in materials.CALIBRANTS else [_unknown(standard)]
    refuse(
        "calibrate_geometry",
        known,
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
    how = Exposure((detector,), beam, train, (*readables, *motors))
    said = {
        **xrd_metadata(how, plan_name="calibrate_geometry", reduction=None),
        "kind": "calibration",
        "standard": standard,
        "energy": energy,
        "n_points": 1,
    }

    def body() -> Plan:
        for motor, position in positions:
            yield from bps.mv(motor, position)
        yield from prepared([detector], train)
        yield from expose_point(how, PointNotes(), 0)
        file, first = detector.file_path, int(detector.frame.get())
        found = yield from in_thread(lambda: calibrate(file, first, n_frames))
        yield from write_down(
            VerdictNotes("", name="calibration"),
            "calibration",
            geometry=str(found["geometry"]),
            instrument=str(found["instrument"]),
            document=json.dumps(found, default=str),
        )

    def measurement() -> Plan:
        safe = positions_put_back(shutter_closed_after(body(), beam), motors)
        return (yield from run(lambda _: safe, {**said, **(md or {})}))

    return (yield from bpp.stage_wrapper(measurement(), [detector]))


def _unknown(standard: str) -> str:
    return f"standard {standard!r} is not known; known are {', '.join(materials.CALIBRANTS)}"
