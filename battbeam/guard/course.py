"""This file is where it is decided how a protocol goes on: which segment follows which, when a step
is over that the instrument cannot end, what a hold is, and what is left after it.
"""

import math

from battbeam.errors import GuardError
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import CompiledProtocol, Step, StepType
from battbeam.guard.driver import Readings
from battbeam.guard.endings import StepReading, StepWatch, is_watched
from battbeam.guard.limits import Limits
from battbeam.guard.runner import Ending, Runner, Terms, follows_voltage
from battbeam.guard.standing import Standing
from battbeam.guard.thermostat import Thermostat
from battbeam.guard.watch import START_TIMEOUT, Watch
from battbeam.guard.writer import Writer

#: By how much a cell's voltage may rise above where its load began, relative, before the load is
#: taken up again from there: twice what a ladder bounds.
RISEN = 0.01
#: Readings in a row that show it.
N_RISEN = 3
#: s by which a step's start must be found elsewhere to be told anew: stamps of live values scatter.
STEADY = 0.5


class Course:
    """What runs on one cell, and what follows it.

    Attributes:
        terms: What all segments of the protocol share; None before the first.
        hold_maximum: s of cell time that a hold lasts before the circuit is opened.
    """

    def __init__(
        self,
        standing: Standing,
        runner: Runner,
        writer: Writer,
        limits: Limits,
        thermostat: Thermostat | None,
        *,
        hold_maximum: float,
    ) -> None:
        self._standing = standing
        self._runner = runner
        self._writer = writer
        self._limits = limits
        self._thermostat = thermostat
        self._watch = Watch(runner.driver, runner)
        self._step_watch: StepWatch | None = None
        self._n_risen = 0
        self._this_hold = hold_maximum
        self._step_begun = (-1, math.nan)
        self.hold_maximum = hold_maximum
        self.terms: Terms | None = None

    def load(self, compiled: CompiledProtocol) -> None:
        """Divide a protocol into segments, and put the first on the instrument."""
        self.terms = Terms.of(compiled)
        self._runner.queue(compiled.steps, self.terms)
        self._runner.load()

    def run_next(self, reason: str) -> None:
        """Start the next segment."""
        runner, standing = self._runner, self._standing
        self._writer.begin_segment()
        self._step_watch = None
        if runner.waiting:
            self._set_temperature(runner.waiting[0].steps[0])
        self._watch.expect_start()
        runner.run_next()
        is_hold = standing.state is GuardState.HOLDING
        standing.enter(standing.state if is_hold else GuardState.RUNNING, reason)

    def _set_temperature(self, step: Step) -> None:
        if step.type is StepType.TEMPERATURE and step.temperature is not None:
            if self._thermostat is None:
                raise GuardError("there is no thermostat to set a temperature with")
            self._thermostat.set(step.temperature)

    def hold(self, reason: str, maximum: float | None) -> None:
        """Interrupt what runs, and keep the cell where it is."""
        self._this_hold = self.hold_maximum if maximum is None else maximum
        self._standing.enter(GuardState.HOLDING, reason)
        self._runner.interrupt(self.begin_hold)

    def begin_hold(self) -> None:
        """Start the hold: the cell is at rest by now."""
        voltage, soft = self._runner.samples.recent_voltage, self._limits.soft
        if voltage is None or self.terms is None:
            self._standing.enter(GuardState.OPEN_CIRCUIT, "no voltage is known to hold at")
            return
        step = Step(
            index=-1,
            type=StepType.CONSTANT_VOLTAGE,
            cycle_number=self._runner.step.cycle_number if self._runner.step else 1,
            voltage=min(max(voltage, soft.voltage_min), soft.voltage_max),
            duration=self._this_hold,
        )
        self._runner.queue([step], self.terms)
        self.run_next(f"held at {step.voltage:.4f} V")

    def proceed(self) -> None:
        """Interrupt what runs, and go on with what was left of the protocol."""
        self._standing.enter(GuardState.RUNNING, "proceeds")
        self._runner.interrupt(self.begin_remainder)

    def begin_remainder(self) -> None:
        """Start what is left of the interrupted protocol."""
        steps = self._runner.remainder
        if not steps or self.terms is None:
            self._standing.enter(GuardState.FINISHED, "nothing was left of the protocol")
            return
        self._runner.queue(steps, self.terms)
        self.run_next("proceeds")

    def segment_ended(self) -> None:
        """The segment's last record is in, and the circuit is open."""
        runner, standing = self._runner, self._standing
        self._writer.tail()
        is_hold = standing.state is GuardState.HOLDING and not runner.is_changing
        may_resume = not runner.is_hold and standing.state is not GuardState.TRIPPED
        ending, then = runner.end(keeps_remainder=may_resume)
        remainder = [step.to_document() for step in runner.remainder]
        self._writer.line("segment_end", step_count=runner.step_count, remainder=remainder)
        if then is not None:
            then()
        elif ending is Ending.INTERRUPTED:
            return
        elif is_hold:
            reason = f"held for {self._this_hold:g} s, the longest allowed"
            standing.enter(GuardState.OPEN_CIRCUIT, reason)
        elif ending is Ending.CUT_SHORT:
            standing.report(f"cycler {runner.driver.name} stopped in the middle of a segment")
            standing.enter(GuardState.OPEN_CIRCUIT, "the cycler stopped by itself")
        elif ending is Ending.MORE:
            self.run_next("next segment")
        else:
            standing.enter(GuardState.FINISHED, "end of protocol")

    # Steps that the guard ends.

    def watch_step(self, *, elapsed: float, voltage: float, current: float, temp: float) -> None:
        """Hold a reading against the ends of the step under way; ``elapsed`` counts the segment."""
        runner = self._runner
        step = runner.step
        if step is None or not is_watched(step) or runner.is_interrupted or not runner.is_active:
            return
        if not math.isfinite(elapsed):
            return
        if self._step_watch is None or self._step_watch.step is not step:
            self._step_watch, self._n_risen = StepWatch(step), 0
        samples = runner.samples
        reading = StepReading(samples.step_elapsed, samples.step_charge, voltage, current, temp)
        if reason := self._step_watch.take(reading):
            self._end_step(reason)
        elif follows_voltage(step) and self._has_risen(step, voltage, current):
            self._writer.line("step", text="the load is taken up again: the voltage has risen")
            runner.take_up()

    def _has_risen(self, step: Step, voltage: float, current: float) -> bool:
        """Whether a cell under load has recovered to a voltage at which its current is too low."""
        set_for = -current * (step.resistance or 0.0)
        is_high = math.isfinite(voltage) and 0 < set_for * (1 + RISEN) < voltage
        self._n_risen = self._n_risen + 1 if is_high else 0
        return self._n_risen >= N_RISEN

    def look_ahead(self) -> None:
        """End a step whose time or charge is over by now, before the next reading says so."""
        runner, live = self._runner, self._writer.live
        if self._step_watch is None or live is None or runner.is_interrupted:
            return
        if not runner.is_active or runner.step is not self._step_watch.step:
            return
        since = self._writer.clock.now() - live.session_time
        samples = runner.samples
        if not (math.isfinite(live.current) and since >= 0):
            return
        is_newest = samples.latest.elapsed == live.elapsed
        reading = StepReading(
            samples.step_elapsed + since,
            samples.step_charge + live.current * since / 3.6,
            live.voltage,
            live.current,
        )
        if is_newest and (reason := self._step_watch.over(reading)):
            self._end_step(reason)

    def _end_step(self, reason: str) -> None:
        step = self._runner.step
        index = step.index if step else -1
        self._writer.line(
            "step_end", reason=reason, step_index=index, step_count=self._runner.step_count
        )
        self._step_watch = None
        self._runner.end_step()

    # What the cycler does.

    def reconcile(self, readings: Readings, *, wall: float) -> bool:
        """See that the cycler does what it was told; whether it failed to start."""
        standing, name = self._standing, self._runner.driver.name
        if standing.cell_run and (fault := self._watch.stop_if_unwanted(readings, wall=wall)):
            standing.report(fault)
        if not self._watch.has_failed_to_start(readings, wall=wall):
            return False
        self._runner.is_active = False
        standing.report(f"protocol started, cycler {name} still Stopped after {START_TIMEOUT:g} s")
        return True

    @property
    def step_start(self) -> float:
        """When the step under way began, session clock; NaN when none is.

        Time that it was interrupted for does not count: what is left of it is behind this time.
        """
        runner, live = self._runner, self._writer.live
        if runner.step is None or not runner.is_active:
            return math.nan
        begun = self._writer.clock.now() - runner.samples.step_elapsed
        if live is not None and self._writer.has_live:
            since = live.elapsed - runner.samples.step_started + runner.samples.elapsed_before
            begun = live.session_time - since
        count, before = self._step_begun
        if runner.step_count != count or abs(begun - before) > STEADY:
            self._step_begun = (runner.step_count, begun)
        return self._step_begun[1]

    @property
    def step_end(self) -> float:
        """When the step's longest duration will be over, session clock; infinity if it has none."""
        step = self._runner.step
        if step is None or not self._runner.is_active:
            return math.nan
        length = scan_length(step)
        return math.inf if length is None else self.step_start + length


def scan_length(step: Step) -> float | None:
    """Longest duration of a step, s, a scan's by its rate; None when it has none."""
    if step.type is StepType.VOLTAGE_SCAN and step.scan_rate and step.voltage is not None:
        return abs((step.voltage_end or 0.0) - step.voltage) / step.scan_rate
    return step.duration
