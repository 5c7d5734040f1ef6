"""Rows A2 and A3 without the wire: frames of one history, reduced one by one, beside their truth."""

import numpy as np
import pytest

from battbeam.callbacks.xrd_columns import PhaseColumns
from battbeam.callbacks.xrd_phases import scattering_phases
from battbeam.sim.frame import Exposure, counts
from battbeam.sim.lithium import full_capacity
from battbeam.sim.truth import frame_truth
from tests.rows.offline_frames import Bench, Charged
from tests.rows.plating import (
    EXPOSURE,
    PASSPORT,
    RECIPE,
    SIDE_REACTIONS,
    State,
    cell_maps,
    hidden_of,
    judge_closed,
    judge_missing,
    judge_plating,
    places,
    scenario,
)

pytestmark = pytest.mark.acceptance

#: s of a rest: longer than a map of frames without anything between them.
REST = 400.0


def cycled(cell, path, n_cycles):
    """The history, and when a map begins: before the first charge, and after each half cycle."""
    course, begins = Charged(cell, path), []

    def rest():
        begins.append(course.time + 60.0)
        course.step(REST, current=0.0)

    current = PASSPORT.nominal_capacity * RECIPE["RATE"] * 1e-3
    rest()
    for _ in range(n_cycles):
        course.step(4000.0, until=4.2, current=current)
        rest()
        course.discharge(4000.0, until=2.8, current=-current)
        rest()
    return course.history(), begins


class Maps:
    """Frames of a pouch at 121 points, reduced."""

    def __init__(self, hidden, directory):
        self.bench = Bench(hidden, directory, n_pixels=256, exposure=EXPOSURE, standard=60.0)
        asked = [{"phase": phase} for phase in RECIPE["PHASES"]]
        phases = scattering_phases(asked, PASSPORT, hidden.beam.energy, cell_moves=True)
        content = (PASSPORT.initial_lithium_content, 0.015)
        options = {"initial_lithium_content": content, "displacement": RECIPE["MOVES"]}
        self.reducer = self.bench.reducer(phases, **options)
        self.columns = PhaseColumns(
            phases,
            reflections=(),
            free={},
            end_members=(),
            full_areal_capacity=PASSPORT.theoretical_capacity / PASSPORT.electrode_area,
        )

    def state(self, history, begin, seed):
        rows, truths = [], []
        x, y = places()
        for point, place in enumerate(zip(x, y, strict=True)):
            row, truth = self.point(history, begin + point * EXPOSURE, place, [seed, point])
            rows.append(row | {"point": point})
            truths.append(truth)
        middle = np.array([begin + len(x) * EXPOSURE / 2])
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return State(columns, truths, history.at(middle))

    def point(self, history, start, place, seed):
        hidden, model = self.bench.scenario, self.bench.model
        end = start + EXPOSURE
        shot = Exposure(start, end, *place, hidden.beam.energy, self.bench.instants(start, end))
        expected = model.expected(
            shot, lambda times: history.at(times).lithium_content, hidden=history.at
        )
        rng = np.random.default_rng([hidden.seed, *seed])
        frame = counts(expected.photons, duration=EXPOSURE, detector=hidden.detector, rng=rng)
        result = self.reducer.reduce(
            frame,
            monitor=shot.instants.total * hidden.beam.i0_efficiency,
            transmission=expected.transmission,
        )
        state = history.at(np.array([start, start + EXPOSURE / 2, end]))
        row = self.columns.values(result) | {
            "valid": int(result.valid),
            "capacity": float(state.charge[1]),
            "sample_stage_x": place[0],
            "sample_stage_y": place[1],
            "active_amount": result.active_amount,
            "counter_amount": result.counter_amount,
            "lithium_content_xray": result.lithium_content,
            "lithium_content_xray_error": result.lithium_content_error,
            "lithium_content_counter": result.lithium_content_counter,
            "lithium_content_counter_error": result.lithium_content_counter_error,
        }
        return row, frame_truth(shot, expected, hidden, state)


def found_in(directory, hidden, n_cycles):
    history, begins = cycled(hidden.cells[0], directory / "history.jsonl", n_cycles)
    maps = Maps(hidden, directory)
    return [maps.state(history, begin, seed) for seed, begin in enumerate(begins)]


@pytest.mark.parametrize("seed", [1, 2])
def test_plating_over_fast_cycles_and_all_lithium(tmp_path, seed):
    hidden = scenario(seed=seed)
    assert full_capacity(hidden.cells[0]) == pytest.approx(PASSPORT.theoretical_capacity, rel=5e-3)
    found = found_in(tmp_path, hidden, 6)
    pulls = pixel_pulls(found)
    for name, each in pulls.items():
        print(f"{name}: pulls {each.mean():+.2f} +- {each.std():.2f} of {len(each)}")
        assert abs(each.mean()) < 0.3
        assert 0.7 < each.std() < 1.4
    judge_plating(found, hidden.cells[0].plating)
    judge_onset(found)
    judge_closed(found)


def judge_onset(found):
    """The charge in which metal first was there is told from those before it."""
    first = int(np.argmax(hidden_of(found, "metal")[1::2] > 0))
    maps = cell_maps(found)
    assert first == 1
    assert maps.growth().onset == maps.cycles[1::2][first]


def test_side_reactions_are_missing_in_the_inventory(tmp_path):
    hidden = scenario(seed=3, **SIDE_REACTIONS)
    judge_missing(found_in(tmp_path, hidden, 2), **SIDE_REACTIONS)


def pixel_pulls(found):
    """Of metal and of graphite's lithium, every pixel of every map."""
    metal, graphite = [], []
    for each in found:
        true = np.array([line["areal_moles"]["Li"] for line in each.truths]) * 26801.5
        off = each.rows["plated_areal_capacity"] - true
        metal.append(off / each.rows["plated_areal_capacity_error"])
        true = np.array([line["lithium_content_counter"] for line in each.truths])
        off = each.rows["lithium_content_counter"] - true
        graphite.append(off / each.rows["lithium_content_counter_error"])
    return {"metal": np.concatenate(metal), "graphite": np.concatenate(graphite)}
