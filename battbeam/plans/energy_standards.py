"""This file is where foils and known compounds are measured, so that every spectrum of an experiment is
compared with the same curves, and where runs are told of them.

The session stores the curves as soon as such a run has ended, before the plan goes on
(`battbeam.callbacks.curve_keeper`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from battbeam.errors import PreflightError
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan
from battbeam.plans.xanes import ONCE, multi_edge_xas
from battbeam.reduction.stored_curves import StoredCurves


def xanes_reduction(
    calibration: Path,
    edges: Sequence[EnergyGrid | str],
    *,
    standards: Sequence[str] | None = None,
    exafs: Mapping[str, Any] | None = None,
    combination: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """How spectra are made of counts, with the curves that `calibrate_energy` left.

    A foil that was not stored is left out: then each run sets its own, and runs agree to some 0.02 eV.

    Parameters
    ----------
    calibration : Path
        Directory with ``foil_Ni_K.json`` and ``standard_<name>_Ni_K.json``.
    edges : list of EnergyGrid or str
        That are measured, as ``Ni K``.
    standards : list of str, optional
        Names of compounds, the one that edges are compared with first; by default all that are
        stored for an edge, by name.
    exafs : dict, optional
        By edge: what is asked of the EXAFS.
    combination : bool
        Whether spectra are also fitted as mixtures of the standards.
    **options
        Of the reduction, for every edge.

    Raises
    ------
    PreflightError
        If a standard that is named is stored for none of the edges.
    """
    stored, of_edge = StoredCurves(calibration), {}
    found: set[str] = set()
    for edge in edges:
        name = _label(edge)
        paths = stored.compounds(name)
        if standards is not None:
            chosen = {each: stored.compound(each, name) for each in standards}
            paths = [path for path in chosen.values() if path.exists()]
            found |= {each for each, path in chosen.items() if path.exists()}
        foil = stored.foil(name)
        of_edge[name] = {
            **({"foil": str(foil)} if foil.exists() else {}),
            **({"standards": [str(path) for path in paths]} if paths else {}),
            **({"combination": True} if combination and paths else {}),
            **({"exafs": dict(exafs[name])} if exafs and name in exafs else {}),
        }
    if missing := [name for name in standards or () if name not in found]:
        raise PreflightError(
            "xanes_reduction",
            [
                f"standard {name} is not in {calibration} for {', '.join(of_edge)}: measure it with "
                "calibrate_energy(..., compound=...)"
                for name in missing
            ],
        )
    return {**options, "edges": of_edge}


def calibrate_energy(
    edges: Sequence[EnergyGrid | str],
    station: Station,
    *,
    calibration: Path,
    foil: bool = True,
    compound: str = "",
    oxidation_states: Mapping[str, float] | None = None,
    dwell: float = 1.0,
    repeats: Repeats = ONCE,
    gains: Mapping[str, Mapping[str, float]] | None = None,
    positions: Sequence[tuple[Any, float]] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Spectra of foils, and of a known compound, that others are compared with.

    Parameters
    ----------
    edges : list of EnergyGrid or str
        As ``Ni K``, or grids about them.
    station : Station
        What they are measured with; a foil of each edge is needed.
    calibration : Path
        Directory in which the session keeps what comes of it.
    foil : bool
        Whether the foil is kept; otherwise the compound is put on the energies of the one kept before.
    compound : str
        What is in the beam, and under what name its spectrum is kept; empty: only the foil counts.
    oxidation_states : dict of float, optional
        Of the absorbing element in the compound, by edge as ``Ni K``, as chemistry has it.
    dwell : float
        At each energy of a preset, s.
    repeats : Repeats
        When no further spectrum of an edge is taken; they are added up.
    gains : dict of dict, optional
        By edge, V/A of the amplifiers.
    positions : list of (motor, position)
        Where to measure; the motors are put back at the end.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    if not (foil or compound):
        raise PreflightError("calibrate_energy", ["neither the foil nor a compound is to be kept"])
    names = [_label(edge) for edge in edges]
    states = dict(oxidation_states or {})
    if strangers := sorted(set(states) - set(names)):
        raise PreflightError(
            "calibrate_energy",
            [f"oxidation state at {name}, which is not measured" for name in strangers],
        )
    keeps = {
        "foil": foil,
        "compound": compound,
        "oxidation_states": states,
        "directory": str(calibration),
    }
    reduction = {} if foil else xanes_reduction(calibration, edges, standards=())
    return (
        yield from multi_edge_xas(
            edges,
            station,
            dwell=dwell,
            gains=gains,
            repeats=repeats,
            require_foil=True,
            positions=positions,
            reduction=reduction,
            md={"kind": "calibration", "keeps": keeps, **(md or {})},
        )
    )


def _label(edge: EnergyGrid | str) -> str:
    """As events name it."""
    return edge.edge.label if isinstance(edge, EnergyGrid) else AbsorptionEdge.of(edge).label
