"""What is measured in volumes, against bodies of known size."""

import importlib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from volume_generator import ball, seen, wound

from battbeam.errors import ReductionError
from battbeam.reduction.particles import find_particles, volume_between
from battbeam.reduction.registration import register, shifted
from battbeam.reduction.segmentation import (
    contrast_to_noise,
    otsu_thresholds,
    segment,
    thresholds_between,
)
from battbeam.reduction.thickness import layer_map
from battbeam.reduction.unroll import find_crack, unroll

VOXEL = 0.0015


def stack(edges, levels, n=200, n_sub=20):
    """A line through flat layers, voxels and 1/mm: levels between edges, anti-aliased."""
    place = (np.arange(n * n_sub) + 0.5) / n_sub
    values = np.asarray(levels)[np.searchsorted(edges, place)]
    return values.reshape(n, n_sub).mean(axis=1)


def cathode(thickness, extra, rng, *, noise=0.3):
    """A cathode of a thickness on its collector, into which a layer grew; micrometre, axes (row, z, x)."""
    grown = extra * np.cos(np.linspace(-1, 1, 60) * np.pi / 2) ** 2
    lines = [
        stack([60.3, 60.3 + (thickness + each) / 1.5, 60.3 + (thickness + 70) / 1.5], [0, 4, 1, 0])
        for each in grown
    ]
    volume = np.repeat(np.stack(lines)[None], 20, axis=0)
    return gaussian_filter(volume, (0.8, 0.8, 0.8)) + noise * rng.normal(size=volume.shape), grown


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("thickness", [158.0, 174.0])
def test_the_thickness_of_a_cathode_is_found_to_a_voxel(thickness, seed):
    volume, _ = cathode(thickness, 0.0, np.random.default_rng(seed))
    found = layer_map(volume, low=(2.0, 2.5), axis=2, voxel_size=VOXEL)
    # A straight line between voxels is not how blur bends an edge: a twentieth of a voxel at each.
    assert found.mean == pytest.approx(thickness * 1e-3, abs=0.1 * VOXEL)
    assert 0 < found.error < 0.02 * VOXEL
    assert found.start.mean() == pytest.approx(60.3 * VOXEL, abs=0.1 * VOXEL)


def test_an_extra_layer_is_found_where_it_is_thickest():
    rng = np.random.default_rng(4)
    volume, grown = cathode(142.0, 49.0, rng)
    found = layer_map(volume, low=(2.0, 2.5), axis=2, voxel_size=VOXEL)
    extra = (found.thickness.mean(axis=0) - 0.142) * 1e3
    np.testing.assert_allclose(extra, grown, atol=2.0)
    assert extra.max() == pytest.approx(49.0, abs=2.0)


def test_a_crossing_between_two_other_materials_is_not_the_layer():
    line = np.tile(stack([50.0, 90.0, 150.0], [0.0, 4.0, 9.0, 0.0]), (3, 1))
    found = layer_map(line, low=2.0, high=6.5, axis=1, voxel_size=1.0)
    np.testing.assert_allclose(found.thickness, 40.0, atol=0.1)
    np.testing.assert_allclose(found.stop, 90.0, atol=0.1)


def test_a_line_that_misses_the_layer_is_nan_and_no_layer_at_all_is_refused():
    lines = np.array([np.zeros(20), stack([5.0, 12.0], [0, 3, 0], n=20)])
    found = layer_map(lines, low=1.5, axis=1, voxel_size=1.0)
    assert np.isnan(found.thickness[0])
    assert found.thickness[1] == pytest.approx(7.0, abs=1e-6)
    with pytest.raises(ReductionError, match="no voxel between 5 and inf 1/mm"):
        layer_map(lines, low=5.0, axis=1, voxel_size=1.0)


def particle(rng, *, core, radius, noise=0.15, crack=False):
    centre = np.array([30.0, 30.0, 30.0]) + rng.uniform(-0.5, 0.5, 3)
    shape = (60, 60, 60)
    outer = ball(shape, centre, radius)
    volume = 1.0 + 3.0 * outer + (5.0 * ball(shape, centre, core) if core else 0.0)
    gap = np.zeros(shape)
    if crack:
        gap[:, :, 36:38] = outer[:, :, 36:38] * (np.abs(np.arange(60) - 30) < 7)[:, None, None]
        volume = volume - gap * (volume - 1.0)
    return seen(volume, rng, noise=noise), gap.sum()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("core", "radius"), [(0.0, 9.0), (6.0, 11.0), (9.5, 14.0)])
