"""Patterns stand where they were measured, long gaps stay white, and what is truth is called so."""

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from battbeam.plots import _against_capacity, _waterfall

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


def test_patterns_that_are_not_quite_even_leave_no_white_line_between_them():
    found = strips([0.0, 0.25, 0.52, 0.75, 1.02, 1.25])
    np.testing.assert_allclose(found[1:, 0], found[:-1, 1])


@pytest.mark.parametrize("hours", [[0.0], [0.0, 1.0]])
def test_one_or_two_patterns_are_drawn(hours):
    assert len(strips(hours)) == len(hours)


def against_capacity(*names, valid=1, truth=None):
    """The axes of rows with those columns."""
    n = 6
    columns = {name: ("time", np.linspace(2.8, 2.9, n)) for name in names}
    columns |= {f"{name}_error": ("time", np.full(n, 1e-3)) for name in names}
    rows = {
        "valid": ("time", np.full(n, valid)),
        "current": ("time", np.array([1e-3, 1e-3, 1e-3, -1e-3, -1e-3, -1e-3])),
        "capacity": ("time", np.array([0.0, 1.0, 2.0, 2.0, 1.0, 0.0])),
    }
    figure = Figure()
    _against_capacity(figure.subplots(), xarray.Dataset(rows | columns), truth)
    return figure.axes


def told(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_hidden_truth_is_told_once_and_only_where_there_is_one():
    names = ("lattice_NMC811_a", "lattice_NMC811_c", "lattice_Al_a")
    points = [f"NMC811 {edge}, {when}" for edge in "ca" for when in ("charge", "discharge")]
    truth = xarray.Dataset(
        {name: ("time", [2.8, 2.9]) for name in names} | {"capacity": ("time", [0.0, 2.0])}
    )
    left, right = against_capacity(*names, truth=truth)
    assert sorted(told(left)) == sorted([*points, "hidden truth"])
    assert right.get_legend() is None
    assert told(against_capacity(*names)[0]) == points
    # Each scale has the colour of its own points.
    for axes, edge in ((left, "c"), (right, "a")):
        assert axes.get_ylabel() == f"NMC811 {edge} (angstrom)"
        assert axes.yaxis.label.get_color() == axes.containers[0].lines[0].get_color()


@pytest.mark.parametrize("names", [(), ("lattice_Al_a",), ("lattice_NMC811_a",)])
def test_rows_of_which_none_is_valid_or_no_lattice_is_known_are_drawn_empty(names):
    (axes,) = against_capacity(*names, valid=0)
    assert axes.get_legend() is None
    assert axes.get_xlabel() == "capacity (mAh, charge passed)"
