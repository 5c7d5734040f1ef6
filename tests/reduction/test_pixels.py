"""Pixels, bins and their response against pyFAI."""

import numpy as np
import pytest
from pattern_generator import Bench

from battbeam.errors import ReductionError
from battbeam.reduction.instrument import pseudo_voigt
from battbeam.reduction.pixels import Bins, FineGrid, PixelGeometry, lagrange_weights, response
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer

TILTED = Bench(
    shape=(150, 180),
    pixel=(0.5, 0.55),
    centre=(60.0, 110.0),
    rotation=(2.5, -1.5),
    width=(0.3, 0.05),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return TILTED.save(tmp_path_factory.mktemp("pixels"))


def test_angles_and_corrections_are_those_of_pyfai(files):
    geometry = PixelGeometry.read(files[0], TILTED.shape)
    ai = TILTED.integrator
    angles = ai.center_array(TILTED.shape, unit="2th_deg").ravel()
    np.testing.assert_allclose(geometry.two_theta, angles, atol=5e-6)
    correction = geometry.correction(geometry.centres(), polarization=0.98)
    np.testing.assert_allclose(correction, TILTED.correction().ravel(), rtol=1e-5)


def test_integration_agrees_with_pyfai_without_splitting(files):
    reducer = XrdReducer(*files, [ScatteringPhase("LiFePO4")], shape=TILTED.shape)
    frame = np.random.default_rng(1).poisson(200.0, TILTED.shape)
    edges = reducer._model.bins.edges
    theirs = TILTED.integrator.integrate1d(
        frame,
        len(edges) - 1,
        unit="2th_deg",
        radial_range=(edges[0], edges[-1]),
        method=("no", "histogram", "cython"),
        polarization_factor=0.98,
        correctSolidAngle=True,
    )
    unit = TILTED.pixel[0] * TILTED.pixel[1] / (TILTED.integrator.dist * 1e3) ** 2
    ours = reducer.integrate(frame) * unit
    # A pixel whose centre lies within single precision of an edge may fall to either side.
    same = np.isfinite(ours) & (np.abs(ours / theirs.intensity - 1) < 1e-6)
    assert same.mean() > 0.97


def test_a_flat_pattern_gives_the_bins_their_norm(files):
    geometry = PixelGeometry.read(files[0], TILTED.shape)
    bins = Bins.of(geometry, np.arange(3.0, 25.0, 0.1), None)
    grid = FineGrid(2.0, 0.03, 850)
    matrix = response(geometry, bins, grid, polarization=0.98, depth=0.0, n_sub=4)
    norm = bins.sum(geometry.correction(geometry.centres(), polarization=0.98))
    np.testing.assert_allclose(matrix @ np.ones(grid.size), norm, rtol=1e-9)


def test_a_smooth_pattern_is_nothing_but_background(files):
    model = XrdReducer(*files, [ScatteringPhase("LiFePO4")], shape=TILTED.shape)._model
    geometry, bins, used = model.geometry, model.bins, model.used
    smooth = np.exp(-geometry.two_theta / 5)
    correction = geometry.correction(geometry.centres(), polarization=model.polarization)
    seen = bins.sum(smooth * correction)[used]
    relative = model.pattern.background[used] / seen[:, None]
    amounts, *_ = np.linalg.lstsq(relative, np.ones(len(seen)))
    # Bins of a few pixels, that lie anywhere in them: their centres would miss it by 1 %.
    np.testing.assert_allclose(relative @ amounts, 1.0, atol=1e-4)


def test_seen_from_downstream_a_ring_lies_further_out(files):
    geometry = PixelGeometry.read(files[0], TILTED.shape)
    bins = Bins.of(geometry, np.arange(3.0, 25.0, 0.1), None)
    grid = FineGrid(2.0, 0.03, 850)
    line = np.exp(-(((grid.two_theta - 15.0) / 0.2) ** 2))
    middles = []
    for depth in (0.0, 1.5):
        matrix = response(geometry, bins, grid, polarization=None, depth=depth, n_sub=4)
        drawn = matrix @ line / (matrix @ np.ones(grid.size))
        middles.append((drawn @ bins.centres) / drawn.sum())
    expected = np.degrees(np.arctan(np.tan(np.radians(15.0)) * (1 - 1.5 / TILTED.distance)))
    assert middles[0] == pytest.approx(15.0, abs=0.003)
    assert middles[1] == pytest.approx(expected, abs=0.003)


def test_a_response_is_kept_and_a_broken_one_made_anew(files, tmp_path):
    options = XrdOptions(cache_directory=tmp_path)
    phases = [ScatteringPhase("LiFePO4")]
    first = XrdReducer(*files, phases, shape=TILTED.shape, options=options)
    kept = list(tmp_path.glob("response_*.npz"))
    assert len(kept) == 1
    kept[0].write_bytes(b"not a file of numpy")
    second = XrdReducer(*files, phases, shape=TILTED.shape, options=options)
    np.testing.assert_array_equal(first._model.shape.matrix, second._model.shape.matrix)


def test_a_missing_geometry_is_refused_by_name(tmp_path):
    with pytest.raises(ReductionError, match=r"none\.poni cannot be read"):
        PixelGeometry.read(tmp_path / "none.poni", (10, 10))


def test_a_malformed_geometry_is_refused(tmp_path):
    path = tmp_path / "bad.poni"
    path.write_text("Distance: far\n")
    with pytest.raises(ReductionError, match=r"bad\.poni"):
        PixelGeometry.read(path, (10, 10))


def test_a_geometry_of_another_detector_is_refused(files):
    with pytest.raises(ReductionError, match="is for a detector of"):
        PixelGeometry.read(files[0], (10, 10))


def test_bins_wider_than_a_pixel_are_refused(files):
    with pytest.raises(ReductionError, match="wider than a pixel"):
        XrdReducer(
            *files,
            [ScatteringPhase("LiFePO4")],
            shape=TILTED.shape,
            options=XrdOptions(bin_width=1.0),
        )


@pytest.mark.parametrize(("n_points", "off"), [(4, 4e-4), (6, 7e-5)])
def test_a_line_laid_between_grid_points_keeps_its_shape(n_points, off):
    width, angle = 10.0, np.linspace(-30, 30, 1201)
    first, weights = lagrange_weights(np.linspace(0, 1, 21), n_points)
    height = pseudo_voigt(np.zeros(1), width, 0.3)[0]
    for place, at, shares in zip(np.linspace(0, 1, 21), first, weights.T, strict=True):
        laid = sum(
            share * pseudo_voigt(angle - at - k, width, 0.3) for k, share in enumerate(shares)
        )
        exact = pseudo_voigt(angle - place, width, 0.3)
        np.testing.assert_allclose(laid, exact, atol=off * height)
