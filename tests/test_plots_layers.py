"""Pictures of layers: what is drawn is what the rows say."""

import numpy as np
import pytest

from battbeam.plots_layers import gradients_of, layers_against_time
from tests.reduction.pulls import assert_honest


def rows(gradient, *, n_sweeps=4, seed=0, error=0.01):
    rng = np.random.default_rng(seed)
    return [
        {
            "valid": 1,
            "layer": layer,
            "time_start": 1000.0 + 100.0 * sweep + 12.0 * layer,
            "time_end": 1010.0 + 100.0 * sweep + 12.0 * layer,
            "current": 0.005,
            "lithium_content_counter": 0.6 + gradient * (layer - 2) / 4 + rng.normal(0, error),
            "lithium_content_counter_error": error,
        }
        for sweep in range(n_sweeps)
        for layer in range(5)
    ]


def test_gradients_are_those_of_each_sweep_with_honest_errors():
    times, found, errors = gradients_of(rows(0.12, n_sweeps=200))
    assert len(times) == 200
    assert times[1] - times[0] == pytest.approx(100.0)
    assert_honest((found - 0.12) / errors)
    # Of five layers a straight line has 4 / sqrt(10) of one's error.
    assert errors[0] == pytest.approx(0.01 * 4 / np.sqrt(10))


def test_a_sweep_that_lacks_a_layer_has_the_same_gradient():
    kept = [row for row in rows(0.12, error=1e-4) if row["layer"] != 2]
    kept = [row for row in kept if not (row["layer"] == 4 and row["time_start"] > 1200)]
    _, found, _ = gradients_of(kept)
    np.testing.assert_allclose(found[:2], 0.12, atol=1e-3)
    np.testing.assert_allclose(found[2:], 0.09, atol=1e-3)


def test_each_layer_is_drawn_with_the_truth_beneath():
    found = rows(0.1)
    truth = [
        {
            "start": row["time_start"],
            "end": row["time_end"],
            "layer": row["layer"],
            "lithium_content_counter": 0.6 + 0.1 * (row["layer"] - 2) / 4,
        }
        for row in found
    ]
    figure = layers_against_time(found, truth=truth, title="a pouch")
    content, slope, current = figure.axes
    assert [text.get_text() for text in content.get_legend().get_texts()] == [
        "hidden truth",
        *(f"L{layer}" for layer in range(5)),
    ]
    drawn = [line.get_ydata() for line in content.lines if len(set(line.get_ydata())) == 1]
    np.testing.assert_allclose([each[0] for each in drawn], 0.6 + 0.1 * np.arange(-2, 3) / 4)
    assert (slope.get_ylabel(), current.get_xlabel()) == ("y(L4) - y(L0)", "time (h)")


def test_what_is_not_valid_is_left_out_and_nothing_is_not_drawn():
    found = rows(0.1)
    for row in found:
        row["valid"] = 0
    with pytest.raises(ValueError, match="no row is valid and of a layer: there is nothing"):
        layers_against_time(found)


def test_what_is_measured_alone_has_no_truth_beside_it_and_one_layer_no_gradient():
    found = rows(0.1)
    content = layers_against_time(found).axes[0]
    assert "hidden truth" not in [text.get_text() for text in content.get_legend().get_texts()]
    slope = layers_against_time(found[:1]).axes[1]
    assert [text.get_text() for text in slope.texts] == [
        "no sweep has two layers: there is no gradient"
    ]


def test_many_layers_and_a_long_title_find_place_on_the_picture():
    found = [
        {**row, "layer": layer, "time_start": row["time_start"] + layer}
        for row in rows(0.1)[::5]
        for layer in range(14)
    ]
    figure = layers_against_time(found, title="a pouch of a name that goes on " * 5)
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert len(legend.get_texts()) == 14
    for drawn in (legend, figure._suptitle):
        box = drawn.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
    above = figure._suptitle.get_window_extent()
    assert above.y0 >= legend.get_window_extent().y1 - 1
