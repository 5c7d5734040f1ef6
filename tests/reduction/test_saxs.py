"""Frames of spheres and of ordered pores, drawn at many points of each pixel."""

import numpy as np
import pytest
from pattern_generator import Bench
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.saxs import SaxsOptions, SaxsReducer
from battbeam.reduction.saxs_fit import structure_peak, volume_change
from battbeam.reduction.saxs_laws import Value, guinier, invariant, porod
from battbeam.reduction.saxs_model import guinier_radius_of, mean_power, spheres
from battbeam.reduction.xrd_result import Dark
from battbeam.units import q_from_two_theta

BENCH = Bench(
    shape=(128, 128),
    pixel=(0.344, 0.344),
    distance=1500.0,
    centre=(62.7, 65.1),
    rotation=(0.0, 0.0),
)
RADIUS, WIDTH = 45.0, 0.2
MONITOR, TRANSMISSION = 1e6, 0.6
# A stop of 3 mm, and two pixels about it.
STOP = np.hypot(*(np.indices(BENCH.shape) + 0.5 - np.array(BENCH.centre)[:, None, None])) < 6.5


def image(curve):
    """Mean over the points of each pixel of a curve of q, as counts a monitor count."""
    q = q_from_two_theta(two_theta=BENCH.samples(0.0), energy=BENCH.energy)
    return BENCH.over_pixels(curve(q)) * BENCH.correction()


@pytest.fixture(scope="module")
def poni(tmp_path_factory):
    return BENCH.save(tmp_path_factory.mktemp("bench"))[0]


def reducer(poni, **options):
    return SaxsReducer(
        poni, shape=BENCH.shape, options=SaxsOptions(polarization=0.98, **options), mask=STOP
    )


def table(radius=RADIUS, width=WIDTH):
    """Spheres on a grid: what is drawn 36 times a pixel is read off."""
    q = np.linspace(0, 0.5, 4000)
    known = spheres(q, radius=radius, width=width)
    return lambda at: np.interp(at, q, known)


@pytest.fixture(scope="module")
def drawn():
    return image(table()), image(np.ones_like)


def frame(seed, drawn, *, counts=2e6, flat=2e-3):
    light = drawn[0] + flat * drawn[1]
    scale = counts / light[~STOP].sum()
    return np.random.default_rng(seed).poisson(scale * light), scale / MONITOR / TRANSMISSION


def test_intensity_is_the_curve_that_was_drawn_and_its_error_is_honest(poni, drawn):
    made, pulls = reducer(poni), []
    for seed in range(40):
        counted, scale = frame(seed, drawn)
        found = made.pattern(counted, monitor=MONITOR, transmission=TRANSMISSION)
        truth = scale * (found.seen(spheres(found.fine, radius=RADIUS, width=WIDTH)) + 2e-3)
        pulls.append(((found.intensity - truth) / found.error)[::9])
    assert_honest(np.ravel(pulls))
    assert found.q == pytest.approx(np.sort(found.q))


def test_radius_width_and_volume_of_spheres_come_back_within_honest_errors(poni, drawn):
    made = reducer(poni)
    pulls = {name: [] for name in ("radius", "radius_width", "volume_fraction", "guinier_radius")}
    for seed in range(40):
        counted, scale = frame(seed, drawn)
        found = made.reduce(counted, monitor=MONITOR, transmission=TRANSMISSION)
        assert found.valid, found.reason
        ratio = mean_power(6, radius=RADIUS, width=WIDTH) / mean_power(
            3, radius=RADIUS, width=WIDTH
        )
        wanted = {
            "radius": RADIUS,
            "radius_width": WIDTH,
            "volume_fraction": scale / (4 / 3 * np.pi * ratio),
            "guinier_radius": guinier_radius_of(radius=RADIUS, width=WIDTH),
        }
        for name, truth in wanted.items():
            value = getattr(found, name)
            pulls[name].append((value.value - truth) / value.error)
        assert found.radius.value == pytest.approx(RADIUS, rel=0.02)
        assert 0.3 < found.residual < 1.8
    for name in ("radius", "radius_width", "volume_fraction"):
        assert_honest(pulls[name])
    # Terms beyond q^4 are left out: 1 % of the radius.
    assert np.mean(pulls["guinier_radius"]) * found.guinier_radius.error == pytest.approx(
        0, abs=0.015 * RADIUS
    )


def test_a_guinier_curve_has_an_honest_radius(poni):
    drawn = image(lambda q: np.exp(-((q * 30.0) ** 2) / 3))
    made, pulls = reducer(poni, model="none"), []
    for seed in range(60):
        counted = np.random.default_rng(seed).poisson(1e6 / drawn[~STOP].sum() * drawn)
        found = guinier(made.pattern(counted, monitor=1.0))
        pulls.append((found.radius.value - 30.0) / found.radius.error)
    assert_honest(pulls, bias=0.2)


