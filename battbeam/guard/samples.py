"""This file is where records become samples: numbered, with the charge passed since the cell was
mounted.

Charge is the trapezoidal integral of the current over the cycler's clock, within one segment;
between two segments the circuit is open. Records count for good; live values reach on from the last
record, until the next.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

#: Readings whose mean a hold keeps.
N_HOLD = 3


@dataclass(frozen=True)
class Tally:
    """Where the integral stands.

    Attributes:
        charge: mAh since mounting, positive on charge.
        capacity: mAh since the current changed its sign.
        sign: Of the last current that flowed.
        elapsed: s into the segment; None before its first reading.
        current: A then.
    """

    charge: float = 0.0
    capacity: float = 0.0
    sign: int = 0
    elapsed: float | None = None
    current: float = 0.0

    def advanced(self, *, elapsed: float, current: float) -> "Tally":
        """With one more reading. The first of a segment stands for the time since its start, too.

        A reading that is no number is passed over: the integral bridges it.
        """
        if not (math.isfinite(elapsed) and math.isfinite(current)):
            return self
        before = current if self.elapsed is None else self.current
        interval = max(0.0, elapsed - (self.elapsed or 0.0))
        passed = (before + current) / 2 * interval / 3.6
        sign = (passed > 0) - (passed < 0) or self.sign
        capacity = self.capacity if sign == self.sign else 0.0
        return Tally(self.charge + passed, capacity + passed, sign, elapsed, current)


class Samples:
    """Counts and integrates what was read."""

    def __init__(self) -> None:
        self.sequence = 0
        self.committed = Tally()
        self.latest = Tally()
        self.step = -1
        self.step_started = 0.0
        self.elapsed_before = 0.0
        self.charge_before = 0.0
        self._is_continuation = self._is_step_new = False
        self.recent: deque[float] = deque(maxlen=N_HOLD)

    def mount(self) -> None:
        """Count charge from nothing for a cell newly mounted; the sequence goes on."""
        self.committed = self.latest = Tally()
        self.begin_segment()

    def end_segment(self) -> None:
        """The circuit is open; live values beyond the last record do not count any more."""
        self.latest = self.committed

    def begin_segment(self, *, is_continuation: bool = False) -> None:
        """The circuit was open until now; a step may be taken up again that ran before."""
        self._is_continuation = is_continuation
        if is_continuation:
            self.elapsed_before = self.step_elapsed
        else:
            self._begin_step()
        self.committed = self.latest = replace(self.committed, elapsed=None, current=0.0)
        self.step, self.step_started = -1, 0.0

    def step_to(self, step: int, elapsed: float) -> None:
        """A record of a step: its first one begins it."""
        if step > self.step:
            if step > 0 or not self._is_continuation:
                self._begin_step()
            self.step, self.step_started = step, elapsed

    def _begin_step(self) -> None:
        self.elapsed_before, self.charge_before = 0.0, self.committed.charge
        self._is_step_new = True

    def commit(self, *, elapsed: float, voltage: float, current: float) -> Tally:
        """Count a record for good."""
        self.committed = self.committed.advanced(elapsed=elapsed, current=current)
        self.latest = self.committed
        self.sequence += 1
        self._remember(voltage)
        return self.committed

    def reach(self, *, elapsed: float, voltage: float, current: float) -> Tally:
        """Count a live value until the next record."""
        if self.latest.elapsed is None or elapsed > self.latest.elapsed:
            self.latest = self.latest.advanced(elapsed=elapsed, current=current)
            self._remember(voltage)
        return self.latest

    def _remember(self, voltage: float) -> None:
        if not math.isfinite(voltage):
            return
        if self._is_step_new:
            # A mean over a jump of the voltage would be held with a current that nobody asked for.
            self.recent.clear()
            self._is_step_new = False
        self.recent.append(voltage)

    @property
    def step_elapsed(self) -> float:
        """s that the present step has lasted, without the time between two segments of it."""
        return self.elapsed_before + max(0.0, (self.latest.elapsed or 0.0) - self.step_started)

    @property
    def step_charge(self) -> float:
        """mAh that have passed in the present step."""
        return self.latest.charge - self.charge_before

    @property
    def recent_voltage(self) -> float | None:
        """Mean of the last three readings, V."""
        return sum(self.recent) / len(self.recent) if self.recent else None
