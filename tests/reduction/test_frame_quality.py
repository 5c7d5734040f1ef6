"""Frames of rings that are drawn here pixel by pixel, at points of each pixel."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pattern_generator import Bench
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.frame_quality import FrameChecker
from battbeam.reduction.pixels import PixelGeometry

BENCH = Bench(shape=(160, 160), pixel=(0.4, 0.4), centre=(79.3, 82.7), rotation=(0.3, -0.2))
RINGS = ((6.8, 1.0), (9.5, 0.4), (12.5, 0.7), (15.9, 1.5))


def geometry(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench")
    return PixelGeometry.read(BENCH.save(path)[0], BENCH.shape)


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    return FrameChecker(geometry(tmp_path_factory), polarization=BENCH.polarization)


@cache
def drawn(shift=(0.0, 0.0)):
    """Rings of 0.25 degree over a background, as the mean over points of each pixel."""
    bench = replace(
        BENCH, centre=(BENCH.centre[0] + shift[0], BENCH.centre[1] + shift[1]), _kept={}
    )
    angle = bench.samples(0.0)
    curve = 0.6 + 1.5 * np.exp(-angle / 6)
    for middle, height in RINGS:
        curve = curve + height * np.exp(-4 * np.log(2) * ((angle - middle) / 0.25) ** 2)
    return bench.over_pixels(curve) * bench.correction()


def mean(shift=(0.0, 0.0), *, counts=5e6):
    image = drawn(shift)
    return image * counts / image.sum()


def counted(seed, expected):
    return np.random.default_rng(seed).poisson(expected)


def grains(seed, expected, *, n_grains=60.0):
    """Light of a powder of few grains: a random number of them in each pixel, of random sizes."""
    rng = np.random.default_rng(1000 + seed)
    n = rng.poisson(n_grains, expected.shape)
    return counted(seed, expected * rng.gamma(np.maximum(n, 1e-9)) / n_grains)


@pytest.mark.parametrize("counts", [3e5, 5e6, 1e8])
def test_a_smooth_powder_is_one_whatever_its_counts(checker, counts):
    for seed in range(3):
        found = checker.check(counted(seed, mean(counts=counts)))
        assert found.residual_azimuthal == pytest.approx(1.0, abs=5 * found.residual_deviation)
        assert found.spottiness < 0.01
        assert found.n_outliers == 0
        assert found.error_scale == 1.0
        assert found.flags == ()


def test_spots_are_flagged_and_their_scatter_is_that_of_the_grains(checker):
    scatter, scale = [], []
    for seed in range(4):
        found = checker.check(grains(seed, mean()))
        assert "spotty: errors by counting are too small" in found.flags[0]
        scatter.append(found.spottiness)
        scale.append(found.error_scale)
    # n grains of exponential sizes scatter by sqrt(2 / n); a block has some pixels of them.
    pixels = BENCH.shape[0] ** 2 / 4 / (BENCH.shape[0] / 2 / 3 * 48) / 1.05
    assert np.mean(scatter) == pytest.approx(np.sqrt(2 / 60 / pixels), rel=0.5)
    # Counts of a pixel against counting alone: 1 + 2 / 60 of them.
    per_pixel = (mean() ** 2).sum() / mean().sum()
    assert np.mean(scale) ** 2 == pytest.approx(1 + 2 / 60 * per_pixel, rel=0.25)


@pytest.mark.parametrize("factor", [4.0, 50.0])
def test_a_cluster_of_hot_pixels_is_found_pixel_by_pixel(checker, factor):
    expected = mean()
    hot = np.zeros(BENCH.shape, dtype=bool)
    hot[40:45, 60:65] = True
    frame = counted(1, np.where(hot, factor * expected, expected))
    found = checker.check(frame)
    assert (found.outliers == hot).mean() > 0.9999
    assert np.count_nonzero(found.outliers & hot) >= 24
    assert "pixels are not those of a powder's ring" in found.flags[0]
    clean = found.cleaned(frame)
    assert clean[hot].sum() == pytest.approx(
        expected[hot].sum(), abs=5 * np.sqrt(expected[hot].sum())
    )
    assert (clean[~found.outliers] == frame[~found.outliers]).all()


def test_a_dead_pixel_and_one_of_few_counts_are_told_apart(checker):
    expected = mean()
    ring = np.abs(BENCH.samples(0.0).mean(axis=0) - RINGS[0][0]) < 0.3
    bright = np.unravel_index(np.argmax(np.where(ring, expected, 0)), BENCH.shape)
    frame = counted(2, expected)
    frame[bright] = 0
    found = checker.check(frame)
    assert found.outliers[bright]
    assert found.n_outliers == 1


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.03, -0.02), (0.5, -0.6)])
def test_a_beam_that_moved_is_found_within_an_honest_error(checker, shift):
    expected, pulls = mean(shift), []
    for seed in range(40):
        found = checker.check(counted(seed, expected))
        for axis in range(2):
            off = found.centre_shift[axis] - shift[axis]
            pulls.append(off / found.centre_shift_error[axis])
            assert off == pytest.approx(0, abs=0.02)
    # What a pixel is wide is no derivative: half a hundredth of it.
    assert_honest(pulls, bias=0.5 + 0.01 / found.centre_shift_error[0] * max(np.abs(shift)))
    large = np.hypot(*shift) > 0.15
    assert [flag for flag in found.flags if "calibrate again" in flag] == [
        f"beam centre moved by {np.hypot(*shift):.1f} pixel: calibrate again"
    ] * int(large)


def test_a_dark_is_taken_off_before_rings_are_compared(checker):
    expected, dark = mean(counts=1e6), np.zeros(BENCH.shape)
    dark[:, :40] = 300.0  # one module is warm
    frame = counted(3, expected + dark)
    assert checker.check(frame).residual_azimuthal > 2
    found = checker.check(frame, dark=dark)
    assert found.residual_azimuthal == pytest.approx(1.0, abs=5 * found.residual_deviation)
    assert found.flags == ()


def test_pixels_of_the_mask_are_not_looked_at(tmp_path_factory):
    mask = np.zeros(BENCH.shape, dtype=bool)
    mask[70:90, 70:] = True
    frame = counted(4, mean())
    frame[mask] = 10**6
    found = FrameChecker(geometry(tmp_path_factory), mask=mask).check(frame)
    assert found.n_outliers == 0
    assert not found.outliers[mask].any()


def test_pyfai_calls_the_same_frames_smooth_and_spotty(checker):
    """By pyFAI's rule a smooth pattern is below 0.05; its measure is the error of a ring's mean."""
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    bench = BENCH.integrator
    assert isinstance(bench, AzimuthalIntegrator)
    order = []
    for frame in (counted(1, mean()), grains(1, mean()), grains(1, mean(), n_grains=3.0)):
        theirs = bench.integrate1d(
            frame, 80, error_model="azimuthal", method=("no", "csr", "cython"), unit="2th_deg"
        ).calc_spottiness()
        order.append((checker.check(frame).spottiness, theirs))
    assert order == sorted(order)
    assert order[0][1] < order[2][1]


def test_frames_of_another_shape_and_a_mask_of_everything_are_refused(checker, tmp_path_factory):
    with pytest.raises(ReductionError, match=r"the frame has \(3, 3\) pixels, the geometry"):
        checker.check(np.zeros((3, 3)))
    with pytest.raises(ReductionError, match="no pixel is left to look at"):
        FrameChecker(geometry(tmp_path_factory), mask=np.ones(BENCH.shape, dtype=bool))
