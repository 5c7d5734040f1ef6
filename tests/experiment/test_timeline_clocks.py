"""Clocks that disagree, over a simulated day of events: what the timeline makes of them, and what a
match by nearest neighbour does.
"""

import json
import math

import numpy as np
import pytest

from battbeam.callbacks.xrd_row import RowSchema
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.clock_relation import clock_relation, marker_check
from battbeam.experiment.nearest_neighbour import matched
from battbeam.experiment.timeline import CellTimeline

START, CAPACITY = 1_750_000_000.0, EXAMPLE["nominal_capacity"]
CURRENT = CAPACITY * 1e-3  # 1C
OFFSET, DRIFT, JITTER = 120.0, 50e-6, 0.1
DAY, LEG = 86_400.0, 3000.0


def current(time):
    """Up and down at 1C."""
    return np.where((np.asarray(time) // LEG) % 2 == 0, CURRENT, -CURRENT)


def state_of_charge(time):
    into = np.asarray(time) % (2 * LEG)
    return np.where(into < LEG, into, 2 * LEG - into) / 3600.0


def device(time):
    return START + time + OFFSET + DRIFT * time


def day(path, *, knows_clock=True, seed=5) -> CellLog:
    """What a guard writes in a day: a record every 10 s and at edges, a comparison every 30 s."""
    rng = np.random.default_rng(seed)
    edges = np.arange(LEG, DAY, LEG)
    times = np.sort(np.concatenate([np.arange(0.0, DAY, 10.0), edges - 1e-3]))
    lines = [{"kind": "mount", "time": START, "cell_run": "run", "passport": dict(EXAMPLE)}]
    next_comparison, first = 0.0, True
    for sequence, time in enumerate(times):
        sample = {"kind": "sample", "source": "file", "time": device(time), "sequence": sequence}
        sample |= {"voltage": 3.4, "current": float(current(time))}
        sample |= {"charge": float(state_of_charge(time)) * CAPACITY, "step_index": 0}
        lines.append({**sample, "step_count": 1 + int(time // LEG), "cycle_number": 1})
        if time >= next_comparison:
            next_comparison = time + 30.0
            session = START + time
            shown = device(time) + JITTER * rng.standard_normal() if knows_clock else session
            uncertainty = JITTER if knows_clock else 1e-3
            if knows_clock or first:
                compared = {"device_time": shown, "session_time": session}
                lines.append(
                    {"kind": "clock", "time": session, **compared, "uncertainty": uncertainty}
                )
            first = False
        lines.append({"kind": "watermark", "time": START + time, "complete_to": START + time})
    with path.open("w") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
    log = CellLog(path)
    log.refresh()
    return log


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return day(tmp_path_factory.mktemp("day") / "log.jsonl")


@pytest.fixture(scope="module")
def exposures():
    """Start and end, s of the day; none over a turn."""
    rng = np.random.default_rng(1)
    starts = rng.uniform(3600.0, DAY - 400.0, 300)
    return [(t, t + 20.0) for t in starts if 130.0 < t % LEG < LEG - 150.0]


def errors(log, exposures):
    timeline = CellTimeline(log)
    found = [timeline.at(START + start, START + end) for start, end in exposures]
    truth = [float(state_of_charge(0.5 * (start + end))) for start, end in exposures]
    return np.array([f.middle.state_of_charge - t for f, t in zip(found, truth, strict=True)])


def test_over_a_day_the_clock_is_recovered_and_so_is_the_state_of_charge(recorded, exposures):
    timeline = CellTimeline(recorded)
    off = []
    for start, end in exposures:
        clock = timeline.at(START + start, START + end).clock
        off.append(clock.device_time(START + end) - device(end))
    print(f"clock: largest error {np.max(np.abs(off)):.4f} s")
    assert np.max(np.abs(off)) < 0.05
    found = errors(recorded, exposures)
    print(f"state of charge: largest error {np.max(np.abs(found)):.1e}")
    assert np.max(np.abs(found)) < 1e-4


def test_without_the_relation_it_is_wrong_by_the_expected_amount(tmp_path, exposures):
    found = errors(day(tmp_path / "log.jsonl", knows_clock=False), exposures)
    middles = np.array([0.5 * (start + end) for start, end in exposures])
    expected = -np.sign(current(middles)) * (OFFSET + DRIFT * middles) / 3600.0
    assert found == pytest.approx(expected, abs=2e-4)
    assert np.min(np.abs(found)) > 0.03


def test_nearest_neighbour_is_wrong_by_offset_and_half_a_record(recorded, exposures):
    middles = np.array([0.5 * (start + end) for start, end in exposures])
    rows = matched(recorded.samples["time"], START + middles)
    found = recorded.samples["charge"][rows] / CAPACITY - state_of_charge(middles)
    print(f"nearest neighbour: largest error {np.max(np.abs(found)):.3f}")
    assert np.median(np.abs(found)) == pytest.approx(OFFSET / 3600.0, rel=0.05)


def test_nearest_neighbour_takes_the_nearest_and_refuses_an_empty_log():
    times = np.array([0.0, 1.0, 5.0])
    assert matched(times, np.array([0.4, 0.6, 2.9, 3.1])).tolist() == [0, 1, 1, 2]
    assert matched(times[:1], np.array([9.0])).tolist() == [0]
    with pytest.raises(ValueError, match="no rows"):
        matched(times[:0], np.array([1.0]))


def test_a_marker_agrees_with_a_good_relation_and_finds_a_bad_one_out():
    rng = np.random.default_rng(2)
    times = np.arange(0.0, 3600.0, 30.0)
    compared = device(times) + JITTER * rng.standard_normal(len(times))
    sigma = np.full(len(times), JITTER)
    good = clock_relation(device_time=compared, session_time=START + times, uncertainty=sigma)
    bad = clock_relation(device_time=compared + 0.5, session_time=START + times, uncertainty=sigma)
    marks = np.array([600.0, 3000.0])
    seen = {"device_time": device(marks), "session_time": START + marks, "uncertainty": [0.01] * 2}
    assert marker_check(good, **seen).is_consistent
    assert not marker_check(bad, **seen).is_consistent
    assert marker_check(bad, **seen).residual == pytest.approx(-0.5, abs=0.1)
    nothing = marker_check(good, device_time=[], session_time=[], uncertainty=[])
    assert math.isnan(nothing.residual)
    assert not nothing.is_consistent


def test_charge_of_the_log_and_lithium_of_the_rays_are_columns_apart():
    columns = RowSchema([], reflections=(), n_bins=1, positions={}).data_keys()
    for quantity in ("voltage", "current", "capacity", "state_of_charge"):
        assert {f"{quantity}_start", quantity, f"{quantity}_end"} <= set(columns)
    assert {"smear", "lithium_content_charge", "lithium_content_xray"} <= set(columns)
