"""Frames of the simulation, reduced by what knows nothing of it."""

from pathlib import Path

import numpy as np
import pytest

from battbeam.reduction.reconstruction import reconstruct
from battbeam.reduction.tomography import Projections, TomographyOptions, TomographyReducer
from battbeam.sim.imaging import ImagingModel, View
from battbeam.sim.phantom import PhantomState, inside_of, volume_truth
from battbeam.sim.phantom_body import Body
from battbeam.sim.phantom_matter import matter_of
from battbeam.sim.phantom_shapes import Ellipsoid, Grid
from battbeam.sim.projection import projected
from battbeam.sim.scenario import Scenario

SCENARIOS = Path(__file__).parents[2] / "sim"


def tomogram_of(scenario, state, *, number=1, n=181, exposure=0.05):
    """Projections over half a turn, with flats and darks."""
    model, rng = ImagingModel(scenario), np.random.default_rng(5)
    inside = inside_of(scenario, state, number=number)
    (x, y), energy = scenario.positions[number - 1], scenario.beam.energy

    def frame(view, seen):
        seconds = 0.0 if view is None else exposure
        photons = (
            np.zeros((scenario.imaging.n_rows, scenario.imaging.n_columns))
            if view is None
            else model.photons(view, seconds, inside if seen else None, number)
        )
        return model.counts(photons, duration=exposure, rng=rng)

    omega = np.linspace(0, 180, n)
    return Projections(
        counts=np.array([frame(View(x, y, each, each, energy), True) for each in omega]),
        omega=omega,
        time=np.arange(n) + 10.0,
        flats=np.array([frame(View(x + 19, y, 0.0, 0.0, energy), False) for _ in range(20)]),
        flat_time=np.zeros(20),
        darks=np.array([frame(None, False) for _ in range(20)]),
        pixel_size=scenario.imaging.pixel_size,
        energy=energy,
    )


@pytest.mark.parametrize(
    ("name", "number", "content", "exposure"),
    [
        ("sno_particles", 1, 4.0, 0.05),
        ("wound_primary", 1, 0.6, 0.02),
        ("aged_cathode", 2, 0.9, 0.1),
    ],
)
def test_axis_and_volume_are_those_of_the_truth(name, number, content, exposure):
    scenario = Scenario.read(SCENARIOS / f"{name}.toml")
    state = PhantomState.of(scenario.cells[number - 1], lithium_content=content)
    projections = tomogram_of(scenario, state, number=number, exposure=exposure)
    found = TomographyReducer(TomographyOptions(), projections.shape).reduce(projections)
    imaging = scenario.imaging
    assert found.valid, found.reason
    assert found.axis == pytest.approx((imaging.n_columns - 1) / 2 + imaging.axis_offset, abs=0.1)
    rows, _, columns = found.volume.shape
    # four rows in the middle
    truth = volume_truth(
        scenario, state, energy=scenario.beam.energy, number=number, shape=(4, columns, columns)
    )
    slab = found.volume[rows // 2 - 2 : rows // 2 + 2]
    assert np.corrcoef(slab.ravel(), truth.ravel())[0, 1] > 0.95
    # slope of what is found against what is there: no scale is lost
    slope = np.polyfit(truth.ravel(), slab.ravel(), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(("x", "z"), [(0.0, 0.3), (0.25, 0.0), (-0.2, -0.15)])
def test_a_particle_beside_the_axis_turns_clockwise_and_is_found_where_it_is(x, z):
    edges = np.linspace(-0.64, 0.64, 65)
    seen = Grid(edges, np.linspace(-0.1, 0.1, 6))
    body = Body(Ellipsoid.sphere((x, 0.04, z), 0.05), matter_of("Al"))
    omega = np.arange(0.0, 180.0, 2.0)
    found = np.array(
        [2 * projected([body], seen, omega=each, energy=22_163.0).real for each in omega]
    )
    middles = (edges[:-1] + edges[1:]) / 2
    place = (found.sum(axis=1) @ middles) / found.sum(axis=(1, 2))
    # From above, the source below and x to the right: at omega the hand of a clock that stood at
    # (x, z) has gone on by omega. What was downstream comes to the right, what was right, upstream.
    np.testing.assert_allclose(
        place, [(np.array([x, z]) @ clockwise(np.radians(each)))[0] for each in omega], atol=1e-3
    )
    if x == 0:
        assert place[45] > 0
    volume = reconstruct(found, omega, axis=31.5, pixel_size=0.02)
    volume[volume < volume.max() / 2] = 0
    rows, at_z, at_x = (np.average(index, weights=volume) for index in np.indices(volume.shape))
    assert (at_x - 31.5) * 0.02 == pytest.approx(x, abs=0.01)
    assert (at_z - 31.5) * 0.02 == pytest.approx(z, abs=0.01)
    assert (rows - 2) * 0.04 == pytest.approx(0.04, abs=0.01)


def clockwise(angle):
    """Row vectors (right, up on the page) turned as a clock's hand."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
