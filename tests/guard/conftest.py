"""A cycler of ten lines, a clock that is turned by hand, and a guard on both."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from battbeam.devices.fakes import ManualClock
from battbeam.errors import GuardError
from battbeam.experiment.cell import EXAMPLE, CellPassport, Window
from battbeam.experiment.protocol import Protocol, Step, StepType
from battbeam.guard.config import EclabConfig, GuardConfig, HardLimits
from battbeam.guard.core import Guard
from battbeam.guard.driver import Comparison, Live, Readings, Record, Segment
from battbeam.guard.log import Log, read_lines
from battbeam.guard.ownership import Owner

CAPACITY = 2.9  # mAh, as in the example passport
TOKEN = "a-random-token"


class FakeCycler:
    """A cell whose voltage is 3 V + its charge per mAh, on a cycler that records every 10 s."""

    name = "C1"
    has_records = True
    most_steps = 3

    def __init__(self, clock):
        self.clock = clock
        self.charge = 0.2
        self.lost = False
        self.refuses = ""
        self.noise = 0.0
        self.segment = None
        self.is_running = False
        self.has_ended = False
        self.started = math.nan
        self.written: list[Record] = []
        self.n_read = 0
        self.n_stops = 0
        self.loads: list[Segment] = []
        self.elapsed = self.step_started = 0.0
        self.position = 0
        self.current = 0.0

    @property
    def voltage(self):
        return 3.0 + 0.3 * self.charge + self.noise

    def faults(self, steps):
        return []

    def lengths(self, steps):
        n, most = len(steps), self.most_steps
        return [min(most, n - start) for start in range(0, n, most)]

    def is_partial(self, segment):
        return False

    def load(self, segment):
        if self.lost or self.refuses:
            raise GuardError(f"cycler C1 {self.refuses or 'does not answer'}")
        self.segment = segment
        self.loads.append(segment)

    def start(self):
        self.is_running, self.has_ended, self.started = True, False, self.clock.time
        self.written, self.n_read = [], 0
        self.elapsed, self.position = 0.0, -1
        self._next_step()

    def stop(self):
        if self.lost:
            raise GuardError("cycler C1 does not answer")
        self.n_stops += 1
        if self.is_running:
            self._record()
            self._end()

    def attach(self, segment, keys):
        self.segment = segment
        self.n_read = sum(record.key in keys for record in self.written)

    def poll(self):
        if self.lost:
            return Readings(is_reachable=False)
        new, self.n_read = tuple(self.written[self.n_read :]), len(self.written)
        now = self.clock.time
        elapsed = self.elapsed if self.is_running else math.nan
        live = Live(now, now + 3.2, elapsed, self.voltage, self.current)
        return Readings(
            is_reachable=True,
            is_running=self.is_running,
            has_ended=self.has_ended,
            records=new,
            lives=(live,),
            comparison=Comparison(now + 3.2, now, 0.01) if self.is_running else None,
        )

    def close(self):
        pass

    def advance(self, seconds):
        for _ in range(round(seconds)):
            self.clock.time += 1.0
            if not self.is_running:
                continue
            step = self.segment.steps[self.position]
            self._set(step)
            self.charge += self.current / 3.6
            self.elapsed += 1.0
            if self._is_over(step):
                self._record()
                self._next_step()
            elif self.elapsed % self.segment.record_interval == 0:
                self._record()

    def _set(self, step: Step):
        if step.type is StepType.CONSTANT_VOLTAGE:
            self.current = (step.voltage - self.voltage) * 0.01
        elif step.type is StepType.CONSTANT_RESISTANCE:
            self.current = -self.voltage / step.resistance
        else:
            self.current = step.current or 0.0

    def _is_over(self, step: Step):
        if step.duration is not None and self.elapsed - self.step_started >= step.duration:
            return True
        if step.until_voltage is not None:
            return (self.voltage - step.until_voltage) * step.direction >= 0
        return step.until_current is not None and abs(self.current) < step.until_current

    def _next_step(self):
        self.position += 1
        if self.position >= len(self.segment.steps):
            self._end()
            return
        self.step_started = self.elapsed
        self._set(self.segment.steps[self.position])
        self._record()

    def _record(self):
        self.written.append(
            Record(
                time=self.started + 3.2 + self.elapsed,
                elapsed=self.elapsed,
                voltage=self.voltage,
                current=self.current,
                step=self.position,
                key=f"{self.segment.name}.csv:{len(self.written)}",
            )
        )

    def _end(self):
        self.is_running, self.has_ended, self.current = False, True, 0.0


class FakeThermostat:
    """A cell that is as warm as it is told after ten minutes."""

    def __init__(self, clock):
        self.clock = clock
        self.asked: list[tuple[float, float]] = []
        self.known, self.fault = True, ""

    @property
    def temperature(self):
        if not self.known:
            return math.nan
        if not self.asked or self.clock.time < self.asked[-1][0] + 600:
            return 25.0
        return self.asked[-1][1]

    def set(self, temperature):
        self.asked.append((self.clock.time, temperature))


class Bench:
    """A guard under test, with a wall clock that is turned by hand, too."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.clock = ManualClock(1_000_000.0)
        self.cycler = FakeCycler(self.clock)
        self.wall = 100.0
        self.config = GuardConfig(
            prefix="TEST:",
            log=directory / "log.jsonl",
            hard_limits=HardLimits(voltage_min=2.0, voltage_max=4.2, current_max=0.02),
            driver=EclabConfig(prefix="NONE:", file_prefix="none"),
            hold_maximum=600.0,
        )
        self.log = Log(self.config.log)
        self.thermostat = FakeThermostat(self.clock)
        self.guard = Guard(self.config, self.cycler, self.log, self.clock, self.thermostat)
        self.count = 0
        self.tick()

    def tick(self, wall: float = 0.05):
        self.wall += wall
        self.guard.tick(wall=self.wall)

    def run(self, seconds: float, *, beats: bool = True, every: float = 5.0):
        """Let cell time pass, 100 times as fast as the wall's."""
        for _ in range(round(seconds / every)):
            self.cycler.advance(every)
            if beats:
                self.beat()
            self.tick(every / 100)

    def run_until(self, condition: Callable[[], bool], most: float = 200_000.0):
        for _ in range(round(most / 5)):
            if condition():
                return
            self.run(5)
        raise AssertionError(f"not reached: state {self.guard.state}")

    def beat(self):
        self.count += 1
        self.guard.ownership.beat(f"{TOKEN} {self.count}", wall=self.wall)

    def own(self):
        self.guard.acquire(Owner("host", 1, "session", TOKEN), wall=self.wall)

    def mount(self, **changes):
        self.guard.mount(CellPassport.read({**EXAMPLE, **changes}))

    def running(self, protocol=None, *, after: float = 100.0):
        """A mounted cell under a protocol, some time after its start."""
        self.own()
        self.mount()
        self.guard.load(Protocol.read(protocol or charge_and_discharge()))
        self.guard.start()
        self.run(after)
        return self

    def lines(self, kind):
        return [line for line in read_lines(self.config.log) if line["kind"] == kind]

    def close(self):
        self.log.close()


def protocol(*method):
    return {"record": {"time_s": 10}, "method": list(method)}


def rest(seconds):
    return {"step": "open_circuit_voltage", "until_time_s": seconds}


def current(rate, until=None, seconds=None):
    step = {"step": "constant_current", "rate_C": rate}
    if until is not None:
        step["until_voltage_V"] = until
    if seconds is not None:
        step["until_time_s"] = seconds
    return step


def voltage(volts, until_rate=None, seconds=None):
    step = {"step": "constant_voltage", "voltage_V": volts}
    if until_rate is not None:
        step["until_rate_C"] = until_rate
    if seconds is not None:
        step["until_time_s"] = seconds
    return step


def charge_and_discharge():
    return protocol(rest(60), current(1, until=3.6), voltage(3.6, 0.05, 1800), current(-1, 3.2))


@pytest.fixture(scope="session")
def bench_type():
    return Bench


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def passport():
    return CellPassport.read(EXAMPLE)


@pytest.fixture
def wide():
    return Window(0.0, 5.0, 1.0)
