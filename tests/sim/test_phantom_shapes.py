"""Chords against closed forms, and against points that are asked for one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest

from battbeam.sim.phantom_outlines import Disc, HalfDisc, Rectangle
from battbeam.sim.phantom_shapes import Ellipsoid, Grid, Prism

TILTED = (
    (math.cos(0.5), math.sin(0.5), 0.0),
    (-math.sin(0.5) * math.cos(0.7), math.cos(0.5) * math.cos(0.7), math.sin(0.7)),
    (math.sin(0.5) * math.sin(0.7), -math.cos(0.5) * math.sin(0.7), math.cos(0.7)),
)
SHAPES = {
    "rectangle": Prism(Rectangle(0.21, -0.3, 1.0, 0.4, 0.6), -1.0, 1.0),
    "disc": Prism(Disc(0.21, 0.5, 0.7), -1.0, 1.0),
    "half disc": Prism(HalfDisc(0.21, 0.1, 0.8, 0.9), -1.0, 1.0),
    "half disc seen along its edge": Prism(HalfDisc(0.21, 0.1, 0.8, 0.3 + math.pi / 2), -1.0, 1.0),
    "ellipsoid": Ellipsoid((0.11, 0.05, -0.2), (0.9, 0.3, 0.5), TILTED),
    "bowl": Ellipsoid((0.11, 0.05, -0.2), (0.9, 0.3, 0.5), TILTED, high=0.15),
}


def grid(*, half=1.5, height=1.2, n=60):
    return Grid(np.linspace(-half, half, n + 1), np.linspace(-height, height, n + 1))


def chords(shape, where, omega):
    if isinstance(shape, Prism):
        return np.outer(shape.row_shares(where), shape.column_chords(where, omega))
    full = np.zeros(where.shape)
    if (patch := shape.patch(where, omega)) is not None:
        full[patch.rows, patch.columns] = patch.chords
    return full


def counted_chord(shape, u, y, omega):
    """Length of a ray in a shape, by points along it."""
    along = np.linspace(-3, 3, 40_001)
    x = u * math.cos(omega) - along * math.sin(omega)
    z = u * math.sin(omega) + along * math.cos(omega)
    return shape.holds(x, np.full_like(x, y), z).sum() * (along[1] - along[0])


@pytest.mark.parametrize("omega", [0.3, 1.2, 2.9, -1.0])
@pytest.mark.parametrize("name", SHAPES)
def test_a_chord_is_the_length_of_the_points_that_a_ray_has_in_a_shape(name, omega):
    shape, narrow = SHAPES[name], 1e-5
    for u in np.linspace(-1.3, 1.3, 15):
        where = Grid(np.array([u - narrow, u + narrow]), np.array([0.1 - narrow, 0.1 + narrow]))
        # points are 0.15e-3 apart, and a ray enters and leaves between two of them
        assert chords(shape, where, omega)[0, 0] == pytest.approx(
            counted_chord(shape, u, 0.1, omega), abs=4e-4
        )


@pytest.mark.parametrize("shape", [Disc(0.3, -0.2, 0.0), HalfDisc(0.3, -0.2, 0.0, 0.7)])
def test_the_whole_of_a_disc_lies_left_of_what_is_right_of_it_whatever_its_radius(shape):
    # Of one radius in two thousand the square is rounded another way by a power than by a product.
    share = 1.0 if isinstance(shape, Disc) else 0.5
    for radius in np.random.default_rng(1).uniform(1.0, 8.0, 10_000).tolist():
        left, right = replace(shape, radius=radius).area_left(np.array([-9.0, 9.0]), omega=0.4)
        assert right - left == pytest.approx(share * np.pi * radius**2, rel=1e-12)


def test_a_sphere_has_the_mean_of_its_chords_in_a_pixel():
    radius, n = 0.7, 400
    where = Grid(np.array([0.1, 0.35]), np.array([-0.05, 0.2]))
    u, y = np.meshgrid(
        0.1 + 0.25 * (np.arange(n) + 0.5) / n, -0.05 + 0.25 * (np.arange(n) + 0.5) / n
    )
    mean = (2 * np.sqrt(radius**2 - u**2 - y**2)).mean()
    found = chords(Ellipsoid.sphere((0.0, 0.0, 0.4), radius), where, math.pi)
    # two Gauss points along y, in a pixel as large as a third of the radius
    assert found[0, 0] == pytest.approx(mean, rel=1e-4)


def test_a_box_that_is_turned_by_45_degrees_casts_a_triangle():
    where = grid(n=600)
    found = Prism(Rectangle(0, 0, 1.0, 1.0), -1, 1).column_chords(where, math.pi / 4)
    middle = (where.u[:-1] + where.u[1:]) / 2
    wanted = np.maximum(math.sqrt(2) - 2 * np.abs(middle), 0)
    assert np.abs(found - wanted).max() < 0.003


def test_a_box_that_is_not_turned_fills_a_pixel_at_its_edge_by_its_share():
    where = Grid(np.array([0.0, 0.4, 0.8]), np.array([0.0, 1.0]))
    found = chords(Prism(Rectangle(0.0, 0.0, 1.0, 0.3), 0.75, 2.0), where, 0.0)
    np.testing.assert_allclose(found[0], [0.3 * 0.25, 0.3 * 0.25 * 0.25])


@pytest.mark.parametrize("omega", [0.0, 0.4, math.pi / 2, 4.0])
def test_a_shadow_holds_the_volume_whatever_the_angle_and_the_pixels(omega):
    volumes = {
        "rectangle": 0.4 * 2,
        "disc": math.pi * 0.49 * 2,
        "half disc": math.pi * 0.32 * 2,
        "half disc seen along its edge": math.pi * 0.32 * 2,
        "ellipsoid": 4 / 3 * math.pi * 0.9 * 0.3 * 0.5,
    }
    for n in (7, 60):
        where = grid(n=n)
        pixel = np.diff(where.u)[0] * np.diff(where.y)[0]
        for name, volume in volumes.items():
            found = chords(SHAPES[name], where, omega).sum() * pixel
            assert found == pytest.approx(volume, rel=1e-9), name


def test_half_an_ellipsoid_has_half_the_volume():
    shape = Ellipsoid((0.1, 0.2, 0.0), (0.4, 0.3, 0.2), high=0.2)
    where = grid(n=37)
    pixel = np.diff(where.u)[0] * np.diff(where.y)[0]
    assert chords(shape, where, 0.8).sum() * pixel == pytest.approx(
        2 / 3 * math.pi * 0.4 * 0.3 * 0.2, rel=1e-9
    )


def test_what_lies_outside_a_grid_is_not_there():
    where = grid(half=0.1, height=0.1)
    assert Ellipsoid.sphere((3.0, 0.0, 0.0), 0.5).patch(where, 0.0) is None
    assert Ellipsoid.sphere((0.0, 2.0, 0.0), 0.5).patch(where, 0.0) is None
    assert Prism(Disc(3.0, 0.0, 0.5), -1, 1).column_chords(where, 0.0).max() == 0


@pytest.mark.parametrize("name", SHAPES)
def test_no_point_of_a_shape_lies_beyond_its_reach(name):
    shape = SHAPES[name]
    x, z = np.random.default_rng(1).uniform(-2, 2, (2, 20_000))
    held = shape.holds(x, np.full_like(x, 0.05), z)
    assert held.any()
    assert np.hypot(x, z)[held].max() <= shape.reach
