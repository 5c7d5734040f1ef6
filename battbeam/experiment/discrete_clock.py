"""This file is where a clock is that moves only when it is told to: simulated days in milliseconds.

It answers as every `battbeam.experiment.clock.Clock`, so that whatever asks a clock the time, pure
code and forecasts first, runs on it unchanged.
"""


class DiscreteClock:
    """Goes from event to event and takes no time in between.

    Args:
        time: s since the Unix epoch.
        rate: What it says it runs at, for what divides by it, s per s of wall time.

    >>> clock = DiscreteClock(1000.0)
    >>> clock.wait_until(1040.0)
    >>> clock.advance(2.5)
    >>> clock.now()
    1042.5
    """

    def __init__(self, time: float = 0.0, *, rate: float = 1.0) -> None:
        self._time = time
        self.rate = rate

    def now(self) -> float:
        """Time in s since the Unix epoch."""
        return self._time

    def wait_until(self, time: float) -> None:
        """Go on to ``time``; at once if that has passed, as every wait does."""
        self._time = max(self._time, time)

    def advance(self, duration: float) -> None:
        """Go on by ``duration`` s.

        Raises:
            ValueError: If that is backwards, or not a number.
        """
        if not duration >= 0:
            raise ValueError(f"a clock goes forwards: duration must be >= 0 s, got {duration}")
        self._time += duration
