"""What the rows on plating share: maps of a pouch, each beside the hidden cell, and how they are judged."""

import runpy
from dataclasses import dataclass

import numpy as np
import pytest

from battbeam.experiment.cell import CellPassport
from battbeam.reduction.cell_maps import CellMaps
from battbeam.reduction.maps import Map, correlation
from battbeam.reduction.plating_growth import MetalOfCycles, growth
from battbeam.session import example_path
from battbeam.sim.history import HiddenState
from battbeam.sim.scenario import Scenario
from tests.rows.spectra import SCENARIOS

RECIPE = runpy.run_path(str(example_path("plans/pouch_plating_maps.py")))
PASSPORT = CellPassport.read(RECIPE["PASSPORT"])
N, EXPOSURE = 11, 2.0
#: mAh: what the cell gives.
CAPACITY = PASSPORT.nominal_capacity
#: Coulombic efficiencies of cathode and graphite in the row with side reactions.
SIDE_REACTIONS = {"working": 0.99, "counter": 0.96}
#: Row A2: relative, of the metal in all; Pearson's r with the truth; of its correlation with what
#: graphite has more than its mean; relative, of the decay; cycles, of the onset.
TOTAL, ALIKE, WITH_LITHIUM, DECAY, ONSET = 0.05, 0.98, 0.05, 0.10, 1.0
#: Row A3: of the capacity.
CLOSES = 0.03


def scenario(*, working=1.0, counter=1.0, **changes):
    document = Scenario.read(SCENARIOS / "pouch_plating.toml").model_dump() | changes
    (cell,) = document["cells"]
    cell["coulombic_efficiency"] = working
    cell["counter"]["coulombic_efficiency"] = counter
    return Scenario.model_validate(document)


def places():
    """x and y of the points of a map, in order."""
    half = RECIPE["HALF_WIDTH"]
    line = np.linspace(-half, half, N)
    x = np.concatenate([line[::-1] if row % 2 else line for row in range(N)])
    return x, np.repeat(line, N)


@dataclass(frozen=True)
class State:
    """One map: reduced rows by column, the truth of each frame, the hidden cell."""

    rows: dict
    truths: list
    hidden: HiddenState

    def true_map(self, value):
        """Of what a line of the truth says."""
        rows = {**self.rows, "true": np.array([value(line) for line in self.truths])}
        return Map.of({**rows, "true_error": np.zeros(len(self.truths))}, "true")


def cell_maps(found):
    """What the maps say together, with what the passport says."""
    return CellMaps.of(
        [each.rows for each in found],
        area=PASSPORT.electrode_area,
        working_capacity=PASSPORT.theoretical_capacity,
    )


def hidden_of(found, name):
    return np.array([float(getattr(each.hidden, name)[0]) for each in found])


def judge_plating(found, law):
    """Row A2."""
    maps = cell_maps(found)
    judge_metal(maps, hidden_of(found, "metal"))
    judge_maps(found, maps)
    judge_growth(maps, law, hidden_of(found, "metal"))


def judge_metal(maps, true):
    """In all, at each state."""
    off = maps.metal.value - true
    pulls = off / maps.metal.error
    print(f"metal {maps.metal.value.round(3)} +- {maps.metal.error.round(3)} mAh")
    print(f"   of {true.round(3)}, pulls {pulls.mean():+.2f} +- {pulls.std():.2f}")
    assert (np.abs(off) <= np.maximum(TOTAL * true, 3 * maps.metal.error)).all()
    # After each charge from the onset on, 5 % are more than three of its errors.
    assert (maps.metal.error[3::2] < TOTAL / 3 * true[3::2]).all()
    assert abs(pulls.mean()) < 3 / np.sqrt(len(pulls))
    assert 0.4 < pulls.std() < 1.7


