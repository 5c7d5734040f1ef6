"""This file is where a guard speaks to a BioLogic potentiostat behind EPICS-ECLab, over Channel
Access.

Monitors keep the newest live values; records are read from the data files. The IOC stamps EWE, I,
TIME and STATE with its host's clock, the session's; TIME counts on the cycler's own clock since
START. Where the IOC does not tell START by the cycler's clock (PV STARTED, header of a data file),
its host's clock stands for it.
"""

import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from caproto import CaprotoError

from battbeam.channel_access import PV, Context
from battbeam.errors import GuardError
from battbeam.experiment.protocol import Step
from battbeam.guard.config import EclabConfig
from battbeam.guard.driver import Comparison, Impedance, Live, Readings, Record, Segment
from battbeam.guard.drivers import eclab_compile, eclab_listing
from battbeam.guard.drivers.eclab_files import SegmentFiles

_MONITORED = ("STARTED", "ECE", "EWE", "I", "TIME", "STATE", "FILENAME")
_COMMANDS = ("START", "STOP", "LOADTECH:SP", "SAVEDATA:SP", "FILEPREFIX:SP")
#: Standard deviation of one comparison of clocks, s: a reading crosses the instrument's network.
COMPARISON_UNCERTAINTY = 0.02
#: Severity with which the IOC marks what it could not do.
INVALID_ALARM = 3
#: Wall s between looks for data files that were not announced; between probes of the connection.
FIND_INTERVAL = 1.0
PROBE_INTERVAL = 1.0


