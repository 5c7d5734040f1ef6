"""Rings of a standard, drawn at many points of each pixel of a bench that is known."""

from functools import cache

import numpy as np
import pytest
from pattern_generator import Bench
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.saxs_geometry import SILVER_BEHENATE, calibrate_small_angle
from battbeam.units import q_from_two_theta

GUESS = {
    "distance": 1450.0,
    "centre": (61.0, 67.0),
    "pixel_size": (0.344, 0.344),
    "energy": 22163.0,
}


@cache
def bench(centre=(62.7, 65.1), distance=1512.3):
    return Bench(
        shape=(128, 128),
        pixel=(0.344, 0.344),
        distance=distance,
        centre=centre,
        rotation=(0.0, 0.0),
    )


@cache
def drawn(centre=(62.7, 65.1), distance=1512.3):
    made = bench(centre, distance)
    q = q_from_two_theta(two_theta=made.samples(0.0), energy=made.energy)
    ring = 5 * np.exp(-(((q - 2 * np.pi / SILVER_BEHENATE) / 0.002) ** 2) / 2)
    return made.over_pixels(ring + 0.3 + 0.02 / q)


def frame(seed, *, counts=2e6, **place):
    image = drawn(**place)
    return np.random.default_rng(seed).poisson(counts * image / image.sum())


def test_distance_and_centre_come_back_within_honest_errors():
    pulls, distances = {"distance": [], "row": [], "column": []}, []
    for seed in range(30):
        found = calibrate_small_angle(frame(seed), **GUESS)
        distances.append(found.distance)
        pulls["distance"].append((found.distance - 1512.3) / found.distance_error)
        for axis, name in enumerate(("row", "column")):
            off = found.centre[axis] - (62.7, 65.1)[axis]
            pulls[name].append(off / found.centre_error[axis])
            assert off == pytest.approx(0, abs=0.05)
    # Pixels cut the ring as they lie, the same in every frame: a thousandth of its radius.
    for each in pulls.values():
        assert_honest(each, bias=1.5)
    assert np.mean(distances) == pytest.approx(1512.3, rel=1e-3)


def test_half_a_ring_is_enough():
    found = calibrate_small_angle(frame(1, centre=(20.0, 66.0)), **GUESS | {"centre": (22.0, 64.0)})
    assert found.centre == pytest.approx((20.0, 66.0), abs=0.1)
    assert found.distance == pytest.approx(1512.3, rel=2e-3)


def test_the_geometry_that_is_written_is_the_one_that_was_found(tmp_path):
    found = calibrate_small_angle(frame(1), **GUESS)
    found.write(tmp_path / "saxs.poni")
    found.write(tmp_path / "saxs.poni")
    seen = PixelGeometry.read(tmp_path / "saxs.poni", (128, 128))
    truth = PixelGeometry.read(bench().save(tmp_path)[0], (128, 128))
    assert seen.two_theta == pytest.approx(truth.two_theta, rel=2e-3, abs=2e-3)
    assert seen.energy == pytest.approx(22163.0)


def test_a_ring_that_is_not_there_or_beside_the_detector_is_refused():
    flat = np.random.default_rng(1).poisson(50.0 * np.ones((128, 128)))
    with pytest.raises(ReductionError, match="the ring is seen in 0 of 48 sectors, 8 needed"):
        calibrate_small_angle(flat, **GUESS)
    with pytest.raises(ReductionError, match="does its ring lie on the detector"):
        calibrate_small_angle(frame(1), **GUESS | {"distance": 6000.0})
    corner = frame(1, centre=(-40.0, -40.0))
    with pytest.raises(ReductionError, match=r"ring"):
        calibrate_small_angle(corner, **GUESS | {"centre": (-40.0, -40.0)})
