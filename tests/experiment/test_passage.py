import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battbeam.experiment.passage import Drive, Line, shortest_period
from battbeam.sim.trajectory import Move

STAGE = Drive(counts=1e4, acceleration=0.1)


def line(start=-1.0, stop=1.0, n=11, *, exposure=0.5, period=1.0, axis=STAGE):
    return Line.over(start, stop, n, exposure=exposure, period=period, axis=axis)


@given(st.integers(2, 50), st.floats(0.05, 5.0), st.booleans())
def test_the_middle_of_each_exposure_of_a_stage_so_moved_is_at_its_point(n, side, is_back):
    row = line(-side, side, n)
    row = row.reversed() if is_back else row
    move = Move(0.0, row.begin, row.end, row.speed, STAGE.acceleration)
    pulses = row.first_pulse + row.spacing * np.arange(n)
    begins = np.array([move.time_at(float(pulse)) for pulse in pulses])
    middles = (move.position_at(begins) + move.position_at(begins + row.exposure)) / 2
    # A pulse is a whole count: half a count early or late.
    np.testing.assert_allclose(middles, row.places, atol=0.51e-4)
    np.testing.assert_allclose(np.diff(begins), row.period, rtol=1e-6)
    way = np.abs(move.position_at(begins + row.exposure) - move.position_at(begins))
    np.testing.assert_allclose(way, row.way, rtol=1e-6)


def test_a_row_measures_both_its_ends():
    row = line()
    assert (row.places[0], row.places[-1], len(row.places)) == (-1.0, 1.0, 11)
    np.testing.assert_allclose(row.reversed().places, row.places[::-1])


def test_a_row_that_the_encoder_cannot_divide_is_refused():
    with pytest.raises(ValueError, match="counts of the encoder, too few for steps of whole"):
        line(0.0, 1e-3, 11, axis=Drive(counts=1e3))
    with pytest.raises(ValueError, match="the encoder's counts per mm are not known"):
        line(axis=Drive(counts=0.0))


def test_a_row_faster_than_detector_or_stage_says_what_fits():
    (fault,) = line(period=0.5).faults()
    assert "0.4 mm/s is too fast" in fault
    assert "at most 0.396 mm/s" in fault
    (fault,) = line(axis=Drive(1e4, speed_limit=0.1)).faults()
    assert "0.2 mm/s is faster than the stage moves (0.1 mm/s); allow 20 s" in fault
    assert line(period=shortest_period(0.5, 0.0)).faults() == []
