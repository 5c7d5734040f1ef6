import numpy as np
import pytest

from battbeam import materials
from battbeam.reduction.edxrd_calibration import EdxrdCalibration, EdxrdGuess
from battbeam.reduction.energy_dispersive import EdxrdReducer
from battbeam.sim.energy_dispersive import WhiteBeam, bragg_lines
from battbeam.sim.gauge import Gauge, standard_planes
from battbeam.sim.scenario import EnergyDispersive, Motion
from battbeam.sim.stack import areal_moles
from battbeam.units import HC
from tests.reduction.edxrd_generator import layer_strength
from tests.sim.white import GRAPHITE, THICKNESS, Bench, pouch, state

SETTINGS = EnergyDispersive()
#: The middle of each fifth of graphite, collector to separator.
LAYERS = GRAPHITE + THICKNESS / 5 * np.arange(-2, 3)


def planes(z, *, scenario=None, **how):
    scenario = pouch() if scenario is None else scenario
    gauge = Gauge(scenario.cells[0], scenario.stack, SETTINGS.gauge_height)
    now = state(how.pop("content", 0.6), **how)
    return gauge.planes(z, x=0.0, y=0.0, state=now, light=np.ones(1))


def energies(settings=SETTINGS):
    return settings.offset + settings.slope * np.arange(4096)


def spacing(energy):
    return HC / (2 * energy * np.sin(np.radians(SETTINGS.two_theta / 2)))


def near(counts, energy, width=400.0):
    """Counts above a straight background, and their mean energy."""
    at = energies()
    inside, beside = np.abs(at - energy) < width, np.abs(np.abs(at - energy) - width) < 60
    light = counts[inside] - np.polyval(np.polyfit(at[beside], counts[beside], 1), at[inside])
    return light.sum(), light @ at[inside] / light.sum()


def test_a_line_lies_where_braggs_law_has_it_and_has_the_detectors_width():
    counts = WhiteBeam(SETTINGS).spectrum(planes(GRAPHITE, content=0.5))
    light, place = near(counts, 40.3e3, width=800.0)
    assert spacing(place) == pytest.approx(3.525, abs=2e-4)
    at = energies()
    inside = np.abs(at - place) < 800
    ends = np.interp([place - 800, place + 800], at, counts)
    background = np.interp(at[inside], [place - 800, place + 800], ends)
    variance = (counts[inside] - background) @ (at[inside] - place) ** 2 / light
    width = np.sqrt(SETTINGS.noise**2 + SETTINGS.fano * place)
    assert np.sqrt(8 * np.log(2) * variance) == pytest.approx(width, rel=0.03)


def test_lines_of_the_stages_are_as_strong_as_a_sum_over_their_planes_says():
    found, wanted = [], []
    for phase, content in (("graphite", 0.05), ("LiC18", 0.25), ("LiC12", 0.5), ("LiC6", 1.0)):
        d, per_mol = bragg_lines(phase, content, 5.0)
        layer = np.argmin(np.abs(d - (3.70 if phase == "LiC6" else 3.45)))
        found.append(per_mol[layer])
        wanted.append(layer_strength(phase, d[layer], content))
    # Form factors are taken at 50 keV here and at 40 keV there.
    np.testing.assert_allclose(np.array(found) / found[0], np.array(wanted) / wanted[0], rtol=0.005)


def test_all_of_a_layer_is_met_when_the_gauge_goes_through_it():
    scenario = pouch()
    step = SETTINGS.gauge_height / 4
    places = np.arange(-0.4, 0.3, step)
    dense = [
        sum(
            plane.weight * each.concentration
            for plane in planes(z, scenario=scenario)
            for each in plane.portions
            if each.host == "counter"
        )
        for z in places
    ]
    (layer,) = [each for each in scenario.stack if each.material == "counter"]
    # Eleven planes of a gauge tell where a layer ends to 1 um of its 114.
    assert sum(dense) * step / 10 == pytest.approx(areal_moles(layer, scenario.cells[0]), rel=0.01)


def test_the_gauge_mixes_neighbours_by_height_and_meets_nothing_beside_the_cell():
    between = planes(-0.1945)
    share = sum(plane.weight for plane in between if plane.portions[0].host == "Cu")
    assert share == pytest.approx(0.5, abs=0.05)
    assert {each.host for plane in between for each in plane.portions} == {"Cu", "counter"}
    assert not any(plane.portions for plane in planes(3.0))


