from collections.abc import Callable

import numpy as np
import pytest

from battbeam import materials
from battbeam.sim import diffraction, geometry
from battbeam.sim.beam import BeamLog
from battbeam.sim.electrode import footprint, illuminated
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.lithium import active_areal_moles
from battbeam.sim.phase_patterns import NODE_STEP, node_shares
from battbeam.sim.scenario import Beam, Cell, DeadSpot, Detector, Layer, Scenario
from battbeam.sim.truth import electrode_truth
from battbeam.units import FloatArray

DETECTOR = Detector(n_rows=128, n_columns=120, pixel_size=0.5, centre_row=60, centre_column=70)
ENERGY = 22163.0
START = 1_750_000_000.0
EVEN = Cell(gradient_x=0, gradient_y=0, gradient_depth=0, dead_spot=None, inactive_fraction=0)
BARE = (Layer(material="active", thickness=0.06, depth=0.0),)


def steady(lithium_content: float) -> Callable[[FloatArray], FloatArray]:
    return lambda times: np.full(len(times), lithium_content)


def exposure_of(
    scenario: Scenario,
    *,
    x: float = 0.0,
    y: float = 0.0,
    duration: float = 36.0,
    is_open: bool = True,
) -> Exposure:
    log = BeamLog(scenario.beam, start=START)
    log.change(START, is_open=is_open)
    return Exposure(START, START + duration, x, y, ENERGY, log.instants(START, START + duration))


@pytest.fixture(scope="module")
def lfp() -> FrameModel:
    return FrameModel(Scenario(detector=DETECTOR))


def test_counts_of_both_chemistries_lie_where_the_demo_wants_them() -> None:
    for chemistry in ("lfp", "nmc811"):
        # the default detector with 4 x 4 of its pixels in one
        detector = Detector(
            n_rows=128, n_columns=128, pixel_size=0.688, centre_row=62.8, centre_column=65.7
        )
        scenario = Scenario(cells=(Cell(chemistry=chemistry),), detector=detector)
        expected = FrameModel(scenario).expected(exposure_of(scenario), steady(0.6))
        assert 8e6 < expected.photons.sum() < 15e6


def test_what_frames_share_is_prepared_once_for_an_energy(lfp: FrameModel) -> None:
    model = FrameModel(lfp.scenario)
    assert not model.is_prepared(0.0, 0.0, ENERGY)
    model.prepare(0.0, 0.0, ENERGY)
    assert model.is_prepared(1.0, 0.5, ENERGY)
    assert not model.is_prepared(0.0, 0.0, ENERGY + 1.0)
    assert not model.is_prepared(*model.scenario.standard_position, ENERGY)


def test_background_is_about_as_much_as_the_lines(lfp: FrameModel) -> None:
    seen = lfp.expected(exposure_of(lfp.scenario), steady(0.5))
    scene = lfp.scene(ENERGY)
    bragg = 0.0
    met = exposure_of(lfp.scenario).instants.total
    for index, slab in enumerate(scene.slabs):
        through = scene.absorption(0.5)
        reach = through.around(index, two_theta=scene.optics.grid) * through.within_mean(
            index, two_theta=scene.optics.grid
        )
        for layer in slab.layers:
            if layer.crystalline:
                name, content = (
                    ("LixFePO4", 0.5) if layer.material == "active" else (layer.material, None)
                )
                lines = diffraction.bragg_pattern(
                    materials.structure(name, content),
                    two_theta=scene.optics.grid,
                    energy=ENERGY,
                    shape=scene.optics.shape,
                )
                image = scene.optics.electrode_map.image(lines * reach) * scene.optics.acceptance
                bragg += layer.areal_moles * met * image.sum()
    background = 1 - bragg / seen.photons.sum()
    assert 0.3 < background < 0.65


