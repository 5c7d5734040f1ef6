"""This file is where spectra are checked before anything moves, and what should be known is said."""

import math
from collections.abc import Sequence
from typing import Any

from battbeam.devices.energy_sweep import Sweep
from battbeam.devices.foil import OUT
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.forecast_spectrum import EdgeAbsorption, Signal
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.preflight import connection_faults, mounted_cell, position_faults
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import EdgeScan, Station


def spectra_faults(
    station: Station,
    scans: Sequence[EdgeScan],
    repeats: Repeats,
    *,
    signal: Signal,
    require_foil: bool,
    positions: Sequence[tuple[Any, float]],
) -> list[str]:
    """What is wrong with spectra, one sentence each."""
    motors = [motor for motor, _ in positions]
    faults = connection_faults([*station.devices, *motors])
    faults += [fault for scan in scans for fault in scan.how.faults()] + repeats.faults()
    if not scans:
        faults.append("no edge was given")
    labels = [scan.edge.label for scan in scans]
    twice = dict.fromkeys(label for label in labels if labels.count(label) > 1)
    faults += [f"edge {label} was given twice; a grid may have many regions" for label in twice]
    if signal not in ("transmission", "fluorescence"):
        faults.append(f"signal must be transmission or fluorescence, got {signal!r}")
    if faults:
        # What is not connected has no limits, and a faulty grid no ends.
        return faults
    passport = passport_of(station)
    if math.isfinite(repeats.smear) and passport is None:
        faults.append("repeats: a smear needs the cell's potentiostat, with a passport")
    if any(isinstance(scan.how, Sweep) for scan in scans) and station.energy_sweep is None:
        faults.append("a sweep needs a controller for it (energy_sweep)")
    if any(isinstance(scan.how, Sweep) for scan in scans) and station.detectors:
        faults.append("area detectors expose at energies that stand still, not in a sweep")
    faults += exposure_faults(station.beam, station.budget, None) + position_faults(positions)
    for scan in scans:
        faults += position_faults([(station.monochromator, energy) for energy in scan.ends])
        faults += _gain_faults(station, scan) + _light_faults(station, scan, passport)
        if passport is not None:
            faults += EdgeAbsorption.of(passport, scan.edge).faults(passport, signal)
        if require_foil and station.foil_for(scan.edge) == OUT:
            faults.append(_without_foil(scan, "put one in, or do without (require_foil=False)"))
    return faults


def passport_of(station: Station) -> CellPassport | None:
    """Of the cell in the beam; None where nobody knows."""
    return None if station.potentiostat is None else mounted_cell(station.potentiostat)


def warnings_of(station: Station, scans: Sequence[EdgeScan]) -> list[str]:
    """What is allowed but should be known, one sentence each."""
    passport, found = passport_of(station), []
    for scan in scans:
        if station.foil_for(scan.edge) == OUT:
            found.append(
                _without_foil(scan, "energies are as good as the monochromator's repeatability")
            )
        if passport is not None:
            found += EdgeAbsorption.of(passport, scan.edge).remarks()
    return found


def _without_foil(scan: EdgeScan, what: str) -> str:
    return f"{scan.edge.label}: no reference foil of this element is in the beam; {what}"


def _gain_faults(station: Station, scan: EdgeScan) -> list[str]:
    amplifiers, faults = station.counters.amplifiers, []
    for channel, gain in scan.gains.items():
        if channel not in amplifiers:
            faults.append(f"no amplifier of {channel!r}; there are {', '.join(amplifiers)}")
            continue
        faults += position_faults([(amplifiers[channel], gain)])
    return faults


def _light_faults(station: Station, scan: EdgeScan, passport: CellPassport | None) -> list[str]:
    """Chambers that the light will overload; nothing where the flux is not known."""
    meter, beam = station.beam.dose_meter, station.beam
    if meter is None or not set(scan.gains) <= set(station.counters.amplifiers):
        return []
    flux = meter.flux.photons_per_milliampere * float(beam.ring_current.value_now())
    through = math.nan
    if passport is not None:
        through = EdgeAbsorption.of(passport, scan.edge).transmission_below
    return station.counters.overload_faults(
        flux * beam.attenuator.position, through, {**station.counters.gains, **scan.gains}
    )
