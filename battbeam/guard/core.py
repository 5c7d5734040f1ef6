"""This file is where it is decided what happens to the cell: the guard's state machine.

It knows no Channel Access and no make of cycler and never waits. Wall time (s, monotonic) is passed
in, the session's clock and the instrument are objects given to it; tests use others.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import Protocol, StepType
from battbeam.guard.config import GuardConfig
from battbeam.guard.course import Course
from battbeam.guard.driver import Driver, Live, Readings, Record
from battbeam.guard.limits import Limits
from battbeam.guard.log import Log
from battbeam.guard.ownership import Owner, Ownership
from battbeam.guard.policy import Occasion, Policy
from battbeam.guard.preflight import cell_faults, window_faults
from battbeam.guard.protocol_limits import ProtocolLimits
from battbeam.guard.runner import Runner
from battbeam.guard.samples import Samples
from battbeam.guard.standing import Standing
from battbeam.guard.thermostat import Thermostat
from battbeam.guard.writer import Writer

Reading = TypeVar("Reading", Record, Live)


class Guard:
    """Protects one cell."""

    def __init__(
        self,
        config: GuardConfig,
        driver: Driver,
        log: Log,
        clock: Clock,
        thermostat: Thermostat | None = None,
    ) -> None:
        self.config = config
        self.driver = driver
        self.clock = clock
        self.thermostat = thermostat
        self.limits = Limits(config.hard_limits.window)
        self.ownership = Ownership(timeout=config.heartbeat_timeout)
        self.policies = dict(config.policies)
        self.samples = Samples()
        self.assemble(
            Writer(log, clock, self.samples),
            Runner(
                driver,
                self.samples,
                lambda run: self.writer.line("segment", **run),
                lambda: self.writer.live.voltage if self.writer.live else None,
            ),
        )
        self.protocol_limits: ProtocolLimits | None = None
        self.trip: dict[str, Any] = {}
        self.owner_deadline = math.inf

    def assemble(self, writer: Writer, runner: Runner) -> None:
        """Take these to write and to run with."""
        self.writer, self.runner = writer, runner
        self.standing = Standing(writer, runner)
        self.course = Course(
            self.standing,
            runner,
            writer,
            self.limits,
            self.thermostat,
            hold_maximum=self.config.hold_maximum,
        )

    @property
    def state(self) -> GuardState:
        """What the guard has the cell do."""
        return self.standing.state

    @property
    def passport(self) -> CellPassport | None:
        """Of the mounted cell, or None."""
        return self.standing.passport

    @property
    def cell_run(self) -> str:
        """Uid of the cell run; empty without a cell."""
        return self.standing.cell_run

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
        cell_run = self.cell_run
        self.writer.line("mount", cell_run=cell_run, passport=passport.model_dump(mode="json"))
        self.writer.assume_clock()
        self.standing.enter_unless_tripped(GuardState.OPEN_CIRCUIT, "mounted")
        if passport.limits.temperature_max is not None and self.thermostat is None:
            self.standing.report("the passport limits the temperature, which nothing measures here")

    def set_passport(self, passport: CellPassport | None, cell_run: str) -> None:
        """Whose cell it is, without a word in the log."""
        self.standing.set_passport(passport, cell_run)
        self.limits.narrow(passport.window if passport else None)
        limits = passport.limits if passport else None
        self.limits.narrow_temperatures(
            limits.temperature_min if limits else None, limits.temperature_max if limits else None
        )

    def dismount(self) -> None:
        """End the cell run."""
        self._refuse_while_current_flows("the cell cannot be dismounted")
        self.standing.mounted()
        self.writer.complete()
        self.writer.line("dismount", cell_run=self.cell_run)
        self.set_passport(None, "")
        self.runner.clear()
        self.standing.enter_unless_tripped(GuardState.OPEN_CIRCUIT, "dismounted")

    def faults(self, protocol: Protocol) -> list[str]:
        """Every reason why a protocol may not run on the cell as it is."""
        passport = self.standing.mounted()
        faults = protocol.faults(passport, self.limits.soft)
        if not faults:
            steps = protocol.compile(passport, self.limits.soft).steps
            faults = self.driver.faults(steps)
            if any(step.type is StepType.TEMPERATURE for step in steps):
                faults += self._thermostat_faults()
        return faults + self._cell_faults()

    def _thermostat_faults(self) -> list[str]:
        if self.thermostat is None:
            return ["it sets a temperature, and this guard has no thermostat"]
        fault = self.thermostat.fault
        return [f"it sets a temperature, which cannot be done: {fault}"] if fault else []

    def load(self, protocol: Protocol) -> None:
        """Check a protocol, compile it, and put its first segment on the instrument."""
        passport = self.standing.mounted()
        self._refuse_while_current_flows("no protocol can be loaded")
        if self.state is GuardState.TRIPPED:
            raise GuardError(f"tripped ({self.trip.get('reason')}): reset the trip first")
        if faults := self.faults(protocol):
            raise PreflightError("protocol", faults)
        compiled = protocol.compile(passport, self.limits.soft)
        steps = [step.to_document() for step in compiled.steps]
        self.writer.line("protocol", protocol=dict(protocol.document), compiled=steps)
        self.course.load(compiled)
        self.restrain()
        self.standing.enter(GuardState.LOADED, "loaded")

    def restrain(self) -> None:
        """Hold the cell to the limits of the protocol that is loaded, too."""
        if self.course.terms is not None:
            self.protocol_limits = ProtocolLimits(self.course.terms)

    def start(self) -> None:
        """Let the loaded protocol run."""
        if self.state is not GuardState.LOADED:
            raise GuardError(f"nothing is loaded (state {self.state}): load a protocol first")
        if faults := self._cell_faults():
            raise PreflightError("cell", faults)
        self.course.run_next("started")

    def hold(self, reason: str = "asked", *, maximum: float | None = None) -> None:
        """Keep the cell at the mean of its last three voltages, for so many s of cell time at most,
        by default `Course.hold_maximum`.
        """
        if self.state is GuardState.HOLDING:
            return
        if self.state is not GuardState.RUNNING:
            raise GuardError(f"only a running cell can be held, it is {self.state}")
        self.course.hold(reason, maximum)

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
        self.course.proceed()

    def open_circuit(self, reason: str = "asked") -> None:
        """Open the circuit. Anyone may, always."""
        self.standing.enter_unless_tripped(GuardState.OPEN_CIRCUIT, reason)
        self.runner.interrupt()
        self.driver.stop()

    def reset(self) -> None:
        """Take back a trip, once voltage and current are within their limits again."""
        if self.state is not GuardState.TRIPPED:
            raise GuardError("there is no trip to reset")
        live = self.writer.live
        if live is None or not self.standing.is_reachable or self.runner.is_active:
            raise GuardError("the trip stays: the cell is not seen to be at rest yet")
        if reason := self.limits.excess(voltage=live.voltage, current=live.current):
            raise GuardError(f"the trip stays: {reason}")
        if not math.isfinite(live.voltage):
            raise GuardError("the trip stays: the voltage is not known")
        self.trip = {}
        self.standing.enter(GuardState.OPEN_CIRCUIT, "trip reset")

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
        flows = self.standing.flows
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
        self.standing.notice(is_reachable=readings.is_reachable, name=self.driver.name)
        self._take(readings, wall=wall)
        self._carefully(self.course.look_ahead)
        if self.runner.is_active and readings.has_ended:
            self._carefully(self.course.segment_ended)
        elif (
            self.state is GuardState.RUNNING
            and not self.runner.is_active
            and self.standing.is_reachable
        ):
            self._carefully(lambda: self.course.run_next("next segment"))
        if readings.is_reachable:
            self._carefully(lambda: self._reconcile(readings, wall=wall))
            is_idle = not self.runner.is_active and not readings.is_running
            self.writer.mark(wall=wall, is_idle=is_idle)

    def _take(self, readings: Readings, *, wall: float) -> None:
        """Write down and judge what was read, records before the live values that reach beyond."""
        runner = self.runner
        flows = runner.is_active or readings.is_running
        for record in map(self._with_temperature, readings.records):
            is_new = runner.notice(record.step)
            self.samples.step_to(record.step, record.elapsed)
            if is_new:
                self.standing.enter(self.state, "step")
            self.writer.record(record, runner.step, runner.step_count)
            self._judge(record, flows=flows)
        for impedance in readings.impedances:
            self.writer.impedance(impedance, *runner.step_at(impedance.step))
        for live in map(self._with_temperature, readings.lives):
            self.writer.take_live(
                live, runner.step, runner.step_count, is_active=runner.is_active, wall=wall
            )
            self._judge(live, flows=flows)
        if readings.comparison is not None:
            self.writer.comparison(readings.comparison, wall=wall)

    def _with_temperature(self, reading: Reading) -> Reading:
        """The reading, with the thermostat's word where the instrument has none."""
        if self.thermostat is None or math.isfinite(reading.temperature):
            return reading
        return replace(reading, temperature=self.thermostat.temperature)

    def _judge(self, reading: Record | Live, *, flows: bool) -> None:
        """Trip the cell, or end its step, if this reading says so."""
        voltage, current = reading.voltage, reading.current
        reason = self.limits.violation(
            voltage=voltage, current=current, temperature=reading.temperature
        )
        if reason is None and self.protocol_limits is not None and self.standing.flows:
            capacity = self.samples.latest.capacity
            reason = self.protocol_limits.violation(
                time=reading.time, voltage=voltage, current=current, capacity=capacity
            )
        if reason is None and flows:
            watch, elapsed, temp = self.course.watch_step, reading.elapsed, reading.temperature
            self._carefully(
                lambda: watch(elapsed=elapsed, voltage=voltage, current=current, temp=temp)
            )
        if reason is None or not flows or not self.cell_run:
            return
        if self.state is not GuardState.TRIPPED:
            self._trip(reason, voltage=voltage, current=current)

    def _trip(self, reason: str, *, voltage: float, current: float) -> None:
        self.trip = {
            "reason": reason,
            "time": self.clock.now(),
            "voltage": voltage,
            "current": current,
        }
        self.writer.line("trip", **{k: v for k, v in self.trip.items() if k != "time"})
        self.standing.enter(GuardState.TRIPPED, reason)
        self.runner.clear()
        self._carefully(self.runner.interrupt)
        self._carefully(self.driver.stop)

    def _reconcile(self, readings: Readings, *, wall: float) -> None:
        if self.course.reconcile(readings, wall=wall):
            self.open_circuit("the cycler did not start")

    def _refuse_while_current_flows(self, what: str) -> None:
        self.standing.refuse_while_current_flows(what)

    def _cell_faults(self) -> list[str]:
        """Why no current may flow through the cell as it is now."""
        live = self.writer.live if self.standing.is_reachable else None
        return cell_faults(live, self.limits.soft, cycler=self.driver.name)

    def _carefully(self, act: Callable[[], None]) -> None:
        """What the guard does by itself may fail with the cycler; it is written down."""
        try:
            act()
        except (GuardError, PreflightError) as error:
            self.standing.report(str(error))
            if self.standing.flows and not self.runner.is_active:
                self.runner.put_back()
                reason = "the cycler did not do what was asked"
                self.standing.enter(GuardState.OPEN_CIRCUIT, reason)
