"""A spot that the beam has harmed and one that it has not part in what diffraction recovers."""

import numpy as np
import pytest

from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.xrd import ScatteringPhase, XrdReducer
from battbeam.sim.beam import Instants
from battbeam.sim.damage import FluenceMap
from battbeam.sim.electrode import footprint
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.scenario import Cell, Detector, Scenario

pytestmark = pytest.mark.acceptance

EXPOSURE, FLUX = 60.0, 2.2e8
CELL = Cell(gradient_x=0, gradient_depth=0, dead_spot=None, inactive_fraction=0, beam_damage=1e-12)
SCENARIO = Scenario(
    cells=(CELL,),
    detector=Detector(
        n_rows=256,
        n_columns=256,
        pixel_size=0.344,
        peak_width=0.17,
        centre_row=125.6,
        centre_column=131.3,
    ),
)
LAYERS = {"Al": (0.04, 0.43), "Li": (-0.27, 0.98), "steel": (1.45, 0.2)}


@pytest.fixture(scope="module")
def model():
    return FrameModel(SCENARIO)


def frame(model, position, content, *, seed, flux=FLUX, damage=None):
    times = np.linspace(0, EXPOSURE, 5)
    photons = Instants(times, np.full(5, flux * EXPOSURE / 5))
    exposure = Exposure(0.0, EXPOSURE, *position, SCENARIO.beam.energy, photons)
    expected = model.expected(exposure, lambda t: np.full(len(t), content), damage=damage)
    rng = np.random.default_rng(seed)
    detector = SCENARIO.detector
    taken = counts(expected.photons, duration=EXPOSURE, detector=detector, rng=rng)
    return taken, expected


@pytest.fixture(scope="module")
def reducer(model, tmp_path_factory):
    directory, detector = tmp_path_factory.mktemp("calibration"), SCENARIO.detector
    taken, _ = frame(model, SCENARIO.standard_position, 0.5, seed=9, flux=2.5e9)
    centre = (detector.centre_row + 2, detector.centre_column - 3)
    pixel = (detector.pixel_size, detector.pixel_size)
    guess = GeometryGuess(detector.distance * 1.01, centre, pixel, SCENARIO.beam.energy)
    calibration = calibrate_geometry(taken, calibrant="LaB6", guess=guess, time=0.0)
    calibration.write(directory / "g.poni", directory / "i.json")
    phases = [ScatteringPhase(phase, 0.0, 0.7) for phase in ("LiFePO4", "FePO4")]
    phases += [ScatteringPhase(phase, *where) for phase, where in LAYERS.items()]
    shape = (detector.n_rows, detector.n_columns)
    return XrdReducer(directory / "g.poni", directory / "i.json", phases, shape=shape)


def test_diffraction_recovers_what_the_beam_silenced(model, reducer):
    fluences = FluenceMap(SCENARIO.beam, beam_damage=CELL.beam_damage)
    for content in np.linspace(0.9, 0.6, 31):
        fluences.add(0.0, 0.0, 0.01 * 0.09 * 1e12, lithium_content=content)
    fractions = {}
    for seed, (name, x) in enumerate((("exposed", 0.0), ("control", 3.0))):
        point_x, point_y, _ = footprint(x, 0.0, beam=SCENARIO.beam, cell=CELL)
        damage = fluences.damage(point_x, point_y)
        taken, expected = frame(model, (x, 0.0), 0.5, seed=seed, damage=damage)
        found = reducer.reduce(
            taken, monitor=FLUX * EXPOSURE * 0.01, transmission=expected.transmission
        )
        assert found.valid, found.reason
        fractions[name] = found.phases["FePO4"].fraction
    # exp(-0.31) take part, at 0.5; the rest keeps what it had when it ceased, 0.755 in the mean.
    alive = np.exp(-0.01 * np.arange(32))
    kept = -np.diff(alive) @ np.linspace(0.9, 0.6, 31)
    expected_difference = (0.5 - (alive[-1] * 0.5 + kept)) / (0.89 - 0.05)
    assert fractions["exposed"] - fractions["control"] == pytest.approx(
        expected_difference, abs=0.015
    )
    assert expected_difference < -0.07
