"""This file is where clocks are watched. Every slot is met once: the newest that passed is due, those
before it were missed, and none shifts another.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.conditions_of_time import AbsoluteClock, Becomes, Cadence, WindowClock
from battbeam.experiment.met import CellWatcher, Met, newest_served, overdue
from battbeam.experiment.truth import Truth


class ClockWatcher:
    """Remembers the next slot.

    Args:
        condition: With a start.
        begin: Slots before this time are none of its business, s since the Unix epoch.
    """

    def __init__(self, condition: AbsoluteClock, begin: float = -math.inf) -> None:
        self._condition = condition
        self._next = 0
        if begin > condition.slot(0):
            self._next = math.floor((begin - condition.slot(0)) / condition.period)
            while condition.slot(self._next) < begin:
                self._next += 1

    def update(self, reading: CellReading) -> list[Met]:
        """Nothing: the cell does not move a clock."""
        return []

    def due(self, now: float) -> list[Met]:
        """Slots that have passed since the last call."""
        if now < self.next_time():
            return []
        passed = list(self._passed(now))
        self._next += len(passed)
        late = self._condition.longest_delay
        return newest_served([Met(due=slot, expires=slot + late) for slot in passed], now)

    def _passed(self, now: float) -> Iterator[float]:
        index = self._next
        while self._condition.has_slot(index) and self._condition.slot(index) <= now:
            yield self._condition.slot(index)
            index += 1

    def next_time(self) -> float:
        """The next slot."""
        return (
            self._condition.slot(self._next) if self._condition.has_slot(self._next) else math.inf
        )


def not_known(met: Met, what: str) -> Met:
    """The same, missed because nobody knows whether it counts; why it was missed before stays."""
    return replace(met, missed=met.missed or f"not known whether {what}", is_known=False)


class CadenceWatcher:
    """A grid for each rate; of all slots those count whose rate holds at their time.

    Args:
        condition: With a start.
        truths: Of its rates, in their order.
        begin: Slots before this time are none of its business, s since the Unix epoch.
    """

    def __init__(self, condition: Cadence, truths: Sequence[Truth], begin: float) -> None:
        self._condition, self._truths = condition, truths
        periods = [*(rate.period for rate in condition.rates), condition.otherwise]
        self._clocks = [
            ClockWatcher(
                AbsoluteClock(start=condition.start, period=period, grace=condition.grace), begin
            )
            for period in periods
        ]

    def update(self, reading: CellReading) -> list[Met]:
        """Nothing is met; which rate holds is remembered."""
        for each in self._truths:
            each.update(reading)
        return []

    def due(self, now: float) -> list[Met]:
        """Slots that have passed since the last call and count."""
        found = []
        for position, clock in enumerate(self._clocks):
            for met in clock.due(now):
                which, is_known = self._rate(met.due)
                if which == position:
                    unknown = "" if is_known else self._condition.rates[which].during.sentence()
                    found.append(met if is_known else not_known(met, unknown))
        found.sort(key=lambda met: met.due)
        served = [met for met in found if not met.missed]
        return [overdue(met, now) if met in served[:-1] else met for met in found]

    def _rate(self, time: float) -> tuple[int, bool]:
        """The rate that holds, and whether that is known."""
        for position, each in enumerate(self._truths):
            state = each.at(time)
            if state is not False:
                return position, state is True
        return len(self._truths), True

    def next_time(self) -> float:
        """The next slot of any rate."""
        return min(clock.next_time() for clock in self._clocks)


class WindowClockWatcher:
    """Remembers when the window opened, and the next slot in it."""

    def __init__(self, condition: WindowClock, truth: Truth) -> None:
        self._condition, self._truth = condition, truth
        self._start = math.inf
        self._next = 0

    def update(self, reading: CellReading) -> list[Met]:
        """Slots before the window's end, where a reading shows that it has ended."""
        found: list[Met] = []
        for change in self._truth.update(reading):
            state = self._truth.at(change)
            if state and self._start == math.inf:
                self._start, self._next = change, 0
            elif state is False:
                found += self._passed(math.nextafter(change, -math.inf))
                self._start = math.inf
        return newest_served(found, reading.time) if found else []

    def due(self, now: float) -> list[Met]:
        """Slots that have passed since the last call."""
        return newest_served(self._passed(now), now) if now >= self.next_time() else []

    def _passed(self, until: float) -> list[Met]:
        found, late = [], self._condition.longest_delay
        while (slot := self.next_time()) <= until:
            met = Met(due=slot, expires=slot + late)
            is_known = self._truth.at(slot) is not None
            found.append(met if is_known else not_known(met, self._condition.window.sentence()))
            self._next += 1
        return found

    def next_time(self) -> float:
        """The next slot while the window is open."""
        return self._start + self._next * self._condition.period


class BecomesWatcher(CellWatcher):
    """Remembers whether it was so when that was last known, and since when it is."""

    def __init__(self, condition: Becomes, truth: Truth) -> None:
        self._lasting, self._truth = condition.lasting, truth
        self._known: bool | None = None
        self._is_pending = False
        self._since = math.inf
        self._gap = 0.0
        self._seen = -math.inf

    def update(self, reading: CellReading) -> list[Met]:
        """Met when it is so, long enough, and was known not to be before."""
        found: list[Met] = []
        for change in self._truth.update(reading):
            found += self._lasted(change)
            self._turn(change, reading.time)
        if self._truth.at(reading.time) is not None:
            self._seen = reading.time
        return found + self._lasted(reading.time)

    def _turn(self, change: float, now: float) -> None:
        state = self._truth.at(change)
        is_new = self._since == math.inf and (self._known is False or self._is_pending)
        if not state:
            self._since = math.inf
        elif is_new:
            self._is_pending, self._since, self._gap = True, change, now - self._seen
        if state is False:
            self._is_pending = False
        if state is not None:
            self._known = state

    def _lasted(self, until: float) -> list[Met]:
        due = self._since + self._lasting
        if due > until:
            return []
        self._is_pending, self._since = False, math.inf
        return [Met(due=due, gap=self._gap)]
