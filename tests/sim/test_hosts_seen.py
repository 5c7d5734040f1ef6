"""What the camera sees of graphite, lithium metal and a cell that moves."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from battbeam import materials
from battbeam.sim import diffraction, geometry
from battbeam.sim.beam import BeamLog
from battbeam.sim.cell import HalfCell
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.frame import ExpectedFrame, Exposure, FrameModel
from battbeam.sim.history import HiddenState, History, HistoryWriter, history_path
from battbeam.sim.hosts import areal_moles
from battbeam.sim.lithium import full_capacity
from battbeam.sim.scenario import (
    Ageing,
    Cell,
    CounterElectrode,
    Detector,
    Layer,
    Motion,
    Scenario,
    pouch_stack,
)
from battbeam.sim.scene import Scene
from battbeam.sim.shots import DiffractionCamera, Request
from battbeam.sim.truth import TruthWriter, frame_truth
from battbeam.units import FloatArray

ENERGY, START = 22163.0, 1_750_000_000.0
DETECTOR = Detector(
    n_rows=100, n_columns=100, pixel_size=0.5, centre_row=48.3, centre_column=52.7, tilt=0.0
)
CELL = Cell(
    chemistry="nmc811",
    gradient_x=0,
    gradient_depth=0,
    dead_spot=None,
    inactive_fraction=0,
    counter=CounterElectrode(material="graphite"),
)
POUCH = Scenario(cells=(CELL,), stack=pouch_stack(), detector=DETECTOR)

Hidden = Callable[[FloatArray], HiddenState]


def hidden(**values: float) -> Hidden:
    names = list(HiddenState.__dataclass_fields__)[1:]
    known = {"lithium_content": 0.5, "counter_content": 0.5} | values
    return lambda times: HiddenState(
        times, *(np.full(len(times), known.get(name, 0.0)) for name in names)
    )


class Standing:
    """A clock that nobody reads."""

    def now(self) -> float:
        return START

    def frozen(self, token: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def exposure_of(scenario: Scenario) -> Exposure:
    log = BeamLog(scenario.beam, start=START)
    log.change(START, is_open=True)
    return Exposure(START, START + 36, 0.0, 0.0, ENERGY, log.instants(START, START + 36))


def frame_of(model: FrameModel, state: Hidden, *, heated_to: float = 25.0) -> ExpectedFrame:
    return model.expected(
        exposure_of(model.scenario),
        lambda times: state(times).lithium_content,
        hidden=state,
        heated_to=heated_to,
    )


@pytest.fixture(scope="module")
def pouch() -> FrameModel:
    return FrameModel(POUCH)


def image_by_hand(scene: Scene, name: str, content: float | None, depth: float) -> FloatArray:
    """Per mol/cm2 and photon, without absorption, every pixel's rays from ``depth``."""
    fine = np.arange(0, scene.optics.grid[-1] + 0.1, 0.001)
    crystal = materials.structure(name, content)
    pattern = diffraction.bragg_pattern(
        crystal, two_theta=fine, energy=ENERGY, shape=scene.optics.shape
    ) + diffraction.crystal_diffuse_pattern(crystal, two_theta=fine, energy=ENERGY)
    flat = scene.optics.flat
    means = geometry.pixel_means(flat, grid=fine, pattern=pattern, depth=depth, points=8)
    rays = flat.pixel_rays(depth)
    polarized = geometry.polarization_factor(rays, degree=POUCH.beam.polarization)
    return means * flat.solid_angle(depth) * polarized


def through(scene: Scene, index: int, content: float) -> FloatArray:
    """What lets the rays of a slab pass, at each pixel."""
    full = scene.absorption(content)
    angle = geometry.two_theta_of(scene.optics.flat.pixel_rays(scene.slabs[index].depth))
    return full.around(index, two_theta=angle) * full.within_mean(index, two_theta=angle)


def off_beam(model: FrameModel) -> "np.typing.NDArray[np.bool_]":
    return geometry.two_theta_of(model.optics.flat.pixel_rays()) > 1.5


def test_lithium_metal_on_graphite_is_absolute(pouch: FrameModel) -> None:
    plated = 2.0
    bare, metal = (frame_of(pouch, hidden(plated=p / 2, dead=p / 2)) for p in (0.0, plated))
    scene = pouch.scene(ENERGY)
    index = next(i for i, slab in enumerate(scene.slabs) if "plated" in slab.hosts)
    moles = areal_moles("plated", CELL) * plated / full_capacity(CELL)
    assert moles * CELL.electrode_area * materials.FARADAY / 3.6 == pytest.approx(plated)
    photons = exposure_of(POUCH).instants.total
    by_hand = photons * moles * image_by_hand(scene, "Li", None, scene.slabs[index].depth)
    by_hand *= through(scene, index, 0.5)
    # What the metal keeps from the other layers' rays, and from the beam.
    lost = bare.photons * moles * materials.molar_attenuation({"Li": 1}, ENERGY)
    seen = metal.photons - bare.photons + lost
    where = off_beam(pouch)
    assert by_hand[where].max() > 3 * np.median(by_hand[where])
    # Lost light is known to its obliquity only, 1/cos(25 degree) - 1.
    assert np.abs(seen - by_hand)[where].max() < 2e-3 * by_hand[where].max() + 0.15 * lost.max()


