import numpy as np
import pytest
from spectrum_generator import Edge, Foil, grid

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.edge_place import half_height, steepest_point


@pytest.mark.parametrize("seed", range(3))
def test_the_steepest_point_of_a_foil_has_the_error_of_its_scatter(seed):
    energy, rng = grid(8333.0), np.random.default_rng(seed)
    clean = 0.3 + 1.2 * Foil(8333.0)(energy)
    found = []
    for _ in range(150):
        noisy = Absorbance(clean + 3e-3 * rng.normal(size=len(energy)), np.full(len(energy), 3e-3))
        place = steepest_point(energy, noisy, between=(8318, 8348))
        found.append((place.energy, place.error))
    places, errors = np.array(found).T
    # What is left of smoothing, which draws it towards the second step.
    assert places.mean() == pytest.approx(8333.0, abs=0.012)
    assert places.std() == pytest.approx(errors.mean(), rel=0.25)


@pytest.mark.parametrize("fine", [0.3, 0.5, 0.7])
def test_the_steepest_point_is_hardly_drawn_to_the_gentle_side_and_its_error_says_so(fine):
    shape, found = Foil(8333.0), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        energy = grid(8333.0, fine=fine) + rng.uniform(0, fine)
        jitter = 0.02 * rng.normal(size=len(energy))
        values = shape(energy + jitter) + 1e-3 * rng.normal(size=len(energy))
        errors = np.hypot(1e-3, np.gradient(shape(energy), energy) * 0.02)
        place = steepest_point(energy, Absorbance(values, errors), between=(8318, 8348))
        found.append((place.energy - 8333.0, place.error))
    off, errors = np.array(found).T
    # A parabola is drawn 0.018 eV, 1.3 of its errors.
    assert abs(off.mean()) < 0.012
    # Of 100: good to 0.07. At 0.7 eV the place also moves with the grid.
    assert 0.75 < np.sqrt(np.mean((off / errors) ** 2)) < 1.4


def test_half_height_has_the_error_of_its_scatter_and_is_only_looked_for_inside():
    energy, rng = grid(8333.0), np.random.default_rng(1)
    found = []
    for _ in range(150):
        values = Edge(8343.5)(energy) + 3e-3 * rng.normal(size=len(energy))
        place = half_height(
            energy, Absorbance(values, np.full(len(energy), 3e-3)), between=(8320, 8360)
        )
        found.append((place.energy, place.error))
    places, errors = np.array(found).T
    assert places.std() == pytest.approx(errors.mean(), rel=0.2)
    outside = half_height(
        energy, Absorbance(values, np.full(len(energy), 3e-3)), between=(8350, 8360)
    )
    assert np.isnan(outside.energy)
