"""This file is where a cycler is watched that somebody else's software runs.

Live values come from analog PVs, records from the software's log; either alone will do. Nothing is
ever commanded.
"""

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from battbeam.errors import GuardError
from battbeam.experiment.clock import Clock
from battbeam.experiment.cycler_log import LogRow
from battbeam.experiment.log_tail import LogTail
from battbeam.experiment.protocol import Step
from battbeam.guard.driver import Comparison, Live, Readings, Segment
from battbeam.guard.drivers.analog import LONGEST_EDGE, AnalogInputs
from battbeam.guard.drivers.log_clock import Edge, LogClock, edge_between
from battbeam.guard.drivers.observe_config import LogConfig, MarkerConfig, ObserveConfig

OBSERVED_ONLY = "observed only: this cycler belongs to other software, the guard commands nothing"
#: Standard deviation of what the session's clock says of itself, s: where there is no log.
OWN_CLOCK = 1e-3
#: s of session clock between two of these.
OWN_INTERVAL = 60.0


@dataclass(frozen=True)
class Observed:
    """What is new since the last look.

    Attributes:
        is_reachable: Whether a source answers.
        rows: Of the log, in order.
        lives: Analog readings, in order.
        comparisons: Of the log's clock with the session's.
        complete_to: Nothing before it can still come, session clock; NaN while nobody knows.
        faults: Of files and sources, by name.
    """

    is_reachable: bool
    rows: tuple[LogRow, ...] = ()
    lives: tuple[Live, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    complete_to: float = math.nan
    faults: Mapping[str, str] = field(default_factory=dict)


class ObserveDriver:
    """One channel.

    Attributes:
        clock_of_log: How the log's clock stands to the session's.
    """

    def __init__(self, config: ObserveConfig, clock: Clock) -> None:
        self.name = config.name
        self.has_records = config.log is not None
        marker = config.marker
        self.clock_of_log = LogClock(
            reach=marker.reach if marker else 30.0, has_marker=marker is not None
        )
        self._config, self._clock = config, clock
        self._inputs = AnalogInputs(config.analog, config.marker, clock)
        self._tail: LogTail | None = None
        self.resume({})
        self._next_look, self._looked = -math.inf, math.nan
        self._is_log_there = False
        self._newest: LogRow | None = None
        self._complete_to = self._last_own = -math.inf

    def resume(self, positions: Mapping[str, int]) -> None:
        """Read the log on from known rows, by file."""
        log, marker = self._config.log, self._config.marker
        if log is not None:
            style = log.style(marker.column if marker else "")
            self._tail = LogTail(
                log.directory, log.pattern, form=log.format, style=style, positions=positions
            )

    @property
    def positions(self) -> dict[str, int]:
        """Rows that were handed out, by file."""
        return dict(self._tail.positions) if self._tail else {}

    def wait(self, timeout: float) -> bool:
        """Wait for the PVs; whether they answered within ``timeout`` wall s."""
        return self._inputs.wait(timeout)

    def look(self) -> Observed:
        """What is new; never waits."""
        faults: dict[str, str] = {}
        comparisons: list[Comparison] = []
        rows = self._rows(faults, comparisons)
        readings = self._inputs.readings()
        self.clock_of_log.seen(self._inputs.edges())
        comparisons += self.clock_of_log.pairs()
        if self._config.log is None:
            comparisons += self._own()
        lives = tuple(
            Live(each.time, self._device_time(each.time), math.nan, each.voltage, each.current)
            for each in readings
        )
        self._advance(rows, lives)
        return Observed(
            is_reachable=self._inputs.is_answering or self._is_log_there,
            rows=tuple(rows),
            lives=lives,
            comparisons=tuple(comparisons),
            complete_to=self._complete_to if math.isfinite(self._complete_to) else math.nan,
            faults=faults,
        )

    def _rows(self, faults: dict[str, str], comparisons: list[Comparison]) -> list[LogRow]:
        log, tail, wall = self._config.log, self._tail, time.monotonic()
        if log is None or tail is None or wall < self._next_look:
            return []
        self._next_look = wall + log.interval
        before, self._looked = self._looked, self._clock.now()
        try:
            rows = tail.read(self._looked)
        except OSError as error:
            self._is_log_there, self._looked = False, math.nan
            faults["log"] = f"the log cannot be read: {error}"
            return []
        self._is_log_there = True
        faults.update(tail.faults)
        if rows:
            self.clock_of_log.logged(self._edges(rows))
            self.clock_of_log.read_to(rows[-1].time)
            comparisons += self._arrival(rows[-1], before, log, tail.start_uncertainty)
            self._newest = rows[-1]
        return rows

    def _arrival(
        self, row: LogRow, before: float, log: LogConfig, start_uncertainty: float
    ) -> list[Comparison]:
        """The newest row was not there at the look before: then it is that young, or late."""
        if math.isnan(before):
            return []
        window = self._looked - before + log.latency * max(self._clock.rate, 0.0)
        sigma = math.hypot(window / math.sqrt(12.0), start_uncertainty)
        found = self.clock_of_log.arrived(
            row.time, self._looked - window / 2, uncertainty=max(sigma, OWN_CLOCK)
        )
        return [] if found is None else [found]

    def _edges(self, rows: Sequence[LogRow]) -> list[Edge]:
        """The marker's edges in new rows, or the current's."""
        marker, found = self._config.marker, []
        for first, last in zip([self._newest, *rows], rows, strict=False):
            if marker is None or first is None or first.acquisition != last.acquisition:
                continue
            size = _size(first, last, marker)
            if size and last.time - first.time <= LONGEST_EDGE:
                found.append(edge_between(first.time, last.time, size))
        return found

    def _device_time(self, session_time: float) -> float:
        return (
            session_time
            if self._config.log is None
            else self.clock_of_log.device_time(session_time)
        )

    def _own(self) -> list[Comparison]:
        now = self._clock.now()
        if now - self._last_own < OWN_INTERVAL:
            return []
        self._last_own = now
        return [Comparison(now, now, OWN_CLOCK)]

    def _advance(self, rows: Sequence[LogRow], lives: Sequence[Live]) -> None:
        if lives:
            self._complete_to = max(self._complete_to, lives[-1].session_time)
        elif rows and not self._inputs.is_answering:
            complete_to = self.clock_of_log.session_time(rows[-1].time)
            if math.isfinite(complete_to):
                self._complete_to = max(self._complete_to, complete_to)

    # What a driver is asked that commands.

    def lengths(self, steps: Sequence[Step]) -> list[int]:
        """Nothing can be loaded.

        Raises:
            GuardError: Always, like everything that commands.
        """
        raise GuardError(OBSERVED_ONLY)

    def is_partial(self, segment: Segment) -> bool:
        """Refused."""
        raise GuardError(OBSERVED_ONLY)

    def load(self, segment: Segment) -> None:
        """Refused."""
        raise GuardError(OBSERVED_ONLY)

    def start(self) -> None:
        """Refused."""
        raise GuardError(OBSERVED_ONLY)

    def stop(self) -> None:
        """Refused."""
        raise GuardError(OBSERVED_ONLY)

    def attach(self, segment: Segment, keys: Collection[str]) -> None:
        """Refused."""
        raise GuardError(OBSERVED_ONLY)

    def faults(self, steps: Sequence[Step]) -> list[str]:
        """Why nothing can be run."""
        return [OBSERVED_ONLY]

    def poll(self) -> Readings:
        """Whether a source answers; everything else comes by `look`."""
        return Readings(is_reachable=self._inputs.is_answering or self._is_log_there)

    def close(self) -> None:
        """Let go."""
        self._inputs.close()


def _size(first: LogRow, last: LogRow, marker: MarkerConfig) -> float:
    """Of the edge between two rows; 0 if there is none."""
    if marker.column:
        level = marker.column_level
        return float(last.marker > level) - float(first.marker > level)
    change = last.current - first.current
    return change if abs(change) >= marker.current_step else 0.0
