"""Half ellipsoids on both sides of a flat surface, whose volumes have a closed form."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from volume_generator import seen

from battbeam.errors import ReductionError
from battbeam.reduction.surface_growth import surface_growth

SHAPE, SURFACE, TOP = (60, 64, 64), 24.0, 52.0
LOWER, UPPER, VOXEL = 0.1, 0.9, 0.001


def half_ellipsoid(radius, height, *, up, n_sub=4):
    """Share of each voxel that it fills, its middle on the surface."""
    row, z, x = (
        ((np.arange(n * n_sub) + 0.5) / n_sub - middle)
        for n, middle in zip(SHAPE, (SURFACE, 32.0, 32.0), strict=True)
    )
    side = row > 0 if up else row < 0
    inside = (row / height)[:, None, None] ** 2 + (z[:, None] ** 2 + x**2) / radius**2 < 1
    inside &= side[:, None, None]
    return inside.reshape([part for n in SHAPE for part in (n, n_sub)]).mean(axis=(1, 3, 5))


def grown(rng, *, dome, bowl, noise=0.1, fringe=0.0):
    """Lower and upper material, with a dome of the one in the other and a bowl the other way."""
    share = np.zeros(SHAPE)
    share[int(SURFACE) :] = 1.0
    if dome:
        share -= half_ellipsoid(*dome, up=True)
    if bowl:
        share += half_ellipsoid(*bowl, up=False)
    drawn = np.zeros(SHAPE[0])
    drawn[int(SURFACE) - 1 : int(SURFACE) + 1] = -fringe, fringe
    volume = LOWER + (UPPER - LOWER) * share + gaussian_filter1d(drawn, 0.6)[:, None, None]
    return seen(volume, rng, noise=noise)


def measured(volume, **changes):
    how = {"surface": SURFACE, "lower": LOWER, "upper": UPPER, "voxel_size": VOXEL}
    away = np.hypot(*(np.indices(SHAPE[1:]) - 31.5))
    return surface_growth(volume, **{**how, "region": away < 27, "limits": (2.0, TOP)} | changes)


def volume_of(radius, height):
    return 2 / 3 * np.pi * radius**2 * height * VOXEL**3


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fringe", [0.0, 0.3])
def test_volumes_below_and_above_are_those_of_the_bodies_whatever_the_fringe(seed, fringe):
    dome, bowl = (20.0, 24.0), (22.0, 12.0)
    volume = grown(np.random.default_rng(seed), dome=dome, bowl=bowl, fringe=fringe)
    found = measured(volume)
    # A row has 2300 voxels of 0.1 / 0.8: 6 voxels; three rows that are continued weigh most.
    assert found.above == pytest.approx(volume_of(*dome), rel=0.02)
    assert found.below == pytest.approx(volume_of(*bowl), rel=0.02)


def test_what_has_grown_through_to_the_limit_counts_up_to_there():
    dome = (20.0, TOP - SURFACE)
    found = measured(grown(np.random.default_rng(4), dome=dome, bowl=None))
    assert found.above == pytest.approx(volume_of(*dome), rel=0.02)
    assert found.below == pytest.approx(0, abs=0.01 * volume_of(*dome))


def test_where_nothing_grew_nothing_is_found():
    found = measured(grown(np.random.default_rng(5), dome=None, bowl=None, fringe=0.3))
    least = volume_of(5.0, 5.0)
    assert (found.below, found.above) == (pytest.approx(0, abs=least), pytest.approx(0, abs=least))


def test_materials_alike_and_limits_too_near_are_refused():
    volume = np.zeros(SHAPE)
    with pytest.raises(ReductionError, match=r"both materials attenuate 0\.9 1/mm"):
        measured(volume, lower=UPPER)
    with pytest.raises(ReductionError, match="4 rows between surface and limit, 8 wanted"):
        measured(volume, limits=(2.0, SURFACE + 10.0))
