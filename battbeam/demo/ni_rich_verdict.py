"""This file is where the demo of nickel-rich cathodes is judged, against the hidden cells."""

from collections.abc import Sequence

import numpy as np

from battbeam.demo import checks, verdict
from battbeam.demo.checks import Check
from battbeam.demo.ni_rich_outcome import COMPARED, Charge
from battbeam.materials import lattice_edges
from battbeam.sim.fatigue import fatigued_fraction, rest_content
from battbeam.sim.scenario import Cell, Detector
from battbeam.units import FloatArray

#: What the method promises: c and mm of displacement in a row, the share of grains that stopped, V of the
#: collapse, and that the oxide with less nickel has less than this share of it.
EDGE, DISPLACEMENT, FRACTION, VOLTAGE, LESS = 0.002, 0.02, 0.02, 0.010, 0.2
#: V above which patterns are denser, and how much.
LEVEL, DENSER = 4.1, 5.0
# Widths between both 003 lines below which nothing may be said, with room for a width that is measured.
_APART = 0.95
# Of rows with both lines told apart, and of comparisons that have an error.
_LEAST_APART, _N_COMPARISONS = 5, 400


def judged(
    charges: Sequence[Charge], cells: Sequence[Cell], detector: Detector, upper_voltage: float
) -> list[Check]:
    """Every check of the demo.

    Args:
        charges: What it left, cell by cell.
        cells: The hidden ones, in the same order.
        detector: Of the scenario.
        upper_voltage: V, of the recipe's protocol.
    """
    z = checks.z_for(_N_COMPARISONS)
    found = [verdict.valid_frames([charge.measured for charge in charges])]
    for charge in charges:
        reached = [
            step["until_voltage_V"]
            for step in charge.start["protocol"]["method"]
            if "until_voltage_V" in step
        ]
        found.append(Check(f"{charge.oxide}: upper voltage (V)", max(reached), upper_voltage, 0.0))
        found += [_density(charge), *_lattice(charge, z), *_stopped(charge, detector, z)]
    return found + _collapses(charges, cells)


def _density(charge: Charge) -> Check:
    """Median time between slots below the level over that above."""
    dues = charge.rules["due"].to_numpy().astype(float)
    above = charge.history.at(dues).voltage > LEVEL
    apart = np.diff(dues)
    ratio = np.median(apart[~above[1:]]) / np.median(apart[above[:-1]])
    name = f"{charge.oxide}: patterns above {LEVEL:g} V, times as dense as below"
    return Check(name, float(ratio), DENSER, 1e-6, len(dues))


def _lattice(charge: Charge, z: float) -> list[Check]:
    c = {"recovered": charge.of("lattice_{}_c"), "truth": charge.expected_edge}
    error, shared = charge.of("lattice_{}_c_error"), charge.of("lattice_{}_c_shared_error")
    own, name = checks.own_errors(error, shared), f"{charge.oxide}: c"
    alike = float(np.median(shared))
    return [
        checks.worst(f"{name}, worst row (angstrom)", **c, error=error, promised=EDGE, z=0.0),
        *checks.alike_and_apart(
            name, **c, own=own, shared=alike, unit="angstrom", promised=0.0, z=z
        ),
        checks.worst(
            f"{charge.oxide}: displacement, worst row (mm)",
            recovered=charge.of("displacement"),
            truth=charge.true("displacement"),
            error=charge.of("displacement_error"),
            promised=DISPLACEMENT,
            z=z,
        ),
    ]


def _stopped(charge: Charge, detector: Detector, z: float) -> list[Check]:
    """The share of grains that stopped, where it is said, and that it is not said too early."""
    share = charge.of("fatigued_fraction_{}")
    told = np.isfinite(share)
    early = int(np.count_nonzero(told & (_widths_apart(charge, detector) < _APART)))
    found = [
        Check(
            f"{charge.oxide}: rows that say more than their lines do", early, 0.0, 0.0, len(share)
        )
    ]
    if charge.oxide != "NMC90":
        # Its grains never come so far.
        name = f"{charge.oxide}: rows with grains that stopped"
        return [*found, Check(name, int(told.sum()), 0.0, 0.0, len(share))]
    values = {
        "recovered": share[told],
        "truth": charge.true("fatigued", "phase_fraction", "{}")[told],
        "error": charge.of("fatigued_fraction_{}_error")[told],
    }
    least = float(min(told.sum(), _LEAST_APART))
    return [
        *found,
        Check(
            f"{charge.oxide}: rows with both lines (at least {_LEAST_APART})",
            least,
            float(_LEAST_APART),
            0.0,
            int(told.sum()),
        ),
        checks.worst(
            f"{charge.oxide}: share of grains that stopped, worst row",
            **values,
            promised=FRACTION,
            z=0.0,
        ),
        *checks.pulls(f"{charge.oxide}: share that stopped", **values, z=z),
    ]


def _widths_apart(charge: Charge, detector: Detector) -> FloatArray:
    """Between both 003 lines in the truth."""
    angle = charge.true("two_theta", "{}", "003")
    stopped = charge.true("fatigued", "two_theta", "{}", "003")
    width = detector.peak_width + detector.peak_width_slope * np.tan(np.radians(angle) / 2)
    return np.asarray(np.nan_to_num(np.abs(angle - stopped) / width))


def true_collapse(charge: Charge, cell: Cell) -> tuple[float, float]:
    """V at which half of the fall of c is over and its depth, angstrom, by the hidden cell alone."""
    slow = charge.is_slow
    times = charge.measured.valid.of("time_start")[slow]
    state = charge.history.at(np.arange(times[0], times[-1] + 60.0, 2.0))
    content = state.lithium_content
    if cell.fatigue is not None:
        fraction = fatigued_fraction(cell.fatigue, state.cycles)
        content = rest_content(content, fraction, cell.fatigue)
    below = state.voltage <= COMPARED
    c = lattice_edges(charge.oxide, content[below])[:, 1]
    top = int(np.argmax(c))
    depth = float(c[top] - c[-1])
    voltage = np.interp(-(c[top] - depth / 2), -c[top:], state.voltage[below][top:])
    return float(voltage), depth


def _collapses(charges: Sequence[Charge], cells: Sequence[Cell]) -> list[Check]:
    found = {charge.oxide: charge.collapse for charge in charges}
    truth = {
        charge.oxide: true_collapse(charge, cell)
        for charge, cell in zip(charges, cells, strict=True)
    }
    rich, poor = found["NMC90"], found["NMC622"]
    ratio, true_ratio = poor.depth / rich.depth, truth["NMC622"][1] / truth["NMC90"][1]
    return [
        Check(
            "NMC90: voltage at which half of the collapse is over (V)",
            rich.voltage,
            truth["NMC90"][0],
            VOLTAGE,
            1,
            rich.voltage_error,
        ),
        Check(
            f"NMC90: depth of the collapse at {COMPARED:g} V (angstrom)",
            rich.depth,
            truth["NMC90"][1],
            0.05 * truth["NMC90"][1],
            1,
            rich.depth_error,
        ),
        Check(f"NMC622: its collapse, share of NMC90's at {COMPARED:g} V", ratio, true_ratio, 0.02),
        Check(f"NMC622: that share, at most {LESS:g}", max(ratio, LESS), LESS, 0.0),
    ]
