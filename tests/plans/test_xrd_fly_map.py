import math

import numpy as np
import pytest
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.utils import RunEngineInterrupted

from battbeam.devices import frame_flyer
from battbeam.errors import PreflightError
from battbeam.experiment.dose import DoseBudget
from battbeam.plans.xrd_fly_map import period_faults, xrd_fly_map


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)


def mapped(fakes, *args, **options):
    stage = fakes.sample_stage
    args = args or (stage.y, -1, 1, 3, stage.x, -1, 1, 11)
    return xrd_fly_map(
        fakes.fly_detector,
        *args,
        beam=fakes.beam,
        clock=fakes.clock,
        readables=[stage],
        **{"exposure": 0.5, **options},
    )


def test_a_map_is_a_train_a_row_to_and_fro(fakes, engine, documents):
    engine(mapped(fakes))
    rows = documents.events("trains")
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert [row["role"] for row in rows] == ["map"] * 3
    assert [(row["position_first"], row["position_last"]) for row in rows] == [
        (-1.0, 1.0),
        (1.0, -1.0),
        (-1.0, 1.0),
    ]
    assert [row["n_frames"] for row in rows] == [11] * 3
    assert [row["sample_stage_y"] for row in rows] == [-1.0, 0.0, 1.0]


def test_a_map_without_a_snake_goes_one_way(fakes, engine, documents):
    engine(mapped(fakes, snake=False))
    assert {row["position_first"] for row in documents.events("trains")} == {-1.0}


def test_the_start_document_says_the_grid_and_how_it_is_flown(fakes, engine, documents):
    engine(mapped(fakes))
    start = documents.of("start")[0]
    assert start["plan_name"] == "xrd_fly_map"
    assert start["detectors"] == ["detector"]
    assert start["n_points"] == 33
    said = start["map"]
    assert said["mode"] == "fly"
    assert said["axes"] == ["sample_stage_y", "sample_stage_x"]
    assert (said["shape"], said["snaked"]) == ([3, 11], True)
    # As fast as the detector follows a stage that is uneven by 1 %.
    assert said["speed"] == pytest.approx(0.2 / 0.505)
    assert said["way"] == pytest.approx(0.2 / 1.01)


def test_the_live_table_of_bluesky_can_read_the_run(fakes, engine, capsys, caplog):
    best_effort = BestEffortCallback()
    best_effort.disable_plots()
    engine.subscribe(best_effort)
    engine(mapped(fakes))
    assert "New stream: 'trains'" in capsys.readouterr().out
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_stage_travels_as_before_and_is_put_back(fakes, engine):
    x, y = fakes.sample_stage.x, fakes.sample_stage.y
    y.set(0.3).wait()
    speeds = []
    x.velocity.subscribe(lambda value, **_: speeds.append(value), run=False)
    engine(mapped(fakes, speed=0.1))
    assert (x.position, y.position) == (0.0, 0.3)
    assert set(np.round(speeds, 9)) == {0.1, 1.0}
    assert speeds[-1] == 1.0
    assert fakes.map_pulses.arm.get() == 0
    assert fakes.detector.cam.trigger_mode.get() == 0


def test_pulses_stand_half_an_exposures_way_before_each_point(fakes, engine):
    engine(mapped(fakes, fakes.sample_stage.x, -1, 1, 11, period=1.0))
    # 0.2 mm a s for half a s is 0.1 mm.
    assert fakes.map_pulses.start.get() == pytest.approx(-1.05)
    assert fakes.map_pulses.step.get() == pytest.approx(0.2)


def test_a_speed_and_a_period_must_fit_the_spacing(fakes, engine):
    assert period_faults(-0.2, speed=0.2, period=1.0) == []
    with pytest.raises(PreflightError, match=r"0.3 mm/s for 1 s is 0.3 mm, and points are 0.2 mm"):
        engine(mapped(fakes, speed=0.3, period=1.0))
    assert fakes.sample_stage.x.position == 0.0


