import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.passage import shortest_period
from battbeam.experiment.rotation import (
    Rotation,
    Turntable,
    angle_warnings,
    fewest_projections,
    golden_angle,
    golden_arc,
    whole_counts,
)

TABLE = Turntable(counts_per_degree=1000.0, acceleration=0.2)


def rotation(start=0.0, stop=180.0, n=181, *, exposure=0.01, period=0.0155, table=TABLE):
    return Rotation.over(start, stop, n, exposure=exposure, period=period, table=table)


rotations = st.builds(
    Rotation,
    first=st.integers(-400_000, 400_000),
    step=st.integers(1, 5000) | st.integers(-5000, -1),
    n_frames=st.integers(2, 2000),
    exposure=st.floats(1e-3, 1.0),
    period=st.floats(1.0, 3.0),
    table=st.builds(
        Turntable,
        counts_per_degree=st.floats(500, 1e5),
        acceleration=st.floats(0, 2),
    ),
)


@given(rotations)
def test_pulses_are_whole_counts_apart_and_begin_on_one(turned):
    counts = turned.table.counts_per_degree
    pulses = (turned.first_pulse + turned.degrees * np.arange(turned.n_frames)) * counts
    assert np.abs(pulses - np.rint(pulses)).max() < 1e-6 * max(1.0, np.abs(pulses).max())


@given(rotations)
def test_the_middle_of_an_exposure_is_at_its_angle_within_half_a_count(turned):
    # The pulse, and half of what a stage of that speed turns in an exposure.
    middle = turned.first_pulse + math.copysign(turned.speed * turned.exposure / 2, turned.step)
    assert abs(middle - turned.omegas[0]) <= 0.501 / turned.table.counts_per_degree


@given(rotations)
def test_a_stage_that_accelerates_evenly_is_at_speed_at_every_pulse(turned):
    distance = turned.speed * turned.table.acceleration / 2
    assert abs(turned.first_pulse - turned.begin) >= distance
    last_end = turned.first_pulse + turned.degrees * (turned.n_frames - 1)
    last_end += math.copysign(turned.turn, turned.step)
    assert abs(turned.end - last_end) >= distance


@given(rotations)
def test_the_way_back_has_the_same_angles(turned):
    back = turned.reversed()
    np.testing.assert_allclose(back.omegas, turned.omegas[::-1])
    assert back.degrees == -turned.degrees
    assert back.travel_time == pytest.approx(turned.travel_time, rel=1e-3)


def test_a_half_turn_measures_both_its_ends():
    turned = rotation()
    assert (turned.omegas[0], turned.omegas[-1], len(turned.omegas)) == (0.0, 180.0, 181)
    assert turned.speed == pytest.approx(1 / 0.0155)
    assert turned.duration == pytest.approx(180 * 0.0155 + 0.01)


def test_time_from_rest_to_rest_is_that_of_a_trapezoid():
    # Two ramps of the acceleration time each, and the rest of the way at speed.
    turned = rotation()
    ramps = turned.speed * TABLE.acceleration
    plateau = (abs(turned.end - turned.begin) - ramps) / turned.speed
    assert turned.travel_time == pytest.approx(2 * TABLE.acceleration + plateau)


def test_an_encoder_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="counts per degree are not known"):
        rotation(table=Turntable(0.0))


@pytest.mark.parametrize("n", [501, 10_001])
def test_an_encoder_that_is_too_coarse_is_refused(n):
    # Two counts a step exactly; then 2.4 and 0.12.
    rotation(0.0, 1.0, 501)
    with pytest.raises(ValueError, match=r"counts of the encoder, too few for steps of whole"):
        rotation(0.0, 1.2, n)


@given(st.integers(2, 2000), st.floats(1, 400))
def test_the_last_angle_is_off_by_half_a_count_a_step_at_the_most(n, stop):
    try:
        turned = rotation(0.0, stop, n)
    except ValueError:
        return
    off = abs(turned.omegas[-1] - stop)
    assert off <= 0.5 * (n - 1) / 1000 + 1e-9
    assert off <= stop / (n - 1) + 1e-9


def test_pulses_faster_than_the_camera_are_refused_with_the_speed_that_fits():
    turned = rotation(exposure=0.02, period=0.01)
    (fault,) = turned.faults(readout_time=0.005)
    assert "too fast" in fault
    assert "at most 39.6 degree/s" in fault


