"""This file is where a slope is taken from noisy readings: never from two of them.

The window is cut into `BINS` parts, each the median of its readings. Parts half a window apart make
pairs, and the median over pairs is the change: a spike spoils nothing, noise is averaged, and the
scatter of the pairs says how certain the median is. The slope is that of the window's middle; it is
taken again whenever a part is complete.
"""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

#: Parts of a window. Twenty make ten pairs, enough for a median and its scatter. Chosen here.
BINS = 20
#: Fewest parts with readings in them, and the least part of the window that they must span.
FEWEST, SPAN = 6, 0.8
#: Standard error of a median over that of a mean, times the standard deviation over the median
#: absolute deviation, for normal noise.
_MEDIAN_ERROR, _DEVIATION = 1.2533, 1.4826


@dataclass(frozen=True)
class Change:
    """A change over about half a window.

    Attributes:
        size: Median over the pairs.
        error: Its standard error.
    """

    size: float
    error: float


class Slope:
    """The latest window of one or more quantities.

    Args:
        window: s.
        n: Quantities.
    """

    def __init__(self, window: float, n: int = 1) -> None:
        self._width, self._window = window / BINS, window
        self._parts: deque[tuple[float, ...]] = deque()
        self._readings: list[list[float]] = [[] for _ in range(n + 1)]
        self._index = -1
        self._origin = math.nan

    def reset(self) -> None:
        """Forget the window: what comes is not to be compared with what was."""
        self._parts.clear()
        for each in self._readings:
            each.clear()
        self._index = -1

    def add(self, time: float, *values: float) -> bool:
        """Take note of a reading; whether a part was completed by it."""
        if not self._readings[0] and not self._parts:
            self._origin = time
        index = int((time - self._origin) // self._width)
        is_next = index != self._index and bool(self._readings[0])
        if is_next:
            self._close(time)
        self._index = index
        for readings, value in zip(self._readings, (time - self._origin, *values), strict=True):
            readings.append(value)
        return is_next

    def _close(self, time: float) -> None:
        self._parts.append(tuple(median(each) for each in self._readings))
        for each in self._readings:
            each.clear()
        oldest = time - self._origin - self._window - self._width
        while self._parts and self._parts[0][0] < oldest:
            self._parts.popleft()

    @property
    def is_full(self) -> bool:
        """Whether enough is known of the window."""
        if len(self._parts) < FEWEST:
            return False
        return self._parts[-1][0] - self._parts[0][0] >= SPAN * self._window

    @property
    def middle(self) -> float:
        """Time of the window's middle, s since the Unix epoch."""
        return self._origin + 0.5 * (self._parts[0][0] + self._parts[-1][0])

    def changes(self) -> tuple[Change, ...]:
        """The change of each quantity over the median distance of the pairs, s, which comes first."""
        parts, half = list(self._parts), len(self._parts) // 2
        pairs = list(zip(parts[: len(parts) - half], parts[half:], strict=True))
        columns = range(len(parts[0]))
        return tuple(_change([late[k] - early[k] for early, late in pairs]) for k in columns)

    def rate(self) -> Change:
        """Of the first quantity, a second."""
        parts, half = list(self._parts), len(self._parts) // 2
        pairs = zip(parts[: len(parts) - half], parts[half:], strict=True)
        return _change([(late[1] - early[1]) / (late[0] - early[0]) for early, late in pairs])


def _change(values: list[float]) -> Change:
    middle = median(values)
    scatter = _DEVIATION * median(abs(value - middle) for value in values)
    return Change(middle, _MEDIAN_ERROR * scatter / math.sqrt(len(values)))
