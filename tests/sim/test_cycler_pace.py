import asyncio
import time
from dataclasses import dataclass

import pytest

from battbeam.sim.cycler import until_due


@dataclass
class Clock:
    rates: tuple[float, ...]

    @property
    def rate(self):
        first, *rest = self.rates
        self.rates = tuple(rest) or (first,)
        return first

    def now(self):
        return 0.0


@pytest.mark.parametrize(
    ("rates", "is_early"),
    [((60.0,), False), ((0.0,), False), ((60.0, 60.0, 0.0), True), ((0.0, 60.0), False)],
)
def test_the_cycler_looks_after_its_cells_at_once_when_somebody_freezes_the_clock(rates, is_early):
    # Early is minutes before, however long the machine is busy with something else.
    due = time.monotonic() + (300.0 if is_early else 0.1)
    asyncio.run(until_due(Clock(rates), due))
    assert (time.monotonic() < due) is is_early


def test_a_deadline_that_is_past_is_met_at_once():
    begin = time.monotonic()
    asyncio.run(until_due(Clock((60.0,)), begin - 1.0))
    assert time.monotonic() < begin + 1.0
