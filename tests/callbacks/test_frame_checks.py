"""Frames of the simulation, looked at as a live reduction does."""

import numpy as np
import pytest

from battbeam.callbacks.frame_checks import AskedChecks, FrameChecks
from battbeam.reduction.xrd import Dark
from battbeam.sim.artefacts import Panel
from battbeam.sim.scenario import Layer, Texture
from tests.reduction.simulated_bench import EXPOSURE, Bench, phases, stack


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("checks"))


def checks_of(bench, saturation=None, **asked):
    poni, instrument = bench.geometry.save(bench.directory)
    return FrameChecks(
        AskedChecks.of(asked),
        geometry=poni,
        instrument=instrument,
        phases=phases(),
        shape=(bench.n, bench.n),
        energy=22163.0,
        saturation=saturation,
    )


@pytest.fixture(scope="module")
def powder(bench):
    return checks_of(bench, powder=True)


def look(checks, frame, start=0.0, dark=None):
    return checks.look(frame, start=start, exposure=EXPOSURE, dark=dark)


def test_nothing_is_done_to_a_frame_unless_it_is_asked(bench):
    checks, frame = checks_of(bench), np.zeros((bench.n, bench.n), dtype=np.uint32)
    looked = look(checks, frame)
    assert looked.frame is frame
    assert (looked.values, looked.flags, checks.columns) == ({}, (), {})


def test_a_good_frame_has_a_row_of_good_values_and_no_flag(bench, powder):
    looked = look(powder, bench.frame(bench.scenario(), 1))
    assert looked.flags == ()
    assert list(looked.values) == list(powder.columns)
    assert looked.values["error_scale"] == 1.0
    assert looked.values["n_outliers"] < 3
    assert looked.values["centre_shift"] < 0.05
    assert looked.values["uneven_ring"] < 0.03


def test_hot_pixels_and_a_foil_that_leans_are_said(bench, powder):
    hot = look(powder, bench.frame(bench.faulty(hot_cluster=(40, 50, 5, 15.0)), 2))
    assert hot.values["n_outliers"] >= 20
    assert "pixels are not those of a powder's ring" in hot.flags[0]
    lies = Texture(r=0.5, plane=(1, 1, 1), tilt=60.0)
    uneven = look(powder, bench.frame(bench.scenario(stack(Al={"texture": lies})), 3))
    assert uneven.values["uneven_ring"] > 0.04
    assert any(flag.startswith("Al textured: ring uneven by") for flag in uneven.flags)


def test_a_cluster_that_is_most_of_its_ring_is_found_to_the_last_pixel(bench, powder):
    """The mean of such a ring is the cluster's; most sectors say otherwise."""
    hot = look(powder, bench.frame(bench.faulty(hot_cluster=(77, 95, 8, 100.0)), 13))
    assert hot.values["n_outliers"] == 64
    assert hot.values["error_scale"] == 1.0


def test_a_detector_that_was_moved_is_said_with_how_far(bench, powder):
    moved = bench.faulty(moves=(100.0, 0.0, 0.5, 0.4))
    looked = look(powder, bench.frame(moved, 17, after=200.0))
    assert looked.values["centre_shift"] == pytest.approx(np.hypot(0.5, 0.4), abs=0.1)
    assert any("beam centre moved by 0.6 pixel" in flag for flag in looked.flags)


def test_spots_say_by_what_errors_are_too_small(bench, powder):
    few = {"graininess": 4e6}
    looked = look(powder, bench.frame(bench.scenario(stack(active=few, Al=few)), 20))
    assert looked.values["error_scale"] > 1.5
    assert looked.values["spottiness"] > 0.02
    scale = looked.values["error_scale"]
    assert looked.flags[0].startswith(f"spotty: errors by counting are too small by {scale:.1f}")


def test_lag_that_is_known_is_taken_out_of_all_frames_but_the_first(bench):
    hidden = bench.faulty(lag_fraction=0.05, lag_time=40.0)
    panel, checks = Panel(hidden), checks_of(bench, lag=(0.05, 40.0))
    dark = Dark(np.full((bench.n, bench.n), bench.dark_rate * 100), 100.0)
    thick = bench.scenario(stack(Al={"thickness": 0.12}))
    thick = thick.model_copy(update={"detector": hidden.detector})
    first = look(checks, bench.frame(thick, 4, panel=panel), dark=dark)
    assert first.flags == ("lag: the frame before is not known",)
    start = EXPOSURE + 1.0
    seen = bench.frame(hidden, 5, panel=panel, after=start)
    second = look(checks, seen, start=start, dark=dark)
    alone = bench.expected(hidden).photons + bench.dark_rate * EXPOSURE
    noise = np.sqrt(alone.sum())
    assert seen.sum() - alone.sum() > 20 * noise
    assert abs(second.frame.sum() - alone.sum()) < 5 * noise
    assert second.values["lag_share"] == pytest.approx(
        (seen.sum() - alone.sum()) / seen.sum(), abs=5 * noise / seen.sum()
    )
    later = look(checks, seen, start=5000.0, dark=dark)
    assert later.values["lag_share"] == 0.0
    assert np.array_equal(later.frame, seen)