class EclabDriver:
    """One channel."""

    has_records: bool

    def __init__(self, config: EclabConfig) -> None:
        self.name = f"C{config.channel}"
        self.has_records = config.data_directory is not None
        self._config = config
        self._prefix = f"{config.prefix}C{config.channel}:"
        self._context = Context(timeout=config.timeout)
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}
        self._stamps: dict[str, float] = {}
        self._lives: list[Live] = []
        self._comparison: Comparison | None = None
        self._offset = 0.0
        self._phase = "idle"
        self._segment: Segment | None = None
        self._files: SegmentFiles | None = None
        self._find_now = False
        self._last_find = -math.inf
        self._is_answering = False
        self._is_closed = threading.Event()
        names = [self._prefix + name for name in (*_MONITORED, *_COMMANDS)]
        self._pvs: dict[str, PV] = dict(
            zip((*_MONITORED, *_COMMANDS), self._context.get_pvs(*names), strict=True)
        )
        for name in _MONITORED:
            data_type = "time" if name != "FILENAME" else None
            subscription = self._pvs[name].subscribe(data_type=data_type)
            subscription.add_callback(getattr(self, f"_on_{name.lower()}", self._on_number))
        self._prober = threading.Thread(target=self._probe, name="eclab-probe", daemon=True)
        self._prober.start()

    # What the instrument says, on threads of the client.

    def _on_number(self, subscription: Any, response: Any) -> None:
        name = subscription.pv.name.removeprefix(self._prefix)
        with self._lock:
            self._values[name] = float(response.data[0])
            self._stamps[name] = float(response.metadata.timestamp)

    def _on_ewe(self, _subscription: Any, response: Any) -> None:
        """At rest TIME stands still, and a new voltage is all there is."""
        voltage, stamp = float(response.data[0]), float(response.metadata.timestamp)
        with self._lock:
            self._values["EWE"], self._stamps["EWE"] = voltage, stamp
            if self._values.get("STATE") == 0:
                self._add_live(stamp, stamp + self._offset, math.nan)

    def _on_filename(self, _subscription: Any, _response: Any) -> None:
        self._find_now = True

    def _on_state(self, _subscription: Any, response: Any) -> None:
        state = int(response.data[0])
        with self._lock:
            self._values["STATE"] = state
            self._stamps["STATE"] = float(response.metadata.timestamp)
            if state == 1 and self._phase == "starting":
                self._phase = "running"
            elif state == 0 and self._phase == "running":
                self._phase = "ended"
            if state == 0:
                self._lives = [self._at_rest(live) for live in self._lives]

    def _on_time(self, _subscription: Any, response: Any) -> None:
        """A refresh is complete: TIME comes after EWE and I."""
        elapsed, stamp = float(response.data[0]), float(response.metadata.timestamp)
        with self._lock:
            values = self._values
            if values.get("STATE") != 1:
                return
            started = values.get("STARTED", math.nan)
            device_time = (stamp - elapsed if math.isnan(started) else started) + elapsed
            self._offset = device_time - stamp
            self._comparison = Comparison(device_time, stamp, COMPARISON_UNCERTAINTY)
            self._add_live(stamp, device_time, elapsed)

    def _add_live(self, stamp: float, device_time: float, elapsed: float) -> None:
        """EWE and ECE are against the reference electrode, the cell's voltage is between both."""
        values = self._values
        counter = values.get("ECE", 0.0)
        voltage, current = values.get("EWE", math.nan) - counter, values.get("I", math.nan)
        self._lives.append(Live(stamp, device_time, elapsed, voltage, current, counter))
        if len(self._lives) > 10_000:
            del self._lives[:-10]

    def _at_rest(self, live: Live) -> Live:
        """A refresh in which the channel turned out to have stopped."""
        if live.session_time < self._stamps["STATE"]:
            return live
        return replace(live, elapsed=math.nan)

    def _probe(self) -> None:
        """An instrument that is connected and does not answer is lost, too."""
        while not self._is_closed.wait(PROBE_INTERVAL if self._is_answering else 0.1):
            try:
                self._pvs["STATE"].read(timeout=self._config.timeout)
                self._is_answering = True
            except (CaprotoError, TimeoutError):
                self._is_answering = False

    # What the guard asks.

    def wait(self, timeout: float) -> bool:
        """Wait until the instrument has told its state; whether it did in ``timeout`` wall s."""
        deadline, pause = time.monotonic() + timeout, threading.Event()
        while time.monotonic() < deadline:
            if self._is_answering and {"STATE", "EWE"} <= self._values.keys():
                return True
            pause.wait(0.05)
        return False

    def faults(self, steps: Sequence[Step]) -> list[str]:
        """Every reason why this instrument cannot run these steps, one sentence each."""
        return eclab_compile.faults(steps, has_impedance=self._config.impedance)

    def lengths(self, steps: Sequence[Step]) -> list[int]:
        """Into how many steps each the instrument's lists divide these steps, in order."""
        return eclab_listing.lengths(steps)

    def is_partial(self, segment: Segment) -> bool:
        """Whether a segment of one step ends before its step does and is to be followed."""
        return eclab_compile.is_partial(segment)

    def load(self, segment: Segment) -> None:
        """Put a segment on the stopped instrument."""
        for name, value in eclab_compile.parameters(segment).items():
            self._put(f"T:{name}:SP", value)
        self._put("FILEPREFIX:SP", f"{self._config.file_prefix}_{segment.name}")
        self._put("SAVEDATA:SP", 1)
        names = eclab_compile.technique_names(segment)
        self._put("LOADTECH:SP", names)
        if self._is_in_alarm("LOADTECH:SP"):
            raise GuardError(f"cycler {self.name} refused the technique list {names!r}")
        self._segment = segment

    def start(self) -> None:
        """Start what was loaded; returns at once."""
        if self._segment is None:
            raise GuardError(f"cycler {self.name}: nothing was loaded")
        with self._lock:
            self._phase = "starting"
            self._open_files(self._segment, ())
        self._put("START", 1)

    def stop(self) -> None:
        """Open the circuit; returns at once."""
        pv = self._pv("STOP")
        if not pv.connected:
            raise GuardError(f"cycler {self.name} does not answer: it could not be stopped")
        pv.write([1], wait=False)

    def attach(self, segment: Segment, keys: Collection[str]) -> None:
        """Read on in a segment that an earlier guard started; records in ``keys`` are known."""
        with self._lock:
            self._segment = segment
            self._open_files(segment, keys)
            self._phase = "attaching"
            self._find_now = True

    def _open_files(self, segment: Segment, keys: Collection[str]) -> None:
        directory = self._config.data_directory
        if directory is not None:
            prefix = f"{self._config.file_prefix}_{segment.name}".replace("\\", "/").rsplit("/")[-1]
            held = eclab_listing.listing(segment.steps)
            self._files = SegmentFiles(directory, prefix, held, keys)

    def poll(self) -> Readings:
        """What is new; never waits."""
        is_reachable = self._is_answering and self._pvs["STATE"].connected
        with self._lock:
            state, phase = self._values.get("STATE"), self._phase
            if phase == "attaching" and is_reachable and state is not None:
                phase = self._phase = "running" if state == 1 else "ended"
            lives, self._lives = tuple(self._lives), []
            comparison, self._comparison = self._comparison, None
        rows = self._read_files(is_over=phase == "ended")
        return Readings(
            is_reachable=is_reachable,
            is_running=state == 1,
            has_ended=phase == "ended",
            records=tuple(row for row in rows if isinstance(row, Record)),
            lives=lives,
            comparison=comparison,
            impedances=tuple(row for row in rows if isinstance(row, Impedance)),
        )

    def _read_files(self, *, is_over: bool) -> tuple[Record | Impedance, ...]:
        if self._files is None or self._phase in ("idle", "attaching"):
            return ()
        now = time.monotonic()
        if self._find_now or is_over or now - self._last_find > FIND_INTERVAL:
            self._find_now, self._last_find = False, now
            self._files.find()
        try:
            return tuple(self._files.read())
        except OSError:
            # A share that is away for a moment; the offsets stay, so nothing is lost or doubled.
            return ()

    def close(self) -> None:
        """Let go of the instrument, as it is."""
        self._is_closed.set()
        self._prober.join()
        self._context.disconnect()

    def _is_in_alarm(self, name: str) -> bool:
        try:
            answer = self._pv(name).read(data_type="time", timeout=self._config.timeout)
        except (CaprotoError, TimeoutError) as error:
            raise GuardError(
                f"cycler {self.name}: {self._prefix}{name} is lost: {error}"
            ) from error
        return int(answer.metadata.severity) >= INVALID_ALARM

    def _pv(self, name: str) -> PV:
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(self._prefix + name)
        return self._pvs[name]

    def _put(self, name: str, value: Any) -> None:
        pv = self._pv(name)
        timeout = self._config.timeout
        try:
            pv.wait_for_connection(timeout=timeout)
            pv.write(_written(name, value), wait=True, timeout=timeout)
        except (CaprotoError, TimeoutError) as error:
            text = f"cycler {self.name}: {self._prefix}{name} does not take {value!r}: {error}"
            raise GuardError(text) from error


def _written(name: str, value: Any) -> Any:
    """A value as the client wants it: a STRING, a CHAR waveform, numbers."""
    if isinstance(value, str):
        return [value.encode()] if name.startswith("LOADTECH") else list(value.encode())
    return value if isinstance(value, list) else [value]
