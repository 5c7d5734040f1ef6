"""Grains thrown at random: what a detector sees of them is counted, not computed."""

from functools import cache

import numpy as np
import pytest
from pattern_generator import Bench
from pulls import assert_honest
from scipy.integrate import quad

from battbeam.errors import ReductionError
from battbeam.materials import structure
from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.texture import (
    march_dollase,
    modulation,
    pole_angles,
    ring_of,
    texture_factor,
    texture_of,
)

BENCH = Bench(shape=(160, 160), pixel=(0.4, 0.4), centre=(79.3, 82.7), rotation=(0.3, -0.2))
LINE, WIDTH = 12.5, 1.2


def test_the_density_of_planes_is_that_of_a_powder_on_the_mean():
    for r in (0.5, 0.8, 1.0, 1.7):
        mean = quad(lambda c, r=r: float(march_dollase(r, np.array(c))), 0, 1)[0]
        assert mean == pytest.approx(1.0)


def test_angles_between_planes_are_those_of_the_lattice():
    cubic, hexagonal = structure("Al"), structure("graphite")
    assert sorted(set(pole_angles(cubic, (1, 1, 1), (0, 0, 1)).round(3))) == [54.736, 125.264]
    assert sorted(set(pole_angles(cubic, (2, 0, 0), (0, 0, 1)).round(3))) == [0.0, 90.0, 180.0]
    assert set(pole_angles(hexagonal, (1, 1, 0), (0, 0, 1)).round(3)) == {90.0}
    # tan(angle) = 2 c / (sqrt(3) a l) of (1 0 l).
    a, c = hexagonal.lattice.a, hexagonal.lattice.c
    (low, _) = sorted(set(pole_angles(hexagonal, (1, 0, 1), (0, 0, 1)).round(6)))
    assert low == pytest.approx(np.degrees(np.arctan(2 * c / (np.sqrt(3) * a))))


def thrown(rng, r, n):
    """Axes of grains, by rejection: unit vectors about the third axis, shape (n, 3)."""
    top, found = max(float(march_dollase(r, np.array(c))) for c in (0.0, 1.0)), []
    while sum(len(each) for each in found) < n:
        cosine = rng.uniform(-1, 1, n)
        keep = rng.uniform(0, top, n) < march_dollase(r, cosine)
        around = rng.uniform(0, 2 * np.pi, n)
        sine = np.sqrt(1 - cosine**2)
        found.append(np.column_stack([sine * np.cos(around), sine * np.sin(around), cosine])[keep])
    return np.concatenate(found)[:n]


@pytest.mark.parametrize(
    ("r", "pole", "tilt"), [(0.6, 0.0, 85.0), (0.6, 55.0, 85.0), (1.5, 30.0, 60.0)]
)
def test_the_intensity_of_a_line_is_the_number_of_grains_that_reflect(r, pole, tilt):
    """Grains turned at random about their axis; those with the plane within 6 degree of the scattering
    vector reflect."""
    rng, n = np.random.default_rng(5), 600_000
    axis = thrown(rng, r, n)
    helper = np.cross(axis, rng.normal(size=(n, 3)))
    helper /= np.linalg.norm(helper, axis=1)[:, None]
    plane = np.cos(np.radians(pole)) * axis + np.sin(np.radians(pole)) * helper
    vector = np.array([np.sin(np.radians(tilt)), 0, np.cos(np.radians(tilt))])
    limit = np.cos(np.radians(6))
    share = np.mean(np.abs(plane @ vector) > limit)
    # A cap holds 1 - cos of the sphere on either side; the factor changes across it.
    inside = rng.normal(size=(60_000, 3))
    inside /= np.linalg.norm(inside, axis=1)[:, None]
    tilts = np.degrees(np.arccos(inside[inside @ vector > limit][:80, 2]))
    expected = np.mean([texture_factor(r, poles=np.array([pole]), tilt=t) for t in tilts])
    # 1500 to 5000 grains reflect.
    assert share / (1 - limit) == pytest.approx(expected, rel=0.08)


POLES = [np.array([each]) for each in (0.0, 56.0, 90.0, 78.0)]
TILT = 90 - np.array([4.8, 7.9, 13.2, 15.0])