def test_a_detector_that_cannot_follow_is_refused(fakes, engine):
    with pytest.raises(PreflightError, match=r"too fast: a pulse comes every 0\.4 s"):
        engine(mapped(fakes, period=0.4))


def test_rows_are_flown_along_x_only(fakes, engine):
    stage = fakes.sample_stage
    with pytest.raises(PreflightError, match="rows are flown along sample_stage_x"):
        engine(mapped(fakes, stage.x, -1, 1, 3, stage.y, -1, 1, 11))


def test_a_way_to_set_out_beyond_the_limits_is_refused(fakes, engine):
    # The points lie within, the taxi before the first does not.
    with pytest.raises(PreflightError, match=r"sample_stage_x: -20.* outside its limits"):
        engine(mapped(fakes, fakes.sample_stage.x, -20, -18, 11))


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"period": None, "speed": 0.0}, "speed must be above 0 mm/s, got 0 mm/s"),
        ({"period": None, "speed": -1.0}, "speed must be above 0 mm/s, got -1 mm/s"),
        ({"period": 0.0}, "period must be above 0 s, got 0 s"),
        ({"exposure": math.nan}, "exposure must be greater than 0 s, got nan s"),
    ],
)
def test_what_is_not_above_0_is_refused_by_its_name(fakes, engine, asked, fault):
    with pytest.raises(PreflightError, match=fault) as refused:
        engine(mapped(fakes, **asked))
    assert len(refused.value.faults) == 1


def test_a_row_of_one_point_is_refused(fakes, engine):
    with pytest.raises(PreflightError, match="at least two points"):
        engine(mapped(fakes, fakes.sample_stage.x, -1, 1, 1))


def test_a_row_without_beam_is_flown_again_with_the_same_number(fakes, engine, documents):
    go, moves = fakes.sample_stage.x.setpoint._put_func, []

    def lossy(position, **how):
        moves.append(position)
        # Two moves a row: to where it sets out, and along.
        if len(moves) == 4:
            fakes.beam.ring_current.sim_put(math.nan)
            fakes.beam.ring_current.sim_put(100.0)
        go(position, **how)

    fakes.sample_stage.x.setpoint.sim_set_putter(lossy)
    engine(mapped(fakes, suspend=False))
    rows = documents.events("trains")
    assert [row["row"] for row in rows] == [0, 1, 1, 2]
    assert [bool(row["beam_lost"]) for row in rows] == [False, True, False, False]


def test_a_row_whose_shutter_somebody_closed_is_flown_once_more(fakes, engine, documents):
    go, moves = fakes.sample_stage.x.setpoint._put_func, []

    def darkened(position, **how):
        moves.append(position)
        if len(moves) == 4:
            fakes.beam.shutter.status.sim_put(0)
        go(position, **how)

    fakes.sample_stage.x.setpoint.sim_set_putter(darkened)
    engine(mapped(fakes))
    rows = documents.events("trains")
    assert [row["row"] for row in rows] == [0, 1, 1, 2]
    assert [row["shutter"] for row in rows] == [1, 0, 1, 1]
    assert len(documents.of("stream_resource")) == 2


def test_a_pause_repeats_the_row_and_no_other(fakes, engine, documents):
    flown = []
    go = fakes.fly_detector._go

    def slow(flight, cancelled):
        flown.append(flight)
        if len(flown) == 2:
            engine.request_pause()
            cancelled.wait(10)
            return ""
        return go(flight, cancelled)

    fakes.fly_detector._go = slow
    with pytest.raises(RunEngineInterrupted):
        engine(mapped(fakes))
    fakes.fly_detector.land()
    assert fakes.beam.shutter.position == 0
    engine.resume()
    rows = documents.events("trains")
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert [row["n_frames"] for row in rows] == [11] * 3
    assert len(flown) == 4


def test_a_budget_that_would_move_the_row_is_refused(fakes, engine):
    budget = DoseBudget(fluence=1e12, at_limit="attenuate")
    with pytest.raises(PreflightError, match="must be stop"):
        engine(mapped(fakes, budget=budget))
