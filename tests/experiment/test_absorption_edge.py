import math

import numpy as np
import pytest

from battbeam.experiment.absorption_edge import (
    AbsorptionEdge,
    energy_from_wavenumber,
    wavenumber_from_energy,
)


@pytest.mark.parametrize(
    ("label", "energy"),
    # X-ray data booklet (LBNL, 2009), table 1-1; the tables differ by up to 1 eV.
    [("Mn K", 6539.0), ("Fe K", 7112.0), ("Co K", 7709.0), ("Ni K", 8333.0), ("Cu K", 8979.0)],
)
def test_an_edge_lies_where_the_tables_have_it(label, energy):
    assert AbsorptionEdge.of(label).energy == pytest.approx(energy, abs=1.0)
    assert AbsorptionEdge.of(label).label == label


def test_an_edge_may_be_written_carelessly():
    assert AbsorptionEdge.of(" ni  k") == AbsorptionEdge.of("Ni K")


def test_an_energy_is_an_edge_without_an_element():
    edge = AbsorptionEdge.of(8340.5)
    assert (edge.energy, edge.element, edge.label) == (8340.5, "", "8340.5 eV")
    assert math.isnan(edge.core_hole_width)


@pytest.mark.parametrize(
    ("edge", "why"),
    [
        ("Xx K", "no element 'Xx'; write it as 'Ni K'"),
        ("Ni Q", "Ni has K, L1, L2"),
        ("Ni", "Ni has K, L1, L2"),
        (-3.0, "an edge lies above 0 eV, got -3 eV"),
    ],
)
def test_an_edge_that_is_none_is_refused(edge, why):
    with pytest.raises(ValueError, match=why):
        AbsorptionEdge.of(edge)


@pytest.mark.parametrize("edge", ["Ni K", 8340.5])
def test_an_edge_survives_its_document(edge):
    there = AbsorptionEdge.of(edge)
    back = AbsorptionEdge.read(there.document())
    assert (back.label, back.energy) == (there.label, there.energy)
    assert back.core_hole_width == pytest.approx(there.core_hole_width, nan_ok=True)


def test_the_wavenumber_is_that_of_a_free_electron():
    # E = 0.5 m v^2 and p = h / wavelength: 150.4 eV is 1 angstrom (de Broglie, textbook value).
    assert wavenumber_from_energy(150.412) == pytest.approx(2 * math.pi, rel=1e-5)


def test_energy_and_wavenumber_survive_the_way_there_and_back():
    k = np.linspace(0, 16, 33)
    assert np.allclose(wavenumber_from_energy(energy_from_wavenumber(k)), k, atol=1e-12)