def test_the_shortest_period_is_just_allowed_and_leaves_room_for_an_uneven_stage():
    period = shortest_period(0.02, 0.005)
    assert rotation(exposure=0.02, period=period).faults(readout_time=0.005) == []
    # A stage that is faster by 1 % in one step still leaves the camera its time.
    assert period / 1.01 >= 0.025 - 1e-12


def test_a_stage_is_not_asked_to_turn_faster_than_it_can():
    turned = rotation(table=Turntable(1000.0, speed_limit=10.0))
    (fault,) = turned.faults()
    assert "faster than the stage moves (10 degree/s); allow 18 s" in fault


def test_a_blurred_edge_is_told_with_the_exposure_that_would_not_be():
    turned = rotation(exposure=0.0155)
    # One degree at 128 pixels from the axis.
    (warning,) = turned.warnings(n_columns=256)
    assert "moves by 2.2 pixels" in warning
    shorter = rotation(exposure=0.0155 / 2.24)
    assert shorter.warnings(n_columns=256) == []


def test_too_few_projections_for_the_field_are_told():
    assert angle_warnings(fewest_projections(256), n_columns=256) == []
    (warning,) = angle_warnings(180, n_columns=256)
    assert "circle of 115 pixels" in warning
    assert "needs 403" in warning


@given(st.integers(4, 40), st.integers(1, 30), st.integers(0, 10))
def test_any_consecutive_arcs_leave_gaps_of_three_lengths_at_most(n_per_arc, n_arcs, skipped):
    step = round(180_000 / n_per_arc)
    arc = Rotation(0, step, n_per_arc, 0.01, 0.1, TABLE)
    arcs = [golden_arc(arc, skipped + number) for number in range(n_arcs)]
    counts = np.sort(np.concatenate([np.rint(each.omegas * 1000) for each in arcs]) % step)
    offsets = np.unique(counts)
    gaps = np.diff([*offsets, offsets[0] + step])
    assert len(offsets) == n_arcs
    # Each offset is rounded to a count, so a length is one of three within a count on either side.
    lengths = [gaps.min()]
    for gap in np.sort(gaps):
        if gap > lengths[-1] + 2:
            lengths.append(gap)
    assert len(lengths) <= 3
    # No gap is much larger than the even one: the golden part fills best.
    assert gaps.max() <= 2.7 * step / n_arcs + 2


def test_arcs_go_to_and_fro_so_that_no_cable_is_wound_up():
    first = Rotation(0, 1000, 180, 0.01, 0.1, TABLE)
    arcs = [golden_arc(first, number) for number in range(7)]
    assert [math.copysign(1, arc.step) for arc in arcs] == [1, -1, 1, -1, 1, -1, 1]
    ends = [end for arc in arcs for end in (arc.omegas.min(), arc.omegas.max())]
    assert min(ends) >= 0
    assert max(ends) < 180


@given(st.integers(2, 300), st.integers(0, 300))
def test_any_window_of_golden_angles_is_well_spread(n, skipped):
    angles = np.sort([golden_angle(skipped + number, start=0.0, span=180.0) for number in range(n)])
    gaps = np.diff([*angles, angles[0] + 180.0])
    assert gaps.max() <= 2.7 * 180.0 / n


@given(st.lists(st.floats(-360, 360), min_size=1, max_size=20))
def test_angles_are_moved_to_whole_counts(asked):
    asked = np.array(asked)
    angles = whole_counts(asked, TABLE)
    np.testing.assert_allclose(angles * 1000, np.rint(angles * 1000), atol=1e-6)
    assert np.abs(angles - asked).max() <= 0.5 / 1000 + 1e-9
    np.testing.assert_array_equal(whole_counts(asked, Turntable(0.0)), asked)


def test_an_exposure_that_saturates_is_refused_with_one_that_does_not():
    facts = CameraFacts(flat_rate=1e6, saturation=65535.0)
    assert facts.exposure_faults(0.05) == []
    (fault,) = facts.exposure_faults(0.06)
    assert "saturates" in fault
    assert "at most 0.059 s" in fault
    assert facts.exposure_faults(0.06, transmission=0.3) == []


def test_where_the_open_beam_is_not_known_no_exposure_is_refused():
    assert CameraFacts().exposure_faults(1e6) == []
