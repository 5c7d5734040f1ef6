"""Frames of the simulated beamline, which shares no code with the reduction, and their truth."""

from pathlib import Path

import numpy as np
import pytest

from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.saxs import SaxsOptions, SaxsReducer
from battbeam.reduction.saxs_geometry import SmallAngleGeometry
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer
from battbeam.reduction.xrd_references import MeasuredPattern
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.sim.small_angle import SmallAngleModel, Structure
from battbeam.sim.truth import frame_truth

EXPOSURE = 60.0
#: Where each layer of the simulated coin cell lies, mm, and how much of its absorption is behind it.
LAYERS = {"Al": (0.04, 0.43), "Li": (-0.27, 0.98), "steel": (1.45, 0.2)}
ELECTRODE = 0.7


class Bench:
    """A scenario, its calibration and a reducer."""

    def __init__(self, scenario: Scenario, phases: list[str], directory: Path) -> None:
        self.scenario, self.model = scenario, FrameModel(scenario)
        detector, energy = scenario.detector, scenario.beam.energy
        frame, _, _ = self.frame(scenario.standard_position, 0.5, 0.0, 2.5e9, seed=999)
        guess = GeometryGuess(
            detector.distance * 1.01,
            (detector.centre_row + 2, detector.centre_column - 3),
            (detector.pixel_size, detector.pixel_size),
            energy,
        )
        self.calibration = calibrate_geometry(
            frame, calibrant=scenario.standard, guess=guess, time=0.0
        )
        self.calibration.write(directory / "g.poni", directory / "i.json")
        listed = [ScatteringPhase(phase, 0.0, ELECTRODE) for phase in phases]
        listed += [ScatteringPhase(phase, *where) for phase, where in LAYERS.items()]
        shape = (detector.n_rows, detector.n_columns)
        self.reducer = XrdReducer(directory / "g.poni", directory / "i.json", listed, shape=shape)

    def frame(self, position, content, smear, flux, seed):
        times = np.linspace(0, EXPOSURE, 9)
        photons = Instants(times, np.full(9, flux * EXPOSURE / 9))
        energy = self.scenario.beam.energy
        exposure = Exposure(0.0, EXPOSURE, *position, energy, photons)
        expected = self.model.expected(
            exposure, lambda t: content + smear * (np.asarray(t) / EXPOSURE - 0.5)
        )
        frame = counts(
            expected.photons,
            duration=EXPOSURE,
            detector=self.scenario.detector,
            rng=np.random.default_rng(seed),
        )
        return frame, expected, exposure

    def reduced(self, content, seed, flux=2.2e8):
        frame, expected, exposure = self.frame((0.0, 0.0), content, 0.01, flux, seed)
        result = self.reducer.reduce(
            frame, monitor=flux * EXPOSURE * 0.01, transmission=expected.transmission
        )
        return result, frame_truth(exposure, expected, self.scenario, None), frame.sum()


def small(**detector):
    return Detector(n_rows=256, n_columns=256, pixel_size=0.344, peak_width=0.17, **detector)


def test_lifepo4_is_recovered_from_a_frame_that_others_made(tmp_path):
    scenario = Scenario(detector=small(centre_row=125.6, centre_column=131.3))
    bench = Bench(scenario, ["LiFePO4", "FePO4"], tmp_path)
    amounts = []
    for seed, content in enumerate((0.9, 0.5, 0.1)):
        result, truth, _ = bench.reduced(content, seed)
        assert result.valid, result.reason
        assert result.residual == pytest.approx(1.0, abs=4 * result.residual_deviation)
        found = result.phases["FePO4"]
        apart = found.fraction - truth["phase_fraction"]["FePO4"]
        assert abs(apart) < 4 * found.fraction_error < 0.02
        for phase, angles in truth["two_theta"].items():
            for name in ("311", "101"):
                of = result.phases[phase]
                allowed = max(0.005, 4 * of.two_theta_error[name])
                assert of.two_theta[name] == pytest.approx(angles[name], abs=allowed)
        amounts.append(result.active_amount)
    assert np.ptp(amounts) < 0.01 * np.mean(amounts)
    moles = sum(truth["areal_moles"][phase] for phase in ("LiFePO4", "FePO4"))
    assert np.mean(amounts) == pytest.approx(moles / 0.01, rel=0.005)


CELLS = {
    "two phases": (Cell(), ["LiFePO4", "FePO4"], np.linspace(0.97, 0.03, 20)),
    "solid solution": (Cell(solid_solution=True), ["LixFePO4"], np.linspace(0.96, 0.04, 20)),
    "nmc811": (Cell(chemistry="nmc811"), ["NMC811"], np.linspace(0.96, 0.14, 20)),
}


@pytest.mark.acceptance
@pytest.mark.parametrize("name", list(CELLS))
def test_pulls_over_a_whole_charge_are_those_of_honest_errors(name, tmp_path):
    cell, phases, contents = CELLS[name]
    corner = {"centre_row": 60.4, "centre_column": 71.8} if name == "nmc811" else {}
    scenario = Scenario(cells=(cell,), detector=Detector(**corner))
    bench = Bench(scenario, phases, tmp_path)
    pulls: dict[str, list[float]] = {}
    for seed, content in enumerate(np.repeat(contents, 3)):
        result, truth, total = bench.reduced(content, seed)
        assert total > 5e6
        assert result.valid, result.reason
        apart = result.lithium_content - truth["lithium_content"]
        pulls.setdefault("content", []).append(apart / result.lithium_content_error)
        for phase in phases:
            found = result.phases[phase]
            if len(phases) > 1:
                apart = found.fraction - truth["phase_fraction"][phase]
                assert abs(apart) < 0.02
                pulls.setdefault("fraction", []).append(apart / found.fraction_error)
            if truth["phase_fraction"][phase] < 0.01:
                continue
            for edge, true in truth["lattice"][phase].items():
                if edge in found.lattice:
                    apart = found.lattice[edge] - true
                    pulls.setdefault(phase + edge, []).append(apart / found.lattice_error[edge])
    for quantity, values in pulls.items():
        n = len(values)
        assert abs(np.mean(values)) < 0.3 + 2 / np.sqrt(n), quantity
        assert 0.7 < np.std(values) < 1.4, quantity


