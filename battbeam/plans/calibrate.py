"""This file is where the geometry is calibrated with a standard, and darks are measured."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import hdf5plugin  # noqa: F401  registers the filters that frames are compressed with
import numpy as np

from battbeam.devices.beam import CLOSED, Beam
from battbeam.devices.beamline import DetectorGuess
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frame_writer import DATASET
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes, VerdictNotes
from battbeam.errors import DeviceError
from battbeam.plans.one_point import at_one_point, check_frames
from battbeam.plans.preflight import refuse, standard_faults, xrd_faults
from battbeam.plans.preprocessors import run
from battbeam.plans.stubs import Exposure, Plan, expose_point, in_thread, prepared, write_down
from battbeam.plans.xrd_series import xrd_metadata
from battbeam.units import FloatArray

#: Wall seconds until a frame that was counted can be read; its writer flushes each one.
FRAME_TIMEOUT = 10.0


def measure_dark(
    detector: AreaDetector,
    *,
    beam: Beam,
    exposure: float,
    dark: Path,
    n_frames: int = 5,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Frames behind the closed shutter, and their sum for the reduction.

    Parameters
    ----------
    detector : AreaDetector
        Whose dark it is.
    beam : Beam
        Its shutter stays closed.
    exposure : float
        Of one frame, s; that of the measurement.
    dark : Path
        Where the sum is kept (.npz: ``counts``, ``exposure``, the s that they took, and ``time``,
        when the last of them ended).
    n_frames : int
        Added up.
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
        yield from bps.mv(beam.shutter, CLOSED)
        yield from prepared([detector], train)
        yield from expose_point(how, PointNotes(), 0)
        check_frames(detector, n_frames)
        file, first = detector.file_path, int(detector.frame.get())
        stamp = float(detector.stamp.get())
        yield from in_thread(lambda: keep_dark(dark, file, first, n_frames, exposure, stamp))

    def measurement() -> Plan:
        said_all = {**said, "n_points": 1, "dark": str(dark), **(md or {})}
        return (yield from run(lambda _: body(), said_all))

    return (yield from bpp.stage_wrapper(measurement(), [detector]))


def calibrate_geometry(
    detector: AreaDetector,
    *,
    beam: Beam,
    standard: str,
    positions: Sequence[tuple[Any, float]],
    exposure: float,
    energy: float,
    guess: DetectorGuess,
    geometry: Path,
    n_frames: int = 1,
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Where the detector stands and how wide it makes a line, from the rings of a standard.

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
    energy : float
        Photon energy, eV; taken as true.
    guess : DetectorGuess
        Where the detector stands, by ruler.
    geometry : Path
        Where the geometry is kept (.poni); the shape of a line goes beside it (.json).
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

    def find(frame: FloatArray, time: float) -> dict[str, Any]:
        return keep_geometry(
            frame, standard=standard, guess=guess, energy=energy, geometry=geometry, time=time
        )

    return (
        yield from from_standard(
            detector,
            find,
            plan_name="calibrate_geometry",
            beam=beam,
            positions=positions,
            exposure=exposure,
            n_frames=n_frames,
            readables=readables,
            md={"standard": standard, "energy": energy, **(md or {})},
            faults=standard_faults(standard),
        )
    )


def from_standard(
    detector: AreaDetector,
    find: Callable[[FloatArray, float], dict[str, Any]],
    *,
    plan_name: str,
    beam: Beam,
    positions: Sequence[tuple[Any, float]],
    exposure: float,
    n_frames: int,
    readables: Sequence[Any],
    md: Mapping[str, Any],
    faults: Sequence[str] = (),
) -> Plan:
    """Expose a standard, and write down what its frame says of the detector.

    Parameters
    ----------
    detector : AreaDetector
        To calibrate.
    find : callable
        Given the sum of the frames and their stamp, keeps the geometry and returns the verdict.
    plan_name : str
        Of the plan that asks.
    beam : Beam
        Its shutter is open only while exposing.
    positions : list of (motor, position)
        Where the standard is in the beam; the motors are put back at the end.
    exposure : float
        Of one frame, s.
    n_frames : int
        Added up.
    readables : list of Readable
        What else stands in the event.
    md : dict
        ``standard``, ``energy`` and what else a later reader needs.
    faults : list of str
        What is wrong besides.

    Returns
    -------
    str
        The uid of the run; its stream ``calibration`` holds the verdict.
    """
    energy = float(md["energy"])

    def keep() -> Plan:
        check_frames(detector, n_frames)
        file, first = detector.file_path, int(detector.frame.get())
        stamp = float(detector.stamp.get())
        found = yield from in_thread(lambda: find(summed(file, first, n_frames), stamp))
        yield from write_down(VerdictNotes("", name="calibration"), "calibration", **found)

    positive = [] if energy > 0 else [f"energy must be greater than 0 eV, got {energy:g} eV"]
    return (
        yield from at_one_point(
            detector,
            keep,
            plan_name=plan_name,
            beam=beam,
            exposure=exposure,
            n_frames=n_frames,
            positions=positions,
            readables=readables,
            md=md,
            faults=[*faults, *positive],
        )
    )


def summed(file: Path, first: int, n_frames: int) -> FloatArray:
    """Sum of frames in a file that its writer still holds open, counts, shape (rows, columns).

    Raises:
        DeviceError: If the frames cannot be read in time.
    """
    deadline = time.monotonic() + FRAME_TIMEOUT
    while True:
        try:
            with h5py.File(file, "r", libver="latest", swmr=True) as opened:
                frames = opened[DATASET]
                if len(frames) >= first + n_frames:
                    return np.asarray(frames[first : first + n_frames].sum(axis=0), dtype=float)
        except (OSError, KeyError) as error:
            reason = str(error)
        else:
            reason = f"it holds fewer than {first + n_frames} frames"
        if time.monotonic() > deadline:
            raise DeviceError(f"{file}: no frames within {FRAME_TIMEOUT:g} s: {reason}")
        # In a thread of its own, never on the RunEngine's.
        time.sleep(0.05)


def keep_dark(
    dark: Path, file: Path, first: int, n_frames: int, exposure: float, time: float
) -> None:
    """Write the sum of dark frames and of their exposures, and when, whole or not at all."""
    dark.parent.mkdir(parents=True, exist_ok=True)
    scratch = dark.with_suffix(".tmp.npz")
    counts = summed(file, first, n_frames)
    np.savez(scratch, counts=counts, exposure=exposure * n_frames, time=time)
    scratch.replace(dark)


def keep_geometry(
    frame: FloatArray,
    *,
    standard: str,
    guess: DetectorGuess,
    energy: float,
    geometry: Path,
    time: float,
) -> dict[str, Any]:
    """Calibrate, write the .poni and the .json, and say what was found."""
    # pyFAI takes two seconds to import, and most sessions never calibrate.
    from battbeam.reduction.geometry import GeometryGuess
    from battbeam.reduction.geometry import calibrate_geometry as calibrate

    start = GeometryGuess(
        distance=guess.distance, centre=guess.centre, pixel_size=guess.pixel_size, energy=energy
    )
    found = calibrate(frame, calibrant=standard, guess=start, time=time)
    geometry.parent.mkdir(parents=True, exist_ok=True)
    instrument = geometry.with_suffix(".json")
    found.write(geometry, instrument)
    errors = np.sqrt(np.diag(found.covariance))
    document = {
        "distance": found.distance,
        "distance_error": float(errors[0]),
        "poni": list(found.poni),
        "poni_error": [float(error) for error in errors[1:3]],
        "rotation": list(found.rotation),
        "rotation_error": [float(error) for error in errors[3:5]],
        "centre": list(found.centre),
        "two_theta": [float(angle) for angle in found.rings],
        "two_theta_error": [float(error) for error in found.two_theta_error],
        "residual": found.residual,
        "units": {"distance": "mm", "poni": "mm", "rotation": "rad", "two_theta": "degree"},
    }
    return {
        "geometry": str(geometry),
        "instrument": str(instrument),
        "document": json.dumps(document),
    }
