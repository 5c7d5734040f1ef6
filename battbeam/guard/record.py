"""This file is where the guard's vendor-neutral record is served over Channel Access.

Commands are JSON objects put to a verb; the put completes when it was carried out, and the answer
is in CommandResult (refusals in LastError too). A put never fails as a put. Hard limits are
read-only; positive current charges the cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.guard.limits import SoftLimit

#: Characters of a protocol or passport, of another command, and of a short text.
LONGEST_DOCUMENT = 65536
LONGEST_COMMAND = 4096
LONGEST_TEXT = 256


@dataclass(frozen=True)
class Shown:
    """What the record is to show.

    Attributes:
        number: Rises; what comes late is not shown over what is newer.
        values: By PV suffix.
        answer: To a command, JSON; shown however late it comes: its client waits for it.
    """

    number: int
    values: Mapping[str, Any]
    answer: str = ""


class Service(Protocol):
    """What the record asks of the guard's loop."""

    async def command(self, verb: str, text: str) -> "Shown":
        """Carry out what was put to a verb; what the record is to show then."""
        ...

    async def soft_limit(self, name: SoftLimit, value: float) -> "Shown":
        """Set a soft limit; what the record is to show then."""
        ...

    def beat(self, text: str) -> None:
        """Take a heartbeat."""
        ...


def _text(suffix: str, length: int, doc: str, **more: Any) -> Any:
    return pvproperty(
        name=suffix,
        value="",
        dtype=ChannelType.CHAR,
        max_length=length,
        string_encoding="utf-8",
        doc=doc,
        **more,
    )


def _shown(suffix: str, doc: str, *, length: int = LONGEST_TEXT) -> Any:
    return _text(suffix, length, doc, read_only=True)


def _number(suffix: str, unit: str, doc: str) -> Any:
    return pvproperty(
        name=suffix, value=float("nan"), units=unit, precision=6, read_only=True, doc=doc
    )


def _count(suffix: str, doc: str) -> Any:
    return pvproperty(name=suffix, value=0, read_only=True, doc=doc)


def _verb(suffix: str, doc: str, *, length: int = LONGEST_COMMAND) -> Any:
    async def put(group: "GuardRecord", _instance: Any, value: Any) -> str:
        await group.publish(await group.service.command(suffix, as_text(value)))
        return str(group.readback(suffix))

    return _text(suffix, length, doc, put=put)


def _soft(suffix: str, name: SoftLimit, unit: str, doc: str) -> Any:
    async def put(group: "GuardRecord", _instance: Any, value: Any) -> float:
        number = value if isinstance(value, int | float) else value[0]
        await group.publish(await group.service.soft_limit(name, float(number)))
        return float(group.readback(suffix))

    return pvproperty(name=suffix, value=float("nan"), units=unit, precision=6, put=put, doc=doc)


async def _beat(group: "GuardRecord", _instance: Any, value: Any) -> str:
    group.service.beat(as_text(value))
    return ""