def test_lag_is_a_share_of_what_was_recorded_above_the_dark_its_own_lag_included(bench):
    checks, shape = checks_of(bench, lag=(0.1, 40.0)), (bench.n, bench.n)
    dark, period = Dark(np.full(shape, 1000.0), 100.0), EXPOSURE + 4.0
    below, share = 1000.0 * EXPOSURE / 100.0, 0.1 * np.exp(-4.0 / 40.0)
    left = 0.0
    for number, light in enumerate((5000.0, 200.0, 300.0)):
        recorded = light + left
        frame = np.full(shape, below + recorded)
        looked = look(checks, frame, start=number * period, dark=dark)
        assert looked.frame == pytest.approx(np.full(shape, below + light))
        if number:
            assert looked.values["lag_share"] == pytest.approx(left / recorded)
        left = share * recorded


def test_pile_up_is_taken_out(bench):
    light = bench.expected(bench.scenario()).photons
    dead_time = 0.15 / 0.85 / (light.max() / EXPOSURE)
    hidden = bench.faulty(dead_time=dead_time)
    limit = float(np.quantile(light, 0.999))
    looked = look(checks_of(bench, saturation=limit, dead_time=dead_time), bench.frame(hidden, 6))
    assert looked.values["pile_up"] == pytest.approx(0.15, abs=0.03)
    assert "to pile-up" in looked.flags[0]
    assert looked.frame.sum() == pytest.approx(light.sum(), rel=5 / np.sqrt(light.sum()) + 1e-3)


def test_a_full_pixel_is_full_whatever_is_taken_out_of_it(bench):
    checks = checks_of(bench, saturation=5000.0, lag=(0.1, 40.0), dead_time=1e-6)
    shape = (bench.n, bench.n)
    look(checks, np.full(shape, 4000.0))
    frame = np.full(shape, 300.0)
    frame[3, 4] = 5000.0
    looked = look(checks, frame, start=EXPOSURE)
    assert looked.frame[3, 4] == 5000.0
    assert looked.frame[3, 5] < 0 < looked.values["lag_share"]


def test_what_a_fit_leaves_over_is_said_with_what_it_could_be(bench, powder):
    impurity = Layer(material="LiF", thickness=0.004, depth=0.012)
    frame = bench.frame(bench.scenario(stack(impurity)), 7)
    said = powder.said_of(bench.reduced(bench.reducer(), frame))
    assert "not all of the pattern is explained" in said[0]
    assert said[1].startswith("unexplained line at 1")
    assert "LiF" in said[1]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"haste": 1}, "checks haste are not known"),
        (["powder"], "checks must be a table"),
        ({"powder": "false"}, "powder of checks must be true or false, got 'false'"),
        ({"lag": 0.05}, "lag of checks must be"),
        ({"lag": [0.05]}, "lag of checks must be"),
        ({"lag": [0.05, "40 s"]}, "lag of checks must be"),
        ({"lag": [-0.05, 40.0]}, "lag of checks must be"),
        ({"lag": [1.5, 40.0]}, "lag of checks must be"),
        ({"lag": [0.05, 0.0]}, "lag of checks must be"),
        ({"lag": [float("nan"), 40.0]}, "lag of checks must be"),
        ({"dead_time": -1e-6}, "dead_time of checks must be 0 s or more, got -1e-06"),
        ({"dead_time": "1e-6"}, "dead_time of checks must be"),
        ({"dead_time": float("nan")}, "dead_time of checks must be"),
    ],
)
def test_what_is_not_known_or_cannot_be_is_not_asked(asked, words):
    """A share of less than none, or none at all, would be no check."""
    with pytest.raises(ValueError, match=words):
        AskedChecks.of(asked)


def test_what_can_be_asked_is_taken_as_it_is_said():
    assert AskedChecks.of(None) == AskedChecks.of({}) == AskedChecks()
    asked = {"powder": True, "lag": [0.05, 40], "dead_time": 1e-6}
    assert AskedChecks.of(asked) == AskedChecks(True, 0.05, 40.0, 1e-6)
