"""This file is where the PVs of one channel of the simulated cycler are.

What is refused leaves everything as it was, sets the PV's alarm (WRITE, INVALID), and is logged.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from caproto import AlarmSeverity, AlarmStatus, ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.channel import Channel, State
from battbeam.sim.data_file import DataFiles, Record
from battbeam.sim.history import HistoryWriter
from battbeam.sim.parameters import N_INSTANCES, TECHNIQUE_IDS, TECHNIQUES, Parameter
from battbeam.sim.scenario import Cycler
from battbeam.sim.techniques import technique_list

_DTYPES: Mapping[str, Any] = {
    "float": float,
    "integer": int,
    "boolean": int,
    "floats": ChannelType.FLOAT,
    "integers": ChannelType.LONG,
    "booleans": bytes,
}
_LONG_STRING = {"dtype": ChannelType.CHAR, "max_length": 1024, "string_encoding": "utf-8"}


def _number(value: Any) -> float | list[float]:
    """A value of a PV as plain Python; it comes as a number, an array, or bytes for booleans."""
    items = list(value) if isinstance(value, bytes) else np.atleast_1d(value)
    values = [float(item) for item in items]
    return values[0] if len(values) == 1 else values


def _parameter_pvs(
    technique: str, instance: int, name: str, parameter: Parameter
) -> dict[str, Any]:
    attribute = f"{technique}_{instance}_{name}"
    is_array = parameter.kind.endswith("s")
    value: Any = float(parameter.default)
    if parameter.kind not in ("float", "floats"):
        value = int(parameter.default)
    if is_array:
        value = bytes([value]) if parameter.kind == "booleans" else [value]
    common: dict[str, Any] = {
        "value": value,
        "dtype": _DTYPES[parameter.kind],
        "max_length": parameter.n_most if is_array else None,
        "doc": parameter.doc,
    }

    async def show(group: PVGroup, _instance: Any, put: Any) -> Any:
        await group.attr_pvdb[attribute].write(put)
        return put

    pv_name = f"{technique}:{instance}:{name}"
    return {
        attribute: pvproperty(name=pv_name, read_only=True, **common),
        f"{attribute}_SP": pvproperty(name=f"{pv_name}:SP", put=show, **common),
    }


def _parameter_group() -> type[PVGroup]:
    members: dict[str, Any] = {"__doc__": "The parameters of every technique of one channel."}
    for technique, parameters in TECHNIQUES.items():
        for instance in range(N_INSTANCES[technique]):
            for name, parameter in parameters.items():
                members |= _parameter_pvs(technique, instance, name, parameter)
    return type("ParameterGroup", (PVGroup,), members)


ParameterGroup = _parameter_group()


async def _put_start(group: "ChannelGroup", instance: Any, value: Any) -> str:
    return await group.command(instance, value, group.start)


async def _put_stop(group: "ChannelGroup", instance: Any, value: Any) -> str:
    return await group.command(instance, value, group.stop)


async def _put_list(group: "ChannelGroup", instance: Any, value: Any) -> str:
    return await group.load(instance, value)


async def _put_prefix(group: "ChannelGroup", _instance: Any, value: Any) -> Any:
    await group.file_prefix.write(value)
    return value


async def _put_save(group: "ChannelGroup", _instance: Any, value: Any) -> Any:
    await group.save_data.write(value)
    return value


async def _put_setpoint(group: "ThermostatGroup", instance: Any, value: Any) -> float:
    return await group.set(instance, value)


def _live(name: str, unit: str, doc: str) -> Any:
    return pvproperty(name=name, value=0.0, units=unit, precision=6, read_only=True, doc=doc)


def _count(name: str, doc: str) -> Any:
    return pvproperty(name=name, value=0, read_only=True, doc=doc)


def _choice(name: str, strings: Sequence[str], value: str, **more: Any) -> Any:
    return pvproperty(
        name=name, value=value, enum_strings=list(strings), dtype=ChannelType.ENUM, **more
    )


class ThermostatGroup(PVGroup):  # type: ignore[misc]
    """The holder of the cell on one channel; no part of EPICS-ECLab."""

    setpoint = pvproperty(
        name="SP", value=25.0, units="degC", precision=2, put=_put_setpoint, alarm_group="SP"
    )
    readback = pvproperty(
        name="RBV", value=25.0, units="degC", precision=3, read_only=True, doc="of the cell"
    )

    def __init__(self, prefix: str, *, channel: Channel) -> None:
        super().__init__(prefix)
        self._thermostat = channel.thermostat

    async def prepare(self) -> None:
        """Fill in what a client may read at once."""
        await self.setpoint.write(self._thermostat.setpoint)
        await self.update(0.0)

    async def set(self, instance: Any, value: Any) -> float:
        """Ask for another temperature; out of range it is refused, and the alarm set."""
        status, severity = AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM
        try:
            self._thermostat.set(float(value))
        except ValueError as error:
            print(f"refused {instance.pvname}: {error}", flush=True)
            status, severity = AlarmStatus.WRITE, AlarmSeverity.INVALID_ALARM
        await instance.alarm.write(status=status, severity=severity)
        return self._thermostat.setpoint

    async def update(self, time: float) -> None:
        """Show the cell's temperature at a time of the session's clock, if it has changed."""
        shown = round(self._thermostat.cell_temperature, 3)
        if shown != self.readback.value:
            await self.readback.write(shown, timestamp=time)


class ChannelGroup(PVGroup):  # type: ignore[misc]
    """The PVs of one channel.

    Attributes:
        now: The session's clock.
    """

    voltage = _live("EWE", "V", "working electrode against reference")
    counter = _live("ECE", "V", "counter electrode against reference; 0 without a reference")
    current = _live("I", "A", "> 0 charges")
    elapsed = _live("TIME", "s", "since START, on the cycler's own clock")
    started = _live("STARTED", "s", "START by the cycler's own clock, since the Unix epoch")
    frequency = _live("FREQ", "Hz", "of the impedance being measured; 0 for none")
    data_start = _live("DATA_START", "s", "elapsed time at which the running technique began")
    state = _choice("STATE", list(State), State.STOPPED, read_only=True, doc="of the channel")
    start_command = _choice("START", ["", "Starting"], "", put=_put_start, alarm_group="START")
    stop_command = _choice("STOP", ["", "Stopping"], "", put=_put_stop, alarm_group="STOP")
    list_setpoint = pvproperty(
        name="LOADTECH:SP",
        value="",
        dtype=ChannelType.STRING,
        put=_put_list,
        alarm_group="LOADTECH",
    )
    list_loaded = pvproperty(name="LOADTECH", value="", dtype=ChannelType.STRING, read_only=True)
    n_techniques = _count("NUMTECH", "techniques loaded")
    technique_index = _count("TECHIND", "index of the running technique")
    technique_id = _count("TECHID", "kind of the running technique")
    loop = _count("LOOP", "how often a LOOP went back since START")
    current_overflow = _count("IOVERFLOW", "1 beyond the current range, or a current not reached")
    voltage_overflow = _count("EOVERFLOW", "1 at the compliance")
    saturation = _count("SATURATION", "always 0 here")
    memory_filled = _count("MEMFILLED", "bytes not fetched; always 0 here")
    data_done = _choice("DATADONE", ["No", "Yes"], "Yes", read_only=True, doc="all records written")
    save_setpoint = _choice("SAVEDATA:SP", ["No", "Yes"], "Yes", put=_put_save)
    save_data = _choice("SAVEDATA", ["No", "Yes"], "Yes", read_only=True)
    prefix_setpoint = pvproperty(name="FILEPREFIX:SP", value="", put=_put_prefix, **_LONG_STRING)
    file_prefix = pvproperty(name="FILEPREFIX", value="", read_only=True, **_LONG_STRING)
    file_name = pvproperty(name="FILENAME", value="", read_only=True, **_LONG_STRING)

    def __init__(
        self,
        prefix: str,
        *,
        thermostat_prefix: str,
        channel: Channel,
        settings: Cycler,
        files: DataFiles,
        history: HistoryWriter,
    ) -> None:
        super().__init__(prefix)
        self.parameters = ParameterGroup(f"{prefix}T:")
        self.thermostat = ThermostatGroup(thermostat_prefix, channel=channel)
        self.now: Callable[[], float] = lambda: channel.time
        self._channel = channel
        self._settings = settings
        self._files = files
        self._history = history
        self._lock = asyncio.Lock()
        self._published: dict[str, Any] = {}
        self._live_time = -float("inf")
        self._technique_start = 0.0

    async def prepare(self, default_prefix: Path) -> None:
        """Fill in what a client may read at once."""
        await self.prefix_setpoint.write(str(default_prefix))
        for technique in TECHNIQUES:
            for instance in range(N_INSTANCES[technique]):
                interval = self.parameters.attr_pvdb.get(f"{technique}_{instance}_REDT_SP")
                if interval is not None:
                    await interval.write(self._settings.record_interval)
        await self.thermostat.prepare()
        await self._publish(force=True)

    async def update(self) -> None:
        """Bring the cell to the present, write what was recorded, and refresh the live values."""
        async with self._lock:
            await self._catch_up()
            await self._publish()

    async def command(self, instance: Any, value: Any, act: Any) -> str:
        """START or STOP, when something other than 0 is put; the PV falls back by itself."""
        if value not in (0, "", "0"):
            async with self._lock:
                await self._catch_up()
                await self._attempt(instance, act)
                self._write_records()
                await self._publish(force=True)
        return ""

    def start(self) -> None:
        """Run the list of techniques."""
        self._channel.start()

    def stop(self) -> None:
        """Open the circuit."""
        self._channel.stop()

    async def load(self, instance: Any, value: Any) -> str:
        """Replace the list of techniques; answers the one that is loaded."""
        text = str(value)
        async with self._lock:
            await self._catch_up()
            await self._attempt(
                instance, lambda: self._channel.load(technique_list(text, self._values()))
            )
            if instance.alarm.severity == AlarmSeverity.NO_ALARM:
                await self.list_loaded.write(text)
            await self._publish(force=True)
        return text

    async def _attempt(self, instance: Any, act: Any) -> None:
        status, severity = AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM
        try:
            act()
        except ValueError as error:
            print(f"refused {instance.pvname}: {error}", flush=True)
            status, severity = AlarmStatus.WRITE, AlarmSeverity.INVALID_ALARM
        await instance.alarm.write(status=status, severity=severity)

    def _values(self) -> dict[tuple[str, int, str], float | list[float]]:
        return {
            (technique, instance, name): _number(
                self.parameters.attr_pvdb[f"{technique}_{instance}_{name}_SP"].value
            )
            for technique, parameters in TECHNIQUES.items()
            for instance in range(N_INSTANCES[technique])
            for name in parameters
        }

    async def _catch_up(self) -> None:
        now = self.now()
        while not self._channel.advance(now):
            self._write_records()
            await asyncio.sleep(0)
        self._write_records()

    def _write_records(self) -> None:
        channel = self._channel
        started = channel.clock.at(channel.started)
        for record in channel.records:
            if record.step == 0 and not record.ends_step and record.cycle == 0:
                self._technique_start = record.elapsed
            if self.save_data.value == "Yes":
                self._save(record, started)
        channel.records.clear()
        if channel.state is State.STOPPED:
            self._files.close()
        for time, cell in channel.trace:
            self._history.add(time, cell)
        channel.trace.clear()
        self._history.flush()

    def _save(self, record: Record, started: float) -> None:
        try:
            self._files.write(record, prefix=self.file_prefix.value, started=started)
        except OSError as error:
            print(f"record lost: {error}", flush=True)

    async def _publish(self, *, force: bool = False) -> None:
        channel = self._channel
        due = channel.time - self._live_time >= self._settings.live_interval
        if not (due or force or self._published.get("state") != channel.state):
            return
        self._live_time = channel.time
        await self.thermostat.update(channel.time)
        technique = channel.technique
        overflow = channel.cell.is_limited
        exceeds = technique is not None and abs(channel.cell.current) > technique.current_range
        running = technique is not None
        values = {
            "file_name": str(self._files.path or ""),
            "started": 0.0 if math.isnan(channel.started) else channel.clock.at(channel.started),
            "n_techniques": len(channel.techniques),
            "technique_index": channel.technique_index,
            "technique_id": TECHNIQUE_IDS[technique.name] if technique else 0,
            "loop": channel.loop,
            "data_start": self._technique_start,
            "current_overflow": int(overflow or exceeds),
            "voltage_overflow": int(overflow),
            "data_done": "No" if running else "Yes",
            "frequency": channel.frequency,
            "counter": channel.read_counter(),
            "voltage": channel.read_voltage(),
            "current": channel.cell.current,
            "elapsed": channel.elapsed,
            "state": channel.state,
        }
        for name, value in values.items():
            if self._published.get(name) != value:
                self._published[name] = value
                await getattr(self, name).write(value, timestamp=channel.time)
