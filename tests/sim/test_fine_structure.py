import numpy as np
import pytest

from battbeam.scattering_paths import scattering_path
from battbeam.sim.fine_structure import (
    JOIN_END,
    NearEdge,
    Peak,
    Rise,
    Shell,
    exafs,
    normalized_absorption,
    wavenumber,
)

EDGE = NearEdge(
    position=8345.0,
    rises=(Rise(0.8, 0.0, 4.0), Rise(0.2, 5.0, 5.0)),
    peaks=(Peak(5.5, 0.35, 5.0),),
    pre_edge=Peak(-10.0, 0.05, 1.5),
)
OXYGEN, METAL = Shell("O", 6, 1.95, 0.006), Shell("Ni", 6, 2.85, 0.005)


def shape(energy, near_edge=EDGE, shells=(), broadening=1.7):
    return normalized_absorption(energy, near_edge, shells, absorber="Ni", broadening=broadening)


def test_the_wavenumber_is_that_of_a_free_electron():
    # hbar^2 k^2 / 2 m = 3.80998 eV at 1 / angstrom.
    k = wavenumber(np.array([90.0, 103.80998, 100 + 4 * 3.80998]), edge_energy=100.0)
    np.testing.assert_allclose(k, [0.0, 1.0, 2.0], atol=1e-5)


@pytest.mark.parametrize("broadening", [1.0, 1.7, 3.0])
def test_an_oxides_position_is_its_half_step_whatever_the_resolution(broadening):
    assert shape(np.array([EDGE.position]), broadening=broadening)[0] == pytest.approx(0.5)


def test_a_metals_position_is_its_inflection():
    metal = NearEdge(
        position=8333.0,
        rises=(Rise(0.45, 0.0, 1.5), Rise(0.55, 8.0, 6.0)),
        peaks=(Peak(13.0, 0.1, 6.0),),
        by_inflection=True,
    )
    energy = np.linspace(8323.0, 8353.0, 30_001)
    slope = np.gradient(shape(energy, metal), energy)
    assert energy[np.argmax(slope)] == pytest.approx(8333.0, abs=0.02)


def test_far_from_the_edge_a_shape_is_0_and_1():
    energy = EDGE.position + np.array([-200.0, -50.0, 60.0, 500.0])
    np.testing.assert_allclose(shape(energy), [0.0, 0.0, 1.0, 1.0], atol=1e-6)


def test_resolution_broadens_the_pre_edge_and_keeps_its_area():
    energy = np.linspace(8325.0, 8339.5, 20_001)
    without = NearEdge(EDGE.position, EDGE.rises, EDGE.peaks)
    for broadening in (0.5, 1.5):
        peak = shape(energy, broadening=broadening) - shape(energy, without, broadening=broadening)
        area = np.trapezoid(peak, energy)
        assert area == pytest.approx(EDGE.pre_edge.area, rel=2e-2)
        assert EDGE.pre_edge.area == pytest.approx(0.05 * 1.5 * 1.0645, rel=1e-4)


def test_one_shell_follows_the_exafs_equation():
    path, k = scattering_path("Ni", "O"), np.array([4.0, 7.0, 10.0])
    at = [np.searchsorted(path.k, value - 1e-6) for value in k]
    expected = (
        6
        * 0.85
        * path.amplitude[at]
        / (k * 1.95**2)
        * np.exp(-2 * k**2 * 0.006)
        * np.exp(-2 * 1.95 / path.mean_free_path[at])
        * np.sin(2 * k * 1.95 + path.phase[at])
    )
    np.testing.assert_allclose(exafs(k, (OXYGEN,), absorber="Ni"), expected, rtol=1e-9)


def test_shells_add_up_and_there_is_nothing_at_0_and_beyond_the_tables():
    k = np.array([0.0, 5.0, 25.0])
    both = exafs(k, (OXYGEN, METAL), absorber="Ni")
    alone = exafs(k, (OXYGEN,), absorber="Ni") + exafs(k, (METAL,), absorber="Ni")
    np.testing.assert_allclose(both, alone)
    assert both[0] == both[2] == 0.0


def test_exafs_is_whole_from_the_join_on_and_sets_in_without_a_step():
    energy = np.arange(EDGE.position + 10, EDGE.position + 300, 0.05)
    wiggles = shape(energy, shells=(OXYGEN, METAL)) - shape(energy)
    k = wavenumber(energy, edge_energy=EDGE.position)
    whole = k >= JOIN_END
    chi = exafs(k, (OXYGEN, METAL), absorber="Ni")
    np.testing.assert_allclose(wiggles[whole], chi[whole], atol=1e-12)
    assert np.abs(np.diff(wiggles)).max() < 0.003
