"""This file is where a guard that is started again finds out from its own log what it was doing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.guard_state import GuardState, OwnerState
from battbeam.experiment.protocol import Step
from battbeam.guard.core import Guard
from battbeam.guard.driver import Segment
from battbeam.guard.log import read_lines
from battbeam.guard.policy import policies_from
from battbeam.guard.runner import Terms
from battbeam.guard.samples import Tally

#: Wall s that a client may need to find a guard again that was started again: Channel Access
#: searches at growing intervals.
RECONNECTION = 10.0


@dataclass
class Past:
    """What the log says, up to its last line."""

    cell_run: str = ""
    passport: dict[str, Any] | None = None
    state: GuardState = GuardState.OPEN_CIRCUIT
    step_count: int = 0
    sequence: int = 0
    tally: Tally = field(default_factory=Tally)
    step: int = -1
    step_started: float = 0.0
    elapsed_before: float = 0.0
    charge_before: float = 0.0
    sample_time: float = float("nan")
    run: dict[str, Any] | None = None
    has_ended: bool = True
    keys: set[str] = field(default_factory=set)
    trip: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    was_owned: bool = False
    is_empty: bool = True

    @classmethod
    def read(cls, path: Path) -> "Past":
        """The past in a log; empty if there is no log."""
        past = cls()
        for line in read_lines(path):
            past.is_empty = False
            take = _TAKES.get(line["kind"])
            if take is not None:
                take(past, line)
        return past

    def _mount(self, line: dict[str, Any]) -> None:
        self.cell_run, self.passport = line["cell_run"], line["passport"]
        self.tally, self.run, self.has_ended = Tally(), None, True
        self.settings.pop("soft", None)

    def _dismount(self, _line: dict[str, Any]) -> None:
        self.cell_run, self.passport, self.run = "", None, None

    def _segment(self, line: dict[str, Any]) -> None:
        self.run, self.has_ended = line, False
        self.keys, self.step, self.step_started = set(), -1, 0.0
        self.elapsed_before = line.get("elapsed_before", 0.0)
        self.charge_before = line.get("charge_before", 0.0)
        self.step_count = max(self.step_count, line["first_step_count"])
        self.tally = Tally(self.tally.charge, self.tally.capacity, self.tally.sign)

    def _segment_end(self, line: dict[str, Any]) -> None:
        self.has_ended = True
        if self.run is not None and "remainder" in line:
            self.run["remainder"] = line["remainder"]

    def _sample(self, line: dict[str, Any]) -> None:
        self.sequence, self.sample_time = line["sequence"], line["time"]
        sign = (line["capacity"] > 0) - (line["capacity"] < 0)
        current = line["current"] or 0.0
        self.tally = Tally(
            line["charge"], line["capacity"], sign or self.tally.sign, line["elapsed"], current
        )
        if "key" in line:
            self.keys.add(line["key"])
        if self.run is not None:
            step = line["step_count"] - self.run["first_step_count"]
            if step > self.step:
                if step > 0:
                    self.elapsed_before, self.charge_before = 0.0, line["charge"]
                self.step, self.step_started = step, line["elapsed"]
        self.step_count = max(self.step_count, line["step_count"])

    def _impedance(self, line: dict[str, Any]) -> None:
        self.keys.add(line["key"])

    def _state(self, line: dict[str, Any]) -> None:
        self.state = GuardState(line["kept"])
        self.step_count = max(self.step_count, line["step_count"])
        if self.state is not GuardState.TRIPPED:
            self.trip = {}

    def _trip(self, line: dict[str, Any]) -> None:
        self.trip = {name: line[name] for name in ("reason", "time", "voltage", "current")}

    def _settings(self, line: dict[str, Any]) -> None:
        self.settings |= {k: v for k, v in line.items() if k not in ("n", "kind", "time")}

    def _owner(self, line: dict[str, Any]) -> None:
        self.was_owned = line["state"] == OwnerState.OWNED


_TAKES: dict[str, Callable[[Past, dict[str, Any]], None]] = {
    "mount": Past._mount,
    "dismount": Past._dismount,
    "segment": Past._segment,
    "segment_end": Past._segment_end,
    "sample": Past._sample,
    "impedance": Past._impedance,
    "state": Past._state,
    "trip": Past._trip,
    "settings": Past._settings,
    "owner": Past._owner,
}


def restore(guard: Guard, past: Past, *, wall: float) -> None:
    """Put a new guard where an earlier one was; the instrument is left as it is.

    Whoever owned the cell has to acquire it again in time, or counts as lost.
    """
    if past.is_empty:
        return
    if past.passport is not None:
        guard.set_passport(CellPassport.logged(past.passport), past.cell_run)
    _restore_settings(guard, past.settings)
    samples, runner = guard.samples, guard.runner
    samples.sequence, samples.committed, samples.latest = past.sequence, past.tally, past.tally
    samples.step, samples.step_started = past.step, past.step_started
    samples.elapsed_before, samples.charge_before = past.elapsed_before, past.charge_before
    guard.writer.sample_time = past.sample_time
    runner.step_count, guard.trip = past.step_count, past.trip
    if past.run is not None:
        segment = Segment.from_document(past.run["segment"])
        runner.segment, runner.first_step_count = segment, past.run["first_step_count"]
        runner.waiting = [Segment.from_document(each) for each in past.run["waiting"]]
        runner.remainder = tuple(Step.from_document(each) for each in past.run["remainder"])
        guard.course.terms = Terms(
            segment.window,
            segment.record_interval,
            segment.record_voltage,
            segment.record_current,
            past.run.get("charge_max"),
            past.run.get("delay", 0.0),
        )
        guard.restrain()
    _resume(guard, past)
    if past.was_owned:
        guard.ownership.state = OwnerState.LAPSED
        guard.owner_deadline = wall + guard.ownership.timeout + RECONNECTION


def _resume(guard: Guard, past: Past) -> None:
    """Take up the state, and a segment that may still run."""
    runner, segment, state = guard.runner, guard.runner.segment, past.state
    if segment is None or past.has_ended:
        if state in (GuardState.HOLDING, GuardState.LOADED):
            state = GuardState.OPEN_CIRCUIT
        if state is GuardState.RUNNING and not runner.waiting:
            state = GuardState.FINISHED
        guard.standing.enter(state, "guard started again")
        return
    guard.driver.attach(segment, past.keys)
    runner.is_active = True
    if state is GuardState.HOLDING and not runner.is_hold:
        runner.interrupt_again(guard.course.begin_hold)
    elif state is GuardState.RUNNING and runner.is_hold:
        runner.interrupt_again(guard.course.begin_remainder)
    elif state not in (GuardState.RUNNING, GuardState.HOLDING):
        runner.interrupt_again(None)
    guard.standing.enter(state, "guard started again")


def _restore_settings(guard: Guard, settings: dict[str, Any]) -> None:
    if "policies" in settings:
        guard.policies |= policies_from(settings["policies"])
    guard.ownership.timeout = settings.get("heartbeat_timeout", guard.ownership.timeout)
    guard.course.hold_maximum = settings.get("hold_maximum", guard.course.hold_maximum)
    if "soft" in settings and guard.passport is not None:
        guard.limits.soft = Window(*settings["soft"]).within(guard.limits.hard)
