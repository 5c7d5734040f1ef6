"""This file is where the lag of a mass spectrometer is measured, with a pulse of argon."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from battbeam.devices.channel import Reading
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.devices.notes import VerdictNotes
from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock
from battbeam.plans.preflight import connection_faults, refuse
from battbeam.plans.preprocessors import recorded, run
from battbeam.plans.stubs import Plan, wait_until, write_down
from battbeam.reduction.gas import Capillary, capillary

#: m/z of the pulse: the isotope of argon that is not also in the air at 1 %.
ARGON = 36
#: Name of the file that it leaves in the calibration directory.
CAPILLARY = "capillary.json"


def measure_lag(
    mass_spectrometer: MassSpectrometer,
    *,
    clock: Clock,
    calibration: Path,
    duration: float = 20.0,
    before: float = 30.0,
    after: float = 90.0,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Let argon in at the sample and see how late, and how blurred, the spectrometer sees it.

    Leaves ``capillary.json`` in the calibration directory.

    Parameters
    ----------
    mass_spectrometer : MassSpectrometer
        Whose capillary it is.
    clock : Clock
        The session's.
    calibration : Path
        Directory for the result.
    duration : float
        Of the pulse, s; some times as long as gas mixes before the spectrometer.
    before, after : float
        s that are recorded before the pulse and after it.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.

    Raises
    ------
    DeviceError
        If the valve does not open.
    ReductionError
        If no pulse is seen.
    """
    refuse(
        "measure_lag",
        connection_faults([mass_spectrometer]),
        [] if duration > 0 else [f"duration must be greater than 0 s, got {duration:g}"],
    )
    samples: list[tuple[float, list[float]]] = []

    def take(reading: Reading) -> None:
        (one,) = reading.values()
        samples.append((float(one["timestamp"]), one["value"]))

    def body() -> Plan:
        yield from wait_until(clock, clock.now() + before)
        before_it = float(mass_spectrometer.pulse_start.value_now())
        yield from bps.abs_set(mass_spectrometer.pulse, duration, wait=True)
        begin = float(mass_spectrometer.pulse_start.value_now())
        if begin == before_it:
            raise DeviceError(
                f"{mass_spectrometer.name}: the valve of the argon did not open: "
                f"{mass_spectrometer.last_error.value_now()}"
            )
        yield from wait_until(clock, begin + duration + after)
        found = _found(samples, mass_spectrometer.masses.value_now(), begin, duration)
        document = json.dumps(
            {**asdict(found), "pulse_start": begin, "pulse_duration": duration}, indent=2
        )
        calibration.mkdir(parents=True, exist_ok=True)
        (calibration / CAPILLARY).write_text(document)
        yield from write_down(VerdictNotes("", name="verdict"), "verdict", document=document)

    def collected() -> Plan:
        channel = mass_spectrometer.channel
        channel.subscribe(take)
        try:
            yield from body()
        finally:
            channel.clear_sub(take)

    said = {"plan_name": "measure_lag", "kind": "calibration", "pulse_duration": duration}

    def measurement() -> Plan:
        return (yield from run(lambda _: collected(), {**said, **(md or {})}))

    return (yield from recorded(measurement(), [mass_spectrometer.channel]))


def capillary_in(calibration: Path) -> Capillary | None:
    """What `measure_lag` left in a calibration directory; None if it was never measured."""
    path = calibration / CAPILLARY
    if not path.exists():
        return None
    told = json.loads(path.read_text())
    return Capillary(**{name: told[name] for name in Capillary.__dataclass_fields__})


def capillary_metadata(calibration: Path) -> dict[str, Any]:
    """The same for a start document: ``capillary``; nothing if it was never measured."""
    known = capillary_in(calibration)
    return {} if known is None else {"capillary": asdict(known)}


def _found(
    samples: list[tuple[float, list[float]]], masses: list[float], begin: float, duration: float
) -> Capillary:
    if ARGON not in masses:
        raise DeviceError(f"the mass spectrometer does not look at {ARGON}; it looks at {masses}")
    index = masses.index(ARGON)
    time = np.array([time for time, _ in samples])
    signal = np.array([currents[index] for _, currents in samples])
    quiet = signal[time < begin]
    return capillary(
        time, signal, pulse_time=begin, duration=duration, error=float(quiet.std(ddof=1))
    )
