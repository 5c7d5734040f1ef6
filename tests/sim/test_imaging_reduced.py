"""Frames of the simulation, reduced by what knows nothing of it."""

from pathlib import Path

import numpy as np
import pytest

from battbeam.reduction.tomography import Projections, TomographyOptions, TomographyReducer
from battbeam.sim.imaging import ImagingModel, View
from battbeam.sim.phantom import PhantomState, inside_of, volume_truth
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