@pytest.mark.parametrize("r", [0.7, 1.0, 1.3])
def test_texture_and_amount_come_back_within_honest_errors(r):
    pulls = {"r": [], "scale": []}
    clean = np.array([texture_factor(r, poles=p, tilt=t) for p, t in zip(POLES, TILT, strict=True)])
    flagged = 0
    for seed in range(60):
        error = 0.02 * np.ones(4)
        seen = 2.0 * clean + error * np.random.default_rng(seed).normal(size=4)
        found = texture_of(seen, error, poles=POLES, tilt=TILT)
        flagged += bool(found.flags)
        pulls["r"].append((found.r - r) / found.r_error)
        pulls["scale"].append((found.scale - 2.0) / found.scale_error)
        naive = seen[0]
    for each in pulls.values():
        assert_honest(each, bias=0.1)
    assert flagged >= 59 if r != 1.0 else flagged <= 3
    if r != 1.0:
        assert abs(naive - 2.0) > 3 * 0.02


def test_one_line_and_no_line_are_refused():
    with pytest.raises(ReductionError, match="1 line cannot tell texture from amount, 2 needed"):
        texture_of(np.ones(1), np.ones(1), poles=POLES[:1], tilt=TILT[:1])
    with pytest.raises(ReductionError, match="no line of the phase is seen"):
        texture_of(np.full(4, 0.01), np.ones(4), poles=POLES, tilt=TILT)


@pytest.fixture(scope="module")
def geometry(tmp_path_factory):
    return PixelGeometry.read(BENCH.save(tmp_path_factory.mktemp("bench"))[0], BENCH.shape)


@cache
def drawn():
    """A line of height 1, azimuth and correction of every pixel."""
    angle = BENCH.samples(0.0)
    line = BENCH.over_pixels(np.exp(-4 * np.log(2) * ((angle - LINE) / 0.3) ** 2))
    return (
        line,
        np.asarray(BENCH.integrator.center_array(BENCH.shape, unit="chi_rad")),
        BENCH.correction(),
    )


def frame(seed, *, cosine=0.0, sine=0.0, counts=3e6, height=2.0):
    line, azimuth, correction = drawn()
    uneven = 1 + cosine * np.cos(2 * azimuth) + sine * np.sin(2 * azimuth)
    light = (1.0 + height * line * uneven) * correction
    return np.random.default_rng(seed).poisson(light * counts / light.sum())


@pytest.mark.parametrize(("cosine", "sine"), [(0.0, 0.0), (0.3, 0.0), (-0.1, 0.25)])
def test_an_uneven_ring_is_seen_as_uneven_as_it_is_within_honest_errors(geometry, cosine, sine):
    pulls, flagged = [], 0
    for seed in range(50):
        ring = ring_of(
            frame(seed, cosine=cosine, sine=sine),
            geometry,
            two_theta=LINE,
            width=WIDTH,
            polarization=BENCH.polarization,
        )
        found = modulation(ring)
        pulls.append((found.cosine - cosine) / found.cosine_error)
        pulls.append((found.sine - sine) / found.sine_error)
        flagged += bool(found.flags)
    # Sectors of 15 degree see a little less: sin(15 degree) / 15 degree.
    assert_honest(pulls, bias=0.15 + 0.0115 * np.hypot(cosine, sine) / found.sine_error)
    assert flagged == 50 if cosine or sine else flagged <= 2
    if cosine or sine:
        assert found.amplitude == pytest.approx(np.hypot(cosine, sine), abs=0.03)
        assert found.direction == pytest.approx(np.degrees(np.arctan2(sine, cosine)) / 2, abs=3)


def test_a_ring_that_is_not_there_or_not_on_the_detector_is_refused(geometry):
    ring = ring_of(frame(1, height=0.0), geometry, two_theta=LINE, width=WIDTH)
    with pytest.raises(ReductionError, match="there is no line to be seen in the ring"):
        modulation(ring)
    with pytest.raises(ReductionError, match="of 24 sectors of the ring at 19"):
        ring_of(frame(1), geometry, two_theta=19.3, width=WIDTH)
