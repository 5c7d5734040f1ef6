"""This file is where the plating demo is held against the hidden truth: metal, graphite and cathode of each pixel,
and what the maps say together.
"""

import numpy as np

from battbeam.demo import checks
from battbeam.demo.checks import Check
from battbeam.demo.plating_outcome import PlatingOutcome, all_of
from battbeam.reduction.cell_maps import COUNTER, PLATED, WORKING, CellMaps
from battbeam.reduction.inventory import capacity_of
from battbeam.reduction.maps import correlation
from battbeam.sim.scenario_cell import Cell
from battbeam.units import FloatArray

#: Comparisons that have an error, in one demo: sets z. Rounded up.
N_COMPARISONS = 2700
#: Promised: relative, of the metal in all; Pearson's r with the truth; of its correlation with lithium in
#: graphite; relative, of the decay; of the capacity, where lithium is.
TOTAL, ALIKE, WITH_LITHIUM, DECAY, CLOSES = 0.05, 0.98, 0.05, 0.10, 0.03
#: Promised of one pixel: mAh/cm2 of metal, y in LiyC6, x.
METAL, GRAPHITE, CATHODE = 0.02, 0.005, 0.005


def judged(
    outcome: PlatingOutcome, cell: Cell, *, whole: CellMaps | None, n_maps: int, n_points: int
) -> list[Check]:
    """Every check.

    Args:
        outcome: What the demo left.
        cell: The hidden truth about it.
        whole: What the maps say together.
        n_maps: That were asked for.
        n_points: Of each.
    """
    z = checks.z_for(N_COMPARISONS)
    found = [*_counted(outcome, n_maps, n_points), *_pixels(outcome, z)]
    if whole is None or len(whole.plated) != n_maps:
        return [*found, Check("maps that say something together", 0.0, 1.0, 0.0, n_maps)]
    return [
        *found,
        _metal(outcome, whole, z),
        *_alike(outcome, whole, z),
        *_law(whole, cell, z),
        *_inventory(outcome, whole, cell, z),
    ]


def _counted(outcome: PlatingOutcome, n_maps: int, n_points: int) -> list[Check]:
    """Every map, and every point of it once."""
    wanted = list(range(n_points))
    whole = sum(each.of("point").astype(int).tolist() == wanted for each in outcome.maps)
    n_valid = sum(len(each.valid) for each in outcome.maps)
    n = n_maps * n_points
    return [
        Check("maps with each of their points once, in order", whole, n_maps, 0.0, n_maps),
        Check("reduced rows, of the points of maps", outcome.n_rows, n, 0.0, n),
        Check("valid patterns", n_valid, n, 0.0, n),
    ]


def _pixels(outcome: PlatingOutcome, z: float) -> list[Check]:
    """Each pattern by itself, and whether its errors are honest."""
    asked = (
        ("lithium metal of a pixel (mAh/cm2)", PLATED, ("areal_moles", "Li"), METAL),
        ("lithium in graphite, y in LiyC6", COUNTER, ("lithium_content_counter",), GRAPHITE),
        ("lithium in the cathode, x", WORKING, ("lithium_content",), CATHODE),
    )
    found = []
    for name, column, keys, promised in asked:
        recovered, error, truth = all_of(outcome.maps, column, *keys)
        if column == PLATED:
            truth = truth * capacity_of(1.0)
        found.append(
            checks.worst(
                f"{name}, worst",
                recovered=recovered,
                truth=truth,
                error=error,
                promised=promised,
                z=z,
            )
        )
        if column != WORKING:
            found += checks.pulls(name, recovered=recovered, truth=truth, error=error, z=z)
    return found


def _metal(outcome: PlatingOutcome, whole: CellMaps, z: float) -> Check:
    """In the whole cell, at each state."""
    true = outcome.hidden.metal
    return checks.worst(
        "lithium metal in the cell, worst state (mAh)",
        recovered=whole.metal.value,
        truth=true,
        error=whole.metal.error,
        promised=np.maximum(TOTAL * true, 1e-3),
        z=z,
    )


def _alike(outcome: PlatingOutcome, whole: CellMaps, z: float) -> list[Check]:
    """The map after the last charge: where metal is, and whether graphite is full there."""
    last = len(whole.plated) - 2
    true = outcome.true_metal(last)
    alike = correlation(whole.plated[last], true)
    lithium = outcome.true_map(last, "lithium_content_counter")
    truly = float(np.corrcoef(lithium.values.ravel(), true.values.ravel())[0, 1])
    together = correlation(whole.plated[last], whole.over_lithiation[last])
    return [
        Check(
            "r of the metal's map with the truth",
            alike.measured,
            1.0,
            1 - ALIKE,
            alike.n,
            alike.error,
        ),
        Check(
            "r of the metal with what graphite has above its mean",
            together.r,
            truly,
            max(WITH_LITHIUM, z * together.error),
            together.n,
            together.error,
        ),
    ]


def _law(whole: CellMaps, cell: Cell, z: float) -> list[Check]:
    """How stripping loses its efficiency."""
    law, found = cell.plating, whole.growth()
    if law is None:
        return []
    onset = float(whole.cycles[1])
    true = law.efficiency * np.exp(-(onset - law.onset_cycle) / law.efficiency_decay)
    return [
        Check("cycle of the onset", found.onset, law.onset_cycle, 1.0, len(found.added)),
        Check(
            "stripping efficiency after the first charge",
            found.first_efficiency,
            float(true),
            max(0.03, z * found.first_efficiency_error),
            1,
            found.first_efficiency_error,
        ),
        Check(
            "decay of the stripping efficiency (1/cycle)",
            found.decay_rate,
            1 / law.efficiency_decay,
            max(DECAY / law.efficiency_decay, z * found.decay_rate_error),
            len(found.added),
            found.decay_rate_error,
        ),
    ]


def _inventory(outcome: PlatingOutcome, whole: CellMaps, cell: Cell, z: float) -> list[Check]:
    """Where all lithium is, and that what is missing is what side reactions took; of the capacity."""
    capacity = float(np.ptp(whole.charge))
    found = whole.inventory(cell_capacity=capacity)
    charge = outcome.hidden.charge
    passed = np.cumsum(np.maximum(np.diff(charge, prepend=charge[0]), 0.0))
    working, counter = cell.coulombic_efficiency, cell.counter.coulombic_efficiency

    def check(name: str, value: FloatArray, error: FloatArray, truth: FloatArray) -> Check:
        return checks.worst(
            name,
            recovered=value / capacity,
            truth=truth / capacity,
            error=error / capacity,
            promised=CLOSES,
            z=z,
        )

    return [
        check(
            "lithium missing, of the capacity",
            found.missing,
            found.missing_error,
            (working - counter) * passed,
        ),
        check(
            "charge that took no lithium from the cathode, of the capacity",
            -found.cathode_gap,
            found.cathode_gap_error,
            (1 - working) * passed,
        ),
        check(
            "charge that brought none to graphite, of the capacity",
            -found.counter_gap,
            found.counter_gap_error,
            (1 - counter) * passed,
        ),
    ]
