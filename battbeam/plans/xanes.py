"""This file is where absorption spectra are measured: step by step, in sweeps, at several edges.

A spectrum has its own opening of the shutter, and its foil and its dark in the same run. The energy,
the foil, the gains and the motors are put back, however it ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from battbeam.devices.energy_sweep import Sweep
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.cost import Cost
from battbeam.experiment.energy_grid import EnergyGrid, Preset
from battbeam.experiment.forecast_spectrum import Signal
from battbeam.plans.measurements import OwnRun
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectra_run import SpectraOptions, measured, stepped
from battbeam.plans.spectrum_station import EdgeScan, Station
from battbeam.plans.stubs import Plan

#: eV of a sweep's sample where nothing is said: a fifth of what Si(111) resolves. Chosen here.
SAMPLE_WIDTH = 0.25
ONCE, UP_AND_DOWN = Repeats(), Repeats(n_max=2)
#: Where a sweep begins and ends, eV from the edge: as the preset ``xanes`` does.
SWEEP_ENDS = (-150.0, 250.0)


def xanes(
    edge: EnergyGrid | str | float,
    station: Station,
    *,
    dwell: float = 1.0,
    signal: Signal = "transmission",
    gains: Mapping[str, float] | None = None,
    repeats: Repeats = ONCE,
    require_foil: bool = False,
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Spectra near an absorption edge, step by step.

    Parameters
    ----------
    edge : EnergyGrid or str or float
        Energies to visit; of an edge alone, as ``Ni K`` or in eV, the preset ``xanes``.
    station : Station
        What they are measured with.
    dwell : float
        At each energy of the preset, s.
    signal : str
        ``transmission`` or ``fluorescence``: what noise and thickness are judged by.
    gains : dict of float, optional
        V/A of the amplifiers of ``i0``, ``it`` and ``ir``; those that are left out stay.
    repeats : Repeats
        When no further spectrum is taken.
    require_foil : bool
        Refuse a spectrum without its foil; otherwise it is flagged.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How spectra are made of the counts, besides method and signal.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    how = SpectraOptions(signal, repeats, require_foil, positions, reduction, md)
    scans = [stepped(edge, "xanes", dwell=dwell, gains=gains)]
    return (yield from measured(station, scans, how, plan_name="xanes", technique="XANES"))


def xas(
    edge: EnergyGrid | str | float,
    station: Station,
    *,
    dwell: float = 1.0,
    signal: Signal = "transmission",
    gains: Mapping[str, float] | None = None,
    repeats: Repeats = ONCE,
    require_foil: bool = False,
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Spectra far beyond an absorption edge, in steps of the photoelectron's wavenumber.

    Parameters
    ----------
    edge : EnergyGrid or str or float
        Energies to visit; of an edge alone, as ``Ni K`` or in eV, the preset ``xas``.
    station : Station
        What they are measured with.
    dwell : float
        At each energy of the preset, s; in k it grows from there.
    signal : str
        ``transmission`` or ``fluorescence``: what noise and thickness are judged by.
    gains : dict of float, optional
        V/A of the amplifiers of ``i0``, ``it`` and ``ir``; those that are left out stay.
    repeats : Repeats
        When no further spectrum is taken.
    require_foil : bool
        Refuse a spectrum without its foil; otherwise it is flagged.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How spectra are made of the counts, besides method and signal.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    how = SpectraOptions(signal, repeats, require_foil, positions, reduction, md)
    scans = [stepped(edge, "xas", dwell=dwell, gains=gains)]
    return (yield from measured(station, scans, how, plan_name="xas", technique="XAS"))


def multi_edge_xas(
    edges: Sequence[EnergyGrid | str | float],
    station: Station,
    *,
    dwell: float = 1.0,
    preset: Preset = "xanes",
    signal: Signal = "transmission",
    gains: Mapping[str, Mapping[str, float]] | None = None,
    repeats: Repeats = ONCE,
    require_foil: bool = False,
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Spectra of several edges in turn, step by step, in one run.

    Parameters
    ----------
    edges : list of EnergyGrid or str or float
        In their order; the foil is changed with the edge.
    station : Station
        What they are measured with.
    dwell : float
        At each energy of a preset, s.
    preset : str
        ``xanes`` or ``xas``, of edges that are no grid.
    signal : str
        ``transmission`` or ``fluorescence``: what noise and thickness are judged by.
    gains : dict of dict, optional
        By edge as ``Ni K``, V/A of the amplifiers; those that are left out stay.
    repeats : Repeats
        When no further spectrum of an edge is taken.
    require_foil : bool
        Refuse a spectrum without its foil; otherwise it is flagged.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How spectra are made of the counts, besides method and signal.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    how = SpectraOptions(signal, repeats, require_foil, positions, reduction, md)
    scans = [stepped(edge, preset, dwell=dwell) for edge in edges]
    own = gains or {}
    strangers = set(own) - {scan.edge.label for scan in scans}
    if strangers:
        raise ValueError(f"gains are for {', '.join(sorted(strangers))}, which is no edge here")
    scans = [replace(scan, gains=own.get(scan.edge.label, {})) for scan in scans]
    technique = "XANES" if preset == "xanes" else "XAS"
    return (
        yield from measured(station, scans, how, plan_name="multi_edge_xas", technique=technique)
    )


def quick_xanes(
    edge: str | float,
    station: Station,
    *,
    duration: float = 1.0,
    ends: tuple[float, float] = SWEEP_ENDS,
    n_samples: int | None = None,
    signal: Signal = "transmission",
    gains: Mapping[str, float] | None = None,
    repeats: Repeats = UP_AND_DOWN,
    require_foil: bool = False,
    positions: Sequence[tuple[Any, float]] = (),
    reduction: Mapping[str, Any] | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Continuous sweeps through an absorption edge, up and down in turn.

    Parameters
    ----------
    edge : str or float
        As ``Ni K`` or in eV.
    station : Station
        What they are measured with.
    duration : float
        Of one sweep, s.
    ends : tuple of float
        Where sweeps up begin and end, eV from the edge.
    n_samples : int, optional
        Of one sweep; by default one in `SAMPLE_WIDTH`.
    signal : str
        ``transmission`` or ``fluorescence``: what noise and thickness are judged by.
    gains : dict of float, optional
        V/A of the amplifiers of ``i0``, ``it`` and ``ir``; those that are left out stay.
    repeats : Repeats
        When no further sweep is made; up and down count each.
    require_foil : bool
        Refuse sweeps without their foil; otherwise they are flagged.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    reduction : dict, optional
        How spectra are made of the counts, besides method and signal.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    how = SpectraOptions(signal, repeats, require_foil, positions, reduction, md)
    where = AbsorptionEdge.of(edge)
    n = round((ends[1] - ends[0]) / SAMPLE_WIDTH) if n_samples is None else n_samples
    sweep = Sweep(where.energy + ends[0], where.energy + ends[1], duration, n)
    scans = [EdgeScan(where, sweep, dict(gains or {}))]
    return (yield from measured(station, scans, how, plan_name="quick_xanes", technique="XANES"))


def spectrum(
    plan: Callable[..., Plan],
    edge: Any,
    station: Station,
    *,
    stage: SampleStage | None = None,
    spot: tuple[float, float] = (0.0, 0.0),
    cost: Cost | None = None,
    **options: Any,
) -> OwnRun:
    """Spectra as what a rule of a schedule measures.

    The experiment is not suspended with them: without beam they wait behind the closed shutter, and
    end when the station's patience does.

    Args:
        plan: `xanes`, `xas`, `quick_xanes` or `multi_edge_xas`.
        edge: What that takes: one edge, or several.
        station: What they are measured with.
        stage: The sample stage; None leaves it where it is.
        spot: (x, y) in the cell's frame that the beam's middle meets, mm.
        cost: As `xanes_cost` or `quick_xanes_cost` says.
        **options: Of the plan.
    """

    waiting = replace(station, suspend=False)

    def measure(said: Mapping[str, Any]) -> Plan:
        positions = list(options.get("positions", ()))
        if stage is not None:
            x, y = said.get("cell_position", (0.0, 0.0))
            positions += [(stage.x, float(x) + spot[0]), (stage.y, float(y) + spot[1])]
        return plan(edge, waiting, **{**options, "positions": positions, "md": said})

    moved = () if stage is None else (stage.x, stage.y)
    return OwnRun(measure, motors=(station.monochromator.bragg, *moved), cost=cost)
