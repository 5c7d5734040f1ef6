"""Scans of a beam of finite size over a cell, counted photon by photon."""

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.edges_of_cell import (
    centre_of,
    edge_of_transmission,
    tilt_of_transmission,
    transmission,
)

EDGES = (-6.03, 5.91)


def scanned(position, rng, *, photons=2e5, beam=0.5, inside=0.55):
    """A box of a beam over a cell between two edges: the share of it that passes the cell."""
    low, high = position - beam / 2, position + beam / 2
    covered = np.clip(np.minimum(high, EDGES[1]) - np.maximum(low, EDGES[0]), 0, None) / beam
    passed = 1 - covered * (1 - inside)
    incident = rng.poisson(photons, len(position))
    return transmission(incident, rng.poisson(photons * passed))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("backwards", [False, True])
def test_an_edge_is_where_half_of_the_beam_is_beside_the_cell(side, backwards):
    pulls = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        position = EDGES[side] + np.linspace(-1.5, 1.5, 31) + rng.uniform(-0.1, 0.1)
        position = position[::-1] if backwards else position
        found = edge_of_transmission(position, *scanned(position, rng))
        pulls.append((found.position - EDGES[side]) / found.position_error)
        assert found.position == pytest.approx(EDGES[side], abs=0.02)
    # A box is no Gaussian; both are symmetric.
    assert_honest(pulls, bias=0.3)
    # A box of 0.5 mm has a standard deviation of 0.5 / sqrt(12).
    assert found.width == pytest.approx(0.5 / np.sqrt(12), rel=0.15)


def test_the_centre_is_half_way_between_the_edges():
    rng = np.random.default_rng(1)
    both = []
    for edge in EDGES:
        position = edge + np.linspace(-1, 1, 21)
        both.append(edge_of_transmission(position, *scanned(position, rng)))
    centre = centre_of(*both)
    assert centre.position == pytest.approx(sum(EDGES) / 2, abs=4 * centre.position_error)
    assert centre.size == pytest.approx(EDGES[1] - EDGES[0], abs=4 * centre.size_error)
    assert centre.position_error == pytest.approx(centre.size_error / 2)
    assert centre.position_error < 0.02


def test_a_scan_without_an_edge_or_with_half_of_one_is_refused():
    rng = np.random.default_rng(2)
    position = np.linspace(-3, 3, 31)
    with pytest.raises(ReductionError, match=r"no edge between -3\.00 and 3\.00 mm"):
        edge_of_transmission(position, *scanned(position, rng))
    with pytest.raises(ReductionError, match="4 points of a scan, 6 needed for an edge"):
        edge_of_transmission(position[:4], *scanned(position[:4], rng))
    beside = np.linspace(EDGES[1] - 1.5, EDGES[1] - 0.02, 31)
    with pytest.raises(ReductionError, match="is not wholly between"):
        edge_of_transmission(beside, *scanned(beside, rng, photons=1e7))


def test_a_point_without_counts_is_refused():
    with pytest.raises(ReductionError, match="a point of the scan has no counts"):
        transmission(np.array([100.0, 0.0]), np.array([50.0, 50.0]))


def tilted(tilt, rng, *, perpendicular, depth=0.6, photons=1e7):
    passed = np.exp(-depth / np.cos(np.radians(tilt - perpendicular)))
    return transmission(rng.poisson(photons, len(tilt)), rng.poisson(photons * passed))


@pytest.mark.parametrize("perpendicular", [0.0, 1.7, -3.0])
def test_the_tilt_of_a_cell_is_where_the_way_through_it_is_shortest(perpendicular):
    tilt, pulls = np.linspace(-15, 15, 31), []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        found = tilt_of_transmission(tilt, *tilted(tilt, rng, perpendicular=perpendicular))
        pulls.append((found.tilt - perpendicular) / found.tilt_error)
        assert found.tilt == pytest.approx(perpendicular, abs=0.4)
    assert_honest(pulls)
    assert found.tilt_error < 0.1


def test_a_tilt_that_was_not_passed_is_refused():
    rng = np.random.default_rng(3)
    tilt = np.linspace(5, 15, 21)
    with pytest.raises(ReductionError, match="no highest transmission between"):
        tilt_of_transmission(tilt, *tilted(tilt, rng, perpendicular=0.0))
    with pytest.raises(ReductionError, match="3 points of a scan, 6 needed for a tilt"):
        tilt_of_transmission(tilt[:3], *tilted(tilt[:3], rng, perpendicular=0.0))