def test_porods_constant_and_the_background_have_honest_errors(poni):
    drawn = image(lambda q: 2e-6 * q**-4.0 + 0.3)
    made, pulls = reducer(poni, model="none"), []
    for seed in range(60):
        scale = 1e6 / drawn[~STOP].sum()
        counted = np.random.default_rng(seed).poisson(scale * drawn)
        found = porod(made.pattern(counted, monitor=scale), 0.05)
        pulls.append((found.constant.value - 2e-6) / found.constant.error)
        pulls.append((found.background.value - 0.3) / found.background.error)
    assert_honest(pulls)


def test_the_invariant_does_not_know_the_shape_and_the_surface_follows_from_porod(poni, drawn):
    """pi K / Q is the surface over the volume that it encloses: 3 <R^2> / <R^3> of spheres."""
    sizes = {"radius": 30.0, "width": 0.35}
    drawn = image(table(**sizes)), drawn[1]
    made, pulls, surfaces = reducer(poni, model="none"), [], []
    second, third, sixth = (mean_power(p, **sizes) for p in (2, 3, 6))
    for seed in range(40):
        counted, scale = frame(seed, drawn)
        pattern = made.pattern(counted, monitor=MONITOR, transmission=TRANSMISSION)
        low, high = guinier(pattern), porod(pattern, 0.13)
        low = guinier(pattern, background=high.background)
        found = invariant(pattern, low, high)
        # I(0) = n <V^2> drho^2 and Q = 2 pi^2 n <V> drho^2.
        truth = scale * 2 * np.pi**2 * third / (4 / 3 * np.pi * sixth)
        pulls.append((found.value - truth) / found.error)
        assert found.value == pytest.approx(truth, rel=0.03)
        surfaces.append(np.pi * high.constant.value / found.value / (3 * second / third))
    # Errors hold what the range of Porod's law changes, too: not all of them is chance.
    assert np.abs(pulls).max() < 4
    assert np.mean(surfaces) == pytest.approx(1.0, abs=0.08)


def test_the_error_of_the_invariant_is_its_scatter(poni, drawn):
    drawn = image(table(radius=30.0, width=0.35)), drawn[1]
    made, values, errors = reducer(poni, model="none"), [], []
    for seed in range(60):
        counted, _ = frame(seed, drawn)
        pattern = made.pattern(counted, monitor=MONITOR)
        high = porod(pattern, 0.13)
        found = invariant(pattern, guinier(pattern, background=high.background), high)
        values.append(found.value)
        errors.append(found.error)
    # Besides, errors hold what the range of Porod's law changes.
    assert 0.4 < np.std(values) / np.mean(errors) < 1.3


PEAK, SPREAD = 2 * np.pi / 98.0, 0.006


def pores(peak=PEAK):
    return image(
        lambda q: np.exp(-(((q - peak) / SPREAD) ** 2) / 2) + 0.05 * (q / PEAK) ** -4.0 + 0.3
    )


def test_the_spacing_of_pores_comes_back_within_an_honest_error(poni):
    drawn, pulls, area = pores(), [], []
    made = reducer(poni, model="peak", peak_range=(0.035, 0.11))
    for seed in range(60):
        scale = 1e6 / drawn[~STOP].sum()
        counted = np.random.default_rng(seed).poisson(scale * drawn)
        found = made.reduce(counted, monitor=scale, transmission=1.0)
        assert found.valid, found.reason
        pulls.append((found.spacing.value - 98.0) / found.spacing.error)
        pulls.append((found.peak_q.value - PEAK) / found.peak_q.error)
        area.append((found.peak_area.value - np.sqrt(2 * np.pi) * SPREAD) / found.peak_area.error)
        assert found.spacing.value == pytest.approx(98.0, rel=0.01)
        assert np.isnan(found.radius.value)
    assert_honest(pulls)
    assert_honest(area)


def test_pores_that_swell_change_their_volume_by_three_strains(poni):
    made, seen = reducer(poni, model="peak", peak_range=(0.035, 0.11)), []
    for strain, seed in ((0.0, 1), (0.02, 2)):
        drawn = pores(PEAK / (1 + strain))
        counted = np.random.default_rng(seed).poisson(3e6 / drawn[~STOP].sum() * drawn)
        seen.append(made.reduce(counted, monitor=1.0).spacing)
    change = volume_change(seen[1], seen[0])
    assert change.value == pytest.approx(1.02**3 - 1, abs=4 * change.error)
    assert change.error < 0.01
    assert volume_change(Value(1.0, 0.1), Value(1.0, 0.0)).error == pytest.approx(0.3)


