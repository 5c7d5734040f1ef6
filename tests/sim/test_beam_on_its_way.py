"""Exposures while the sample moves: what the beam meets on its way, and what stands beside a frame."""

import numpy as np
import pytest

from battbeam.sim.beam import Instants
from battbeam.sim.changer import place_of
from battbeam.sim.electrode import footprint
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.scenario import Beam, Cell, DeadSpot, Detector, Scenario
from battbeam.sim.shots import Request

BEAM = Beam(size_x=0.3, size_y=0.2)
SMOOTH = Cell(dead_spot=None)


def test_the_moments_of_a_footprint_on_its_way_are_those_of_beam_and_way():
    way = (0.24, -0.1)
    x, y, share = footprint(0.4, -0.3, beam=BEAM, cell=SMOOTH, way=way)
    assert share.sum() == pytest.approx(1)
    assert (share @ x, share @ y) == pytest.approx((0.4, -0.3))
    # Two independent even distributions: their variances add, and they go the way together.
    spread = [np.average((each - share @ each) ** 2, weights=share) for each in (x, y)]
    sides = [(0.3**2 + 0.24**2) / 12, (0.2**2 + 0.1**2) / 12]
    assert spread == pytest.approx(sides)
    together = share @ ((x - 0.4) * (y + 0.3))
    assert together == pytest.approx(0.24 * -0.1 / 12)


def test_a_beam_that_stands_meets_what_it_met_before_there_were_ways():
    for cell in (SMOOTH, Cell(dead_spot=DeadSpot(x=0.4, y=-0.3, radius=0.2))):
        one = footprint(0.4, -0.3, beam=BEAM, cell=cell)
        other = footprint(0.4, -0.3, beam=BEAM, cell=cell, way=(0.0, 0.0))
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_what_of_a_dead_spot_is_met_on_the_way_is_the_integral_over_it():
    spot = DeadSpot(x=0.5, y=0.0, radius=0.3)
    way = (0.37, 0.0)
    x, y, share = footprint(0.13, 0.1, beam=BEAM, cell=Cell(dead_spot=spot), way=way)
    met = share @ (np.hypot(x - spot.x, y - spot.y) <= spot.radius)
    # Middles of very many pieces of the beam and of the way.
    nodes = (np.arange(200) + 0.5) / 200 - 0.5
    u, v, s = np.meshgrid(nodes * 0.3, nodes * 0.2, nodes * way[0], sparse=True)
    inside = np.hypot(0.13 + u + s - spot.x, 0.1 + v - spot.y) <= spot.radius
    # By 21 points along each of three sides, as an edge is met by a beam that stands.
    assert met == pytest.approx(inside.mean(), abs=0.01)
    # Standing in the middle it would be another share, by far more.
    x, y, share = footprint(0.13, 0.1, beam=BEAM, cell=Cell(dead_spot=spot))
    assert abs(share @ (np.hypot(x - spot.x, y - spot.y) <= spot.radius) - met) > 0.03


def test_a_way_onto_the_electrode_meets_the_cell():
    scenario = Scenario(beam=BEAM)
    edge = scenario.cells[0].electrode_radius + 0.25
    assert place_of(scenario, edge, 0.0).in_beam == "nothing"
    assert place_of(scenario, edge, 0.0, (0.3, 0.0)).in_beam == "cell"


def test_an_exposure_knows_its_way():
    light = Instants(np.array([0.5]), np.array([1.0]))
    assert Exposure(0.0, 1.0, 2.0, 3.0, 2e4, light).way == (0.0, 0.0)
    moved = Exposure(0.0, 1.0, 2.0, 3.0, 2e4, light, 2.5, 3.0)
    assert moved.way == (0.5, 0.0)
    place = FrameModel(Scenario()).place_during(moved)
    assert (place.x, place.y, place.way) == (2.25, 3.0, (0.5, 0.0))
    assert Request(0.0, 1.0, 2.0, 3.0, 2e4, 1).stage_end == (2.0, 3.0)


def test_the_way_through_a_tilted_cell_is_longer_by_the_cosine():
    cell = Cell(dead_spot=None, gradient_x=0.0, tilt=1.5)
    small = {"n_rows": 16, "n_columns": 16, "pixel_size": 3.0}
    small |= {"centre_row": 8.0, "centre_column": 8.0}
    model = FrameModel(Scenario(cells=(cell,), detector=Detector(**small)))
    light = Instants(np.array([0.5]), np.array([1e8]))

    def passed(x, tilt):
        exposure = Exposure(0.0, 1.0, x, 0.0, 22163.0, light, tilt=tilt)
        return model.expected(exposure, lambda times: np.full(len(times), 0.5)).transmission

    straight = passed(0.0, None)
    assert passed(0.0, 1.5) == straight
    assert np.log(passed(0.0, 11.5)) == pytest.approx(np.log(straight) / np.cos(np.radians(10)))
    assert passed(0.0, -8.5) == pytest.approx(passed(0.0, 11.5))
    # Half of the beam passes beside the cell, at any tilt.
    beside = [(passed(cell.electrode_radius, tilt) - 0.5) / 0.5 for tilt in (1.5, 11.5)]
    assert np.log(beside[1]) / np.log(beside[0]) == pytest.approx(
        1 / np.cos(np.radians(10)), abs=0.02
    )
