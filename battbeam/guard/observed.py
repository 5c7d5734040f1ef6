"""This file is where a cell is guarded that somebody else's software cycles: watched, never commanded.

Everything that only reads is as with a cycler of one's own: passport, charge, log, steps, limits. A
limit that is passed is latched and told; the circuit cannot be opened from here.
"""

import math
from typing import Any, NoReturn

from battbeam.errors import GuardError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.cycler_log import LogRow
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import Step
from battbeam.guard.config import GuardConfig
from battbeam.guard.core import Guard
from battbeam.guard.driver import Live, Record
from battbeam.guard.drivers.observe import OBSERVED_ONLY, Observed, ObserveDriver
from battbeam.guard.drivers.observe_config import ObserveConfig
from battbeam.guard.log import Log
from battbeam.guard.observed_past import ObservedPast
from battbeam.guard.observed_steps import StepFollower
from battbeam.guard.observed_writer import ObservedWriter
from battbeam.guard.policy import Occasion, Policy
from battbeam.guard.runner import Runner


class ObservedRunner(Runner):
    """Runs nothing; shows the step that was observed."""

    observed: Step | None = None

    @property
    def step(self) -> Step | None:
        """The step that was observed last."""
        return self.observed


class ObservedGuard(Guard):
    """Watches one cell."""

    writer: ObservedWriter
    runner: ObservedRunner

    def __init__(self, config: GuardConfig, driver: ObserveDriver, log: Log, clock: Clock) -> None:
        super().__init__(config, driver, log, clock)
        if not isinstance(config.driver, ObserveConfig):
            raise GuardError(f"driver must be of kind 'observe', got {config.driver.kind!r}")
        self._settings: ObserveConfig = config.driver
        self.observer = driver
        self.assemble(
            ObservedWriter(log, clock, self.samples),
            ObservedRunner(driver, self.samples, lambda run: self.writer.line("segment", **run)),
        )
        self.steps = StepFollower(rest_current=self._settings.rest_current)
        self._acquisition = ""
        self._base = math.nan
        self._last_row: LogRow | None = None
        self._last_life = -math.inf
        self._mounted_at = math.nan
        self._kept_at = -math.inf
        self._told: set[str] = set()

    # What cannot be asked.

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise GuardError(OBSERVED_ONLY)

    load = start = hold = proceed = open_circuit = _refuse

    def reset(self) -> None:
        """A trip stays until the cell is dismounted: nobody here has made the cell safe."""
        raise GuardError(f"{OBSERVED_ONLY}; a trip stays until the cell is dismounted")

    def carry_out(self, occasion: Occasion) -> None:
        """Write down that a policy was due, and that it cannot be carried out."""
        policy = self.policies[occasion]
        is_nothing = policy is Policy.CONTINUE
        self.writer.line("policy", occasion=occasion, policy=policy, carried_out=is_nothing)
        if not is_nothing:
            self.standing.report(
                f"{OBSERVED_ONLY}: policy {policy} on {occasion} was not carried out"
            )

    def change(self, **settings: Any) -> None:
        """Write down what an owner declared, and what of it will not happen."""
        super().change(**settings)
        idle = [str(each) for each in self.policies.values() if each is not Policy.CONTINUE]
        if "policies" in settings and idle:
            self.standing.report(
                f"{OBSERVED_ONLY}: policies other than continue will not be carried out"
            )

    # Mounting: at any time, current or not.

    def _refuse_while_current_flows(self, what: str) -> None:
        """Whether current flows is not this guard's to decide."""

    def mount(self, passport: CellPassport) -> None:
        """Begin a cell run: what comes from now on is the cell's."""
        super().mount(passport)
        self._mounted_at, self.trip = self.clock.now(), {}
        self.writer.line("observed", positions=self.observer.positions)
        self._begin_again()
        self._follow()

    def dismount(self) -> None:
        """End the cell run, and with it a trip."""
        super().dismount()
        self.trip = {}

    def _begin_again(self) -> None:
        """Charge counts from the mounting on, in the middle of an acquisition too."""
        self._acquisition, self._base = "", math.nan

    def take_over(self, past: ObservedPast, *, was_running: bool) -> None:
        """Go on where an earlier guard was."""
        self.trip, self._mounted_at = past.trip, past.mounted_at
        self._acquisition, self._base = past.acquisition, past.base
        self.steps.step_count = self.runner.step_count
        self.observer.resume(past.positions)
        self.observer.clock_of_log.remember(past.comparisons)
        if was_running:
            self._last_life = self.clock.now()
            self.standing.enter(GuardState.RUNNING, "guard started again")

    # What happens by itself.

    def tick(self, *, wall: float) -> None:
        """Look after owner and sources; to be called at least every 0.1 s of wall time."""
        if self.ownership.has_lapsed(wall=wall) or wall > self.owner_deadline:
            self.owner_deadline = math.inf
            self.writer.line("owner", state=self.ownership.state)
            self.carry_out(Occasion.CLIENT_LOSS)
        seen = self.observer.look()
        self.standing.notice(is_reachable=seen.is_reachable, name=self.driver.name)
        for name, text in seen.faults.items():
            if text not in self._told:
                self._told.add(text)
                self.standing.report(f"{name}: {text}")
        for comparison in seen.comparisons:
            self.writer.compare(comparison)
        self._take_in(seen, wall)
        self._follow()
        self.writer.mark_to(self._complete_to(seen), wall=wall)

    def _take_in(self, seen: Observed, wall: float) -> None:
        for row in seen.rows:
            self._last_life = self.clock.now()
            if self.cell_run:
                self._sample(row)
            self._last_row = row
        for live in seen.lives:
            if abs(live.current) >= self._settings.rest_current:
                self._last_life = max(self._last_life, live.session_time)
            self._live(live, wall)

    def _sample(self, row: LogRow) -> None:
        """Make a row a sample."""
        if row.acquisition != self._acquisition:
            self._begin_acquisition(row)
        if self.steps.notice(row):
            self._new_step()
        self.runner.observed = self.steps.step
        elapsed = max(0.0, row.time - self._base)
        self.samples.step_to(self.steps.step_count, elapsed)
        record = Record(row.time, elapsed, row.voltage, row.current, 0, row.key)
        self.writer.record(record, self.steps.step, self.steps.step_count)
        self._judge_observed(row.voltage, row.current)

    def _begin_acquisition(self, row: LogRow) -> None:
        """The circuit was open until its first row, or until the mounting in its middle."""
        mounted = self.observer.clock_of_log.device_time(self._mounted_at)
        before, self._acquisition, self._base = self._last_row, row.acquisition, row.time
        if before is not None and before.acquisition == row.acquisition and mounted < row.time:
            self._base = max(before.time, mounted)
        self.samples.begin_segment()
        self.writer.begin_segment()
        self.writer.line("acquisition", acquisition=self._acquisition, base=self._base)

    def _live(self, live: Live, wall: float) -> None:
        """Between rows live values count; without a log they are all there is."""
        if not self.observer.has_records:
            self._live_sample(live)
        elapsed = live.time - self._base
        timed = Live(live.session_time, live.time, elapsed, live.voltage, live.current)
        step, count = self.steps.step, self.steps.step_count
        is_active = self.runner.is_active and bool(self.cell_run)
        self.writer.take_live(timed, step, count, is_active=is_active, wall=wall)
        self._judge_observed(live.voltage, live.current)

    def _live_sample(self, live: Live) -> None:
        if not self.cell_run or not math.isfinite(live.current):
            return
        row = LogRow(live.time, live.voltage, live.current, acquisition="live")
        if self._acquisition != "live":
            self._begin_acquisition(row)
            self._base = min(self._mounted_at, live.time)
        is_new = self.steps.notice(row)
        self.runner.observed = self.steps.step
        interval = self._settings.analog.interval if self._settings.analog else 1.0
        if not is_new and live.time - self._kept_at < interval:
            return
        if is_new:
            self._new_step()
        self._kept_at = live.time
        elapsed = live.time - self._base
        self.samples.step_to(self.steps.step_count, elapsed)
        timed = Live(live.session_time, live.time, elapsed, live.voltage, live.current)
        self.writer.sample_live(timed, self.steps.step, self.steps.step_count)

    def _new_step(self) -> None:
        self.runner.observed = self.steps.step
        self.runner.step_count = self.steps.step_count
        self.standing.enter(self.state, "step")

    def _judge_observed(self, voltage: float, current: float) -> None:
        reason = self.limits.violation(voltage=voltage, current=current)
        if reason is None or not self.cell_run or self.trip:
            return
        if abs(current) < self._settings.rest_current:
            return
        told = f"{reason}; observed only: the circuit cannot be opened from here"
        self.trip = {
            "reason": told,
            "time": self.clock.now(),
            "voltage": voltage,
            "current": current,
        }
        self.writer.line("trip", **{k: v for k, v in self.trip.items() if k != "time"})
        self.standing.report(told)

    def _follow(self) -> None:
        """Whether the cell cycles: rows come, or current flows."""
        quiet = self.clock.now() - self._last_life
        self.runner.is_active = quiet <= self._settings.end_after
        if self.runner.is_active and self.state is not GuardState.RUNNING:
            self.standing.enter(GuardState.RUNNING, "the cycler runs")
        elif not self.runner.is_active and self.state is GuardState.RUNNING:
            self.samples.end_segment()
            reason = f"no row and no current for {self._settings.end_after:g} s"
            self.standing.enter(GuardState.FINISHED, reason)

    def _complete_to(self, seen: Observed) -> float:
        """A log that has been silent for long has ended; nothing older will be added to it."""
        if self.runner.is_active or not self.observer.has_records or not seen.is_reachable:
            return seen.complete_to
        silent = self.clock.now() - self._settings.end_after
        return silent if math.isnan(seen.complete_to) else max(silent, seen.complete_to)
