"""This file is where a plan is checked before anything moves, and every fault is told at once."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from battbeam import materials
from battbeam.devices.beamline import missing_records
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import train_faults
from battbeam.devices.potentiostat import Potentiostat
from battbeam.errors import GuardError, PreflightError, ReductionError
from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.guard_state import UNDER_WAY, GuardState
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.reductions import DEFAULT_METHOD
from battbeam.plans.stubs import Plan, finished
from battbeam.reduction.xrd_references import MeasuredPattern
from battbeam.reduction.xrd_result import XrdOptions

#: What a .poni must hold: pyFAI's geometry, distances in m, angles in rad, wavelength in m.
PONI_KEYS = ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")
#: What leaves a file that may be missing.
_MADE_BY = {"instrument": "; calibrate_geometry writes it", "dark": "; measure_dark writes it"}


def refuse(subject: str, *faults: Sequence[str]) -> None:
    """Refuse to go on.

    Raises:
        PreflightError: With every fault, if there is one.
    """
    found = [fault for several in faults for fault in several]
    if found:
        raise PreflightError(subject, found)


def xrd_faults(
    detectors: Sequence[AreaDetector],
    *,
    exposure: float,
    n_frames: int,
    period: float,
    reduction: Mapping[str, Any] | None,
    positions: Sequence[tuple[Any, float]],
    devices: Sequence[Any],
) -> list[str]:
    """What is wrong with a diffraction measurement, one sentence each."""
    faults = connection_faults(devices)
    if not detectors:
        faults += ["no detector was given", *train_faults(exposure=exposure, n_frames=n_frames)]
    for detector in detectors:
        faults += detector.train_faults(exposure=exposure, n_frames=n_frames, period=period)
    if not faults:
        # Limits can only be read from what is connected.
        faults += position_faults(positions)
    elif not connection_faults([motor for motor, _ in positions]):
        faults += position_faults(positions)
    return faults + reduction_faults(reduction)


def detectors_faults(detectors: Any) -> list[str]:
    """Whether they are a list, one sentence if not."""
    if isinstance(detectors, Sequence):
        return []
    name = getattr(detectors, "name", repr(detectors))
    return [f"detectors must be a list, got {name} alone; write [{name}]"]


def standard_faults(standard: str) -> list[str]:
    """Why a detector cannot be calibrated with what is mounted, one sentence."""
    known = materials.CALIBRANTS
    return [] if standard in known else [f"standard {standard!r} is none of {', '.join(known)}"]


def connection_faults(devices: Sequence[Any]) -> list[str]:
    """Devices that do not answer, one sentence each."""
    return [
        missing_records(device.name, device)
        for device in dict.fromkeys(devices)
        if hasattr(device, "walk_signals") and not device.connected
    ]


def position_faults(positions: Sequence[tuple[Any, float]]) -> list[str]:
    """Positions outside the limits of their motors, one sentence each."""
    faults = []
    for motor, position in positions:
        try:
            motor.check_value(position)
        except ValueError as error:
            faults.append(str(error))
    return faults


def reduction_faults(reduction: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with how patterns shall be made, one sentence each."""
    if reduction is None:
        return []
    faults = geometry_faults(reduction.get("geometry"))
    for entry in reduction.get("phases", ()):
        phase = entry.get("phase") if isinstance(entry, Mapping) else entry
        if phase not in materials.PHASES:
            known = ", ".join(materials.PHASES)
            faults.append(f"phase {phase!r} is not known; known are {known}")
    options = reduction.get("options") or {}
    if reduction.get("method", DEFAULT_METHOD) == DEFAULT_METHOD:
        if not reduction.get("instrument"):
            faults.append("reduction names no instrument; calibrate_geometry writes one (.json)")
        faults += pattern_faults(reduction, options)
    files = {role: reduction.get(role) for role in ("dark", "mask", "instrument")}
    measured = {"blank": options.get("blank"), **(options.get("references") or {})}
    for role, path in (files | measured).items():
        if not path:
            continue
        missing = missing_file(role, Path(path))
        faults += missing
        if role in measured and not missing:
            faults += measured_pattern_faults(role, Path(path))
    return faults


def missing_file(role: str, path: Path) -> list[str]:
    """That a file is missing, and what leaves it, one sentence; empty where it is there."""
    if path.exists():
        return []
    return [f"{role} {path}: the file is missing{_MADE_BY.get(role, '')}"]