@pytest.mark.parametrize(("phase", "content"), [("graphite", 0.06), ("LiC12", 0.5), ("LiC6", 1.0)])
def test_stages_of_graphite_are_absolute(pouch: FrameModel, phase: str, content: float) -> None:
    scene = pouch.scene(ENERGY)
    index = next(i for i, slab in enumerate(scene.slabs) if "counter" in slab.hosts)
    # The difference from another stage leaves all other layers out, but for lithium's absorption.
    other, at = ("LiC12", 0.5) if phase != "LiC12" else ("LiC6", 1.0)
    here, there = (frame_of(pouch, hidden(counter_content=y)).photons for y in (content, at))
    depth, photons = scene.slabs[index].depth, exposure_of(POUCH).instants.total
    by_hand = photons * areal_moles("counter", CELL) * through(scene, index, 0.5)
    images = [image_by_hand(scene, name, y, depth) for name, y in ((phase, content), (other, at))]
    difference = by_hand * (images[0] - images[1])
    where = off_beam(pouch)
    lithium = abs(content - at) * areal_moles("counter", CELL)
    lost = here.max() * lithium * materials.molar_attenuation({"Li": 1}, ENERGY) * 1.2
    error = np.abs(here - there - difference)[where].max()
    assert error < 2e-3 * np.abs(difference[where]).max() + lost


def test_a_cell_that_moved_looks_like_one_that_was_built_there() -> None:
    # Every ray of the second model starts elsewhere: another pixel map, other images.
    moving = CELL.model_copy(update={"motion": Motion()})
    scenario = POUCH.model_copy(update={"cells": (moving,)})
    for moved in (0.1, -0.06, 0.25):
        stack = tuple(
            layer.model_copy(update={"depth": layer.depth + moved}) for layer in pouch_stack()
        )
        there = FrameModel(POUCH.model_copy(update={"stack": stack}))
        exact = frame_of(there, hidden(plated=1.0)).photons
        model = FrameModel(scenario)
        frame = frame_of(model, hidden(plated=1.0, displacement=moved))
        still = frame_of(model, hidden(plated=1.0)).photons
        assert frame.displacement == pytest.approx(moved)
        where = off_beam(model)
        error, shift = np.abs(frame.photons - exact)[where], np.abs(still - exact)[where]
        assert error.max() < 2e-3 * exact[where].max()
        assert error.max() < 0.05 * shift.max()


def test_a_layer_that_does_not_move_stays_where_it_is() -> None:
    moving = CELL.model_copy(update={"motion": Motion()})
    stack = (
        Layer(material="Al", thickness=0.02, depth=-0.5, moves=False),
        Layer(material="active", thickness=1e-9, depth=0.0),
    )
    light = moving.model_copy(update={"active_loading": 1e-9})
    model = FrameModel(Scenario(cells=(light,), stack=stack, detector=DETECTOR))
    still, moved = (frame_of(model, hidden(displacement=z)).photons for z in (0.0, 0.1))
    assert moved == pytest.approx(still, rel=1e-6)


def test_a_cell_whose_hidden_state_is_known_looks_as_it_did() -> None:
    scenario = Scenario(detector=DETECTOR)
    model = FrameModel(scenario)
    state = hidden(plated=1.0, displacement=0.1)
    exposure = exposure_of(scenario)
    without = model.expected(exposure, lambda times: state(times).lithium_content)
    assert np.array_equal(frame_of(model, state).photons, without.photons)


def test_strain_along_c_is_a_longer_c(pouch: FrameModel) -> None:
    scene = pouch.scene(ENERGY)
    content, weight = np.array([0.5]), np.array([1.0])
    for strain in (0.0021, -0.0007):
        ours = scene.patterns.mixed(
            "NMC811", lithium_content=content, weight=weight, c_strain=strain
        )
        crystal = materials.structure("NMC811", 0.5)
        lattice = replace(crystal.lattice, c=crystal.lattice.c * (1 + strain))
        exact = scene.patterns.crystal(replace(crystal, lattice=lattice))
        # As good as between nodes of lithium content.
        assert np.abs(ours - exact).max() < 1e-3 * exact.max()


def test_truth_says_what_is_in_graphite_and_on_it(pouch: FrameModel) -> None:
    state = hidden(counter_content=0.6, plated=1.0, dead=0.5)
    exposure, frame = exposure_of(POUCH), frame_of(pouch, state)
    truth = frame_truth(exposure, frame, POUCH, None)
    assert truth["lithium_content_counter"] == pytest.approx(0.6)
    assert truth["phase_fraction_counter"] == pytest.approx({"LiC12": 0.8, "LiC6": 0.2})
    moles = truth["areal_moles"]
    assert moles["Li"] * CELL.electrode_area * materials.FARADAY / 3.6 == pytest.approx(1.5)
    assert moles["LiC6"] == pytest.approx(0.2 * areal_moles("counter", CELL))
    assert "counter" not in moles
    assert truth["lattice"]["LiC6"]["c"] == pytest.approx(3.7)
    angle = diffraction.bragg_angle(materials.structure("Li"), hkl=(1, 1, 0), energy=ENERGY)
    assert truth["two_theta"]["Li"]["110"] == pytest.approx(angle)
    assert truth["displacement"] == 0.0