def test_a_frame_is_absolute() -> None:
    # One line's photons: Warren's ring, the areal amount, the absorption, all by hand.
    detector = Detector(n_rows=120, n_columns=120, pixel_size=0.4, centre_row=60, centre_column=60,
        distance=130, tilt=0, peak_lorentzian=0.0)  # fmt: skip
    scenario = Scenario(cells=(EVEN,), stack=BARE, detector=detector, beam=Beam(polarization=0.0))
    model = FrameModel(scenario)
    exposure = exposure_of(scenario)
    scene = model.scene(ENERGY)
    through = scene.absorption(1.0)
    image = model.expected(exposure, steady(1.0)).photons
    image = image - scene.air * exposure.instants.total * through.transmission
    crystal = materials.structure("LiFePO4", 1.0)
    lines = diffraction.reflections(crystal, energy=ENERGY, two_theta_max=7.0)
    assert lines.hkl.tolist() == [[2, 0, 0]]
    ring = diffraction.ring_cross_sections(crystal, lines, energy=ENERGY)[0]
    angle = np.radians(diffraction.bragg_angle(crystal, hkl=(2, 0, 0), energy=ENERGY))
    mu = active_areal_moles(EVEN) * materials.molar_attenuation(crystal.formula, ENERGY)
    expected = exposure.instants.total * active_areal_moles(EVEN) * ring * np.exp(-mu)
    expected *= (1 + np.cos(angle) ** 2) / 2
    grid = scene.optics.grid
    diffuse = diffraction.crystal_diffuse_pattern(crystal, two_theta=grid, energy=ENERGY)
    diffuse *= through.within_mean(0, two_theta=grid) * active_areal_moles(EVEN)
    image -= (
        exposure.instants.total
        * scene.optics.electrode_map.image(diffuse)
        * model.optics.acceptance
    )
    two_theta = geometry.two_theta_of(model.optics.flat.pixel_rays())
    line = image[np.abs(two_theta - np.degrees(angle)) < 0.6].sum()
    assert line == pytest.approx(expected, rel=1e-3)


def test_only_dark_counts_without_beam(lfp: FrameModel) -> None:
    closed = exposure_of(lfp.scenario, is_open=False)
    expected = lfp.expected(closed, steady(0.5))
    assert expected.photons.sum() == 0
    detector = DETECTOR.model_copy(update={"dark_rate": 0.5})
    frame = counts(expected.photons, duration=36.0, detector=detector, rng=np.random.default_rng(3))
    assert frame.mean() == pytest.approx(18.0, abs=5 * np.sqrt(18.0 / frame.size))
    assert frame.var() == pytest.approx(18.0, rel=0.05)


def test_counts_are_poisson() -> None:
    rng = np.random.default_rng(5)
    photons = np.full((400, 400), 7.3)
    frame = counts(photons, duration=1.0, detector=DETECTOR, rng=rng)
    assert frame.dtype == np.uint32
    assert frame.mean() == pytest.approx(7.302, abs=4 * np.sqrt(7.3 / frame.size))
    assert frame.var() == pytest.approx(frame.mean(), rel=0.02)


def test_gain_scales_and_saturation_clips() -> None:
    detector = DETECTOR.model_copy(update={"gain": 10.0, "saturation": 600, "dark_rate": 0.0})
    photons = np.array([[20.0] * 500, [200.0] * 500])
    frame = counts(photons, duration=1.0, detector=detector, rng=np.random.default_rng(1))
    assert frame[0].mean() == pytest.approx(200, rel=0.05)
    assert frame[0].var() == pytest.approx(100 * 20, rel=0.2)
    assert np.all(frame[1] == 600)


def test_counts_follow_beam_and_exposure(lfp: FrameModel) -> None:
    whole = lfp.expected(exposure_of(lfp.scenario), steady(0.5)).photons
    half = lfp.expected(exposure_of(lfp.scenario, duration=18.0), steady(0.5)).photons
    ratio = half.sum() / whole.sum()
    lifetime = lfp.scenario.beam.lifetime
    assert ratio == pytest.approx(
        (1 - np.exp(-18 / lifetime)) / (1 - np.exp(-36 / lifetime)), rel=1e-9
    )


