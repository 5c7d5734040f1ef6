import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battbeam.sim.trajectory import Move

MOVES = st.builds(
    Move,
    begin=st.floats(-10, 10),
    origin=st.floats(-100, 100),
    target=st.floats(-100, 100),
    velocity=st.floats(0.01, 50),
    acceleration_time=st.floats(0, 5),
)


def test_a_trapezoid_takes_the_time_of_its_way_and_one_acceleration():
    move = Move(begin=100.0, origin=2.0, target=-8.0, velocity=2.0, acceleration_time=0.5)
    assert move.duration == pytest.approx(10 / 2 + 0.5)
    # Half an acceleration's way on each ramp: v t / 2.
    assert move.position_at(100.5) == pytest.approx(2.0 - 0.5)
    assert move.position_at(move.end - 0.5) == pytest.approx(-8.0 + 0.5)


def test_a_move_too_short_for_its_velocity_is_a_triangle():
    move = Move(begin=0.0, origin=0.0, target=1.0, velocity=4.0, acceleration_time=2.0)
    # a = 2 per s2: half a unit takes sqrt(2 * 0.5 / 2) s.
    assert move.duration == pytest.approx(2 * np.sqrt(0.5))
    assert move.position_at(move.duration / 2) == pytest.approx(0.5)


def test_without_acceleration_it_is_a_straight_line():
    move = Move(begin=0.0, origin=1.0, target=5.0, velocity=2.0)
    np.testing.assert_allclose(move.position_at(np.array([-1, 0, 1, 2, 9])), [1, 1, 3, 5, 5])


@given(MOVES)
def test_it_ends_exactly_at_its_target_and_never_overshoots(move):
    times = np.linspace(move.begin - 1, move.end + 1, 101)
    way = move.position_at(times)
    assert way[0] == move.origin
    assert way[-1] == move.target
    assert np.all(np.diff(way) * move.direction >= -1e-9)


@given(MOVES)
def test_its_velocity_is_never_exceeded(move):
    times = np.linspace(move.begin, move.end, 501)
    steps = np.abs(np.diff(move.position_at(times)))
    assert np.all(steps <= move.velocity * np.diff(times) * (1 + 1e-6) + 1e-9)


@given(MOVES, st.floats(0, 1))
def test_it_is_at_a_position_when_it_says_that_it_passes_it(move, share):
    position = move.origin + share * (move.target - move.origin)
    if move.distance < 1e-6 or abs(position - move.origin) > move.distance:
        return
    assert move.position_at(move.time_at(position)) == pytest.approx(position, abs=1e-6)


def test_a_position_off_its_way_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1 does not pass 2"):
        Move(begin=0.0, origin=0.0, target=1.0, velocity=1.0).time_at(2.0)


def test_at_the_end_of_a_move_of_today_it_is_at_its_target():
    for begin in 1_750_000_000.0 + np.linspace(0, 1, 50):
        move = Move(float(begin), 13.7, 13.70001, velocity=5.0, acceleration_time=0.05)
        assert move.position_at(move.end) == 13.70001


def test_an_axis_that_stands_is_where_it_is():
    rest = Move.rest(3.0)
    assert rest.position_at(1e9) == 3.0
    assert rest.direction == 0
    assert rest.end < 0


@pytest.mark.parametrize(("velocity", "ramp"), [(0.0, 1.0), (-1.0, 0.0), (1.0, -0.1)])
def test_a_move_that_never_arrives_is_refused(velocity, ramp):
    with pytest.raises(ValueError, match="velocity > 0 and an acceleration time >= 0"):
        Move(0.0, 0.0, 1.0, velocity, ramp)
