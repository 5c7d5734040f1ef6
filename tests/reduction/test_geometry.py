"""Geometry from rings against the geometry they were made with."""

import numpy as np
import pytest
from pattern_generator import Bench

from battbeam.errors import ReductionError
from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry, geometry_of
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pixels import PixelGeometry

#: What is asked of the rings, degree.
ALLOWED = 0.0007


def rings(bench, calibrant="LaB6", counts=1e7, seed=1):
    layers = {0.0: [(calibrant, None, None, 1e-5)]}
    expected = bench.expected(layers, counts=counts, background=0.3, optical_depth=0.0)
    return expected if seed is None else np.random.default_rng(seed).poisson(expected)


def guess(bench, off=(4.0, -5.0), stretch=1.02):
    centre = (bench.centre[0] + off[0], bench.centre[1] + off[1])
    return GeometryGuess(bench.distance * stretch, centre, bench.pixel, bench.energy)


def largest_error(bench, calibration, directory):
    calibration.write(directory / "found.poni", directory / "found.json")
    found = PixelGeometry.read(directory / "found.poni", bench.shape).two_theta
    true = bench.integrator.center_array(bench.shape, unit="2th_deg").ravel()
    far = true > 6
    return np.abs(found - true)[far].max()


BENCHES = {
    "centred": Bench(shape=(200, 200), pixel=(0.44, 0.44), centre=(98.1, 102.6), width=(0.2, 0.05)),
    "corner": Bench(
        shape=(200, 200),
        pixel=(0.4, 0.4),
        centre=(20.0, 30.0),
        rotation=(2.0, -1.5),
        width=(0.2, 0.05),
    ),
    "oblong": Bench(
        shape=(180, 240), pixel=(0.4, 0.36), centre=(80, 130), rotation=(-3, 2), width=(0.2, 0.05)
    ),
}


@pytest.fixture(scope="module")
def calibrated():
    bench = BENCHES["centred"]
    return calibrate_geometry(rings(bench), calibrant="LaB6", guess=guess(bench), time=0.0)


@pytest.mark.parametrize("name", list(BENCHES))
def test_rings_are_placed_far_better_than_a_line_is_wide(name, calibrated, tmp_path):
    bench = BENCHES[name]
    calibration = calibrated
    if name != "centred":
        frame = rings(bench)
        calibration = calibrate_geometry(frame, calibrant="LaB6", guess=guess(bench), time=0.0)
    worst = largest_error(bench, calibration, tmp_path)
    assert worst < ALLOWED
    assert worst < 6 * calibration.two_theta_error.max()
    assert calibration.residual == pytest.approx(1.0, abs=0.08)
    assert calibration.centre == pytest.approx(bench.centre, abs=0.02)


@pytest.mark.parametrize("rotation", [(0.0, 0.0), (0.07, 0.0), (0.0, -0.2), (-0.1, 0.15)])
def test_pixels_are_turned_as_pyfai_turns_them(rotation):
    bench = Bench(shape=(30, 40), pixel=(0.5, 0.4), rotation=np.degrees(rotation))
    made = bench.integrator
    parameters = np.array([made.dist * 1e3, made.poni1 * 1e3, made.poni2 * 1e3, *rotation])
    found = geometry_of(parameters, bench.shape, bench.pixel, bench.energy)
    true = made.center_array(bench.shape, unit="2th_deg").ravel()
    np.testing.assert_allclose(found.two_theta, true, atol=1e-9)


def test_without_noise_nothing_is_left(tmp_path):
    bench = BENCHES["oblong"]
    frame = rings(bench, seed=None)
    calibration = calibrate_geometry(frame, calibrant="LaB6", guess=guess(bench), time=0.0)
    assert largest_error(bench, calibration, tmp_path) < 3e-5


def test_widths_share_and_polarization_are_those_of_the_instrument(tmp_path):
    bench = Bench(
        shape=(200, 200),
        pixel=(0.45, 0.45),
        centre=(95.0, 105.0),
        width=(0.2, 0.08),
        lorentzian=0.5,
        polarization=0.6,
    )
    frame = rings(bench, "CeO2", counts=3e7)
    calibration = calibrate_geometry(frame, calibrant="CeO2", guess=guess(bench), time=12.5)
    calibration.write(tmp_path / "g.poni", tmp_path / "i.json")
    instrument = Instrument.read(tmp_path / "i.json")
    angles = np.array([10.0, 15.0, 20.0])
    true = 0.2 + 0.08 * np.tan(np.radians(angles) / 2)
    np.testing.assert_allclose(instrument.full_width(angles), true, rtol=0.01)
    assert instrument.lorentzian == pytest.approx(0.5, abs=0.02)
    assert instrument.polarization == pytest.approx(0.6, abs=0.05)
    assert (instrument.calibrant, instrument.time) == ("CeO2", 12.5)
    assert instrument.spacing_error > 0


def test_writing_twice_leaves_one_geometry(calibrated, tmp_path):
    for _ in range(2):
        calibrated.write(tmp_path / "g.poni", tmp_path / "i.json")
    assert (tmp_path / "g.poni").read_text().count("Distance:") == 1


def test_a_frame_without_rings_is_refused():
    bench = BENCHES["centred"]
    frame = np.random.default_rng(1).poisson(20.0, bench.shape)
    with pytest.raises(ReductionError, match="no rings of LaB6 found"):
        calibrate_geometry(frame, calibrant="LaB6", guess=guess(bench), time=0.0)


def test_rings_of_another_standard_are_refused():
    bench = BENCHES["centred"]
    with pytest.raises(ReductionError, match="check calibrant, energy, distance and centre"):
        calibrate_geometry(rings(bench, "CeO2"), calibrant="LaB6", guess=guess(bench), time=0.0)


def test_too_few_rings_on_the_detector_are_refused_with_advice():
    bench = Bench(shape=(256, 256), pixel=(0.1, 0.1), centre=(128, 128), distance=130.0)
    with pytest.raises(ReductionError, match="move the detector closer or raise the energy"):
        calibrate_geometry(np.zeros(bench.shape), calibrant="LaB6", guess=guess(bench), time=0.0)


def test_an_unknown_standard_is_refused():
    with pytest.raises(ReductionError, match="unknown calibrant 'Si'"):
        calibrate_geometry(
            np.zeros((64, 64)), calibrant="Si", guess=guess(BENCHES["centred"]), time=0.0
        )


def test_what_is_not_a_frame_is_refused():
    with pytest.raises(ReductionError, match="a frame has rows and columns"):
        calibrate_geometry(
            np.zeros((2, 64, 64)), calibrant="LaB6", guess=guess(BENCHES["centred"]), time=0.0
        )


@pytest.mark.acceptance
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_rings_are_placed_well_at_every_size_of_detector(size, tmp_path):
    pixel = 0.172 * 512 / size
    bench = Bench(shape=(size, size), pixel=(pixel, pixel), centre=(size * 0.49, size * 0.52))
    frame = rings(bench)
    calibration = calibrate_geometry(frame, calibrant="LaB6", guess=guess(bench), time=0.0)
    assert largest_error(bench, calibration, tmp_path) < ALLOWED
