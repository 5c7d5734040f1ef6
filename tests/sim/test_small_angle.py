"""What the simulated small-angle detector sees, against closed forms and the geometry of a flat detector."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import constants, integrate

from battbeam.sim.beam import BeamLog
from battbeam.sim.history import History
from battbeam.sim.scenario import Cell, Scenario
from battbeam.sim.scenario_small_angle import Nanostructure, Pores, SmallAngle, Spheres
from battbeam.sim.shots import Request
from battbeam.sim.small_angle import SmallAngleModel, Structure, behenate, play
from battbeam.sim.small_angle_shots import SmallAngleCamera
from battbeam.sim.truth import TruthWriter

ENERGY = 22163.0
WAVELENGTH = constants.h * constants.c / constants.e / ENERGY * 1e10


def test_one_size_of_spheres_has_the_minima_of_a_sphere():
    made = Nanostructure(spheres=Spheres(radius=50.0, width=1e-4, forward=2.0))
    seen = Structure.of(made, 0.0)
    # tan u = u: 4.4934, 7.7253.
    assert seen.intensity(np.array([4.493409458, 7.725251837]) / 50.0) == pytest.approx(0, abs=1e-6)
    assert seen.intensity(np.array([1e-6])) == pytest.approx(2.0)
    u = 3.0
    form = (3 * (np.sin(u) - u * np.cos(u)) / u**3) ** 2
    assert seen.intensity(np.array([u / 50.0])) == pytest.approx(2 * form, rel=1e-4)


def test_spheres_of_many_sizes_are_the_mean_over_their_number_of_volume_squared():
    width, radius, q = 0.25, 40.0, 0.06

    def integrand(log, power, at):
        size = np.exp(log)
        u = at * size
        form = (3 * (np.sin(u) - u * np.cos(u)) / u**3) ** 2 if u > 1e-3 else 1.0
        return np.exp(-(((log - np.log(radius)) / width) ** 2) / 2) * size**power * form

    span = np.log(radius) - 6 * width, np.log(radius) + 9 * width
    above, below = (integrate.quad(integrand, *span, args=(6, at), limit=300)[0] for at in (q, 0.0))
    seen = Structure.of(
        Nanostructure(spheres=Spheres(radius=radius, width=width, forward=7.0)), 0.0
    )
    assert seen.intensity(np.array([q])) == pytest.approx(7 * above / below, rel=1e-6)


def test_the_guinier_radius_of_the_truth_is_the_slope_at_the_origin():
    seen = Structure.of(Nanostructure(spheres=Spheres(radius=30.0, width=0.2)), 0.0)
    q = np.array([1e-4, 2e-3])
    first, second = np.log(seen.intensity(q))
    slope = (second - first) / (q[1] ** 2 - q[0] ** 2)
    assert np.sqrt(-3 * slope) == pytest.approx(seen.guinier_radius, rel=1e-3)


def test_radii_and_spacings_follow_the_content_and_spheres_scatter_with_their_sixth_power():
    made = Nanostructure(
        spheres=Spheres(radius=50.0, forward=10.0, swelling=0.1),
        pores=Pores(spacing=100.0, swelling=-0.2),
    )
    seen = Structure.of(made, -0.5)
    assert (seen.radius, seen.spacing) == pytest.approx((47.5, 110.0))
    assert seen.forward == pytest.approx(10.0 * 0.95**6)


def test_pores_peak_at_two_pi_over_their_spacing():
    seen = Structure.of(Nanostructure(pores=Pores(spacing=100.0, height=4.0)), 0.0)
    q = np.linspace(0.04, 0.09, 5001)
    assert q[np.argmax(seen.intensity(q))] == pytest.approx(2 * np.pi / 100, abs=2e-5)
    assert seen.intensity(q).max() == pytest.approx(4.0, rel=1e-4)


def test_behenate_has_its_first_ring_at_its_layers_spacing():
    q = np.linspace(0.09, 0.13, 4001)
    assert 2 * np.pi / q[np.argmax(behenate(q))] == pytest.approx(58.380, rel=2e-4)


@pytest.mark.parametrize(
    ("contents", "place"),
    [
        ([0.9, 0.8, 0.7], 0.75),
        ([0.9, 0.7, 0.72], 0.75),
        ([0.9, 0.7, 0.85], 0.80),
        ([0.98, 0.96], 0.95 + 0.05),
    ],
)
def test_a_structure_with_a_play_follows_only_from_half_of_it_on(contents, place):
    assert play(np.array(contents), width=0.1, begin=1.0) == pytest.approx(place)


def test_without_play_the_structure_is_where_the_content_is():
    assert play(np.array([0.9, 0.3, 0.5]), width=0.0, begin=1.0) == pytest.approx(0.5)


def test_a_flat_pattern_gives_every_pixel_its_solid_angle_and_none_behind_the_stop():
    settings = SmallAngle(background=2.0)
    image = SmallAngleModel(settings).image(None, ENERGY)
    row, column = 200, 40
    along = settings.pixel_size * np.hypot(row + 0.5 - 125.3, column + 0.5 - 131.7)
    distance = np.hypot(along, 3000.0)
    assert image[row, column] == pytest.approx(2.0 * 0.344**2 * 3000.0 / distance**3, rel=1e-4)
    assert image[125, 131] == 0
    # The stop's area, in pixels.
    dark = (1 - image[100:150, 100:160] / image[100, 100]).clip(0).sum()
    assert dark == pytest.approx(np.pi * (1.5 / 0.344) ** 2, rel=0.05)


def test_a_ring_lies_where_bragg_has_it():
    settings = SmallAngle(background=0.0)
    image = SmallAngleModel(settings).image(None, ENERGY, is_standard=True)
    radius = 3000.0 * np.tan(2 * np.arcsin(WAVELENGTH / 2 / 58.380)) / 0.344
    along = image[125, 132:256]
    assert 132.5 + np.argmax(along) - 131.7 == pytest.approx(radius, abs=0.8)


def test_a_beam_beside_the_detector_is_refused():
    with pytest.raises(ValidationError, match="must be stopped on the small-angle detector"):
        SmallAngle(centre_row=-3.0)


class Standing:
    """A clock that is not asked."""

    def now(self):
        return 0.0


def history(path, contents, *, start, step=50.0):
    lines = [
        {
            "time": start + k * step,
            "lithium_content": content,
            "voltage": 3.4,
            "current": 0.0,
            "charge": 0.0,
            "side_charge": 0.0,
            "cycles": 0.0,
        }
        for k, content in enumerate(contents)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return History(path)


@pytest.fixture
def camera(tmp_path):
    structure = Nanostructure(
        spheres=Spheres(radius=60.0, swelling=0.2), pores=Pores(swelling=0.05), play=0.1
    )
    plain = {"gradient_x": 0.0, "gradient_depth": 0.0, "dead_spot": None, "inactive_fraction": 0.0}
    hidden = Scenario(
        cells=(Cell(chemistry="lmo", initial_lithium_content=0.9, **plain),),
        small_angle=SmallAngle(structures=(structure,)),
    )
    contents = [0.9, 0.7, 0.5, 0.5, 0.6, 0.7, 0.7]
    beam = BeamLog(hidden.beam, start=hidden.start)
    beam.change(hidden.start, is_open=True)
    return SmallAngleCamera(
        hidden,
        hidden.small_angle,
        clock=Standing(),
        histories=[history(tmp_path / "C1.jsonl", contents, start=hidden.start)],
        beam_log=beam,
        truth=TruthWriter(tmp_path / "truth.jsonl"),
    )


def shot(camera, after, place=(0.0, 0.0)):
    begin = camera.scenario.start + after
    return camera.expose(Request(begin, begin + 1.0, *place, ENERGY, int(after) + 1))


def test_spacing_is_wider_on_charge_than_on_discharge_by_the_play(camera):
    # 0.7 while it falls, and 0.7 after it has risen.
    charge, discharge = (shot(camera, after).truth for after in (49.5, 260.0))
    assert charge["lithium_content"] == pytest.approx(discharge["lithium_content"], abs=5e-3)
    assert charge["lithium_content_followed"] == pytest.approx(0.75, abs=5e-3)
    assert discharge["lithium_content_followed"] == pytest.approx(0.65, abs=1e-6)
    assert charge["spacing"] - discharge["spacing"] == pytest.approx(0.05 * 0.1 * 100, rel=0.05)
    assert discharge["volume_change"] == pytest.approx((1 - 0.05 * 0.25) ** 3 - 1, rel=1e-3)


def test_the_same_exposure_gives_the_same_counts_whatever_came_between(camera):
    first = shot(camera, 10.0)
    shot(camera, 260.0)
    again = shot(camera, 10.0)
    assert np.array_equal(first.frame, again.frame)
    assert first.truth == again.truth


def test_counts_are_the_photons_that_pass_the_cell_times_its_pattern(camera):
    taken = shot(camera, 10.0)
    seen = Structure.of(
        camera.settings.structures[0], taken.truth["lithium_content_followed"] - 0.9
    )
    share = camera.model.image(seen, ENERGY)
    wanted = share.sum() * taken.truth["photons"] * taken.truth["transmission"]
    assert taken.frame.sum() == pytest.approx(wanted, abs=5 * np.sqrt(wanted) + 200)
    assert 0.2 < taken.truth["transmission"] < 1


def test_behenate_and_nothing_and_the_dark_are_told_apart(camera):
    assert shot(camera, 10.0, (12.0, 6.0)).truth["in_beam"] == "behenate"
    assert shot(camera, 11.0, (12.0, 0.0)).truth["in_beam"] == "standard"
    assert shot(camera, 12.0, (-19.0, -19.0)).truth["in_beam"] == "nothing"
    camera.beam_log.change(camera.scenario.start + 13.0, is_open=False)
    dark = shot(camera, 14.0)
    assert dark.truth["in_beam"] == "dark"
    assert dark.frame.sum() < 400


def test_nothing_has_to_be_prepared(camera):
    with ThreadPoolExecutor(1) as pool:
        camera.ready(0.0, 0.0, ENERGY, pool)
    assert camera.cell_in_beam(Request(0.0, 1.0, 0.0, 0.0, ENERGY, 1)) == 1