def test_the_pattern_of_a_gradient_is_the_mean_of_patterns() -> None:
    # c(x) of NMC811 is steep and curved near x = 0.15: neither nodes nor means may be confused.
    scenario = Scenario(cells=(Cell(chemistry="nmc811"),), detector=DETECTOR)
    model = FrameModel(scenario)
    scene = model.scene(ENERGY)
    rng = np.random.default_rng(2)
    for low, high in ((0.1, 0.16), (0.3, 0.5), (0.95, 1.0)):
        content = rng.uniform(low, high, 40)
        weight = rng.uniform(0.5, 1.5, 40)
        ours = scene.patterns.mixed("NMC811", lithium_content=content, weight=weight)
        exact = np.zeros_like(ours)
        for x, w in zip(content, weight, strict=True):
            exact += w * scene.patterns.crystal(materials.structure("NMC811", float(x)))
        assert np.abs(ours - exact).max() < 1e-3 * exact.max()
        assert ours.sum() == pytest.approx(exact.sum(), rel=1e-6)


def test_node_weights_keep_sum_and_mean() -> None:
    content = np.array([0.0, 0.0011, 0.05, 0.499, 1.0])
    weight = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    shares = node_shares("LixFePO4", lithium_content=content, weight=weight)
    nodes = np.arange(len(shares)) * NODE_STEP
    assert shares.sum() == pytest.approx(15.0)
    assert shares @ nodes == pytest.approx(weight @ content)
    assert shares @ nodes**3 == pytest.approx(weight @ content**3)


def test_the_error_of_a_frame_lies_far_below_counting_statistics() -> None:
    # At 2e7 counts the fine grid, the nodes and single precision together move no pixel by 0.2
    # sigma and the whole pattern (chi^2) by less than one part in a thousand of what chance does.
    scenario = Scenario(cells=(EVEN,), stack=BARE, detector=DETECTOR)
    model = FrameModel(scenario)
    exposure = exposure_of(scenario)
    scene = model.scene(ENERGY)
    image = model.expected(exposure, steady(0.4321)).photons
    through = scene.absorption(0.4321)
    fine = np.arange(0, scene.optics.grid[-1], 0.0005)
    poor, rich = materials.MISCIBILITY_GAP
    share = (0.4321 - poor) / (rich - poor)
    pattern = np.zeros_like(fine)
    for phase, content, fraction in (("LiFePO4", rich, share), ("FePO4", poor, 1 - share)):
        crystal = materials.structure(phase, content)
        pattern += fraction * (
            diffraction.bragg_pattern(
                crystal, two_theta=fine, energy=ENERGY, shape=scene.optics.shape
            )
            + diffraction.crystal_diffuse_pattern(crystal, two_theta=fine, energy=ENERGY)
        )
    pattern *= active_areal_moles(EVEN) * through.within_mean(0, two_theta=fine)
    flat = scene.optics.flat
    means = geometry.pixel_means(flat, grid=fine, pattern=pattern, depth=0.0, points=16)
    exact = exposure.instants.total * (
        means * scene.optics.acceptance + scene.air * through.transmission
    )
    scale = 2e7 / exact.sum()
    off_beam = geometry.two_theta_of(flat.pixel_rays()) > 1.0
    pulls = ((image - exact) * scale / np.sqrt(exact * scale))[off_beam]
    assert np.abs(pulls).max() < 0.5
    assert np.mean(pulls**2) < 2e-3


def test_the_dead_spot_keeps_its_lithium() -> None:
    cell = Cell(dead_spot=DeadSpot(x=2.0, y=1.0, radius=0.5), inactive_fraction=0.0)
    scenario = Scenario(cells=(cell,), detector=DETECTOR)
    for x, expected in ((2.0, 1.0), (2.5, 0.5), (4.0, 0.0)):
        exposure = exposure_of(scenario, x=x, y=1.0)
        seen = illuminated(
            x,
            1.0,
            instants=exposure.instants,
            mean_lithium_content=steady(0.3),
            beam=scenario.beam,
            cell=cell,
        )
        weight = sum(share.weight.sum() for share in seen.shares if share.phase == "LiFePO4")
        dead = sum(
            share.weight[share.lithium_content > 0.97].sum() for share in seen.shares
        ) / sum(share.weight.sum() for share in seen.shares)  # fmt: skip
        assert dead == pytest.approx(expected, abs=0.06)
        assert weight > 0


