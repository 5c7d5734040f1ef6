"""The waterfall of patterns: every strip is where its pattern was, and long gaps stay white."""

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from battbeam.plots import _waterfall

EXPOSURE = 0.05


def strips(hours):
    """(low, high) of each strip, h, of patterns of 0.05 h."""
    begin = np.asarray(hours, dtype=float) * 3600
    patterns = np.random.default_rng(1).random((len(begin), 30))
    results = xarray.Dataset(
        {
            "time_start": ("time", begin),
            "time_end": ("time", begin + EXPOSURE * 3600),
            "intensity": (("time", "two_theta"), patterns),
        },
        coords={"time": begin + EXPOSURE * 1800, "two_theta": np.linspace(5, 20, 30)},
    )
    axes = Figure().subplots()
    _waterfall(axes, results, 0.0)
    return np.array([image.get_extent()[2:] for image in axes.images]) - EXPOSURE / 2


def test_strips_of_an_even_series_touch_and_a_long_gap_stays_white():
    found = strips([0.0, 0.25, 0.5, 0.75, 3.0, 3.25])
    np.testing.assert_allclose(found[1:4, 0], found[:3, 1])
    assert found[4, 0] - found[3, 1] == pytest.approx(2.0)
    assert found[5, 0] == pytest.approx(found[4, 1])


def test_no_strip_hides_a_neighbour_and_none_is_shorter_than_its_exposure():
    found = strips([0.0, 1.0, 1.1, 1.2, 1.25, 2.25, 3.25])
    assert (found[1:, 0] >= found[:-1, 1] - 1e-9).all()
    assert (found[:, 1] - found[:, 0] >= EXPOSURE - 1e-9).all()


@pytest.mark.parametrize("hours", [[0.0], [0.0, 1.0]])
def test_one_or_two_patterns_are_drawn(hours):
    assert len(strips(hours)) == len(hours)