def test_truth_of_an_aged_cell_has_its_strain() -> None:
    cell = CELL.model_copy(update={"ageing": Ageing(c_strain_per_cycle=4.2e-5)})
    model = FrameModel(POUCH.model_copy(update={"cells": (cell,)}))
    frame = frame_of(model, hidden(cycles=50.0))
    truth = frame_truth(exposure_of(POUCH), frame, model.scenario, None)
    c = materials.lattice_edges("NMC811", np.array([0.5]))[0, 1]
    assert truth["lattice"]["NMC811"]["c"] == pytest.approx(c * 1.0021)


def test_heat_keeps_every_metal_atom_in_the_beam(pouch: FrameModel) -> None:
    # nmc811: half turned to spinel at 150 degC, which holds 2.25 metals a formula unit.
    frame = frame_of(pouch, hidden(), heated_to=150.0)
    moles = frame_truth(exposure_of(POUCH), frame, POUCH, None)["areal_moles"]
    metals = moles["NMC811"] + 2.25 * moles["spinel"] + 0.75 * moles["rock_salt"]
    assert metals == pytest.approx(areal_moles("active", CELL))
    assert moles["spinel"] * 2.25 == pytest.approx(0.5 * areal_moles("active", CELL), rel=1e-3)


def test_rock_salt_of_a_heated_cathode_is_absolute(pouch: FrameModel) -> None:
    # At 500 degC all of it: 1/0.75 formula units for each of the oxide's, which holds one metal.
    hot, cold = (frame_of(pouch, hidden(), heated_to=t).photons for t in (500.0, 25.0))
    scene = pouch.scene(ENERGY)
    salt, oxide = (
        image_by_hand(scene, name, content, 0.0)
        for name, content in (("rock_salt", None), ("NMC811", 0.5))
    )
    by_hand = areal_moles("active", CELL) * through(scene, scene.electrode, 0.5)
    by_hand *= exposure_of(POUCH).instants.total * (salt / 0.75 - oxide)
    where = off_beam(pouch)
    error = np.abs(hot - cold - by_hand)[where].max()
    assert error < 2e-3 * np.abs(by_hand[where]).max()


def test_a_ray_from_elsewhere_is_a_stretch_of_the_pattern() -> None:
    # An upright detector: exact, against every pixel's own rays.
    flat = geometry.FlatDetector.of(DETECTOR)
    grid = np.arange(0, 20, 0.005)
    pattern = 1 + np.exp(-0.5 * ((grid[:, None] - np.array([5.0, 9.0])) / 0.05) ** 2).sum(axis=1)
    moved = geometry.as_seen_from(pattern, grid=grid, distance=130.0, depth=-0.3, origin=0.0)
    ours = geometry.pixel_means(flat, grid=grid, pattern=moved, depth=0.0, points=6)
    exact = geometry.pixel_means(flat, grid=grid, pattern=pattern, depth=-0.3, points=6)
    ours, exact = ours * flat.solid_angle(0.0), exact * flat.solid_angle(-0.3)
    # What is left is polarization, which goes along but is in neither solid angle: at 15 degree
    # sin^2 / 2 times twice the stretch of 0.3/130.
    assert np.abs(ours / exact - 1).max() < 3e-4


def test_the_camera_hands_the_whole_cell_to_its_frames(tmp_path: Path) -> None:
    cell = CELL.model_copy(update={"motion": Motion(law="step", amplitude=0.1, at=0.0)})
    scenario = POUCH.model_copy(update={"cells": (cell,)})
    path, half = history_path(tmp_path, 1), HalfCell(cell)
    writer = HistoryWriter(path)
    for second in (0, 30, 60):
        writer.add(scenario.start + second, half)
        half.step(30.0, current=0.0)
    writer.close()
    log = BeamLog(scenario.beam, start=scenario.start)
    log.change(scenario.start, is_open=True)
    histories = [History(path)]
    camera = DiffractionCamera(
        scenario,
        clock=Standing(),
        histories=histories,
        ledger=FluenceLedger(scenario, beam_log=log, histories=histories),
        beam_log=log,
        truth=TruthWriter(tmp_path / "truth.jsonl"),
        heated_to=lambda time: 150.0,
    )
    request = Request(scenario.start + 31, scenario.start + 59, 0.0, 0.0, ENERGY, 1)
    truth = camera.expose(request).truth
    assert truth["displacement"] == pytest.approx(0.1)
    assert truth["lithium_content_counter"] == pytest.approx(
        cell.counter.initial_lithium_content, abs=1e-6
    )
    assert truth["areal_moles"]["spinel"] > 0
