"""This file is where the spectra's demo is judged: edges, valences, energies, distances and states of charge
against the hidden truth.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from battbeam.demo import checks
from battbeam.demo.checks import Check
from battbeam.demo.xanes_experiment import COBALT, NICKEL
from battbeam.demo.xanes_outcome import Spectra, XanesOutcome
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.units import FloatArray

#: What is promised: of an edge against a known compound, and of the energy scale, eV; of a valence; of
#: a distance, angstrom; of the counters' lag, s.
EDGE, ENERGY, VALENCE, DISTANCE, LAG = 0.02, 0.05, 0.02, 0.01, 1e-3
#: Comparisons that have an error, in one demo: sets z. Rounded up.
_N_COMPARISONS = 400
#: Drift of the monochromator that a demo must have had, eV, or it was never put to the test.
_LEAST_DRIFT = 0.1
#: Degree to which Ni must change, and spectra of each kind that there must be.
_LEAST_CHANGE, _LEAST_SWEEPS, _LEAST_SCANS = 0.5, 16, 3


def judged(outcome: XanesOutcome, passport: Mapping[str, Any], lag: float) -> list[Check]:
    """Every check of the demo.

    Args:
        outcome: What it left.
        passport: What is believed of the cell.
        lag: Of the counters behind the encoder, s.
    """
    z = checks.z_for(_N_COMPARISONS)
    valid = outcome.measured.where(valid=1)
    nickel, cobalt = valid.where(edge=NICKEL), valid.where(edge=COBALT)
    return [
        *_all_there(outcome, nickel),
        *_energies(nickel, z),
        *_edges(outcome, nickel, z),
        *_valence(nickel, z),
        _cobalt(outcome, cobalt, z),
        *_distances(nickel.stepped, z),
        _lag(nickel.swept, lag, z),
        checks.state_of_charge(valid.spectra, valid.of, passport),
    ]


def _all_there(outcome: XanesOutcome, nickel: Spectra) -> list[Check]:
    n, n_valid = len(outcome.measured), len(outcome.measured.where(valid=1))
    n_swept, n_stepped = len(nickel.swept), len(nickel.stepped)
    return [
        Check("reduced spectra, of those that ended", n, outcome.n_ended, 0.0, n),
        Check("valid spectra, of those reduced", n_valid, n, 0.0, n),
        Check("counts in the documents, of those made", outcome.n_counted, outcome.n_true, 0.0, n),
        _at_least("sweeps over the Ni edge", n_swept, _LEAST_SWEEPS),
        _at_least("scans of the Ni edge", n_stepped, _LEAST_SCANS),
    ]


def _at_least(name: str, n: int, least: int) -> Check:
    return Check(f"{name} (at least {least})", float(min(n, least)), float(least), 0.0, n)


def _energies(nickel: Spectra, z: float) -> list[Check]:
    """What the foil of each scan says of the monochromator."""
    foil = AbsorptionEdge.of(NICKEL).energy
    recovered, error = nickel.of("energy_shift"), nickel.of("energy_shift_error")
    truth = np.array([each.true_shift(foil) for each in nickel.spectra])
    drift = float(np.ptp(truth)) if len(truth) else 0.0
    return [
        checks.worst(
            "energy scale by the foil, worst scan (eV)",
            recovered=recovered,
            truth=truth,
            error=error,
            promised=ENERGY,
            z=z,
        ),
        Check(
            f"drift of the monochromator (at least {_LEAST_DRIFT:g} eV)",
            min(drift, _LEAST_DRIFT),
            _LEAST_DRIFT,
            0.0,
            len(truth),
        ),
    ]


def _edges(outcome: XanesOutcome, nickel: Spectra, z: float) -> list[Check]:
    """The Ni edge from that of the first compound."""
    recovered, truth = _from_compound(outcome, nickel, NICKEL)
    own, of_compound = own_errors(nickel), _of_compound(nickel)
    values = {"recovered": recovered, "truth": truth}
    error = np.hypot(own, of_compound)
    return [
        checks.worst("Ni edge, worst spectrum (eV)", **values, error=error, promised=EDGE, z=z),
        # The compound's own error moves all alike.
        *checks.alike_and_apart(
            "Ni edge", **values, own=own, shared=of_compound, unit="eV", promised=EDGE, z=z
        ),
    ]


def own_errors(spectra: Spectra) -> FloatArray:
    """Of edges, without what all that are compared with the same curves share, eV."""
    return checks.own_errors(
        spectra.of("edge_position_error"), spectra.of("edge_position_shared_error")
    )


def _of_compound(spectra: Spectra) -> float:
    """The same of the compound's, eV: it was measured as the scans were."""
    own = own_errors(spectra.stepped)
    return float(np.median(own)) if len(own) else float("nan")


def _from_compound(
    outcome: XanesOutcome, spectra: Spectra, edge: str
) -> tuple[FloatArray, FloatArray]:
    """Edges from that of the first compound, eV: recovered, and true."""
    known = outcome.compounds.where(edge=edge, valid=1)
    if not len(known):
        return np.full(len(spectra), np.nan), np.zeros(len(spectra))
    first = float(known.of("edge_position")[0]), float(known.true("edge_position")[0])
    return spectra.of("edge_position") - first[0], spectra.true("edge_position") - first[1]


def _valence(nickel: Spectra, z: float) -> list[Check]:
    recovered, truth = nickel.of("oxidation_state"), nickel.true("valence")
    error = nickel.of("oxidation_state_error")
    change = float(np.ptp(truth)) if len(truth) else 0.0
    return [
        checks.worst(
            "Ni valence, worst spectrum",
            recovered=recovered,
            truth=truth,
            error=error,
            promised=VALENCE,
            z=z,
        ),
        Check(
            f"change of the Ni valence (at least {_LEAST_CHANGE:g})",
            min(change, _LEAST_CHANGE),
            _LEAST_CHANGE,
            0.0,
            len(truth),
        ),
    ]


def _cobalt(outcome: XanesOutcome, cobalt: Spectra, z: float) -> Check:
    """Co stays where it is: nearly inert."""
    recovered, truth = _from_compound(outcome, cobalt, COBALT)
    return checks.worst(
        "Co edge, worst scan (eV)",
        recovered=recovered,
        truth=truth,
        error=np.sqrt(2) * own_errors(cobalt),
        promised=EDGE,
        z=z,
    )


def _distances(scans: Spectra, z: float) -> list[Check]:
    """First shells of Ni."""
    return [
        checks.worst(
            f"Ni-{name} distance, worst scan (angstrom)",
            recovered=scans.of(f"distance_{column}"),
            truth=np.array([each.true_distance(neighbour) for each in scans.spectra]),
            error=scans.of(f"distance_{column}_error"),
            promised=DISTANCE,
            z=z,
        )
        for name, column, neighbour in (("O", "O", "O"), ("metal", "metal", "Ni"))
    ]


def _lag(sweeps: Spectra, lag: float, z: float) -> Check:
    return checks.worst(
        "lag of the counters (s)",
        recovered=sweeps.of("lag"),
        truth=np.full(len(sweeps), lag),
        error=sweeps.of("lag_error"),
        promised=LAG,
        z=z,
    )
