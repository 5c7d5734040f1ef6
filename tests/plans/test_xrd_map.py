import itertools
import math

import pytest
from bluesky.callbacks.best_effort import BestEffortCallback
from hypothesis import given
from hypothesis import strategies as st

from battbeam.errors import DeviceError, PreflightError
from battbeam.plans.xrd_map import Axis, axes_of, grid, xrd_map


def mapped(fakes, *args, **options):
    stage = fakes.sample_stage
    args = args or (stage.y, -1, 1, 2, stage.x, -1, 1, 3)
    return xrd_map(
        [fakes.detector],
        *args,
        beam=fakes.beam,
        clock=fakes.clock,
        readables=[stage],
        **{"exposure": 1.0, **options},
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())
def test_a_grid_visits_every_point_once(shape, snake):
    axes = [Axis(None, 0, max(n - 1, 0), n) for n in shape]
    points = list(grid(axes, snake=snake))
    assert len(points) == len(set(points)) == math.prod(shape)


@given(st.lists(st.integers(2, 4), min_size=2, max_size=3))
def test_a_snake_makes_one_step_at_a_time(shape):
    axes = [Axis(None, 0, n - 1, n) for n in shape]
    points = list(grid(axes, snake=True))
    for here, there in itertools.pairwise(points):
        assert sum(abs(a - b) for a, b in zip(here, there, strict=True)) == pytest.approx(1)


def test_a_map_is_a_run_that_says_its_grid(fakes, engine, documents):
    engine(mapped(fakes))
    start = documents.of("start")[0]
    assert start["map"]["axes"] == ["sample_stage_y", "sample_stage_x"]
    assert start["map"]["shape"] == [2, 3]
    assert start["n_points"] == 6
    places = [(e["sample_stage_y"], e["sample_stage_x"]) for e in documents.events()]
    assert places == [(-1, -1), (-1, 0), (-1, 1), (1, 1), (1, 0), (1, -1)]


def test_the_live_table_of_bluesky_knows_what_a_map_is_drawn_against(fakes, engine, capsys):
    best_effort = BestEffortCallback()
    best_effort.disable_plots()
    engine.subscribe(best_effort)
    engine(mapped(fakes))
    header = next(line for line in capsys.readouterr().out.splitlines() if "seq_num" in line)
    assert "sample_stage_y" in header
    assert "sample_stage_x" in header


def test_any_positioner_may_be_an_axis(fakes, engine, documents):
    engine(mapped(fakes, fakes.rotation_stage, 0, 90, 3))
    assert [event["rotation_stage"] for event in documents.events()] == [0, 45, 90]


def test_the_stage_is_put_back(fakes, engine):
    engine(mapped(fakes))
    assert (fakes.sample_stage.x.position, fakes.sample_stage.y.position) == (0.0, 0.0)


def test_a_failure_in_the_middle_leaves_the_beamline_safe(fakes, engine, documents):
    points = []

    def position(wanted, **_):
        points.append(wanted)
        if len(points) == 3:
            raise DeviceError("the drive is gone")
        fakes.sample_stage.x.readback.sim_put(wanted)

    fakes.sample_stage.x.setpoint.sim_set_putter(position)
    with pytest.raises(DeviceError, match="the drive is gone"):
        engine(mapped(fakes))
    assert fakes.beam.shutter.position == 0
    assert points[-1] == 0.0
    assert fakes.sample_stage.y.position == 0.0
    assert documents.of("stop")[0]["exit_status"] == "fail"


def test_a_point_without_beam_is_taken_again_with_the_same_number(fakes, engine, documents):
    cam, hdf, trains = fakes.detector.cam, fakes.detector.hdf, []

    def acquire(value, **_):
        if value:
            trains.append(1)
            if len(trains) == 2:
                fakes.beam.ring_current.sim_put(math.nan)
                fakes.beam.ring_current.sim_put(100.0)
            cam.counter.sim_put(cam.counter.get() + 1)
            hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    engine(mapped(fakes, suspend=False))
    assert [event["point"] for event in documents.events()] == [0, 1, 1, 2, 3, 4, 5]
    assert documents.events()[1]["beam_lost"] == "ring current not known"


@pytest.mark.parametrize(
    ("spoiled", "points", "shutters"),
    [({2}, [0, 1, 1, 2, 3, 4, 5], [1, 0, 1, 1, 1, 1, 1]), ({2, 3}, [0, 1, 1, 2, 3, 4, 5], None)],
)
def test_a_point_whose_shutter_somebody_closed_is_taken_once_more(
    fakes, engine, documents, spoiled, points, shutters
):
    cam, hdf, trains = fakes.detector.cam, fakes.detector.hdf, []

    def acquire(value, **_):
        if value:
            trains.append(1)
            if len(trains) in spoiled:
                fakes.beam.shutter.status.sim_put(0)
            cam.counter.sim_put(cam.counter.get() + 1)
            hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    engine(mapped(fakes))
    events = documents.events()
    assert [event["point"] for event in events] == points
    assert [event["shutter"] for event in events] == (shutters or [1, 0, 0, 1, 1, 1, 1])
    assert {(event["beam_lost"], event["fault"]) for event in events} == {("", "")}
    assert [event["detector_frame"] for event in events] == list(range(7))


def test_a_map_outside_the_limits_is_refused_whole(fakes, engine):
    stage = fakes.sample_stage
    with pytest.raises(PreflightError) as refused:
        engine(mapped(fakes, stage.y, -30, 1, 2, stage.x, -1, 25, 3))
    assert len(refused.value.faults) == 2
    assert stage.x.position == 0.0


def test_a_grid_that_lacks_a_number_is_refused():
    with pytest.raises(ValueError, match="a grid needs motor, start, stop and n_points"):
        axes_of([1, 2, 3])


def test_a_grid_without_points_is_refused(fakes):
    with pytest.raises(ValueError, match="n_points must be a whole number, at least 1, got 0"):
        axes_of([fakes.sample_stage.x, 0, 1, 0])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((-1, 1), "a grid needs motor, start, stop and n_points for each axis"),
        ((-1, 1, 2.5), "n_points must be a whole number, at least 1, got 2.5"),
        (("-1", 1, 3), "start and stop must be numbers, got '-1' and 1"),
        ((math.nan, 1, 3), "start and stop must be numbers, got nan and 1"),
    ],
)
def test_a_grid_that_is_none_is_refused_before_anything_moves(fakes, engine, row, fault):
    with pytest.raises(PreflightError, match=fault):
        engine(mapped(fakes, fakes.sample_stage.x, *row))
    assert fakes.sample_stage.x.position == 0.0