N_TRIPLES = 10
#: Inside the miscibility gap lattices do not change: frames are mixtures of each other.
ENDS, BETWEEN = {"discharged": 0.85, "charged": 0.12}, 0.5


@pytest.mark.acceptance
def test_the_truth_is_found_within_errors_that_know_the_noise_of_end_members(tmp_path):
    """Frames are unmixed without any structure. The end members are as noisy as the frame: over many
    independent triples the truth is found within errors only if their noise is in them.
    """
    scenario = Scenario(detector=small(centre_row=125.6, centre_column=131.3))
    made, directory = Bench(scenario, ["LiFePO4", "FePO4"], tmp_path), tmp_path
    light = 2.2e8 * EXPOSURE * 0.01
    expected = {
        content: made.frame((0.0, 0.0), content, 0.0, 2.2e8, seed=0)[1]
        for content in (*ENDS.values(), BETWEEN)
    }
    pulls, residuals = [], []
    for triple in range(N_TRIPLES):
        rng = np.random.default_rng(triple)
        frames = {x: rng.poisson(e.photons).astype(float) for x, e in expected.items()}
        for name, content in ENDS.items():
            MeasuredPattern(
                counts=frames[content],
                variance=frames[content],
                i0=light,
                transmission=expected[content].transmission,
                lithium_content=content,
            ).write(directory / f"{name}.npz")
        reducer = XrdReducer(
            directory / "g.poni",
            directory / "i.json",
            [],
            shape=frames[BETWEEN].shape,
            options=XrdOptions(
                references={n: directory / f"{n}.npz" for n in ENDS}, cache_directory=directory
            ),
        )
        result = reducer.reduce(
            frames[BETWEEN], monitor=light, transmission=expected[BETWEEN].transmission
        )
        assert result.valid, result.reason
        pulls.append((result.lithium_content - BETWEEN) / result.lithium_content_error)
        residuals.append(result.residual)
    assert result.lithium_content_error < 0.005
    assert abs(np.mean(pulls)) < 3 / np.sqrt(N_TRIPLES)
    assert 0.5 < np.std(pulls) < 1.6
    assert np.mean(residuals) == pytest.approx(
        1.0, abs=4 * result.residual_deviation / np.sqrt(N_TRIPLES)
    )


#: Of grains as large as they can be and of grains that gave nearly all of their lithium.
GRAINS = (0.0, -0.9)
#: Relative, of Guinier's radius and of the invariant. Porod's constant is as well known as its error says:
#: spheres of nearly one size oscillate about the law.
GUINIER, INVARIANT = 0.03, 0.10


def true_laws(structure, made):
    """Guinier's radius, the invariant and Porod's constant of spheres that are known, per sr.

    I(0) = n <V^2> drho^2, Q = 2 pi^2 n <V> drho^2 and K = 2 pi n <S> drho^2.
    """
    second, third, sixth = (
        structure.radius**power * np.exp(power**2 * structure.width**2 / 2) for power in (2, 3, 6)
    )
    dense = structure.forward / (16 / 9 * np.pi**2 * sixth)
    return {
        "guinier_radius": structure.guinier_radius,
        "invariant": 2 * np.pi**2 * dense * 4 / 3 * np.pi * third,
        "porod_constant": 2 * np.pi * dense * 4 * np.pi * second,
        "surface": made.surface,
    }


@pytest.mark.parametrize("content", GRAINS)
def test_guiniers_and_porods_laws_and_the_invariant_are_those_of_grains_that_others_drew(
    content, tmp_path
):
    hidden = Scenario.read(Path(__file__).parents[2] / "sim" / "saxs_and_xrd.toml")
    camera, light = hidden.small_angle, 3e9
    (made,) = camera.structures
    shape, centre = (camera.n_rows, camera.n_columns), (camera.centre_row, camera.centre_column)
    SmallAngleGeometry(
        distance=camera.distance,
        distance_error=1.0,
        centre=centre,
        centre_error=(0.1, 0.1),
        residual=1.0,
        shape=shape,
        pixel_size=(camera.pixel_size, camera.pixel_size),
        energy=hidden.beam.energy,
    ).write(tmp_path / "saxs.poni")
    away = np.hypot(*(np.indices(shape) + 0.5 - np.array(centre)[:, None, None]))
    reducer = SaxsReducer(
        tmp_path / "saxs.poni",
        shape=shape,
        mask=away * camera.pixel_size < camera.beam_stop / 2 + 2 * camera.pixel_size,
        options=SaxsOptions(surface=True),
    )
    structure = Structure.of(made, content)
    frame = np.random.default_rng(1).poisson(
        light * SmallAngleModel(camera).image(structure, hidden.beam.energy)
    )
    result = reducer.reduce(frame, monitor=light, transmission=1.0)
    assert result.valid, result.reason
    wanted = true_laws(structure, made)
    for name, true in wanted.items():
        found = getattr(result, name)
        assert abs(found.value - true) < 3 * found.error, name
    assert result.guinier_radius.value == pytest.approx(wanted["guinier_radius"], rel=GUINIER)
    assert result.invariant.value == pytest.approx(wanted["invariant"], rel=INVARIANT)
    assert result.porod_constant.error < 0.25 * wanted["porod_constant"]