def test_moving_the_stage_to_the_right_shows_the_cells_right() -> None:
    cell = Cell(gradient_x=0.02, dead_spot=None)
    scenario = Scenario(cells=(cell,), detector=DETECTOR)
    contents = []
    for x in (-3.0, 3.0):
        seen = illuminated(
            x,
            0.0,
            instants=exposure_of(scenario, x=x).instants,
            mean_lithium_content=steady(0.5),
            beam=scenario.beam,
            cell=cell,
        )
        contents.append(electrode_truth(seen, scenario, 0.5, ENERGY)["lithium_content"])
    assert contents[1] - contents[0] == pytest.approx(0.12 * (1 - cell.inactive_fraction), abs=0.01)


def test_truth_is_the_mean_over_the_exposure() -> None:
    scenario = Scenario(cells=(EVEN,), detector=DETECTOR)
    exposure = exposure_of(scenario, duration=360.0)
    falling = lambda times: 0.8 - 0.3 * (times - START) / 360.0  # noqa: E731
    seen = illuminated(
        0.0,
        0.0,
        instants=exposure.instants,
        mean_lithium_content=falling,
        beam=scenario.beam,
        cell=EVEN,
    )
    truth = electrode_truth(seen, scenario, 0.65, ENERGY)
    decay = 0.3 * 360 / (12 * scenario.beam.lifetime)
    assert truth["lithium_content"] == pytest.approx(0.65 + decay, abs=1e-5)
    poor, rich = materials.MISCIBILITY_GAP
    assert truth["phase_fraction"]["LiFePO4"] == pytest.approx(
        (truth["lithium_content"] - poor) / (rich - poor), abs=1e-9
    )
    edges = materials.lattice_edges("FePO4", np.array([poor]))[0]
    assert truth["lattice"]["FePO4"] == pytest.approx(dict(zip("abc", edges, strict=True)))
    angle = diffraction.bragg_angle(
        materials.structure("FePO4", poor), hkl=(3, 1, 1), energy=ENERGY
    )
    assert truth["two_theta"]["FePO4"]["311"] == pytest.approx(angle, abs=1e-9)
    total = truth["areal_moles"]["LiFePO4"] + truth["areal_moles"]["FePO4"]
    assert total == pytest.approx(active_areal_moles(EVEN))


def test_beam_lost_in_the_middle_of_an_exposure_weighs_nothing() -> None:
    beam = Beam(dumps=((9.0, 18.0),), lifetime=1e12)
    log = BeamLog(beam, start=START)
    log.change(START, is_open=True)
    instants = log.instants(START, START + 36.0)
    assert instants.total == pytest.approx(beam.flux * 18.0, rel=1e-9)
    inside = (instants.times - START > 9.0) & (instants.times - START < 27.0)
    assert not inside.any()
    log.change(START + 3.0, is_open=False)
    assert log.instants(START, START + 36.0).total == pytest.approx(beam.flux * 3.0, rel=1e-9)


def test_footprints_have_all_the_photons_and_finer_points_on_edges() -> None:
    beam, cell = Beam(), Cell()
    for x in (0.0, cell.dead_spot.x - cell.dead_spot.radius):
        xs, ys, share = footprint(x, cell.dead_spot.y, beam=beam, cell=cell)
        assert share.sum() == pytest.approx(1.0)
        assert share @ xs == pytest.approx(x)
        assert np.abs(xs - x).max() < beam.size_x / 2
        assert len(xs) == len(ys)
    assert len(xs) == 441


def test_next_to_the_cell_there_is_only_air(lfp: FrameModel) -> None:
    exposure = exposure_of(lfp.scenario, x=-9.0)
    expected = lfp.expected(exposure, steady(0.5))
    assert expected.in_beam == "nothing"
    assert expected.transmission == 1.0
    assert lfp.expected(exposure_of(lfp.scenario, x=12.5), steady(0.5)).in_beam == "standard"


def test_a_beam_half_on_the_electrode_sees_half_of_it(lfp: FrameModel) -> None:
    edge = lfp.expected(exposure_of(lfp.scenario, x=7.5), steady(0.5))
    assert edge.illuminated is not None
    assert edge.illuminated.fraction == pytest.approx(0.5, abs=0.06)
    inside = lfp.expected(exposure_of(lfp.scenario, x=7.0), steady(0.5))
    assert inside.transmission < edge.transmission < 1
