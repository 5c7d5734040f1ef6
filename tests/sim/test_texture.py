import numpy as np
import pytest
from pydantic import ValidationError

from battbeam import materials
from battbeam.sim import diffraction, geometry, texture
from battbeam.sim.frame import FrameModel
from battbeam.sim.scenario import Detector, Layer, Scenario, Texture
from battbeam.units import FloatArray

ENERGY = 22163.0
SMALL = Detector(
    n_rows=90, n_columns=90, pixel_size=0.6, centre_row=44.3, centre_column=46.2, peak_width=0.2
)


def shares(lies: Texture, phase: str) -> tuple[FloatArray, FloatArray]:
    """Of each line, and its hkl."""
    crystal = materials.structure(phase)
    lines = diffraction.reflections(crystal, energy=ENERGY, two_theta_max=25.0)
    return texture.line_shares(lies, crystal, lines, energy=ENERGY), lines.hkl


def series_at(series: FloatArray, azimuth: FloatArray) -> FloatArray:
    orders = np.arange(series.shape[-1])
    return np.cos(np.radians(np.outer(azimuth, orders))) @ series


@pytest.mark.parametrize("r", [0.4, 0.8, 1.0, 1.6])
def test_density_is_one_on_average_over_the_sphere(r: float) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(200)
    assert weights @ texture.density(r, nodes) / 2 == pytest.approx(1.0, abs=1e-6)


def test_a_powder_has_every_line_as_it_is() -> None:
    for tilt in (0.0, 35.0):
        series, _ = shares(Texture(r=1.0, tilt=tilt), "Al")
        assert series[:, 0] == pytest.approx(1.0, abs=1e-12)
        assert np.abs(series[:, 1:]).max(initial=0.0) < 1e-12


def test_basal_lines_of_flakes_follow_the_density_around_the_ring() -> None:
    r, tilt = 0.6, 40.0
    series, hkl = shares(Texture(r=r, tilt=tilt), "graphite")
    basal = next(i for i, each in enumerate(hkl) if tuple(np.abs(each)) == (0, 0, 2))
    d = materials.structure("graphite").lattice.c / 2
    sine = 12398.42 / ENERGY / (2 * d)
    azimuth = np.linspace(-180, 180, 37)
    # The normal faces half way between beam and ray; its angle from the axis, by hand.
    facing = np.column_stack(
        [
            np.sqrt(1 - sine**2) * np.cos(np.radians(azimuth)),
            np.sqrt(1 - sine**2) * np.sin(np.radians(azimuth)),
            np.full(len(azimuth), -sine),
        ]
    )
    axis = np.array([np.sin(np.radians(tilt)), 0.0, np.cos(np.radians(tilt))])
    expected = texture.density(r, facing @ axis)
    assert series_at(series[basal], azimuth) == pytest.approx(expected, abs=0.01 * expected.max())


def test_what_some_lines_gain_others_lose_over_all_axes() -> None:
    tilts = np.radians(np.linspace(1.0, 89.0, 45))
    series = [shares(Texture(r=0.6, tilt=float(np.degrees(t))), "Al")[0][:, 0] for t in tilts]
    mean = np.average(series, axis=0, weights=np.sin(tilts))
    assert mean == pytest.approx(1.0, abs=3e-3)


def test_flakes_across_the_beam_hide_their_basal_lines_from_it() -> None:
    series, hkl = shares(Texture(r=0.6), "graphite")
    strength = {tuple(np.abs(each)): share for each, share in zip(hkl, series[:, 0], strict=True)}
    # In transmission the planes that diffract stand nearly along the beam.
    assert strength[(0, 0, 2)] < 0.7 < 1.2 < max(strength.values())


def test_a_ring_of_flakes_that_lean_is_uneven_in_the_frame_as_in_the_series() -> None:
    lies = Texture(r=0.6, tilt=60.0, tilt_direction=25.0)

    def image(texture_of_layer: Texture | None) -> FloatArray:
        layers = (
            Layer(material="active", thickness=0.06, depth=0.0),
            Layer(material="graphite", thickness=0.05, depth=0.04, texture=texture_of_layer),
        )
        return FrameModel(Scenario(detector=SMALL, stack=layers)).scene(ENERGY).inert[0][0].image

    plain, tilted = image(None), image(lies)
    rays = geometry.FlatDetector.of(SMALL).pixel_rays(0.04)
    series, hkl = shares(lies, "graphite")
    basal = next(i for i, each in enumerate(hkl) if tuple(np.abs(each)) == (0, 0, 2))
    angle = diffraction.bragg_angle(materials.structure("graphite"), hkl=(0, 0, 2), energy=ENERGY)
    near = np.abs(geometry.two_theta_of(rays) - angle) < 0.4
    sector = (geometry.azimuth_of(rays)[near] // 30).astype(int) + 6
    seen = np.bincount(sector, tilted[near]) / np.bincount(sector, plain[near]) - 1
    middles = np.arange(12) * 30.0 - 165.0 - lies.tilt_direction
    expected = series_at(series[basal], middles) - 1
    assert np.corrcoef(seen, expected)[0, 1] > 0.999
    # Not all of the light near a ring is the ring's.
    assert 0.8 < np.polyfit(expected, seen, 1)[0] < 1.0


def test_a_tilted_axis_is_refused_where_it_cannot_be_drawn() -> None:
    lies = Texture(r=0.6, tilt=10.0)
    with pytest.raises(ValidationError, match="a host's axis is the beam"):
        Layer(material="active", thickness=0.06, depth=0.0, texture=lies)
    layers = (
        Layer(material="active", thickness=0.06, depth=0.0),
        Layer(material="Al", thickness=0.015, depth=0.0, texture=lies),
    )
    with pytest.raises(ValidationError, match="at the depth of a host"):
        Scenario(stack=layers)