def test_a_particle_and_its_core_have_their_radii(seed, core, radius):
    volume, _ = particle(np.random.default_rng(seed), core=core, radius=radius)
    (found,) = find_particles(volume, threshold=2.5, voxel_size=VOXEL)
    exact = 4 / 3 * np.pi * (radius * VOXEL) ** 3
    assert found.volume == pytest.approx(exact, rel=0.03)
    assert found.centre == pytest.approx((30, 30, 30), abs=0.8)
    if core:
        assert found.core_radius == pytest.approx(core * VOXEL, abs=0.5 * VOXEL)
        assert (found.core_attenuation, found.rim_attenuation) == pytest.approx((9, 4), rel=0.05)
    else:
        assert np.isnan(found.core_radius)
    assert found.crack_volume == pytest.approx(0, abs=0.005 * exact)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_volume_of_a_crack_is_what_is_missing(seed):
    rng = np.random.default_rng(seed)
    volume, missing = particle(rng, core=0.0, radius=14.0, crack=True)
    (found,) = find_particles(volume, threshold=2.5, voxel_size=VOXEL)
    assert missing > 200
    assert found.crack_volume == pytest.approx(missing * VOXEL**3, rel=0.2)
    assert 0 < found.crack_error < 0.1 * found.crack_volume
    assert found.volume == pytest.approx(4 / 3 * np.pi * (14 * VOXEL) ** 3, rel=0.03)