def test_a_dark_is_taken_off_with_its_noise(poni, drawn):
    made, pulls = reducer(poni), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counted, _ = frame(seed, drawn)
        dark = Dark(counts=rng.poisson(3.0 * 5, BENCH.shape).astype(float), exposure=50.0)
        warm = counted + rng.poisson(3.0, BENCH.shape)
        plain = made.pattern(counted, monitor=1.0)
        found = made.pattern(warm, monitor=1.0, exposure=10.0, dark=dark)
        sigma = np.sqrt(found.error**2 - plain.error**2)
        pulls.append(((found.intensity - plain.intensity) / sigma)[5::11])
    assert_honest(np.ravel(pulls))
    with pytest.raises(ReductionError, match="a dark needs the frame's exposure"):
        made.pattern(counted, monitor=1.0, dark=dark)


def test_frames_without_beam_or_structure_are_not_valid_and_say_why(poni, drawn):
    made = reducer(poni)
    empty = np.zeros(BENCH.shape)
    assert made.reduce(empty, monitor=0.0).reason == "no beam: monitor 0.0"
    assert made.reduce(empty, monitor=1.0).reason == "no beam: no counts above the dark"
    flat = np.random.default_rng(1).poisson(100.0 * np.ones(BENCH.shape))
    assert "does not fall at small angles" in made.reduce(flat, monitor=1.0).reason
    peaks = reducer(poni, model="peak", peak_range=(0.035, 0.11))
    assert "no peak between 0.035 and 0.11 1/A" in peaks.reduce(flat, monitor=1.0).reason
    with pytest.raises(ReductionError, match="no peak between"):
        structure_peak(peaks.pattern(flat, monitor=1.0), (0.035, 0.11))
    with pytest.raises(
        ReductionError, match=r"0 bins between 5 .* the pattern goes from 0\.\d+ to"
    ):
        structure_peak(peaks.pattern(flat, monitor=1.0), (5.0, 6.0))


def test_grains_too_large_for_the_camera_have_no_guinier_range(poni):
    drawn = image(table(radius=400.0))
    counted = np.random.default_rng(1).poisson(1e6 / drawn[~STOP].sum() * drawn)
    assert "Guinier range" in reducer(poni).reduce(counted, monitor=1.0).reason


def test_options_and_frames_that_make_no_sense_are_refused(poni):
    with pytest.raises(ValueError, match="model 'peak' needs a peak_range"):
        SaxsOptions(model="peak")
    with pytest.raises(ValueError, match="a surface lies beside spheres"):
        SaxsOptions(model="none", surface=True)
    with pytest.raises(ReductionError, match=r"fewer than 8 bins between 5 and 6 1/A; .* sees 0\."):
        reducer(poni, q_range=(5.0, 6.0))
    with pytest.raises(ReductionError, match=r"the frame has \(3, 3\) pixels"):
        reducer(poni).pattern(np.zeros((3, 3)), monitor=1.0)


def test_a_response_that_is_kept_gives_the_same(poni, drawn, tmp_path):
    counted, _ = frame(1, drawn)
    first, second = (
        reducer(poni, cache_directory=tmp_path).reduce(counted, monitor=1.0) for _ in range(2)
    )
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert first.radius == second.radius


def test_spheres_beside_grains_too_large_to_be_seen_come_back_with_the_grains_surface(poni, drawn):
    """A surface as bright as the spheres at the first bin, and nothing of it beyond."""
    steep = image(lambda q: np.minimum(q, 10.0) ** -4.0)
    made = reducer(poni, surface=True)
    first = made.q[0]
    pulls = {name: [] for name in ("radius", "radius_width", "surface")}
    for seed in range(10):
        light = drawn[0] + 2e-3 * drawn[1] + first**4 * np.where(STOP, 0.0, steep)
        scale = 2e6 / light[~STOP].sum()
        counted = np.random.default_rng(seed).poisson(scale * light)
        found = made.reduce(counted, monitor=scale)
        assert found.valid, found.reason
        truth = {"radius": RADIUS, "radius_width": WIDTH, "surface": first**4}
        for name, value in truth.items():
            seen = getattr(found, name)
            pulls[name].append((seen.value - value) / seen.error)
        assert found.radius.value == pytest.approx(RADIUS, rel=0.02)
        assert found.guinier_radius.value == pytest.approx(
            guinier_radius_of(radius=RADIUS, width=WIDTH), rel=0.05
        )
    for each in pulls.values():
        assert_honest(each)
    # Taken for spheres alone, they are not as large as they are.
    plain = reducer(poni).reduce(counted, monitor=scale)
    assert not plain.valid or abs(plain.radius.value / RADIUS - 1) > 0.05


def test_a_frame_at_another_energy_has_other_scattering_vectors_at_the_same_angles(poni, drawn):
    counted, _ = frame(1, drawn)
    made = reducer(poni)
    here = made.reduce(counted, monitor=1.0)
    there = made.reduce(counted, monitor=1.0, energy=BENCH.energy / 2)
    assert there.q == pytest.approx(here.q / 2)
    assert there.radius.value == pytest.approx(2 * here.radius.value, rel=1e-3)
    assert there.intensity == pytest.approx(here.intensity)
