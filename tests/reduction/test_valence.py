import numpy as np
import pytest
from spectrum_generator import Edge, grid

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.valence import ValenceLine, pre_edge_area


def test_a_line_through_two_standards_meets_both():
    line = ValenceLine.through([8343.5, 8347.1], [2.0, 4.0], edge_position_errors=[0.0, 0.0])
    assert line.at(8343.5, 0.0) == pytest.approx((2.0, 0.0))
    assert line.at(8345.3, 0.09) == pytest.approx((3.0, 0.05))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_errors_hold_those_of_standards_and_of_the_edge(n):
    rng = np.random.default_rng(n)
    states = np.linspace(2, 4, n)
    pulls = []
    for _ in range(1000):
        truth = rng.uniform(1.8, 4.2)
        edges = 8340 + 1.8 * states + 0.05 * rng.normal(size=n)
        line = ValenceLine.through(edges, states, edge_position_errors=np.full(n, 0.05))
        value, error = line.at(8340 + 1.8 * truth + 0.03 * rng.normal(), 0.03)
        pulls.append((value - truth) / error)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(1000)
    # Where the scatter is the larger of the two the error takes it: with few standards too wide.
    assert 0.75 < np.std(pulls) < 1.06


def test_standards_off_the_line_widen_the_error():
    straight = ValenceLine.through([0, 1, 2, 3], [2, 2.5, 3, 3.5], edge_position_errors=[0.01] * 4)
    bent = ValenceLine.through([0, 1, 2, 3], [2, 2.6, 2.9, 3.5], edge_position_errors=[0.01] * 4)
    assert bent.at(1.5, 0.01)[1] > 3 * straight.at(1.5, 0.01)[1]


@pytest.mark.parametrize("edges", [[8343.5], [8343.5, 8343.5]])
def test_one_position_makes_no_line(edges):
    with pytest.raises(ValueError, match="a line needs two edge positions"):
        ValenceLine.through(edges, [2.0] * len(edges), edge_position_errors=[0.0] * len(edges))


@pytest.mark.parametrize("area", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("fine", [0.25, 0.5])
@pytest.mark.parametrize("moved", [0.0, 1.6, 3.7])
def test_a_peak_before_the_edge_has_its_area_wherever_it_is(area, fine, moved):
    energy = grid(8333.0, fine=fine)
    shape = Edge(8343.5 + moved, pre_edge=area, pre_edge_energy=8332.5 + moved)
    exact = Absorbance(shape(energy), np.full(len(energy), 1e-4))
    found, _ = pre_edge_area(energy, exact, between=(8330, 8339), edge_position=8343.5 + moved)
    # 1.5 % of the peak lies outside, or under the base; the edge is arctan, not 1 / x: 0.003 eV.
    assert found == pytest.approx(area, abs=0.003 + 0.015 * area)


def test_the_area_has_the_error_of_its_scatter():
    energy, rng = grid(7112.0), np.random.default_rng(7)
    clean = Edge(7124.0, pre_edge=0.2, pre_edge_energy=7112.5)(energy)
    found = []
    for _ in range(500):
        noisy = Absorbance(clean + 2e-3 * rng.normal(size=len(energy)), np.full(len(energy), 2e-3))
        found.append(pre_edge_area(energy, noisy, between=(7109, 7118), edge_position=7124.0))
    areas, errors = np.array(found).T
    assert areas.std() == pytest.approx(errors.mean(), rel=0.13)


def test_where_there_is_no_peak_none_is_made_of_noise():
    energy, rng = grid(7112.0), np.random.default_rng(8)
    clean = Edge(7124.0)(energy)
    pulls = []
    for _ in range(300):
        noisy = Absorbance(clean + 5e-3 * rng.normal(size=len(energy)), np.full(len(energy), 5e-3))
        area, error = pre_edge_area(energy, noisy, between=(7109, 7118), edge_position=7124.0)
        pulls.append(area / error)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(300) + 0.05
    assert np.std(pulls) == pytest.approx(1, abs=0.17)


@pytest.mark.parametrize("begin", [8331.5, 8341.0])
def test_an_area_without_a_base_is_unknown(begin):
    energy = np.arange(begin, 8400, 0.5)
    curve = Absorbance(np.zeros(len(energy)), np.ones(len(energy)))
    assert np.isnan(pre_edge_area(energy, curve, between=(8330, 8336), edge_position=8343.5)).all()
