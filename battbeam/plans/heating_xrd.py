"""This file is where diffraction follows a sample that is heated, with other channels beside it."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.beam import Beam
from battbeam.devices.channel import Channel
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.furnace import Furnace
from battbeam.devices.notes import PointNotes
from battbeam.experiment.dose import DoseBudget
from battbeam.materials import HEATED_PHASES
from battbeam.plans.exposure import exposure_faults, take_point
from battbeam.plans.preflight import detectors_faults, refuse, xrd_faults
from battbeam.plans.preprocessors import recorded, shutter_closed_after, staged_run
from battbeam.plans.stubs import SLICE, Exposure, Plan, also_read, prepared
from battbeam.plans.xrd_series import xrd_metadata, xrd_reduction

#: degC to which the furnace is sent at the end, however it comes.
COLD = 25.0
#: How well the charge of a powder is known, 1.
_CONTENT_ERROR = 0.015


def heating_xrd(
    detectors: Sequence[AreaDetector],
    furnace: Furnace,
    *,
    temperatures: Sequence[float],
    ramp: float,
    beam: Beam,
    exposure: float,
    channels: Sequence[Channel] = (),
    readables: Sequence[Any] = (),
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    budget: DoseBudget | None = None,
    after: float = COLD,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Heat at an even rate and take a pattern each time that a temperature is passed.

    A pause stops the ramp: the sample comes up to where the programme was and stays there. A pattern that
    was broken off is taken again at that temperature; the ramp goes on on the way to the next.

    Parameters
    ----------
    detectors : list of AreaDetector
        Exposed together.
    furnace : Furnace
        Heats; its temperature is recorded all the time, and rows have that of the middle of their
        exposures.
    temperatures : list of float
        degC, ascending. Exposures begin there.
    ramp : float
        K/min.
    beam : Beam
        Its shutter is open only while exposing.
    exposure : float
        Of one frame, s.
    channels : list of Channel, optional
        What else is recorded meanwhile at its own rate: the mass spectrometer.
    readables : list of Readable
        What else stands in every event.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How patterns are made of the frames.
    budget : DoseBudget, optional
        Limit of light on each spot, and what is done at it.
    after : float
        degC to which the furnace is sent at the end, however the plan ends.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    devices = (*detectors, beam, furnace, *readables)
    refuse("heating_xrd", detectors_faults(detectors))
    refuse(
        "heating_xrd",
        xrd_faults(
            detectors,
            exposure=exposure,
            n_frames=1,
            period=0.0,
            reduction=reduction,
            positions=positions,
            devices=devices,
        ),
        exposure_faults(beam, budget, None),
        heating_faults(furnace, temperatures, ramp, after),
    )
    motors = [motor for motor, _ in positions]
    also = also_read((furnace, *readables), motors)
    how = Exposure(tuple(detectors), beam, FrameTrain(exposure), also, budget=budget)
    goal = float(temperatures[-1])

    def points() -> Plan:
        for motor, position in positions:
            yield from bps.mv(motor, position)
        yield from prepared(detectors, how.train)
        yield from bps.mv(furnace.ramp, ramp)
        notes = PointNotes()
        for point, temperature in enumerate(temperatures):
            yield from _passed(furnace, float(temperature), goal)
            yield from take_point(how, notes, point)

    said = xrd_metadata(
        how,
        plan_name="heating_xrd",
        reduction=reduction,
        n_points=len(temperatures),
        temperatures=[float(each) for each in temperatures],
        ramp=float(ramp),
        channels=[channel.name for channel in (furnace_channel(furnace), *channels)],
    )
    body = _cooled_after(shutter_closed_after(points(), beam), furnace, after)
    plan = staged_run(body, {**said, **(md or {})}, detectors=detectors, motors=motors)
    return (yield from recorded(plan, (furnace_channel(furnace), *channels)))


def heated_reduction(calibration: Path, oxide: str, lithium_content: float) -> dict[str, Any]:
    """How patterns of a heated powder are made of frames; foils there are none.

    Parameters
    ----------
    calibration : Path
        See `battbeam.plans.xrd_series.xrd_reduction`.
    oxide : str
        The layered phase, such as ``NCA``.
    lithium_content : float
        Of it, as it is charged.
    """
    asked = xrd_reduction(calibration, [oxide, *HEATED_PHASES])
    where = {"depth": 0.0, "downstream": 0.5}
    options = {"initial_lithium_content": [float(lithium_content), _CONTENT_ERROR]}
    phases = [entry | where for entry in asked["phases"]]
    return {**asked, "phases": phases, "options": options}


def furnace_channel(furnace: Furnace) -> Channel:
    """The sample's temperature, every time that it is told: stream ``furnace_monitor``."""
    return Channel(furnace.readback, name=str(furnace.name))


def heating_faults(
    furnace: Furnace, temperatures: Sequence[float], ramp: float, after: float
) -> list[str]:
    """What is wrong with a ramp, one sentence each."""
    if not temperatures:
        return ["temperatures must hold one or more"]
    faults = [
        f"temperatures must ascend: {low:g} degC is followed by {high:g} degC (index {index + 1})"
        for index, (low, high) in enumerate(itertools.pairwise(temperatures))
        if not low < high
    ]
    for temperature in {temperatures[0], temperatures[-1], after}:
        try:
            furnace.check_value(temperature)
        except ValueError as error:
            faults.append(str(error))
    if not ramp > 0:
        faults.append(f"ramp must be greater than 0 K/min, got {ramp:g}")
    if furnace.connected and furnace.position > temperatures[0]:
        faults.append(
            f"{furnace.name} is at {furnace.position:.1f} degC, above the first temperature, "
            f"{temperatures[0]:g} degC"
        )
    return faults


def _passed(furnace: Furnace, temperature: float, goal: float) -> Plan:
    """Wait until the sample passes a temperature on the way to the goal; go on if it was stopped."""
    while furnace.position < temperature - furnace.tolerance * (temperature == goal):
        yield from bps.checkpoint()
        if abs(float(furnace.setpoint.value_now()) - goal) > furnace.tolerance:
            yield from bps.abs_set(furnace, goal)
        yield from bps.sleep(SLICE)


def _cooled_after(plan: Plan, furnace: Furnace, after: float) -> Plan:
    """Send the furnace to a temperature however the plan ends; nobody waits for it."""

    def cool() -> Plan:
        # On its way it would be stopped by the RunEngine once more, and stay hot.
        furnace.stop(success=True)
        yield from bps.abs_set(furnace.setpoint, after)

    return (yield from bpp.finalize_wrapper(plan, cool))
