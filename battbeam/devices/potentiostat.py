"""This file is where a cell guard's record is read and its verbs are spoken.

Positive current charges the cell (oxidises the working electrode). Verbs return a status that fails
with the guard's own words. The device is not movable and stops, pauses and resumes nothing: the
RunEngine does that to all it has touched, and a cell must outlive a plan.
"""

import json
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.guard_commands import GuardCommands, SilentGuardError
from battbeam.devices.signals import Readback, Setting
from battbeam.devices.status import TimedStatus
from battbeam.devices.watched import WATCHED
from battbeam.experiment.guard_state import OwnerState
from battbeam.experiment.watchers import CellReading

_log = logging.getLogger(__name__)

#: Wall seconds that a beat may wait for a connection that breaks just then: other guards wait, too.
BEAT_TIMEOUT = 0.05
#: Wall seconds for the guard to answer a verb; loading a protocol writes some hundred records of
#: the cycler.
COMMAND_TIMEOUT = 10.0
LOAD_TIMEOUT = 60.0


def _reading(suffix: str, units: str, doc: str, kind: str = "hinted") -> Any:
    return Cpt(Readback, suffix, units=units, tolerant=True, kind=kind, doc=doc)


def _count(suffix: str, doc: str) -> Any:
    return Cpt(Readback, suffix, dtype="integer", tolerant=True, kind="normal", doc=doc)


def _text(suffix: str, doc: str, kind: str = "omitted") -> Any:
    return Cpt(Readback, suffix, dtype="string", tolerant=True, kind=kind, doc=doc)


def _verb(suffix: str) -> Any:
    return Cpt(Setting, suffix, dtype="string", kind="omitted", doc="JSON with id and token")


