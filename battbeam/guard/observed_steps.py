"""This file is where the steps of a foreign cycler are told from what it logs."""

import math
from collections import deque

from battbeam.experiment.cycler_log import LogRow
from battbeam.experiment.protocol import Step, StepType

#: Readings from which on a step that is not named is told.
ENOUGH = 4
#: V within which a voltage counts as kept, and the part of the current that must change meanwhile.
SAME_VOLTAGE, CHANGED_CURRENT = 0.002, 0.02


class StepFollower:
    """Follows one cell.

    Attributes:
        step: The present one; None before anything was read.
        step_count: Steps begun; never repeats.
    """

    def __init__(self, *, rest_current: float) -> None:
        self.step: Step | None = None
        self.step_count = 0
        self._rest_current = rest_current
        self._said: tuple[object, ...] | None = None
        self._recent: deque[tuple[float, float]] = deque(maxlen=8)

    def notice(self, row: LogRow) -> bool:
        """Take in a row, or a reading without step and mode; whether a new step begins with it."""
        sign = 0 if abs(row.current) < self._rest_current else int(math.copysign(1, row.current))
        said: tuple[object, ...] = (row.acquisition, row.step, row.cycle, row.mode)
        if row.step < 0 and row.mode is None:
            said = (row.acquisition, row.cycle, sign)
        is_new = said != self._said
        if is_new:
            self._said = said
            self._recent.clear()
            self.step_count += 1
        self._recent.append((row.voltage, row.current))
        self.step = Step(
            index=row.step,
            type=row.mode or self._likeliest(sign),
            cycle_number=max(row.cycle, 0),
            direction=sign,
        )
        return is_new

    def _likeliest(self, sign: int) -> StepType:
        """What is kept, from what was read in this step so far."""
        if sign == 0:
            return StepType.REST
        voltages, currents = zip(*self._recent, strict=True)
        if len(self._recent) < ENOUGH or max(voltages) - min(voltages) > SAME_VOLTAGE:
            return StepType.CONSTANT_CURRENT
        change = max(currents) - min(currents)
        is_kept = change <= CHANGED_CURRENT * max(map(abs, currents))
        return StepType.CONSTANT_CURRENT if is_kept else StepType.CONSTANT_VOLTAGE
