import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.guard.drivers.staircase import LARGEST_DEVIATION, N_STAIRS, ladder, stairs


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    resistance=st.floats(0.5, 1e5),
    voltage=st.floats(0.5, 5.0),
    part=st.floats(0.2, 0.999),
    inner=st.floats(0.0, 0.33),
)
def test_a_load_keeps_its_current_within_its_bound_all_the_way_down(
    resistance, voltage, part, inner
):
    """Also just after a rung, where the voltage jumps by what the cell's own resistance drops."""
    rungs = ladder(resistance=resistance, voltage=voltage, until_voltage=voltage * part)
    upper = voltage
    for number, rung in enumerate(rungs):
        jump = inner * resistance * (rung.current - rungs[number - 1].current) if number else 0.0
        for seen in (upper + jump, upper, rung.until_voltage):
            assert abs(-rung.current * resistance / seen - 1) <= LARGEST_DEVIATION
        upper = rung.until_voltage
    assert upper == pytest.approx(voltage * part)


def test_a_load_that_begins_below_its_end_still_has_a_rung():
    (rung,) = ladder(resistance=10.0, voltage=2.9, until_voltage=3.0)
    assert rung.until_voltage == 3.0


@given(start=st.floats(-1, 1), end=st.floats(-1, 1))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_ramp_passes_its_charge_exactly_and_stays_near_a_straight_line(start, end):
    found = stairs(current=start, current_end=end)
    assert sum(found) / N_STAIRS == pytest.approx((start + end) / 2, abs=1e-12)
    for number, current in enumerate(found):
        for part in (number, number + 1):
            line = start + (end - start) * part / N_STAIRS
            assert abs(current - line) <= abs(end - start) / 40 + 1e-12
