import math

import pytest

from battbeam.experiment.clock import Clock
from battbeam.experiment.discrete_clock import DiscreteClock


def test_time_moves_only_when_it_is_told_to():
    clock: Clock = DiscreteClock(1000.0)
    assert clock.now() == clock.now() == 1000.0
    clock.wait_until(1040.0)
    clock.wait_until(900.0)
    clock.advance(0.5)
    assert clock.now() == 1040.5


@pytest.mark.parametrize("duration", [-1.0, math.nan])
def test_a_clock_that_goes_backwards_is_refused(duration):
    with pytest.raises(ValueError, match="a clock goes forwards"):
        DiscreteClock().advance(duration)
