"""This file is where small angles are measured: the detector's geometry, and what is asked of its frames.

The small-angle detector is exposed like any other, by itself or in one exposure with that of
diffraction (``detectors=[beamline.detector, beamline.saxs]``): it follows that one's exposures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.connection import SmallAngleNotes
from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.provenance import calibration_record
from battbeam.plans.calibrate import from_standard
from battbeam.plans.stubs import Plan
from battbeam.reduction.saxs import SaxsOptions
from battbeam.units import FloatArray

METHOD = "saxs"
#: Pixels about the shadow of the beam stop that are left out: its edge is not sharp.
_RIM = 1.5
#: What silver behenate is called in a start document.
STANDARD = "silver behenate"


def saxs_reduction(
    calibration: Path,
    *,
    detector: str = METHOD,
    transmission_reference: float | None = None,
    saturation: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """How sizes and spacings are made of frames, with what `calibrate_saxs` left.

    Parameters
    ----------
    calibration : Path
        Directory with ``saxs.poni``, ``saxs_mask.npy`` and, if measured, ``saxs_dark.npz``.
    detector : str
        Whose frames they are.
    transmission_reference : float, optional
        Counts behind over before, without a cell.
    saturation : float, optional
        From so many counts on a pixel is full.
    **options
        Of the reduction (`battbeam.reduction.saxs.SaxsOptions`): ``model``, ``surface``,
        ``peak_range``, ...

    Raises
    ------
    PreflightError
        If an option is not known, or not as it must be.
    """
    if unknown := set(options) - {each.name for each in fields(SaxsOptions)}:
        known = ", ".join(each.name for each in fields(SaxsOptions))
        raise PreflightError(
            "saxs_reduction",
            [f"option {', '.join(sorted(unknown))} is not known; there are {known}"],
        )
    try:
        SaxsOptions(**options)
    except ValueError as error:
        raise PreflightError("saxs_reduction", [str(error)]) from None
    dark = calibration / "saxs_dark.npz"
    return {
        "method": METHOD,
        "detector": detector,
        "geometry": str(calibration / "saxs.poni"),
        "mask": str(calibration / "saxs_mask.npy"),
        "dark": str(dark) if dark.exists() else None,
        "transmission_reference": transmission_reference,
        "saturation": saturation,
        "options": dict(options),
    }


def also_reduced(reduction: Mapping[str, Any]) -> dict[str, Any]:
    """What a start document says of a reduction beside its first, with the files that it needs."""
    method = str(reduction["method"])
    return {
        "reductions": {method: dict(reduction)},
        "calibrations": {method: calibration_record(reduction)},
    }


def calibrate_saxs(
    detector: AreaDetector,
    *,
    beam: Beam,
    notes: SmallAngleNotes,
    positions: Sequence[tuple[Any, float]],
    exposure: float,
    energy: float,
    calibration: Path,
    n_frames: int = 1,
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Where the small-angle detector stands, from the first ring of silver behenate.

    Parameters
    ----------
    detector : AreaDetector
        To calibrate.
    beam : Beam
        Its shutter is open only while exposing.
    notes : SmallAngleNotes
        Where it stands by ruler, and how large its beam stop is.
    positions : list of (motor, position)
        Where the standard is in the beam; the motors are put back at the end.
    exposure : float
        Of one frame, s.
    energy : float
        Photon energy, eV; taken as true.
    calibration : Path
        Directory in which ``saxs.poni`` and ``saxs_mask.npy``, the shadow of the beam stop, are kept.
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

    def find(frame: FloatArray, _time: float) -> dict[str, Any]:
        return keep_small_angle(frame, notes=notes, energy=energy, calibration=calibration)

    return (
        yield from from_standard(
            detector,
            find,
            plan_name="calibrate_saxs",
            beam=beam,
            positions=positions,
            exposure=exposure,
            n_frames=n_frames,
            readables=readables,
            md={"technique": "SAXS", "standard": STANDARD, "energy": energy, **(md or {})},
        )
    )


def keep_small_angle(
    frame: FloatArray, *, notes: SmallAngleNotes, energy: float, calibration: Path
) -> dict[str, Any]:
    """Calibrate, write the geometry and the mask, and say what was found.

    Raises:
        DeviceError: If the ring of the standard is not seen.
    """
    # pyFAI takes two seconds to import, and most sessions never calibrate.
    from battbeam.errors import ReductionError
    from battbeam.reduction.saxs_geometry import calibrate_small_angle

    try:
        found = calibrate_small_angle(
            frame,
            distance=notes.distance,
            centre=notes.centre,
            pixel_size=(notes.pixel_size, notes.pixel_size),
            energy=energy,
        )
    except ReductionError as fault:
        raise DeviceError(f"small-angle detector: {fault}") from fault
    calibration.mkdir(parents=True, exist_ok=True)
    geometry, mask = calibration / "saxs.poni", calibration / "saxs_mask.npy"
    found.write(geometry)
    np.save(mask, beam_stop_mask(frame.shape, found.centre, notes))
    document = {
        "distance": found.distance,
        "distance_error": found.distance_error,
        "centre": list(found.centre),
        "centre_error": list(found.centre_error),
        "residual": found.residual,
        "units": {"distance": "mm", "centre": "pixel"},
    }
    return {
        "geometry": str(geometry),
        "instrument": str(mask),
        "document": json.dumps(document),
    }


def beam_stop_mask(
    shape: tuple[int, ...], centre: tuple[float, float], notes: SmallAngleNotes
) -> np.ndarray[Any, Any]:
    """Pixels in the shadow of the beam stop and at its rim, shape (n_rows, n_columns)."""
    rows, columns = np.indices(shape) + 0.5
    radius = np.hypot(rows - centre[0], columns - centre[1])
    return np.asarray(radius < notes.beam_stop / 2 / notes.pixel_size + _RIM)
