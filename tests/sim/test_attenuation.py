import numpy as np
import pytest
import xraydb

from battbeam import materials
from battbeam.scattering_paths import ABSORBERS
from battbeam.sim.attenuation import KEdge, Mixture, molar_attenuation


@pytest.mark.parametrize("element", ["Li", "C", "O", "Al", "P", "Fe", "Ni", "Sn"])
def test_the_tables_are_those_of_xraydb(element):
    energy = np.random.default_rng(1).uniform(4000.0, 40_000.0, 3000)
    apart = [abs(energy - edge.energy) > 0.2 for edge in xraydb.xray_edges(element).values()]
    energy = energy[np.all(apart, axis=0)]
    expected = xraydb.mu_elam(element, energy) * materials.atomic_mass(element)
    np.testing.assert_allclose(molar_attenuation(element, energy), expected, rtol=3e-5)


def test_a_mixture_is_the_sum_of_its_elements():
    amounts = {"Li": 1e-3, "Fe": 2e-5, "P": 2e-5, "O": 8e-5, "Sn": 0.0}
    energy = np.linspace(7000.5, 7300.5, 300)
    expected = sum(moles * molar_attenuation(name, energy) for name, moles in amounts.items())
    np.testing.assert_allclose(Mixture(amounts).absorbance(energy), expected, rtol=1e-7)
    assert Mixture({}).absorbance(energy).tolist() == [0.0] * 300


@pytest.mark.parametrize("element", ABSORBERS)
def test_what_all_shells_absorb_far_from_the_edge_is_the_tabulated_attenuation(element):
    edge = KEdge.of(element)
    below, above = edge.energy - np.array([300.0, 30.0, 1.0]), edge.energy + np.array([1.0, 2000.0])
    others, _ = edge.shells(below)
    np.testing.assert_allclose(others, molar_attenuation(element, below), rtol=1e-9)
    np.testing.assert_allclose(
        sum(edge.shells(above)), molar_attenuation(element, above), rtol=1e-9
    )


@pytest.mark.parametrize("element", ABSORBERS)
def test_both_parts_go_on_smoothly_over_the_edge(element):
    edge = KEdge.of(element)
    energy = edge.energy + np.arange(-100.0, 101.0)
    for part in edge.shells(energy):
        assert np.all(np.diff(part) < 0)
        assert np.abs(np.diff(np.log(part), 2)).max() < 3e-5


@pytest.mark.parametrize("element", ABSORBERS)
def test_the_jump_ratio_is_the_tabulated_one(element):
    edge = KEdge.of(element)
    _, k_shell = edge.shells(np.array([edge.energy]))
    # Elam's ratio is of photoelectric absorption alone.
    photo = float(xraydb.mu_elam(element, edge.energy - 1, kind="photo"))
    expected = photo * (xraydb.xray_edge(element, "K").jump_ratio - 1)
    assert k_shell[0] / materials.atomic_mass(element) == pytest.approx(expected, rel=5e-3)


def test_lines_and_yields_are_those_of_xraydb():
    nickel = KEdge.of("Ni")
    assert nickel.line_energy == pytest.approx(7475, abs=5)
    assert nickel.fluorescence_yield == pytest.approx(0.412, abs=1e-3)
    assert nickel.line_yield == pytest.approx(0.412 * 0.873, abs=1e-3)
