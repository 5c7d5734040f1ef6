import numpy as np
import pytest

from battbeam import materials
from battbeam.sim import diffraction, geometry
from battbeam.sim.diffraction import LineShape
from battbeam.sim.geometry import FlatDetector, PixelMap
from battbeam.sim.scenario import Detector

ENERGY = 22163.0


def straight(**changes: float) -> FlatDetector:
    return FlatDetector.of(Detector(**({"tilt": 0.0} | changes)))


def test_an_upright_detector_sees_the_angle_of_radius_over_distance() -> None:
    flat = straight(distance=130.0, pixel_size=0.172)
    rows, columns = np.array([flat.centre[0]]), np.array([flat.centre[1] + 100.0])
    angle = geometry.two_theta_of(flat.rays(rows=rows, columns=columns))[0]
    assert angle == pytest.approx(np.degrees(np.arctan(17.2 / 130)), abs=1e-12)


def test_columns_go_right_and_rows_go_up() -> None:
    flat = straight()
    right = flat.rays(rows=np.array(flat.centre[0]), columns=np.array(flat.centre[1] + 1))
    up = flat.rays(rows=np.array(flat.centre[0] + 1), columns=np.array(flat.centre[1]))
    assert right[0] > 0 == right[1]
    assert up[1] > 0 == up[0]


def test_the_beam_meets_a_tilted_detector_where_the_scenario_says() -> None:
    flat = FlatDetector.of(Detector(tilt=12.0, tilt_direction=35.0))
    ray = flat.rays(rows=np.array(flat.centre[0]), columns=np.array(flat.centre[1]))
    np.testing.assert_allclose(ray, [0, 0, flat.distance], atol=1e-12)
    t, a = np.radians([12.0, 35.0])
    expected = [np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)]
    np.testing.assert_allclose(flat.normal, expected, atol=1e-12)
    assert abs(flat.fast @ flat.slow) < 1e-12


def test_a_tilted_plane_cuts_the_cone_where_geometry_says() -> None:
    # Leaning towards +x, the side at +x is nearer to the sample: a cone meets it at a smaller
    # radius.
    flat = FlatDetector.of(Detector(tilt=10.0, tilt_direction=0.0, distance=100.0, pixel_size=0.1))
    alpha, tilt = np.radians(15.0), np.radians(10.0)
    for side in (1, -1):
        # law of sines in the triangle of sample, plane's centre and point on the plane
        radius = 100.0 * np.sin(alpha) / np.cos(alpha - side * tilt)
        column = flat.centre[1] + side * radius / 0.1
        ray = flat.rays(rows=np.array(flat.centre[0]), columns=np.array(column))
        assert geometry.two_theta_of(ray) == pytest.approx(15.0, abs=1e-9)


def test_solid_angles_add_up_to_that_of_a_rectangle() -> None:
    flat = straight(n_rows=200, n_columns=300, centre_row=100, centre_column=150, pixel_size=0.5)
    a, b, d = 75.0, 50.0, 130.0
    whole = 4 * np.arcsin(a * b / np.sqrt((a**2 + d**2) * (b**2 + d**2)))
    assert flat.solid_angle().sum() == pytest.approx(whole, rel=1e-5)


def test_polarization_averages_to_the_unpolarized_factor_over_the_azimuth() -> None:
    azimuth = np.radians(np.arange(0, 360, 1.0))
    for two_theta in (5.0, 20.0, 40.0):
        t = np.radians(two_theta)
        rays = np.stack(
            [
                np.sin(t) * np.cos(azimuth),
                np.sin(t) * np.sin(azimuth),
                np.full_like(azimuth, np.cos(t)),
            ],
            axis=-1,
        )
        for degree in (-1.0, 0.0, 0.98):
            mean = geometry.polarization_factor(rays, degree=degree).mean()
            assert mean == pytest.approx((1 + np.cos(t) ** 2) / 2, rel=1e-12)


def test_a_horizontal_electric_vector_scatters_less_sideways() -> None:
    rays = np.array([[0.5, 0.0, 1.0], [0.0, 0.5, 1.0]])
    sideways, up = geometry.polarization_factor(rays, degree=1.0)
    assert up == pytest.approx(1.0)
    assert sideways == pytest.approx(1 - 0.25 / 1.25)


@pytest.mark.parametrize("pixel_size", [0.1, 0.2, 0.5])
def test_all_photons_of_a_ring_are_found_however_large_the_pixels(pixel_size: float) -> None:
    # pixels of 0.5 to 2.6 line widths; the same window of 60 x 60 mm, tilted and off-centre
    n = round(60 / pixel_size)
    detector = Detector(
        n_rows=n,
        n_columns=n,
        pixel_size=pixel_size,
        centre_row=0.45 * n,
        centre_column=0.52 * n,
        tilt=3.0,
    )
    flat = FlatDetector.of(detector)
    grid = geometry.fine_grid(flat, line_width=0.085)
    line = LineShape(0.085, 0.0, 0.0).density(two_theta=grid, centres=np.array([8.3]))[0]
    sine = np.sin(np.radians(np.maximum(grid, 0.25)))
    pattern = np.degrees(line) / (2 * np.pi * sine)
    points = geometry.samples_per_edge(flat, line_width=0.085)
    image = PixelMap(flat, grid=grid, depth=0.0, points=points).image(pattern)
    assert (image * flat.solid_angle()).sum() == pytest.approx(1.0, abs=2e-4)