def test_a_cell_that_moves_takes_its_layers_along():
    moving = pouch(motion=Motion(amplitude=0.1))
    hosts = [
        planes(-0.0855, scenario=moving, displacement=shift)[5].portions[0].host
        for shift in (0.0, 0.02)
    ]
    assert hosts == ["counter", "counter"]
    far = planes(-0.2, scenario=moving, displacement=0.02)
    assert {each.host for plane in far for each in plane.portions} == {"Kapton"}


def test_the_truth_of_a_layer_is_the_gradient_at_its_depth(tmp_path):
    bench = Bench(tmp_path, content=0.7, lag=0.012)
    bench.open()
    for z in LAYERS:
        bench.take(z)
    # 10 units of content per unit of lag from one face to the other: in the middle of each fifth.
    wanted = 0.7 + 10.0 * 0.012 * np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
    found = [line["lithium_content_counter"] for line in bench.truth]
    np.testing.assert_allclose(found, wanted, atol=3e-4)
    (last,) = bench.truth[-1:]
    assert last["layers"] == {"counter": pytest.approx(1.0)}
    assert last["d"] == {"LiC12": pytest.approx(3.525), "LiC6": pytest.approx(3.700)}
    shares = last["phase_fraction_counter"]
    assert shares["LiC6"] + 0.5 * shares["LiC12"] == pytest.approx(found[-1])


def test_spectra_of_layers_are_reduced_to_the_truth(tmp_path):
    bench = Bench(tmp_path, content=0.7, lag=0.012)
    bench.open()
    ceria = bench.take(0.0, exposure=60.0, at=bench.scenario.standard_position)
    guess = EdxrdGuess(
        offset=SETTINGS.offset,
        slope=SETTINGS.slope * (1 + SETTINGS.slope_offset),
        two_theta=SETTINGS.two_theta + SETTINGS.angle_offset,
    )
    calibration = EdxrdCalibration.fit(ceria.counts, guess=guess, time=0.0)
    white = WhiteBeam(SETTINGS)
    reducer = EdxrdReducer(calibration, flux=lambda energy: float(white.flux(np.array(energy))))
    for z in LAYERS:
        taken = bench.take(z)
        found = reducer.reduce(taken.counts, real_time=taken.real_time, live_time=taken.live_time)
        truth = bench.truth[-1]
        assert found.valid, found.reason
        for phase in ("LiC6", "LiC12"):
            d, error = found.d[phase]
            assert error < 1e-3
            assert d == pytest.approx(truth["d"][phase], abs=4 * error)
        # 1e5 counts: 0.002; absorption in the layer and what form factors do over 2 keV besides.
        assert found.lithium_content_counter == pytest.approx(
            truth["lithium_content_counter"], abs=4 * found.lithium_content_counter_error + 0.003
        )
        assert found.lithium_content_counter_error < 0.006


def test_copper_fluoresces_where_it_is():
    white = WhiteBeam(SETTINGS)
    foil, graphite = (
        near(white.spectrum(planes(z)), 8.04e3, width=500.0) for z in (-0.1995, GRAPHITE)
    )
    assert foil[1] == pytest.approx(8047.0, abs=40.0)
    assert foil[0] > 10 * abs(graphite[0])


def test_a_standard_has_its_own_lines_and_a_closed_shutter_nothing(tmp_path):
    counts = WhiteBeam(SETTINGS).spectrum(standard_planes("CeO2", SETTINGS.path))
    edge = materials.structure("CeO2").lattice.a
    for square in (3, 8, 11):
        energy = HC / (2 * edge / np.sqrt(square) * np.sin(np.radians(2.5)))
        assert near(counts, energy)[1] == pytest.approx(energy, abs=10.0)
    bench = Bench(tmp_path)
    assert bench.take(GRAPHITE).counts.sum() == 0
    assert bench.truth[-1]["in_beam"] == "dark"


def test_the_analyser_is_dead_after_each_photon(tmp_path):
    bench = Bench(tmp_path, dead_time=3e-5)
    bench.open()
    taken = bench.take(GRAPHITE)
    offered = bench.analyser.beam.spectrum(planes(GRAPHITE)).sum()
    busy = 1 - taken.live_time / taken.real_time
    # n tau / (1 + n tau) of an analyser whose dead time is not extended.
    assert busy == pytest.approx(offered * 3e-5 / (1 + offered * 3e-5), rel=0.02)
    assert busy > 0.2
    assert taken.counts.sum() / taken.live_time == pytest.approx(offered, rel=0.02)


def test_the_same_spectrum_has_the_same_counts_and_the_next_has_others(tmp_path):
    bench = Bench(tmp_path)
    bench.open()
    first, second = bench.take(GRAPHITE), bench.take(GRAPHITE)
    bench.number = 0
    assert (bench.take(GRAPHITE).counts == first.counts).all()
    assert (second.counts != first.counts).any()
