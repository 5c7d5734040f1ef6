"""This file is where combinations of conditions are watched, from the watchers of their parts."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace

from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.met import Met, Watcher
from battbeam.experiment.predicates import Predicate
from battbeam.experiment.truth import Truth
from battbeam.experiment.watchers_of_time import not_known


class AnyOfWatcher:
    """Remembers nothing of its own."""

    def __init__(self, parts: Sequence[Watcher]) -> None:
        self._parts = parts

    def update(self, reading: CellReading) -> list[Met]:
        """What any part has met; together is once."""
        return _once([met for each in self._parts for met in each.update(reading)])

    def due(self, now: float) -> list[Met]:
        """What any part has met by the clock; together is once."""
        return _once([met for each in self._parts for met in each.due(now)])

    def next_time(self) -> float:
        """The first of its parts'."""
        return min(each.next_time() for each in self._parts)


def _once(mets: list[Met]) -> list[Met]:
    """Those that are not missed become one, of the earliest time."""
    if len(mets) < 2:
        return mets
    mets.sort(key=lambda met: met.due)
    served = [met for met in mets if not met.missed]
    if len(served) < 2:
        return mets
    first = replace(
        served[0],
        expires=max(met.expires for met in served),
        remark=f"{len(served)} of its conditions were met together",
    )
    return sorted([*(met for met in mets if met.missed), first], key=lambda met: met.due)


class AllOfWatcher:
    """Remembers when each part last happened, until all have."""

    def __init__(self, parts: Sequence[Watcher], within: float | None) -> None:
        self._parts = parts
        self._within = math.inf if within is None else within
        self._happened: dict[int, Met] = {}

    def update(self, reading: CellReading) -> list[Met]:
        """Met with the last part."""
        return self._take([each.update(reading) for each in self._parts])

    def due(self, now: float) -> list[Met]:
        """Met with the last part, by the clock."""
        return self._take([each.due(now) for each in self._parts])

    def _take(self, mets: list[list[Met]]) -> list[Met]:
        news = [(met, part) for part, found in enumerate(mets) for met in found if met.is_known]
        news.sort(key=lambda each: each[0].due)
        return [met for each, part in news for met in self._note(each, part)]

    def _note(self, met: Met, part: int) -> list[Met]:
        self._happened[part] = met
        latest = max(each.due for each in self._happened.values())
        self._happened = {
            key: each for key, each in self._happened.items() if latest - each.due <= self._within
        }
        if len(self._happened) < len(self._parts):
            return []
        gap = max(each.gap for each in self._happened.values())
        self._happened = {}
        return [Met(due=latest, gap=gap)]

    def next_time(self) -> float:
        """The first of its parts'."""
        return min(each.next_time() for each in self._parts)


class AfterWatcher:
    """Remembers what has happened until it is due."""

    def __init__(self, part: Watcher, delay: float) -> None:
        self._part, self._delay = part, delay
        self._ahead: list[tuple[float, int, Met]] = []
        self._number = 0

    def update(self, reading: CellReading) -> list[Met]:
        """Nothing: the clock meets what the cell has begun."""
        self._note(self._part.update(reading))
        return []

    def due(self, now: float) -> list[Met]:
        """What happened, or was missed, long enough ago."""
        self._note(self._part.due(now))
        found = []
        while self._ahead and self._ahead[0][0] <= now:
            found.append(heapq.heappop(self._ahead)[2])
        return found

    def _note(self, mets: list[Met]) -> None:
        for met in mets:
            due, expires = met.due + self._delay, met.expires + self._delay
            later = replace(met, due=due, expires=expires)
            heapq.heappush(self._ahead, (due, self._number, later))
            self._number += 1

    def next_time(self) -> float:
        """Of what has happened, or of its part."""
        ahead = self._ahead[0][0] if self._ahead else math.inf
        return min(ahead, self._part.next_time())


class WhileWatcher:
    """Remembers when its predicate was so."""

    def __init__(self, part: Watcher, truth: Truth, predicate: Predicate) -> None:
        self._part, self._truth, self._predicate = part, truth, predicate

    def update(self, reading: CellReading) -> list[Met]:
        """What its part has met while the predicate was so."""
        self._truth.update(reading)
        return self._counting(self._part.update(reading))

    def due(self, now: float) -> list[Met]:
        """What its part has met by the clock while the predicate was so."""
        return self._counting(self._part.due(now))

    def _counting(self, mets: list[Met]) -> list[Met]:
        found = []
        for met in mets:
            state = self._truth.at(met.due)
            if state is None:
                found.append(not_known(met, self._predicate.sentence()))
            elif state:
                found.append(met)
        return found

    def next_time(self) -> float:
        """Its part's; it may turn out not to count."""
        return self._part.next_time()


class AtMostWatcher:
    """Remembers how often it may still be met."""

    def __init__(self, part: Watcher, n: int) -> None:
        self._part, self._left = part, n

    def update(self, reading: CellReading) -> list[Met]:
        """What its part has met, as long as there is some left."""
        return self._counted(self._part.update(reading)) if self._left else []

    def due(self, now: float) -> list[Met]:
        """What its part has met by the clock, as long as there is some left."""
        return self._counted(self._part.due(now)) if self._left else []

    def _counted(self, mets: list[Met]) -> list[Met]:
        found = []
        for met in mets:
            if self._left:
                found.append(met)
                self._left -= not met.missed
        return found

    def next_time(self) -> float:
        """Its part's, as long as there is some left."""
        return self._part.next_time() if self._left else math.inf
