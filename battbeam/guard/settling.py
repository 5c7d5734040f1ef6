"""This file is where it is told, from noisy readings, that something hardly changes any more.

A straight line is laid through the newest readings, over windows of several lengths. The change
counts as below a limit once its magnitude with four standard errors is: readings that scatter need
a longer window, and a relaxation that slows down is seen late rather than early. The standard error
follows from the scatter about the line, so nothing has to be known of the instrument.
"""

import math

import numpy as np

#: Readings that a window needs at least.
N_LEAST = 12
#: s that a window covers at least: a switch of the current has settled in the leads by then.
SHORTEST = 20.0
#: Standard errors by which the slope must be below the limit: one in 30,000 by chance.
SIGNIFICANCE = 4.0
#: Readings kept; beyond, every other one is dropped.
N_MOST = 2000
#: Share of new readings, of those in the shortest window, before windows are looked at again.
_EVERY = 3


class Settling:
    """Whether one quantity still changes."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[float] = []
        self._n_new = 0

    def add(self, time: float, value: float) -> None:
        """One more reading; what is no number, or not later than the last, is passed over."""
        if not (math.isfinite(time) and math.isfinite(value)):
            return
        if self._times and time <= self._times[-1]:
            return
        self._times.append(time)
        self._values.append(value)
        self._n_new += 1
        if len(self._times) > N_MOST:
            del self._times[1::2], self._values[1::2]

    def is_below(self, limit: float) -> bool:
        """Whether the magnitude of the slope is below a limit, per s."""
        if self._n_new < _EVERY or len(self._times) < N_LEAST:
            return False
        self._n_new = 0
        times, values = np.array(self._times), np.array(self._values)
        length = max(SHORTEST, times[-1] - times[-N_LEAST])
        while True:
            first = int(np.searchsorted(times, times[-1] - length * (1 + 1e-9)))
            if times[-1] - times[first] >= 0.8 * length and len(times) - first >= N_LEAST:
                slope, error = _line(times[first:], values[first:])
                if abs(slope) + SIGNIFICANCE * error <= limit:
                    return True
            if first == 0:
                return False
            length *= 2


def _line(
    times: "np.typing.NDArray[np.float64]", values: "np.typing.NDArray[np.float64]"
) -> tuple[float, float]:
    """Slope of the line of least squares, and its standard error."""
    away = times - times.mean()
    spread = float(away @ away)
    slope = float(away @ values) / spread
    rest = values - values.mean() - slope * away
    variance = float(rest @ rest) / (len(times) - 2)
    return slope, math.sqrt(variance / spread)