def pattern_faults(reduction: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """What is wrong with phases and options of diffraction patterns, one sentence each."""
    faults = []
    if not reduction.get("phases") and not options.get("references"):
        faults.append("reduction names no phases; name everything crystalline in the beam")
    known = [each.name for each in fields(XrdOptions)]
    faults += [
        f"option {name!r} of the reduction is not known; there are {', '.join(known)}"
        for name in options
        if name not in known
    ]
    return faults + transmission_reference_faults(reduction.get("transmission_reference"))


def transmission_reference_faults(reference: float | None) -> list[str]:
    """Why counts cannot be compared with those without a cell, one sentence."""
    if reference is None or reference > 0:
        return []
    return [
        "transmission_reference must be above 0, counts behind over before without a cell, "
        f"got {reference:g}"
    ]


def measured_pattern_faults(role: str, path: Path) -> list[str]:
    """Why a file is no measured pattern, one sentence."""
    try:
        MeasuredPattern.read(path)
    except ReductionError as error:
        return [f"{role}: {error}"]
    return []


def geometry_faults(path: Any) -> list[str]:
    """What is wrong with a geometry file, one sentence each."""
    if not path:
        return ["reduction names no geometry; run calibrate_geometry first and give its .poni"]
    file = Path(path)
    if not file.exists():
        return [f"geometry {file}: the file is missing; run calibrate_geometry first"]
    lines = [line.partition(":") for line in file.read_text(errors="replace").splitlines()]
    values = {key.strip(): value.strip() for key, colon, value in lines if colon}
    missing = [key for key in PONI_KEYS if not _is_number(values.get(key))]
    if missing:
        return [f"geometry {file}: not a .poni file, no number for {', '.join(missing)}"]
    return []


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def mounted_cell(potentiostat: Potentiostat) -> CellPassport | None:
    """The passport of the cell that is mounted; None without one."""
    document = json.loads(str(potentiostat.passport.value_now()) or "null")
    if not document:
        return None
    return CellPassport.logged(document.get("passport", document))


def cell_faults(potentiostat: Potentiostat, protocol: Mapping[str, Any] | None) -> list[str]:
    """Why an experiment may not begin on this cell, one sentence each."""
    if not potentiostat.connected:
        return [missing_records(potentiostat.name, potentiostat)]
    faults = owner_faults(potentiostat)
    state = str(potentiostat.state.value_now())
    if state == GuardState.TRIPPED:
        faults.append(
            f"{potentiostat.name}: tripped ({potentiostat.trip_reason.value_now()}); "
            "look at the cell, then potentiostat.reset()"
        )
    passport = mounted_cell(potentiostat)
    if passport is None:
        faults.append(
            f"{potentiostat.name}: no cell passport is mounted; without one no current flows: "
            "potentiostat.mount(passport)"
        )
        return faults
    if protocol is None:
        if state not in _joinable(potentiostat):
            faults.append(
                f"{potentiostat.name}: nothing to join, the cell is {state}; "
                "give a protocol to start"
            )
        return faults
    if int(potentiostat.controls.value_now()) == 0:
        faults.append(
            f"{potentiostat.name}: its guard only watches a cycler that other software runs; "
            "start the protocol there, and join without one"
        )
    elif state in (GuardState.RUNNING, GuardState.HOLDING):
        faults.append(
            f"{potentiostat.name}: the cell is {state}; join it without a protocol, "
            "or open the circuit"
        )
    window = Window(
        float(potentiostat.hard_voltage_min.value_now()),
        float(potentiostat.hard_voltage_max.value_now()),
        float(potentiostat.hard_current_max.value_now()),
    )
    return faults + Protocol.read(protocol).faults(passport, window)


def guard_faults(potentiostat: Potentiostat, protocol: Mapping[str, Any] | None) -> Plan:
    """What the guard, which knows its instruments, has against a protocol; the cell stays as it is.

    Returns:
        One sentence a fault; nothing where there is nobody to ask or `cell_faults` says enough.
    """
    if protocol is None or cell_faults(potentiostat, protocol):
        return []
    try:
        yield from finished(potentiostat.validate(protocol))
    except GuardError as error:
        return [f"{potentiostat.name}: {fault}" for fault in error.faults or (str(error),)]
    return []


def _joinable(potentiostat: Potentiostat) -> Sequence[str]:
    """States in which a cell can be joined; one that somebody else starts may still be at rest."""
    if int(potentiostat.controls.value_now()) == 0:
        return (*UNDER_WAY, GuardState.OPEN_CIRCUIT, GuardState.FINISHED)
    return UNDER_WAY


def owner_faults(potentiostat: Potentiostat) -> list[str]:
    """Whether the cell is another session's; this one must have acquired it."""
    if potentiostat.is_owned:
        return []
    owner = str(potentiostat.owner_command.value_now()) or "nobody"
    return [
        f"{potentiostat.name}: the cell is owned by {owner}, not by this session "
        f"(pid {os.getpid()}); end that session or wait until its heartbeat lapses"
    ]
