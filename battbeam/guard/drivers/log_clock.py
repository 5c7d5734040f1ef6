"""This file is where the clock of a foreign log is tied to the session's.

Two things tie them: when a row appears in its file (late by an unknown delay, and coarse where the
log says its start in whole seconds), and a marker that both sides see. A marker is better; what it
says of the delay is taken off the rows' appearances from then on. Both stay in the record.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from battbeam.experiment.clock_relation import ClockRelation, clock_relation
from battbeam.guard.driver import Comparison

#: s of session clock between two appearances of rows that are compared.
ARRIVAL_INTERVAL = 20.0
#: Comparisons and edges that are looked back on.
MOST = 512
#: Part of the reach that counts as uncertainty of a row's appearance before the first marker.
BEFORE_MARKER = 0.25
#: Edges whose sizes differ by more than this, relative, are not the same edge.
SAME_SIZE = 0.3


@dataclass(frozen=True)
class Edge:
    """A marker's edge, or one of the current, as one side saw it.

    Attributes:
        time: On that side's clock, s since the Unix epoch.
        uncertainty: s, one standard deviation.
        size: 1 or -1 of a marker; of a current, A, by which it changed.
    """

    time: float
    uncertainty: float
    size: float

    def is_like(self, other: "Edge") -> bool:
        """Whether both may be the same."""
        larger = max(abs(self.size), abs(other.size))
        return abs(self.size - other.size) <= SAME_SIZE * larger


def edge_between(first: float, last: float, size: float, uncertainty: float = 0.0) -> Edge:
    """An edge somewhere between two times."""
    width = max(0.0, last - first)
    return Edge(0.5 * (first + last), math.hypot(width / math.sqrt(12.0), uncertainty), size)


class LogClock:
    """Relates a log's clock to the session's.

    Attributes:
        relation: As known now; None before the first comparison.
        bias: What appearances of rows are late by, s, as markers tell; NaN before the first.
    """

    def __init__(self, *, reach: float = 30.0, has_marker: bool = False) -> None:
        self.relation: ClockRelation | None = None
        self.bias = math.nan
        self._reach, self._has_marker = reach, has_marker
        self._known: deque[Comparison] = deque(maxlen=MOST)
        self._arrivals: deque[Comparison] = deque(maxlen=MOST)
        self._markers: deque[Comparison] = deque(maxlen=MOST)
        self._seen: deque[Edge] = deque(maxlen=MOST)
        self._logged: deque[Edge] = deque(maxlen=MOST)
        self._newest_row = self._last_arrival = -math.inf

    def arrived(
        self, device_time: float, session_time: float, *, uncertainty: float
    ) -> Comparison | None:
        """A row has appeared; a comparison every `ARRIVAL_INTERVAL` s.

        Args:
            device_time: Of the row, log's clock.
            session_time: Middle of the time in which it can have been measured.
            uncertainty: s.
        """
        if session_time - self._last_arrival < ARRIVAL_INTERVAL:
            return None
        self._last_arrival = session_time
        raw = Comparison(device_time, session_time, uncertainty)
        self._arrivals.append(raw)
        self._relate()
        return self._corrected(raw)

    def remember(self, comparisons: Iterable[Comparison]) -> None:
        """Take over what a guard before this one has compared."""
        self._known.extend(comparisons)
        if self._known:
            self._relate()

    def read_to(self, device_time: float) -> None:
        """Rows are read up to here, log's clock."""
        self._newest_row = max(self._newest_row, device_time)

    def seen(self, edges: Iterable[Edge]) -> None:
        """The beamline saw edges."""
        self._seen.extend(edges)

    def logged(self, edges: Iterable[Edge]) -> None:
        """The log tells of edges."""
        self._logged.extend(edges)

    def pairs(self) -> list[Comparison]:
        """Edges that both sides saw and that were not told before."""
        found = []
        while self.relation is not None and self._seen:
            edge = self._seen[0]
            expected = self._expected(edge.time)
            if self._newest_row < expected + self._reach:
                break  # What belongs to it may still be written.
            self._seen.popleft()
            pair = self._partner(edge, expected)
            if pair is not None:
                self._logged.remove(pair)
                sigma = math.hypot(edge.uncertainty, pair.uncertainty)
                found.append(Comparison(pair.time, edge.time, sigma))
        for comparison in found:
            self._mark(comparison)
        return found

    def device_time(self, session_time: float) -> float:
        """What the log's clock shows; NaN while nobody knows."""
        return math.nan if self.relation is None else self.relation.device_time(session_time)

    def session_time(self, device_time: float) -> float:
        """What the session's clock shows; NaN while nobody knows."""
        return math.nan if self.relation is None else self.relation.session_time(device_time)

    def _expected(self, session_time: float) -> float:
        return self.device_time(session_time)

    def _partner(self, edge: Edge, expected: float) -> Edge | None:
        """The one logged edge that can be it; None where there is none, or more than one."""
        near = [each for each in self._logged if abs(each.time - expected) <= self._reach]
        like = [each for each in near if each.is_like(edge)]
        return like[0] if len(like) == 1 else None

    def _mark(self, marker: Comparison) -> None:
        if self._arrivals:
            coarse = _relation(self._arrivals)
            late = coarse.offset + coarse.drift * (marker.session_time - coarse.reference)
            # A row that appears late makes the log's clock look slow.
            bias = (marker.device_time - marker.session_time) - late
            self.bias = bias if math.isnan(self.bias) else 0.5 * (self.bias + bias)
        self._markers.append(marker)
        self._relate()

    def _corrected(self, arrival: Comparison) -> Comparison:
        if math.isnan(self.bias) and not self._has_marker:
            return arrival
        if math.isnan(self.bias):
            # Where a marker is to come, nobody relies on the delay that was only declared.
            sigma = math.hypot(arrival.uncertainty, BEFORE_MARKER * self._reach)
            return Comparison(arrival.device_time, arrival.session_time, sigma)
        return Comparison(
            arrival.device_time, arrival.session_time - self.bias, arrival.uncertainty
        )

    def _relate(self) -> None:
        arrivals = [self._corrected(each) for each in self._arrivals]
        known = [*self._known, *arrivals, *self._markers]
        known.sort(key=lambda each: each.session_time)
        self.relation = _relation(known)


def _relation(comparisons: Iterable[Comparison]) -> ClockRelation:
    known = list(comparisons)
    return clock_relation(
        device_time=[each.device_time for each in known],
        session_time=[each.session_time for each in known],
        uncertainty=[each.uncertainty for each in known],
    )
