import numpy as np
import pytest

from battbeam.reduction.local_fit import smoothing_matrix

ENERGY = np.sort(np.random.default_rng(1).uniform(0, 40, 120))
AT = np.linspace(4, 36, 50)


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_a_parabola_passes_unchanged_and_so_do_its_derivatives(derivative):
    curve = 2 - 0.4 * ENERGY + 0.03 * ENERGY**2
    exact = (2 - 0.4 * AT + 0.03 * AT**2, -0.4 + 0.06 * AT, np.full(50, 0.06))[derivative]
    found = smoothing_matrix(ENERGY, AT, width=1.5, derivative=derivative) @ curve
    assert found == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_a_fourth_power_passes_a_fit_of_the_fourth_degree(derivative):
    curve = np.poly1d([2e-4, -0.01, 0.03, -0.4, 2.0])
    found = smoothing_matrix(ENERGY, AT, width=1.5, derivative=derivative, degree=4)
    exact = curve.deriv(derivative) if derivative else curve
    assert found @ curve(ENERGY) == pytest.approx(exact(AT), abs=1e-7)


def test_points_far_apart_widen_the_weights():
    energy = np.arange(0, 100, 10.0)
    found = smoothing_matrix(energy, np.array([45.0]), width=0.5) @ energy
    assert found == pytest.approx([45.0])
