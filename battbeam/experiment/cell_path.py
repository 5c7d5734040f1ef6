"""This file is where records and live values around an exposure become a path in time."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from battbeam.experiment.cell_log import (
    CellLog,
    Mounting,
    charge_from,
    edge_charge,
    is_idle_edge,
)
from battbeam.experiment.clock_relation import ClockRelation
from battbeam.units import FloatArray

#: Two integrals of one current that agree to this are the same, 1; clocks differ by far less.
SAME_CHARGE = 0.01
#: s by which a live value's own time may differ from what the clocks' relation makes of it.
CROSSING = 30.0
_COUNTED = ("time", "current", "charge", "step_count")


@dataclass(frozen=True)
class CellPath:
    """Voltage and current of a cell around one exposure.

    They are straight lines between knots; two knots at one time are an edge.

    Attributes:
        values: Rows time (cycler's clock), voltage, current, charge (mAh); shape (4, n_knots).
        is_live: Whether a live value, or one held, is among them.
    """

    values: FloatArray
    is_live: bool

    def at(self, time: float, *, before_edge: bool = False) -> tuple[float, float, float]:
        """Voltage, current and charge at a time on the cycler's clock; at an edge, behind it."""
        times, voltage, current, charge = self.values
        side: Literal["left", "right"] = "left" if before_edge else "right"
        left = int(np.searchsorted(times, time, side=side)) - 1
        if left < 0 or left == len(times) - 1:
            held = max(left, 0)
            return (
                float(voltage[held]),
                float(current[held]),
                float(charge[held] + charge_from(float(current[held]), time - times[held])),
            )
        part = (time - times[left]) / (times[left + 1] - times[left])
        now = current[left] + part * (current[left + 1] - current[left])
        passed = charge_from(0.5 * float(current[left] + now), time - times[left])
        volts = voltage[left] + part * (voltage[left + 1] - voltage[left])
        return float(volts), float(now), float(charge[left] + passed)

    def between(self, start: float, end: float) -> FloatArray:
        """Rows time, voltage, charge at both ends, at knots between and where the current turns.

        Both knots of an edge are there, so that straight lines between columns are the path.
        """
        times, _, current, _ = self.values
        left, right = current[:-1], current[1:]
        turns = np.flatnonzero(left * right < 0)
        part = left[turns] / (left[turns] - right[turns])
        zeros = times[turns] + part * np.diff(times)[turns]
        turned = [(zero, *self.at(zero)[::2]) for zero in zeros[(zeros > start) & (zeros < end)]]
        knots = self.values[[0, 1, 3]][:, (times > start) & (times < end)]
        inside = np.column_stack([knots, np.array(turned).reshape(-1, 3).T])
        inside = inside[:, np.argsort(inside[0], kind="stable")]
        first, last = self.at(start)[::2], self.at(end, before_edge=True)[::2]
        return np.column_stack([[start, *first], inside, [end, *last]])


def gather_path(
    log: CellLog,
    *,
    line: int,
    mounting: Mounting,
    clock: ClockRelation,
    start: float,
    end: float,
) -> CellPath | None:
    """From the last record before an exposure to the first after it; None if nothing is known.

    Args:
        log: Of the guard.
        line: Only entries before this line of the log count.
        mounting: The cell in question.
        clock: Of the cycler.
        start: Of the exposure, cycler's clock.
        end: Of the exposure, cycler's clock.
    """
    return _Gathering(log, line, mounting, clock).path(start, end)


class _Gathering:
    """Collects the knots around one exposure from what the log said before a line."""

    def __init__(self, log: CellLog, line: int, mounting: Mounting, clock: ClockRelation) -> None:
        self._samples, self._live, self._clock = log.samples, log.live, clock
        self._first = mounting.sample
        self._n = int(np.searchsorted(log.samples["line"], line))
        self._n_live = int(np.searchsorted(log.live["line"], line))
        self._first_live = int(np.searchsorted(log.live["line"], mounting.line))
        states = int(np.searchsorted(log.states["line"], line))
        self._is_idle = bool(states and log.states["is_idle"][states - 1])
        self._rows: list[tuple[float, float, float, float]] = []
        self._has_live = False

    def path(self, start: float, end: float) -> CellPath | None:
        times = self._samples["time"][self._first : self._n]
        left = self._first + int(np.searchsorted(times, start, side="right")) - 1
        right = self._first + int(np.searchsorted(times, end))
        if left < self._first:
            self._open(None, self._first if self._first < self._n else None, start, end)
        for record in range(max(left, self._first), min(right, self._n - 1) + 1):
            self._record(record)
            following = record + 1 if record + 1 < self._n else None
            if following is None:
                self._open(record, None, start, end)
            elif record < right and self._has_gap(record, following):
                self._open(record, following, start, end)
        if not self._rows:
            return None
        return CellPath(np.array(self._rows).T, self._has_live)

    def _record(self, record: int) -> None:
        names = ("time", "voltage", "current", "charge")
        time, voltage, current, charge = (float(self._samples[name][record]) for name in names)
        self._rows.append((time, voltage, current, charge))
        self._has_live = self._has_live or bool(self._samples["is_live"][record])

    def _has_gap(self, record: int, following: int) -> bool:
        """Whether the cycler was stopped and started again between two records.

        Then the step is another one, and the guard has not counted the charge of a straight line.
        """
        first, last = (
            {n: float(self._samples[n][k]) for n in _COUNTED} for k in (record, following)
        )
        if first["step_count"] == last["step_count"]:
            return False
        mean = 0.5 * (first["current"] + last["current"])
        straight = charge_from(mean, last["time"] - first["time"])
        counted = last["charge"] - first["charge"]
        return straight == 0 or abs(counted - straight) > SAME_CHARGE * abs(straight)

    def _open(self, record: int | None, following: int | None, start: float, end: float) -> None:
        """What live values tell between two starts of the cycler, before the first, after the last.

        A live value is held until the next knot: an edge between them has a record of its own.
        """
        after = -math.inf if record is None else float(self._samples["time"][record])
        until = end if following is None else min(end, float(self._samples["time"][following]))
        if until <= after:
            return
        first = self._first_live if record is None else self._live_after(after)
        last = self._live_after(until)
        if record is None and first >= last and first < self._n_live:
            last = first + 1  # Nothing was read before the exposure ended: the next reading.
        if first >= last:
            self._hold_record(record, following, until, first)
            return
        needed = max(first, self._live_after(start) - 1)
        self._has_live = True
        before = self._before(record, first)
        for row in range(needed, last):
            self._live_row(row, first, before)
        time, voltage, current, charge = self._rows[-1]
        if until > time:
            held = charge + charge_from(current, until - time)
            self._rows.append((until, voltage, current, held))

    def _before(self, record: int | None, first: int) -> float:
        """Charge at the first live value after a record, mAh; marks where current stopped."""
        if record is None:
            return 0.0
        time, _, current, charge = self._rows[-1]
        live_current = float(self._live["current"][first])
        if is_idle_edge(current, live_current):
            # The voltage jumps with the current: behind the edge it is nearer to what is read next.
            self._rows.append((time, float(self._live["voltage"][first]), live_current, charge))
        duration = float(self._live_times(first, first + 1)[0]) - time
        return charge + edge_charge(current, live_current, duration)

    def _live_row(self, row: int, first: int, before: float) -> None:
        live = self._live
        charge = before + float(live["charge"][row] - live["charge"][first])
        voltage, current = (float(live[name][row]) for name in ("voltage", "current"))
        # Times of two kinds may cross by what the clocks are known to; the path must ascend.
        time = float(self._live_times(row, row + 1)[0])
        time = max(time, self._rows[-1][0]) if self._rows else time
        self._rows.append((time, voltage, current, charge))

    def _live_after(self, time: float) -> int:
        """The first live value later than a time on the cycler's clock; past the last if none."""
        around = self._clock.session_time(time) + np.array([-CROSSING, CROSSING])
        low, high = np.searchsorted(self._live["session_time"][: self._n_live], around)
        later = np.flatnonzero(self._live_times(int(low), int(high)) > time)
        found = int(low) + int(later[0]) if len(later) else int(high)
        return max(found, self._first_live)

    def _live_times(self, low: int, high: int) -> FloatArray:
        """Of some live values, on the cycler's clock."""
        own, seen = self._live["time"][low:high], self._live["session_time"][low:high]
        clock = self._clock
        related = seen + clock.offset + clock.drift * (seen - clock.reference)
        return np.where(np.isnan(own), related, own)

    def _hold_record(
        self, record: int | None, following: int | None, until: float, next_live: int
    ) -> None:
        """Without live values the last record holds; between two starts no current flows."""
        if record is None:
            return
        self._has_live = self._has_live or following is None
        time, voltage, current, charge = self._rows[-1]
        if following is not None or self._is_idle:
            voltage = self._at_rest(voltage, current, following, next_live)
            self._rows.append((time, voltage, 0.0, charge))
            current = 0.0
        self._rows.append((until, voltage, current, charge + charge_from(current, until - time)))

    def _at_rest(
        self, voltage: float, current: float, following: int | None, next_live: int
    ) -> float:
        """Voltage when the current of a record ceased, V: what is read there next, if anything is.

        Else the records on both sides tell it, as far as their voltages part by resistance: where
        their currents have opposite signs.
        """
        if not is_idle_edge(current, 0.0):
            return voltage
        known = self._n_live
        if following is not None:
            known = self._live_after(float(self._samples["time"][following]))
        if next_live < known:
            return float(self._live["voltage"][next_live])
        if following is None:
            return voltage
        other = float(self._samples["current"][following])
        if current * other > 0:
            return voltage
        part = current / (current - other)
        return voltage + part * (float(self._samples["voltage"][following]) - voltage)