class Potentiostat(Device):  # type: ignore[misc]
    """One cell behind its guard.

    Readings come with every event; verbs are `load`, `start`, `hold`, `proceed`, `open_circuit`,
    `reset`, and `mount` and `dismount` for the cell itself.

    Attributes:
        losses: What befell this session's ownership of the cell, one sentence each.

    >>> potentiostat.acquire({"uid": "..."}).wait()  # doctest: +SKIP
    >>> potentiostat.load(protocol).wait()  # doctest: +SKIP
    >>> potentiostat.start().wait()  # doctest: +SKIP
    """

    voltage = _reading("Voltage", "V", "V, working against counter electrode")
    voltage_working = _reading(
        "VoltageWorking", "V", "V, against the reference; NaN: two electrodes", "normal"
    )
    voltage_counter = _reading(
        "VoltageCounter", "V", "V, against the reference; NaN: two electrodes", "normal"
    )
    current = _reading("Current", "A", "A; > 0 charges")
    charge = _reading("Charge", "mAh", "mAh passed since the cell was mounted; > 0 charges")
    capacity = _reading("Capacity", "mAh", "mAh passed in this half cycle", "normal")
    temperature = _reading("Temperature", "degC", "degC of the cell; NaN: not measured", "normal")
    step_start = _reading("StepStart", "s", "session clock; NaN: none is under way", "normal")
    step_end = _reading(
        "StepEnd", "s", "session clock, at the latest; infinity: no longest duration", "omitted"
    )
    sample_time = _reading("SampleTime", "s", "s since 1970, the cycler's clock", "normal")
    watermark = _reading("Watermark", "s", "the log is complete to this, session clock", "omitted")
    expected_end = _reading(
        "ExpectedEnd", "s", "when the protocol will end; NaN: not known", "omitted"
    )
    state = _text("State", "one of `GuardState`", "normal")
    step_type = _text("StepType", "of the step under way", "normal")
    step_index = _count("StepIndex", "in the protocol, from 0")
    step_count = _count("StepCount", "steps begun so far; never repeats")
    cycle_number = _count("CycleNumber", "of the protocol's loops")
    sample_sequence = _count("SampleSequence", "of the latest sample")

    identity = _text("Identity", "of the guard", "config")
    controls = Cpt(
        Readback,
        "Controls",
        dtype="integer",
        tolerant=True,
        kind="config",
        doc="1 commands the cycler, 0 only watches it",
    )
    boot_id = _text("BootId", "changes when the guard restarts", "config")
    cell_run = _text("CellRun", "uid of the cell run; empty without a cell", "config")
    log_path = _text("Log", "the guard's log of every sample", "config")
    soft_voltage_min = _reading("SoftVoltageMin", "V", "below it the guard trips", "config")
    soft_voltage_max = _reading("SoftVoltageMax", "V", "above it the guard trips", "config")
    soft_current_max = _reading("SoftCurrentMax", "A", "above it the guard trips", "config")
    hard_voltage_min = _reading("HardVoltageMin", "V", "set in the guard's own file", "config")
    hard_voltage_max = _reading("HardVoltageMax", "V", "set in the guard's own file", "config")
    hard_current_max = _reading("HardCurrentMax", "A", "set in the guard's own file", "config")
    heartbeat_timeout = _reading(
        "HeartbeatTimeout", "s", "wall s without a beat: client lost", "config"
    )

    trip = Cpt(Readback, "Trip", dtype="integer", tolerant=True, kind="normal", doc="1: latched")
    trip_reason = _text("TripReason", "JSON: reason, time, voltage, current")
    owner = _text("OwnerState", "who may command; readable by all")
    progress = _text("ProtocolProgress", "JSON")
    last_error = _text("LastError", "of the last refusal")
    result = _text("CommandResult", "JSON: id, verb, ok, error, faults")

    passport = Cpt(Setting, "Passport", dtype="string", tolerant=True, kind="omitted", doc="JSON")
    owner_command = _verb("Owner")
    policies = Cpt(Setting, "Policies", dtype="string", tolerant=True, kind="omitted", doc="JSON")
    occasion_command = _verb("Occasion")
    heartbeat = _verb("Heartbeat")
    validate_command = _verb("Validate")
    load_command = _verb("Load")
    start_command = _verb("Start")
    hold_command = _verb("Hold")
    proceed_command = _verb("Proceed")
    open_circuit_command = _verb("OpenCircuit")
    reset_command = _verb("Reset")

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._token = ""
        self._latest: dict[str, Any] = {}
        self._commands = GuardCommands(self)
        self._owner: dict[str, Any] = {}
        self._boot_id = ""
        self._asked_again: TimedStatus | None = None
        self.losses: list[str] = []
        for attribute in (*WATCHED, "boot_id", "owner"):
            getattr(self, attribute).subscribe(self._keeper(attribute), run=False)

    # Reading.

    def _keeper(self, attribute: str) -> Any:
        def keep(value: Any = None, **_: Any) -> None:
            self._latest[attribute] = value

        return keep

    def cell_reading(self, time: float) -> CellReading:
        """What is known of the cell now, from the latest monitors; a lost guard knows nothing.

        Args:
            time: Session clock, s since the Unix epoch.
        """
        if not self.result.connected or any(name not in self._latest for name in WATCHED):
            return CellReading(time=time)
        latest = dict(self._latest)
        known: dict[str, Any] = {name: kind(latest[name]) for name, kind in WATCHED.items()}
        known["step_elapsed"] = time - known.pop("step_start")
        known["step_remaining"] = max(known.pop("step_end") - time, 0.0)
        return CellReading(time=time, **known)

    # Verbs.

    def acquire(self, owner: Mapping[str, Any]) -> TimedStatus:
        """Own the cell, until it is released or the heartbeat stops.

        Args:
            owner: ``host``, ``pid`` and ``session``; a token of its own is made.
        """
        token = uuid.uuid4().hex
        self._owner, self._boot_id = {**owner}, str(self._latest.get("boot_id", ""))
        status = self._command(self.owner_command, "acquire", self._owner, token=token)
        self._token = token
        return status

    @property
    def has_lapsed(self) -> bool:
        """Whether the guard has heard no beat of its owner for too long, and took it for lost."""
        return self._latest.get("owner") == OwnerState.LAPSED

    def _acquire_again(self) -> None:
        """A guard that was started again has forgotten its owner, and waits some seconds for it; one
        that heard no beat has given it up. To own the cell again changes nothing at the cell.
        """
        boot_id, asked = str(self._latest.get("boot_id", "")), self._asked_again
        self._boot_id = self._boot_id or boot_id
        is_known = not boot_id or boot_id == self._boot_id
        if (is_known and not self.has_lapsed) or (asked is not None and not asked.done):
            return
        why = "heard no beat of this session for too long" if is_known else "was started again"
        status = self._command(self.owner_command, "acquire", self._owner, token=self._token)
        self._asked_again = status

        def answered(status: TimedStatus) -> None:
            error = status.exception(timeout=0)
            if error is None:
                self._boot_id, self._latest["owner"] = boot_id, ""
                self._own_again(why, has_acted=is_known)
            elif not isinstance(error, SilentGuardError):
                self.forget()
                _log.error("guard %s %s, and the cell is not ours: %s", self.name, why, error)

        status.add_callback(answered)

    def _own_again(self, why: str, *, has_acted: bool) -> None:
        policy = self.policy("client_loss")
        acted = f" and carried out its policy on client_loss ({policy})" if has_acted else ""
        told = f"guard {self.name} {why}{acted}; this session owns the cell again"
        _log.warning("%s", told)
        self.losses.append(told)

    def release(self) -> TimedStatus:
        """Give the cell free; it goes on with what it does."""
        return self._command(self.owner_command, "release", {"release": True})

    def mount(self, passport: Mapping[str, Any]) -> TimedStatus:
        """Tell the guard which cell this is; a cell run begins."""
        return self._command(self.passport, "mount", {"passport": dict(passport)})

    def dismount(self) -> TimedStatus:
        """Take the cell away; its cell run ends."""
        return self._command(self.passport, "dismount", {"passport": None})

    def validate(self, protocol: Mapping[str, Any]) -> TimedStatus:
        """Ask whether a protocol could be run; every fault comes back."""
        return self._command(self.validate_command, "validate", {"protocol": dict(protocol)})

    def load(self, protocol: Mapping[str, Any]) -> TimedStatus:
        """Validate, compile and load a protocol."""
        return self._command(
            self.load_command, "load", {"protocol": dict(protocol)}, timeout=LOAD_TIMEOUT
        )

    def start(self) -> TimedStatus:
        """Start the protocol that is loaded."""
        return self._command(self.start_command, "start", {}, timeout=LOAD_TIMEOUT)

    def hold(self, maximum: float | None = None) -> TimedStatus:
        """Hold the voltage of the last samples, for so many s of cell time at most; without a
        number, for as long as the guard allows.
        """
        content = {} if maximum is None else {"maximum": maximum}
        return self._command(self.hold_command, "hold", content, timeout=LOAD_TIMEOUT)

    def proceed(self) -> TimedStatus:
        """Go on with what is left of the step that was interrupted."""
        return self._command(self.proceed_command, "proceed", {}, timeout=LOAD_TIMEOUT)

    def open_circuit(self, reason: str) -> TimedStatus:
        """Open the circuit; anyone may, owner or not."""
        return self._command(self.open_circuit_command, "open_circuit", {"reason": reason})

    def reset(self) -> TimedStatus:
        """Take note of a trip, so that the cell may be used again."""
        return self._command(self.reset_command, "reset", {})

    def declare(self, policies: Mapping[str, str]) -> TimedStatus:
        """Say what the guard does on each occasion."""
        return self._command(self.policies, "policies", {"policies": dict(policies)})

    def occasion(self, occasion: str) -> TimedStatus:
        """Tell the guard that the experiment pauses, ends, fails or lost the beam."""
        return self._command(self.occasion_command, "occasion", {"occasion": occasion})

    def beat(self, count: int) -> None:
        """One beat of the session's heart; quick, and without an answer. A guard that was started
        again, or has taken this session for lost, is asked for the cell again.
        """
        if self._token:
            self._acquire_again()
            limits = {"connection_timeout": BEAT_TIMEOUT, "timeout": BEAT_TIMEOUT}
            self.heartbeat.put(f"{self._token} {count}", wait=False, **limits)

    def forget(self) -> None:
        """Command the cell no more: the guard has refused, or has it back."""
        self._token = ""

    def policy(self, occasion: str) -> str:
        """What the guard will do on an occasion; empty if it does not say."""
        try:
            declared = json.loads(str(self.policies.value_now()) or "{}")
        except json.JSONDecodeError:
            return ""
        return str(declared.get("policies", declared).get(occasion, ""))

    @property
    def is_owned(self) -> bool:
        """Whether this session has asked for the cell."""
        return bool(self._token)

    def _command(
        self,
        signal: Setting,
        verb: str,
        content: dict[str, Any],
        *,
        token: str | None = None,
        timeout: float = COMMAND_TIMEOUT,
    ) -> TimedStatus:
        token = self._token if token is None else token
        return self._commands.send(signal, verb, {"token": token, **content}, timeout=timeout)
