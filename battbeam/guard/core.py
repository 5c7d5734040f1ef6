"""This file is where it is decided what happens to the cell: the guard's state machine.

It knows no Channel Access and no make of cycler and never waits. Wall time (s, monotonic) is passed
in, the session's clock and the instrument are objects given to it; tests use others.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from uuid import uuid4

from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.protocol import Protocol, Step, StepType
from battbeam.guard.config import GuardConfig
from battbeam.guard.driver import Driver, Readings
from battbeam.guard.limits import Limits
from battbeam.guard.log import Log
from battbeam.guard.ownership import Owner, Ownership
from battbeam.guard.policy import Occasion, Policy
from battbeam.guard.preflight import cell_faults, window_faults
from battbeam.guard.runner import Ending, Runner, Terms
from battbeam.guard.samples import Samples
from battbeam.guard.watch import START_TIMEOUT, Watch
from battbeam.guard.writer import Writer


class GuardState(StrEnum):
    """What the guard has the cell do."""

    UNMOUNTED = "Unmounted"
    OPEN_CIRCUIT = "OpenCircuit"
    LOADED = "Loaded"
    RUNNING = "Running"
    HOLDING = "Holding"
    TRIPPED = "Tripped"
    FINISHED = "Finished"
    UNREACHABLE = "Unreachable"


class Guard:
    """Protects one cell."""

    def __init__(self, config: GuardConfig, driver: Driver, log: Log, clock: Clock) -> None:
        self.config = config
        self.driver = driver
        self.clock = clock
        self.limits = Limits(config.hard_limits.window)
        self.ownership = Ownership(timeout=config.heartbeat_timeout)
        self.policies = dict(config.policies)
        self.hold_maximum = config.hold_maximum
        self.samples = Samples()
        self.writer = Writer(log, clock, self.samples)
        self.runner = Runner(driver, self.samples, lambda run: self.writer.line("segment", **run))
        self.state = GuardState.OPEN_CIRCUIT
        self.passport: CellPassport | None = None
        self.cell_run = ""
        self.trip: dict[str, Any] = {}
        self.last_error = ""
        self.is_reachable = True
        self.terms: Terms | None = None
        self._watch = Watch(driver, self.runner)
        self.owner_deadline = math.inf

    # What a client may ask. Each raises GuardError or PreflightError when it refuses.

    def mount(self, passport: CellPassport) -> None:
        """Begin a cell run."""
        self._refuse_while_current_flows("a cell cannot be mounted")
        if self.passport is not None:
            raise GuardError(f"cell {self.passport.cell} is mounted: dismount it first")
        if faults := window_faults(passport.window, self.limits.hard):
            raise PreflightError("cell passport", faults)
        self.set_passport(passport, str(uuid4()))
        self.samples.mount()
        self.runner.clear()
        self.writer.line("mount", cell_run=self.cell_run, passport=passport.model_dump(mode="json"))
        self.writer.assume_clock()
        if self.state is not GuardState.TRIPPED:
            self.enter(GuardState.OPEN_CIRCUIT, "mounted")

    def set_passport(self, passport: CellPassport | None, cell_run: str) -> None:
        """Whose cell it is, without a word in the log."""
        self.passport = self.writer.passport = passport
        self.cell_run = cell_run
        self.limits.narrow(passport.window if passport else None)

    def dismount(self) -> None:
        """End the cell run."""
        self._refuse_while_current_flows("the cell cannot be dismounted")
        self._mounted()
        self.writer.line("dismount", cell_run=self.cell_run)
        self.set_passport(None, "")
        self.runner.clear()
        if self.state is not GuardState.TRIPPED:
            self.enter(GuardState.OPEN_CIRCUIT, "dismounted")

    def faults(self, protocol: Protocol) -> list[str]:
        """Every reason why a protocol may not run on the cell as it is."""
        return protocol.faults(self._mounted(), self.limits.soft) + self._cell_faults()

    def load(self, protocol: Protocol) -> None:
        """Check a protocol, compile it, and put its first segment on the instrument."""
        passport = self._mounted()
        self._refuse_while_current_flows("no protocol can be loaded")
        if self.state is GuardState.TRIPPED:
            raise GuardError(f"tripped ({self.trip.get('reason')}): reset the trip first")
        if faults := self.faults(protocol):
            raise PreflightError("protocol", faults)
        compiled = protocol.compile(passport, self.limits.soft)
        steps = [step.to_document() for step in compiled.steps]
        self.writer.line("protocol", protocol=dict(protocol.document), compiled=steps)
        self.terms = Terms.of(compiled)
        self.runner.queue(compiled.steps, self.terms)
        self.runner.load()
        self.enter(GuardState.LOADED, "loaded")

    def start(self) -> None:
        """Let the loaded protocol run."""
        if self.state is not GuardState.LOADED:
            raise GuardError(f"nothing is loaded (state {self.state}): load a protocol first")
        if faults := self._cell_faults():
            raise PreflightError("cell", faults)
        self._run_next("started")

    def hold(self, reason: str = "asked") -> None:
        """Keep the cell at the mean of its last three voltages, for `hold_maximum` s at most."""
        if self.state is GuardState.HOLDING:
            return
        if self.state is not GuardState.RUNNING:
            raise GuardError(f"only a running cell can be held, it is {self.state}")
        self.enter(GuardState.HOLDING, reason)
        self.runner.interrupt(self.begin_hold)

    def proceed(self) -> None:
        """Go on with what is left of the interrupted protocol."""
        if self.state not in (GuardState.HOLDING, GuardState.OPEN_CIRCUIT):
            raise GuardError(f"nothing to proceed with, the cell is {self.state}")
        if self.runner.is_changing:
            raise GuardError("the cell is on its way to what was asked before: ask again")
        if not self.runner.remainder and not self.runner.is_active:
            raise GuardError("no protocol was interrupted: load one")
        if self.state is GuardState.OPEN_CIRCUIT and (faults := self._cell_faults()):
            raise PreflightError("cell", faults)
        self.enter(GuardState.RUNNING, "proceeds")
        self.runner.interrupt(self.begin_remainder)

    def open_circuit(self, reason: str = "asked") -> None:
        """Open the circuit. Anyone may, always."""
        if self.state is not GuardState.TRIPPED:
            self.enter(GuardState.OPEN_CIRCUIT, reason)
        self.runner.interrupt()
        self.driver.stop()

    def reset(self) -> None:
        """Take back a trip, once voltage and current are within their limits again."""
        if self.state is not GuardState.TRIPPED:
            raise GuardError("there is no trip to reset")
        live = self.writer.live
        if live is None or not self.is_reachable or self.runner.is_active:
            raise GuardError("the trip stays: the cell is not seen to be at rest yet")
        if reason := self.limits.excess(voltage=live.voltage, current=live.current):
            raise GuardError(f"the trip stays: {reason}")
        if not math.isfinite(live.voltage):
            raise GuardError("the trip stays: the voltage is not known")
        self.trip = {}
        self.enter(GuardState.OPEN_CIRCUIT, "trip reset")

    def acquire(self, owner: Owner, *, wall: float) -> None:
        """Take the cell."""
        self.ownership.acquire(owner, wall=wall)
        self.owner_deadline = math.inf
        self.writer.line("owner", state=self.ownership.state, **owner.to_document())

    def release(self, token: object) -> None:
        """Give the cell back; it goes on as it is."""
        self.ownership.release(token)
        self.writer.line("owner", state=self.ownership.state)

    def change(self, **settings: Any) -> None:
        """Write down what an owner declared, so that a guard started again knows it."""
        self.writer.line("settings", **settings)

    def carry_out(self, occasion: Occasion) -> None:
        """Do what was declared for an occasion."""
        policy = self.policies[occasion]
        flows = self.state in (GuardState.RUNNING, GuardState.HOLDING)
        self.writer.line("policy", occasion=occasion, policy=policy, carried_out=flows)
        if flows and policy is Policy.OPEN_CIRCUIT:
            self.open_circuit(f"{occasion}: {policy}")
        elif flows and policy is Policy.HOLD:
            self.hold(f"{occasion}: {policy}")

    # What happens by itself.

    def tick(self, *, wall: float) -> None:
        """Look after owner and instrument; to be called at least every 0.1 s of wall time."""
        if self.ownership.has_lapsed(wall=wall) or wall > self.owner_deadline:
            self.owner_deadline = math.inf
            self.writer.line("owner", state=self.ownership.state)
            self._carefully(lambda: self.carry_out(Occasion.CLIENT_LOSS))
        readings = self.driver.poll()
        self._notice_reachability(readings)
        self._take(readings, wall=wall)
        if self.runner.is_active and readings.has_ended:
            self._carefully(self._segment_ended)
        elif self.state is GuardState.RUNNING and not self.runner.is_active and self.is_reachable:
            self._carefully(lambda: self._run_next("next segment"))
        if readings.is_reachable:
            self._carefully(lambda: self._reconcile(readings, wall=wall))
            is_idle = not self.runner.is_active and not readings.is_running
            self.writer.mark(wall=wall, is_idle=is_idle)

    def _take(self, readings: Readings, *, wall: float) -> None:
        """Write down and judge what was read, records before the live values that reach beyond."""
        runner = self.runner
        flows = runner.is_active or readings.is_running
        for record in readings.records:
            is_new = runner.notice(record.step)
            self.samples.step_to(record.step, record.elapsed)
            if is_new:
                self.enter(self.state, "step")
            self.writer.record(record, runner.step, runner.step_count)
            self._judge(record.voltage, record.current, flows=flows)
        for live in readings.lives:
            self.writer.take_live(
                live, runner.step, runner.step_count, is_active=runner.is_active, wall=wall
            )
            self._judge(live.voltage, live.current, flows=flows)
        if readings.comparison is not None:
            self.writer.comparison(readings.comparison, wall=wall)

    def _judge(self, voltage: float, current: float, *, flows: bool) -> None:
        reason = self.limits.violation(voltage=voltage, current=current)
        if reason is None or not flows or not self.cell_run or self.state is GuardState.TRIPPED:
            return
        self.trip = {
            "reason": reason,
            "time": self.clock.now(),
            "voltage": voltage,
            "current": current,
        }
        self.writer.line("trip", **{k: v for k, v in self.trip.items() if k != "time"})
        self.enter(GuardState.TRIPPED, reason)
        self.runner.clear()
        self._carefully(self.runner.interrupt)
        self._carefully(self.driver.stop)

    def _notice_reachability(self, readings: Readings) -> None:
        if readings.is_reachable == self.is_reachable:
            return
        self.is_reachable = readings.is_reachable
        text = f"cycler {self.driver.name} {'answers again' if self.is_reachable else 'is lost'}"
        self._report(text)
        self.enter(self.state, text)

    def _reconcile(self, readings: Readings, *, wall: float) -> None:
        """See that the cycler does what the guard wants it to do."""
        if self.cell_run and (fault := self._watch.stop_if_unwanted(readings, wall=wall)):
            self._report(fault)
        if self._watch.has_failed_to_start(readings, wall=wall):
            self.runner.is_active = False
            name = self.driver.name
            self._report(f"protocol started, cycler {name} still Stopped after {START_TIMEOUT:g} s")
            self.open_circuit("the cycler did not start")

    # How segments follow each other.

    def _run_next(self, reason: str) -> None:
        self.writer.begin_segment()
        self._watch.expect_start()
        self.runner.run_next()
        self.enter(self.state if self.state is GuardState.HOLDING else GuardState.RUNNING, reason)

    def _segment_ended(self) -> None:
        """The segment's last record is in, and the circuit is open."""
        self.writer.tail()
        self.writer.line("segment_end", step_count=self.runner.step_count)
        is_hold = self.state is GuardState.HOLDING and not self.runner.is_changing
        may_resume = not self.runner.is_hold and self.state is not GuardState.TRIPPED
        ending, then = self.runner.end(keeps_remainder=may_resume)
        if then is not None:
            then()
        elif ending is Ending.INTERRUPTED:
            return
        elif is_hold:
            reason = f"held for {self.hold_maximum:g} s, the longest allowed"
            self.enter(GuardState.OPEN_CIRCUIT, reason)
        elif ending is Ending.CUT_SHORT:
            self._report(f"cycler {self.driver.name} stopped in the middle of a segment")
            self.enter(GuardState.OPEN_CIRCUIT, "the cycler stopped by itself")
        elif ending is Ending.MORE:
            self._run_next("next segment")
        else:
            self.enter(GuardState.FINISHED, "end of protocol")

    def begin_hold(self) -> None:
        """Start the hold: the cell is at rest by now."""
        voltage, soft = self.samples.recent_voltage, self.limits.soft
        if voltage is None or self.terms is None:
            self.enter(GuardState.OPEN_CIRCUIT, "no voltage is known to hold at")
            return
        step = Step(
            index=-1,
            type=StepType.CONSTANT_VOLTAGE,
            cycle_number=self.runner.step.cycle_number if self.runner.step else 1,
            voltage=min(max(voltage, soft.voltage_min), soft.voltage_max),
            duration=self.hold_maximum,
        )
        self.runner.queue([step], self.terms)
        self._run_next(f"held at {step.voltage:.4f} V")

    def begin_remainder(self) -> None:
        """Start what is left of the interrupted protocol."""
        steps = self.runner.remainder
        if not steps or self.terms is None:
            self.enter(GuardState.FINISHED, "nothing was left of the protocol")
            return
        self.runner.queue(steps, self.terms)
        self._run_next("proceeds")

    # Small change.

    def _mounted(self) -> CellPassport:
        if self.passport is None:
            raise GuardError("no cell is mounted: without a passport no current flows")
        return self.passport

    def _refuse_while_current_flows(self, what: str) -> None:
        if self.runner.is_active or self.state in (GuardState.RUNNING, GuardState.HOLDING):
            raise GuardError(f"{what} while the cell is {self.state}: open the circuit first")

    def _cell_faults(self) -> list[str]:
        """Why no current may flow through the cell as it is now."""
        live = self.writer.live if self.is_reachable else None
        return cell_faults(live, self.limits.soft, cycler=self.driver.name)

    def enter(self, state: GuardState, reason: str) -> None:
        """Change the state, or the step, and write it down."""
        self.state = state
        step, step_count = self.runner.step, self.runner.step_count
        self.writer.state(self.shown_state, reason, step, step_count, kept=state)

    @property
    def shown_state(self) -> GuardState:
        """The state as it is published."""
        if not self.is_reachable:
            return GuardState.UNREACHABLE
        is_bare = self.passport is None and self.state is GuardState.OPEN_CIRCUIT
        return GuardState.UNMOUNTED if is_bare else self.state

    def _report(self, text: str) -> None:
        self.last_error = text
        self.writer.line("error", text=text)

    def _carefully(self, act: Callable[[], None]) -> None:
        """What the guard does by itself may fail with the cycler; it is written down."""
        try:
            act()
        except (GuardError, PreflightError) as error:
            self._report(str(error))
            flows = self.state in (GuardState.RUNNING, GuardState.HOLDING)
            if flows and not self.runner.is_active:
                self.runner.put_back()
                self.enter(GuardState.OPEN_CIRCUIT, "the cycler did not do what was asked")