def test_pixels_hold_the_mean_over_their_area_not_the_value_at_their_middle() -> None:
    detector = Detector(n_rows=64, n_columns=64, pixel_size=0.4, centre_row=20, centre_column=30)
    flat = FlatDetector.of(detector)
    shape = LineShape(0.085, 0.05, 0.3)
    crystal = materials.structure("LiFePO4", 0.9)
    grid = geometry.fine_grid(flat, line_width=0.085)
    points = geometry.samples_per_edge(flat, line_width=0.085)
    coarse = diffraction.bragg_pattern(crystal, two_theta=grid, energy=ENERGY, shape=shape)
    image = PixelMap(flat, grid=grid, depth=0.0, points=points).image(coarse)
    # the oracle: 24 x 24 midpoints, the pattern itself at each
    offsets = (np.arange(24) + 0.5) / 24
    rows = (np.arange(64)[:, None] + offsets).ravel()
    two_theta = geometry.two_theta_of(flat.rays(rows=rows[:, None], columns=rows[None, :]))
    fine = np.arange(0, two_theta.max() + 0.01, 0.001)
    exact = np.interp(
        two_theta,
        fine,
        diffraction.bragg_pattern(crystal, two_theta=fine, energy=ENERGY, shape=shape),
    )
    exact = exact.reshape(64, 24, 64, 24).mean(axis=(1, 3))
    assert np.abs(image - exact).max() < 5e-3 * exact.max()
    middles = geometry.two_theta_of(flat.pixel_rays())
    at_middle = np.interp(middles, grid, coarse)
    assert np.abs(at_middle - exact).max() > 0.2 * exact.max()


def test_a_lines_centroid_on_a_tilted_detector_is_its_angle() -> None:
    detector = Detector(
        n_rows=400, n_columns=300, pixel_size=0.1, centre_row=30, centre_column=350, tilt=8.0
    )
    flat = FlatDetector.of(detector)
    grid = geometry.fine_grid(flat, line_width=0.085)
    line = LineShape(0.085, 0.0, 0.0).density(two_theta=grid, centres=np.array([12.0]))[0]
    pattern = line / np.sin(np.radians(np.maximum(grid, 0.25)))
    image = PixelMap(flat, grid=grid, depth=0.0, points=5).image(pattern)
    weight = image * flat.solid_angle()
    two_theta = geometry.two_theta_of(flat.pixel_rays())
    azimuth = geometry.azimuth_of(flat.pixel_rays())
    for low in range(100, 160, 10):
        sector = (azimuth >= low) & (azimuth < low + 10) & (np.abs(two_theta - 12) < 0.5)
        if weight[sector].sum() > 0.01 * weight.sum():
            centroid = np.average(two_theta[sector], weights=weight[sector])
            assert centroid == pytest.approx(12.0, abs=2e-3)


def test_a_layer_nearer_to_the_detector_shows_its_rings_further_out_in_angle() -> None:
    # What starts 1.5 mm downstream hits nearer to the centre: seen from the origin its angle is
    # smaller.
    flat = straight(distance=300.0)
    alpha = np.radians(8.0)
    radius = (300.0 - 1.5) * np.tan(alpha)
    column = np.array(flat.centre[1] + radius / flat.pixel_size)
    row = np.array(flat.centre[0])
    own = geometry.two_theta_of(flat.rays(rows=row, columns=column, depth=1.5))
    seen = geometry.two_theta_of(flat.rays(rows=row, columns=column))
    assert own == pytest.approx(8.0, abs=1e-9)
    assert 0.03 < 8.0 - seen < 0.10


def test_the_map_and_the_direct_means_agree() -> None:
    flat = straight(n_rows=48, n_columns=40, pixel_size=0.4, centre_row=10, centre_column=15)
    grid = geometry.fine_grid(flat, line_width=0.085)
    pattern = np.exp(-0.5 * ((grid - 6) / 0.05) ** 2)
    by_map = PixelMap(flat, grid=grid, depth=0.3, points=6).image(pattern)
    direct = geometry.pixel_means(flat, grid=grid, pattern=pattern, depth=0.3, points=6)
    np.testing.assert_allclose(by_map, direct, atol=1e-6)


def test_a_detector_that_sees_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="move it away or make it smaller"):
        FlatDetector.of(Detector(distance=5.0))
