import numpy as np
import pytest

from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.grains import grain_shares
from battbeam.sim.scenario import Detector, Layer, Scenario
from battbeam.units import FloatArray

ENERGY = 22163.0
SMALL = Detector(n_rows=90, n_columns=90, pixel_size=0.6, centre_row=44.3, centre_column=46.2)


def model(active: float, metal: float) -> FrameModel:
    """Of an electrode and a foil of so many grains."""
    layers = (
        Layer(material="active", thickness=0.06, depth=0.0, graininess=active),
        Layer(material="Al", thickness=0.015, depth=0.04, graininess=metal),
    )
    return FrameModel(Scenario(detector=SMALL, stack=layers))


def image(seen: FrameModel, x: float = 0.0) -> FloatArray:
    times = np.linspace(0.0, 10.0, 3)
    exposure = Exposure(0.0, 10.0, x, 0.0, ENERGY, Instants(times, np.full(3, 1e9)))
    return seen.expected(exposure, lambda at: np.full(len(at), 0.5)).photons


def test_shares_are_sums_of_a_poisson_number_of_exponential_grains() -> None:
    for grains in (0.2, 3.0, 50.0):
        found = grain_shares(np.full(50_000, grains), np.random.default_rng(1))
        # Variance of a sum of N ~ Poisson(n) exponentials is 2 n; that of its estimate is larger for few.
        assert found.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / grains / len(found)))
        assert found.var() == pytest.approx(2 / grains, rel=0.1)


@pytest.mark.parametrize(("active", "metal"), [(2e6, 0.0), (0.0, 2e6)])
def test_grains_scatter_the_rings_and_not_what_lies_between_them(
    active: float, metal: float
) -> None:
    smooth, grainy = image(model(0.0, 0.0)), image(model(active, metal))
    n = 2e6 * (SMALL.pixel_size / SMALL.distance) ** 2
    away = grainy / smooth - 1
    # Nowhere more than all of a pixel's light is lines; much less of it in most pixels.
    assert 0.1 * np.sqrt(2 / n) < away.std() < np.sqrt(2 / n)
    assert np.median(np.abs(away)) < 0.5 * away.std()
    assert grainy.sum() == pytest.approx(smooth.sum(), rel=5 * np.sqrt(2 / n) / SMALL.n_rows)


def test_grains_stay_in_the_sample_and_are_others_elsewhere() -> None:
    grainy = model(2e5, 0.0)
    here, there = image(grainy), image(grainy, x=0.5)
    assert np.array_equal(here, image(model(2e5, 0.0)))
    smooth = image(model(0.0, 0.0)), image(model(0.0, 0.0), x=0.5)
    away = [(seen - plain).ravel() for seen, plain in zip((here, there), smooth, strict=True)]
    assert abs(np.corrcoef(away)[0, 1]) < 5 / np.sqrt(len(away[0]))
