"""A wave behind known phases and absorptions, against closed forms."""

import math

import numpy as np
import pytest

from battbeam.sim.phantom_body import Body
from battbeam.sim.phantom_matter import matter_of
from battbeam.sim.phantom_outlines import Disc, Rectangle
from battbeam.sim.phantom_shapes import Ellipsoid, Grid, Prism
from battbeam.sim.projection import intensity_behind, projected
from battbeam.units import wavelength_from_energy

ENERGY = 22_163.0
WAVELENGTH = wavelength_from_energy(ENERGY) * 1e-7
ALUMINIUM = matter_of("Al")


def grid(n=120, half=0.6):
    edges = np.linspace(-half, half, n + 1)
    return Grid(edges, np.linspace(-0.2, 0.2, 41))


def middles(edges):
    return (edges[:-1] + edges[1:]) / 2


def absorbance(body, where, omega=0.0):
    return 2 * projected([body], where, omega=omega, energy=ENERGY).real


def test_the_line_integral_of_a_cylinder_is_that_of_its_chord():
    where, radius = grid(n=1200), 0.5
    found = absorbance(Body(Prism(Disc(0, 0, radius), -1, 1), ALUMINIUM), where, 33.0)
    u = middles(where.u)
    wanted = 2 * np.sqrt(np.maximum(radius**2 - u**2, 0)) * ALUMINIUM.attenuation(ENERGY)
    inner = np.abs(u) < 0.49
    np.testing.assert_allclose(found[10][inner], wanted[inner], rtol=1e-4)


def test_the_line_integral_of_a_box_is_that_of_its_width_along_the_ray():
    where = grid()
    body = Body(Prism(Rectangle(0, 0, 0.5, 0.2), -1, 1), ALUMINIUM)
    attenuation = ALUMINIUM.attenuation(ENERGY)
    for omega, width in ((0.0, 0.2), (90.0, 0.5), (30.0, 0.2 / math.cos(math.pi / 6))):
        assert absorbance(body, where, omega)[10, 60] == pytest.approx(width * attenuation)


def test_the_line_integral_of_a_sphere_is_that_of_its_chord():
    where, radius = grid(n=1200), 0.15
    found = absorbance(Body(Ellipsoid.sphere((0, 0, 0.1), radius), ALUMINIUM), where)
    u, y = np.meshgrid(middles(where.u), middles(where.y))
    far = u**2 + y**2
    wanted = 2 * np.sqrt(np.maximum(radius**2 - far, 0)) * ALUMINIUM.attenuation(ENERGY)
    inner = far < (0.8 * radius) ** 2
    # pixels are 0.01 mm high: the mean of a chord is not its middle
    np.testing.assert_allclose(found[inner], wanted[inner], rtol=2e-3)


def test_bodies_add_up():
    where = grid()
    bodies = [
        Body(Prism(Disc(0, 0, 0.5), -0.1, 0.1), ALUMINIUM),
        Body(Prism(Disc(0, 0.1, 0.2), -0.05, 0.1), ALUMINIUM * -1.0),
        Body(Ellipsoid.sphere((0.3, 0, 0), 0.1), matter_of("Li")),
    ]
    together = projected(bodies, where, omega=12.0, energy=ENERGY)
    apart = sum(projected([body], where, omega=12.0, energy=ENERGY) for body in bodies)
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_without_a_distance_only_absorption_is_seen():
    rng = np.random.default_rng(1)
    exponent = rng.uniform(0, 1, (8, 9)) + 1j * rng.uniform(0, 50, (8, 9))
    found = intensity_behind(exponent, step=0.001, distance=0.0, energy=ENERGY)
    np.testing.assert_allclose(found, np.exp(-2 * exponent.real), rtol=1e-5)


