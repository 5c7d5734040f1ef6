"""This file is where the channels of an energy-dispersive detector are calibrated with a standard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.devices.energy_dispersive import EnergyDispersive
from battbeam.devices.notes import PlainNotes, text_note
from battbeam.devices.white_beam import WhiteBeam
from battbeam.plans.one_point import at_one_point
from battbeam.plans.preflight import standard_faults
from battbeam.plans.stubs import Plan, in_thread, write_down
from battbeam.reduction.edxrd_calibration import EdxrdCalibration, EdxrdGuess
from battbeam.units import FloatArray


class EdxrdVerdict(PlainNotes):
    """What a calibration of energies and angle found."""

    calibration = text_note("path of the calibration's JSON")
    document = text_note("JSON: every value")


def calibrate_edxrd(
    mca: EnergyDispersive,
    *,
    beam: WhiteBeam,
    standard: str,
    positions: Sequence[tuple[Any, float]],
    exposure: float,
    calibration: Path,
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Which spacing a channel shows, from the lines of a standard.

    Energies and angle begin with what the detector's maker and a ruler say; they are not known apart
    afterwards, nor need they be.

    Parameters
    ----------
    mca : EnergyDispersive
        To calibrate.
    beam : WhiteBeam
        Its shutter is open only while counting.
    standard : str
        What is mounted: ``LaB6`` or ``CeO2``; the latter has no line near those of lanthanum's shell.
    positions : list of (motor, position)
        Where the standard is in the beam; the motors are put back at the end.
    exposure : float
        Of the spectrum, s.
    calibration : Path
        Where it is kept (.json).
    readables : list of Readable
        What else stands in the event.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run; its stream ``calibration`` holds the verdict.

    Raises
    ------
    ReductionError
        If the lines are not those of the standard, or too few are found.
    """

    def keep() -> Plan:
        counts = np.array(mca.spectrum.value_now())
        guess, stamp = guess_of(mca), float(mca.stamp.get())
        found = yield from in_thread(
            lambda: keep_edxrd(counts, standard, guess, calibration, time=stamp)
        )
        yield from write_down(EdxrdVerdict(name="calibration"), "calibration", **found)

    return (
        yield from at_one_point(
            mca,
            keep,
            plan_name="calibrate_edxrd",
            beam=beam,
            exposure=exposure,
            n_frames=1,
            positions=positions,
            readables=readables,
            md={"technique": "EDXRD", "standard": standard, **(md or {})},
            faults=standard_faults(standard),
        )
    )


def guess_of(mca: EnergyDispersive) -> EdxrdGuess:
    """What the detector's records say of energies and angle."""
    return EdxrdGuess(
        offset=float(mca.offset.value_now()),
        slope=float(mca.slope.value_now()),
        two_theta=float(mca.two_theta.value_now()),
        resolution=mca.calibration.resolution,
    )


def keep_edxrd(
    counts: FloatArray, standard: str, guess: EdxrdGuess, calibration: Path, *, time: float
) -> dict[str, Any]:
    """Calibrate, write the .json, and say what was found.

    Raises:
        ReductionError: If that is not possible.
    """
    found = EdxrdCalibration.fit(counts, standard=standard, guess=guess, time=time)
    calibration.parent.mkdir(parents=True, exist_ok=True)
    found.write(calibration)
    # At the spacing of charged graphite, where it matters.
    document = {
        "zero": found.zero,
        "scale": found.scale,
        "residual": found.residual,
        "energy_scale": found.energy_scale,
        "spacing_error": found.spacing_error(float(found.channel(3.7)), 0.0),
        "units": {"zero": "channel", "scale": "channel angstrom", "energy_scale": "eV"},
    }
    return {"calibration": str(calibration), "document": json.dumps(document)}
