"""This file is where the demo of three techniques is judged: lattice, valence and layers on one axis
of state of charge, against the hidden truth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from battbeam.demo import checks
from battbeam.demo.checks import Check
from battbeam.demo.three_techniques_outcome import TECHNIQUES, ThreeOutcome, charges_of
from battbeam.demo.verdict import Measured
from battbeam.demo.xanes_verdict import own_errors
from battbeam.units import FloatArray

#: What is promised: of an edge from that of the first state, eV; of a valence; of a layer and of the
#: rotation axis, a quarter of a voxel, mm and columns.
EDGE, VALENCE, LAYER, AXIS = 0.04, 0.03, 0.0005, 0.25
#: eV by which the energy of maps and tomograms may come back otherwise, after sweeps at another.
ENERGY = 0.5
#: Comparisons that have an error, in one demo: sets z. Rounded up.
_N_COMPARISONS = 300
#: State of charge and c that must differ, or nothing was put to the test: over all; over one map.
_LEAST_SPAN, _LEAST_DIFFERENCE = 0.8, 0.01


def judged(
    outcome: ThreeOutcome,
    passport: Mapping[str, Any],
    *,
    n_states: int,
    layer: int,
    put_back: Mapping[str, tuple[float, float]],
) -> list[Check]:
    """Every check of the demo.

    Args:
        outcome: What it left.
        passport: What is believed of the cell.
        n_states: At which all three techniques are asked for.
        layer: Which of the phantom's is the cathode.
        put_back: By name, how instruments stood before the experiment and behind it.
    """
    z = checks.z_for(_N_COMPARISONS)
    return [
        *_all_there(outcome, n_states),
        *_left_as_found(outcome, put_back),
        *_lattice(outcome.maps, z),
        *_nickel(outcome, z),
        *_layers(outcome, layer),
        *_state_of_charge(outcome, passport),
    ]


def _all_there(outcome: ThreeOutcome, n_states: int) -> list[Check]:
    wanted = TECHNIQUES * n_states
    in_order = sum(one == other for one, other in zip(outcome.order, wanted, strict=False))
    n = len(outcome.order)
    patterns = sum(len(each) for each in outcome.maps)
    valid = sum(len(each.valid) for each in outcome.maps)
    n_spectra, n_valid = len(outcome.spectra), len(outcome.spectra.where(valid=1))
    volumes = outcome.of_tomograms("valid")
    return [
        Check("runs, of those that the schedule asks for", n, len(wanted), 0.0, n),
        Check("runs in its order: map, spectra, tomogram", in_order, len(wanted), 0.0, n),
        Check("valid patterns, of those in maps", valid, patterns, 0.0, patterns),
        Check("valid sweeps, of those made", n_valid, n_spectra, 0.0, n_spectra),
        Check("valid tomograms, of those taken", volumes.sum(), len(volumes), 0.0, len(volumes)),
    ]


def _left_as_found(
    outcome: ThreeOutcome, put_back: Mapping[str, tuple[float, float]]
) -> list[Check]:
    energies = outcome.energies
    away = float(np.abs(energies - energies[0]).max()) if len(energies) else np.nan
    moved = sum(abs(after - before) > 1e-3 for before, after in put_back.values())
    return [
        Check("energy put back for maps and tomograms (eV)", away, 0.0, ENERGY, len(energies)),
        Check("instruments not put back", moved, 0.0, 0.0, len(put_back)),
    ]


def _lattice(maps: Sequence[Measured], z: float) -> list[Check]:
    """Edges of NMC811 at every point of every map."""
    found: list[Check] = []
    valid = [each.valid for each in maps]
    for edge, promised in checks.EDGE.items():
        column = f"lattice_NMC811_{edge}"
        values = {
            "recovered": _joined([part.of(column) for part in valid]),
            "truth": _joined([part.true("lattice", "NMC811", edge) for part in valid]),
            "error": _joined([part.of(f"{column}_error") for part in valid]),
        }
        found.append(checks.worst(f"NMC811 {edge} (angstrom)", **values, promised=promised, z=z))
        found += checks.pulls(f"NMC811 {edge}", **values, z=z)
    across = max((float(np.ptp(each.true("lattice", "NMC811", "c"))) for each in valid), default=0)
    found.append(
        Check(
            f"c within one map differs (by at least {_LEAST_DIFFERENCE:g} angstrom)",
            min(across, _LEAST_DIFFERENCE),
            _LEAST_DIFFERENCE,
            0.0,
            len(valid),
        )
    )
    return found


def _joined(parts: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(parts) if parts else np.empty(0)


def _nickel(outcome: ThreeOutcome, z: float) -> list[Check]:
    """Valence, and the edge from where it was at first."""
    nickel = outcome.spectra.where(valid=1)
    if not len(nickel):
        return [Check("Ni valence, worst sweep", np.nan, 0.0, VALENCE, 0)]
    error, edges, truth = (
        own_errors(nickel),
        nickel.of("edge_position"),
        nickel.true("edge_position"),
    )
    return [
        checks.worst(
            "Ni valence, worst sweep",
            recovered=nickel.of("oxidation_state"),
            truth=nickel.true("valence"),
            error=nickel.of("oxidation_state_error"),
            promised=VALENCE,
            z=z,
        ),
        checks.worst(
            "shift of the Ni edge, worst sweep (eV)",
            recovered=edges - edges[0],
            truth=truth - truth[0],
            error=np.hypot(error, error[0]),
            promised=EDGE,
            z=z,
        ),
    ]


def _layers(outcome: ThreeOutcome, layer: int) -> list[Check]:
    """Cathode and plated lithium in the tomograms."""
    tomograms = outcome.tomograms
    if not tomograms:
        return [Check("thickness of the cathode (mm)", np.nan, 0.0, LAYER, 0)]
    thickness = np.array(
        [[each.thickness, each.true_size("thickness", layer)] for each in tomograms]
    )
    begin = np.array([[each.begin, each.true_size("begin", layer)] for each in tomograms])
    grown = begin - begin[0]
    axis = np.array([[each.row["axis"], each.true_axis] for each in tomograms], dtype=float)
    unknown = np.zeros(len(tomograms))
    return [
        checks.worst(
            name, recovered=both[:, 0], truth=both[:, 1], error=unknown, promised=promised, z=0.0
        )
        for name, both, promised in (
            ("thickness of the cathode, worst tomogram (mm)", thickness, LAYER),
            ("plated lithium, worst tomogram (mm)", grown, LAYER),
            ("rotation axis, worst tomogram (columns)", axis, AXIS),
        )
    ]


def _state_of_charge(outcome: ThreeOutcome, passport: Mapping[str, Any]) -> list[Check]:
    """The axis that all three share."""
    capacity, area = float(passport["nominal_capacity"]), float(passport["electrode_area"])
    maps, spectra, tomograms = outcome.maps, outcome.spectra, outcome.tomograms
    recovered = [
        *(each.of("state_of_charge") for each in maps),
        spectra.of("state_of_charge"),
        outcome.of_tomograms("state_of_charge"),
    ]
    passed = [
        charges_of(maps) if maps else np.empty(0),
        np.array([each.true_charge()[1] for each in spectra.spectra]),
        np.array([each.true_charge(area) for each in tomograms]),
    ]
    truth = passport["initial_state_of_charge"] + np.concatenate(passed) / capacity
    span = float(np.ptp(truth)) if len(truth) else 0.0
    return [
        checks.worst(
            "state of charge of all three techniques",
            recovered=np.concatenate(recovered),
            truth=truth,
            error=np.zeros(len(truth)),
            promised=checks.STATE_OF_CHARGE,
            z=0.0,
        ),
        Check(
            f"state of charge passed through (at least {_LEAST_SPAN:g})",
            min(span, _LEAST_SPAN),
            _LEAST_SPAN,
            0.0,
            len(truth),
        ),
    ]
