"""This file is where each exposure learns where the cell was: voltage, current, charge, smear.

Only what the guard's log said up to the first watermark that covers the end of an exposure is
used, clock comparisons included. So the answer is the same, to the bit, while the log grows and
afterwards.
"""

import math
from dataclasses import dataclass

import numpy as np

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cell_log import CellLog, Mounting
from battbeam.experiment.cell_path import gather_path
from battbeam.experiment.clock_relation import ClockRelation, clock_relation


@dataclass(frozen=True)
class CellState:
    """A cell at one time.

    Attributes:
        time: s since the Unix epoch, session clock.
        voltage: V.
        current: A, > 0 charges.
        charge: Passed since the cell was mounted, mAh.
        state_of_charge: By the passport's capacity and reference.
        lithium_content: Charge-based.
    """

    time: float
    voltage: float = math.nan
    current: float = math.nan
    charge: float = math.nan
    state_of_charge: float = math.nan
    lithium_content: float = math.nan


@dataclass(frozen=True)
class CellDuring:
    """A cell during one exposure.

    Attributes:
        start: At its start.
        middle: In its middle.
        end: At its end.
        voltage: Mean, V.
        current: Mean, A: the charge that passed over the exposure.
        smear: Largest minus smallest state of charge during the exposure.
        step_index: Of the protocol, in the middle; -1 before the first record, and once it has
            ended.
        step_count: Of the guard, in the middle; -1 before the first record.
        cycle_number: In the middle; -1 before the first record.
        is_live: Whether a live value stood in for a record.
        cell_run: Uid; empty if there is none.
        clock: Of the cycler against the session's; None if never compared.
        fault: Why nothing of this may be used; empty if it may.
        warning: What a person should look at.
    """

    start: CellState
    middle: CellState
    end: CellState
    voltage: float = math.nan
    current: float = math.nan
    smear: float = math.nan
    step_index: int = -1
    step_count: int = -1
    cycle_number: int = -1
    is_live: bool = False
    cell_run: str = ""
    clock: ClockRelation | None = None
    fault: str = ""
    warning: str = ""


def unknown_cell(time_start: float, time_end: float, fault: str) -> CellDuring:
    """A cell of which nothing is known, and why."""
    middle = 0.5 * (time_start + time_end)
    return CellDuring(CellState(time_start), CellState(middle), CellState(time_end), fault=fault)


class CellTimeline:
    """Where the cell was, from the log of its guard."""

    def __init__(self, log: CellLog) -> None:
        self._log = log
        self._passports: dict[int, CellPassport] = {}

    def covers(self, time: float) -> bool:
        """Whether the log is complete up to ``time`` (session clock)."""
        return self._log.complete_to >= time

    def lateness(self, time: float) -> float:
        """Wall s after ``time`` (session clock) at which the log was complete up to it."""
        return self._log.lateness(time)

    def at(self, time_start: float, time_end: float) -> CellDuring:
        """The cell during one exposure.

        Args:
            time_start: s since the Unix epoch, session clock.
            time_end: Not before the start.

        Raises:
            ValueError: If the log does not cover the end yet, or it lies before the start.
        """
        if not time_end >= time_start:
            raise ValueError(f"an exposure cannot end at {time_end} and start at {time_start}")
        line = self._log.line_covering(time_end)
        if line is None:
            raise ValueError(f"the cell log does not cover {time_end:.3f} yet; ask `covers` first")
        mounting = self._log.mounting_at(line, time_start)
        if mounting is None:
            return unknown_cell(time_start, time_end, "no cell was mounted")
        clock = self.clock_at(line)
        if clock is None:
            fault = "the cycler's clock was never compared with the session's"
            return unknown_cell(time_start, time_end, fault)
        if clock.fault:
            return unknown_cell(time_start, time_end, f"cycler's {clock.fault}")
        return self._during(time_start, time_end, line=line, mounting=mounting, clock=clock)

    def clock_at(self, line: int) -> ClockRelation | None:
        """The cycler's clock as known when a line of the log was written."""
        table = self._log.comparisons
        n = int(np.searchsorted(table["line"], line))
        names = ("device_time", "session_time", "uncertainty")
        return clock_relation(**{name: table[name][:n] for name in names}) if n else None

    def _during(
        self,
        time_start: float,
        time_end: float,
        *,
        line: int,
        mounting: Mounting,
        clock: ClockRelation,
    ) -> CellDuring:
        start, end = clock.device_time(time_start), clock.device_time(time_end)
        path = gather_path(
            self._log, line=line, mounting=mounting, clock=clock, start=start, end=end
        )
        if path is None:
            return unknown_cell(time_start, time_end, "the guard has not read the cell yet")
        passport = self._passport(mounting)
        time_middle = 0.5 * (time_start + time_end)
        middle = clock.device_time(time_middle)
        times, voltages, charges = path.between(start, end)
        duration = end - start
        voltage, current, _ = path.at(middle)
        if duration > 0:
            voltage = float(np.trapezoid(voltages, times) / duration)
            current = float(charges[-1] - charges[0]) * 3.6 / duration
        step = self._step(middle, line, mounting)
        if self._log.is_over_at(line, time_middle):
            step = (-1, *step[1:])
        return CellDuring(
            start=_state(time_start, path.at(start), passport),
            middle=_state(time_middle, path.at(middle), passport),
            end=_state(time_end, path.at(end), passport),
            voltage=voltage,
            current=current,
            smear=float(charges.max() - charges.min()) / passport.nominal_capacity,
            step_index=step[0],
            step_count=step[1],
            cycle_number=step[2],
            is_live=path.is_live,
            cell_run=mounting.cell_run,
            clock=clock,
            warning=clock.warning and f"cycler's {clock.warning}",
        )

    def _passport(self, mounting: Mounting) -> CellPassport:
        if mounting.line not in self._passports:
            self._passports[mounting.line] = CellPassport.logged(mounting.passport)
        return self._passports[mounting.line]

    def _step(self, time: float, line: int, mounting: Mounting) -> tuple[int, int, int]:
        samples = self._log.samples
        n = int(np.searchsorted(samples["line"], line))
        last = int(np.searchsorted(samples["time"][:n], time, side="right")) - 1
        if last < mounting.sample:
            return -1, -1, -1
        names = ("step_index", "step_count", "cycle_number")
        index, count, cycle = (int(samples[name][last]) for name in names)
        return index, count, cycle


def _state(time: float, found: tuple[float, float, float], passport: CellPassport) -> CellState:
    voltage, current, charge = found
    return CellState(
        time=time,
        voltage=voltage,
        current=current,
        charge=charge,
        state_of_charge=passport.state_of_charge_from_charge(charge),
        lithium_content=passport.lithium_content_from_charge(charge),
    )
