"""This file is where spectra get a run: checked before, said in its start document, put back after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.energy_sweep import Sweep
from battbeam.experiment.energy_grid import EnergyGrid, Preset
from battbeam.experiment.forecast_spectrum import EdgeAbsorption, Signal
from battbeam.experiment.provenance import curve_record
from battbeam.plans.preflight import refuse
from battbeam.plans.preprocessors import (
    shutter_closed_after,
    staged_run,
    suspended_without_beam,
)
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum import SpectraRun
from battbeam.plans.spectrum_faults import passport_of, spectra_faults, warnings_of
from battbeam.plans.spectrum_station import EdgeScan, Station
from battbeam.plans.stubs import Plan, names


@dataclass(frozen=True)
class SpectraOptions:
    """What all plans of spectra are asked besides edges.

    Attributes:
        signal: What noise and thickness are judged by.
        repeats: When no further spectrum is taken.
        require_foil: Refuse a spectrum without its foil.
        positions: (motor, position) to be at.
        reduction: Besides method and signal.
        md: What else a later reader needs.
    """

    signal: Signal
    repeats: Repeats
    require_foil: bool
    positions: Sequence[tuple[Any, float]]
    reduction: Mapping[str, Any] | None
    md: Mapping[str, Any] | None


def stepped(
    edge: EnergyGrid | str | float,
    preset: Preset,
    *,
    dwell: float,
    gains: Mapping[str, float] | None = None,
) -> EdgeScan:
    """The steps of a grid, or of an edge's preset."""
    grid = edge if isinstance(edge, EnergyGrid) else EnergyGrid.of(edge, preset, dwell=dwell)
    return EdgeScan(grid.edge, grid, dict(gains or {}))


def measured(
    station: Station,
    scans: Sequence[EdgeScan],
    how: SpectraOptions,
    *,
    plan_name: str,
    technique: str,
) -> Plan:
    """One run of spectra.

    Returns:
        Its uid.

    Raises:
        PreflightError: With every fault, before anything moves.
    """
    refuse(
        plan_name,
        spectra_faults(
            station,
            scans,
            how.repeats,
            signal=how.signal,
            require_foil=how.require_foil,
            positions=how.positions,
        ),
    )
    motors = [motor for motor, _ in how.positions]
    said = {**_said(station, scans, how), "plan_name": plan_name, "technique": technique}
    spectra = SpectraRun(station, scans, how.repeats, how.signal)

    def measurement() -> Plan:
        for motor, position in how.positions:
            yield from bps.mv(motor, position)
        yield from spectra.measure()

    whole = staged_run(
        shutter_closed_after(measurement(), station.beam),
        {**said, **(how.md or {})},
        detectors=station.detectors,
        motors=[*station.moved, *motors],
    )
    return (yield from suspended_without_beam(whole, station.beam, suspend=station.suspend))


def _said(station: Station, scans: Sequence[EdgeScan], how: SpectraOptions) -> dict[str, Any]:
    """What every run of spectra says of itself."""
    grids = {scan.edge.label: _grid(scan) for scan in scans}
    is_sweep = isinstance(scans[0].how, Sweep)
    said: dict[str, Any] = {
        "kind": "measurement",
        "detectors": names(
            [station.energy_sweep if is_sweep else station.counters, *station.detectors]
        ),
        "edges": [scan.edge.document() for scan in scans],
        "grids": grids,
        "mode": "sweep" if is_sweep else "step",
        "signal": how.signal,
        "gains": {scan.edge.label: dict(scan.gains) for scan in scans},
        "foil": {scan.edge.label: station.foil_for(scan.edge) for scan in scans},
        "repeats": how.repeats.said(),
        "warnings": warnings_of(station, scans),
        "reduction": {"method": "xanes", "signal": how.signal, **(how.reduction or {})},
        # So that tables and pictures of other tools know what a spectrum is drawn against.
        "hints": {"dimensions": [([f"{station.monochromator.name}_energy"], "primary")]},
    }
    if curves := curve_record(said["reduction"]):
        said["calibration"] = curves
    if len(scans) == 1:
        said["grid"] = grids[scans[0].edge.label]
    if station.budget is not None:
        said["dose_budget"] = station.budget.model_dump(mode="json")
    passport = passport_of(station)
    if passport is not None:
        found = [EdgeAbsorption.of(passport, scan.edge) for scan in scans]
        said["forecast"] = {each.edge: each.document() for each in found}
    return said


def _grid(scan: EdgeScan) -> dict[str, Any]:
    return asdict(scan.how) if isinstance(scan.how, Sweep) else scan.how.document()
