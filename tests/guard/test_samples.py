import math

import pytest

from battbeam.guard.samples import Samples


def test_charge_is_the_trapezoid_of_the_current():
    samples = Samples()
    samples.begin_segment()
    for elapsed, current in [(0.0, 0.0), (3600.0, 0.002), (7200.0, 0.002)]:
        tally = samples.commit(elapsed=elapsed, voltage=3.0, current=current)
    assert tally.charge == pytest.approx(1.0 + 2.0)


def test_the_first_record_stands_for_the_time_since_the_start():
    samples = Samples()
    samples.begin_segment()
    assert samples.commit(elapsed=36.0, voltage=3.0, current=0.1).charge == pytest.approx(1.0)


def test_capacity_counts_from_the_last_change_of_sign_and_outlives_rests():
    samples = Samples()
    samples.begin_segment()
    readings = [(0, 0.001), (3600, 0.001), (3600, 0.0), (7200, 0.0), (7200, 0.001), (10800, 0.001)]
    for elapsed, current in readings:
        tally = samples.commit(elapsed=elapsed, voltage=3.0, current=current)
    assert tally.capacity == pytest.approx(2.0)
    samples.commit(elapsed=10800, voltage=3.0, current=-0.001)
    tally = samples.commit(elapsed=14400, voltage=3.0, current=-0.001)
    assert tally.capacity == pytest.approx(-1.0)
    assert tally.charge == pytest.approx(1.0)


def test_no_current_flows_between_two_segments():
    samples = Samples()
    samples.begin_segment()
    samples.commit(elapsed=0, voltage=3.0, current=0.1)
    samples.commit(elapsed=36, voltage=3.0, current=0.1)
    samples.end_segment()
    samples.begin_segment()
    assert samples.commit(elapsed=0, voltage=3.0, current=0.1).charge == pytest.approx(1.0)


def test_live_values_reach_on_and_the_next_record_takes_their_place():
    samples = Samples()
    samples.begin_segment()
    samples.commit(elapsed=0, voltage=3.0, current=0.1)
    assert samples.reach(elapsed=18, voltage=3.0, current=0.1).charge == pytest.approx(0.5)
    assert samples.reach(elapsed=27, voltage=3.0, current=0.1).charge == pytest.approx(0.75)
    assert samples.commit(elapsed=20, voltage=3.0, current=0.1).charge == pytest.approx(0.1 / 0.18)
    samples.reach(elapsed=30, voltage=3.0, current=0.1)
    samples.end_segment()
    assert samples.latest.charge == pytest.approx(0.1 / 0.18)


def test_what_is_no_number_is_bridged_and_not_remembered():
    samples = Samples()
    samples.begin_segment()
    samples.commit(elapsed=0, voltage=3.0, current=0.1)
    samples.commit(elapsed=18, voltage=math.nan, current=math.nan)
    assert samples.commit(elapsed=36, voltage=3.2, current=0.1).charge == pytest.approx(1.0)
    assert samples.recent_voltage == pytest.approx(3.1)
    assert samples.sequence == 3


def test_a_hold_is_at_the_mean_of_the_last_three():
    samples = Samples()
    assert samples.recent_voltage is None
    samples.begin_segment()
    for elapsed, voltage in enumerate([1.0, 3.0, 3.1, 3.2]):
        samples.commit(elapsed=elapsed, voltage=voltage, current=0.1)
    assert samples.recent_voltage == pytest.approx(3.1)


def test_a_new_cell_counts_from_nothing_and_the_sequence_goes_on():
    samples = Samples()
    samples.begin_segment()
    samples.commit(elapsed=36, voltage=3.0, current=0.1)
    samples.mount()
    assert (samples.latest.charge, samples.sequence) == (0.0, 1)
