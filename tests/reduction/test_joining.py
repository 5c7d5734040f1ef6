import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battbeam.reduction.joining import joined

STAMPS = np.array([0.0, 2.0, 4.0, 10.0, 12.0])


def test_a_line_is_joined_exactly_and_gaps_and_ends_have_nothing():
    times = np.array([-0.1, 0.0, 1.0, 3.9, 4.0, 5.0, 9.9, 10.0, 11.5, 12.0, 12.1])
    found = joined(times, STAMPS, 3 * STAMPS + 1, period=2.0)
    assert found == pytest.approx(
        [np.nan, 1, 4, 12.7, 13, np.nan, np.nan, 31, 35.5, 37, np.nan], nan_ok=True
    )


def test_one_missing_sample_is_bridged_and_two_are_not():
    stamps = np.array([0.0, 4.0, 10.0])
    assert joined(np.array([1.0, 5.0]), stamps, stamps, period=2.0) == pytest.approx(
        [1.0, np.nan], nan_ok=True
    )


def test_the_nearest_sample_counts_up_to_one_period_away():
    times = np.array([-2.0, -2.1, 0.9, 1.1, 6.0, 6.1, 7.9, 8.0, 14.0])
    found = joined(times, STAMPS, np.arange(5.0), period=2.0, method="nearest")
    assert found == pytest.approx([0, np.nan, 0, 1, 2, np.nan, np.nan, 3, 4], nan_ok=True)


def test_a_sample_that_is_not_a_number_is_no_sample_and_order_does_not_matter():
    values = np.array([0.0, np.nan, 4.0, 10.0, 12.0])
    shuffled = np.array([3, 0, 4, 2, 1])
    times = np.linspace(0, 12, 49)
    found = joined(times, STAMPS[shuffled], values[shuffled], period=2.0)
    inside = (times <= 4) | (times >= 10)
    assert found[inside] == pytest.approx(times[inside])
    assert np.isnan(found[~inside]).all()


def test_columns_are_joined_each_on_its_own():
    values = np.column_stack([STAMPS, np.where(STAMPS == 2, np.nan, -STAMPS)])
    found = joined(np.array([2.0, 3.0]), STAMPS, values, period=1.0)
    assert found[:, 0] == pytest.approx([2.0, 3.0])
    assert np.isnan(found[:, 1]).all()


@given(st.floats(0.0, 100.0), st.floats(0.5, 5.0), st.integers(0, 2**31))
def test_a_line_comes_back_at_any_moment_inside_whatever_the_stamps_jitter(moment, period, seed):
    stamps = np.arange(-10, 120) * period
    stamps = stamps + np.random.default_rng(seed).uniform(-0.4, 0.4, len(stamps)) * period
    found = joined(np.array([moment]), stamps, 2 - 0.3 * stamps, period=period)
    if stamps[0] < moment < stamps[-1]:
        assert found == pytest.approx(2 - 0.3 * moment, abs=1e-9)


def test_nothing_to_join_with_gives_nothing():
    assert np.isnan(joined(np.zeros(3), np.empty(0), np.empty(0), period=1.0)).all()


def test_periods_and_shapes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="period must be greater than 0 s, got 0"):
        joined(STAMPS, STAMPS, STAMPS, period=0)
    with pytest.raises(ValueError, match=r"5 times and values of shape \(4,\) do not fit"):
        joined(STAMPS, STAMPS, STAMPS[:4], period=1)