def judge_maps(found, maps):
    """After each charge from the onset on."""
    for number in range(3, len(found), 2):
        true = found[number].true_map(lambda line: line["areal_moles"]["Li"])
        alike = correlation(maps.plated[number], true)
        lithium = found[number].true_map(lambda line: line["lithium_content_counter"])
        truly = np.corrcoef(lithium.values.ravel(), true.values.ravel())[0, 1]
        together = correlation(maps.plated[number], maps.over_lithiation[number])
        print(
            f"map {number}: r {alike.measured:.4f}, {alike.r:.4f} +- {alike.error:.4f} without noise; "
            f"with lithium in graphite {together.r:+.3f} +- {together.error:.3f}, truly {truly:+.3f}"
        )
        assert alike.measured >= ALIKE
        assert abs(alike.r - 1) < max(4 * alike.error, 0.003)
        assert together.r == pytest.approx(truly, abs=WITH_LITHIUM)
        # It is small; that there is none would not do.
        assert abs(together.r - truly) < max(4 * together.error, 0.01)
        assert number < 7 or together.r > 4 * together.error


def law_of(maps, true):
    """Growth of the metal that truly was there, each map as important as its error makes it."""
    error = maps.metal.error
    return growth(
        MetalOfCycles(maps.cycles[1::2], true[1::2], error[1::2], true[2::2], error[2::2])
    )


def judge_growth(maps, law, true):
    found, exact = maps.growth(), law_of(maps, true)
    print(f"onset {found.onset:.2f} of {law.onset_cycle}; decay {found.decay:.3f} +- ", end="")
    print(f"{found.decay_error:.3f} of {law.efficiency_decay} cycles")
    print(f"efficiencies {found.efficiency.round(3)} +- {found.efficiency_error.round(3)}")
    print(f"autocatalysis {found.autocatalysis:.3f} +- {found.autocatalysis_error:.3f}")
    assert found.onset == pytest.approx(law.onset_cycle, abs=ONSET)
    assert found.decay == pytest.approx(law.efficiency_decay, rel=DECAY)
    assert found.autocatalysis > 3 * found.autocatalysis_error
    # Both stages of the growth are those of the hidden cell, cycle by cycle.
    for name in ("nucleation", "autocatalysis", "first_efficiency"):
        wanted, error = getattr(exact, name), getattr(found, f"{name}_error")
        print(f"{name} {getattr(found, name):.4f} +- {error:.4f} of {wanted:.4f}")
        assert abs(getattr(found, name) - wanted) < 4 * error


def judge_closed(found):
    """Row A3, without side reactions."""
    inventory = cell_maps(found).inventory(cell_capacity=CAPACITY)
    say(inventory)
    assert inventory.closes_within(CLOSES)
    assert np.abs(inventory.cathode_gap).max() < CLOSES * CAPACITY
    assert np.abs(inventory.counter_gap).max() < CLOSES * CAPACITY
    pulls = inventory.missing[1:] / inventory.missing_error[1:]
    print(f"pulls of the closure {pulls.mean():+.2f} +- {pulls.std():.2f}")
    assert np.abs(pulls).max() < 4


def judge_missing(found, *, working, counter):
    """Row A3, with side reactions: it fails to close by what they took."""
    inventory = cell_maps(found).inventory(cell_capacity=CAPACITY)
    say(inventory)
    charge = hidden_of(found, "charge")
    passed = np.cumsum(np.maximum(np.diff(charge, prepend=charge[0]), 0.0))
    truth = {
        "cathode_gap": -(1 - working) * passed,
        "counter_gap": -(1 - counter) * passed,
        "missing": (working - counter) * passed,
    }
    assert not inventory.closes_within(CLOSES)
    for name, true in truth.items():
        apart = getattr(inventory, name) - true
        pulls = apart[1:] / getattr(inventory, f"{name}_error")[1:]
        print(f"{name}: off by {np.abs(apart).max() / CAPACITY:.4f}, pulls {pulls.round(2)}")
        assert np.abs(apart).max() < CLOSES * CAPACITY
        assert np.abs(pulls).max() < 4
    assert inventory.missing[-1] / inventory.missing_error[-1] > 5


def say(inventory):
    print("closure", inventory.closure.round(4), "+-", inventory.closure_error.round(4))
