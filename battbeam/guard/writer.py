"""This file is where what the guard sees is put into its log: samples, live values, watermarks,
clocks.

A *sample* belongs to the cell run and counts once, as does an *impedance*. A *live* line reaches on
from the last sample until the next. A *watermark* says up to which time of the session's clock all
is written.
"""

import math
from typing import Any

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.protocol import Step
from battbeam.guard.driver import Comparison, Impedance, Live, Record
from battbeam.guard.log import Log
from battbeam.guard.samples import Samples, Tally

#: Wall s between watermarks; between live lines while current flows; between clock comparisons.
WATERMARK_INTERVAL = 0.5
LIVE_INTERVAL = 0.1
COMPARISON_INTERVAL = 3.0
#: Wall s within which an idle cycler would have shown that it runs.
IDLE_LATENCY = 0.2
#: Wall s for which a cell that came to rest is waited for to show its voltage there.
REST_PATIENCE = 5.0
#: s by which a cycler's clock may be off that was not seen yet (one standard deviation).
UNSEEN_CLOCK = 60.0
#: s by which a live value must lie beyond the last record to count; less is rounding.
TAIL = 0.05
#: Live values kept for a segment without records: a week at one a second.
MOST_UNRECORDED = 600_000


class Writer:
    """Writes down one cell.

    Attributes:
        live: The newest live value, or None.
        passport: Of the mounted cell, or None; without one nothing is a sample.
        watermark: Up to which time of the session's clock all is written; NaN at first.
        sample_time: Of the last sample, on the cycler's clock; NaN at first.
    """

    def __init__(self, log: Log, clock: Clock, samples: Samples) -> None:
        self.log = log
        self.clock = clock
        self.samples = samples
        self.live: Live | None = None
        self.passport: CellPassport | None = None
        self.watermark = math.nan
        self.sample_time = math.nan
        self._unwritten: tuple[Live, Tally, Step | None, int] | None = None
        self._unrecorded: list[tuple[Live, Step | None, int]] = []
        self._last_step: tuple[Step | None, int] = (None, 0)
        self._has_records = False
        self._has_live = False
        self._unseen_rest, self._rest_since = False, math.nan
        self._last_watermark = self._last_live = self._last_comparison = -math.inf

    @property
    def has_live(self) -> bool:
        """Whether the newest live value is of the segment under way."""
        return self._has_live

    def line(self, kind: str, **fields: Any) -> None:
        """Any other line, stamped with the session's clock."""
        self.log.write(kind, time=self.clock.now(), **fields)

    def state(
        self, state: str, reason: str, step: Step | None, step_count: int, *, kept: str
    ) -> None:
        """The guard's state or the cell's step has changed; ``kept`` is the state underneath."""
        fields = _step_fields(step, step_count)
        self.line("state", state=state, kept=kept, reason=reason, **fields)

    def begin_segment(self) -> None:
        """The next record is the first of a segment."""
        self._unrecorded, self._unwritten = [], None
        self._has_records = self._has_live = self._unseen_rest = False
        self._last_comparison = -math.inf

    def record(self, record: Record, step: Step | None, step_count: int) -> None:
        """Make a record a sample."""
        self._has_records = True
        self._unrecorded.clear()
        tally = self.samples.commit(
            elapsed=record.elapsed, voltage=record.voltage, current=record.current
        )
        self._sample({**self._reading("file", record), "key": record.key}, tally, step, step_count)

    def impedance(self, found: Impedance, step: Step | None, step_count: int) -> None:
        """Write down one point of a spectrum, at the time of the cycler's clock."""
        if self.passport is None:
            return
        self.log.write(
            "impedance",
            time=found.time,
            elapsed=found.elapsed,
            frequency=found.frequency,
            impedance_real=found.real,
            impedance_imaginary=found.imaginary,
            key=found.key,
            **_step_fields(step, step_count),
        )

    def take_live(
        self, live: Live, step: Step | None, step_count: int, *, is_active: bool, wall: float
    ) -> None:
        """Keep a live value, and write it down unless one was written just before."""
        self.live = live
        if not is_active or not math.isfinite(live.elapsed):
            self._unseen_rest = False
            self._unwritten = (live, self.samples.latest, step, step_count)
            return
        if not self._has_records and len(self._unrecorded) < MOST_UNRECORDED:
            self._unrecorded.append((live, step, step_count))
        tally = self.samples.reach(elapsed=live.elapsed, voltage=live.voltage, current=live.current)
        self._unwritten = (live, tally, step, step_count)
        self._has_live = True
        if wall - self._last_live >= LIVE_INTERVAL:
            self._last_live = wall
            self._write_live()

    def _write_live(self) -> None:
        if self._unwritten is None or self.passport is None:
            return
        live, tally, step, step_count = self._unwritten
        self._unwritten = None
        fields = self._fields(self._reading("live", live), tally, step, step_count)
        self.log.write("live", session_time=live.session_time, **fields)

    def tail(self) -> None:
        """The segment's last record is in: live values beyond it, if any, become samples.

        They are all there is where no data file could be read, or where the instrument makes no
        record when it is stopped.
        """
        beyond = self._unrecorded
        committed, live = self.samples.committed, self.live
        if self._has_records and live is not None and self._has_live:
            is_beyond = live.elapsed > (committed.elapsed or 0.0) + TAIL
            beyond = [(live, *self._last_step)] if is_beyond and live.current else []
        for reading, step, step_count in beyond:
            self._commit_live(reading, step, step_count)
        self._unrecorded = []
        self._unseen_rest, self._rest_since = True, math.nan
        self.samples.end_segment()

    def _commit_live(self, live: Live, step: Step | None, step_count: int) -> None:
        tally = self.samples.commit(
            elapsed=live.elapsed, voltage=live.voltage, current=live.current
        )
        self._sample(self._reading("live", live), tally, step, step_count)

    def _sample(
        self, reading: dict[str, Any], tally: Tally, step: Step | None, step_count: int
    ) -> None:
        self._last_step = (step, step_count)
        self.sample_time = reading["time"]
        fields = self._fields(reading, tally, step, step_count)
        self.log.write("sample", sequence=self.samples.sequence, **fields)

    def _reading(self, source: str, reading: Record | Live) -> dict[str, Any]:
        return {
            "source": source,
            "time": reading.time,
            "voltage": reading.voltage,
            "current": reading.current,
            "elapsed": reading.elapsed,
            "temperature": reading.temperature,
            "voltage_working": reading.voltage + self.counter_of(reading),
            "voltage_counter": self.counter_of(reading),
        }

    def counter_of(self, reading: Record | Live) -> float:
        """Counter against reference electrode, V; NaN for a cell of two electrodes."""
        has_reference = self.passport is not None and self.passport.n_electrodes == 3
        return reading.voltage_counter if has_reference else math.nan

    def _fields(
        self, reading: dict[str, Any], tally: Tally, step: Step | None, step_count: int
    ) -> dict[str, Any]:
        content = self.passport.state_of_charge_from_charge(tally.charge) if self.passport else None
        return {
            **reading,
            "charge": tally.charge,
            "capacity": tally.capacity,
            "state_of_charge": content,
            **_step_fields(step, step_count),
        }

    def comparison(self, comparison: Comparison, *, wall: float) -> None:
        """Write the cycler's clock against the session's, every few seconds."""
        if wall - self._last_comparison < COMPARISON_INTERVAL:
            return
        self._last_comparison = wall
        self.line(
            "clock",
            device_time=comparison.device_time,
            session_time=comparison.session_time,
            uncertainty=comparison.uncertainty,
        )

    def assume_clock(self) -> None:
        """Until the cycler's clock was seen, take it for the session's, and say how far."""
        now = self.clock.now()
        self.line("clock", device_time=now, session_time=now, uncertainty=UNSEEN_CLOCK)

    def mark(self, *, wall: float, is_idle: bool) -> None:
        """Say up to when all is written, every half second. An idle cell passes no current."""
        if wall - self._last_watermark < WATERMARK_INTERVAL:
            return
        self._last_watermark = wall
        self._write_live()
        if is_idle and self._is_rest_unseen(wall):
            complete_to = self.watermark
        elif is_idle:
            complete_to = self.clock.now() - IDLE_LATENCY * self.clock.rate
        elif self._has_live and self.live is not None:
            complete_to = self.live.session_time
        else:
            complete_to = self.watermark
        if math.isnan(self.watermark) or complete_to > self.watermark:
            self.watermark = complete_to
        self.line("watermark", complete_to=self.watermark, rate=self.clock.rate)

    def complete(self) -> None:
        """Say that all is written up to now: the cell is taken away, and passes no current."""
        self._write_live()
        self.watermark = self.clock.now()
        self.line("watermark", complete_to=self.watermark, rate=self.clock.rate)

    def _is_rest_unseen(self, wall: float) -> bool:
        """Whether the voltage may still change: none was read since the circuit was opened."""
        if math.isnan(self._rest_since):
            self._rest_since = wall
        return self._unseen_rest and wall - self._rest_since < REST_PATIENCE


def _step_fields(step: Step | None, step_count: int) -> dict[str, Any]:
    return {
        "step_index": step.index if step else -1,
        "step_type": str(step.type) if step else "",
        "step_count": step_count,
        "cycle_number": step.cycle_number if step else 0,
    }