class GuardRecord(PVGroup):  # type: ignore[misc]
    """The record of one cell."""

    identity = _shown("Identity", "what the cell's position is called")
    boot_id = _shown("BootId", "changes when the guard is started again")
    simulated = _count("Simulated", "1 if cell and cycler are a simulation")
    controls = _count("Controls", "1 if the guard commands the cycler, 0 if it only watches")
    cell_run = _shown("CellRun", "uid of the cell run; empty without a cell")
    log_path = _shown("Log", "path of the append-only log", length=1024)

    validate = _verb("Validate", "{id, protocol}: may it run?", length=LONGEST_DOCUMENT)
    load = _verb("Load", "{id, token, protocol}: put it on the cycler", length=LONGEST_DOCUMENT)
    start = _verb("Start", "{id, token}: let the loaded protocol run")
    hold = _verb("Hold", "{id, token, maximum}: keep the voltage, for so many s at most")
    proceed = _verb("Proceed", "{id, token}: go on with what is left")
    open_circuit = _verb("OpenCircuit", "{id, reason}: open the circuit; anyone may")
    reset = _verb("Reset", "{id, token}: take back a trip")
    owner = _verb("Owner", "{id, host, pid, session, token}, or {id, token, release: true}")
    passport = _verb("Passport", "{id, token, passport}; null dismounts", length=LONGEST_DOCUMENT)
    policies = _verb("Policies", "{id, token, policies: {occasion: policy}}")
    occasion = _verb("Occasion", "{id, token, occasion}")
    settings = _verb("Settings", "{id, token, heartbeat_timeout, hold_maximum}")
    command_result = _shown("CommandResult", "answer to the last command", length=LONGEST_DOCUMENT)
    last_error = _shown("LastError", "of the last refusal or fault", length=8192)
    heartbeat = _text("Heartbeat", LONGEST_TEXT, "<token> <count>", put=_beat)
    heartbeat_timeout = _number("HeartbeatTimeout", "s", "wall s without a beat: owner lost")

    state = _shown("State", "what the guard has the cell do")
    owner_state = _shown("OwnerState", "none, owned or lapsed")
    step_index = _count("StepIndex", "in the protocol, from 0; -1 in a hold")
    step_type = _shown("StepType", "what is controlled")
    step_count = _count("StepCount", "steps begun; never repeats")
    cycle_number = _count("CycleNumber", "from 1")
    step_start = _number("StepStart", "s", "session clock; NaN: no step is under way")
    step_end = _number("StepEnd", "s", "at the latest; infinity: it has no longest duration")
    voltage = _number("Voltage", "V", "working against counter electrode")
    voltage_working = _number("VoltageWorking", "V", "against the reference; NaN: 2 electrodes")
    voltage_counter = _number("VoltageCounter", "V", "against the reference; NaN: 2 electrodes")
    current = _number("Current", "A", "> 0 charges")
    charge = _number("Charge", "mAh", "passed since mounting; > 0 charges")
    capacity = _number("Capacity", "mAh", "passed in this half cycle")
    temperature = _number("Temperature", "degC", "NaN: not measured")
    sample_time = _number("SampleTime", "s", "of the last sample, on the cycler's clock")
    sample_sequence = _count("SampleSequence", "of the last sample")
    watermark = _number("Watermark", "s", "the log is complete to here, session clock")
    expected_end = _number("ExpectedEnd", "s", "session clock; NaN: not known")
    progress = _shown("ProtocolProgress", "JSON", length=1024)

    hard_voltage_min = _number("HardVoltageMin", "V", "set in the guard's own file")
    hard_voltage_max = _number("HardVoltageMax", "V", "set in the guard's own file")
    hard_current_max = _number("HardCurrentMax", "A", "set in the guard's own file")
    soft_voltage_min = _soft("SoftVoltageMin", "voltage_min", "V", "below it the cell trips")
    soft_voltage_max = _soft("SoftVoltageMax", "voltage_max", "V", "above it the cell trips")
    soft_current_max = _soft("SoftCurrentMax", "current_max", "A", "beyond it the cell trips")
    trip = _count("Trip", "1: latched until Reset")
    trip_reason = _shown("TripReason", "JSON: reason, time, voltage, current", length=1024)

    def __init__(self, prefix: str, service: Service) -> None:
        super().__init__(prefix)
        self.service = service
        self._published: dict[str, Any] = {}
        self._number = -1

    def readback(self, suffix: str) -> Any:
        """What a PV shows after a put: what the guard last published for it, else nothing."""
        return self._published.get(suffix, "")

    async def publish(self, shown: Shown) -> None:
        """Show what has changed and is not older than what is shown; an answer always, and last."""
        values = dict(shown.values) if shown.number >= self._number else {}
        self._number = max(self._number, shown.number)
        if shown.answer:
            values["CommandResult"] = shown.answer
        for suffix, value in values.items():
            if self._published.get(suffix, _NEVER) != value:
                self._published[suffix] = value
                await self.pvdb[f"{self.prefix}{suffix}"].write(value, verify_value=False)


_NEVER = object()


def as_text(value: Any) -> str:
    """What was put to a CHAR waveform."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.split(b"\0", 1)[0].decode(errors="replace")
    return bytes(int(item) & 0xFF for item in value).split(b"\0", 1)[0].decode(errors="replace")
