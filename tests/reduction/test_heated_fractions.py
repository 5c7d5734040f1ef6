"""What heat made of a layered oxide counts in the phase fractions, by its metal."""

import numpy as np
import pytest

from battbeam.materials import HEATED_PHASES, metal_per_formula_unit
from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.heated_phases import phase_fractions
from battbeam.sim.scenario import Cell, Detector, Layer, Scenario

EXPOSURE, FLUX = 10.0, 2e8
CELL = Cell(
    chemistry="hec",
    initial_lithium_content=0.33,
    inactive_fraction=0.0,
    gradient_x=0.0,
    gradient_depth=0.0,
    dead_spot=None,
)
DETECTOR = Detector(
    n_rows=256, n_columns=256, pixel_size=0.344, centre_row=125.6, centre_column=131.3
)
POWDER = Scenario(
    cells=(CELL,),
    detector=DETECTOR.model_copy(update={"peak_width": 0.17}),
    stack=(
        Layer(material="Kapton", thickness=0.05, depth=-0.3),
        Layer(material="active", thickness=0.3, depth=0.0),
        Layer(material="Kapton", thickness=0.05, depth=0.3),
    ),
)


def shot(model, position, heated_to, *, flux, seed):
    photons = Instants(np.linspace(0, EXPOSURE, 3), np.full(3, flux * EXPOSURE / 3))
    exposure = Exposure(0.0, EXPOSURE, *position, energy=POWDER.beam.energy, instants=photons)
    expected = model.expected(exposure, lambda t: 0.33 + 0 * t, heated_to=heated_to)
    rng = np.random.default_rng(seed)
    frame = counts(expected.photons, duration=EXPOSURE, detector=POWDER.detector, rng=rng)
    return frame, expected.transmission


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    directory, model, detector = tmp_path_factory.mktemp("heated"), FrameModel(POWDER), DETECTOR
    standard, _ = shot(model, POWDER.standard_position, 25.0, flux=2.5e9, seed=99)
    guess = GeometryGuess(132.0, (127.0, 129.0), (0.344, 0.344), POWDER.beam.energy)
    found = calibrate_geometry(standard, calibrant="LaB6", guess=guess, time=0.0)
    found.write(directory / "g.poni", directory / "i.json")
    reducer = XrdReducer(
        directory / "g.poni",
        directory / "i.json",
        [ScatteringPhase(phase) for phase in ("HEC", *HEATED_PHASES)],
        shape=(detector.n_rows, detector.n_columns),
        options=XrdOptions(initial_lithium_content=(0.33, 0.015)),
    )
    return model, reducer


def test_fractions_are_those_of_the_metal_and_their_errors_honest(bench):
    model, reducer = bench
    pulls, lithium = [], []
    for seed, heated_to in enumerate((150.0, 215.0, 230.0, 260.0, 300.0, 330.0)):
        frame, transmission = shot(model, (0.0, 0.0), heated_to, flux=FLUX, seed=seed)
        monitor = FLUX * EXPOSURE * 0.01
        result = reducer.reduce(frame, monitor=monitor, transmission=transmission)
        assert result.valid, result.reason
        true = phase_fractions(CELL, heated_to)
        found = {name: each.fraction for name, each in result.phases.items()}
        assert sum(found.values()) == pytest.approx(1.0)
        pulls += [(found[n] - true[n]) / result.phases[n].fraction_error for n in true]
        lithium.append(result.lithium_content)
    assert np.abs(pulls).max() < 4
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.6
    # Of what is layered: spinel and rock salt have no say in it.
    assert lithium[:3] == pytest.approx([0.33] * 3, abs=0.02)


def test_metal_is_counted_by_the_formula():
    assert [metal_per_formula_unit(n) for n in ("spinel", "rock_salt")] == pytest.approx(
        [2.25, 0.75]
    )
    assert metal_per_formula_unit("HEC") == pytest.approx(1.0)
    assert metal_per_formula_unit("LiFePO4") == 1.0
