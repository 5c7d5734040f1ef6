import math

import pytest

from battbeam.errors import GuardError
from battbeam.experiment.cell import Window
from battbeam.guard.limits import Limits

HARD = Window(2.0, 4.2, 0.02)


def test_soft_limits_lie_about_the_cells_window_inside_the_hard_ones():
    limits = Limits(HARD)
    limits.narrow(Window(2.5, 4.19, 0.01))
    assert limits.soft == Window(2.475, 4.2, 0.0105)
    limits.narrow(None)
    assert limits.soft == HARD


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("voltage_max", 4.3, "outside the hard limits"),
        ("voltage_min", 1.9, "outside the hard limits"),
        ("current_max", 0.03, "outside the hard limits"),
        ("voltage_max", math.nan, "must be a number"),
        ("voltage_max", math.inf, "must be a number"),
        ("voltage_max", 2.0, "leaves no window"),
        ("current_max", 0.0, "leaves no window"),
    ],
)
def test_a_soft_limit_that_makes_no_sense_changes_nothing(name, value, fault):
    limits = Limits(HARD)
    with pytest.raises(GuardError, match=fault):
        limits.set_soft(name, value)
    assert limits.soft == HARD


@pytest.mark.parametrize(
    ("voltage", "current", "reason"),
    [
        (4.21, 0.0, "voltage 4.2100 V > 4.2000 V"),
        (1.99, 0.0, "voltage 1.9900 V < 2.0000 V"),
        (3.0, -0.021, "current -21.0000 mA beyond 20.0000 mA"),
        (4.2, 0.02, None),
    ],
)
def test_a_reading_outside_is_named(voltage, current, reason):
    assert Limits(HARD).violation(voltage=voltage, current=current) == reason


def test_three_readings_in_a_row_that_are_no_numbers_are_one_too_many():
    limits = Limits(HARD)
    nan = {"voltage": math.nan, "current": 0.0}
    assert limits.violation(**nan) is None
    assert limits.violation(**nan) is None
    assert limits.violation(voltage=3.0, current=0.0) is None
    assert [limits.violation(**nan) is None for _ in range(3)] == [True, True, False]
