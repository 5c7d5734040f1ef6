"""This file is where a foreign cycler's analog outputs, and a marker, are read over Channel Access.

Monitors bring new values with their stamps; a reading every wall second says that an old value still
holds. A value in INVALID alarm is NaN.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from caproto import CaprotoError

from battbeam.channel_access import PV, Context
from battbeam.experiment.clock import Clock
from battbeam.guard.drivers.log_clock import Edge, edge_between
from battbeam.guard.drivers.observe_config import AnalogConfig, MarkerConfig

#: Wall s between readings.
PROBE_INTERVAL = 1.0
#: Wall s without a new value after which one that is read again is said to hold still.
HOLD_AFTER = 2.0
#: Severity with which a server marks a value that it does not know.
INVALID_ALARM = 3
#: Stamps within this are of one refresh, s.
SAME_STAMP = 0.005
#: Longest gap between two readings between which an edge of the current is believed, s.
LONGEST_EDGE = 3.0
#: Rate of a simulated clock from which on its refreshes are further apart than a second of it.
RATE = 50.0
#: Readings kept for a guard that does not ask.
MOST_KEPT = 10_000


@dataclass(frozen=True)
class Reading:
    """Voltage (V) and current (A) at one time of the session's clock, s."""

    time: float
    voltage: float
    current: float


class AnalogInputs:
    """Voltage, current and marker of one channel."""

    def __init__(
        self, analog: AnalogConfig | None, marker: MarkerConfig | None, clock: Clock
    ) -> None:
        self._analog, self._marker, self._clock = analog, marker, clock
        self._lock = threading.Lock()
        self._values = {"voltage": math.nan, "current": math.nan}
        self._readings: list[Reading] = []
        self._edges: list[Edge] = []
        self._before: Reading | None = None
        self._newest: Reading | None = None
        self._edge_after = math.nan
        self._last_stamp = -math.inf
        self._level: bool | None = None
        self.is_answering = False
        self._is_closed = threading.Event()
        self._pvs: dict[str, PV] = {}
        self._context: Context | None = None
        names = {"voltage": analog.voltage, "current": analog.current} if analog else {}
        if marker is not None and marker.pv:
            names["marker"] = marker.pv
        if not names:
            return
        self._context = Context(timeout=analog.timeout if analog else 2.0)
        for name, pv in zip(names, self._context.get_pvs(*names.values()), strict=True):
            self._pvs[name] = pv
            pv.subscribe(data_type="time").add_callback(self._taker(name))
        self._prober = threading.Thread(target=self._probe, name="analog-probe", daemon=True)
        self._prober.start()

    def _taker(self, name: str) -> Callable[[Any, Any], None]:
        def take(_subscription: Any, response: Any) -> None:
            stamp = float(response.metadata.timestamp)
            with self._lock:
                if name == "marker":
                    self._take_marker(float(response.data[0]), stamp)
                else:
                    self._values[name] = self._scaled(name, response)
                    self._add(stamp)

        # The client holds callbacks weakly.
        setattr(self, f"_take_{name}_now", take)
        return take

    def _scaled(self, name: str, response: Any) -> float:
        if self._analog is None or int(response.metadata.severity) >= INVALID_ALARM:
            return math.nan
        analog, value = self._analog, float(response.data[0])
        if name == "voltage":
            return value * analog.voltage_scale + analog.voltage_offset
        return value * analog.current_scale + analog.current_offset

    def _add(self, stamp: float) -> None:
        """A reading of both; two stamps of one refresh are one reading."""
        self._last_stamp = max(self._last_stamp, stamp)
        reading = Reading(stamp, self._values["voltage"], self._values["current"])
        if self._readings and stamp <= self._readings[-1].time + SAME_STAMP:
            reading = Reading(self._readings.pop().time, reading.voltage, reading.current)
        self._readings.append(reading)
        if len(self._readings) > MOST_KEPT:
            del self._readings[:-10]

    def _take_marker(self, value: float, stamp: float) -> None:
        marker = self._marker
        if marker is None:
            return
        was, self._level = self._level, value > marker.level
        if was is not None and was is not self._level:
            self._edges.append(Edge(stamp, marker.uncertainty, 1.0 if self._level else -1.0))

    def _probe(self) -> None:
        pause = 0.1
        while not self._is_closed.wait(pause):
            asked = self._clock.now()
            try:
                timeout = self._analog.timeout if self._analog else 2.0
                answers = {
                    name: self._pvs[name].read(data_type="time", timeout=timeout)
                    for name in ("voltage", "current")
                    if name in self._pvs
                }
            except (CaprotoError, TimeoutError):
                self.is_answering, pause = False, 0.1
                continue
            self.is_answering, pause = True, PROBE_INTERVAL
            with self._lock:
                for name, answer in answers.items():
                    self._values[name] = self._scaled(name, answer)
                newest = self._last_stamp
                if answers and asked > newest + HOLD_AFTER * max(self._clock.rate, 1.0):
                    self._add(asked)

    def wait(self, timeout: float) -> bool:
        """Wait until both were read; whether they were within ``timeout`` wall s."""
        pause, waited = threading.Event(), 0.0
        while self._analog is not None and not self.is_answering and waited < timeout:
            pause.wait(0.05)
            waited += 0.05
        return self._analog is None or self.is_answering

    def readings(self) -> list[Reading]:
        """Those that are new, in order; the newest stays until another has followed it."""
        with self._lock:
            found, self._readings = self._readings, []
        for reading in found:
            self._look_for_edge(reading)
        return found

    def _look_for_edge(self, reading: Reading) -> None:
        """Between two refreshes; voltage and current of one may come as two readings."""
        if self._marker is None or self._marker.pv:
            return
        if self._newest is None or reading.time > self._newest.time + SAME_STAMP:
            self._before = self._newest
        self._newest, before = reading, self._before
        if before is None or self._edge_after == before.time:
            return
        change = reading.current - before.current
        gap = reading.time - before.time
        # A simulated clock that runs fast is refreshed as often as a wall's.
        longest = LONGEST_EDGE * max(1.0, self._clock.rate / RATE)
        if abs(change) >= self._marker.current_step and gap <= longest:
            self._edge_after = before.time
            own = self._marker.uncertainty
            self._edges.append(edge_between(before.time, reading.time, change, own))

    def edges(self) -> list[Edge]:
        """Of the marker, or of the current, new ones."""
        with self._lock:
            found, self._edges = self._edges, []
        return found

    def close(self) -> None:
        """Let go."""
        self._is_closed.set()
        if self._context is not None:
            self._prober.join()
            self._context.disconnect()
