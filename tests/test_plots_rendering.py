"""A labelled volume seen from outside: where things are, what hides what, how bright they are."""

import numpy as np
import pytest

from battbeam.plots_rendering import rendered

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
N, WIDTH = 120, 60.0


def ball(labels, place, radius, label):
    axes = np.ogrid[tuple(slice(n) for n in labels.shape)]
    distance = sum((axis - middle) ** 2 for axis, middle in zip(axes, place, strict=True))
    labels[distance < radius**2] = label
    return labels


def seen(labels, elevation, azimuth=0.0):
    return rendered(
        labels, (RED, GREEN), elevation=elevation, azimuth=azimuth, n_pixels=(N, N), width=WIDTH
    )


def empty():
    return np.zeros((51, 51, 51), dtype=np.int8)


@pytest.mark.parametrize("azimuth", [0.0, 70.0])
@pytest.mark.parametrize("elevation", [0.0, 35.0, 90.0])
def test_a_ball_is_a_disc_from_wherever_it_is_seen(elevation, azimuth):
    picture = seen(ball(empty(), (25, 25, 25), 15, 1), elevation, azimuth)
    area = picture[..., 3].sum() * (WIDTH / N) ** 2
    # A ball of voxels is up to half a voxel larger all around.
    assert area == pytest.approx(np.pi * 15**2, abs=2 * np.pi * 15 * 0.5)
    middle = np.argwhere(picture[..., 3] > 0.5).mean(axis=0)
    assert middle == pytest.approx((N - 1) / 2, abs=1.0)


def test_up_is_up_and_right_is_right():
    picture = seen(ball(empty(), (40, 25, 38), 6, 1), 0.0)
    row, column = np.argwhere(picture[..., 3] > 0.5).mean(axis=0)
    assert (row, column) == pytest.approx(((N - 1) / 2 - 15 * 2, (N - 1) / 2 + 13 * 2), abs=1.5)


@pytest.mark.parametrize(("elevation", "nearer"), [(0.0, 0), (90.0, 1)])
def test_what_is_nearer_hides_what_is_behind_it(elevation, nearer):
    labels = ball(empty(), (15, 10, 25), 7, 1)
    if elevation:
        # From above, the higher one.
        labels = ball(ball(empty(), (15, 25, 25), 7, 1), (38, 25, 25), 7, 2)
    else:
        labels = ball(labels, (15, 40, 25), 7, 2)
    picture = seen(labels, elevation)
    there = picture[picture[..., 3] > 0.9]
    assert there[:, nearer].mean() > 0.3
    assert there[:, 1 - nearer].max() < 0.05


def test_a_face_towards_the_lamp_is_brighter_than_one_away_from_it():
    picture = seen(ball(empty(), (25, 25, 25), 18, 1), 0.0)
    upper, lower = picture[N // 2 - 25, N // 2], picture[N // 2 + 25, N // 2]
    assert upper[0] > 1.5 * lower[0]


def test_nothing_is_seen_of_nothing():
    assert not seen(empty(), 30.0).any()
