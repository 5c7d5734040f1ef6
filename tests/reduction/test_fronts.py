"""Fronts that move through radiographs at known speeds."""

import numpy as np
import pytest

from battbeam.errors import ReductionError
from battbeam.reduction.fronts import edges_of, follow_fronts, fronts_of

PIXEL = 0.00025
N_ROWS, N_COLUMNS = 64, 256


def covered(first, last, n):
    """Share of each of n pixels between two edges in pixels."""
    edges = np.arange(n + 1)
    return np.diff(np.clip(edges, first, last)) * (last > first)


def series(rng, *, lateral=2.0, vertical=0.1, n=140, change=-0.05, noise=0.004, from_right=False):
    """Radiographs one second apart: a strip grows from one end, and upwards more slowly."""
    frames = []
    for index in range(n):
        columns = covered(-10, max(index - 2, 0) * lateral, N_COLUMNS)
        rows = covered(20.3, 28.3 + vertical * index, N_ROWS)
        frame = rows[:, None] * columns * change * (1 + index / 400)
        frames.append(0.4 + (frame[:, ::-1] if from_right else frame))
    return np.stack(frames) + noise * rng.normal(size=(n, N_ROWS, N_COLUMNS))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("change", [-0.05, 0.08])
@pytest.mark.parametrize("from_right", [False, True])
def test_the_speed_of_a_lateral_front_is_found_to_two_per_cent(seed, change, from_right):
    frames = series(np.random.default_rng(seed), change=change, from_right=from_right)
    found = follow_fronts(frames, np.arange(140.0), pixel_size=PIXEL)
    speed = (-2.0 if from_right else 2.0) * PIXEL
    assert found.lateral.speed == pytest.approx(speed, rel=0.02)
    assert abs(found.lateral.speed - speed) < 5 * found.lateral.speed_error + 2e-3 * abs(speed)
    assert found.vertical.speed == pytest.approx(0.1 * PIXEL, rel=0.1)
    assert found.anisotropy == pytest.approx(20.0, rel=0.1)
    assert np.sign(found.change[-1]) == np.sign(change)


@pytest.mark.parametrize("lateral", [1.9, 2.4, 3.7])
def test_the_field_is_full_to_a_frame(lateral):
    frames = series(np.random.default_rng(4), lateral=lateral)
    found = follow_fronts(frames, np.arange(140.0), pixel_size=PIXEL)
    assert found.fill_time == pytest.approx(N_COLUMNS / lateral + 2, abs=1.0)


def test_a_field_that_is_not_full_has_no_time_at_which_it_was():
    frames = series(np.random.default_rng(5), lateral=1.0)
    found = follow_fronts(frames, np.arange(140.0), pixel_size=PIXEL)
    assert np.isnan(found.fill_time)
    assert found.lateral.position[100] == pytest.approx(98 * PIXEL, abs=0.5 * PIXEL)


def test_what_grows_upwards_is_faster_upwards():
    frames = series(np.random.default_rng(6), lateral=2.0, vertical=0.1)
    turned = follow_fronts(frames.transpose(0, 2, 1), np.arange(140.0), pixel_size=PIXEL)
    assert turned.anisotropy < 0.2
    assert turned.vertical.speed == pytest.approx(2.0 * PIXEL, rel=0.02)


def test_where_nothing_grows_there_is_no_front():
    rng = np.random.default_rng(7)
    frames = 0.4 + 0.004 * rng.normal(size=(30, N_ROWS, N_COLUMNS))
    with pytest.raises(ReductionError, match="nothing grows"):
        follow_fronts(frames, np.arange(30.0), pixel_size=PIXEL)
    with pytest.raises(ReductionError, match="followed in 3 radiographs or more after 1, got 2"):
        follow_fronts(frames[:3], np.arange(3.0), pixel_size=PIXEL)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("from_right", [False, True])
def test_one_radiograph_says_where_what_is_new_ends_whatever_comes_after(seed, from_right):
    frames = series(np.random.default_rng(seed), from_right=from_right)
    found = [edges_of(frame - frames[0]) for frame in frames]
    ends = np.array([each.columns for each in found])[10:120]
    way = 2.0 * (np.arange(10, 120) - 2)
    front, rear = (ends[:, 0], ends[:, 1]) if from_right else (ends[:, 1], ends[:, 0])
    # Of 8 rows of 0.004 each at an edge of 0.05: a part of a pixel.
    np.testing.assert_allclose(front, N_COLUMNS - way if from_right else way, atol=0.6)
    assert np.all(np.isinf(rear))
    followed = fronts_of(found, np.arange(140.0), pixel_size=PIXEL, n_columns=N_COLUMNS)
    assert abs(followed.lateral.speed) == pytest.approx(2.0 * PIXEL, rel=0.02)
    assert followed.vertical.speed == pytest.approx(0.1 * PIXEL, rel=0.1)
    assert followed.fill_time == pytest.approx(N_COLUMNS / 2 + 2, abs=1.0)


def test_of_a_radiograph_that_shows_nothing_new_no_edge_is_told():
    rng = np.random.default_rng(8)
    for frame in (0.004 * rng.normal(size=(N_ROWS, N_COLUMNS)), np.zeros((N_ROWS, N_COLUMNS))):
        found = edges_of(frame)
        assert np.isnan([*found.columns, *found.rows]).all()
        assert found.change == 0.0


def test_a_field_that_is_blind_for_the_most_part_does_not_make_fronts_up():
    frames = np.zeros((30, N_ROWS, N_COLUMNS))
    frames[:, :10] = series(np.random.default_rng(9), n=30)[:, 20:30]
    found = follow_fronts(frames, np.arange(30.0), pixel_size=PIXEL)
    assert found.lateral.speed == pytest.approx(2.0 * PIXEL, rel=0.05)
