"""This file is where the session's clock is: wall time, or the clock of a simulated beamline.

A simulated clock runs at a rate of its own and may be frozen while a simulated device computes. Its
server publishes (epoch, anchor, rate) on every change; everything else is arithmetic.
"""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What plans, guard and devices ask the time."""

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        ...

    @property
    def rate(self) -> float:
        """Seconds of this clock per second of wall time; 1 on real hardware, 0 while frozen."""
        ...


class WallClock:
    """The clock on the wall.

    >>> WallClock().rate
    1.0
    """

    rate = 1.0

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        return time.time()


@dataclass(frozen=True)
class ClockState:
    """A clock that showed ``epoch`` when the wall showed ``anchor`` and runs at ``rate``.

    Attributes:
        epoch: s since the Unix epoch, on this clock.
        anchor: s since the Unix epoch, on the wall.
        rate: s of this clock per s of wall time; 0 while frozen.

    >>> ClockState(epoch=1000.0, anchor=50.0, rate=60.0).at(wall=51.0)
    1060.0
    """

    epoch: float
    anchor: float
    rate: float

    def at(self, *, wall: float) -> float:
        """Time on this clock when the wall shows ``wall``."""
        return self.epoch + self.rate * (wall - self.anchor)

    def now(self) -> float:
        """Time on this clock now."""
        return self.at(wall=time.time())

    def changed(self, *, wall: float, rate: float) -> "ClockState":
        """The same clock from ``wall`` on at another rate."""
        return ClockState(epoch=self.at(wall=wall), anchor=wall, rate=rate)
