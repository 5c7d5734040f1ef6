import numpy as np
import pytest
from scipy.integrate import quad

from battbeam.reduction.saxs_model import (
    forward_volume,
    guinier_radius_of,
    mean_power,
    sphere_form,
    spheres,
)


def by_integral(q, radius, width):
    """Intensity of each size times how many there are, over ln(radius)."""

    def number(x):
        return np.exp(-(((x - np.log(radius)) / width) ** 2) / 2)

    low, high = np.log(radius) - 4 * width, np.log(radius) + 20 * width
    above = quad(
        lambda x: number(x) * np.exp(6 * x) * float(sphere_form(q * np.exp(x))),
        low,
        high,
        limit=800,
    )[0]
    return above / quad(lambda x: number(x) * np.exp(6 * x), low, high, limit=800)[0]


@pytest.mark.parametrize(("radius", "width"), [(50.0, 0.1), (30.0, 0.3), (20.0, 0.45)])
def test_spheres_of_many_sizes_are_the_integral_over_their_sizes(radius, width):
    q = np.array([1e-4, 0.01, 0.05, 0.1, 0.15])
    expected = [by_integral(value, radius, width) for value in q]
    assert spheres(q, radius=radius, width=width) == pytest.approx(expected, rel=2e-3)


def test_the_slope_at_small_angles_is_guiniers():
    radius, width = 40.0, 0.25
    q = np.array([1e-3, 2e-3])
    slope = np.diff(np.log(spheres(q, radius=radius, width=width))) / np.diff(q**2)
    assert np.sqrt(-3 * slope[0]) == pytest.approx(
        guinier_radius_of(radius=radius, width=width), rel=1e-3
    )
    assert guinier_radius_of(radius=radius, width=0.0) == pytest.approx(radius * np.sqrt(0.6))


def test_the_fall_at_large_angles_is_porods():
    """9 / 2 <R^2> / <R^6> q^-4 of the intensity at q = 0, and (q R)^-2 of it beside."""
    radius, width, q = 60.0, 0.3, np.linspace(0.2, 0.3, 200)
    law = (
        4.5 * mean_power(2, radius=radius, width=width) / mean_power(6, radius=radius, width=width)
    )
    seen = (spheres(q, radius=radius, width=width) * q**4).mean()
    assert seen == pytest.approx(law, rel=0.015)


def test_volumes_of_one_size_are_those_of_a_sphere():
    assert forward_volume(radius=10.0, width=0.0) == pytest.approx(4 / 3 * np.pi * 1000)
    assert forward_volume(radius=10.0, width=0.2) == pytest.approx(
        4 / 3 * np.pi * 1000 * np.exp((36 - 9) * 0.2**2 / 2)
    )


def test_a_small_argument_does_not_lose_its_digits():
    u = np.array([1e-6, 0.0499, 0.0501])
    assert sphere_form(u) == pytest.approx(1 - u**2 / 5 + 3 * u**4 / 175, abs=1e-9)