def test_particles_come_by_size_and_each_for_itself():
    rng = np.random.default_rng(1)
    shape = (40, 60, 60)
    volume = 4 * (ball(shape, (20, 15, 15), 8) + ball(shape, (20, 40, 40), 12))
    found = find_particles(seen(volume, rng, noise=0.1), threshold=2.0, voxel_size=1.0)
    assert [each.radius for each in found] == pytest.approx([12, 8], rel=0.01)
    with pytest.raises(ReductionError, match="no particle of 100 voxels or more above 9 1/mm"):
        find_particles(volume, threshold=9.0, voxel_size=1.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_particles_that_were_apart_are_told_apart_when_they_have_grown_together(seed):
    rng = np.random.default_rng(seed)
    shape, places, radii = (44, 60, 70), [(22, 28, 22), (22, 30, 46.5), (22, 10, 44)], (10, 7, 5)
    fresh, grown = (
        4 * sum(ball(shape, c, swelling * r) for c, r in zip(places, radii, strict=True))
        for swelling in (1.0, 1.4)
    )
    first = find_particles(seen(fresh, rng, noise=0.1), threshold=2.0, voxel_size=VOXEL)
    volume = seen(grown, rng, noise=0.1)
    assert len(find_particles(volume, threshold=2.0, voxel_size=VOXEL)) < 3
    found = find_particles(volume, threshold=2.0, voxel_size=VOXEL, known=first)
    # In the order in which they were known.
    for each, centre, radius in zip(found, places, radii, strict=True):
        assert each.centre == pytest.approx(centre, abs=1.0)
        assert each.radius == pytest.approx(1.4 * radius * VOXEL, abs=0.3 * VOXEL)
    with pytest.raises(ReductionError, match="known particle 2 is nowhere above 2 1/mm"):
        find_particles(
            volume * (np.arange(60) > 20)[:, None], threshold=2.0, voxel_size=VOXEL, known=first
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rim_of_a_voxel_and_a_half_is_seen_where_the_resolution_is_known(seed):
    rng = np.random.default_rng(seed)
    shape, centre = (44, 44, 44), (22, 22, 22)
    fresh = seen(9.0 * ball(shape, centre, 12), rng, noise=0.1)
    known = find_particles(fresh, threshold=4.5, voxel_size=VOXEL)
    assert known[0].blur == pytest.approx(0.8 * VOXEL, rel=0.1)
    rimmed = seen(3 * ball(shape, centre, 13) + 6 * ball(shape, centre, 11.5), rng, noise=0.1)
    (found,) = find_particles(rimmed, threshold=1.5, voxel_size=VOXEL, known=known)
    assert found.radius == pytest.approx(13 * VOXEL, abs=0.2 * VOXEL)
    assert found.core_radius == pytest.approx(11.5 * VOXEL, abs=0.2 * VOXEL)


def test_lithium_below_and_above_a_surface_is_measured_in_parts_of_voxels():
    rng = np.random.default_rng(2)
    shape, surface = (40, 50, 50), 20
    lump = ball(shape, (19.5, 25.0, 25.0), 9.3)
    volume = seen(2.0 - 1.5 * lump, rng, noise=0.2)
    rows = np.arange(40)[:, None, None] * np.ones(shape)
    above, below = (
        volume_between(volume, empty=2.0, full=0.5, voxel_size=VOXEL, region=region)
        for region in (rows >= surface, rows < surface)
    )
    half = 2 / 3 * np.pi * (9.3 * VOXEL) ** 3
    # 50000 voxels of 0.2 / 1.5 each: 30 of 1685 voxels.
    assert (above, below) == (pytest.approx(half, rel=0.05), pytest.approx(half, rel=0.05))
    with pytest.raises(ReductionError, match="both attenuate 2 1/mm"):
        volume_between(volume, empty=2.0, full=2.0, voxel_size=1.0, region=rows > 0)


def test_otsu_parts_three_materials_and_fractions_are_those_of_the_volume():
    rng = np.random.default_rng(3)
    shape = (30, 60, 60)
    solid, dense = (ball(shape, (15, 30, 30), radius) for radius in (13, 8))
    volume = seen(2 * solid + 3 * dense, rng, blur=0.5, noise=0.2)
    thresholds = otsu_thresholds(volume, n_classes=3)
    assert 0.5 < thresholds[0] < 1.7
    assert 2.3 < thresholds[1] < 4.5
    found = segment(volume, thresholds_between([0.0, 2.0, 5.0]))
    share = np.array([1 - solid.mean(), solid.mean() - dense.mean(), dense.mean()])
    np.testing.assert_allclose(found.fractions, share, rtol=0.06)
    np.testing.assert_allclose(found.means, [0, 2, 5], atol=0.3)
    assert found.fractions.sum() == pytest.approx(1)


def test_a_region_alone_is_segmented():
    volume = np.arange(8.0)
    region = volume > 3
    found = segment(volume, np.array([5.5]), region=region)
    assert found.labels.tolist() == [-1, -1, -1, -1, 0, 0, 1, 1]
    assert found.fractions.tolist() == [0.5, 0.5]
    with pytest.raises(ReductionError, match="region to segment holds no voxel"):
        segment(volume, np.array([5.5]), region=volume > 9)
    with pytest.raises(ReductionError, match="thresholds must ascend"):
        segment(volume, np.array([5.5, 2.0]))
    with pytest.raises(ReductionError, match="8 voxels do not fall into 3 classes"):
        otsu_thresholds(np.ones(8), n_classes=3)


def test_contrast_to_noise_is_the_difference_over_the_spread():
    rng = np.random.default_rng(5)
    volume = np.concatenate([rng.normal(1, 0.5, 20000), rng.normal(3, 0.5, 20000)])
    one = np.arange(40000) < 20000
    # The spread of 40000 values is known to 0.4 %, the difference to 0.3 %.
    assert contrast_to_noise(volume, one, ~one) == pytest.approx(4.0, rel=0.02)
    with pytest.raises(ReductionError, match="two voxels or more"):
        contrast_to_noise(volume, one, np.zeros(40000, dtype=bool))


@pytest.mark.parametrize("moved", [(0.0, 0.0, 0.0), (1.3, -2.6, 0.4), (-0.7, 0.2, 3.1)])
def test_two_tomograms_are_laid_over_each_other(moved):
    rng = np.random.default_rng(6)
    place = np.array([0, 8, 8])
    base = sum(ball((24, 40, 40), rng.uniform(9, 15, 3) + place, 4) for _ in range(4))
    volume = gaussian_filter(base, 1.0)
    other = shift(volume, [-each for each in moved], order=5)
    noisy = [each + 0.05 * rng.normal(size=each.shape) for each in (volume, other)]
    found = register(*noisy)
    assert found.shift == pytest.approx(moved, abs=0.1)
    assert found.likeness > 0.8
    np.testing.assert_allclose(shifted(other, found.shift)[4:-4], volume[4:-4], atol=0.1)


def test_what_cannot_be_registered_is_refused():
    with pytest.raises(ReductionError, match="differ in shape"):
        register(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ReductionError, match="uniform volume lies nowhere"):
        register(np.ones((4, 4)), np.ones((4, 4)))


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ReductionError, match=r"pip install 'battbeam\[tomography\]'"):
        otsu_thresholds(np.arange(100.0), n_classes=2)


def rolled(seed, *, thickness=11.7, crack=(300.0, 5.0, 0.8)):
    rng = np.random.default_rng(seed)
    sheet, length = wound(
        256, inner=20.0, pitch=26.0, n_half_turns=6, thickness=thickness, crack=crack
    )
    away = np.hypot(*(np.indices((256, 256)) - 127.5))
    case = (away > 119) & (away < 123)
    return seen(np.repeat((0.2 + 1.5 * sheet + 8 * case)[None], 6, axis=0), rng, noise=0.15), length


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("arc", [128.0, 150.0, 333.3, 700.0])
def test_a_wound_sheet_is_laid_flat_and_its_crack_found_to_a_voxel(arc, seed):
    volume, length = rolled(seed, crack=(arc, 5.0, 0.8))
    sheet = unroll(volume, low=0.95, high=4.0, voxel_size=0.06, thickness=0.7)
    assert sheet.length == pytest.approx(length * 0.06, abs=0.06)
    crack = find_crack(sheet, empty=0.2)
    assert crack.position == pytest.approx(arc * 0.06, abs=0.06)
    assert crack.depth == pytest.approx(0.9, abs=0.15)
    assert np.isnan(sheet.thickness[np.abs(sheet.arc - arc * 0.06) < 0.06]).all()


def test_the_growth_of_a_wound_sheet_is_found_to_a_voxel():
    thicknesses = [
        unroll(
            rolled(3, thickness=each)[0], low=0.95, high=4.0, voxel_size=1.0, thickness=12.0
        ).mean_thickness
        for each in (10.5, 11.7, 13.7)
    ]
    assert thicknesses == pytest.approx([10.5, 11.7, 13.7], abs=0.2)


def test_a_sheet_wound_the_other_way_is_laid_flat_all_the_same():
    volume, length = rolled(4)
    sheet = unroll(volume[:, ::-1], low=0.95, high=4.0, voxel_size=1.0, thickness=11.7)
    assert sheet.length == pytest.approx(length, abs=1.0)
    assert find_crack(sheet, empty=0.2).position == pytest.approx(300.0, abs=1.0)
    # Outwards is > 0: the outermost turn has nothing beyond it, the case apart.
    assert np.median(np.diff(np.hypot(sheet.x, sheet.z))) > 0


def test_a_sound_sheet_has_no_crack_and_an_empty_case_no_sheet():
    volume, _ = rolled(5, crack=None)
    sheet = unroll(volume, low=0.95, high=4.0, voxel_size=1.0, thickness=11.7)
    with pytest.raises(ReductionError, match="no crack: nowhere does the sheet lack more than"):
        find_crack(sheet, empty=0.2)
    with pytest.raises(ReductionError, match=r"no sheet of about 11\.7 voxels"):
        unroll(np.zeros((2, 64, 64)), low=0.95, high=4.0, voxel_size=1.0, thickness=11.7)


def test_a_ring_that_is_taken_for_the_sheet_is_told_and_not_followed_for_ever():
    fine = (np.arange(256 * 3) + 0.5) / 3 - 128
    away = np.hypot(fine[:, None], fine)
    case = (np.abs(away - 100) < 6).reshape(256, 3, 256, 3).mean(axis=(1, 3))[None]
    with pytest.raises(
        ReductionError, match=r"a ring, no wound sheet: \d+\.\d voxels from the middle"
    ):
        unroll(case, low=0.5, high=4.0, voxel_size=1.0, thickness=12.0)
