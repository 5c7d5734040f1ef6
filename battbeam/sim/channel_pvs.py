"""This file is where the PVs of one channel of the simulated cycler are."""

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.channel import Channel, State
from battbeam.sim.data_file import DataFiles, Record
from battbeam.sim.history import HistoryWriter
from battbeam.sim.parameter_pvs import ParameterGroup, put_values
from battbeam.sim.parameters import N_INSTANCES, TECHNIQUE_IDS, TECHNIQUES
from battbeam.sim.refusal import attempt
from battbeam.sim.scenario import Cycler
from battbeam.sim.techniques import technique_list
from battbeam.sim.thermostat_pvs import ThermostatGroup

_LONG_STRING = {"dtype": ChannelType.CHAR, "max_length": 1024, "string_encoding": "utf-8"}


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


def _live(name: str, unit: str, doc: str) -> Any:
    return pvproperty(name=name, value=0.0, units=unit, precision=6, read_only=True, doc=doc)


def _count(name: str, doc: str) -> Any:
    return pvproperty(name=name, value=0, read_only=True, doc=doc)


def _choice(name: str, strings: Sequence[str], value: str, **more: Any) -> Any:
    return pvproperty(
        name=name, value=value, enum_strings=list(strings), dtype=ChannelType.ENUM, **more
    )


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
        self.thermostat = ThermostatGroup(thermostat_prefix, thermostat=channel.thermostat)
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
                await attempt(instance, act)
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
            is_loaded = await attempt(
                instance,
                lambda: self._channel.load(technique_list(text, put_values(self.parameters))),
            )
            if is_loaded:
                await self.list_loaded.write(text)
            await self._publish(force=True)
        return text

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
