"""This file is where the protocol is watched: its steps, its cycles, its rests and its end.

A hold and an opened circuit interrupt a step; they are no steps of the protocol, and what is left
of the interrupted step is no new one. `ProtocolSteps` sees to that.
"""

import math
from dataclasses import replace

from battbeam.experiment.cell_reading import CellReading
from battbeam.experiment.conditions_of_steps import CycleEdge, EndOfRest, StepEdge
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.met import CellWatcher, Met

#: Steps or cycles that passed unseen and are written down one by one.
MOST_UNSEEN = 1000
_UNSEEN = "the {} was over before it was seen"


class ProtocolSteps:
    """Readings as they would be if nothing had interrupted the protocol.

    For that, readings must be seen while the cell is held or its circuit is open: one is enough.
    """

    def __init__(self) -> None:
        self._last: CellReading | None = None
        self._raw = self._offset = 0
        self._resumes_at: int | None = None

    def seen(self, reading: CellReading) -> CellReading:
        """The same reading, with step count, type and cycle of the protocol's own step."""
        if reading.state in (GuardState.HOLDING, GuardState.OPEN_CIRCUIT):
            return self._interrupted(reading)
        if reading.step_count is None:
            return reading
        if self._resumes_at is not None:
            if reading.state == GuardState.UNREACHABLE:
                return self._unchanged(reading)
            if reading.state != GuardState.RUNNING:
                # Over before it was seen to go on: a hold and what was left of the step are none.
                self._offset += max(min(reading.step_count, self._resumes_at) - self._raw, 0)
                self._resumes_at = None
            elif reading.step_count < self._resumes_at or not reading.step_type:
                return self._unchanged(reading)
            else:
                self._resume(reading, reading.step_count)
        self._raw = reading.step_count
        if self._offset:
            reading = replace(reading, step_count=reading.step_count - self._offset)
        if reading.state == GuardState.RUNNING and reading.step_type:
            self._last = reading
        return reading

    def _interrupted(self, reading: CellReading) -> CellReading:
        if self._last is None:
            return reading
        # A hold is counted, and what is left after it; an opened circuit is not.
        least = self._raw + (2 if reading.state == GuardState.HOLDING else 1)
        beyond = 0 if reading.step_count is None else reading.step_count + 1
        self._resumes_at = max(least, beyond, self._resumes_at or 0)
        return self._unchanged(reading)

    def _unchanged(self, reading: CellReading) -> CellReading:
        last = self._last
        if last is None:
            return reading
        return replace(
            reading,
            step_count=last.step_count,
            step_type=last.step_type,
            cycle_number=last.cycle_number,
            step_elapsed=math.nan,
            step_remaining=math.nan,
        )

    def _resume(self, reading: CellReading, step_count: int) -> None:
        is_same = self._last is not None and reading.step_type == self._last.step_type
        self._offset += step_count - self._raw - (0 if is_same else 1)
        self._resumes_at = None


