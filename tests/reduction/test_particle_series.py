"""Particles followed from tomogram to tomogram: how much they grow, and what is where in them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from battbeam.reduction.particle_series import (
    CORE,
    CRACK,
    OUTSIDE,
    RIM,
    follow_particles,
    label_particles,
)

SHAPE, VOXEL = (44, 64, 80), 0.0065
PLACES, RADII = [(22.3, 20.0, 20.4), (21.0, 40.2, 52.0), (23.0, 15.0, 58.0)], (11.0, 9.0, 7.0)
CORE_LEVEL, RIM_LEVEL = 5.0, 1.8
#: Core over radius at first, and outer radius over it, of three tomograms.
STATES = [(1.0, 1.0), (0.75, 1.2), (0.5, 1.3)]


def away(place):
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(axes, place, strict=True)))


def bed(core, outer, rng, *, gap=0.0, noise=0.1):
    """Balls with cores; in the largest, a gap of so many voxels in its rim."""
    volume = np.zeros(SHAPE)
    for number, (place, radius) in enumerate(zip(PLACES, RADII, strict=True)):
        distance = away(place)
        volume[distance < outer * radius] = RIM_LEVEL
        volume[distance < core * radius] = CORE_LEVEL
        if number == 0 and gap:
            across = np.abs(np.arange(SHAPE[2]) - place[2] - (core + outer) / 2 * radius) < gap / 2
            volume[(distance < (outer - 0.1) * radius) & across] = 0.0
    return gaussian_filter(volume, 0.6) + noise * rng.standard_normal(SHAPE)


@pytest.fixture(scope="module")
def followed():
    rng = np.random.default_rng(3)
    volumes = [bed(*state, rng, gap=3.0 * (k == 2)) for k, state in enumerate(STATES)]
    return volumes, follow_particles(volumes, voxel_size=VOXEL)


def test_the_solid_volume_grows_as_the_cube_of_the_radius(followed):
    _, found = followed
    for (_, outer), each in zip(STATES[:2], found, strict=False):
        assert each.factor == pytest.approx(outer**3, rel=0.02)
        assert each.factors == pytest.approx(outer**3, rel=0.04)
    assert found[0].factor_error == 0.0
    assert 0 < found[1].factor_error < 0.02


def test_cores_are_followed_in_the_order_of_the_first_tomogram(followed):
    _, found = followed
    for (core, _), each in zip(STATES[1:], found[1:], strict=True):
        assert each.core_radii == pytest.approx(core * np.array(RADII) * VOXEL, abs=0.5 * VOXEL)


def test_a_crack_counts_once_it_is_more_than_noise(followed):
    _, found = followed
    assert [each.is_cracked for each in found] == [False, False, True]
    assert found[2].crack_volume > 20 * found[2].crack_error


def test_one_particle_says_nothing_of_the_scatter_of_many():
    rng = np.random.default_rng(1)
    distance = away(PLACES[0])
    volume = np.where(distance < 10, RIM_LEVEL, 0.0) + np.where(distance < 6, 3.0, 0.0)
    volume += 0.1 * rng.standard_normal(SHAPE)
    (found,) = follow_particles([volume], voxel_size=VOXEL)
    assert len(found.particles) == 1
    assert np.isnan(found.factor_error)


def test_labels_fill_the_volumes_that_are_there(followed):
    volumes, found = followed
    for number, (core, outer) in enumerate(STATES):
        labels = label_particles(volumes[number], found[number], voxel_size=VOXEL)
        exact = 4 / 3 * np.pi * sum(radius**3 for radius in RADII)
        rim = exact * (outer**3 - core**3)
        assert np.count_nonzero(labels == CORE) == pytest.approx(exact * core**3, rel=0.06)
        # The gap is a part of the last one's rim.
        assert np.count_nonzero(labels == RIM) == pytest.approx(rim, rel=0.12, abs=1)
        assert np.count_nonzero(labels != OUTSIDE) == pytest.approx(exact * outer**3, rel=0.06)


def test_what_is_missing_inside_is_a_crack_and_what_is_missing_outside_is_not(followed):
    volumes, found = followed
    n_cracked = [
        np.count_nonzero(label_particles(volume, each, voxel_size=VOXEL) == CRACK)
        for volume, each in zip(volumes, found, strict=True)
    ]
    assert n_cracked[:2] == [0, 0]
    assert n_cracked[2] * VOXEL**3 == pytest.approx(found[2].crack_volume, rel=0.3)