@pytest.mark.parametrize(("distance", "order"), [(40.0, 6), (300.0, 6), (300.0, 15)])
def test_a_weak_phase_grating_shows_the_sine_of_its_fresnel_phase(distance, order):
    n, step, depth = 240, 0.0005, 0.01
    frequency = order / (2 * n * step)
    wave = np.cos(2 * np.pi * frequency * (np.arange(n) + 0.5) * step)
    exponent = 1j * depth * np.tile(wave, (16, 1))
    found = intensity_behind(exponent, step=step, distance=distance, energy=ENERGY)
    # Guigay (1977): I = 1 + 2 phi sin(pi wavelength distance f^2); the phase here is -depth cos
    wanted = 1 - 2 * depth * math.sin(math.pi * WAVELENGTH * distance * frequency**2) * wave
    np.testing.assert_allclose(found[5], wanted, atol=2e-4)


def test_a_weak_absorption_grating_shows_the_cosine_of_its_fresnel_phase():
    n, step, depth, distance = 240, 0.0005, 0.01, 300.0
    frequency = 15 / (2 * n * step)
    wave = np.cos(2 * np.pi * frequency * (np.arange(n) + 0.5) * step)
    exponent = depth / 2 * np.tile(1 + wave, (16, 1)).astype(complex)
    found = intensity_behind(exponent, step=step, distance=distance, energy=ENERGY)
    seen = math.cos(math.pi * WAVELENGTH * distance * frequency**2)
    np.testing.assert_allclose(found[5], 1 - depth * (1 + seen * wave), atol=2e-4)


@pytest.mark.parametrize("distance", [20.0, 2000.0])
def test_propagation_loses_no_photon_and_makes_none_negative(distance):
    where = grid(n=240)
    body = Body(Ellipsoid.sphere((0, 0, 0.1), 0.15), matter_of("polymer"))
    exponent = projected([body], where, omega=0.0, energy=ENERGY)
    near, far = (
        intensity_behind(exponent, step=0.005, distance=at, energy=ENERGY) for at in (0.0, distance)
    )
    assert far.sum() == pytest.approx(near.sum(), rel=1e-5)
    assert np.abs(far - near).max() > 0.01
    assert far.min() >= 0


def test_light_at_coarse_samples_moves_as_a_weak_wave_does():
    n, step, depth, distance = 200, 0.005, 0.01, 50.0
    assert step**2 > 2 * WAVELENGTH * distance
    frequency = 20 / (2 * n * step)
    wave = np.cos(2 * np.pi * frequency * (np.arange(n) + 0.5) * step)
    found = intensity_behind(
        1j * depth * np.tile(wave, (16, 1)), step=step, distance=distance, energy=ENERGY
    )
    wanted = 1 - 2 * depth * math.sin(math.pi * WAVELENGTH * distance * frequency**2) * wave
    # differences of neighbours fall short of a derivative by (pi f step)^2 / 12, 0.2 % here
    np.testing.assert_allclose(found[5] - 1, wanted - 1, atol=0.01 * (wanted - 1).max())


def test_light_behind_a_steep_edge_moves_no_further_than_a_sample_diffracts_it():
    exponent = np.zeros((20, 20), dtype=complex)
    exponent[:, 10:] += 1000j
    found = intensity_behind(exponent, step=0.005, distance=50.0, energy=ENERGY)
    most = WAVELENGTH * 50.0 / 2 / 0.005**2
    assert np.abs(found[5] - 1).max() == pytest.approx(most)


def test_an_edge_of_lithium_shows_by_propagation_alone():
    step = 0.0005
    edges = (np.arange(321) - 160) * step
    where = Grid(edges, edges[::20])
    # in electrolyte of the same thickness, as in a cell
    change = matter_of("Li") - matter_of("electrolyte")
    foil = Body(Prism(Rectangle(0, 0, 0.08, 0.2), -1, 1), change)
    exponent = projected([foil], where, omega=0.0, energy=ENERGY)

    def contrast(distance):
        row = intensity_behind(exponent, step=step, distance=distance, energy=ENERGY)[4]
        return row.max() - row.min()

    assert contrast(0.0) < 0.02
    assert contrast(50.0) > 10 * contrast(0.0)