class StepEdgeWatcher(CellWatcher):
    """Remembers the last step count."""

    def __init__(self, condition: StepEdge) -> None:
        self._step_type = None if condition.step_type is None else str(condition.step_type)
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the step count has grown and the new step is of the type asked for."""
        if reading.step_count is None or (self._step_type is not None and not reading.step_type):
            return []
        last, self._last = self._last, reading
        if last is None or last.step_count is None or reading.step_count <= last.step_count:
            return []
        gap = reading.time - last.time
        unseen = reading.step_count - last.step_count - 1
        if self._step_type is None:
            return [*_jumped(reading.time, gap, unseen, "step"), Met(due=reading.time, gap=gap)]
        if reading.step_type != self._step_type:
            return []
        return [Met(due=reading.time, gap=gap, remark=_passed_unseen(unseen))]


def _jumped(due: float, gap: float, n: int, what: str) -> list[Met]:
    more = f"and {n - MOST_UNSEEN} more before it" if n > MOST_UNSEEN else ""
    jumped = Met(due=due, gap=gap, missed=_UNSEEN.format(what))
    found = [jumped] * min(n, MOST_UNSEEN)
    return [replace(jumped, remark=more), *found[1:]] if more else found


def _passed_unseen(n: int) -> str:
    return f"{n} steps of unknown type passed unseen before it" if n else ""


class CycleEdgeWatcher(CellWatcher):
    """Remembers the last cycle number."""

    def __init__(self, condition: CycleEdge) -> None:
        self._number = condition.number
        self._last: tuple[float, int] | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the cycle number has changed; it falls when another protocol begins."""
        number = reading.cycle_number
        if number is None:
            return []
        last, self._last = self._last, (reading.time, number)
        if last is None or number == last[1]:
            return []
        gap = reading.time - last[0]
        if self._number is None:
            unseen = max(number - last[1] - 1, 0)
            return [*_jumped(reading.time, gap, unseen, "cycle"), Met(due=reading.time, gap=gap)]
        if self._number == number:
            return [Met(due=reading.time, gap=gap)]
        return _jumped(reading.time, gap, int(last[1] < self._number < number), "cycle")


class EndOfRestWatcher(CellWatcher):
    """Remembers the step under way, and when its longest duration will be over."""

    def __init__(self, condition: EndOfRest) -> None:
        self._types = {str(each) for each in condition.step_types}
        self._lead = condition.lead
        self._last: CellReading | None = None
        self._is_open = False
        self._seen: float | None = None
        self._deadline = math.inf

    def update(self, reading: CellReading) -> list[Met]:
        """Met when one has ended without having been met before."""
        count, last = reading.step_count, self._last
        if count is None or not (reading.step_type or reading.state == GuardState.FINISHED):
            self._seen, self._deadline = None, math.inf
            return []
        self._last = reading
        found: list[Met] = []
        is_next = last is None or last.step_count is None or count != last.step_count
        if is_next or reading.state == GuardState.FINISHED:
            found = self._ended(reading, last)
            self._is_open = (
                reading.step_type in self._types and reading.state != GuardState.FINISHED
            )
        if is_next or self._seen is None:
            self._seen = reading.time
        self._deadline = math.inf
        if self._is_open and self._lead and math.isfinite(reading.step_remaining):
            self._deadline = reading.time + reading.step_remaining - self._lead
        return found

    def _ended(self, reading: CellReading, last: CellReading | None) -> list[Met]:
        if last is None or not self._is_open:
            return []
        remark = "it ended before its longest duration" if self._lead else ""
        return [Met(due=reading.time, gap=reading.time - last.time, remark=remark)]

    def due(self, now: float) -> list[Met]:
        """Met ``lead`` before the end; no longer than until then."""
        if now < self._deadline or self._seen is None:
            return []
        # A step shorter than the lead is met as soon as it is seen; so is one not known meanwhile.
        due, end = max(self._deadline, self._seen), self._deadline + self._lead
        self._is_open, self._deadline = False, math.inf
        return [Met(due=min(due, now), expires=end)]

    def next_time(self) -> float:
        """``lead`` before the end of the one under way."""
        return self._deadline


class EndWatcher(CellWatcher):
    """Remembers whether the protocol had ended."""

    def __init__(self) -> None:
        self._last: CellReading | None = None

    def update(self, reading: CellReading) -> list[Met]:
        """Met when the guard says that the protocol has finished, and had not said so before."""
        if not reading.state:
            return []
        last, self._last = self._last, reading
        if last is None or reading.state != GuardState.FINISHED:
            return []
        # Finished on both sides of a gap is another end if steps have run in between.
        another = (reading.step_count or 0) > (last.step_count or 0)
        if last.state == GuardState.FINISHED and not another:
            return []
        return [Met(due=reading.time, gap=reading.time - last.time)]
